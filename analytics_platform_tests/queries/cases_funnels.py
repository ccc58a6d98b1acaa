"""Entries into e-mail funnels for the contract between the engines, and what is asked about them.

Belongs here: these rows and questions. Does not: all other ones (`cases.py`).
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from analytics_platform.funnels.conversion import between
from analytics_platform.metrics.tables import FUNNEL_CONVERSIONS
from analytics_platform.queries import Query
from analytics_platform_tests.queries.duck import DuckDB

TABLE = FUNNEL_CONVERSIONS


def put(engine: DuckDB, days: Sequence[date]) -> None:
    """Entries of those days in no order: several at one moment, with and without test and purchase, and customers.

    Some stand under the day before as well, from when nothing was known of a purchase.
    """
    rows: list[dict[str, object]] = [
        {
            "event_date": day,
            "entry_id": (k * 7) % 20 + 100 * place,
            "funnel_type": ("language", "non_language")[k % 2],
            "test_id": (None, 1, 2**40)[k % 3],
            "entered_at": datetime.combine(day, datetime.min.time()) + timedelta(microseconds=k % 4),
            "seconds_to_purchase": (None, 0, 86_400 * 30 - 1, None)[k % 4],
            "already_customer": k % 4 == 3,
        }
        for place, day in enumerate(days)
        for k in range(20)
    ]
    for row, day in [(row, day) for day in days for row in rows if row["event_date"] == day][::3]:
        earlier = day - timedelta(days=1)
        rows.append({**row, "event_date": earlier, "seconds_to_purchase": None, "already_customer": False})
    engine.put(f"results.{TABLE.name}", rows[::-1])


def questions(spans: Sequence[tuple[date, date]]) -> list[Query]:
    """The entries of spans of days, in zones on both sides of that of the days."""
    zones = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "Pacific/Kiritimati", "Etc/GMT+12")]
    return [between(first, last, zone) for first, last in spans for zone in zones]
