{#
  As the standard text, but hours of UTC whatever the type of the column says: events of other programs may be kept in a
  zone whose hours begin at half or at a quarter to.
#}
{% set hour = "toStartOfHour(time - INTERVAL " ~ shift ~ " MINUTE, 'UTC')" if shift else "toStartOfHour(time, 'UTC')" %}
SELECT {{ hour }}{{ " + INTERVAL " ~ shift ~ " MINUTE" if shift }} AS hour_start, count() AS events
FROM events.{{ table }}
WHERE time >= $window_start AND time < $window_end
GROUP BY {{ hour }}
