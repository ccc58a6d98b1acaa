{# Rows of metrics/daily_slices for people: a range of days (both included), all dimensions or one. #}
SELECT event_date, dimension, dimension_value, {{ metrics | map(attribute='name') | join(', ') }}
FROM results.daily_slices
WHERE event_date >= $first_day AND event_date <= $last_day AND ($dimension = '' OR dimension = $dimension)
ORDER BY event_date, dimension, dimension_value
