{#
  How far series/quarter_hour reaches on each of the days: the newest bucket (UTC) of every service, metric and dimension,
  and the greatest value, which is 0 where nothing happened.
#}
SELECT event_date, service, metric, dimension, max(bucket_time) AS newest, max(value) AS most
FROM results.series_quarter_hour
WHERE event_date >= $first_day AND event_date <= $last_day
GROUP BY event_date, service, metric, dimension
