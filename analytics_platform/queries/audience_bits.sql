{#
  Who was active on each day of $read_from..$last_day (kind active), and who has a row of first days on it (kind seen;
  all days before $cohorts_from on one date, the day before it). A day is a bit string in hexadecimal digits: the first
  bit is the user $lowest, the last one $highest, a multiple of 64 bits. Rows of kind `beyond` tell that there are ids
  outside by now, and the answer is not the whole.
#}
SELECT 'active' AS kind, event_date, hex(CAST(bitstring_agg(user_id, $lowest, $highest) AS BLOB)) AS people
FROM results.user_day
WHERE event_date >= $read_from AND event_date <= $last_day
  AND user_id >= $lowest AND user_id <= $highest AND {{ active }}
GROUP BY event_date
UNION ALL
SELECT 'seen', greatest(event_date, $cohorts_from - 1), hex(CAST(bitstring_agg(id, $lowest, $highest) AS BLOB))
FROM results.first_seen
WHERE event_date <= $last_day AND id >= $lowest AND id <= $highest AND {{ arrives }}
GROUP BY 2
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
