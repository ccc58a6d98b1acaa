{#
  facts/post_day: one row per post and slice of the users who viewed or liked it on the day. Users are numbered by their
  slice first: grouping the events by two numbers is cheaper than by a number and three texts.
#}
WITH person AS (
  SELECT user_id{% for name in sliced_by %}, coalesce({{ name }}, 'unknown') AS {{ name }}{% endfor %}

  FROM results.user_day
  WHERE event_date = $event_date AND feed_actions > 0
),
audience AS (
  SELECT {{ sliced_by | join(', ') }}, row_number() OVER (ORDER BY {{ sliced_by | join(', ') }}) AS place
  FROM (SELECT DISTINCT {{ sliced_by | join(', ') }} FROM person) AS combination
),
placed AS (
  SELECT person.user_id AS user_id, CAST(audience.place AS INTEGER) AS place
  FROM person
  JOIN audience ON {% for name in sliced_by %}audience.{{ name }} = person.{{ name }}{{ ' AND ' if not loop.last }}{% endfor %}

),
counted AS (
  SELECT event.post_id AS post_id, placed.place AS place,
    CAST(sum(event.viewed) AS INTEGER) AS views, CAST(sum(event.liked) AS INTEGER) AS likes
  FROM (
    SELECT user_id, post_id,
      CASE WHEN {{ views }} THEN 1 ELSE 0 END AS viewed, CASE WHEN {{ likes }} THEN 1 ELSE 0 END AS liked
    FROM events.feed_actions
    WHERE time >= $day_start AND time < $day_end
  ) AS event
  JOIN placed ON placed.user_id = event.user_id
  WHERE event.viewed + event.liked > 0
  GROUP BY event.post_id, placed.place
)
SELECT CAST($event_date AS DATE) AS event_date, counted.post_id AS post_id
{% for name in sliced_by %}
  , audience.{{ name }} AS {{ name }}
{% endfor %}
  , counted.views AS views, counted.likes AS likes, counted.views + counted.likes AS actions
FROM counted
JOIN audience ON audience.place = counted.place
