{#
  metrics/daily_slices of one day from facts/user_day. Users are first summed by their combination of attributes (some
  thousand rows), so each dimension costs next to nothing: one row a combination and dimension, grouped once, takes half
  the time of grouping sets. A day without events has one row: the total, all zeros.
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
each_way AS (
  SELECT 'total' AS dimension
{% for d in dimensions %}
  UNION ALL SELECT '{{ d.name }}'
{% endfor %}
),
slice AS (
  SELECT dimension, dimension_value
  {% for m in additive %}
    , sum({{ m.name }}) AS {{ m.name }}
  {% endfor %}
  FROM (
    SELECT
      dimension,
      CASE dimension{% for d in dimensions %} WHEN '{{ d.name }}' THEN by_{{ d.name }}{% endfor %} ELSE 'total' END AS dimension_value,
      {{ additive | map(attribute='name') | join(', ') }}
    FROM valued
    CROSS JOIN each_way
    UNION ALL
    SELECT 'total', 'total'{% for m in additive %}, 0{% endfor %}

  ) AS one_way
  GROUP BY dimension, dimension_value
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
