{#
  Computed days of a result table that are not older than what they come from: the `events` of the day itself, those of
  the `lookback` days before it where it reads them (a user who only received takes attributes from there, see
  metrics/facts.py), and the tables that it is computed from, which must not be outdated either; and that were computed
  under the settings in force ($basis).
#}
SELECT event_date
FROM results.computed_days
WHERE table_name = $table_name AND event_date >= $first_day AND event_date <= $last_day AND basis = $basis
{% if events %}
  AND event_date NOT IN (
    SELECT computed.event_date
    FROM results.computed_days AS computed
    CROSS JOIN events.loaded_days AS loaded
    WHERE computed.table_name IN ({% for name in tables %}'{{ name }}'{{ ', ' if not loop.last }}{% endfor %})
      AND loaded.table_name IN ({% for name in events %}'{{ name }}'{{ ', ' if not loop.last }}{% endfor %})
      AND computed.event_date >= $first_day AND computed.event_date <= $last_day
      AND loaded.event_date <= computed.event_date AND loaded.event_date >= computed.event_date - INTERVAL {{ lookback }} DAY
      AND loaded.loaded_at > computed.computed_at
  )
{% endif %}
{% if pairs %}
  AND event_date NOT IN (
    SELECT base.event_date
    FROM results.computed_days AS base
    JOIN results.computed_days AS derived ON derived.event_date = base.event_date
    WHERE base.event_date >= $first_day AND base.event_date <= $last_day AND base.computed_at > derived.computed_at
      AND (
      {% for derived, base in pairs %}
        {{ 'OR ' if not loop.first }}(derived.table_name = '{{ derived }}' AND base.table_name = '{{ base }}')
      {% endfor %}
      )
  )
  AND event_date NOT IN (
    SELECT event_date
    FROM results.computed_days
    WHERE table_name IN ({% for name in tables[1:] %}'{{ name }}'{{ ', ' if not loop.last }}{% endfor %})
      AND event_date >= $first_day AND event_date <= $last_day AND basis <> $basis
  )
{% endif %}
