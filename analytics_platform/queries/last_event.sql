{# Time (UTC) of the last event of one table, NULL when there is none from $start on. The bound spares big tables. #}
SELECT max(time) AS last_time FROM events.{{ table }} WHERE time >= $start AND time < $end
