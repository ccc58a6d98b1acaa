{#
  visitor_reports for ClickHouse, which would sort all events twice for the standard text. Of an event's copies `_kept`
  is the earliest; NULL comes last, as there. Of a visitor's events `_first` is the first one's attributes.
#}
{% macro known(column) %}isNull({{ column }}), ifNull({{ column }}, '') {%- endmacro %}
SELECT visitor,
  toInt64(_events) AS n_interactions,
  _first.1 AS adblock,
  _first.2 AS ip_address,
  _first.3 AS user_agent,
  _first.4 AS language,
  sender_id,
  hash,
  first_seen,
  last_seen,
  arrayDistinct(_paths) AS pages,
  toInt64(length(arrayDistinct(_paths))) AS distinct_pages,
  if(empty(_paths), NULL, _paths[1]) AS entry_page,
  if(empty(_paths), NULL, _paths[-1]) AS exit_page
FROM (
  SELECT _kept.2 AS visitor,
    count() AS _events,
    argMin((_kept.4, _kept.5, _kept.6, _kept.7), (_kept.1, request_id)) AS _first,
    argMinIf(_kept.8, (_kept.1, request_id), isNotNull(_kept.8)) AS sender_id,
    argMinIf(_kept.9, (_kept.1, request_id), isNotNull(_kept.9)) AS hash,
    min(_kept.1) AS first_seen,
    max(_kept.1) AS last_seen,
    arrayMap(_one -> _one.3, arraySort(groupArrayIf((_kept.1, request_id, ifNull(_kept.3, '')), isNotNull(_kept.3)))) AS _paths
  FROM (
    SELECT request_id,
      argMin(
        (time, visitor, pathname, adblock, ip_address, user_agent, language, sender_id, hash),
        (time, visitor, {{ known('pathname') }}, isNull(adblock), ifNull(adblock, false), {{ known('ip_address') }},
          {{ known('user_agent') }}, {{ known('language') }}, {{ known('sender_id') }}, {{ known('hash') }})
      ) AS _kept
    FROM events.page_events
    WHERE time >= $start AND time < $end
    GROUP BY request_id
  ) AS event
  GROUP BY visitor
) AS person
ORDER BY n_interactions DESC, first_seen, visitor
SETTINGS aggregate_functions_null_for_empty = 0
