"""Page events to test with: the documented sample's figures, and random ones that are hard to report on.

Belongs here: rows of `page_events`. Does not: what a report on them is (`oracle.py`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid5

import pyarrow as pa

from analytics_platform.metrics.events import PAGE_EVENTS, arrow_schema
from analytics_platform_tests.hostile_text import SHORT, without_surrogates

Row = dict[str, Any]

_NAMES = UUID(int=1)
VISITORS = tuple(uuid5(_NAMES, f"visitor {k}").hex for k in range(13))
FIRST = datetime.fromisoformat("2019-06-20T18:35:06.523086+09:00")
LAST = datetime.fromisoformat("2019-06-24T22:48:34.201263+09:00")
# Of the nine visitors of 24 June, the only day of the documented window with events.
ON_THE_24TH = (5, 3, 2, 2, 2, 2, 2, 2, 1)

# What a path, a visitor or an agent may hold: as databases of texts in UTF-8 without NUL can store it.
HOSTILE = tuple(without_surrogates(value).replace("\0", "") for value in SHORT.values())


def utc(moment: datetime) -> datetime:
    """An aware moment as event tables store it."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def event(number: int, visitor: str, time: datetime, pathname: str | None = "/en/", **fields: object) -> Row:
    """One row of page_events; fields not named are NULL. `time` is naive UTC."""
    row: Row = dict.fromkeys(column.name for column in PAGE_EVENTS.columns)
    own = {"request_id": str(uuid5(_NAMES, f"event {number}")), "visitor": visitor, "time": time, "type": "page"}
    return row | own | {"pathname": pathname} | fields


def documented() -> list[Row]:
    """55 events of 13 visitors of one property: 12 on 20, 22 on 21 and 21 on 24 June 2019 (+09:00)."""
    rows: list[Row] = []

    def add(visitor: int, moment: datetime, path: str) -> None:
        known: Row = {
            "adblock": visitor % 3 == 0,
            "ip_address": f"203.0.113.{visitor}",
            "user_agent": f"Mozilla/5.0 (made up; {visitor})",
            "language": ("ja", "en-US", "ja-JP")[visitor % 3],
            "navigator_platform": "Win32",
            "sender_id": f"sender {visitor}" if visitor in {1, 4, 7, 10} else None,
            "hash": "#top" if len(rows) in {20, 40} else None,
            "property": "property-1",
            "property_type": "website",
            "domain": "example.org",
            "provider": "fb",
            "metadata": "{}",
            "id": "account-1",
            "name": "made up",
        }
        rows.append(event(len(rows), VISITORS[visitor], utc(moment), path, **known))

    for k in range(12):
        add(9 + k % 4, FIRST + timedelta(minutes=17 * k), "/en/")
    second = datetime.fromisoformat("2019-06-21T09:00:00.000001+09:00")
    rare = ("/en/about",) * 3 + ("/jp/",) * 2 + ("/en/b2b", "/en/contact")
    for k in range(22):
        add(k % 11, second + timedelta(minutes=7 * k), rare[k] if k < len(rare) else "/en/")
    # Round by round, so that the visits of one day overlap; the last one's time is the documented one.
    rounds = [(n, visitor) for n in range(5) for visitor, count in enumerate(ON_THE_24TH) if n < count]
    for k, (n, visitor) in enumerate(reversed(rounds)):
        add(visitor, LAST - timedelta(minutes=11 * k), "/en/" if n else "/")
    return rows


def random_events(random: Random, count: int) -> list[Row]:
    """Few visitors at few moments with anything in their texts; some events are there twice, as they were or not."""
    start = datetime.fromisoformat("2019-06-22T00:00")
    moments = [start + timedelta(minutes=30 * k, microseconds=k % 2) for k in range(12)]
    visitors = ["a", "A", "ab", "Ä", "😀", *random.sample(HOSTILE, 3)]
    paths = [None, "", "/", "/en/", "/EN/", "/é", '/"q"\\', "/日本", *random.sample(HOSTILE, 4)]
    rows: list[Row] = []
    for k in range(count):
        row = event(
            random.randrange(10**9),
            random.choice(visitors),
            random.choice(moments),
            random.choice(paths),
            adblock=random.choice((None, True, False)),
            ip_address=random.choice((None, "203.0.113.9", "2001:db8::1")),
            user_agent=random.choice((None, "", *HOSTILE[:3])),
            language=random.choice((None, "en", "日本")),
            hash=random.choice((None, None, None, "#x", "")),
            sender_id=random.choice((None, None, None, "s1", "s2")),
            type=random.choice((None, "page", "click")),
        )
        if k and random.random() < 0.2:
            # Loaded twice: the same, or at another time, or of whomever.
            twin = random.choice(rows)
            other = random.choice(
                ("request_id", "pathname", "adblock", "ip_address", "language", "hash", "sender_id", "type")
            )
            row = random.choice((dict(twin), row | {"request_id": twin["request_id"]}, twin | {other: row[other]}))
        rows.append(row)
    return rows


def twins(random: Random, count: int) -> list[Row]:
    """Events of a visitor each, every one there three times at one moment; the copies differ in a field or two."""
    start = datetime.fromisoformat("2019-06-22T01:00")
    values: dict[str, tuple[Any, ...]] = {
        "pathname": (None, "", "/", "/é", "/😀"),
        "adblock": (None, True, False),
        **dict.fromkeys(
            ("ip_address", "user_agent", "language", "sender_id", "hash", "type"), (None, "", "a", "B", "é")
        ),
    }
    rows: list[Row] = []
    for k in range(count):
        one = event(k, f"v{k}", start, **{name: random.choice(of) for name, of in values.items()})
        differing = random.sample(sorted(values), random.randint(1, 2))
        rows += [one | {name: random.choice(values[name]) for name in differing} for _ in range(3)]
    return rows


def batches(rows: Sequence[Row], size: int = 1000) -> list[pa.RecordBatch]:
    """The rows as a source hands them over."""
    found: list[pa.RecordBatch] = pa.Table.from_pylist(list(rows), schema=arrow_schema(PAGE_EVENTS)).to_batches(size)
    return found
