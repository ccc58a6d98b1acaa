{#
  Computed days of a result table that are not older than what they come from: the events of the day itself, those of the
  30 days before it (a user who only received takes attributes from there, see metrics/facts.py), and facts/user_day;
  and that were computed under the settings in force ($basis).
#}
SELECT event_date
FROM results.computed_days
WHERE table_name = $table_name AND event_date >= $first_day AND event_date <= $last_day AND basis = $basis
  AND event_date NOT IN (
    SELECT computed.event_date
    FROM results.computed_days AS computed
    CROSS JOIN events.loaded_days AS loaded
    WHERE computed.table_name IN ($table_name, 'user_day')
      AND computed.event_date >= $first_day AND computed.event_date <= $last_day
      AND loaded.event_date <= computed.event_date AND loaded.event_date >= computed.event_date - INTERVAL 30 DAY
      AND loaded.loaded_at > computed.computed_at
  )
  AND event_date NOT IN (
    SELECT facts.event_date
    FROM results.computed_days AS facts
    JOIN results.computed_days AS derived ON derived.event_date = facts.event_date
    WHERE facts.table_name = 'user_day' AND derived.table_name = $table_name AND facts.computed_at > derived.computed_at
  )
