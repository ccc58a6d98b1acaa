{#
  One row per event of [$start, $end) in the order of time; see visitors/reporting.py. An event that is there twice
  counts once, as its earliest copy (of several at one moment, the one that visitor_reports.sql takes).
#}
WITH copy AS (
  SELECT request_id, visitor, pathname, type, time,
    row_number() OVER (
      PARTITION BY request_id
      ORDER BY time, visitor, pathname NULLS LAST, adblock NULLS LAST, ip_address NULLS LAST, user_agent NULLS LAST,
        language NULLS LAST, sender_id NULLS LAST, hash NULLS LAST, type NULLS LAST
    ) AS number
  FROM events.page_events
  WHERE time >= $start AND time < $end
)
SELECT request_id, visitor, pathname AS page, 'action' AS action, type, time AS created
FROM copy
WHERE number = 1
ORDER BY time, request_id
