{# When (UTC) the days of one result table were written, or with an empty $table_name those of all. #}
SELECT table_name, event_date, computed_at
FROM results.computed_days
WHERE event_date >= $first_day AND event_date <= $last_day AND ($table_name = '' OR table_name = $table_name)
