{#
  Events of one table by hour (UTC) in a half-open window; an hour without events has no row. Hours begin `shift` minutes
  past the full one, as local hours do where the zone is not whole hours from UTC. Without a shift nothing is added and
  subtracted a million times: that is half of the statement's time.
#}
{% set hour = "date_trunc('hour', time - INTERVAL " ~ shift ~ " MINUTE)" if shift else "date_trunc('hour', time)" %}
SELECT {{ hour }}{{ " + INTERVAL " ~ shift ~ " MINUTE" if shift }} AS hour_start, count(*) AS events
FROM events.{{ table }}
WHERE time >= $window_start AND time < $window_end
GROUP BY {{ hour }}
