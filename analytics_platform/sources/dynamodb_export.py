"""Items out of a table's export to S3, from a folder or from the bucket: its newest complete one, read with DuckDB.

Belongs here: which files are the export, as of when, its lines. Does not: what an item means (`dynamodb_items.py`).

A full export has one line per item. An incremental one has a line per item that changed in its period, with the newest
image, or none where the item was deleted.
"""

import gzip
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

from analytics_platform.metrics.windows import Window
from analytics_platform.sources.dynamodb_client import Account, Client, DynamoError, said
from analytics_platform.sources.dynamodb_pages import Page, bounds_of_dates, text_bounds

if TYPE_CHECKING:
    from analytics_platform.sources.dynamodb_items import Reading

_SUMMARY: Final = "manifest-summary.json"
_ENDINGS: Final = (".json.gz", ".json")
_ROWS = 5_000
_THREADS = 4
_MEMORY = "512MB"
_LARGEST_LINE = 4_000_000  # bytes; two images of an item of 400 kB, escaped

# What one reads as text, DynamoDB's filter of a scan says in its own words (`dynamodb_pages.py`).
_WANTED: Final = """
  Item IS NULL OR coalesce(
    NOT contains(seen, '-') OR seen < $first OR seen >= $last OR (seen >= $from AND seen < $to), true)
"""
_FULL: Final = f"""
SELECT Item, filename FROM (
  SELECT Item, filename, json_extract_string(json_extract(Item, $time), 'S') AS seen
  FROM read_json($files, format = 'newline_delimited', records = true, filename = true,
    maximum_object_size = {_LARGEST_LINE}, columns = {{'Item': 'JSON'}}))
WHERE {_WANTED}
"""  # noqa: S608  (constants of this file; values are bound)
# An image that is not there is the text `null`: arg_max would pass over it and find an older one.
_INCREMENTAL: Final = f"""
SELECT Item, filename FROM (
  SELECT Item, filename, json_extract_string(json_extract(Item, $time), 'S') AS seen
  FROM (
    SELECT CASE WHEN keys IS NULL THEN NULL ELSE arg_max(coalesce(image, 'null'), written) END AS Item,
      any_value(filename) AS filename
    FROM (
      SELECT CAST(Keys AS VARCHAR) AS keys, NewImage AS image, filename,
        coalesce(CAST(coalesce(json_extract_string(Metadata, '$.WriteTimestampMicros.N'),
          json_extract_string(Metadata, '$.WriteTimestampMicros')) AS BIGINT), 0) AS written
      FROM read_json($files, format = 'newline_delimited', records = true, filename = true,
        maximum_object_size = {_LARGEST_LINE},
        columns = {{'Keys': 'JSON', 'NewImage': 'JSON', 'Metadata': 'JSON'}}))
    GROUP BY keys))
WHERE Item IS NULL OR (CAST(Item AS VARCHAR) <> 'null' AND ({_WANTED}))
"""  # noqa: S608  (as above)


@dataclass(frozen=True)
class Export:
    """One export. `since`: it has only what was written from then on; `as_of`: and before that moment (UTC)."""

    name: str
    files: tuple[Path, ...]
    as_of: datetime | None = None
    since: datetime | None = None
    others: int = 0

    @property
    def words(self) -> str:
        """What it is, as of when."""
        since = f", of what was written since {_moment(self.since)}" if self.since else ""
        when = f"as of {_moment(self.as_of)}{since}" if self.as_of else "of unknown age (it has no manifest)"
        others = f"; the newest of {self.others + 1}" if self.others else ""
        return f"export {self.name} {when}{others}"

    def check(self, window: Window) -> None:
        """DynamoError if it cannot have all events of the window."""
        start, end = window.start.replace(tzinfo=UTC), window.end.replace(tzinfo=UTC)
        if self.as_of and end > self.as_of:
            raise DynamoError(
                f"export {self.name} is as of {_moment(self.as_of)} and the window ends at {_moment(end)}; make a new "
                "export, or end the window earlier"
            )
        if self.since and start < self.since:
            raise DynamoError(
                f"export {self.name} has only what was written since {_moment(self.since)} and the window begins at "
                f"{_moment(start)}; name a full export"
            )


def export_pages(
    place: str, account: Account, reading: "Reading", *, table: str, time_attribute: str, window: Window
) -> Iterator[Page]:
    """Items of the table that may be of the window. Raises DynamoError, naming the file of a bad line."""
    import duckdb

    with find_export(place, account, table=table) as export:
        reading.place, reading.as_of = export.words, export.as_of
        export.check(window)
        if not export.files:
            return
        low, high = text_bounds(window)
        first, last = bounds_of_dates()
        values = {"time": time_attribute, "from": low, "to": high, "first": first, "last": last}
        values_and_files = {**values, "files": [str(path) for path in export.files]}
        statement = _INCREMENTAL if _is_incremental(export) else _FULL
        with duckdb.connect(
            ":memory:", config={"memory_limit": _MEMORY, "autoinstall_known_extensions": False, "TimeZone": "UTC"}
        ) as engine:
            try:
                answer = engine.execute(statement, values_and_files)
                while rows := answer.fetchmany(_ROWS):
                    yield _page(rows, export)
            except duckdb.Error as error:
                raise DynamoError(_said(error, export)) from None


def _page(rows: list[tuple[str | None, str]], export: Export) -> Page:
    for text, file in rows:
        if text is None:
            raise DynamoError(f"{_shown(file, export)} has a line that is no item of an export; export the table again")
    items = json.loads("[" + ",".join(text for text, _ in rows if text is not None) + "]")
    for item, (_, file) in zip(items, rows, strict=True):
        if not isinstance(item, dict) or not all(isinstance(v, dict) and len(v) == 1 for v in item.values()):
            raise DynamoError(
                f"{_shown(file, export)} has an item whose attributes name no type; export as DYNAMODB_JSON"
            )
    return Page(items, len(items))


def _said(error: Exception, export: Export) -> str:
    text = str(error).partition("\n")[0]
    for file in export.files:
        text = text.replace(str(file), file.name)
    kind, _, words = text.partition(": ")
    return f"export {export.name} cannot be read: {words or kind}; copy or export it again".replace(". ;", ";")


def _shown(file: str, export: Export) -> str:
    """The file's name: fetched ones lie in a folder that is gone when somebody reads this."""
    return f"{Path(file).name} of export {export.name}"


def _is_incremental(export: Export) -> bool:
    """By the first line there is, as an export without its manifest is one as well."""
    for file in export.files:
        try:
            with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
                line = stream.readline(_LARGEST_LINE)
        except (OSError, EOFError) as error:
            raise DynamoError(f"{_shown(str(file), export)} cannot be read ({error}); copy it again") from None
        if line.strip():
            head = line[:200]
            return b'"Item"' not in head and (b'"Keys"' in head or b'"Metadata"' in head)
    return False


@contextmanager
def find_export(place: str, account: Account, *, table: str, fetch: bool = True) -> Iterator[Export]:
    """The table's newest complete export in a folder, or under `s3://bucket/prefix`, whose files are fetched first.

    An empty `table` stands for the only one that has exports there. Without any manifest, all data files there. Fetched
    files are gone at the end; `fetch=False` leaves them where they are. Raises DynamoError.
    """
    with ExitStack() as stack:
        if not place.startswith("s3://"):
            yield _in_folder(Path(place), table)
            return
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        if not bucket:
            raise DynamoError(f"{place} names no bucket; write s3://bucket/prefix")
        client = stack.enter_context(account.client("s3", _THREADS))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="export-")))
        yield _in_bucket(client, place, bucket, prefix.strip("/"), folder, table=table, fetch=fetch)


def _newest(summaries: Mapping[str, Mapping[str, Any]], place: str, table: str) -> tuple[str, int]:
    """Where the summary of the table's newest export is, and how many others the table has."""
    tables = {name: str(summary.get("tableArn", "")).rpartition("/")[2] for name, summary in summaries.items()}
    wanted = table.rpartition("/")[2]  # a table may be named by its ARN
    known = sorted({name for name in tables.values() if name})
    if not wanted and len(known) > 1:
        raise DynamoError(f"{place} holds exports of several tables ({', '.join(known)}); set DYNAMODB_TABLE to one")
    # Whose manifest names no table was not written by AWS; it is taken, as files without a manifest are.
    found = [name for name, of in tables.items() if not wanted or of in (wanted, "")]
    if not found:
        raise DynamoError(
            f"{place} holds no export of table {wanted!r}, but of {', '.join(known)}; export that table, or correct "
            "DYNAMODB_EXPORT"
        )
    return max(found, key=lambda name: (_as_of(summaries[name], name), name)), len(found) - 1


def _in_folder(folder: Path, table: str) -> Export:
    if not folder.is_dir():
        raise DynamoError(
            f"{folder} is no folder; name the one that holds the export's {_SUMMARY}, or s3://bucket/prefix"
        )
    summaries = {str(path): _read(path.read_bytes(), str(path)) for path in folder.rglob(_SUMMARY)}
    if not summaries:
        files = tuple(sorted(p for p in folder.rglob("*") if p.name.endswith(_ENDINGS) and p.is_file()))
        if not files:
            raise DynamoError(f"{folder} holds no export: neither a {_SUMMARY} nor files ending in {_ENDINGS[0]}")
        return Export(str(folder), files)
    newest, others = _newest(summaries, str(folder), table)
    path = Path(newest)
    manifest = path.with_name("manifest-files.json")
    if not manifest.exists():
        raise DynamoError(f"{path.parent} has no {manifest.name}; copy the whole export")
    found: list[Path] = []
    for key in _data_keys(manifest.read_bytes(), str(manifest)):
        # Data lies beside the manifest, of incremental exports beside its folder.
        name = PurePosixPath(key).name
        places = [parent / "data" / name for parent in (path.parent, path.parent.parent)]
        there = next((p for p in places if p.is_file()), None)
        if there is None:
            raise DynamoError(f"{path.parent} lacks {name}, which its manifest names; copy the whole export")
        found.append(there)
    return _export(str(path.parent), summaries[newest], tuple(found), others)


def _in_bucket(
    client: Client, place: str, bucket: str, prefix: str, folder: Path, *, table: str, fetch: bool
) -> Export:
    keys = list(_listed(client, bucket, prefix))
    summaries = {
        key: _read(_object(client, bucket, key), f"s3://{bucket}/{key}")
        for key in keys
        if PurePosixPath(key).name == _SUMMARY
    }
    if summaries:
        newest, others = _newest(summaries, place, table)
        manifest = str(
            summaries[newest].get("manifestFilesS3Key") or PurePosixPath(newest).with_name("manifest-files.json")
        )
        name = f"s3://{bucket}/{PurePosixPath(newest).parent}"
        data = _data_keys(_object(client, bucket, manifest), f"s3://{bucket}/{manifest}")
        summary = summaries[newest]
    else:
        data = sorted(key for key in keys if key.endswith(_ENDINGS))
        if not data:
            raise DynamoError(f"{place} holds no export: neither a {_SUMMARY} nor files ending in {_ENDINGS[0]}")
        name, summary, others = place, {}, 0
    if not fetch:
        return _export(name, summary, (), others)

    def fetched(numbered: tuple[int, str]) -> Path:
        number, key = numbered
        path = folder / f"{number:06}-{PurePosixPath(key).name}"
        with path.open("wb") as stream:
            _fetch(client, bucket, key, stream)
        return path

    with ThreadPoolExecutor(_THREADS) as pool:
        files = tuple(pool.map(fetched, enumerate(data)))
    return _export(name, summary, files, others)


def _listed(client: Client, bucket: str, prefix: str) -> Iterator[str]:
    request: dict[str, object] = {"Bucket": bucket, "Prefix": f"{prefix}/" if prefix else ""}
    while True:
        answer = client.call("list_objects_v2", f"bucket {bucket!r}", **request)
        yield from (entry["Key"] for entry in answer.get("Contents", ()))
        if not answer.get("IsTruncated"):
            return
        request["ContinuationToken"] = answer["NextContinuationToken"]


def _fetch(client: Client, bucket: str, key: str, stream: IO[bytes]) -> None:
    what = f"object s3://{bucket}/{key}"
    body = client.call("get_object", what, Bucket=bucket, Key=key)["Body"]
    with said(client.account, "s3", "get_object", what):  # the connection may be lost on the way
        shutil.copyfileobj(body, stream)


def _object(client: Client, bucket: str, key: str) -> bytes:
    stream = BytesIO()
    _fetch(client, bucket, key, stream)
    return stream.getvalue()


def _export(name: str, summary: Mapping[str, Any], files: tuple[Path, ...], others: int) -> Export:
    if summary.get("outputFormat", "DYNAMODB_JSON") != "DYNAMODB_JSON":
        raise DynamoError(f"export {name} is in {summary['outputFormat']}; export as DYNAMODB_JSON")
    since = _time(summary["exportFromTime"], name) if "exportFromTime" in summary else None
    return Export(name, files, _as_of(summary, name) if summary else None, since, others)


def _as_of(summary: Mapping[str, Any], name: str) -> datetime:
    return _time(summary.get("exportToTime") or summary.get("exportTime"), name)


def _time(text: object, name: str) -> datetime:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise DynamoError(f"the manifest of {name} does not say as of when it is; copy it again") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _read(content: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DynamoError(f"{name} is no manifest of an export; copy it again")
    return found


def _data_keys(content: bytes, name: str) -> list[str]:
    return [str(_read(line, name).get("dataFileS3Key", "")) for line in content.splitlines() if line.strip()]


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
