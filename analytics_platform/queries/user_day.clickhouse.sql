{#
  facts/user_day for ClickHouse, which evaluates a CTE anew at each use and is slow where it groups by texts: nothing is
  read twice that costs, and a million events are grouped by their user alone, in one pass over both tables.

  What a user was at an event is one number, `_moment`: from the left the microsecond of the day, then the attributes in
  their order, a text as its place among the day's texts in order, 0 for NULL. The greatest number of a user is the last
  event, of several at that instant the one with the greatest values; it is taken apart again at the end. 0 is no event
  of the user's own. Names that begin with _ are no metric's.

  A number has 17 bits, texts have as many as the day needs, at most 57 together: half a million different ones in each
  of three.
#}
{% set numbers = attributes | reject('in', text_attributes) | list %}
{% set wide = 'toUInt128' if numbers | length <= 2 else 'toUInt256' %}
{% macro of_day(table) %}
FROM events.{{ table }}
    WHERE time >= $day_start AND time < $day_end
{%- endmacro %}
{% macro width(a) %}{{ '_bits.%d' % (text_attributes.index(a) + 1) if a in text_attributes else '17' }}{% endmacro %}
{# How far an attribute stands from the right end; the first of them all, how far the time does. #}
{% macro from_right(n) %}{% for a in attributes[n:] %}{{ width(a) }} + {% endfor %}0{% endmacro %}
{% macro digits(a) %}
  {%- if a in text_attributes -%}
    {% set words = '_words.%d' % (text_attributes.index(a) + 1) -%}
    toUInt64(transform({{ a }}, {{ words }}, arrayEnumerate({{ words }}), 0))
  {%- else -%}
    toUInt64(ifNull(toInt32({{ a }}), -32769) + 32769)
  {%- endif -%}
{% endmacro %}
{# Neighbours of a kind are put together in 64 bits first: arithmetic on wide numbers is what costs here. #}
{% macro moment() %}
bitShiftLeft({{ wide }}(toUnixTimestamp64Micro(CAST(time AS DateTime64(6, 'UTC'))) - _midnight + 1), {{ from_right(0) }})
  {% set run = namespace(first=0) %}
  {% for a in attributes %}
    {% if loop.last or (loop.nextitem in text_attributes) != (a in text_attributes) %}
      {% set end = loop.index %}
        + bitShiftLeft({{ wide }}(
      {%- for k in range(run.first, end) -%}
            bitShiftLeft({{ digits(attributes[k]) }}, {% for b in attributes[k + 1:end] %}{{ width(b) }} + {% endfor %}0){{ ' + ' if k + 1 < end }}
      {%- endfor -%}
        ), {{ from_right(end) }})
      {% set run.first = end %}
    {% endif %}
  {% endfor %}
{% endmacro %}
{% macro field(n) %}toInt64(bitAnd(bitShiftRight(_last, {{ from_right(n) }}), bitShiftLeft({{ wide }}(1), {{ width(attributes[n - 1]) }}) - 1)){% endmacro %}
{# A part of the lookback: its first and last day and its gaps, by number. #}
{% macro stored(first, before, holes) %}
FROM results.user_day
      WHERE event_date >= {{ first }} AND event_date < {{ before }} AND attributes_time IS NOT NULL
  {% for gap in holes %}
        AND NOT (event_date >= $gap_{{ gap }}_first AND event_date <= $gap_{{ gap }}_last)
  {% endfor %}
{% endmacro %}
{% macro known(first, before, holes, who) %}
      SELECT *
      FROM (
        SELECT user_id, attributes_time AS seen, {{ attributes | join(', ') }}
        {{ stored(first, before, holes) }}
  {% for table in ('feed_actions', 'message_actions') if holes %}
        UNION ALL
        SELECT user_id, time, {{ attributes | join(', ') }}
        FROM events.{{ table }}
        WHERE {% for gap in holes %}(time >= $gap_{{ gap }}_start AND time < $gap_{{ gap }}_end){{ ' OR ' if not loop.last }}{% endfor %}

  {% endfor %}
      ) AS known_from
      WHERE user_id IN ({{ who }})
{% endmacro %}
WITH
  toUnixTimestamp64Micro(CAST($day_start AS DateTime64(6, 'UTC'))) AS _midnight,
{% if text_attributes %}
  {# One row of each combination is enough, and finding those by a hash spares collecting texts from a million rows. #}
  (
    SELECT tuple({% for a in text_attributes %}arraySort(CAST(groupUniqArray({{ a }}) AS Array(String))){{ ', ' if not loop.last }}{% endfor %})
    FROM (
      SELECT *
      FROM (
        SELECT {{ text_attributes | join(', ') }} {{ of_day('feed_actions') }}
        UNION ALL
        SELECT {{ text_attributes | join(', ') }} {{ of_day('message_actions') }}
      ) AS event
      LIMIT 1 BY {% for a in text_attributes %}cityHash64({{ a }}){{ ', ' if not loop.last }}{% endfor %}

    ) AS combination
  ) AS _words,
  {# As a subquery it is one small constant; as an expression it would carry all the words to each of its uses. #}
  (
    SELECT tuple({% for k in range(1, text_attributes | length + 1) %}toUInt8(ceil(log2(length(_words.{{ k }}) + 1))){{ ', ' if not loop.last }}{% endfor %})
    WHERE NOT throwIf({% for k in range(1, text_attributes | length + 1) %}ceil(log2(length(_words.{{ k }}) + 1)){{ ' + ' if not loop.last }}{% endfor %} > 57,
      'too many different values in a day of {{ text_attributes | join(', ') }}: is one of them an id?')
  ) AS _bits,
{% endif %}
  (
    SELECT groupUniqArray(receiver_id)
    {{ of_day('message_actions') }}
      AND receiver_id NOT IN (SELECT user_id {{ of_day('feed_actions') }})
      AND receiver_id NOT IN (SELECT user_id {{ of_day('message_actions') }})
  ) AS _receive_only
SELECT CAST($event_date AS Date) AS event_date, person.user_id AS user_id
{% for m in user_day_metrics %}
  , person.{{ m.name }} AS {{ m.name }}
{% endfor %}
{% for a in attributes %}
  {% if a in text_attributes %}
  {# 0 is a text that came between collecting them and reading the events: the day is computed again when that shows. #}
  , multiIf(_last = 0, ifNull(known.{{ a }}, 'unknown'), {{ field(loop.index) }} = 0, 'unknown', _words.{{ text_attributes.index(a) + 1 }}[{{ field(loop.index) }}]) AS {{ a }}
  {% else %}
  , CAST(if(_last > 0, nullIf({{ field(loop.index) }} - 32769, -32769), known.{{ a }}) AS Nullable(Int16)) AS {{ a }}
  {% endif %}
{% endfor %}
  , if(_last > 0, fromUnixTimestamp64Micro(toInt64(bitShiftRight(_last, {{ from_right(0) }})) - 1 + _midnight, 'UTC'), NULL) AS attributes_time
FROM (
  SELECT user_id, max(_moment) AS _last
  {% for m in user_day_metrics %}
    , {{ 'countIf' if m in own_counts else 'sum' }}(is_{{ m.name }}) AS {{ m.name }}
  {% endfor %}
  FROM (
  {% for table, source in (('feed_actions', 'feed'), ('message_actions', 'sent')) %}
    SELECT user_id, {{ moment() }} AS _moment
    {% for m in user_day_metrics %}
      , {{ '0' if m not in own_counts else '(' ~ m.where ~ ')' if m.source == source else 'false' }} AS is_{{ m.name }}
    {% endfor %}
    {{ of_day(table) }}
    UNION ALL
  {% endfor %}
  {% for counted in feed_distinct %}
    SELECT user_id, 0
    {% for m in user_day_metrics %}
      , {{ 'uniqExact(' ~ m.column ~ ')' if m.name == counted.name else 'false' if m in own_counts else '0' }}
    {% endfor %}
    {{ of_day('feed_actions') }} AND ({{ counted.where }})
    GROUP BY user_id
    UNION ALL
  {% endfor %}
    SELECT contact_id, 0
    {% for m in user_day_metrics %}
      {% if m in own_counts %}
      , false
      {% elif m in feed_distinct %}
      , 0
      {% elif m.source == 'sent' %}
      , _sent AND pair.{{ m.name }} > 0
      {% elif m in pair_distinct %}
      , NOT _sent AND pair.{{ m.name }} > 0
      {% else %}
      , if(_sent, 0, pair.{{ m.name }})
      {% endif %}
    {% endfor %}
    FROM (
      SELECT user_id AS sender_id, receiver_id
      {% for m in pair_metrics %}
        , countIf({{ m.where }}) AS {{ m.name }}
      {% endfor %}
      {{ of_day('message_actions') }}
      GROUP BY user_id, receiver_id
    ) AS pair
    ARRAY JOIN [sender_id, receiver_id] AS contact_id, [true, false] AS _sent
  ) AS part
  GROUP BY user_id
) AS person
LEFT JOIN (
  SELECT user_id
  {% for a in attributes %}
    , {{ '_newest.%d' % (loop.index + 1) if a in text_attributes else 'nullIf(_newest.%d, -32769)' % (loop.index + 1) }} AS {{ a }}
  {% endfor %}
  FROM (
    SELECT user_id, max((seen{% for a in attributes %}, {{ a if a in text_attributes else 'ifNull(toInt32(' ~ a ~ '), -32769)' }}{% endfor %})) AS _newest
    FROM (
      {# Most are found in the last days. The rest of the lookback is read for the few who are not. #}
{{ known('$recent_first', '$event_date', range(recent_gaps), 'SELECT arrayJoin(_receive_only)') }}
      UNION ALL
{{ known('$lookback_first', '$recent_first', range(recent_gaps, gaps),
         'SELECT arrayJoin(_receive_only) AS _id WHERE _id NOT IN (SELECT user_id '
         ~ stored('$recent_first', '$event_date', range(recent_gaps)) ~ ')') }}
    ) AS earlier
    GROUP BY user_id
  ) AS newest
) AS known ON known.user_id = person.user_id
SETTINGS aggregate_functions_null_for_empty = 0
