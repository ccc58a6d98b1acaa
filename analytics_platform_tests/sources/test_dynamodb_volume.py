"""100,000 items: all of them come, once, whatever way, from a second implementation of DynamoDB (dynalite).

Belongs here: many pages, segments, shards and refusals. Does not: corner cases (`test_dynamodb.py`).
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest

from analytics_platform.metrics.events import PAGE_EVENTS, arrow_schema
from analytics_platform.sources.dynamodb import Access, DynamoError, DynamoSource
from analytics_platform_tests.dynamodb_service import (
    INDEX,
    REGION,
    Item,
    between,
    dynalite,
    make_table,
    only_test_credentials,
    put,
)

COUNT = 100_000
# What the index has: the site has filled its keys in for a while. Loading is nearly all that this file costs, and each
# of these costs twice.
INDEXED = range(40_000)
PATH = "/en/"
START = datetime(2026, 11, 18, tzinfo=UTC)
STEP = timedelta(seconds=2.5, microseconds=1)
ZONES = [timezone(timedelta(hours=hours)) for hours in (9, -11, 14, 0)]
SCHEMA = arrow_schema(PAGE_EVENTS)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    only_test_credentials(monkeypatch)


def item(k: int) -> Item:
    moment = START + k * STEP
    made: Item = {
        "request_id": {"S": f"r{k:06}"},
        "visitor": {"S": f"v{k % 997}"},
        "created": {"S": moment.astimezone(ZONES[k % 4]).isoformat(timespec="microseconds")},
    }
    if k % 3 < 2:
        made["adblock"] = {"BOOL": k % 3 == 0}
    if k in INDEXED:
        utc = moment.isoformat(timespec="milliseconds")
        made |= {"pathname": {"S": PATH}, "bucket": {"S": f"{utc[:10]}#{k % 5}"}, "ts": {"S": f"{utc[:23]}Z"}}
    return made


def truth(first: int, last: int) -> pa.Table:
    """The events first..last (excluded), in the order of their times."""
    rows = [
        {
            "request_id": f"r{k:06}",
            "time": (START + k * STEP).replace(tzinfo=None),
            "visitor": f"v{k % 997}",
            "pathname": PATH if k in INDEXED else None,
            "adblock": k % 3 == 0 if k % 3 < 2 else None,
        }
        for k in range(first, last)
    ]
    columns = {name: pa.array([row.get(name) for row in rows], SCHEMA.field(name).type) for name in SCHEMA.names}
    return pa.table(columns, SCHEMA)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with dynalite() as found:
        make_table(found, "visits")
        put(found, "visits", map(item, range(COUNT)))
        yield found


def source(address: str, access: Access, **options: Any) -> DynamoSource:
    given: dict[str, Any] = {"region": REGION, "endpoint_url": address, "index": INDEX, "shards": 5, "segments": 4}
    return DynamoSource("visits", access=access, **{**given, **options})


def read(found: DynamoSource, start: datetime, end: datetime) -> pa.Table:
    return pa.Table.from_batches(found.events(start, end), SCHEMA).sort_by("time")


def test_all_items_come_by_every_way(address: str) -> None:
    """One test, so that 100,000 items are not loaded by several workers."""
    pages: list[int] = []
    found = source(address, Access.SCAN, progress=lambda items, _events: pages.append(items))
    assert read(found, START, START + timedelta(days=30)).equals(truth(0, COUNT))
    assert found.reading
    assert (found.reading.items, found.reading.events, found.reading.repeated) == (COUNT, COUNT, 0)
    assert len(pages) >= 12

    start, end = START + 8_000 * STEP, START + 22_000 * STEP
    expected = truth(8_000, 22_000)
    index = source(address, Access.INDEX)
    assert read(index, start, end).equals(expected)
    with between(address) as throttled:
        throttled.refuse = 3
        scan = source(throttled.address, Access.SCAN, attempts=1)
        assert read(scan, start, end).equals(expected)
        assert (throttled.refuse, throttled.seen.count("Scan")) == (0, len(pages) + 3)
    # The table is looked at as a whole, the index but for the window, and the rest of its last second.
    assert scan.reading
    assert index.reading
    assert (scan.reading.items, index.reading.items) == (COUNT, 14_001)

    absent = source(address, Access.INDEX, index="by-day")
    with pytest.raises(DynamoError, match=r"index 'by-day' of table 'visits' does not exist \(there is: by-time\)"):
        read(absent, START, START + STEP)
    assert "index 'by-time'" in index.check()
