"""series/quarter_hour once more in plain Python, written from the definitions and not from the SQL.

Belongs here: the expected rows of a day. Does not: running the product.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from analytics_platform_tests.metrics.product import Events, Row

# (service, metric, dimension, value, bucket) -> (value, base)
Cells = dict[tuple[str, str, str, str, datetime], tuple[float | None, int | None]]
_QUARTER = timedelta(minutes=15)


def buckets_of(day: date, zone: ZoneInfo) -> list[datetime]:
    """The quarter hours of a local day, naive UTC."""
    found = datetime.combine(day, datetime.min.time(), tzinfo=zone).astimezone(UTC).replace(tzinfo=None)
    starts = []
    while found.replace(tzinfo=UTC).astimezone(zone).date() == day:
        starts.append(found)
        found += _QUARTER
    return starts


def standard(
    events: Events,
    day: date,
    zone: ZoneInfo,
    sliced_by: Sequence[str] = ("os", "source"),
    recent: Mapping[str, Sequence[tuple[str, str]]] | None = None,
) -> Cells:
    """What the delivered catalogue watches. `recent`: slices of the week before, by service."""
    cells: Cells = {}
    counted: dict[str, tuple[Sequence[Row], dict[str, Callable[[Sequence[Row]], int]]]] = {
        "feed": (
            events.feed,
            {
                "views": lambda rows: sum(row["action"] == "view" for row in rows),
                "likes": lambda rows: sum(row["action"] == "like" for row in rows),
                "feed_users": lambda rows: len({row["user_id"] for row in rows}),
            },
        ),
        "messenger": (
            events.messages,
            {"messages_sent": len, "senders": lambda rows: len({row["user_id"] for row in rows})},
        ),
    }
    starts = buckets_of(day, zone)
    for service, (rows, measures) in counted.items():
        inside: dict[datetime, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for row in rows:
            if starts[0] <= row["time"] < starts[-1] + _QUARTER:
                start = row["time"].replace(minute=row["time"].minute // 15 * 15, second=0, microsecond=0)
                inside[start][row["user_id"]].append(row)
        slices: dict[tuple[str, str], dict[datetime, list[Row]]] = defaultdict(lambda: defaultdict(list))
        slices["total", "all"].clear()
        for known in (recent or {}).get(service, ()):
            slices[known].clear()
        for start, users in inside.items():
            for own in users.values():
                last = max(own, key=lambda row: (row["time"], *(_order(row[name]) for name in sliced_by)))
                slices["total", "all"][start] += own
                for name in sliced_by:
                    value = "unknown" if last[name] is None else str(last[name])
                    slices[name, value][start] += own
        for (dimension, value), by_start in slices.items():
            for start in starts:
                found = {name: measure(by_start[start]) for name, measure in measures.items()}
                for name, figure in found.items():
                    cells[service, name, dimension, value, start] = float(figure), None
                if service == "feed":
                    ratio = found["likes"] / found["views"] if found["views"] else None
                    cells[service, "ctr", dimension, value, start] = ratio, found["views"]
    return cells


def _order(value: Any) -> tuple[bool, Any]:
    """NULL before everything."""
    return (False, 0) if value is None else (True, value)


def cells_of(rows: Sequence[Mapping[str, Any]]) -> Cells:
    """Stored rows in the oracle's form; fails where one is there twice."""
    found: Cells = {}
    for row in rows:
        key = (row["service"], row["metric"], row["dimension"], row["dimension_value"], row["bucket_time"])
        assert key not in found, f"{key} is there twice"
        found[key] = row["value"], row["base"]
    return found
