{#
  What rankings are made of; see rankings/counting.py for rows and columns.

  A moment's slice is its place among those of the length of the recent window, from the oldest, which is 0, to the
  recent window itself; a set of slices is the bits of a number. As many categories as fit into 62 bits are a word: the
  slices that a person was there in all of them are one number.

  The events are read twice, and neither read is kept: what is counted of it is counted while it is read. The first tells
  what happened, and so which videos may be shown; the second who was there, and of those videos alone who watched. A row
  of hash tables of millions is as narrow as can be, for they are what costs: memory the processor has not at hand, and
  files where they do not fit into it.

  Texts are grouped by numbers. Few texts are numbered. Who it was and which video are the 64 bits of a hash: among ten
  million persons, that any two are taken for one has a chance of 1 in 370,000, and would make one count smaller by one.
  (128 bits would cost a sixth of the whole.)

  A group's number is a country's, or a category's below 0. A category's is its word, which is 1 or more, and in the last
  6 bits where its slices begin in that word.
#}
{% set recent = slices %}
{% set width = slices + 1 %}
{% set per_word = 62 // width %}
{% set earlier = 2 ** slices - 1 %}
{# A set of slices. #}
{% set slice_bit = '(CAST(1 AS %s) << slice)' % ('INTEGER' if slices < 31 else 'BIGINT') %}
{% set lowest = '-9223372036854775807' %}
{% macro label(column) %}coalesce(nullif(nullif({{ column }}, ''), 'unknown'), 'Unknown'){% endmacro %}
{% macro within() %}FROM events.user_events
    WHERE time >= $start AND time < $end{% endmacro %}
{# The slices of a word in any of its categories. #}
{% macro folded(bits) %}
{% for k in range(width) %}
      {% set all = namespace(bits=0) %}
      {% for n in range(per_word) %}
        {% set all.bits = all.bits + 2 ** (n * width + k) %}
      {% endfor %}
      CASE WHEN {{ bits }} & {{ all.bits }} <> 0 THEN {{ 2 ** k }} ELSE 0 END{{ ' + ' if not loop.last }}
    {% endfor %}
{% endmacro %}
{# Distinct persons, from how many of them were there in which slices. #}
{% macro persons(slices_there, number) %}
    coalesce(sum({{ number }}) FILTER (WHERE {{ slices_there }} >= {{ 2 ** recent }}), 0) AS users_recent,
    coalesce(sum({{ number }}) FILTER (WHERE {{ slices_there }} & {{ earlier }} <> 0), 0) AS users_previous
    {% for k in range(slices) %}
    , coalesce(sum({{ number }}) FILTER (WHERE {{ slices_there }} & {{ 2 ** k }} <> 0), 0) AS in_{{ k }}
    {% endfor %}
{% endmacro %}
{% macro previous(part) %}{% for k in range(slices) %}{{ part }}.in_{{ k }}{{ ' + ' if not loop.last }}{% endfor %}{% endmacro %}
{% macro audience(part) %}
CAST({{ part }}.users_recent AS BIGINT) AS users_recent, CAST({{ part }}.users_previous AS BIGINT) AS users_previous,
  CAST({{ previous(part) }} AS BIGINT) AS audience_previous,
  CAST({% for k in range(slices) %}{{ part }}.in_{{ k }} * {{ part }}.in_{{ k }}{{ ' + ' if not loop.last }}{% endfor %} AS BIGINT) AS audience_squares{% endmacro %}
{% macro summed() %}
CAST(sum(score_recent) AS BIGINT) AS score_recent, CAST(sum(score_previous) AS BIGINT) AS score_previous,
    CAST(sum(events_recent) AS BIGINT) AS events_recent, CAST(sum(events_previous) AS BIGINT) AS events_previous{% endmacro %}
{# A few rows each: the texts as the events have them. #}
WITH one_country AS MATERIALIZED (
  SELECT country, {{ label('country') }} AS name, CAST(dense_rank() OVER (ORDER BY {{ label('country') }}) AS INTEGER) AS number
  FROM (SELECT DISTINCT country {{ within() }}) AS one
),
one_category AS MATERIALIZED (
  SELECT category, name, CAST(((nth // {{ per_word }}) << 6) + nth % {{ per_word }} * {{ width }} AS INTEGER) AS number
  FROM (
    SELECT category, {{ label('category') }} AS name, {{ per_word }} - 1 + dense_rank() OVER (ORDER BY {{ label('category') }}) AS nth
    FROM (SELECT DISTINCT category {{ within() }}) AS one
  ) AS one
),
one_type AS MATERIALIZED (
  SELECT event_type, CAST(row_number() OVER () AS INTEGER) AS number, event_type = 'video_view' AS is_view,
    CASE event_type{% for k in range(types) %} WHEN $type_{{ k }} THEN $weight_{{ k }}{% endfor %} ELSE 0.0 END AS weight
  FROM (SELECT DISTINCT event_type {{ within() }}) AS one
),
{# What happened, no matter to whom. #}
event AS MATERIALIZED (
  SELECT one_country.number AS country, one_category.number AS category, one_type.number AS type,
    read.is_recent AS is_recent, read.video AS video,
    CAST(floor(one_type.weight * greatest(exp(-greatest(read.age, 0) / $decay), $floor) * 1000000 + 0.5) AS INTEGER) AS score,
    CASE WHEN read.is_recent AND one_type.is_view THEN
      CASE WHEN completion_rate IS NULL THEN
        CASE WHEN isfinite(watch_duration) AND isfinite(video_duration) AND video_duration > 0 AND watch_duration > 0
          THEN CAST(floor(least(watch_duration / video_duration, 1) * 1000000 + 0.5) AS INTEGER) END
      WHEN NOT (completion_rate >= 0 AND completion_rate <= 1) THEN -1
      WHEN completion_rate > 0 THEN CAST(floor(completion_rate * 1000000 + 0.5) AS INTEGER)
      END
    END AS completion
  FROM (
    SELECT country, category, event_type, completion_rate, watch_duration, video_duration,
      CASE WHEN video_id <> '' THEN hash(video_id) END AS video,
      time >= $recent_start AS is_recent,
      epoch_us(CASE WHEN time >= $recent_start THEN $recent_anchor ELSE $previous_anchor END) - epoch_us(time) AS age
    {{ within() }}
  ) AS read
  JOIN one_country ON one_country.country IS NOT DISTINCT FROM read.country
  JOIN one_category ON one_category.category IS NOT DISTINCT FROM read.category
  JOIN one_type ON one_type.event_type = read.event_type
),
country AS MATERIALIZED (SELECT DISTINCT number, name FROM one_country),
category AS MATERIALIZED (SELECT DISTINCT number, name, number >> 6 AS word, number & 63 AS shift FROM one_category),
group_name AS MATERIALIZED (
  SELECT number AS group_number, 'country' AS ranked_by, name, {{ top_country }} AS shown FROM country
  UNION ALL
  SELECT -number, 'category', name, {{ top_category }} FROM category
),
part AS MATERIALIZED (
  SELECT country.number AS country_number, country.name AS country, category.number AS category_number, category.name AS category,
    one_type.event_type AS event_type, one.*
  FROM (
    SELECT in_country, in_category, type,
      sum(CASE WHEN is_recent THEN score ELSE 0 END) AS score_recent,
      sum(CASE WHEN is_recent THEN 0 ELSE score END) AS score_previous,
      sum(CASE WHEN is_recent THEN events ELSE 0 END) AS events_recent,
      sum(CASE WHEN is_recent THEN 0 ELSE events END) AS events_previous,
      sum(completion) + sum(odd) AS completion_recent, sum(completions) - sum(odd) AS completions_recent, sum(odd) AS odd
    FROM (
      SELECT country AS in_country, category AS in_category, type, is_recent,
        sum(score) AS score, count(*) AS events, coalesce(sum(completion), 0) AS completion, count(completion) AS completions,
        count(*) FILTER (WHERE completion < 0) AS odd
      FROM event
      GROUP BY country, category, type, is_recent
    ) AS half
    GROUP BY in_country, in_category, type
  ) AS one
  JOIN country ON country.number = one.in_country
  JOIN category ON category.number = one.in_category
  JOIN one_type ON one_type.number = one.type
),
video_part AS MATERIALIZED (
  SELECT country, category, video,
    CAST(sum(CASE WHEN is_recent THEN score ELSE 0 END) AS BIGINT) AS score_recent,
    CAST(sum(CASE WHEN is_recent THEN 0 ELSE score END) AS BIGINT) AS score_previous,
    count(*) FILTER (WHERE is_recent) AS events_recent,
    count(*) FILTER (WHERE NOT is_recent) AS events_previous
  FROM event
  WHERE video IS NOT NULL
  GROUP BY country, category, video
),
by_category AS MATERIALIZED (
  SELECT -category AS group_number, video, {{ summed() }}
  FROM video_part
  GROUP BY category, video
),
{# Most videos are of one category, and what they are in a country needs no adding up. #}
of_several AS MATERIALIZED (SELECT video FROM by_category GROUP BY video HAVING count(*) > 1),
{# Read twice, for less than it costs to keep. #}
video AS NOT MATERIALIZED (
  SELECT group_number, video, score_recent, score_previous, events_recent, events_previous
  FROM by_category
  UNION ALL
  SELECT country, video, score_recent, score_previous, events_recent, events_previous
  FROM video_part
  WHERE NOT EXISTS (SELECT 1 FROM of_several WHERE of_several.video = video_part.video)
  UNION ALL
  SELECT country, video, {{ summed() }}
  FROM video_part
  WHERE EXISTS (SELECT 1 FROM of_several WHERE of_several.video = video_part.video)
  GROUP BY country, video
),
{# The scores that the last of the first have; the lowest where all are among them. #}
bar AS MATERIALIZED (
  SELECT group_number, count(*) FILTER (WHERE events_recent > 0) AS videos_recent,
    coalesce((max(score_recent, {{ most }}) FILTER (WHERE events_recent > 0))[{{ most }}], {{ lowest }}) AS recent,
    coalesce((max(score_previous, {{ most }}) FILTER (WHERE events_previous > 0))[{{ most }}], {{ lowest }}) AS previous
  FROM video
  GROUP BY group_number
),
likely AS MATERIALIZED (
  SELECT video.*
  FROM video
  JOIN bar ON bar.group_number = video.group_number
  WHERE video.events_recent + video.events_previous >= $min_audience
    OR CASE WHEN video.events_recent > 0 THEN video.score_recent >= bar.recent END
    OR CASE WHEN video.events_previous > 0 THEN video.score_previous >= bar.previous END
),
watched AS MATERIALIZED (
  SELECT video, only_category, CAST(row_number() OVER () AS INTEGER) AS number
  FROM (
    SELECT video, CASE WHEN count(*) = 1 THEN max(group_number) END AS only_category
    FROM by_category
    WHERE video IN (SELECT video FROM likely)
    GROUP BY video
  ) AS one
),
{# Who was where, and with which of those videos, if any: `number`. #}
sighting AS MATERIALIZED (
  SELECT one_country.number AS country, one_category.number AS category, read.slice AS slice, read.person AS person,
    read.video_id AS video_id, watched.number AS number, watched.only_category AS only_category
  FROM (
    SELECT country, category, video_id,
      CASE WHEN video_id <> '' THEN hash(video_id) END AS video,
      CASE WHEN user_id <> '' THEN hash(user_id) WHEN session_id <> '' THEN hash(session_id, 1) ELSE 0 END AS person,
      CAST((epoch_us(time) - epoch_us($start)) // $slice_length AS TINYINT) AS slice
    {{ within() }}
  ) AS read
  JOIN one_country ON one_country.country IS NOT DISTINCT FROM read.country
  JOIN one_category ON one_category.category IS NOT DISTINCT FROM read.category
  LEFT JOIN watched ON watched.video = read.video
),
seen AS MATERIALIZED (
  SELECT country, category >> 6 AS word, person, bit_or(CAST(1 AS BIGINT) << ((category & 63) + slice)) AS bits
  FROM sighting
  GROUP BY country, category >> 6, person
),
in_group AS (
  SELECT group_number, {{ persons('slices', 'persons') }}
  FROM (
    SELECT group_number, slices, count(*) AS persons
    FROM (
      SELECT country AS group_number, person, bit_or({{ folded('bits') }}) AS slices
      FROM seen
      GROUP BY country, person
    ) AS one
    GROUP BY group_number, slices
    UNION ALL
    SELECT -category.number, (one.bits >> category.shift) & {{ 2 ** width - 1 }} AS slices, sum(one.persons)
    FROM (
      SELECT word, bits, count(*) AS persons
      FROM (
        SELECT person, word, bit_or(bits) AS bits
        FROM seen
        GROUP BY person, word
      ) AS one
      GROUP BY word, bits
    ) AS one
    JOIN category ON category.word = one.word
    WHERE slices <> 0
    GROUP BY category.number, slices
  ) AS there
  GROUP BY group_number
),
{# Not the category: most videos have one, and a wider row would not fit into the memory. #}
watcher AS MATERIALIZED (
  SELECT number, country, person, bit_or({{ slice_bit }}) AS slices
  FROM sighting
  WHERE number IS NOT NULL
  GROUP BY number, country, person
),
watcher_of_several AS MATERIALIZED (
  SELECT number, category, person, bit_or({{ slice_bit }}) AS slices
  FROM sighting
  WHERE number IS NOT NULL AND only_category IS NULL
  GROUP BY number, category, person
),
watched_text AS MATERIALIZED (
  SELECT number, any_value(video_id) AS video_id FROM sighting WHERE number IS NOT NULL GROUP BY number
),
chosen AS MATERIALIZED (
  SELECT *, (events_recent > 0 AND nth_recent <= shown) OR (events_previous > 0 AND nth_previous <= shown) AS first
  FROM (
    SELECT likely.*, watched_text.video_id AS video_id, watched.number AS number, group_name.ranked_by AS ranked_by,
      group_name.name AS name, group_name.shown AS shown,
      row_number() OVER (
        PARTITION BY likely.group_number
        ORDER BY CASE WHEN events_recent > 0 THEN score_recent END DESC NULLS LAST, watched_text.video_id
      ) AS nth_recent,
      row_number() OVER (
        PARTITION BY likely.group_number
        ORDER BY CASE WHEN events_previous > 0 THEN score_previous END DESC NULLS LAST, watched_text.video_id
      ) AS nth_previous
    FROM likely
    JOIN watched ON watched.video = likely.video
    JOIN watched_text ON watched_text.number = watched.number
    JOIN group_name ON group_name.group_number = likely.group_number
  ) AS ordered
),
tally AS MATERIALIZED (
  SELECT number, country, slices, count(*) AS persons FROM watcher GROUP BY number, country, slices
),
{# What was watched by those who were in several countries. #}
travelled AS MATERIALIZED (
  SELECT number, person, slices
  FROM watcher
  WHERE person IN (SELECT person FROM seen GROUP BY person HAVING min(country) < max(country))
),
there AS (
  SELECT number, country AS group_number, slices, persons FROM tally
  UNION ALL
  {# A video's only category has whom its countries have together, but each of those who travelled once. #}
  SELECT one.number, watched.only_category, one.slices, one.persons
  FROM (
    SELECT number, slices, CAST(sum(persons) AS BIGINT) AS persons FROM tally GROUP BY number, slices
    UNION ALL
    SELECT number, slices, -1 FROM travelled
    UNION ALL
    SELECT number, bit_or(slices), 1 FROM travelled GROUP BY number, person
  ) AS one
  JOIN watched ON watched.number = one.number
  WHERE watched.only_category IS NOT NULL
  UNION ALL
  SELECT number, -category, slices, 1 FROM watcher_of_several
),
in_video AS (
  SELECT there.number AS number, there.group_number AS group_number, {{ persons('there.slices', 'there.persons') }}
  FROM there
  JOIN chosen ON chosen.number = there.number AND chosen.group_number = there.group_number
  GROUP BY there.number, there.group_number
),
{# What both groups and their parts are added up from, once by country and once by category. #}
named AS (
  SELECT 'country' AS ranked_by, country AS name, country_number AS group_number, * FROM part
  UNION ALL
  SELECT 'category', category, -category_number, * FROM part
)
SELECT 'group' AS kind, one.ranked_by AS ranked_by, one.name AS name, CAST(NULL AS VARCHAR) AS member,
  one.score_recent AS score_recent, one.score_previous AS score_previous,
  one.events_recent AS events_recent, one.events_previous AS events_previous,
  {{ audience('in_group') }} ,
  CAST(coalesce(bar.videos_recent, 0) AS BIGINT) AS videos_recent,
  one.completion_recent AS completion_recent, one.completions_recent AS completions_recent
FROM (
  SELECT ranked_by, name, group_number, {{ summed() }},
    CAST(sum(completion_recent) AS BIGINT) AS completion_recent, CAST(sum(completions_recent) AS BIGINT) AS completions_recent
  FROM named
  GROUP BY ranked_by, name, group_number
) AS one
JOIN in_group ON in_group.group_number = one.group_number
LEFT JOIN bar ON bar.group_number = one.group_number
UNION ALL
SELECT 'type', ranked_by, name, event_type, {{ summed() }}, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM named
GROUP BY ranked_by, name, event_type
UNION ALL
SELECT 'country', ranked_by, name, country, {{ summed() }}, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM named
WHERE ranked_by = 'category'
GROUP BY ranked_by, name, country
UNION ALL
SELECT 'odd', '', '', 'completion_rate', NULL, NULL, CAST(sum(odd) AS BIGINT), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM part
HAVING sum(odd) > 0
UNION ALL
SELECT 'video', chosen.ranked_by, chosen.name, chosen.video_id,
  chosen.score_recent, chosen.score_previous, chosen.events_recent, chosen.events_previous,
  {{ audience('in_video') }} ,
  NULL, NULL, NULL
FROM chosen
JOIN in_video ON in_video.number = chosen.number AND in_video.group_number = chosen.group_number
WHERE chosen.first OR in_video.users_recent + {{ previous('in_video') }} >= $min_audience
