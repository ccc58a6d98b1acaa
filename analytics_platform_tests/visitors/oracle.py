"""The two reports once more, in dicts and loops, written from their definitions and not from the SQL.

Belongs here: what is right. Does not: any of the product's code but the window.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from analytics_platform.visitors.window import VisitWindow

Row = dict[str, Any]

_TIES = (*("visitor", "pathname", "adblock", "ip_address", "user_agent", "language", "sender_id", "hash", "type"),)


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where a copy stands among those of its event; what is missing comes last. Texts go by their bytes."""
    values = [row[name] for name in _TIES]
    return (row["time"], *((v is None, v.encode() if isinstance(v, str) else bool(v)) for v in values))


def events_of(rows: Iterable[Row], window: VisitWindow) -> list[Row]:
    """The window's events in the order of time, each once."""
    first: dict[str, Row] = {}
    for row in rows:
        if not window.start <= row["time"].replace(tzinfo=UTC) < window.end:
            continue
        known = first.get(row["request_id"])
        if known is None or _place(row) < _place(known):
            first[row["request_id"]] = row
    return sorted(first.values(), key=lambda row: (row["time"], row["request_id"]))


def event_rows(rows: Iterable[Row], window: VisitWindow, made_at: datetime, zone: ZoneInfo) -> list[Row]:
    """The event report."""
    return [
        {
            **_common(window, zone),
            "request_id": row["request_id"],
            "visitor": row["visitor"],
            "page": row["pathname"],
            "action": "action",
            "type": row["type"],
            "created": row["time"],
            "timestamp": made_at.astimezone(UTC).replace(tzinfo=None),
        }
        for row in events_of(rows, window)
    ]


def visitor_rows(rows: Iterable[Row], window: VisitWindow, made_at: datetime, zone: ZoneInfo) -> list[Row]:
    """The visitor report but for `uuid`."""
    by_visitor: dict[str, list[Row]] = {}
    for row in events_of(rows, window):
        by_visitor.setdefault(row["visitor"], []).append(row)
    found = []
    for visitor, own in by_visitor.items():
        pages: list[str] = []
        for row in own:
            if row["pathname"] is not None and row["pathname"] not in pages:
                pages.append(row["pathname"])
        visited = [row["pathname"] for row in own if row["pathname"] is not None]
        found.append(
            {
                **_common(window, zone),
                "visitor": visitor,
                "n_interactions": len(own),
                **{name: own[0][name] for name in ("adblock", "ip_address", "user_agent", "language")},
                **{name: next((r[name] for r in own if r[name] is not None), None) for name in ("sender_id", "hash")},
                "first_seen": own[0]["time"],
                "last_seen": own[-1]["time"],
                "pages": json.dumps(pages, ensure_ascii=False),
                "distinct_pages": len(pages),
                "entry_page": visited[0] if visited else None,
                "exit_page": visited[-1] if visited else None,
                "timestamp": made_at.astimezone(UTC).replace(tzinfo=None),
            }
        )
    return sorted(found, key=lambda row: (-row["n_interactions"], row["first_seen"], row["visitor"].encode()))


def _common(window: VisitWindow, zone: ZoneInfo) -> Row:
    return {
        "event_date": window.start.astimezone(zone).date(),
        "window_start": window.start.replace(tzinfo=None),
        "window_end": window.end.replace(tzinfo=None),
    }
