{#
  Events of each event table by quarter hour of a half-open window (UTC; `slot` counts them from 1970), and their latest
  time; a quarter hour without events has no row.
#}
{% for table in tables %}
SELECT '{{ table }}' AS source, epoch_us(time) // 900000000 AS slot, count(*) AS events, max(time) AS newest
FROM events.{{ table }}
WHERE time >= $start AND time < $end
GROUP BY epoch_us(time) // 900000000
{{ 'UNION ALL' if not loop.last }}
{% endfor %}
