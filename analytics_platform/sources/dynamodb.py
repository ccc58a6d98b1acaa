"""Page events from a site's DynamoDB table, by one of three ways: the whole table, an index, an export to S3.

Belongs here: the ways and what each needs. Does not: requests (`dynamodb_pages.py`, `dynamodb_client.py`), exports
(`dynamodb_export.py`), items (`dynamodb_items.py`), reports written back (`dynamodb_reports.py`).

`scan` reads, and AWS charges, the whole table for any window. `index` reads the window alone, from a global secondary
index whose hash key is `YYYY-MM-DD#shard` (UTC day, shard from 0) and whose range key is the time as ISO text in UTC.
`export` costs the table nothing and shows the state of when it was made.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from analytics_platform.metrics.windows import Window
from analytics_platform.sources.dynamodb_client import PATIENCE, Account, Client, DynamoBusyError, DynamoError
from analytics_platform.sources.dynamodb_pages import Index, Page, in_parallel, index_tasks, scan_tasks

if TYPE_CHECKING:
    import pyarrow as pa

    from analytics_platform.sources.dynamodb_items import Converter, Reading

__all__ = ["Access", "Account", "DynamoBusyError", "DynamoError", "DynamoSource"]

# While its capacity is changed, which scaling does by itself, everything is read as ever.
_READABLE = ("ACTIVE", "UPDATING")


class Access(StrEnum):
    """How events come out of DynamoDB."""

    SCAN = "scan"
    INDEX = "index"
    EXPORT = "export"


class DynamoSource:
    """The events of one table.

    `index` reads with `index`, its hash key `bucket_attribute` of `shards` shards and its range key `range_attribute`;
    `export` reads `export`, a folder or `s3://bucket/prefix` with exports of that table; without a table's name, of any
    one. At most `segments` requests run at once. Items that are no events raise, or are counted with `skip_bad`. For
    `attempts` and `patience` see `Account`. `progress` is called with (items looked at, events) after each page.

    Scans and indexes are eventually consistent: windows that follow each other are to end some minutes
    ago. Raises ValueError for arguments that do not fit together.
    """

    def __init__(
        self,
        table: str,
        *,
        region: str,
        endpoint_url: str | None = None,
        access: Access = Access.SCAN,
        time_attribute: str = "created",
        index: str | None = None,
        bucket_attribute: str = "bucket",
        range_attribute: str = "ts",
        shards: int = 4,
        segments: int = 4,
        export: str | None = None,
        skip_bad: bool = False,
        attempts: int = 5,
        patience: timedelta = PATIENCE,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if access is Access.INDEX and not index:
            raise ValueError("access by index needs the index's name")
        if access is Access.EXPORT and not export:
            raise ValueError("access by export needs the folder or s3:// address of the export")
        if min(shards, segments) < 1:
            raise ValueError("shards and segments are at least 1")
        self.table, self.access = table, Access(access)
        self.account = Account(region, endpoint_url, attempts, patience)
        self.reading: Reading | None = None
        self._time, self._export, self._segments = time_attribute, export or "", segments
        self._index = Index(index or "", bucket_attribute, range_attribute, shards)
        self._skip_bad = skip_bad
        self._progress = progress or (lambda _items, _events: None)

    @property
    def place(self) -> str:
        """Where the events are, in words that hold no secret."""
        if self.access is Access.EXPORT:
            return f"export {self._export}"
        index = f", index {self._index.name!r}" if self.access is Access.INDEX else ""
        return f"DynamoDB table {self.table!r} in {self.account.place}{index}"

    def events(self, start: datetime, end: datetime) -> "Iterator[pa.RecordBatch]":
        """The events of [start, end), both aware, in no order, each request once; `arrow_schema(PAGE_EVENTS)`.

        What became of the items is in `reading` when the last batch has been taken. Raises DynamoError, also for an
        export that is older than the end of the window; ValueError for a window that is none.
        """
        if start.utcoffset() is None or end.utcoffset() is None:
            raise ValueError("a window begins and ends at moments with a time zone")
        if start >= end:
            raise ValueError("a window ends after it begins")
        from analytics_platform.sources.dynamodb_items import Converter, Reading

        self.reading = reading = Reading(self.place)
        window = Window(*(moment.astimezone(UTC).replace(tzinfo=None) for moment in (start, end)))
        left_out = (self._index.bucket, self._index.range)
        converter = Converter(reading, window, self._time, left_out=left_out, skip_bad=self._skip_bad)
        return self._events(converter, window)

    def _events(self, converter: "Converter", window: Window) -> "Iterator[pa.RecordBatch]":
        reading = converter.reading
        for page in self._pages(reading, window):
            batch = converter.batch(page.items)
            reading.items += page.looked_at
            self._progress(reading.items, reading.events)
            if batch.num_rows:
                yield batch

    def _pages(self, reading: "Reading", window: Window) -> Iterator[Page]:
        if self.access is Access.EXPORT:
            from analytics_platform.sources.dynamodb_export import export_pages

            yield from export_pages(
                self._export, self.account, reading, table=self.table, time_attribute=self._time, window=window
            )
            return
        with self.account.client(connections=self._segments) as client:
            if self.access is Access.SCAN:
                tasks = scan_tasks(client, self.table, self._time, window, self._segments)
            else:
                # One that lacks attributes, or has other keys, would give less without a word.
                self._check_index(described_table(client, self.table))
                tasks = index_tasks(client, self.table, self._index, window)
            yield from in_parallel(tasks, self._segments)

    def check(self) -> str:
        """Whether events can be read: table, index and its keys, rights, or the export. What was found, in words.

        Raises DynamoError for the first thing that is not as it must be.
        """
        if self.access is Access.EXPORT:
            from analytics_platform.sources.dynamodb_export import find_export

            with find_export(self._export, self.account, table=self.table, fetch=False) as export:
                return export.words
        with self.account.client() as client:
            described = described_table(client, self.table)
            if self.access is Access.INDEX:
                self._check_index(described)
                self._try_index(client)
            else:
                client.call("scan", f"table {self.table!r}", TableName=self.table, Limit=1)
        return f"{self.place}, {described['ItemCount']} items when AWS last counted"

    def _check_index(self, described: dict[str, Any]) -> None:
        wanted = self._index
        what = self._index_in_words
        indexes = {index["IndexName"]: index for index in described.get("GlobalSecondaryIndexes", ())}
        if wanted.name not in indexes:
            there = ", ".join(sorted(indexes)) or "none"
            raise DynamoError(f"{what} does not exist (there is: {there}); create it, or read the table by scan")
        index = indexes[wanted.name]
        keys = [(key["KeyType"], key["AttributeName"]) for key in index["KeySchema"]]
        if keys != [("HASH", wanted.bucket), ("RANGE", wanted.range)]:
            there = " and ".join(f"{name} ({kind})" for kind, name in keys)
            raise DynamoError(
                f"{what} has the keys {there}, not {wanted.bucket} (HASH) and {wanted.range} (RANGE); "
                "name its attributes"
            )
        if index.get("Projection", {}).get("ProjectionType", "ALL") != "ALL":
            raise DynamoError(f"{what} does not project all attributes, so events would lack some; create it with ALL")
        if index.get("IndexStatus", "ACTIVE") not in _READABLE:
            raise DynamoBusyError(f"{what} is {index['IndexStatus']}; wait until it is ACTIVE")

    @property
    def _index_in_words(self) -> str:
        return f"index {self._index.name!r} of table {self.table!r}"

    def _try_index(self, client: Client) -> None:
        wanted = self._index
        client.call(
            "query",
            self._index_in_words,
            TableName=self.table,
            IndexName=wanted.name,
            KeyConditionExpression="#bucket = :bucket",
            ExpressionAttributeNames={"#bucket": wanted.bucket},
            ExpressionAttributeValues={":bucket": {"S": "1970-01-01#0"}},
            Limit=1,
        )


def described_table(client: Client, table: str) -> dict[str, Any]:
    """What DynamoDB says of a table. Raises DynamoError, DynamoBusyError while it is being made."""
    described: dict[str, Any] = client.call("describe_table", f"table {table!r}", TableName=table)["Table"]
    if described["TableStatus"] not in _READABLE:
        raise DynamoBusyError(f"table {table!r} is {described['TableStatus']}; wait until it is ACTIVE")
    return described
