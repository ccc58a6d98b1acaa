{#
  Every figure of the app, for ClickHouse: newcomers are found once and put into all their slices, and of the history
  before $first_day only ids are read. See the standard text for the meaning.

  A user is new on the earliest day, with the greatest texts of the rows of that day. Day and text are one number, in
  which the earliest day is the greatest and a text is its place among all in order: so nobody is grouped by texts.
#}
{% macro of_kinds(kinds) %}kind IN ({% for kind in kinds %}'{{ kind }}'{{ ', ' if not loop.last }}{% endfor %}){% endmacro %}
WITH
  (
    SELECT tuple({% for name in sliced_by %}arraySort(groupUniqArray(toString({{ name }}))){{ ', ' if not loop.last }}{% endfor %})
    FROM results.first_seen
    WHERE event_date >= $first_day AND event_date <= $last_day AND kind <> 'post'
  ) AS _words,
arrived AS (
  SELECT part.event_date AS event_date, part.service AS service, _slice.1 AS dimension, _slice.2 AS dimension_value,
    sum(part.users) AS new_users
  FROM (
  {% for service, kinds in services.items() %}
    SELECT '{{ service }}' AS service, toDate(65535 - bitShiftRight(_first_{{ sliced_by[0] }}, 32)) AS event_date
    {% for name in sliced_by %}
      , bitAnd(_first_{{ name }}, 4294967295) AS _{{ name }}
    {% endfor %}
      , count() AS users
    FROM (
      SELECT id
      {% for name in sliced_by %}
        , max(bitShiftLeft(toUInt64(65535 - toUInt16(event_date)), 32)
          + toUInt64(transform({{ name }}, _words.{{ loop.index }}, arrayEnumerate(_words.{{ loop.index }}), 0))) AS _first_{{ name }}
      {% endfor %}
      FROM results.first_seen
      WHERE event_date >= $first_day AND event_date <= $last_day AND {{ of_kinds(kinds) }}
        AND id NOT IN (SELECT id FROM results.first_seen WHERE event_date < $first_day AND {{ of_kinds(kinds) }})
      GROUP BY id
    ) AS newcomer
    GROUP BY event_date{% for name in sliced_by %}, _{{ name }}{% endfor %}

    {{ 'UNION ALL' if not loop.last }}
  {% endfor %}
  ) AS part
  ARRAY JOIN [{% for name in sliced_by %}('{{ name }}', _words.{{ loop.index }}[part._{{ name }}]), {% endfor %}('total', 'total')] AS _slice
  GROUP BY event_date, service, dimension, dimension_value
),
post AS (
  SELECT first_post.event_date AS event_date, count() AS new_posts
  FROM (
    SELECT id, min(seen.event_date) AS event_date
    FROM results.first_seen AS seen
    WHERE kind = 'post' AND seen.event_date >= $first_day AND seen.event_date <= $last_day
      AND id NOT IN (SELECT id FROM results.first_seen WHERE kind = 'post' AND event_date < $first_day)
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
