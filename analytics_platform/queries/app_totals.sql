{# All-time totals up to and with a day, over the days that are computed. #}
SELECT users_ever, actions_ever
FROM (
  SELECT count(DISTINCT id) AS users_ever
  FROM results.first_seen
  WHERE kind <> 'post' AND event_date <= $event_date
) AS users
CROSS JOIN (
  SELECT CAST(coalesce(sum(actions), 0) AS BIGINT) AS actions_ever
  FROM results.app_daily
  WHERE service = 'app' AND dimension = 'total' AND event_date <= $event_date
) AS actions
