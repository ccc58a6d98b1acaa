{# The moments (UTC) at which a day of events was last loaded and a day of results last computed; NULL when never. #}
SELECT
  (SELECT max(loaded_at) FROM events.loaded_days) AS loaded_at,
  (SELECT max(computed_at) FROM results.computed_days) AS computed_at
