{#
  series/quarter_hour for ClickHouse, which evaluates a CTE anew at each use: the events are read in one place. Of a
  bucket's users, `_last` is their last event: its time, then the attributes in their order, and the greatest counts. The
  rows of zeros are put beside what was found as an array of buckets, and both are added up.
#}
{% macro of(s) %}
FROM events.{{ s.table }}
      WHERE time >= ${{ s.name }}_from AND time < ${{ s.name }}_until
{%- endmacro %}
{% macro sums() %}{% for m in counted %}, toInt64(sum(toInt64({{ m.name }}))) AS {{ m.name }}{% endfor %}{% endmacro %}
{% macro names() %}{% for m in counted %}, {{ m.name }}{% endfor %}{% endmacro %}
{% if services %}
SELECT CAST($event_date AS Date) AS event_date, fromUnixTimestamp64Micro(toInt64(_slot) * 900000000, 'UTC') AS bucket_time,
  service, measure.2 AS metric, dimension, dimension_value, CAST(measure.3 AS Nullable(Float64)) AS value,
  CAST(measure.4 AS Nullable(Int64)) AS base
FROM (
  SELECT service, dimension, dimension_value, _slot{{ sums() }}
  FROM (
    SELECT service, dimension, dimension_value, cell.1 AS _slot
    {% for m in counted %}
      , cell.{{ loop.index + 1 }} AS {{ m.name }}
    {% endfor %}
    FROM (
      SELECT service, dimension, dimension_value, arrayConcat(
        groupArrayIf((_slot{{ names() }}), _slot >= 0),
        arrayMap(
          _one -> (_one{% for m in counted %}, toInt64(0){% endfor %}),
          range(toInt64($first_slot), multiIf({% for s in services %}service = '{{ s.name }}', toInt64(${{ s.name }}_end), {% endfor %}toInt64($first_slot)))
        )
      ) AS cells
      FROM (
        SELECT service, way.1 AS dimension, way.2 AS dimension_value, _slot{{ sums() }}
        FROM (
        {% for s in services %}
          SELECT '{{ s.name }}' AS service, _slot
          {% for a in attributes %}
            , {{ '_last.%d' % (loop.index + 1) if a in text_attributes else 'nullIf(_last.%d, -32769)' % (loop.index + 1) }} AS {{ a }}
          {% endfor %}
          {% for m in counted %}
            , toInt64({{ '0' if m not in s.shown else 'countIf(' ~ m.where ~ ')' if m in distinct else 'sum(' ~ m.name ~ ')' }}) AS {{ m.name }}
          {% endfor %}
          FROM (
            SELECT toInt64(intDiv(toUnixTimestamp64Micro(CAST(time AS DateTime64(6, 'UTC'))), 900000000)) AS _slot, user_id
            {% if attributes %}
              , max((CAST(time AS DateTime64(6, 'UTC')){% for a in attributes %}, {{ a if a in text_attributes else 'ifNull(toInt32(' ~ a ~ '), -32769)' }}{% endfor %})) AS _last
            {% endif %}
            {% for m in s.counts %}
              , countIf({{ m.where }}) AS {{ m.name }}
            {% endfor %}
            {{ of(s) }}
            GROUP BY _slot, user_id
          ) AS person
          GROUP BY _slot{% for a in attributes %}, {{ a }}{% endfor %}

          {{ 'UNION ALL' if not loop.last }}
        {% endfor %}
        ) AS combination
        ARRAY JOIN [('total', 'all'){% for d in dimensions %}, ('{{ d.name }}', ifNull(toString({{ labelled(d) }}), 'unknown')){% endfor %}] AS way
        GROUP BY service, dimension, dimension_value, _slot
        UNION ALL
        SELECT service, dimension, dimension_value,
          toInt64(intDiv(toUnixTimestamp64Micro(assumeNotNull(bucket_time)), 900000000))
        {% for m in counted %}
          , toInt64(sumIf(ifNull(value, 0), metric = '{{ m.name }}'))
        {% endfor %}
        FROM results.series_quarter_hour
        WHERE event_date = $event_date AND bucket_time >= $day_start AND bucket_time < $day_end
          AND dimension IN ('total'{% for d in dimensions %}, '{{ d.name }}'{% endfor %})
          AND ({% for s in services %}(service = '{{ s.name }}' AND bucket_time < ${{ s.name }}_from){{ ' OR ' if not loop.last }}{% endfor %})
        GROUP BY service, dimension, dimension_value, bucket_time
        UNION ALL
        SELECT DISTINCT service, dimension, dimension_value, toInt64(-1){% for m in counted %}, toInt64(0){% endfor %}

        FROM results.series_quarter_hour
        WHERE event_date >= $recent_first AND event_date < $event_date AND value > 0
          AND dimension IN ('total'{% for d in dimensions %}, '{{ d.name }}'{% endfor %})
      {% for s in services %}
        UNION ALL
        SELECT '{{ s.name }}', 'total', 'all', toInt64(-1){% for m in counted %}, toInt64(0){% endfor %}

      {% endfor %}
      ) AS found
      GROUP BY service, dimension, dimension_value
    ) AS known
    ARRAY JOIN cells AS cell
  ) AS filled
  GROUP BY service, dimension, dimension_value, _slot
) AS complete
ARRAY JOIN arrayFilter(_one -> _one.1 = service, [
{% for s in services %}
  {% set last_service = loop.last %}
  {% for m in s.metrics %}
    {% if m in ratios %}
  ('{{ s.name }}', '{{ m.name }}', if({{ m.denominator }} > 0, {{ m.numerator }} / {{ m.denominator }}, NULL), CAST({{ m.denominator }} AS Nullable(Int64)))
    {%- else %}
  ('{{ s.name }}', '{{ m.name }}', CAST({{ m.name }} AS Nullable(Float64)), CAST(NULL AS Nullable(Int64)))
    {%- endif %}
{{ '' if loop.last and last_service else ',' }}
  {% endfor %}
{% endfor %}
]) AS measure
SETTINGS aggregate_functions_null_for_empty = 0
{% else %}
SELECT CAST($event_date AS Date) AS event_date, CAST(NULL AS Nullable(DateTime64(6, 'UTC'))) AS bucket_time,
  '' AS service, '' AS metric, '' AS dimension, '' AS dimension_value, CAST(NULL AS Nullable(Float64)) AS value,
  CAST(NULL AS Nullable(Int64)) AS base
WHERE 1 = 0
{% endif %}
