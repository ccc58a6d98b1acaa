{# First and last event time (UTC) and number of rows of one event table. #}
SELECT count(*) AS rows, min(time) AS first_time, max(time) AS last_time FROM events.{{ table }}
