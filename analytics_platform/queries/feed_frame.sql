{# The days that a feed report compares, oldest first; a day that was not computed has no row. #}
SELECT event_date, dau, views, likes
FROM results.feed_daily
WHERE event_date >= $first_day AND event_date <= $last_day
ORDER BY event_date
