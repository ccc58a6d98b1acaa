{# Distinct posts with a view or like from countries that have no line of their own, by day. #}
SELECT event_date, count(DISTINCT post_id) AS active_posts
FROM results.post_day
WHERE event_date >= $first_day AND event_date <= $last_day
  {% if countries %}
  AND country NOT IN ({% for k in range(countries) %}$country_{{ k }}{{ ', ' if not loop.last }}{% endfor %})
  {% endif %}
GROUP BY event_date
