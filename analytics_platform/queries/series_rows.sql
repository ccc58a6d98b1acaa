{# Rows of series/quarter_hour whose bucket begins in a half-open span of UTC; of the totals alone, or of all series. #}
SELECT service, metric, dimension, dimension_value, bucket_time, value, base
FROM results.series_quarter_hour
WHERE event_date >= $first_day AND event_date <= $last_day AND bucket_time >= $start AND bucket_time < $end
{% if totals %}
  AND dimension = 'total'
{% endif %}
