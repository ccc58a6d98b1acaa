{#
  What rankings are made of; see rankings/counting.py for rows and columns.

  A moment's slice is its place among those of the length of the recent window, from the oldest, which is 0, to the
  recent window itself; a set of slices is the bits of a number. Who it was is the 128 bits of a digest and, in its last
  bits, whether a user's or a session's: an exact count of texts is one of 128 bits on ClickHouse as well.

  `event` is a view: each use reads the columns that it needs. Kept, ten million events are more than memory holds, and
  writing them aside costs more than reading them again.
#}
{% set recent = slices %}
{% set per_word = 62 // (slices + 1) %}
{% set earlier = 2 ** slices - 1 %}
{% macro label(column) %}coalesce(nullif(nullif({{ column }}, ''), 'unknown'), 'Unknown'){% endmacro %}
{# Distinct persons from their sets of slices, a set a person. #}
{% macro persons(bits) %}
    count(*) FILTER (WHERE {{ bits }} >= {{ 2 ** recent }}) AS users_recent,
    count(*) FILTER (WHERE {{ bits }} & {{ earlier }} <> 0) AS users_previous
    {% for k in range(slices) %}
    , count(*) FILTER (WHERE {{ bits }} & {{ 2 ** k }} <> 0) AS in_{{ k }}
    {% endfor %}
{% endmacro %}
{% macro audience(part) %}
{{ part }}.users_recent AS users_recent, {{ part }}.users_previous AS users_previous,
  {% for k in range(slices) %}{{ part }}.in_{{ k }}{{ ' + ' if not loop.last }}{% endfor %} AS audience_previous,
  {% for k in range(slices) %}{{ part }}.in_{{ k }} * {{ part }}.in_{{ k }}{{ ' + ' if not loop.last }}{% endfor %} AS audience_squares{% endmacro %}
WITH event AS NOT MATERIALIZED (
  SELECT country, category, event_type, video_id, person, slice,
    CAST(floor(weight * greatest(exp(-greatest(age, 0) / $decay), $floor) * 1000000 + 0.5) AS BIGINT) AS score,
    CASE WHEN event_type = 'video_view' AND slice = {{ recent }} THEN
      CASE WHEN completion_rate IS NULL THEN
        CASE WHEN isfinite(watch_duration) AND isfinite(video_duration) AND video_duration > 0 AND watch_duration > 0
          THEN CAST(floor(least(watch_duration / video_duration, 1) * 1000000 + 0.5) AS INTEGER) END
      WHEN NOT (completion_rate >= 0 AND completion_rate <= 1) THEN -1
      WHEN completion_rate > 0 THEN CAST(floor(completion_rate * 1000000 + 0.5) AS INTEGER)
      END
    END AS completion
  FROM (
    SELECT {{ label('country') }} AS country, {{ label('category') }} AS category,
      event_type, nullif(video_id, '') AS video_id, completion_rate, watch_duration, video_duration,
      xor(
        md5_number(coalesce(nullif(user_id, ''), nullif(session_id, ''), '')),
        CAST(CASE WHEN user_id <> '' THEN 1 WHEN session_id <> '' THEN 2 ELSE 0 END AS UHUGEINT)
      ) AS person,
      CAST((epoch_us(time) - epoch_us($start)) // $slice_length AS TINYINT) AS slice,
      CASE event_type{% for k in range(types) %} WHEN $type_{{ k }} THEN $weight_{{ k }}{% endfor %} ELSE 0.0 END AS weight,
      epoch_us(CASE WHEN time >= $recent_start THEN $recent_anchor ELSE $previous_anchor END) - epoch_us(time) AS age
    FROM events.user_events
    WHERE time >= $start AND time < $end
  ) AS read
),
{# A few rows: what is counted of groups, types, countries alike. #}
combination AS MATERIALIZED (
  SELECT country, category, event_type,
    coalesce(sum(score) FILTER (WHERE slice = {{ recent }}), 0) AS score_recent,
    coalesce(sum(score) FILTER (WHERE slice < {{ recent }}), 0) AS score_previous,
    count(*) FILTER (WHERE slice = {{ recent }}) AS events_recent,
    count(*) FILTER (WHERE slice < {{ recent }}) AS events_previous,
    coalesce(sum(completion) FILTER (WHERE completion >= 0), 0) AS completion_recent,
    count(*) FILTER (WHERE completion >= 0) AS completions_recent,
    count(*) FILTER (WHERE completion < 0) AS odd
  FROM event
  GROUP BY country, category, event_type
),
place AS MATERIALIZED (
  SELECT country, category, country_number, category_number, (category_number - 1) // {{ per_word }} AS word,
    (category_number - 1) % {{ per_word }} * {{ slices + 1 }} AS shift
  FROM (
    SELECT country, category, CAST(dense_rank() OVER (ORDER BY country) AS INTEGER) AS country_number,
      CAST(dense_rank() OVER (ORDER BY category) AS INTEGER) AS category_number
    FROM (SELECT DISTINCT country, category FROM combination) AS one
  ) AS numbered
),
category_place AS MATERIALIZED (
  SELECT DISTINCT category, category_number, word, shift FROM place
),
{# Of each person the slices of many categories in one number: a row a person and country, not one a category too. #}
seen AS MATERIALIZED (
  SELECT place.country_number AS country_number, event.person AS person, place.word AS word,
    bit_or(CAST(1 AS BIGINT) << (place.shift + event.slice)) AS bits
  FROM event
  JOIN place ON place.country = event.country AND place.category = event.category
  GROUP BY place.country_number, event.person, place.word
),
in_group AS MATERIALIZED (
  SELECT country_number, NULL AS category_number, {{ persons('slices') }}
  FROM (
    SELECT country_number, person, bit_or(
    {% for k in range(slices + 1) %}
      {% set all = namespace(bits=0) %}
      {% for n in range(per_word) %}
        {% set all.bits = all.bits + 2 ** (n * (slices + 1) + k) %}
      {% endfor %}
      CASE WHEN bits & {{ all.bits }} <> 0 THEN {{ 2 ** k }} ELSE 0 END{{ ' + ' if not loop.last }}
    {% endfor %}
    ) AS slices
    FROM seen
    GROUP BY country_number, person
  ) AS one
  GROUP BY country_number
  UNION ALL
  SELECT NULL, category_number, {{ persons('slices') }}
  FROM (
    SELECT category_place.category_number AS category_number, (one.bits >> category_place.shift) & {{ 2 ** (slices + 1) - 1 }} AS slices
    FROM (SELECT person, word, bit_or(bits) AS bits FROM seen GROUP BY person, word) AS one
    JOIN category_place ON category_place.word = one.word
  ) AS each_category
  WHERE slices <> 0
  GROUP BY category_number
),
video AS MATERIALIZED (
  SELECT country_number, category_number, video_id,
    CAST(sum(score_recent) AS BIGINT) AS score_recent, CAST(sum(score_previous) AS BIGINT) AS score_previous,
    CAST(sum(events_recent) AS BIGINT) AS events_recent, CAST(sum(events_previous) AS BIGINT) AS events_previous
  FROM (
    SELECT place.country_number AS country_number, place.category_number AS category_number, event.video_id AS video_id,
      CAST(sum(CASE WHEN event.slice = {{ recent }} THEN event.score ELSE 0 END) AS BIGINT) AS score_recent,
      CAST(sum(CASE WHEN event.slice < {{ recent }} THEN event.score ELSE 0 END) AS BIGINT) AS score_previous,
      count(*) FILTER (WHERE event.slice = {{ recent }}) AS events_recent,
      count(*) FILTER (WHERE event.slice < {{ recent }}) AS events_previous
    FROM event
    JOIN place ON place.country = event.country AND place.category = event.category
    WHERE event.video_id IS NOT NULL
    GROUP BY place.country_number, place.category_number, event.video_id
  ) AS part
  GROUP BY GROUPING SETS ((country_number, video_id), (category_number, video_id))
),
{# No video below the bar is among the first: so many others are at it or above, the best of each of 64 heaps. #}
bar AS MATERIALIZED (
  SELECT country_number, category_number, max(videos_recent) AS videos_recent,
    max(best_recent) FILTER (WHERE nth_recent = {{ most }}) AS recent,
    max(best_previous) FILTER (WHERE nth_previous = {{ most }}) AS previous
  FROM (
    SELECT *, sum(videos) OVER (PARTITION BY country_number, category_number) AS videos_recent,
      row_number() OVER (PARTITION BY country_number, category_number ORDER BY best_recent DESC NULLS LAST) AS nth_recent,
      row_number() OVER (PARTITION BY country_number, category_number ORDER BY best_previous DESC NULLS LAST) AS nth_previous
    FROM (
      SELECT country_number, category_number, (score_recent + score_previous) & 63 AS heap,
        count(*) FILTER (WHERE events_recent > 0) AS videos,
        max(CASE WHEN events_recent > 0 THEN score_recent END) AS best_recent,
        max(CASE WHEN events_previous > 0 THEN score_previous END) AS best_previous
      FROM video
      GROUP BY country_number, category_number, heap
    ) AS heap
  ) AS ordered
  GROUP BY country_number, category_number
),
likely AS (
  SELECT video.*,
    row_number() OVER (
      PARTITION BY country_number, category_number
      ORDER BY CASE WHEN events_recent > 0 THEN score_recent END DESC NULLS LAST, video_id
    ) AS nth_recent,
    row_number() OVER (
      PARTITION BY country_number, category_number
      ORDER BY CASE WHEN events_previous > 0 THEN score_previous END DESC NULLS LAST, video_id
    ) AS nth_previous
  FROM (
    SELECT video.*
    FROM video
    JOIN bar ON coalesce(bar.country_number, 0) = coalesce(video.country_number, 0)
      AND coalesce(bar.category_number, 0) = coalesce(video.category_number, 0)
    WHERE video.events_recent + video.events_previous >= $min_audience
      OR (video.events_recent > 0 AND (bar.recent IS NULL OR video.score_recent >= bar.recent))
      OR (video.events_previous > 0 AND (bar.previous IS NULL OR video.score_previous >= bar.previous))
  ) AS video
),
chosen AS MATERIALIZED (
  SELECT country_number, category_number, video_id, score_recent, score_previous, events_recent, events_previous, first
  FROM (
    SELECT *, (events_recent > 0 AND nth_recent <= shown) OR (events_previous > 0 AND nth_previous <= shown) AS first
    FROM (SELECT *, CASE WHEN country_number IS NULL THEN {{ top_category }} ELSE {{ top_country }} END AS shown FROM likely) AS one
  ) AS one
  WHERE first OR events_recent + events_previous >= $min_audience
),
watched AS MATERIALIZED (
  SELECT video_id, CAST(row_number() OVER () AS INTEGER) AS number FROM (SELECT DISTINCT video_id FROM chosen) AS one
),
watcher AS MATERIALIZED (
  SELECT watched.number AS number, place.country_number AS country_number, place.category_number AS category_number,
    event.person AS person, bit_or(CAST(1 AS BIGINT) << event.slice) AS slices
  FROM event
  JOIN watched ON watched.video_id = event.video_id
  JOIN place ON place.country = event.country AND place.category = event.category
  GROUP BY watched.number, place.country_number, place.category_number, event.person
),
audience AS (
  SELECT country_number, CAST(NULL AS INTEGER) AS category_number, number, {{ persons('slices') }}
  FROM (SELECT number, country_number, person, bit_or(slices) AS slices FROM watcher GROUP BY number, country_number, person) AS one
  GROUP BY country_number, number
  UNION ALL
  SELECT NULL, category_number, number, {{ persons('slices') }}
  FROM (SELECT number, category_number, person, bit_or(slices) AS slices FROM watcher GROUP BY number, category_number, person) AS one
  GROUP BY category_number, number
),
country_name AS (SELECT DISTINCT country_number, country FROM place),
{# What both groups and their parts are added up from, once by country and once by category. #}
named AS (
  SELECT 'country' AS ranked_by, country AS name, * FROM combination
  UNION ALL
  SELECT 'category', category, * FROM combination
)
{% macro sums() %}
  CAST(sum(score_recent) AS BIGINT), CAST(sum(score_previous) AS BIGINT),
  CAST(sum(events_recent) AS BIGINT), CAST(sum(events_previous) AS BIGINT)
{% endmacro %}
SELECT 'group' AS kind, one.ranked_by AS ranked_by, one.name AS name, CAST(NULL AS VARCHAR) AS member,
  one.score_recent AS score_recent, one.score_previous AS score_previous,
  one.events_recent AS events_recent, one.events_previous AS events_previous,
  {{ audience('in_group') }} ,
  CAST(coalesce(bar.videos_recent, 0) AS BIGINT) AS videos_recent,
  one.completion_recent AS completion_recent, one.completions_recent AS completions_recent
FROM (
  SELECT named.ranked_by AS ranked_by, named.name AS name,
    max(CASE WHEN named.ranked_by = 'country' THEN place.country_number END) AS country_number,
    max(CASE WHEN named.ranked_by = 'category' THEN place.category_number END) AS category_number,
    CAST(sum(named.score_recent) AS BIGINT) AS score_recent, CAST(sum(named.score_previous) AS BIGINT) AS score_previous,
    CAST(sum(named.events_recent) AS BIGINT) AS events_recent, CAST(sum(named.events_previous) AS BIGINT) AS events_previous,
    CAST(sum(named.completion_recent) AS BIGINT) AS completion_recent, CAST(sum(named.completions_recent) AS BIGINT) AS completions_recent
  FROM named
  JOIN place ON place.country = named.country AND place.category = named.category
  GROUP BY named.ranked_by, named.name
) AS one
JOIN in_group ON coalesce(in_group.country_number, 0) = coalesce(one.country_number, 0)
  AND coalesce(in_group.category_number, 0) = coalesce(one.category_number, 0)
LEFT JOIN bar ON coalesce(bar.country_number, 0) = coalesce(one.country_number, 0)
  AND coalesce(bar.category_number, 0) = coalesce(one.category_number, 0)
UNION ALL
SELECT 'type', ranked_by, name, event_type, {{ sums() }}, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM named
GROUP BY ranked_by, name, event_type
UNION ALL
SELECT 'country', ranked_by, name, country, {{ sums() }}, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM named
WHERE ranked_by = 'category'
GROUP BY ranked_by, name, country
UNION ALL
SELECT 'odd', '', '', 'completion_rate', NULL, NULL, CAST(sum(odd) AS BIGINT), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM combination
HAVING sum(odd) > 0
UNION ALL
SELECT 'video', CASE WHEN chosen.country_number IS NULL THEN 'category' ELSE 'country' END,
  coalesce(country_name.country, category_place.category), chosen.video_id,
  chosen.score_recent, chosen.score_previous, chosen.events_recent, chosen.events_previous,
  {{ audience('audience') }} ,
  NULL, NULL, NULL
FROM chosen
JOIN watched ON watched.video_id = chosen.video_id
JOIN audience ON audience.number = watched.number
  AND coalesce(audience.country_number, 0) = coalesce(chosen.country_number, 0)
  AND coalesce(audience.category_number, 0) = coalesce(chosen.category_number, 0)
LEFT JOIN country_name ON country_name.country_number = chosen.country_number
LEFT JOIN category_place ON category_place.category_number = chosen.category_number
WHERE chosen.first OR audience.users_recent + {% for k in range(slices) %}audience.in_{{ k }}{{ ' + ' if not loop.last }}{% endfor %} >= $min_audience
