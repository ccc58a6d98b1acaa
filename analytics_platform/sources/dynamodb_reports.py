"""Reports written back to the tables that the site's own programs read: one item per visitor, one per event.

Belongs here: rows to items, batches until all are written. Does not: computing reports (`visitors/`), requests
(`dynamodb_client.py`).

Every item replaces the one of its key, and items that no longer belong are deleted last, so that whoever is killed and
begins again comes to the same. An event has one item, of the window that it was last reported in: another window takes
it over, and only that one may delete it from then on.
"""

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from analytics_platform.sources.dynamodb import described_table
from analytics_platform.sources.dynamodb_client import Account, Client, DynamoBusyError, DynamoError, DynamoUnmetError

if TYPE_CHECKING:
    import pyarrow as pa

_VISITOR_KEY, _EVENT_KEY = "uuid", "request_id"
_LISTS: Final = ("pages",)  # JSON lists in the warehouse, lists here
_BATCH = 25  # DynamoDB takes no more at once
_THREADS = 4
_AT_ONCE = 1_000  # items that wait for a thread: each takes 2 kB and more, and a window may have millions of events
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0  # seconds

_Request = dict[str, Any]


@dataclass(frozen=True)
class Gone:
    """What earlier reports of the window from `start` to `end` (naive UTC) had and this one has not: visitor reports
    by `uuid`, event reports by `request_id`.
    """

    start: datetime
    end: datetime
    visitors: Sequence[str] = ()
    events: Sequence[str] = ()


@dataclass(frozen=True)
class Written:
    """How many items were written, and how many of either kind deleted."""

    visitors: int
    events: int
    deleted: int
    deleted_events: int = 0


def write_reports(
    account: Account,
    visitor_table: str,
    event_table: str,
    *,
    visitor_rows: "pa.Table",
    event_rows: "pa.Table",
    gone: Gone | None = None,
) -> Written:
    """Put the reports of a window, and delete what is `gone` since an earlier one of it: of events, the items that are
    still of this window.

    Visitor reports are keyed by `uuid`, event reports by `request_id`. Times are ISO text in UTC, values that are
    missing are left out, `pages` is a list. Idempotent. Raises DynamoError; DynamoBusyError when it goes on refusing.
    """
    visitors = _places(visitor_rows, _VISITOR_KEY)
    events = _places(event_rows, _EVENT_KEY)
    left = [uuid for uuid in gone.visitors if uuid not in visitors] if gone else []
    deleted = [{"DeleteRequest": {"Key": {_VISITOR_KEY: {"S": uuid}}}} for uuid in dict.fromkeys(left)]
    with account.client(connections=_THREADS) as client:
        _write(client, visitor_table, _puts(visitor_rows, visitors.values()))
        _write(client, event_table, _puts(event_rows, events.values()))
        _write(client, visitor_table, deleted)
        taken = _take(client, event_table, gone, (key for key in gone.events if key not in events)) if gone else 0
    return Written(len(visitors), len(events), len(deleted), taken)


def check_reports(account: Account, visitor_table: str, event_table: str) -> str:
    """Whether both tables are there with their keys; what was found, in words. Writes nothing. Raises DynamoError."""
    with account.client() as client:
        for table, key in ((visitor_table, _VISITOR_KEY), (event_table, _EVENT_KEY)):
            described = described_table(client, table)
            types = {one["AttributeName"]: one["AttributeType"] for one in described["AttributeDefinitions"]}
            keys = [(one["AttributeName"], types[one["AttributeName"]]) for one in described["KeySchema"]]
            if keys != [(key, "S")]:
                there = " and ".join(f"{name} ({kind})" for name, kind in keys)
                raise DynamoError(f"table {table!r} has the key {there}, not {key} (S); create it with that key")
    return f"DynamoDB tables {visitor_table!r} and {event_table!r} in {account.place}"


def _places(rows: "pa.Table", key: str) -> dict[str, int]:
    """Where the last row of each key is: DynamoDB refuses a batch that names one twice."""
    return {str(name): place for place, name in enumerate(rows[key].to_pylist())}


def _puts(rows: "pa.Table", places: Collection[int]) -> Iterator[_Request]:
    """The requests that put those rows, made as they are taken."""
    chosen = rows if len(places) == rows.num_rows else rows.take(sorted(places))
    for some in chosen.to_batches(max_chunksize=_AT_ONCE):
        yield from ({"PutRequest": {"Item": _item(row)}} for row in some.to_pylist())


def _item(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _list(value) if name in _LISTS else _attribute(value) for name, value in row.items() if value is not None
    }


def _list(text: str) -> dict[str, Any]:
    return {"L": [_attribute(one) for one in json.loads(text)]}


def _attribute(value: object) -> dict[str, Any]:
    match value:
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": repr(value)}
        case datetime():
            return {"S": f"{(value.astimezone(UTC) if value.tzinfo else value):%Y-%m-%dT%H:%M:%S.%f}Z"}
        case date():
            return {"S": value.isoformat()}
        case None:
            return {"NULL": True}
    return {"S": str(value)}


def _take(client: Client, table: str, gone: Gone, keys: Iterable[str]) -> int:
    """Delete the event reports that are of that window, and not those that another has taken over. How many."""
    bounds = {":start": _attribute(gone.start), ":end": _attribute(gone.end)}

    def one(key: str) -> bool:
        try:
            client.call(
                "delete_item",
                f"table {table!r}",
                TableName=table,
                Key={_EVENT_KEY: {"S": key}},
                ConditionExpression="window_start = :start AND window_end = :end",
                ExpressionAttributeValues=bounds,
            )
        except DynamoUnmetError:
            return False
        return True

    left, taken = iter(keys), 0
    with ThreadPoolExecutor(_THREADS) as pool:
        while some := list(islice(left, _AT_ONCE)):
            taken += sum(pool.map(one, some))
    return taken


def _write(client: Client, table: str, requests: Iterable[_Request]) -> None:
    batches = _batches(requests)
    with ThreadPoolExecutor(_THREADS) as pool:
        while some := list(islice(batches, max(1, _AT_ONCE // _BATCH))):
            for _ in pool.map(lambda batch: _batch(client, table, batch), some):
                pass


def _batches(requests: Iterable[_Request]) -> Iterator[list[_Request]]:
    left = iter(requests)
    while batch := list(islice(left, _BATCH)):
        yield batch


def _batch(client: Client, table: str, batch: list[_Request]) -> None:
    """Until nothing of it is left over, which is how DynamoDB refuses a part."""
    patience = client.account.patience.total_seconds()
    deadline, pause = time.monotonic() + patience, _FIRST_PAUSE
    while batch:
        answer = client.call("batch_write_item", f"table {table!r}", RequestItems={table: batch})
        left: list[_Request] = answer.get("UnprocessedItems", {}).get(table, [])
        if len(left) < len(batch):
            deadline, pause = time.monotonic() + patience, _FIRST_PAUSE
        elif time.monotonic() + pause > deadline:
            raise DynamoBusyError(
                f"DynamoDB in {client.account.place} wrote nothing to table {table!r} for {patience:g} s, as it "
                "exceeds its capacity; raise the capacity, or run it again later"
            )
        batch = left
        if batch:
            client.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
