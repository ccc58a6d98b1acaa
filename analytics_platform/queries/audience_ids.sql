{# How many rows of users the days have, and between which ids: whether bit strings pay (audience_bits.sql). #}
SELECT CAST(sum(found) AS BIGINT) AS rows_found, min(lowest) AS lowest, max(highest) AS highest
FROM (
  SELECT count(*) AS found, min(user_id) AS lowest, max(user_id) AS highest
  FROM results.user_day
  WHERE event_date >= $read_from AND event_date <= $last_day
  UNION ALL
  SELECT count(*) AS found, min(id) AS lowest, max(id) AS highest
  FROM results.first_seen
  WHERE event_date >= $cohorts_from AND event_date <= $last_day AND kind <> 'post'
) AS ids
