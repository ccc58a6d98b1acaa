{#
  The moment (UTC) as of which videos were last ranked, NULL when never. Both tables are of it: where a run ended between
  them, it is the older one's.
#}
SELECT
  CASE
    WHEN popular.as_of IS NULL OR trending.as_of IS NULL THEN NULL
    WHEN popular.as_of < trending.as_of THEN popular.as_of
    ELSE trending.as_of
  END AS as_of
FROM (SELECT max(as_of) AS as_of FROM results.rankings_popular) AS popular
CROSS JOIN (SELECT max(as_of) AS as_of FROM results.rankings_trending) AS trending
