{#
  metrics/daily_slices for ClickHouse: the users of the day are read once, and every slice comes from their combinations
  of attributes (some thousand rows), each of which goes into one row of every dimension and into the total.
#}
SELECT CAST($event_date AS Date) AS event_date, slice.dimension AS dimension, slice.dimension_value AS dimension_value
{% for m in metrics %}
  {% if m in additive %}
  , slice.{{ m.name }} AS {{ m.name }}
  {% else %}
  , if(slice.{{ m.denominator }} > 0, slice.{{ m.numerator }} / slice.{{ m.denominator }}, NULL) AS {{ m.name }}
  {% endif %}
{% endfor %}
FROM (
  SELECT _slice.1 AS dimension, _slice.2 AS dimension_value
  {% for m in additive %}
    , toInt64(sum(part.{{ m.name }})) AS {{ m.name }}
  {% endfor %}
  FROM (
    SELECT [{% for d in dimensions %}('{{ d.name }}', toString(ifNull({{ labelled(d) }}, 'unknown'))), {% endfor %}('total', 'total')] AS _slices
      , {{ additive | map(attribute='name') | join(', ') }}
    FROM (
      SELECT {{ attributes | join(', ') }}
      {% for m in additive %}
        , {{ 'countIf(' ~ m.where ~ ')' if m in distinct else 'sum(' ~ m.name ~ ')' }} AS {{ m.name }}
      {% endfor %}
      FROM results.user_day
      WHERE event_date = $event_date
      GROUP BY {{ attributes | join(', ') }}
    ) AS combination
    UNION ALL
    {# A day without events has its total. #}
    SELECT [('total', 'total')]{{ ', 0' * (additive | length) }}
  ) AS part
  ARRAY JOIN _slices AS _slice
  GROUP BY dimension, dimension_value
) AS slice
SETTINGS aggregate_functions_null_for_empty = 0
