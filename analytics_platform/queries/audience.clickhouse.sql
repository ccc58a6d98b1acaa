{#
  A bitmap of users for each day (came = 0) and for each day of first days (came = 1), put on every day that it counts
  for, `ago` days later; there, bitmaps are united. Every day has an empty one (came = 2), so that none is left out.
  With aggregates that give NULL for no rows, states of bitmaps would be of a type that cannot be united.
#}
SELECT event_date,
  bitmapCardinality(today) AS dau,
  bitmapCardinality(week) AS wau,
  bitmapCardinality(month) AS mau,
  bitmapCardinality(week_before) AS wau_before,
  bitmapAndCardinality(week, week_before) AS retained,
  bitmapCardinality(arrivals) AS arrived
  {% for age in ages %}
  , bitmapCardinality(newcomers_{{ age }}) AS cohort_{{ age }}
  , bitmapAndCardinality(today, newcomers_{{ age }}) AS active_{{ age }}
  {% endfor %}
FROM (
  SELECT day + ago AS event_date,
    groupBitmapMergeStateIf(people, came = 0 AND ago = 0) AS today,
    groupBitmapMergeStateIf(people, came = 0 AND ago < 7) AS week,
    groupBitmapMergeStateIf(people, came = 0) AS month,
    groupBitmapMergeStateIf(people, came = 0 AND ago >= 7 AND ago < 14) AS week_before,
    groupBitmapMergeStateIf(people, came = 1 AND ago < 7) AS arrivals
    {% for age in ages %}
    , groupBitmapMergeStateIf(people, came = 1 AND ago = {{ age }}) AS newcomers_{{ age }}
    {% endfor %}
  FROM (
    SELECT event_date AS day, 0 AS came, range(30) AS served, groupBitmapState(user_id) AS people
    FROM results.user_day
    WHERE event_date >= $read_from AND event_date <= $last_day AND {{ active }}
    GROUP BY event_date
    UNION ALL
    SELECT first_day, 1, arrayDistinct(arrayConcat(range(7), [{{ ages | join(', ') }}])), groupBitmapState(id)
    FROM (
      SELECT id, min(event_date) AS first_day
      FROM results.first_seen
      WHERE event_date <= $last_day AND {{ arrives }}
      GROUP BY id
      HAVING min(event_date) >= $cohorts_from
    )
    GROUP BY first_day
    UNION ALL
    SELECT $first_day + number, 2, [0], bitmapBuild(emptyArrayUInt32())
    FROM numbers(assumeNotNull(dateDiff('day', $first_day, $last_day)) + 1)
  )
  ARRAY JOIN served AS ago
  WHERE day + ago >= $first_day AND day + ago <= $last_day
  GROUP BY event_date
)
ORDER BY event_date
SETTINGS aggregate_functions_null_for_empty = 0
