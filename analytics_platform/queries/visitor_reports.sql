{#
  One row per visitor with an event in [$start, $end), busiest first; see visitors/reporting.py.

  An event that is there twice counts once, as its earliest copy. A visitor's first event is the earliest, of several at
  one moment the one with the smallest request_id; `pages` are in the order of the first visit.
#}
WITH copy AS (
  SELECT request_id, time, visitor, pathname, adblock, ip_address, user_agent, language, sender_id, hash,
    row_number() OVER (
      PARTITION BY request_id
      ORDER BY time, visitor, pathname NULLS LAST, adblock NULLS LAST, ip_address NULLS LAST, user_agent NULLS LAST,
        language NULLS LAST, sender_id NULLS LAST, hash NULLS LAST
    ) AS number
  FROM events.page_events
  WHERE time >= $start AND time < $end
),
event AS (
  SELECT *, row_number() OVER (PARTITION BY visitor ORDER BY time, request_id) AS place
  FROM copy
  WHERE number = 1
),
page AS (
  SELECT visitor, pathname, count(*) AS n_interactions,
    max(CASE WHEN place = 1 THEN adblock END) AS adblock,
    max(CASE WHEN place = 1 THEN ip_address END) AS ip_address,
    max(CASE WHEN place = 1 THEN user_agent END) AS user_agent,
    max(CASE WHEN place = 1 THEN language END) AS language,
    min_by(sender_id, place) AS sender_id,
    min(CASE WHEN sender_id IS NOT NULL THEN place END) AS sender_place,
    min_by(hash, place) AS hash,
    min(CASE WHEN hash IS NOT NULL THEN place END) AS hash_place,
    min(time) AS first_seen,
    max(time) AS last_seen,
    min(place) AS first_place,
    max(place) AS last_place
  FROM event
  GROUP BY visitor, pathname
)
SELECT visitor,
  CAST(sum(n_interactions) AS BIGINT) AS n_interactions,
  max(adblock) AS adblock,
  max(ip_address) AS ip_address,
  max(user_agent) AS user_agent,
  max(language) AS language,
  min_by(sender_id, sender_place) AS sender_id,
  min_by(hash, hash_place) AS hash,
  min(first_seen) AS first_seen,
  max(last_seen) AS last_seen,
  coalesce(array_agg(pathname ORDER BY first_place) FILTER (WHERE pathname IS NOT NULL), []) AS pages,
  count(pathname) AS distinct_pages,
  min_by(pathname, first_place) AS entry_page,
  max_by(pathname, last_place) AS exit_page
FROM page
GROUP BY visitor
ORDER BY n_interactions DESC, first_seen, visitor
