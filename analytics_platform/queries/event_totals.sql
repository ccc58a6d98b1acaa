{# What the events themselves say of one day, independently of facts/user_day: the other side of the asset checks. #}
SELECT {{ counts | map(attribute='name') | join(', ') }}
FROM (
  SELECT count(*) AS feed_rows
  {% for m in counts if m.source == 'feed' %}
    , count(*) FILTER (WHERE {{ m.where }}) AS {{ m.name }}
  {% endfor %}
  FROM events.feed_actions
  WHERE time >= $day_start AND time < $day_end
) AS feed
CROSS JOIN (
  SELECT count(*) AS message_rows
  {% for m in counts if m.source != 'feed' %}
    , count(*) FILTER (WHERE {{ m.where }}) AS {{ m.name }}
  {% endfor %}
  FROM events.message_actions
  WHERE time >= $day_start AND time < $day_end
) AS message
