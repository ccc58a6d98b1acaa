{# What facts/user_day says of one day: every count metric summed over its users. #}
SELECT
{% for m in counts %}
  CAST(coalesce(sum({{ m.name }}), 0) AS BIGINT) AS {{ m.name }}{{ ',' if not loop.last }}
{% endfor %}
FROM results.user_day
WHERE event_date = $event_date
