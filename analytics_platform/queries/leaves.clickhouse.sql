{#
  Users and counts of some half-open windows by the full combination of attributes, for ClickHouse, which evaluates a CTE
  anew at each use: users and attributes are grouped together, and of a user's few rows the greatest of (time,
  attributes) is the last event's, of several at that instant the one with the greatest values. Comparing such tuples
  for every event would take twice as long. A number that is NULL is less than every other.
#}
{% macro told(a) %}{{ a if a in text_attributes else 'ifNull(toInt32(' ~ a ~ '), -32769)' }}{% endmacro %}
SELECT toInt64(window_number) AS window_number
{% for d in dimensions %}
  , by_{{ d.name }} AS {{ d.name }}
{% endfor %}
  , toInt64(sum(users)) AS users
{% for c in counts %}
  , toInt64(sum(part.{{ c.name }})) AS {{ c.name }}
{% endfor %}
FROM (
  SELECT window_number
  {% for d in dimensions %}
    , toString(ifNull(nullIf({{ labelled(d) }}, ''), 'unknown')) AS by_{{ d.name }}
  {% endfor %}
    , users{% for c in counts %}, {{ c.name }}{% endfor %}

  FROM (
    SELECT window_number
    {% for a in attributes %}
      , {{ '_last.%d' % (loop.index + 1) if a in text_attributes else 'nullIf(_last.%d, -32769)' % (loop.index + 1) }} AS {{ a }}
    {% endfor %}
      , count() AS users
    {% for c in counts %}
      , sum(_sum_{{ loop.index }}) AS {{ c.name }}
    {% endfor %}
    FROM (
      SELECT window_number, user_id
        , max(tuple(_last_time, {% for a in attributes %}{{ told(a) }}{{ ', ' if not loop.last }}{% endfor %})) AS _last
      {% for c in counts %}
        , sum(_part_{{ loop.index }}) AS _sum_{{ loop.index }}
      {% endfor %}
      FROM (
        SELECT window_number, user_id, {{ attributes | join(', ') }}, max(time) AS _last_time
        {% for c in counts %}
          , sum(_is_{{ loop.index }}) AS _part_{{ loop.index }}
        {% endfor %}
        FROM (
        {% for k in range(windows) %}
          SELECT {{ k }} AS window_number, user_id, time, {{ attributes | join(', ') }}
          {% for c in counts %}
            , {{ '1' if c.where == 'true' else 'if(' ~ c.where ~ ', 1, 0)' }} AS _is_{{ loop.index }}
          {% endfor %}
          FROM events.{{ table }}
          WHERE time >= $start_{{ k }} AND time < $end_{{ k }}
          {{ 'UNION ALL' if not loop.last }}
        {% endfor %}
        ) AS event
        GROUP BY window_number, user_id, {{ attributes | join(', ') }}
      ) AS own
      GROUP BY window_number, user_id
    ) AS person
    GROUP BY window_number, {{ attributes | join(', ') }}
  ) AS combination
) AS part
GROUP BY window_number{% for d in dimensions %}, by_{{ d.name }}{% endfor %}

