{#
  metrics/daily_slices of one day from facts/user_day. Users are first summed by their combination of attributes (some
  thousand rows), so each dimension costs next to nothing. A day without events has one row: the total, all zeros.
#}
WITH combination AS (
  SELECT {{ attributes | join(', ') }}
  {% for m in additive %}
    , {{ 'count(*) FILTER (WHERE ' ~ m.where ~ ')' if m in distinct else 'sum(' ~ m.name ~ ')' }} AS {{ m.name }}
  {% endfor %}
  FROM results.user_day
  WHERE event_date = $event_date
  GROUP BY {{ attributes | join(', ') }}
),
valued AS (
  SELECT
  {% for d in dimensions %}
    coalesce({{ labelled(d) }}, 'unknown') AS by_{{ d.name }},
  {% endfor %}
    {{ additive | map(attribute='name') | join(', ') }}
  FROM combination
),
slice AS (
  SELECT
    CASE{% for d in dimensions %} WHEN grouping(by_{{ d.name }}) = 0 THEN '{{ d.name }}'{% endfor %} END AS dimension,
    CASE{% for d in dimensions %} WHEN grouping(by_{{ d.name }}) = 0 THEN by_{{ d.name }}{% endfor %} END AS dimension_value
  {% for m in additive %}
    , sum({{ m.name }}) AS {{ m.name }}
  {% endfor %}
  FROM valued
  GROUP BY GROUPING SETS ({% for d in dimensions %}(by_{{ d.name }}){{ ', ' if not loop.last }}{% endfor %})
  UNION ALL
  SELECT 'total', 'total'
  {% for m in additive %}
    , coalesce(sum({{ m.name }}), 0)
  {% endfor %}
  FROM combination
)
SELECT CAST($event_date AS DATE) AS event_date, dimension, dimension_value
{% for m in metrics %}
  {% if m in additive %}
  , CAST({{ m.name }} AS BIGINT) AS {{ m.name }}
  {% else %}
  , CASE WHEN {{ m.denominator }} > 0 THEN CAST({{ m.numerator }} AS DOUBLE) / {{ m.denominator }} END AS {{ m.name }}
  {% endif %}
{% endfor %}
FROM slice
