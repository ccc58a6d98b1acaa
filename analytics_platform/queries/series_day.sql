{#
  series/quarter_hour of one local day: every watched metric of every 15 minutes, in total and by the chosen dimensions.
  See metrics/series.py. Buckets are whole numbers here, quarters of an hour since 1970, and a bucket and its user are
  one number, which is cheaper to group by than two.

  Of each service the buckets first..end are shown; from `from` on they are counted in the events, those before are taken
  as they are stored, unless they are of the day in another time zone. A user's attributes are those of the last event within the bucket (ties: the greatest values), so
  that slices add up to the total. What has no event has a row of zeros: the total always, and every value that occurs on
  the day or was stored above 0 in the week before.

  Grouping by user AND attributes is cheaper than picking attributes by time; the few users whose attributes change
  within a bucket are then put right.
#}
{% macro zeros() %}{% for m in counted %}, 0 AS {{ m.name }}{% endfor %}{% endmacro %}
{% macro sums() %}{% for m in counted %}, CAST(sum({{ m.name }}) AS BIGINT) AS {{ m.name }}{% endfor %}{% endmacro %}
{% macro names(list) %}{% for m in list %}, {{ m.name }}{% endfor %}{% endmacro %}
{% macro attrs() %}{% for a in attributes %}, {{ a }}{% endfor %}{% endmacro %}
{% if services %}
WITH
{% for s in services %}
{{ s.name }}_part AS (
  SELECT epoch_us(time) // 900000000 * 4294967296 + user_id AS _who{{ attrs() }}, max(time) AS _seen
  {% for m in s.counts %}
    , count(*){{ '' if m.where == 'true' else ' FILTER (WHERE ' ~ m.where ~ ')' }} AS {{ m.name }}
  {% endfor %}
  FROM events.{{ s.table }}
  WHERE time >= ${{ s.name }}_from AND time < ${{ s.name }}_until
  GROUP BY epoch_us(time) // 900000000 * 4294967296 + user_id{{ attrs() }}
),
  {% if attributes %}
{{ s.name }}_changed AS (
  SELECT _who FROM {{ s.name }}_part GROUP BY _who HAVING count(*) > 1
),
{{ s.name }}_person AS (
  SELECT _who{{ attrs() }}{{ names(s.counts) }}
  FROM {{ s.name }}_part
  WHERE _who NOT IN (SELECT _who FROM {{ s.name }}_changed)
  UNION ALL
  SELECT _who{% for a in attributes %}, max(CASE WHEN _place = 1 THEN {{ a }} END){% endfor %}
  {% for m in s.counts %}, CAST(sum({{ m.name }}) AS BIGINT){% endfor %}

  FROM (
    SELECT *, row_number() OVER (
      PARTITION BY _who ORDER BY _seen DESC{% for a in attributes %}, {{ a }} DESC NULLS LAST{% endfor %}

    ) AS _place
    FROM {{ s.name }}_part
    WHERE _who IN (SELECT _who FROM {{ s.name }}_changed)
  ) AS ranked
  GROUP BY _who
),
  {% endif %}
{% endfor %}
combination AS (
{% for s in services %}
  SELECT '{{ s.name }}' AS service, _who // 4294967296 AS _slot{{ attrs() }}
  {% for m in counted %}
    , {{ '0' if m not in s.shown else 'count(*) FILTER (WHERE ' ~ m.where ~ ')' if m in distinct else 'sum(' ~ m.name ~ ')' }} AS {{ m.name }}
  {% endfor %}
  FROM {{ s.name }}_{{ 'person' if attributes else 'part' }}
  GROUP BY _who // 4294967296{{ attrs() }}
  {{ 'UNION ALL' if not loop.last }}
{% endfor %}
),
each_way AS (
  SELECT 'total' AS dimension
{% for d in dimensions %}
  UNION ALL SELECT '{{ d.name }}'
{% endfor %}
),
found AS (
  SELECT service, dimension, dimension_value, _slot{{ sums() }}
  FROM (
    SELECT service, dimension,
      CASE dimension WHEN 'total' THEN 'all'{% for d in dimensions %} WHEN '{{ d.name }}' THEN by_{{ d.name }}{% endfor %} END AS dimension_value,
      _slot{{ names(counted) }}
    FROM (
      SELECT *{% for d in dimensions %}, coalesce({{ labelled(d) }}, 'unknown') AS by_{{ d.name }}{% endfor %}

      FROM combination
    ) AS valued
    CROSS JOIN each_way
  ) AS one_way
  GROUP BY service, dimension, dimension_value, _slot
  UNION ALL
  SELECT service, dimension, dimension_value, epoch_us(bucket_time) // 900000000
  {% for m in counted %}
    , CAST(sum(CASE WHEN metric = '{{ m.name }}' THEN value ELSE 0 END) AS BIGINT)
  {% endfor %}
  FROM results.series_quarter_hour
  WHERE event_date = $event_date AND bucket_time >= $day_start AND bucket_time < $day_end
    AND dimension IN (SELECT dimension FROM each_way)
    AND ({% for s in services %}service = '{{ s.name }}' AND bucket_time < ${{ s.name }}_from{{ ' OR ' if not loop.last }}{% endfor %})
  GROUP BY service, dimension, dimension_value, bucket_time
),
slot AS (
{% for s in services %}
  SELECT '{{ s.name }}' AS service, unnest(range($first_slot, ${{ s.name }}_end)) AS _slot
  {{ 'UNION ALL' if not loop.last }}
{% endfor %}
),
known AS (
  SELECT service, dimension, dimension_value FROM found
  UNION
  SELECT service, dimension, dimension_value
  FROM results.series_quarter_hour
  WHERE event_date >= $recent_first AND event_date < $event_date AND value > 0
    AND dimension IN (SELECT dimension FROM each_way)
  UNION
  SELECT service, 'total', 'all' FROM slot
),
cell AS (
  SELECT service, dimension, dimension_value, _slot{{ sums() }}
  FROM (
    SELECT service, dimension, dimension_value, _slot{{ names(counted) }} FROM found
    UNION ALL
    SELECT known.service, known.dimension, known.dimension_value, slot._slot{{ zeros() }}
    FROM known
    JOIN slot ON slot.service = known.service
  ) AS filled
  GROUP BY service, dimension, dimension_value, _slot
),
measure AS (
{% for s in services %}
  {% set last_service = loop.last %}
  {% for m in s.metrics %}
  SELECT '{{ s.name }}' AS service, '{{ m.name }}' AS metric{{ '' if loop.last and last_service else ' UNION ALL' }}
  {% endfor %}
{% endfor %}
)
SELECT CAST($event_date AS DATE) AS event_date, make_timestamp(cell._slot * 900000000) AS bucket_time,
  cell.service AS service, measure.metric AS metric, cell.dimension AS dimension,
  cell.dimension_value AS dimension_value,
  CASE measure.metric
  {% for m in counted %}
    WHEN '{{ m.name }}' THEN CAST({{ m.name }} AS DOUBLE)
  {% endfor %}
  {% for m in ratios %}
    WHEN '{{ m.name }}' THEN CASE WHEN {{ m.denominator }} > 0 THEN CAST({{ m.numerator }} AS DOUBLE) / {{ m.denominator }} END
  {% endfor %}
  END AS value,
  {% if ratios %}
  CASE measure.metric{% for m in ratios %} WHEN '{{ m.name }}' THEN {{ m.denominator }}{% endfor %} END AS base
  {% else %}
  CAST(NULL AS BIGINT) AS base
  {% endif %}
FROM cell
JOIN measure ON measure.service = cell.service
ORDER BY dimension, dimension_value, service, metric, bucket_time
{% else %}
SELECT CAST($event_date AS DATE) AS event_date, CAST(NULL AS TIMESTAMP) AS bucket_time, '' AS service, '' AS metric,
  '' AS dimension, '' AS dimension_value, CAST(NULL AS DOUBLE) AS value, CAST(NULL AS BIGINT) AS base
FROM (SELECT 1) AS nothing
WHERE 1 = 0
{% endif %}
