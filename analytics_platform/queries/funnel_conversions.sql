{#
  Who entered e-mail funnels in [$start, $end) and what came of them, one row an entry, in the order of entry.

  While the days are written anew under another time zone, an entry may stand under its old day and under its new one.
  An open entry is settled once and for all, so of its rows the settled one is the newer one: the greatest values.
#}
SELECT
  entry_id,
  max(funnel_type) AS funnel_type,
  max(test_id) AS test_id,
  entered_at,
  max(seconds_to_purchase) AS seconds_to_purchase,
  max(already_customer) AS already_customer
FROM results.funnel_conversions
WHERE event_date >= $first_day AND event_date <= $last_day AND entered_at >= $start AND entered_at < $end
GROUP BY entry_id, entered_at
ORDER BY entered_at, entry_id
