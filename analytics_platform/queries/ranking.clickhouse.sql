{#
  What rankings are made of, for ClickHouse, which evaluates a CTE anew at each use: the same rows from arms of their
  own, each of which reads the columns that it needs. The chosen videos, which are used twice, are a scalar, which is
  evaluated once.

  A set of slices is the bits of a number. An exact count of texts counts their 128-bit hashes on this engine anyway, so
  persons are hashed at once, with a last bit for whether that was a user's id or a session's.
#}
{% set recent = slices %}
{% set earlier = 2 ** slices - 1 %}
{% set ways = (('country', top_country), ('category', top_category)) %}
{% macro label(column) %}ifNull(nullIf(nullIf({{ column }}, ''), 'unknown'), 'Unknown'){% endmacro %}
{% macro within() %}
FROM events.user_events
        WHERE time >= $start AND time < $end
{%- endmacro %}
{% macro micros(moment) %}toUnixTimestamp64Micro(CAST({{ moment }} AS DateTime64(6, 'UTC'))){% endmacro %}
{% set slice = 'toUInt8(intDiv(' ~ micros('time') ~ ' - ' ~ micros('$start') ~ ', $slice_length))' %}
{% macro score() %}
toInt64(floor(
            transform(
              toString(event_type),
              [{% for k in range(types) %}$type_{{ k }}{{ ', ' if not loop.last }}{% endfor %}],
              [{% for k in range(types) %}$weight_{{ k }}{{ ', ' if not loop.last }}{% endfor %}], 0.0)
            * greatest(exp(-toFloat64(greatest(
              if(time >= $recent_start, {{ micros('$recent_anchor') }}, {{ micros('$previous_anchor') }}) - {{ micros('time') }},
              0)) / $decay), $floor)
            * 1000000 + 0.5))
{%- endmacro %}
{% macro person() %}
bitXor(
            reinterpretAsUInt128(sipHash128(ifNull(nullIf(user_id, ''), ifNull(session_id, '')))),
            toUInt128(multiIf(ifNull(user_id, '') <> '', 1, ifNull(session_id, '') <> '', 2, 0)))
{%- endmacro %}
{# Distinct persons from their sets of slices, a set a person. #}
{% macro persons() %}
toInt64(countIf(slices >= {{ 2 ** recent }})) AS _recent, toInt64(countIf(bitAnd(slices, {{ earlier }}) <> 0)) AS _previous,
      [{% for k in range(slices) %}toInt64(countIf(bitAnd(slices, {{ 2 ** k }}) <> 0)){{ ', ' if not loop.last }}{% endfor %}] AS _in
{%- endmacro %}
{% macro sums() %}
sumIf(score, slice = {{ recent }}) AS _score_recent, sumIf(score, slice < {{ recent }}) AS _score_previous,
      toInt64(countIf(slice = {{ recent }})) AS _recent, toInt64(countIf(slice < {{ recent }})) AS _previous
{%- endmacro %}
{# In millionths; NULL without one that is above 0. #}
{% macro completion() %}
multiIf(
              completion_rate IS NOT NULL,
              if(completion_rate > 0 AND completion_rate <= 1, toInt64(floor(completion_rate * 1000000 + 0.5)), NULL),
              isFinite(watch_duration) AND isFinite(video_duration) AND video_duration > 0 AND watch_duration > 0,
              toInt64(floor(least(watch_duration / video_duration, 1) * 1000000 + 0.5)),
              NULL)
{%- endmacro %}
{% macro missing(n) %}{% for k in range(n) %}, CAST(NULL AS Nullable(Int64)){% endfor %}{% endmacro %}
WITH
{% for by, top in ways %}
  {# The first ones, and those with enough events to have enough persons. #}
  (
    SELECT groupArray((name, video_id, _score_recent, _score_previous, _recent, _previous, first))
    FROM (
      SELECT *, (_recent > 0 AND _nth_recent <= {{ top }}) OR (_previous > 0 AND _nth_previous <= {{ top }}) AS first
      FROM (
        SELECT *, row_number() OVER (PARTITION BY name ORDER BY _recent > 0 DESC, _score_recent DESC, video_id) AS _nth_recent,
          row_number() OVER (PARTITION BY name ORDER BY _previous > 0 DESC, _score_previous DESC, video_id) AS _nth_previous
        FROM (
          SELECT CAST(name AS String) AS name, video_id, {{ sums() }}
          FROM (
            SELECT {{ label(by) }} AS name, assumeNotNull(video_id) AS video_id, {{ slice }} AS slice, {{ score() }} AS score
            {{ within() }} AND video_id <> ''
          ) AS event
          GROUP BY name, video_id
        ) AS video
      ) AS ordered
    ) AS likely
    WHERE first OR _recent + _previous >= $min_audience
  ) AS _chosen_{{ by }}{{ ',' if not loop.last }}
{% endfor %}
SELECT kind, ranked_by, name, member, score_recent, score_previous, events_recent, events_previous, users_recent,
  users_previous, audience_previous, audience_squares, videos_recent, completion_recent, completions_recent
FROM (
{% for by, top in ways %}
  SELECT 'group' AS kind, '{{ by }}' AS ranked_by, counted.name AS name, CAST(NULL AS Nullable(String)) AS member,
    CAST(counted._score_recent AS Nullable(Int64)) AS score_recent, CAST(counted._score_previous AS Nullable(Int64)) AS score_previous,
    CAST(counted._recent AS Nullable(Int64)) AS events_recent, CAST(counted._previous AS Nullable(Int64)) AS events_previous,
    CAST(person._recent AS Nullable(Int64)) AS users_recent, CAST(person._previous AS Nullable(Int64)) AS users_previous,
    CAST(arraySum(person._in) AS Nullable(Int64)) AS audience_previous,
    CAST(arraySum(n -> n * n, person._in) AS Nullable(Int64)) AS audience_squares,
    CAST(counted._videos AS Nullable(Int64)) AS videos_recent,
    CAST(counted._completion AS Nullable(Int64)) AS completion_recent, CAST(counted._completions AS Nullable(Int64)) AS completions_recent
  FROM (
    SELECT CAST(name AS String) AS name, {{ sums() }},
      uniqExactIf(video_id, slice = {{ recent }} AND video_id <> '') AS _videos,
      ifNull(sum(completion), 0) AS _completion, count(completion) AS _completions
    FROM (
        SELECT {{ label(by) }} AS name, video_id, {{ slice }} AS slice, {{ score() }} AS score,
          if(event_type = 'video_view' AND time >= $recent_start, {{ completion() }}, NULL) AS completion
        {{ within() }}
    ) AS event
    GROUP BY name
  ) AS counted
  JOIN (
    SELECT CAST(name AS String) AS name, {{ persons() }}
    FROM (
      SELECT name, person, groupBitOr(bitShiftLeft(toUInt64(1), slice)) AS slices
      FROM (
        SELECT {{ label(by) }} AS name, {{ slice }} AS slice, {{ person() }} AS person
        {{ within() }}
      ) AS event
      GROUP BY name, person
    ) AS one
    GROUP BY name
  ) AS person ON person.name = counted.name
  UNION ALL
  SELECT 'video', '{{ by }}', chosen.1, chosen.2, chosen.3, chosen.4, chosen.5, chosen.6,
    person._recent, person._previous, arraySum(person._in), arraySum(n -> n * n, person._in){{ missing(3) }}
  FROM (SELECT arrayJoin(_chosen_{{ by }}) AS chosen) AS chosen
  JOIN (
    SELECT CAST(name AS String) AS name, video_id, {{ persons() }}
    FROM (
      SELECT name, video_id, person, groupBitOr(bitShiftLeft(toUInt64(1), slice)) AS slices
      FROM (
        SELECT {{ label(by) }} AS name, assumeNotNull(video_id) AS video_id, {{ slice }} AS slice, {{ person() }} AS person
        {{ within() }} AND video_id <> ''
          AND ({{ label(by) }}, video_id) IN (SELECT _one.1, _one.2 FROM (SELECT arrayJoin(_chosen_{{ by }}) AS _one) AS wanted)
      ) AS event
      GROUP BY name, video_id, person
    ) AS one
    GROUP BY name, video_id
  ) AS person ON person.name = chosen.1 AND person.video_id = chosen.2
  WHERE chosen.7 OR person._recent + arraySum(person._in) >= $min_audience
  UNION ALL
{% endfor %}
  SELECT whole.1, whole.2, whole.3, nullIf(whole.4, ''), whole.5, whole.6, whole.7, whole.8{{ missing(7) }}
  FROM (
    SELECT kind, ranked_by, name, member,
      (kind, ranked_by, name, member, sum(_score_recent), sum(_score_previous), sum(_recent), sum(_previous)) AS whole
    FROM (
      SELECT {{ label('country') }} AS country, {{ label('category') }} AS category, event_type, {{ sums() }}
      FROM (
        SELECT country, category, event_type, {{ slice }} AS slice, {{ score() }} AS score
        {{ within() }}
      ) AS event
      GROUP BY country, category, event_type
    ) AS combination
    ARRAY JOIN
      ['type', 'type', 'country'] AS kind,
      ['country', 'category', 'category'] AS ranked_by,
      [toString(country), toString(category), toString(category)] AS name,
      [toString(event_type), toString(event_type), toString(country)] AS member
    GROUP BY kind, ranked_by, name, member
  ) AS part
  UNION ALL
  SELECT 'odd', '', '', 'completion_rate'{{ missing(2) }}, toInt64(count()){{ missing(8) }}
  {{ within() }} AND time >= $recent_start AND event_type = 'video_view' AND completion_rate IS NOT NULL
    AND NOT (completion_rate >= 0 AND completion_rate <= 1)
  HAVING count() > 0
) AS answer
SETTINGS aggregate_functions_null_for_empty = 0
