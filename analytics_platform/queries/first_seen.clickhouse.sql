{#
  facts/first_seen for ClickHouse. History is read past the few ids that are asked about instead of being put into a hash
  table, and with `left`, as nearly always none is gone, the later days are then not read at all.
#}
{% macro active(kind) %}
SELECT user_id FROM results.user_day WHERE event_date = $event_date AND ({{ kinds[kind] }})
{%- endmacro %}
{% macro posts() %}
SELECT post_id FROM results.post_day WHERE event_date = $event_date
{%- endmacro %}
{% macro seen(kind, when) %}
FROM results.first_seen WHERE kind = '{{ kind }}' AND event_date {{ when }} $event_date
{%- endmacro %}
{% macro gone(kind) %}
SELECT id {{ seen(kind, '=') }} AND id NOT IN ({{ posts() if kind == 'post' else active(kind) }})
{%- endmacro %}
{% if left %}
{% for kind, active_then in kinds.items() %}
SELECT later.event_date AS event_date, '{{ kind }}' AS kind, later.id AS id
{% for name in sliced_by %}
  , later.{{ name }} AS {{ name }}
{% endfor %}
FROM (
  SELECT user_id AS id, min(user_day.event_date) AS event_date
  {% for name in sliced_by %}
    , ifNull(argMin(user_day.{{ name }}, user_day.event_date), 'unknown') AS {{ name }}
  {% endfor %}
  FROM results.user_day AS user_day
  WHERE user_day.event_date > $event_date AND ({{ active_then }}) AND user_id IN ({{ gone(kind) }})
  GROUP BY user_id
) AS later
WHERE (later.id, later.event_date) NOT IN (SELECT id, event_date {{ seen(kind, '>') }} AND id IN ({{ gone(kind) }}))
UNION ALL
{% endfor %}
SELECT later.event_date, 'post', later.id{{ ", 'unknown'" * (sliced_by | length) }}
FROM (
  SELECT post_id AS id, min(post_day.event_date) AS event_date
  FROM results.post_day AS post_day
  WHERE post_day.event_date > $event_date AND post_id IN ({{ gone('post') }})
  GROUP BY post_id
) AS later
WHERE (later.id, later.event_date) NOT IN (SELECT id, event_date {{ seen('post', '>') }} AND id IN ({{ gone('post') }}))
{% else %}
{% for kind, active_then in kinds.items() %}
SELECT CAST($event_date AS Date) AS event_date, '{{ kind }}' AS kind, user_id AS id
{% for name in sliced_by %}
  , ifNull({{ name }}, 'unknown') AS {{ name }}
{% endfor %}
FROM results.user_day
WHERE event_date = $event_date AND ({{ active_then }})
  AND user_id NOT IN (SELECT id {{ seen(kind, '<') }} AND id IN ({{ active(kind) }}))
UNION ALL
{% endfor %}
SELECT DISTINCT CAST($event_date AS Date), 'post', post_id{{ ", 'unknown'" * (sliced_by | length) }}
FROM results.post_day
WHERE event_date = $event_date AND post_id NOT IN (SELECT id {{ seen('post', '<') }} AND id IN ({{ posts() }}))
{% endif %}
