{# As the standard text, in ClickHouse's words for a moment's number of microseconds. #}
{% for table in tables %}
SELECT '{{ table }}' AS source, toInt64(intDiv(toUnixTimestamp64Micro(CAST(time AS DateTime64(6, 'UTC'))), 900000000)) AS slot,
  toInt64(count()) AS events, max(time) AS newest
FROM events.{{ table }}
WHERE time >= $start AND time < $end
GROUP BY slot
{{ 'UNION ALL' if not loop.last }}
{% endfor %}
