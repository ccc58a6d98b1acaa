{#
  What rankings are made of, for ClickHouse, which evaluates a CTE anew at each use: the same rows from few reads of the
  events. What is used more than once and is small is a scalar, which is evaluated once.

  Grouping by texts is what costs: countries and categories are numbered, persons and videos are the 64 bits of a hash
  (among ten million, that any two are taken for one has a chance of 1 in 370,000). A group's number `g` is a country's,
  or a category's below 0. A set of slices is the bits of a number; those of as many categories as fit are a word.

  Most persons have one country and most videos one category: then nobody is there twice, and what was counted of a
  video in each country adds up to what it is in its category. All others are counted in a read of their own, if any.
#}
{% set recent = slices %}
{% set width = slices + 1 %}
{% set per_word = 62 // width %}
{% set earlier = 2 ** slices - 1 %}
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
              event_type,
              [{% for k in range(types) %}$type_{{ k }}{{ ', ' if not loop.last }}{% endfor %}],
              [{% for k in range(types) %}$weight_{{ k }}{{ ', ' if not loop.last }}{% endfor %}], 0.0)
            * greatest(exp(-toFloat64(greatest(
              if(time >= $recent_start, {{ micros('$recent_anchor') }}, {{ micros('$previous_anchor') }}) - {{ micros('time') }},
              0)) / $decay), $floor)
            * 1000000 + 0.5))
{%- endmacro %}
{% macro person() %}
bitXor(
            cityHash64(if(ifNull(notEmpty(user_id), 0), assumeNotNull(user_id), ifNull(session_id, ''))),
            toUInt64(ifNull(notEmpty(user_id), 0)))
{%- endmacro %}
{% set video = 'cityHash64(assumeNotNull(video_id))' %}
{% macro number(column, names) %}toInt32(transform({{ label(column) }}, {{ names }}, arrayEnumerate({{ names }}), 0)){% endmacro %}
{% set country = number('country', '_countries') %}
{% set category = number('category', '_categories') %}
{% macro sums() %}
sumIf(score, slice = {{ recent }}) AS _score_recent, sumIf(score, slice < {{ recent }}) AS _score_previous,
      toInt64(countIf(slice = {{ recent }})) AS _recent, toInt64(countIf(slice < {{ recent }})) AS _previous
{%- endmacro %}
{% macro added() %}
sum(_score_recent) AS _score_recent, sum(_score_previous) AS _score_previous, sum(_recent) AS _recent, sum(_previous) AS _previous
{%- endmacro %}
{# Distinct persons, from how many of them were there in which slices. #}
{% macro persons() %}
toInt64(sumIf(_persons, slices >= {{ 2 ** recent }})) AS _users_recent,
      toInt64(sumIf(_persons, bitAnd(slices, {{ earlier }}) <> 0)) AS _users_previous,
      [{% for k in range(slices) %}toInt64(sumIf(_persons, bitAnd(slices, {{ 2 ** k }}) <> 0)){{ ', ' if not loop.last }}{% endfor %}] AS _in
{%- endmacro %}
{# The slices of a word in any of its categories. #}
{% macro folded(bits) %}
{% for k in range(width) %}
{% set all = namespace(bits=0) %}
{% for n in range(per_word) %}{% set all.bits = all.bits + 2 ** (n * width + k) %}{% endfor %}
if(bitAnd({{ bits }}, {{ all.bits }}) <> 0, toUInt64({{ 2 ** k }}), 0){{ ' + ' if not loop.last }}
{%- endfor %}
{%- endmacro %}
{# In millionths; NULL without one that is above 0, -1 for one that cannot be. #}
{% macro completion() %}
multiIf(
              NOT (event_type = 'video_view' AND time >= $recent_start), NULL,
              completion_rate IS NOT NULL,
              if(completion_rate >= 0 AND completion_rate <= 1,
                if(completion_rate > 0, toInt64(floor(completion_rate * 1000000 + 0.5)), NULL), -1),
              isFinite(watch_duration) AND isFinite(video_duration) AND video_duration > 0 AND watch_duration > 0,
              toInt64(floor(least(watch_duration / video_duration, 1) * 1000000 + 0.5)),
              NULL)
{%- endmacro %}
WITH
{% for column, names in (('country', '_countries'), ('category', '_categories')) %}
  (SELECT arraySort(groupUniqArray(toString({{ label(column) }}))) FROM (SELECT {{ column }} {{ within() }} GROUP BY {{ column }}) AS one) AS {{ names }},
{% endfor %}
  {# Of each group: how many videos it has, and those that may be shown. #}
  (
    SELECT groupArray((g, _videos, arrayFilter(
      x -> x.4 + x.5 >= $min_audience OR (x.4 > 0 AND x.2 >= _bar_recent) OR (x.5 > 0 AND x.3 >= _bar_previous),
      arrayZip(_video, _scores_recent, _scores_previous, _all_recent, _all_previous))))
    FROM (
      SELECT g, toInt64(countIf(_recent > 0)) AS _videos, groupArray(_v) AS _video,
        groupArray(_score_recent) AS _scores_recent, groupArray(_score_previous) AS _scores_previous,
        groupArray(_recent) AS _all_recent, groupArray(_previous) AS _all_previous,
      {% for which in ('recent', 'previous') %}
        arrayPartialReverseSort({{ most }}, arrayFilter((s, n) -> n > 0, _scores_{{ which }}, _all_{{ which }})) AS _best_{{ which }},
        if(length(_best_{{ which }}) < {{ most }}, toInt64(-9223372036854775808), _best_{{ which }}[{{ most }}]) AS _bar_{{ which }}{{ ',' if not loop.last }}
      {% endfor %}
      FROM (
      {# Each from the events: adding up the finer of both is no cheaper. #}
      {% for group in (country, '-' ~ category) %}
        SELECT g, _v, {{ sums() }}
        FROM (
          SELECT {{ group }} AS g, {{ video }} AS _v, {{ slice }} AS slice, {{ score() }} AS score
          {{ within() }} AND video_id <> ''
        ) AS event
        GROUP BY g, _v
        {{ 'UNION ALL' if not loop.last }}
      {% endfor %}
      ) AS video
      GROUP BY g
    ) AS scored
  ) AS _scored,
  {# The texts of those, and their category where it is one. #}
  (
    SELECT groupArray((_v, _text, if(_first = _last, -_first, 0)))
    FROM (
      SELECT {{ video }} AS _v, assumeNotNull(any(video_id)) AS _text, min({{ category }}) AS _first, max({{ category }}) AS _last
      {{ within() }} AND video_id <> '' AND {{ video }} IN (SELECT arrayJoin(arrayJoin(_scored).3).1)
      GROUP BY _v
    ) AS one
  ) AS _watched,
  {# As expressions, these would carry all the texts to each of their uses. #}
  (SELECT _watched.1) AS _watched_hashes,
  (SELECT CAST(_watched.3 AS Array(Int32))) AS _watched_groups,
  (SELECT CAST(arrayEnumerate(_watched_hashes) AS Array(UInt32))) AS _watched_numbers,
  (SELECT CAST(arrayMap((w, g) -> if(g = 0, 0, w), _watched_numbers, _watched_groups) AS Array(UInt32))) AS _watched_simply,
  (SELECT has(_watched_groups, 0)) AS _any_of_several,
  {# The first ones, and those with enough events to have enough persons. #}
  (
    SELECT groupArray((_w, g, _text, _score_recent, _score_previous, _recent, _previous, first))
    FROM (
      SELECT *, {% for which in ('recent', 'previous') %}(_{{ which }} > 0 AND _nth_{{ which }} <= if(g > 0, {{ top_country }}, {{ top_category }})){{ ' OR ' if not loop.last }}{% endfor %} AS first
      FROM (
        SELECT *,
        {% for which in ('recent', 'previous') %}
          row_number() OVER (PARTITION BY g ORDER BY _{{ which }} > 0 DESC, _score_{{ which }} DESC, _text) AS _nth_{{ which }}{{ ',' if not loop.last }}
        {% endfor %}
        FROM (
          SELECT g, x.1 AS _v, x.2 AS _score_recent, x.3 AS _score_previous, x.4 AS _recent, x.5 AS _previous,
            transform(_v, _watched_hashes, _watched_numbers, toUInt32(0)) AS _w, _watched[_w].2 AS _text
          FROM (SELECT _one.1 AS g, _one.3 AS _likely FROM (SELECT arrayJoin(_scored) AS _one) AS scored) AS scored
          ARRAY JOIN _likely AS x
        ) AS likely
      ) AS ordered
    ) AS likely
    WHERE first OR _recent + _previous >= $min_audience
  ) AS _chosen,
  {# Persons of each group, and those who were in several countries. `_h`: a country, a word below 0, or the person. #}
  (
    SELECT (groupArray((g, _users_recent, _users_previous, _in)), groupArrayArray(_several))
    FROM (
      SELECT g, {{ persons() }}, groupArrayArray(_several) AS _several
      FROM (
        SELECT _there.1 AS g, _there.2 AS slices, _persons, _several
      FROM (
        SELECT _h, _set, toInt64(count()) AS _persons, groupArrayIf(_p, _low < _high AND _h = if(length(_categories) > {{ per_word }}, 0, -1)) AS _several
        FROM (
          SELECT _h, _p, groupBitOr(if(_h > 0, {{ folded('_bits') }}, _bits)) AS _set, min(_n) AS _low, max(_n) AS _high
          FROM (
            SELECT _n, _word, _p, groupBitOr(_bit) AS _bits
            FROM (
              SELECT {{ country }} AS _n, {{ category }} - 1 AS _k, toInt32(intDiv(_k, {{ per_word }})) AS _word, {{ person() }} AS _p,
                bitShiftLeft(toUInt64(1), toUInt8(_k % {{ per_word }} * {{ width }} + {{ slice }})) AS _bit
              {{ within() }}
            ) AS event
            GROUP BY _n, _word, _p
          ) AS seen
          ARRAY JOIN if(length(_categories) > {{ per_word }}, [_n, -1 - _word, 0], [_n, -1 - _word]) AS _h
          GROUP BY _h, _p
        ) AS one
        GROUP BY _h, _set
      ) AS one
      ARRAY JOIN if(_h > 0, [(_h, _set)], if(_h = 0, [(0, toUInt64(0))], arrayMap(
        k -> (toInt32((_h + 1) * {{ per_word }} - k - 1), bitAnd(bitShiftRight(_set, toUInt8(k * {{ width }})), toUInt64({{ 2 ** width - 1 }}))),
        range(toUInt64(least({{ per_word }}, length(_categories) + (_h + 1) * {{ per_word }})))))) AS _there
      WHERE slices > 0 OR _h = 0
      ) AS there
      GROUP BY g
    ) AS one
  ) AS _people,
  (SELECT _people.2) AS _travellers,
  (SELECT length(_travellers) > 0) AS _any_travelled
SELECT kind, ranked_by, name, member, score_recent, score_previous, events_recent, events_previous, users_recent,
  users_previous, audience_previous, audience_squares, videos_recent, completion_recent, completions_recent
FROM (
{% macro figure(of) %}CAST({{ of }} AS Nullable(Int64)){% endmacro %}
  SELECT counted.kind AS kind, counted.ranked_by AS ranked_by, counted.name AS name,
    CAST(if(counted.kind = 'group', NULL, counted.member) AS Nullable(String)) AS member,
    {{ figure("if(counted.kind = 'odd', NULL, counted._score_recent)") }} AS score_recent,
    {{ figure("if(counted.kind = 'odd', NULL, counted._score_previous)") }} AS score_previous,
    {{ figure("if(counted.kind = 'odd', counted._odd, counted._recent)") }} AS events_recent,
    {{ figure("if(counted.kind = 'odd', NULL, counted._previous)") }} AS events_previous,
    {{ figure('person._one.2') }} AS users_recent, {{ figure('person._one.3') }} AS users_previous,
    {{ figure('if(person._one.1 <> 0, arraySum(person._one.4), NULL)') }} AS audience_previous,
    {{ figure('if(person._one.1 <> 0, arraySum(n -> n * n, person._one.4), NULL)') }} AS audience_squares,
    {{ figure("if(counted.kind = 'group', ifNull(scored._videos, 0), NULL)") }} AS videos_recent,
    {{ figure("if(counted.kind = 'group', counted._completion, NULL)") }} AS completion_recent,
    {{ figure("if(counted.kind = 'group', counted._completions, NULL)") }} AS completions_recent
  FROM (
    SELECT kind, ranked_by, name, member, multiIf(kind <> 'group', toInt64(0), ranked_by = 'country', toInt64(indexOf(_countries, name)), -toInt64(indexOf(_categories, name))) AS g,
      {{ added() }}, sum(_completion) AS _completion, sum(_completions) AS _completions, sum(_odd) AS _odd
    FROM (
      SELECT country, category, event_type, {{ sums() }},
        ifNull(sumIf(completion, completion >= 0), 0) AS _completion, toInt64(countIf(completion >= 0)) AS _completions,
        toInt64(countIf(completion < 0)) AS _odd
      FROM (
        SELECT {{ label('country') }} AS country, {{ label('category') }} AS category, event_type, {{ slice }} AS slice,
          {{ score() }} AS score, {{ completion() }} AS completion
        {{ within() }}
      ) AS event
      GROUP BY country, category, event_type
    ) AS combination
    ARRAY JOIN
      ['group', 'group', 'type', 'type', 'country', 'odd'] AS kind,
      ['country', 'category', 'country', 'category', 'category', ''] AS ranked_by,
      [toString(country), toString(category), toString(country), toString(category), toString(category), ''] AS name,
      ['', '', toString(event_type), toString(event_type), toString(country), 'completion_rate'] AS member
    WHERE kind <> 'odd' OR _odd > 0
    GROUP BY kind, ranked_by, name, member
  ) AS counted
  LEFT JOIN (SELECT _one, toInt64(_one.1) AS g FROM (SELECT arrayJoin(_people.1) AS _one) AS one WHERE _one.1 <> 0) AS person ON person.g = counted.g
  LEFT JOIN (SELECT toInt64(_one.1) AS g, _one.2 AS _videos FROM (SELECT arrayJoin(_scored) AS _one) AS one) AS scored ON scored.g = counted.g
  UNION ALL
  SELECT 'video', if(chosen._one.2 > 0, 'country', 'category'), if(chosen._one.2 > 0, _countries[chosen._one.2], _categories[-chosen._one.2]),
    chosen._one.3, chosen._one.4, chosen._one.5, chosen._one.6, chosen._one.7,
    person._users_recent, person._users_previous, arraySum(person._in), arraySum(n -> n * n, person._in), NULL, NULL, NULL
  FROM (SELECT _one, _one.1 AS _w, _one.2 AS g FROM (SELECT arrayJoin(_chosen) AS _one) AS one) AS chosen
  JOIN (
    SELECT _w, g, {{ persons() }}
    FROM (
      SELECT toUInt32(_w) AS _w, g, slices, _persons
      FROM (
        SELECT _w, _n, slices, toInt64(count()) AS _persons
        FROM (
          SELECT _w, _p, any(_n) AS _n, groupBitOr(bitShiftLeft(toUInt64(1), slice)) AS slices
          FROM (
            SELECT transform({{ video }}, _watched_hashes, _watched_simply, toUInt32(0)) AS _w, {{ country }} AS _n, {{ person() }} AS _p, {{ slice }} AS slice
            {{ within() }} AND video_id <> '' AND _w > 0 AND (NOT _any_travelled OR _p NOT IN (SELECT arrayJoin(_travellers)))
          ) AS event
          GROUP BY _w, _p
        ) AS watcher
        GROUP BY _w, _n, slices
      ) AS simple
      ARRAY JOIN [_n, _watched_groups[_w]] AS g
      UNION ALL
      SELECT _w, g, slices, toInt64(count()) AS _persons
      FROM (
        SELECT _w, g, _p, groupBitOr(bitShiftLeft(toUInt64(1), slice)) AS slices
        FROM (
          SELECT transform({{ video }}, _watched_hashes, _watched_numbers, toUInt32(0)) AS _w, {{ country }} AS _n, {{ category }} AS _k,
            {{ person() }} AS _p, {{ slice }} AS slice
          {{ within() }} AND (_any_travelled OR _any_of_several) AND video_id <> '' AND _w > 0
            AND (_watched_groups[_w] = 0 OR _p IN (SELECT arrayJoin(_travellers)))
        ) AS event
        ARRAY JOIN [_n, -_k] AS g
        GROUP BY _w, g, _p
      ) AS one
      GROUP BY _w, g, slices
    ) AS there
    GROUP BY _w, g
  ) AS person ON person._w = chosen._w AND person.g = chosen.g
  WHERE chosen._one.8 OR person._users_recent + arraySum(person._in) >= $min_audience
) AS answer
SETTINGS aggregate_functions_null_for_empty = 0
