{# Users of two cohorts by source, and those active on $event_date. A cohort: the app's users whose first day it was. #}
WITH newcomer AS (
  SELECT seen.id AS id, seen.event_date AS first_day, max(seen.source) AS source
  FROM results.first_seen AS seen
  JOIN (
    SELECT id, min(event_date) AS event_date
    FROM results.first_seen
    WHERE kind <> 'post' AND event_date < $event_date
    GROUP BY id
    HAVING min(event_date) IN ($one_day_before, $week_before)
  ) AS earliest ON earliest.id = seen.id AND earliest.event_date = seen.event_date
  WHERE seen.kind <> 'post' AND seen.event_date IN ($one_day_before, $week_before)
  GROUP BY seen.id, seen.event_date
)
SELECT newcomer.first_day AS first_day, newcomer.source AS source, count(*) AS cohort, count(today.user_id) AS active
FROM newcomer
LEFT JOIN (
  SELECT user_id FROM results.user_day WHERE event_date = $event_date AND ({{ active }})
) AS today ON today.user_id = newcomer.id
GROUP BY newcomer.first_day, newcomer.source
