{#
  Every figure of the app by service and slice on the computed days from $first_day to $last_day: frames/app_daily with
  the newcomers of facts/first_seen, who are counted when read because computing an earlier day later may move them.
  NULL: not applicable, or first days of that day are not computed.
#}
WITH first_day AS (
{% for service, kinds in services.items() %}
  SELECT '{{ service }}' AS service, id, min(event_date) AS event_date
  FROM results.first_seen
  WHERE event_date <= $last_day AND kind IN ({% for kind in kinds %}'{{ kind }}'{{ ', ' if not loop.last }}{% endfor %})
  GROUP BY id
  HAVING min(event_date) >= $first_day
  {% if not loop.last %}
  UNION ALL
  {% endif %}
{% endfor %}
),
newcomer AS (
  SELECT first_day.service AS service, first_day.event_date AS event_date, first_day.id AS id
  {% for name in sliced_by %}
    , max(seen.{{ name }}) AS {{ name }}
  {% endfor %}
  FROM first_day
  JOIN results.first_seen AS seen ON seen.id = first_day.id AND seen.event_date = first_day.event_date
  WHERE seen.event_date >= $first_day AND seen.event_date <= $last_day
    AND (
    {% for service, kinds in services.items() %}
      {{ 'OR ' if not loop.first }}(first_day.service = '{{ service }}' AND seen.kind IN ({% for kind in kinds %}'{{ kind }}'{{ ', ' if not loop.last }}{% endfor %}))
    {% endfor %}
    )
  GROUP BY first_day.service, first_day.event_date, first_day.id
),
arrived AS (
{% for name in sliced_by %}
  SELECT event_date, service, '{{ name }}' AS dimension, {{ name }} AS dimension_value, count(*) AS new_users
  FROM newcomer
  GROUP BY event_date, service, {{ name }}
  UNION ALL
{% endfor %}
  SELECT event_date, service, 'total', 'total', count(*)
  FROM newcomer
  GROUP BY event_date, service
),
post AS (
  SELECT event_date, count(*) AS new_posts
  FROM (
    SELECT id, min(event_date) AS event_date
    FROM results.first_seen
    WHERE kind = 'post' AND event_date <= $last_day
    GROUP BY id
  ) AS first_post
  GROUP BY event_date
),
known AS (
  SELECT event_date
  FROM results.computed_days
  WHERE table_name = 'first_seen' AND event_date >= $first_day AND event_date <= $last_day
)
SELECT figures.event_date AS event_date, figures.service AS service, figures.dimension AS dimension,
  figures.dimension_value AS dimension_value, figures.dau AS dau, figures.actions AS actions,
  CASE WHEN figures.service = 'feed' THEN figures.views END AS views,
  CASE WHEN figures.service = 'feed' THEN figures.likes END AS likes,
  CASE WHEN figures.service = 'feed' THEN figures.active_posts END AS active_posts,
  CASE WHEN known.event_date IS NOT NULL THEN CAST(coalesce(arrived.new_users, 0) AS BIGINT) END AS new_users,
  CASE WHEN known.event_date IS NOT NULL AND figures.service = 'feed' AND figures.dimension = 'total'
    THEN CAST(coalesce(post.new_posts, 0) AS BIGINT) END AS new_posts
FROM results.app_daily AS figures
LEFT JOIN arrived
  ON arrived.event_date = figures.event_date AND arrived.service = figures.service
  AND arrived.dimension = figures.dimension AND arrived.dimension_value = figures.dimension_value
LEFT JOIN post ON post.event_date = figures.event_date
LEFT JOIN known ON known.event_date = figures.event_date
WHERE figures.event_date >= $first_day AND figures.event_date <= $last_day
ORDER BY
  CASE figures.dimension WHEN 'total' THEN 0{% for name in sliced_by %} WHEN '{{ name }}' THEN {{ loop.index }}{% endfor %} END,
  CASE figures.service{% for service in services %} WHEN '{{ service }}' THEN {{ loop.index }}{% endfor %} END,
  figures.dimension_value, figures.event_date
