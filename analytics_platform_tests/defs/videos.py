"""Video events and page events in a few words, loaded as other programs' events would be."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa

from analytics_platform.metrics.events import PAGE_EVENTS, USER_EVENTS, EventTable, arrow_schema
from analytics_platform.warehouses.base import EventLoad, Warehouse

UTC_ZONE = ZoneInfo("UTC")
Events = list[dict[str, object]]


def views(
    end: datetime, days: Mapping[int, int], *, country: str = "Mali", video: str = "v1"
) -> list[dict[str, object]]:
    """Views by distinct persons at noon before `end`: `days` says how many so many days ago (0: the last 24 hours)."""
    return [
        {
            "event_id": hash((country, video, ago, k)) % 2**63,
            "event_type": "video_view",
            "time": end - timedelta(days=ago, hours=12) + timedelta(seconds=k % 3600),
            "user_type": "authenticated",
            "country": country,
            "category": "school",
            "video_id": video,
            "user_id": f"{country}-{video}-{ago}-{k}",
            "completion_rate": 0.5,
        }
        for ago, count in days.items()
        for k in range(count)
    ]


def page(request: str, visitor: str, time: datetime, path: str = "/en/", **more: object) -> dict[str, object]:
    """One page event; `time` naive UTC."""
    return {"request_id": request, "visitor": visitor, "time": time, "pathname": path, "type": "page", **more}


def load_videos(warehouse: Warehouse, events: Sequence[Mapping[str, object]]) -> None:
    """Replace the days of these events."""
    _load(warehouse, USER_EVENTS, events)


def load_pages(warehouse: Warehouse, events: Sequence[Mapping[str, object]]) -> None:
    """Replace the days of these events."""
    _load(warehouse, PAGE_EVENTS, events)


def batch(table: EventTable, events: Iterable[Mapping[str, object]]) -> pa.RecordBatch:
    """The events with the table's schema; texts that few values share are `unknown` where they are missing."""
    schema = arrow_schema(table)
    missing = {c.name: "unknown" for c in table.columns if c.kind.value == "text"}
    rows = [{**missing, **event} for event in events]
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def _load(warehouse: Warehouse, table: EventTable, events: Sequence[Mapping[str, object]]) -> None:
    warehouse.load([EventLoad(table, [batch(table, events)])], UTC_ZONE)
