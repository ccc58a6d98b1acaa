{#
  What the rows of a table add up to: two warehouses that agree in every figure hold the same rows, in whatever order.
  Events of a window give one row, results one for each day that has any.

  Each text is grouped once, which gives its number of values, distinct values, characters and a checksum. A row's
  `weight`, made of its numbers and times, tells in the checksum which rows a text stands in; the squares of the weights
  tell which numbers stand together. NULL weighs something of its own: it is not 0. Shares are counted in billionths: sums
  of floating point numbers depend on their order. Of `large` numbers, which may fill 64 bits, and of shares the remainder
  is taken, so that no sum overflows. Long texts, which hardly ever repeat, are not grouped.
#}
{% set opened, closed = md5_number | default(('md5_number_upper(', ')')) %}
{% set within = 'event_date >= $first_day AND event_date <= $last_day' if by_day else 'time >= $start AND time < $end' %}
{% set key = 'event_date, ' if by_day else '' %}
{% macro number(column) -%}
{% if column in shares -%}
CASE WHEN abs({{ column }}) < 1000000000 THEN CAST(floor({{ column }} * 1000000000) AS BIGINT) % 1000000007
  WHEN abs({{ column }}) < 9000000000000000000 THEN CAST(floor({{ column }}) AS BIGINT) % 1000000007
  WHEN {{ column }} IS NOT NULL THEN 1000000007 END
{%- elif column in large -%}
CAST({{ column }} % 1000000007 AS BIGINT)
{%- else -%}
CAST({{ column }} AS BIGINT)
{%- endif %}
{%- endmacro %}
{% macro moment(column, unit) %}date_diff('{{ unit }}', $epoch, {{ column }}){% endmacro %}
{% macro weight() -%}
((0
{%- for c in numbers %} + {{ loop.index }} * coalesce({{ number(c) }}, 40009){% endfor %}
{%- for c in times %} + {{ numbers | length + loop.index }} * coalesce({{ moment(c, 'microsecond') }}, 40009){% endfor %}) % 65521)
{%- endmacro %}
{% macro weighed() -%}
(SELECT *, {{ weight() }} AS weight FROM {{ table }} WHERE {{ within }}) AS weighed
{%- endmacro %}
SELECT {{ 'flat.event_date AS event_date, ' if by_day }}rows
{% for c in numbers %}
  , {{ c }}_values, {{ c }}_sum
{% endfor %}
{% for c in times %}
  , {{ c }}_values, {{ c }}_first, {{ c }}_last, {{ c }}_seconds
{% endfor %}
  , squares
{% for c in long_texts %}
  , {{ c }}_values, {{ c }}_characters, {{ c }}_checksum
{% endfor %}
{% for c in texts %}
  , {{ c }}_values, {{ c }}_distinct, {{ c }}_characters, {{ c }}_checksum
{% endfor %}
FROM (
  SELECT {{ key }}count(*) AS rows
  {% for c in numbers %}
    , count({{ c }}) AS {{ c }}_values, CAST(coalesce(sum({{ number(c) }}), 0) AS BIGINT) AS {{ c }}_sum
  {% endfor %}
  {% for c in times %}
    , count({{ c }}) AS {{ c }}_values, min({{ c }}) AS {{ c }}_first, max({{ c }}) AS {{ c }}_last
    , CAST(coalesce(sum({{ moment(c, 'second') }}), 0) AS BIGINT) AS {{ c }}_seconds
  {% endfor %}
    , CAST(coalesce(sum(weight * weight), 0) AS BIGINT) AS squares
  {% for c in long_texts %}
    , count({{ c }}) AS {{ c }}_values, CAST(coalesce(sum(char_length({{ c }})), 0) AS BIGINT) AS {{ c }}_characters
    , CAST(coalesce(sum(
        {{ opened }}coalesce({{ c }}, '') || '|' || CAST(weight AS VARCHAR){{ closed }} % 4294967296
      ), 0) AS BIGINT) AS {{ c }}_checksum
  {% endfor %}
  FROM {{ weighed() }}
  {{ 'GROUP BY event_date' if by_day }}
) AS flat
{% for c in texts %}
{{ 'JOIN' if by_day else 'CROSS JOIN' }} (
  SELECT {{ key }}CAST(coalesce(sum(CASE WHEN value IS NOT NULL THEN n END), 0) AS BIGINT) AS {{ c }}_values
    , count(value) AS {{ c }}_distinct
    , CAST(coalesce(sum(n * char_length(value)), 0) AS BIGINT) AS {{ c }}_characters
    , CAST(coalesce(sum(
        {{ opened }}coalesce(value, '') || '|' || CAST(n AS VARCHAR) || '|' || CAST(weights AS VARCHAR){{ closed }} % 4294967296
      ), 0) AS BIGINT) AS {{ c }}_checksum
  FROM (
    SELECT {{ key }}{{ c }} AS value, count(*) AS n, CAST(sum(weight) AS BIGINT) AS weights
    FROM {{ weighed() }}
    GROUP BY {{ key }}{{ c }}
  ) AS grouped
  {{ 'GROUP BY event_date' if by_day }}
) AS by_{{ c }}{{ ' USING (event_date)' if by_day }}
{% endfor %}
