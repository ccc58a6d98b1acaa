{# Days that were written to a result table, empty days included. #}
SELECT event_date
FROM results.computed_days
WHERE table_name = $table_name AND event_date >= $first_day AND event_date <= $last_day
