{#
  frames/app_daily of one day: users are first summed by their combination of attributes (some hundred rows), so each
  slice and service costs next to nothing. A slice without active users of a service has no row; the totals always have.
#}
WITH combination AS (
  SELECT
  {% for name in sliced_by %}
    coalesce({{ name }}, 'unknown') AS by_{{ name }},
  {% endfor %}
  {% for service, active in services.items() %}
    count(*) FILTER (WHERE {{ active }}) AS {{ service }}_users,
  {% endfor %}
    sum(views) AS views, sum(likes) AS likes, sum(messages_sent) AS messages
  FROM results.user_day
  WHERE event_date = $event_date
  GROUP BY {% for name in sliced_by %}coalesce({{ name }}, 'unknown'){{ ', ' if not loop.last }}{% endfor %}

),
slice AS (
  SELECT
    CASE{% for name in sliced_by %} WHEN grouping(by_{{ name }}) = 0 THEN '{{ name }}'{% endfor %} END AS dimension,
    CASE{% for name in sliced_by %} WHEN grouping(by_{{ name }}) = 0 THEN by_{{ name }}{% endfor %} END AS dimension_value,
  {% for service in services %}
    sum({{ service }}_users) AS {{ service }}_users,
  {% endfor %}
    sum(views) AS views, sum(likes) AS likes, sum(messages) AS messages
  FROM combination
  GROUP BY GROUPING SETS ({% for name in sliced_by %}(by_{{ name }}){{ ', ' if not loop.last }}{% endfor %})
  UNION ALL
  SELECT 'total', 'total',
  {% for service in services %}
    coalesce(sum({{ service }}_users), 0),
  {% endfor %}
    coalesce(sum(views), 0), coalesce(sum(likes), 0), coalesce(sum(messages), 0)
  FROM combination
),
posts AS (
{% for name in sliced_by %}
  SELECT '{{ name }}' AS dimension, {{ name }} AS dimension_value, count(DISTINCT post_id) AS active_posts
  FROM results.post_day
  WHERE event_date = $event_date
  GROUP BY {{ name }}
  UNION ALL
{% endfor %}
  SELECT 'total', 'total', count(DISTINCT post_id)
  FROM results.post_day
  WHERE event_date = $event_date
)
{% for service in services %}
SELECT CAST($event_date AS DATE) AS event_date, '{{ service }}' AS service, slice.dimension AS dimension,
  slice.dimension_value AS dimension_value, CAST(slice.{{ service }}_users AS BIGINT) AS dau,
  {% if service == 'message' %}
  CAST(slice.messages AS BIGINT) AS actions, CAST(0 AS BIGINT) AS views, CAST(0 AS BIGINT) AS likes,
  CAST(0 AS BIGINT) AS active_posts
FROM slice
  {% else %}
  CAST(slice.views + slice.likes{{ ' + slice.messages' if service == 'app' }} AS BIGINT) AS actions,
  CAST(slice.views AS BIGINT) AS views, CAST(slice.likes AS BIGINT) AS likes,
  CAST(coalesce(posts.active_posts, 0) AS BIGINT) AS active_posts
FROM slice
LEFT JOIN posts ON posts.dimension = slice.dimension AND posts.dimension_value = slice.dimension_value
  {% endif %}
WHERE slice.{{ service }}_users > 0 OR slice.dimension = 'total'
  {% if not loop.last %}
UNION ALL
  {% endif %}
{% endfor %}
