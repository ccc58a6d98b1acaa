{# Entries into e-mail funnels of some local days and what came of them, in the order of entry. #}
SELECT entry_id, funnel_type, test_id, entered_at, seconds_to_purchase, already_customer
FROM results.funnel_conversions
WHERE event_date >= $first_day AND event_date <= $last_day
ORDER BY entered_at, entry_id
