"""The visitor report and the event report of a window: asked of any table of page events, whole and in order.

Belongs here: the two questions, and what is added to their answers: window, ids, the moment of making. Does not: where
the events are (`warehouses/`, `sources/`), what is said of them (`telling.py`), storing.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from analytics_platform.language import Language
from analytics_platform.metrics.tables import EVENT_REPORTS, VISITOR_REPORTS, ResultTable, result_schema
from analytics_platform.queries import Query, compose
from analytics_platform.visitors.spreadsheet import written
from analytics_platform.visitors.window import VisitWindow, in_utc

if TYPE_CHECKING:
    import pyarrow as pa

_READS = 3
# As visitor_reports.sql and event_reports.sql give them.
_ORDER = {
    VISITOR_REPORTS.name: ("n_interactions DESC", "first_seen", "visitor"),
    EVENT_REPORTS.name: ("created", "request_id"),
}


class UnsettledError(Exception):
    """Events of the window kept arriving while it was read. One sentence: what, and what to do."""


@dataclass(frozen=True)
class VisitReport:
    """Both reports of a window, with the schemas of `metrics.tables` (VISITOR_REPORTS, EVENT_REPORTS).

    `visitors`: one row each, the busiest first; `events`: one row each, in the order of time. `zone` is the one that
    `event_date` and texts are in; `made_at` is aware, UTC.
    """

    window: VisitWindow
    made_at: datetime
    zone: ZoneInfo
    visitors: "pa.Table"
    events: "pa.Table"

    @property
    def empty(self) -> bool:
        """Whether there was no event in the window."""
        return bool(self.events.num_rows == 0)


def visitor_query(window: VisitWindow) -> Query:
    """One row per visitor of the window, busiest first: the columns of VISITOR_REPORTS that events tell.

    `pages` is a list of texts there. An event that is stored twice counts once.
    """
    return compose("visitor_reports", _bounds(window))


def event_query(window: VisitWindow) -> Query:
    """One row per event of the window in the order of time: the columns of EVENT_REPORTS that events tell."""
    return compose("event_reports", _bounds(window))


def make_report(
    read: Callable[[Query], "pa.Table"], window: VisitWindow, made_at: datetime, zone: ZoneInfo
) -> VisitReport:
    """The report of the window on the events that `read` asks, such as `Warehouse.table` or `Scratch.table`.

    `made_at` is aware. Rows, order and ids are the same at every run on the same events.

    Raises UnsettledError when the two answers do not fit each other after some tries: events of the window arrived in
    between.
    """
    import pyarrow.compute as pc

    made = in_utc(made_at, "the moment of making")
    for _ in range(_READS):
        visitors, events = read(visitor_query(window)), read(event_query(window))
        # Two statements see two moments.
        if (pc.sum(visitors["n_interactions"]).as_py() or 0) == events.num_rows:
            return VisitReport(
                window,
                made,
                zone,
                _completed(_with_ids(visitors, window), VISITOR_REPORTS, window, made, zone),
                _completed(events, EVENT_REPORTS, window, made, zone),
            )
    raise UnsettledError(
        f"events of the window {window.key} keep arriving, so that its two reports would not fit each other; "
        "make them again later, or of a window that ends earlier"
    )


def stored_query(table: ResultTable, window: VisitWindow, day: date) -> Query:
    """The rows of the window as VISITOR_REPORTS or EVENT_REPORTS has them stored, all columns, in the report's order.

    `day`: the local day in which the window begins. KeyError for a table that is neither.
    """
    columns = [name for name, _ in table.columns]
    bound = {"event_date": day, **window.bounds}
    return compose("stored_report", bound, table=table.name, columns=columns, order=_ORDER[table.name])


def report_from_store(read: Callable[[Query], "pa.Table"], window: VisitWindow, zone: ZoneInfo) -> VisitReport:
    """The report of the window as it is stored, empty when none is. `read` asks the warehouse: `Warehouse.table`.

    It was made when its newest row says; an empty one counts as made at the end of the window.
    """
    import pyarrow.compute as pc

    day = window.day(zone)
    found = [
        read(stored_query(table, window, day)).cast(result_schema(table)) for table in (VISITOR_REPORTS, EVENT_REPORTS)
    ]
    moments = [moment for rows in found if (moment := pc.max(rows["timestamp"]).as_py()) is not None]
    made_at = max(moments).replace(tzinfo=UTC) if moments else window.end
    visitors, events = found
    return VisitReport(window, made_at, zone, visitors, events)


def visitors_csv(report: VisitReport, language: Language, *, bom: bool) -> bytes:
    """The visitor report as CSV, all columns; IP addresses are in it. See `spreadsheet.written`."""
    return written(report.visitors, report.zone, language, bom=bom)


def events_csv(report: VisitReport, language: Language, *, bom: bool) -> bytes:
    """The event report as CSV, all columns. See `spreadsheet.written`."""
    return written(report.events, report.zone, language, bom=bom)


def _bounds(window: VisitWindow) -> dict[str, object]:
    bounds = window.bounds
    return {"start": bounds["window_start"], "end": bounds["window_end"]}


def _with_ids(visitors: "pa.Table", window: VisitWindow) -> "pa.Table":
    """With `uuid`, and `pages` as JSON."""
    import pyarrow as pa

    ids = [
        pa.array([window.report_id(visitor) for visitor in chunk.to_pylist()], pa.string())
        for chunk in visitors["visitor"].chunks
    ]
    # Here and not in SQL: the engines write JSON each in its own way.
    pages = [
        pa.array([json.dumps(pages, ensure_ascii=False) for pages in chunk.to_pylist()], pa.string())
        for chunk in visitors["pages"].chunks
    ]
    at = visitors.schema.get_field_index("pages")
    written = visitors.set_column(at, "pages", pa.chunked_array(pages, pa.string()))
    return written.append_column("uuid", pa.chunked_array(ids, pa.string()))


def _completed(
    found: "pa.Table", table: ResultTable, window: VisitWindow, made_at: datetime, zone: ZoneInfo
) -> "pa.Table":
    """In the table's columns, with those that every row has in common."""
    import pyarrow as pa

    schema = result_schema(table)
    common = {"event_date": window.day(zone), **window.bounds, "timestamp": made_at.replace(tzinfo=None)}
    columns = [
        pa.repeat(pa.scalar(common[field.name], field.type), found.num_rows)
        if field.name in common
        else found[field.name].cast(field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
