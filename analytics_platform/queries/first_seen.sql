{#
  facts/first_seen, see metrics/app_queries.py. Without `left`: the ids of the day that have no row in an earlier
  partition. With `left`: for ids that have a row on the day and are not active on it any more, a row on the next day
  that has them, unless it is there already.
#}
WITH present AS (
{% for kind, active in kinds.items() %}
  SELECT '{{ kind }}' AS kind, user_id AS id{% for name in sliced_by %}, coalesce({{ name }}, 'unknown') AS {{ name }}{% endfor %}

  FROM results.user_day
  WHERE event_date = $event_date AND ({{ active }})
  UNION ALL
{% endfor %}
  SELECT DISTINCT 'post', post_id{% for name in sliced_by %}, 'unknown'{% endfor %}

  FROM results.post_day
  WHERE event_date = $event_date
),
{% if left %}
gone AS (
  SELECT seen.kind AS kind, seen.id AS id
  FROM (SELECT DISTINCT kind, id FROM results.first_seen WHERE event_date = $event_date) AS seen
  LEFT JOIN present ON present.kind = seen.kind AND present.id = seen.id
  WHERE present.id IS NULL
),
later AS (
{% for kind, active in kinds.items() %}
  SELECT '{{ kind }}' AS kind, user_id AS id, min(event_date) AS next_day
  FROM results.user_day
  WHERE event_date > $event_date AND ({{ active }}) AND user_id IN (SELECT id FROM gone WHERE kind = '{{ kind }}')
  GROUP BY user_id
  UNION ALL
{% endfor %}
  SELECT 'post', post_id, min(event_date)
  FROM results.post_day
  WHERE event_date > $event_date AND post_id IN (SELECT id FROM gone WHERE kind = 'post')
  GROUP BY post_id
)
SELECT later.next_day AS event_date, later.kind AS kind, later.id AS id
{% for name in sliced_by %}
  , coalesce(person.{{ name }}, 'unknown') AS {{ name }}
{% endfor %}
FROM later
LEFT JOIN results.first_seen AS seen
  ON seen.kind = later.kind AND seen.id = later.id AND seen.event_date = later.next_day
LEFT JOIN (
  {# Posts have no attributes, and a user may have a post's number. #}
  SELECT user_id, event_date{% for name in sliced_by %}, {{ name }}{% endfor %}

  FROM results.user_day
  WHERE event_date > $event_date AND user_id IN (SELECT id FROM gone WHERE kind <> 'post')
) AS person ON person.user_id = later.id AND person.event_date = later.next_day AND later.kind <> 'post'
WHERE seen.id IS NULL
{% else %}
earlier AS (
  SELECT kind, id FROM results.first_seen WHERE event_date < $event_date
)
SELECT CAST($event_date AS DATE) AS event_date, present.kind AS kind, present.id AS id
{% for name in sliced_by %}
  , present.{{ name }} AS {{ name }}
{% endfor %}
FROM present
LEFT JOIN earlier ON earlier.kind = present.kind AND earlier.id = present.id
WHERE earlier.id IS NULL
{% endif %}
