{#
  How the app's audience holds together on a day and on the same weekday a week before, in one pass over 37 days of
  users with a feed event or a sent message. Weeks are of 7 days, months of 30, both ending with the day.
#}
SELECT
  count(*) FILTER (WHERE newest >= $week) AS wau,
  count(*) FILTER (WHERE newest >= $month) AS mau,
  count(*) FILTER (WHERE newest >= $week AND in_week_before > 0) AS retained,
  count(*) FILTER (WHERE newest < $week AND in_week_before > 0) AS gone,
  count(*) FILTER (WHERE in_week_before > 0) AS wau_before,
  count(*) FILTER (WHERE oldest < $week) AS mau_before,
  count(*) FILTER (WHERE in_week_before > 0 AND two_weeks_before > 0) AS retained_before,
  count(*) FILTER (WHERE in_week_before = 0 AND two_weeks_before > 0) AS gone_before
FROM (
  SELECT user_id, min(event_date) AS oldest, max(event_date) AS newest,
    count(*) FILTER (WHERE event_date >= $week_before AND event_date < $week) AS in_week_before,
    count(*) FILTER (WHERE event_date >= $two_weeks_before AND event_date < $week_before) AS two_weeks_before
  FROM results.user_day
  WHERE event_date >= $month_before AND event_date <= $event_date AND ({{ active }})
  GROUP BY user_id
) AS person
