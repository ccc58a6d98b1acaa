"""Which days of events changed since they were last looked at, told by counting them.

Belongs here: comparing what the tables hold with the ledger of loaded days. Does not: when to look (sensors, assets),
what hangs on a day (`metrics/lineage.py`).

Other programs write the events and tell nobody. A day that is looked at for the first time is no change: whoever
computes a day looks at it first, so a change can only be missed on days that nothing was computed from.
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from analytics_platform.metrics.windows import EPOCH, Gap, days
from analytics_platform.queries import Query
from analytics_platform.warehouses.clickhouse_events import INSERTED_AT, EventSource
from analytics_platform.warehouses.clickhouse_load import Desk, counts_by_day
from analytics_platform.warehouses.clickhouse_schema import LOADED


class Watch(Desk, Protocol):
    """What looking needs of the warehouse."""

    @property
    def sources(self) -> Mapping[str, EventSource]:
        """Where the events are."""
        ...

    def events_place(self, name: str) -> str | None:
        """An event table, for statements; None for an optional one that cannot be read."""
        ...


def note_changes(desk: Watch, first: date, last: date, zone: ZoneInfo) -> Collection[date]:
    """See the port. Our own tables are entered by `load` and cost nothing here.

    Raises WarehouseError when a table cannot be read that metrics are computed from.
    """
    changed: set[date] = set()
    for name, source in desk.sources.items():
        if source.own:
            continue
        window = Gap(first, last).window(zone)
        newest = "newest" if source.inserted_at else ""
        place = desk.events_place(name)
        if place is None:
            continue  # the late events of other tables are found all the same; `check` says what does not fit
        if source.inserted_at:
            place = f"(SELECT time, {INSERTED_AT} AS newest FROM {place})"
        counted = counts_by_day(desk, name, place, zone, within=window, newest=newest)
        # After counting: what was computed while we counted may lack rows that are counted, and is outdated. Rows that
        # come after the count are a change for the next look.
        moment = desk.now()
        known = _known(desk, name, first, last)
        rows = []
        for day in days(first, last):
            now = counted.get(day, (0, None))
            if known.get(day) == now:
                continue
            if day in known:
                changed.add(day)
            seen = {"table_name": name, "event_date": day, "rows": now[0], "newest": now[1]}
            # Looked at for the first time: before everything computed.
            rows.append({**seen, "loaded_at": moment if day in known else EPOCH})
        desk.ledger(LOADED, rows)
    return changed


def _known(desk: Desk, name: str, first: date, last: date) -> dict[date, tuple[int, datetime | None]]:
    asked = Query(
        "known_days",
        "SELECT event_date, rows, newest FROM events.loaded_days "
        "WHERE table_name = $name AND event_date >= $first AND event_date <= $last",
        {"name": name, "first": first, "last": last},
    )
    found: dict[date, tuple[int, datetime | None]] = {}
    for row in desk.rows(asked):
        day, rows, newest = row["event_date"], row["rows"], row["newest"]
        if isinstance(day, date) and isinstance(rows, int):
            found[day] = (rows, newest if isinstance(newest, datetime) else None)
    return found
