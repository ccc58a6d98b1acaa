{# The stored rows of one window of results.{{ table }}, in the order of the report; see visitors/reporting.py. #}
SELECT {{ columns | join(', ') }}
FROM results.{{ table }}
WHERE event_date = $event_date AND window_start = $window_start AND window_end = $window_end
ORDER BY {{ order | join(', ') }}
