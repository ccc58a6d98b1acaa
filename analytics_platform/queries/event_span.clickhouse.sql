{#
  As event_span.sql. NULL for no rows is said by hand: with plain min and max the server answers from what it knows of
  each partition, and the sensor that asks every quarter of an hour reads no events at all.
#}
SELECT rows, if(rows = 0, NULL, first) AS first_time, if(rows = 0, NULL, last) AS last_time
FROM (SELECT count() AS rows, min(time) AS first, max(time) AS last FROM events.{{ table }}) AS span
SETTINGS aggregate_functions_null_for_empty = 0
