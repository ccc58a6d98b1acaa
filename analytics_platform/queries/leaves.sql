{#
  Users and counts of some half-open windows by the full combination of attributes; see alerts/leaves.py. A window
  without events has no row.

  Each window is an arm of its own, so that storage is asked for that range of times alone. Users and attributes are
  grouped together, and the few users whose attributes change within a window are put right in `changed`, as in
  user_day.sql.
#}
WITH own AS (
  SELECT window_number, user_id, {{ attributes | join(', ') }}, max(time) AS last_time
  {% for c in counts %}
    , CAST(sum({{ c.name }}) AS BIGINT) AS {{ c.name }}
  {% endfor %}
  FROM (
  {% for k in range(windows) %}
    SELECT {{ k }} AS window_number, user_id, time, {{ attributes | join(', ') }}
    {% for c in counts %}
      , {{ '1' if c.where == 'true' else 'CASE WHEN ' ~ c.where ~ ' THEN 1 ELSE 0 END' }} AS {{ c.name }}
    {% endfor %}
    FROM events.{{ table }}
    WHERE time >= $start_{{ k }} AND time < $end_{{ k }}
    {{ 'UNION ALL' if not loop.last }}
  {% endfor %}
  ) AS event
  GROUP BY window_number, user_id, {{ attributes | join(', ') }}
),
changed AS (
  SELECT window_number, user_id FROM own GROUP BY window_number, user_id HAVING count(*) > 1
),
last_known AS (
  SELECT own.*, row_number() OVER (
    PARTITION BY window_number, user_id
    ORDER BY last_time DESC{% for a in attributes %}, {{ a }} DESC NULLS LAST{% endfor %}

  ) AS place
  FROM own
  WHERE (window_number, user_id) IN (SELECT window_number, user_id FROM changed)
),
{# With one person's rows of a window in one: attributes of the last, counts of all. #}
person AS (
  SELECT window_number, {{ attributes | join(', ') }}{% for c in counts %}, {{ c.name }}{% endfor %}

  FROM own
  WHERE (window_number, user_id) NOT IN (SELECT window_number, user_id FROM changed)
  UNION ALL
  SELECT window_number{% for a in attributes %}, max(CASE WHEN place = 1 THEN {{ a }} END) AS {{ a }}{% endfor %}
  {% for c in counts %}
    , CAST(sum({{ c.name }}) AS BIGINT) AS {{ c.name }}
  {% endfor %}
  FROM last_known
  GROUP BY window_number, user_id
),
combination AS (
  SELECT window_number, {{ attributes | join(', ') }}, count(*) AS users
  {% for c in counts %}
    , sum({{ c.name }}) AS {{ c.name }}
  {% endfor %}
  FROM person
  GROUP BY window_number, {{ attributes | join(', ') }}
),
valued AS (
  SELECT window_number
  {% for d in dimensions %}
    , coalesce(nullif({{ labelled(d) }}, ''), 'unknown') AS by_{{ d.name }}
  {% endfor %}
    , users{% for c in counts %}, {{ c.name }}{% endfor %}

  FROM combination
)
SELECT CAST(window_number AS BIGINT) AS window_number
{% for d in dimensions %}
  , by_{{ d.name }} AS {{ d.name }}
{% endfor %}
  , CAST(sum(users) AS BIGINT) AS users
{% for c in counts %}
  , CAST(sum({{ c.name }}) AS BIGINT) AS {{ c.name }}
{% endfor %}
FROM valued
GROUP BY window_number{% for d in dimensions %}, by_{{ d.name }}{% endfor %}

