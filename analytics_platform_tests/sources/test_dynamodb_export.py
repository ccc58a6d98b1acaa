"""Exports, from a folder and from a bucket, give the same rows as the items they were made of.

Belongs here: which export is read, as of when, broken ones. Does not: tables (`test_dynamodb.py`).

The files are written as AWS documents them: `AWSDynamoDB/<export>/` with two manifests and `data/`, incremental ones
with their data beside that folder.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from analytics_platform.metrics.events import PAGE_EVENTS, arrow_schema
from analytics_platform.metrics.windows import Window
from analytics_platform.sources.dynamodb import Access, DynamoError, DynamoSource
from analytics_platform.sources.dynamodb_items import Converter, Reading
from analytics_platform_tests.dynamodb_service import REGION, Item, s3

pytestmark = pytest.mark.usefixtures("aws_credentials")

START, END = datetime(2019, 6, 21, 15, 0, tzinfo=UTC), datetime(2019, 6, 22, 15, 0, tzinfo=UTC)
AS_OF = datetime(2019, 6, 25, tzinfo=UTC)
MICRO = timedelta(microseconds=1)


def item(key: str, moment: datetime, hours: int = 9, **others: dict[str, Any]) -> Item:
    created = moment.astimezone(timezone(timedelta(hours=hours))).isoformat()
    return {"request_id": {"S": key}, "visitor": {"S": "v"}, "created": {"S": created}, **others}


def items() -> list[Item]:
    moments = [START - timedelta(hours=30) + timedelta(minutes=23 * k) for k in range(200)]
    moments += [border + step for border in (START, END) for step in (-MICRO, MICRO * 0, MICRO)]
    made = [item(f"r{k}", moment, (9, -11, 14, 0)[k % 4]) for k, moment in enumerate(moments)]
    seconds = int(START.timestamp())
    made += [item("number", START) | {"created": {"N": f"{seconds + 5}"}}]
    made += [item("text", START) | {"created": {"S": f"{seconds + 6}000"}}]
    kinds: dict[str, dict[str, Any]] = {"adblock": {"BOOL": True}, "hash": {"NULL": True}, "tags": {"SS": ["b", "a"]}}
    kinds |= {"metadata": {"M": {"a": {"L": [{"N": "1"}]}}}, "pathname": {"S": 'é"\n\\'}}
    made += [item("kinds", START) | kinds]
    return made


def lines(path: Path, content: Sequence[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in content)
    path.write_bytes(gzip.compress(text.encode()))


def full(root: Path, name: str, content: Sequence[Item], as_of: datetime = AS_OF, **summary: object) -> Path:
    """A full export of four files."""
    folder = root / "AWSDynamoDB" / name
    for k in range(4):
        lines(folder / "data" / f"part{k}.json.gz", [{"Item": one} for one in content[k::4]])
    keys = [f"AWSDynamoDB/{name}/data/part{k}.json.gz" for k in range(4)]
    manifest(folder, keys, {"exportType": "FULL_EXPORT", "exportTime": iso(as_of), **summary})
    return folder


def incremental(root: Path, name: str, content: Sequence[object], since: datetime, until: datetime) -> Path:
    folder = root / "AWSDynamoDB" / name
    lines(root / "AWSDynamoDB" / "data" / f"{name}.json.gz", content)
    summary = {"exportType": "INCREMENTAL_EXPORT", "exportFromTime": iso(since), "exportToTime": iso(until)}
    manifest(folder, [f"AWSDynamoDB/data/{name}.json.gz"], summary)
    return folder


def manifest(folder: Path, keys: Sequence[str], summary: Mapping[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = "".join(json.dumps({"itemCount": 1, "dataFileS3Key": key}) + "\n" for key in keys)
    (folder / "manifest-files.json").write_text(files, "utf-8")
    where = {"manifestFilesS3Key": f"AWSDynamoDB/{folder.name}/manifest-files.json", "outputFormat": "DYNAMODB_JSON"}
    where |= {"tableArn": arn("visits")}
    (folder / "manifest-summary.json").write_text(json.dumps({**where, **summary}), "utf-8")


def arn(table: str) -> str:
    return f"arn:aws:dynamodb:{REGION}:123456789012:table/{table}"


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def source(place: object, address: str | None = None, table: str = "visits") -> DynamoSource:
    return DynamoSource(table, region=REGION, endpoint_url=address, access=Access.EXPORT, export=str(place))


def rows(found: DynamoSource, start: datetime = START, end: datetime = END) -> dict[str, dict[str, Any]]:
    table = pa.Table.from_batches(list(found.events(start, end)), arrow_schema(PAGE_EVENTS))
    return {row["request_id"]: row for row in table.to_pylist()}


def expected(content: Sequence[Item]) -> dict[str, dict[str, Any]]:
    """The same items without an export between."""
    window = Window(START.replace(tzinfo=None), END.replace(tzinfo=None))
    batch = Converter(Reading("items"), window, "created").batch(content)
    return {row["request_id"]: row for row in batch.to_pylist()}


def test_a_full_export_gives_exactly_the_events_of_the_window(tmp_path: Path) -> None:
    full(tmp_path, "0156", items())
    found = source(tmp_path)
    assert rows(found) == expected(items())
    assert len(expected(items())) > 60
    assert found.reading
    assert found.reading.as_of == AS_OF
    assert found.reading.items < len(items())  # what is surely not of the window was passed over


def test_files_may_be_unpacked_and_have_no_manifest(tmp_path: Path) -> None:
    folder = full(tmp_path, "0156", items())
    for path in (folder / "data").iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    found = source(folder / "data")
    assert rows(found) == expected(items())
    assert found.reading
    assert found.reading.as_of is None
    assert "of unknown age" in found.reading.place


def test_the_newest_complete_export_is_read(tmp_path: Path) -> None:
    full(tmp_path, "0900", items()[:10], AS_OF - timedelta(days=1))
    full(tmp_path, "0100", items(), AS_OF)
    unfinished = full(tmp_path, "0950", items()[:20], AS_OF + timedelta(days=1))
    (unfinished / "manifest-summary.json").unlink()
    found = source(tmp_path)
    assert rows(found) == expected(items())
    assert found.reading
    assert found.reading.place == (f"export {tmp_path}/AWSDynamoDB/0100 as of 2019-06-25 00:00:00 UTC; the newest of 2")
    assert found.check() == found.reading.place


def test_exports_of_other_tables_are_passed_over(tmp_path: Path) -> None:
    full(tmp_path, "0100", items())
    assert rows(source(tmp_path, table="")) == expected(items())
    full(tmp_path, "0900", items()[:3], AS_OF + timedelta(days=1), tableArn=arn("staging-visits"))
    for table in ("visits", arn("visits")):
        found = source(tmp_path, table=table)
        assert rows(found) == expected(items())
        assert found.check() == f"export {tmp_path}/AWSDynamoDB/0100 as of 2019-06-25 00:00:00 UTC"
    for table, words in (
        ("", r"holds exports of several tables \(staging-visits, visits\); set DYNAMODB_TABLE to one$"),
        ("visit", "holds no export of table 'visit', but of staging-visits, visits; export that table, or correct"),
    ):
        with pytest.raises(DynamoError, match=words):
            rows(source(tmp_path, table=table))


def test_a_window_that_ends_after_the_export_is_refused(tmp_path: Path) -> None:
    full(tmp_path, "0156", items())
    rows(source(tmp_path), AS_OF - MICRO, AS_OF)
    with pytest.raises(
        DynamoError, match=r"is as of 2019-06-25 00:00:00 UTC and the window ends at 2019-06-25 01:00:00"
    ):
        rows(source(tmp_path), START, AS_OF + timedelta(hours=1))


def changed(one: Item, written: int, *, image: bool = True) -> dict[str, Any]:
    line: dict[str, Any] = {
        "Metadata": {"WriteTimestampMicros": {"N": str(written)}},
        "Keys": {"request_id": one["request_id"]},
    }
    return {**line, "NewImage": one} if image else {**line, "OldImage": one}


def test_an_incremental_export_gives_newest_images_without_the_deleted(tmp_path: Path) -> None:
    second = timedelta(seconds=1)
    old, new = item("a", START, pathname={"S": "/old"}), item("a", START + second, pathname={"S": "/new"})
    gone, kept = item("b", START), item("c", START)
    content = [changed(new, 20), changed(old, 10), changed(gone, 1), changed(gone, 2, image=False), changed(kept, 3)]
    incremental(tmp_path, "0200", content, START, AS_OF)
    assert rows(source(tmp_path)) == expected([new, kept])


def test_an_incremental_export_without_its_manifest_is_known_by_its_lines(tmp_path: Path) -> None:
    lines(tmp_path / "x.json.gz", [changed(item("c", START), 3), changed(item("b", START), 2, image=False)])
    assert set(rows(source(tmp_path))) == {"c"}


def test_an_incremental_export_knows_nothing_from_before(tmp_path: Path) -> None:
    incremental(tmp_path, "0200", [changed(item("c", START), 3)], START, AS_OF)
    with pytest.raises(
        DynamoError, match=r"has only what was written since 2019-06-21 15:00:00 UTC .*; name a full export"
    ):
        rows(source(tmp_path), START - MICRO, END)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            '{"Item": {"request_id": {"S": "r',
            r'^export .* cannot be read: Malformed JSON in file "bad\.json", at byte .*; copy or export it again$',
        ),
        ('{"Itm": {}}\n', "bad.json of export .* has a line that is no item of an export"),
        ('{"Item": {"request_id": "r1"}}\n', "bad.json of export .* attributes name no type; export as DYNAMODB_JSON"),
        ("not JSON\n", "Malformed JSON in file"),
    ],
)
def test_a_bad_line_is_told_with_its_file(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "bad.json").write_text(content, "utf-8")
    with pytest.raises(DynamoError, match=words):
        rows(source(tmp_path))


def test_a_file_cut_short_is_told(tmp_path: Path) -> None:
    folder = full(tmp_path, "0156", items())
    whole = (folder / "data" / "part2.json.gz").read_bytes()
    (folder / "data" / "part2.json.gz").write_bytes(whole[:-30])
    with pytest.raises(DynamoError, match=r"cannot be read: .* part2\.json\.gz; copy or export it again"):
        rows(source(tmp_path))


def test_a_bad_item_of_an_export_is_told_like_any_other(tmp_path: Path) -> None:
    full(tmp_path, "0156", [item("r1", START) | {"created": {"S": "soon"}}])
    with pytest.raises(
        DynamoError, match=r"^export .*/0156 as of .*, item request_id 'r1', attribute created: 'soon' is"
    ):
        rows(source(tmp_path))


def test_exports_that_cannot_be_read(tmp_path: Path) -> None:
    for place, words in ((tmp_path, "holds no export"), (tmp_path / "none", "is no folder"), ("s3:///x", "no bucket")):
        with pytest.raises(DynamoError, match=words):
            rows(source(place))
    ion = full(tmp_path / "ion", "0156", items(), outputFormat="ION")
    with pytest.raises(DynamoError, match=r"is in ION; export as DYNAMODB_JSON"):
        rows(source(ion))
    lacking = full(tmp_path / "lacking", "0156", items())
    (lacking / "data" / "part3.json.gz").unlink()
    with pytest.raises(DynamoError, match=r"lacks part3.json.gz, which its manifest names; copy the whole export"):
        rows(source(lacking))
    ageless = full(tmp_path / "ageless", "0156", items(), exportTime="then")
    with pytest.raises(DynamoError, match="does not say as of when"):
        rows(source(ageless))


def test_a_bucket_gives_the_same_as_the_folder(address: str, tmp_path: Path) -> None:
    full(tmp_path, "0100", items())
    full(tmp_path, "0050", items()[:3], AS_OF - timedelta(days=2))
    (tmp_path / "AWSDynamoDB" / "0160").mkdir()
    with s3(address) as objects:
        objects.create_bucket(Bucket="exports", CreateBucketConfiguration={"LocationConstraint": REGION})
        for path in tmp_path.rglob("*.*"):
            objects.upload_file(str(path), "exports", str(path.relative_to(tmp_path)))
        objects.upload_file(
            str(tmp_path / "AWSDynamoDB/0050/data/part0.json.gz"), "exports", "AWSDynamoDB/0170/data/x.json.gz"
        )
    for place in ("s3://exports", "s3://exports/AWSDynamoDB/0100/"):
        found = source(place, address)
        assert rows(found) == expected(items())
        assert found.reading
        assert found.reading.place.startswith("export s3://exports/AWSDynamoDB/0100 as of 2019-06-25 00:00:00 UTC")
    assert source("s3://exports", address).check().endswith("as of 2019-06-25 00:00:00 UTC; the newest of 2")
    assert rows(source("s3://exports/AWSDynamoDB/0170", address)) == {}
    for place, words in (
        ("s3://exports/other", "s3://exports/other holds no export"),
        ("s3://expots", r"S3 in eu-central-1 \(.*\) has no bucket 'expots'; check the name"),
    ):
        with pytest.raises(DynamoError, match=words):
            rows(source(place, address))
