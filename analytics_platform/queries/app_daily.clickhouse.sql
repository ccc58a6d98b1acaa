{#
  frames/app_daily for ClickHouse: users and posts of the day are read once each, and every slice and service comes from
  their combinations of attributes.
#}
{% macro slices() %}
[{% for name in sliced_by %}('{{ name }}', toString(ifNull({{ name }}, 'unknown'))), {% endfor %}('total', 'total')] AS _slices
{%- endmacro %}
SELECT CAST($event_date AS Date) AS event_date, figures.service AS service, figures.dimension AS dimension,
  figures.dimension_value AS dimension_value, toInt64(figures.dau) AS dau, toInt64(figures.actions) AS actions,
  toInt64(figures.views) AS views, toInt64(figures.likes) AS likes, toInt64(figures.posts) AS active_posts
FROM (
  SELECT slice.dimension AS dimension, slice.dimension_value AS dimension_value,
    _of.1 AS service, _of.2 AS dau, _of.3 AS actions, _of.4 AS views, _of.5 AS likes, _of.6 AS posts
  FROM (
    SELECT _slice.1 AS dimension, _slice.2 AS dimension_value
    {% for service in services %}
      , sum(part.{{ service }}_users) AS {{ service }}_users
    {% endfor %}
      , sum(part.views) AS views, sum(part.likes) AS likes, sum(part.messages) AS messages, sum(part.posts) AS posts
    FROM (
      SELECT {{ slices() }}
      {% for service, active in services.items() %}
        , countIf({{ active }}) AS {{ service }}_users
      {% endfor %}
        , sum(user_day.views) AS views, sum(user_day.likes) AS likes, sum(user_day.messages_sent) AS messages, 0 AS posts
      FROM results.user_day AS user_day
      WHERE event_date = $event_date
      GROUP BY {{ sliced_by | join(', ') }}
      UNION ALL
      {# A post counts once in each slice, however many of the others saw it. #}
      SELECT [(_slice.1, _slice.2)]{{ ', 0' * (services | length + 3) }}, uniqExact(post_id)
      FROM (
        SELECT post_id, {{ slices() }}
        FROM results.post_day
        WHERE event_date = $event_date
      ) AS post
      ARRAY JOIN _slices AS _slice
      GROUP BY _slice
      UNION ALL
      {# A day without events has its totals. #}
      SELECT [('total', 'total')]{{ ', 0' * (services | length + 4) }}
    ) AS part
    ARRAY JOIN _slices AS _slice
    GROUP BY dimension, dimension_value
  ) AS slice
  ARRAY JOIN [
  {% for service in services %}
    ('{{ service }}', {{ service }}_users,
    {% if service == 'message' %}
      messages, toInt64(0), toInt64(0), toUInt64(0)
    {% else %}
      views + likes{{ ' + messages' if service == 'app' }}, views, likes, posts
    {% endif %}
    ){{ ',' if not loop.last }}
  {% endfor %}
  ] AS _of
) AS figures
WHERE figures.dau > 0 OR figures.dimension = 'total'
SETTINGS aggregate_functions_null_for_empty = 0
