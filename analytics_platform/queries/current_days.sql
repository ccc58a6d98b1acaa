{#
  Days whose events were not loaded again after a result table, or facts/user_day that it comes from, was written; and
  whose facts are not newer than the table. A table written after the load from facts written before it is outdated too.
#}
SELECT event_date
FROM results.computed_days AS computed
WHERE table_name = $table_name AND event_date >= $first_day AND event_date <= $last_day
  AND event_date NOT IN (
    SELECT loaded.event_date
    FROM events.loaded_days AS loaded
    JOIN results.computed_days AS earlier ON earlier.event_date = loaded.event_date
    WHERE earlier.table_name IN ($table_name, 'user_day') AND loaded.loaded_at > earlier.computed_at
  )
  AND event_date NOT IN (
    SELECT facts.event_date
    FROM results.computed_days AS facts
    JOIN results.computed_days AS derived ON derived.event_date = facts.event_date
    WHERE facts.table_name = 'user_day' AND derived.table_name = $table_name AND facts.computed_at > derived.computed_at
  )
