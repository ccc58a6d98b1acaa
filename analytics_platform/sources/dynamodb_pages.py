"""The pages of a table or an index that may hold events of a window, several at once.

Belongs here: what is asked, so that no event of the window is missed; pages in parallel. Does not: whether an item is
an event of the window (`dynamodb_items.py`).
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from queue import Empty, Full, Queue, SimpleQueue
from typing import Any, Final, NamedTuple

from analytics_platform.metrics.windows import Window
from analytics_platform.sources.dynamodb_client import Client, DynamoError

_DAY = timedelta(days=1)
_MILLISECOND = timedelta(milliseconds=1)
# What the year of an event may begin with, and what is surely no date of one.
_FIRST_DATE, _LAST_DATE = "1969-12-30", "2100-01-03"
_LOOKS_AGAIN_SECONDS = 0.2


class Page(NamedTuple):
    """Items of one answer, and how many were looked at for them."""

    items: Sequence[Mapping[str, Mapping[str, Any]]]
    looked_at: int


@dataclass(frozen=True)
class Index:
    """A global secondary index: hash key `bucket` (`YYYY-MM-DD#shard`, UTC day), range key `range` (time, ISO, UTC)."""

    name: str
    bucket: str
    range: str
    shards: int


Task = Callable[[], Iterator[Page]]


def text_bounds(window: Window) -> tuple[str, str]:
    """Texts between which, first included, every ISO time of the window lies, whatever its offset from UTC.

    An offset is less than a day. A blank sorts before the `T` that may stand in its place, so the first bound has it
    and the last has not.
    """
    first, last = window.start - _DAY, window.end + _DAY + timedelta(minutes=1)
    return f"{first:%Y-%m-%d %H:%M}", f"{last:%Y-%m-%dT%H:%M}"


def bounds_of_dates() -> tuple[str, str]:
    """Texts between which every ISO time of 1970 to 2099 lies, whatever its offset."""
    return _FIRST_DATE, _LAST_DATE


# Numbers, whether they are typed or written as text, and what is no time at all, come through: they are looked at here.
_FILTER: Final = (
    "attribute_not_exists(#time) OR NOT attribute_type(#time, :text) OR NOT contains(#time, :dash)"
    " OR #time < :first OR #time >= :last OR (#time >= :from AND #time < :to)"
)


def scan_tasks(client: Client, table: str, time_attribute: str, window: Window, segments: int) -> list[Task]:
    """The whole table in so many parts. The filter spares the way, not the cost: DynamoDB charges what it looks at."""
    low, high = text_bounds(window)
    first, last = bounds_of_dates()
    values = {":text": "S", ":dash": "-", ":first": first, ":last": last, ":from": low, ":to": high}
    request = {
        "TableName": table,
        "FilterExpression": _FILTER,
        "ExpressionAttributeNames": {"#time": time_attribute},
        "ExpressionAttributeValues": {name: {"S": value} for name, value in values.items()},
        "TotalSegments": segments,
    }

    def task(segment: int) -> Task:
        return lambda: _pages(client, "scan", f"table {table!r}", {**request, "Segment": segment})

    return [task(segment) for segment in range(segments)]


def index_tasks(client: Client, table: str, index: Index, window: Window) -> list[Task]:
    """A query for every UTC day and shard of the window, and a look at the shard after the last: events there mean that
    there are more shards than `index` says, and those of them would be missing without a word.

    The index may keep less than microseconds, cut or rounded: a millisecond is added on both sides, and whole seconds
    are asked for. `~` sorts after all that can follow the second in a time.
    """
    first, last = window.start - _MILLISECOND, window.end + _MILLISECOND
    request = {
        "TableName": table,
        "IndexName": index.name,
        "KeyConditionExpression": "#bucket = :bucket AND #range BETWEEN :from AND :to",
        "ExpressionAttributeNames": {"#bucket": index.bucket, "#range": index.range},
    }

    what = f"index {index.name!r} of table {table!r}"

    def asked(key: str) -> dict[str, object]:
        values = {":bucket": key, ":from": f"{first:%Y-%m-%dT%H:%M:%S}", ":to": f"{last:%Y-%m-%dT%H:%M:%S}~"}
        typed = {name: {"S": value} for name, value in values.items()}
        return {**request, "ExpressionAttributeValues": typed}

    def task(key: str) -> Task:
        return lambda: _pages(client, "query", what, asked(key))

    def beyond(key: str) -> Iterator[Page]:
        if client.call("query", what, **asked(key), Limit=1)["Items"]:
            raise DynamoError(
                f"{what} has events in {key}, and DYNAMODB_SHARDS is {index.shards}: set it to the number of shards "
                "that events are written with, or they would be missing"
            )
        yield from ()

    days = [first.date() + k * _DAY for k in range((last.date() - first.date()).days + 1)]
    looks = [partial(beyond, f"{day}#{index.shards}") for day in days]
    return [*looks, *(task(f"{day}#{shard}") for day in days for shard in range(index.shards))]


def _pages(client: Client, operation: str, what: str, request: Mapping[str, object]) -> Iterator[Page]:
    """To the end, which is where DynamoDB names no next key: a page without items is none."""
    beyond: dict[str, object] = {}
    while True:
        answer = client.call(operation, what, **request, **beyond)
        yield Page(answer["Items"], answer["ScannedCount"])
        if not (key := answer.get("LastEvaluatedKey")):
            return
        beyond = {"ExclusiveStartKey": key}


def in_parallel(tasks: Sequence[Task], threads: int) -> Iterator[Page]:
    """The pages of all tasks as they come, at most two a thread ahead of whoever takes them.

    The first error ends all of them and is raised here.
    """
    if threads == 1 or len(tasks) == 1:
        for one in tasks:
            yield from one()
        return
    waiting: SimpleQueue[Task] = SimpleQueue()
    for one in tasks:
        waiting.put(one)
    pages: Queue[Page | Exception | None] = Queue(maxsize=2 * threads)
    stop = threading.Event()

    def hand_over(found: Page | Exception | None) -> None:
        while not stop.is_set():
            try:
                pages.put(found, timeout=_LOOKS_AGAIN_SECONDS)
            except Full:
                continue
            return

    def work() -> None:
        try:
            while not stop.is_set():
                for page in waiting.get_nowait()():
                    hand_over(page)
                    if stop.is_set():
                        return
        except Empty:
            hand_over(None)
        except Exception as error:  # noqa: BLE001  (raised again in the thread that takes the pages)
            hand_over(error)

    workers = [threading.Thread(target=work, daemon=True, name=f"pages-{k}") for k in range(min(threads, len(tasks)))]
    for worker in workers:
        worker.start()
    try:
        unfinished = len(workers)
        while unfinished:
            found = pages.get()
            if found is None:
                unfinished -= 1
            elif isinstance(found, Exception):
                raise found
            else:
                yield found
    finally:
        stop.set()
