{% macro text(table, id, day, condition) %}
  SELECT day, arrayStringConcat(
    groupArrayInsertAt('0000000000000000', toUInt32(intDiv($highest - $lowest + 1, 64)))(leftPad(hex(bits), 16, '0'), word)
  ) AS people
  FROM (
    SELECT {{ day }} AS day, toUInt32(intDiv({{ id }} - $lowest, 64)) AS word,
      groupBitOr(bitShiftLeft(toUInt64(1), 63 - ({{ id }} - $lowest) % 64)) AS bits
    FROM {{ table }}
    WHERE {{ id }} >= $lowest AND {{ id }} <= $highest AND event_date <= $last_day AND {{ condition }}
    GROUP BY day, word
  )
  GROUP BY day
{% endmacro %}
SELECT 'active' AS kind, day AS event_date, people
FROM ({{ text("results.user_day", "user_id", "event_date", "event_date >= $read_from AND " ~ active) }})
UNION ALL
SELECT 'seen', day, people
FROM ({{ text("results.first_seen", "id", "greatest(event_date, $cohorts_from - 1)", arrives) }})
UNION ALL
SELECT 'beyond', event_date, ''
FROM results.user_day
WHERE event_date >= $read_from AND event_date <= $last_day AND (user_id < $lowest OR user_id > $highest)
GROUP BY event_date
UNION ALL
SELECT 'beyond', event_date, ''
FROM results.first_seen
WHERE event_date >= $cohorts_from AND event_date <= $last_day AND (id < $lowest OR id > $highest) AND {{ arrives }}
GROUP BY event_date
SETTINGS aggregate_functions_null_for_empty = 0
