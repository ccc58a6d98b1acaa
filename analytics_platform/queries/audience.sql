{#
  The audience of every day of $first_day..$last_day, whatever the ids, in one pass over users by day. An active day
  keeps a user in the week for 7 days and in the month for 30, or until the next active day, whichever comes first; so
  all that is needed of a row are its day and the next one, and of those pairs there are few.
  wau_before: the week ending 7 days earlier; retained: users of both weeks; arrived: first day in the week;
  cohort_<age>, active_<age>: users whose first day was that many days before, and those of them active on the day.
#}
WITH visit AS (
  SELECT event_date, next_day, count(*) AS users
  FROM (
    SELECT event_date,
      least(coalesce(lead(event_date) OVER (PARTITION BY user_id ORDER BY event_date), event_date + 30), event_date + 30)
        AS next_day
    FROM results.user_day
    WHERE event_date >= $read_from AND event_date <= $last_day AND {{ active }}
  ) AS stay
  GROUP BY event_date, next_day
),
newcomer AS (
  SELECT id, min(event_date) AS first_day
  FROM results.first_seen
  WHERE event_date <= $last_day AND {{ arrives }}
  GROUP BY id
  HAVING min(event_date) >= $cohorts_from
),
cohort AS (
  SELECT first_day, count(*) AS users FROM newcomer GROUP BY first_day
),
kept AS (
  SELECT today.event_date AS event_date, today.event_date - newcomer.first_day AS age, count(*) AS users
  FROM results.user_day AS today
  JOIN newcomer ON newcomer.id = today.user_id
  WHERE today.event_date >= $first_day AND today.event_date <= $last_day AND {{ active }}
    AND today.event_date - newcomer.first_day IN ({{ ages | join(', ') }})
  GROUP BY 1, 2
),
day AS (
  SELECT CAST(unnest(generate_series($first_day, $last_day, INTERVAL 1 DAY)) AS DATE) AS event_date
),
reach AS (
  SELECT day.event_date AS event_date,
    sum(visit.users) FILTER (WHERE visit.event_date = day.event_date) AS dau,
    sum(visit.users) FILTER (WHERE visit.event_date > day.event_date - 7 AND next_day > day.event_date) AS wau,
    sum(visit.users) FILTER (WHERE next_day > day.event_date) AS mau,
    sum(visit.users) FILTER (
      WHERE visit.event_date > day.event_date - 14 AND visit.event_date <= day.event_date - 7
        AND next_day > day.event_date - 7
    ) AS wau_before,
    sum(visit.users) FILTER (
      WHERE visit.event_date > day.event_date - 14 AND visit.event_date <= day.event_date - 7
        AND next_day > day.event_date
    ) AS churned
  FROM day
  LEFT JOIN visit ON visit.event_date <= day.event_date AND visit.event_date > day.event_date - 30
  GROUP BY day.event_date
),
arrival AS (
  SELECT day.event_date AS event_date,
    sum(cohort.users) FILTER (WHERE cohort.first_day > day.event_date - 7) AS arrived
    {% for age in ages %}
    , sum(cohort.users) FILTER (WHERE cohort.first_day = day.event_date - {{ age }}) AS cohort_{{ age }}
    {% endfor %}
  FROM day
  LEFT JOIN cohort ON cohort.first_day <= day.event_date
  GROUP BY day.event_date
),
retention AS (
  SELECT event_date
    {% for age in ages %}
    , sum(users) FILTER (WHERE age = {{ age }}) AS active_{{ age }}
    {% endfor %}
  FROM kept
  GROUP BY event_date
)
SELECT reach.event_date AS event_date
  {% for name in ["dau", "wau", "mau", "wau_before"] %}
  , CAST(coalesce({{ name }}, 0) AS BIGINT) AS {{ name }}
  {% endfor %}
  , CAST(coalesce(wau_before, 0) - coalesce(churned, 0) AS BIGINT) AS retained
  , CAST(coalesce(arrived, 0) AS BIGINT) AS arrived
  {% for age in ages %}
  , CAST(coalesce(cohort_{{ age }}, 0) AS BIGINT) AS cohort_{{ age }}
  , CAST(coalesce(active_{{ age }}, 0) AS BIGINT) AS active_{{ age }}
  {% endfor %}
FROM reach
JOIN arrival ON arrival.event_date = reach.event_date
LEFT JOIN retention ON retention.event_date = reach.event_date
ORDER BY reach.event_date
