{#
  facts/user_day: one row per user with an event on the day. See metrics/facts.py for the meaning of each column.

  Two arms of events are united before grouping, so each event is hashed once. Grouping by user AND attributes is
  2.3 times cheaper than grouping by user and picking attributes by time; the few users whose attributes change within
  the day are then put right in `changed`.

  Counts are added up in pairs, one in the upper and one in the lower 32 bits of a sum: every column that a million
  events are added up in costs about as much as one more to group by. No count of a user and day reaches 2^31, which is
  what its column in facts/user_day holds.
#}
{% set two = own_counts | batch(2) | list %}
{% macro one(m, source) %}{{ 'CASE WHEN ' ~ m.where ~ ' THEN 1 ELSE 0 END' if m.source == source else '0' }}{% endmacro %}
{% macro events(source) %}
    SELECT user_id, time, {{ attributes | join(', ') }}
    {% for pair in two %}
      , {{ one(pair[0], source) }}{% if pair | length > 1 %} + 4294967296 * {{ one(pair[1], source) }}{% endif %} AS two_{{ loop.index }}
    {% endfor %}
{% endmacro %}
WITH own AS (
  SELECT user_id, {{ attributes | join(', ') }}, max(time) AS attributes_time
  {% for pair in two %}
    , CAST(sum(two_{{ loop.index }}) AS BIGINT) AS two_{{ loop.index }}
  {% endfor %}
  FROM (
{{ events('feed') }}
    FROM events.feed_actions
    WHERE time >= $day_start AND time < $day_end
    UNION ALL
{{ events('sent') }}
    FROM events.message_actions
    WHERE time >= $day_start AND time < $day_end
  ) AS event
  GROUP BY user_id, {{ attributes | join(', ') }}
),
changed AS (
  SELECT user_id FROM own GROUP BY user_id HAVING count(*) > 1
),
last_known AS (
  SELECT own.*, row_number() OVER (
    PARTITION BY user_id
    ORDER BY attributes_time DESC{% for a in attributes %}, {{ a }} DESC NULLS LAST{% endfor %}

  ) AS place
  FROM own
  WHERE user_id IN (SELECT user_id FROM changed)
),
active AS (
  SELECT user_id, {{ attributes | join(', ') }}, attributes_time{% for pair in two %}, two_{{ loop.index }}{% endfor %}

  FROM own
  WHERE user_id NOT IN (SELECT user_id FROM changed)
  UNION ALL
  SELECT user_id{% for a in attributes %}, max(CASE WHEN place = 1 THEN {{ a }} END) AS {{ a }}{% endfor %},
    max(attributes_time) AS attributes_time
  {% for pair in two %}
    , CAST(sum(two_{{ loop.index }}) AS BIGINT) AS two_{{ loop.index }}
  {% endfor %}
  FROM last_known
  GROUP BY user_id
),
pair AS (
  SELECT user_id AS sender_id, receiver_id
  {% for m in pair_metrics %}
    , count(*) FILTER (WHERE {{ m.where }}) AS {{ m.name }}
  {% endfor %}
  FROM events.message_actions
  WHERE time >= $day_start AND time < $day_end
  GROUP BY user_id, receiver_id
),
contact AS (
  SELECT contact_id
  {% for m in pair_metrics %}
    , sum({{ m.name }}) AS {{ m.name }}
  {% endfor %}
  FROM (
    SELECT sender_id AS contact_id
    {% for m in pair_metrics %}
      , {{ 'CASE WHEN ' ~ m.name ~ ' > 0 THEN 1 ELSE 0 END' if m.source == 'sent' else '0' }} AS {{ m.name }}
    {% endfor %}
    FROM pair
    UNION ALL
    SELECT receiver_id
    {% for m in pair_metrics %}
      {% if m.source == 'sent' %}
      , 0
      {% elif m in pair_distinct %}
      , CASE WHEN {{ m.name }} > 0 THEN 1 ELSE 0 END
      {% else %}
      , {{ m.name }}
      {% endif %}
    {% endfor %}
    FROM pair
  ) AS side
  GROUP BY contact_id
),
{% for m in feed_distinct %}
{{ m.name }}_per_user AS (
  SELECT user_id, count(DISTINCT {{ m.column }}) AS {{ m.name }}
  FROM events.feed_actions
  WHERE time >= $day_start AND time < $day_end AND ({{ m.where }})
  GROUP BY user_id
),
{% endfor %}
receive_only AS (
  SELECT * FROM contact WHERE contact_id NOT IN (SELECT user_id FROM own)
),
{# What is known of those users from a part of the lookback: its first and last day and its gaps, by number. #}
{% macro known(first, before, holes, who) %}
  SELECT user_id, attributes_time AS seen, {{ attributes | join(', ') }}
  FROM results.user_day
  WHERE event_date >= {{ first }} AND event_date < {{ before }} AND attributes_time IS NOT NULL
  {% for gap in holes %}
    AND NOT (event_date >= $gap_{{ gap }}_first AND event_date <= $gap_{{ gap }}_last)
  {% endfor %}
    AND user_id IN ({{ who }})
  {% for gap in holes %}
    {% for table in ('feed_actions', 'message_actions') %}
  UNION ALL
  SELECT user_id, time, {{ attributes | join(', ') }}
  FROM events.{{ table }}
  WHERE time >= $gap_{{ gap }}_start AND time < $gap_{{ gap }}_end AND user_id IN ({{ who }})
    {% endfor %}
  {% endfor %}
{% endmacro %}
{# Most are found in the last days. The rest of the lookback is read for the few who are not, and hardly decoded. #}
recent AS (
{{ known('$recent_first', '$event_date', range(recent_gaps), 'SELECT contact_id FROM receive_only') -}}
),
not_recent AS (
  SELECT contact_id FROM receive_only WHERE contact_id NOT IN (SELECT user_id FROM recent)
),
earlier AS (
  SELECT * FROM recent
  UNION ALL
{{ known('$lookback_first', '$recent_first', range(recent_gaps, gaps), 'SELECT contact_id FROM not_recent') -}}
),
newest AS (
  SELECT user_id, max(seen) AS seen FROM earlier GROUP BY user_id
),
{# Only rows of the latest moment are numbered: ranking all of the lookback costs a third more. Two rows of one moment
   come from events alone: facts/user_day has one row of a user and day. #}
latest AS (
  SELECT earlier.*, {% if gaps %}row_number() OVER (
    PARTITION BY earlier.user_id
    ORDER BY {% for a in attributes %}earlier.{{ a }} DESC NULLS LAST{{ ', ' if not loop.last }}{% endfor %}

  ){% else %}1{% endif %} AS place
  FROM earlier
  JOIN newest ON newest.user_id = earlier.user_id AND newest.seen = earlier.seen
)
SELECT CAST($event_date AS DATE) AS event_date, active.user_id AS user_id
{% for m in user_day_metrics %}
  {% if m in own_counts %}
    {% set place = own_counts.index(m) %}
    {% set both = 'active.two_' ~ (place // 2 + 1) %}
    {% if place % 2 %}
  , CAST(({{ both }} - {{ both }} % 4294967296) / 4294967296 AS BIGINT) AS {{ m.name }}
    {% else %}
  , {{ both }} % 4294967296 AS {{ m.name }}
    {% endif %}
  {% elif m in feed_distinct %}
  , coalesce({{ m.name }}_per_user.{{ m.name }}, 0) AS {{ m.name }}
  {% else %}
  , coalesce(contact.{{ m.name }}, 0) AS {{ m.name }}
  {% endif %}
{% endfor %}
{% for a in attributes %}
  , active.{{ a }} AS {{ a }}
{% endfor %}
  , active.attributes_time AS attributes_time
FROM active
LEFT JOIN contact ON contact.contact_id = active.user_id
{% for m in feed_distinct %}
LEFT JOIN {{ m.name }}_per_user ON {{ m.name }}_per_user.user_id = active.user_id
{% endfor %}
UNION ALL
SELECT CAST($event_date AS DATE), receive_only.contact_id
{% for m in user_day_metrics %}
  {% if m in own_counts or m in feed_distinct %}
  , 0
  {% else %}
  , receive_only.{{ m.name }}
  {% endif %}
{% endfor %}
{% for a in attributes %}
  , {{ "coalesce(known." ~ a ~ ", 'unknown')" if a in text_attributes else "known." ~ a }}
{% endfor %}
  , NULL
FROM receive_only
LEFT JOIN (SELECT * FROM latest WHERE place = 1) AS known ON known.user_id = receive_only.contact_id
