{# Days that were written to a result table after the last load of that day's events. #}
SELECT event_date
FROM results.computed_days AS computed
WHERE table_name = $table_name AND event_date >= $first_day AND event_date <= $last_day
  AND event_date NOT IN (
    SELECT loaded.event_date
    FROM events.loaded_days AS loaded
    JOIN results.computed_days AS earlier ON earlier.event_date = loaded.event_date
    WHERE earlier.table_name = $table_name AND loaded.loaded_at > earlier.computed_at
  )
