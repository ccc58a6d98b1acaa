{# frames/feed_daily: the feed's figures of one day, from the total of metrics/daily_slices. #}
SELECT event_date, feed_users AS dau, views, likes, ctr
FROM results.daily_slices
WHERE event_date = $event_date AND dimension = 'total'
