"""Nested files of visits as people have them: nothing lost, defects with their exact place, each event once."""

import csv
import gzip
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.metrics.events import PAGE_EVENTS, arrow_schema
from analytics_platform.sources import visits
from analytics_platform.sources.files import EventReader
from analytics_platform.sources.problems import BadRowError, EventFileError
from analytics_platform.sources.visits import VisitReader, visit_reader
from analytics_platform_tests.sources.visits_written import EVENT, VISITOR, Write, document, event, failure, read

# ------------------------------------------------------------- what is read


def test_every_field_has_its_column(write: Write) -> None:
    [row] = read(write(document(EVENT)))
    assert row == {
        "request_id": EVENT["request_id"],
        "time": datetime(2019, 6, 20, 9, 35, 6, 523086),  # noqa: DTZ001
        "visitor": VISITOR,
        "type": "page",
        "pathname": "/en/",
        "language": "ja",
        "adblock": False,
        "ip_address": "203.0.113.9",
        "user_agent": "Mozilla/5.0",
        "navigator_platform": "Win32",
        "hash": "#team",
        "sender_id": "77",
        "property": "site-1",
        "property_type": "website",
        "domain": "example.org",
        "provider": "fb",
        "metadata": '{"at": [1, 2], "plan": "free"}',
        "id": "account-1",
        "name": "Ours",
        "other": None,
    }


def test_fields_without_a_column_are_kept_as_json(write: Write) -> None:
    [row] = read(write(document(event(1, zoom=1.5, seen=["a", None], title="Überblick", visitor="another", id=3))))
    assert row["visitor"] == VISITOR
    assert row["id"] == "account-1"
    assert row["other"] == (
        '{"event.id": 3, "event.visitor": "another", "seen": ["a", null], "title": "Überblick", "zoom": 1.5}'
    )


def test_what_is_absent_is_null(write: Write) -> None:
    bare = {"properties": {"s": {"visitors": {VISITOR: {"events": [{"request_id": 7, "created": 1_561_000_000}]}}}}}
    [row] = read(write(bare))
    assert {name for name, value in row.items() if value is not None} == {"request_id", "time", "visitor", "property"}
    assert row["request_id"] == "7"
    assert row["time"] == datetime(2019, 6, 20, 3, 6, 40)  # noqa: DTZ001


def test_all_properties_and_visitors_are_read_in_order(write: Write) -> None:
    one = document(event(1), event(2))
    one["properties"]["site-1"]["visitors"]["second"] = {"events": [event(3)]}
    one["properties"]["site-1"]["visitors"]["silent"] = {"events": []}
    one["properties"]["site-1"]["visitors"]["unheard"] = {"sender_id": "5"}
    one["properties"]["site-2"] = {"domain": "example.net", "visitors": {"second": {"events": [event(4)]}}}
    one["properties"]["empty"] = {"domain": "example.com"}
    rows = read(write(one))
    assert [(row["request_id"], row["property"], row["visitor"], row["sender_id"]) for row in rows] == [
        ("request-1", "site-1", VISITOR, "77"),
        ("request-2", "site-1", VISITOR, "77"),
        ("request-3", "site-1", "second", None),
        ("request-4", "site-2", "second", None),
    ]
    assert [row["domain"] for row in rows] == ["example.org"] * 3 + ["example.net"]


@pytest.mark.parametrize(
    ("created", "zone", "hour"),
    [
        ("2019-06-20T18:35:06.523086+09:00", "UTC", 9),
        ("2019-06-20T18:35:06Z", "Asia/Tokyo", 18),
        ("2019-06-20T18:35:06-03:30", "UTC", 22),
        ("2019-06-20T18:35:06", "Asia/Tokyo", 9),
        ("2019-06-20 18:35", "UTC", 18),
    ],
)
def test_times_become_utc_from_any_offset(write: Write, created: str, zone: str, hour: int) -> None:
    # The second one makes the batch too mixed for a quick reading.
    rows = read(write(document(event(1, created=created), event(2))), source_zone=ZoneInfo(zone))
    assert rows[0]["time"].hour == hour
    assert rows[1]["time"].hour == 9


@pytest.mark.parametrize("name", ["events.json.gz", "events.JSON"])
def test_gzip_is_told_by_its_first_bytes_whatever_the_name(write: Write, tmp_path: Path, name: str) -> None:
    path = write(document(EVENT), name)
    assert len(read(path)) == 1
    packed = tmp_path / "packed.json"
    packed.write_bytes(gzip.compress(json.dumps(document(EVENT)).encode("utf-8-sig")))
    assert len(read(packed)) == 1


def test_a_document_without_events_has_no_batches(write: Write) -> None:
    reader = VisitReader([write({"id": "a", "name": "b", "properties": {}})])
    assert list(reader.batches()) == []
    assert (reader.summary.rows, reader.summary.files) == (0, 1)


def test_what_became_of_the_files_is_told(write: Write, tmp_path: Path) -> None:
    first = document(event(1), event(2, created="2019-06-22T00:00:00Z"), colour="red")
    first["properties"]["site-1"]["visitors"][VISITOR]["nickname"] = "x"
    path = write(first, "visits/one.json")
    second = write(document(event(3)) | {"comment": "none"}, "visits/two.json.gz")
    (tmp_path / "visits" / "notes.txt").write_text("mine")
    told: list[tuple[int, int, int]] = []
    reader = VisitReader([tmp_path / "visits"], progress=lambda *values: told.append(values))
    assert [batch.num_rows for batch in reader.batches()] == [2, 1]
    summary = reader.summary
    assert (summary.files, summary.rows, summary.rejected) == (2, 3, 0)
    assert summary.first_time == datetime(2019, 6, 20, 9, 35, 6, 523086, UTC)
    assert summary.last_time == datetime(2019, 6, 22, tzinfo=UTC)
    assert summary.ignored_columns == {
        "properties.colour": (path,),
        "visitors.nickname": (path,),
        "comment": (second,),
    }
    assert summary.skipped_files == (tmp_path / "visits" / "notes.txt",)
    size = path.stat().st_size + second.stat().st_size
    assert told == [(path.stat().st_size, size, 2), (size, size, 3), (size, size, 3)]


def test_many_events_come_in_pieces_with_progress(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "PIECE_EVENTS", 4)
    path = write(document(*(event(k) for k in range(10)), event(3)))
    told: list[int] = []
    reader = VisitReader([path], progress=lambda _done, _total, rows: told.append(rows))
    assert [batch.num_rows for batch in reader.batches()] == [4, 4, 2]
    assert told == [4, 8, 10, 10]


def test_batches_have_the_schema_of_the_table(write: Write) -> None:
    quick = next(VisitReader([write(document(EVENT))]).batches())
    careful = next(VisitReader([write(document(event(1), event(2, created="1561000000")))]).batches())
    assert quick.schema == careful.schema == arrow_schema(PAGE_EVENTS)


# -------------------------------------------------------------- each event once


def test_an_event_that_is_there_twice_counts_once(write: Write) -> None:
    path = write(document(event(1), event(2), event(1)))
    again = write(document(event(2), event(3)), "later.json")
    reader = VisitReader([path, again])
    rows = [row["request_id"] for batch in reader.batches() for row in batch.to_pylist()]
    assert rows == ["request-1", "request-2", "request-3"]
    assert sum(batch.num_rows for batch in reader.batches()) == 3  # a reader may be used again
    assert reader.summary.rejected == 0


def test_two_events_with_one_id_that_differ_are_not_taken_for_one(write: Write) -> None:
    path = write(document(event(1), event(1, pathname="/jp/")))
    assert failure(path) == (
        f"{path}, property site-1, visitor {VISITOR}, event 2, column request_id: 'request-1' is also the request_id "
        f"of another event ({path}, property site-1, visitor {VISITOR}, event 1)"
    )


# ------------------------------------------------------------------- bad events


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"created": "soon"}, "column created: 'soon' is not a date and time such as"),
        ({"created": None}, "column created: '' is empty, and every row needs a value here"),
        ({"created": "2019-06-20"}, "column created: '2019-06-20' is a date without a time of day"),
        ({"request_id": ""}, "column request_id: '' is empty, and every row needs a value here"),
        ({"adblock": "maybe"}, "column adblock: 'maybe' is neither true"),
        ({"pathname": {"to": 1}}, "column pathname: '{\"to\": 1}' is not a single value"),
        ({"user_agent": "\ud83d"}, "column user_agent: \"'\\\\ud83d'\" holds half a character"),
        ({"title": "\ud83d"}, "column other: \"'title'\" holds half a character"),
    ],
)
def test_a_bad_event_is_named_with_its_place(write: Write, fields: Mapping[str, object], said: str) -> None:
    path = write(document(event(1), event(2, **fields)))
    with pytest.raises(BadRowError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, property site-1, visitor {VISITOR}, event 2, {said}")
    assert caught.value.file == path
    assert caught.value.line == 2


def test_what_is_no_event_at_all_is_named_too(write: Write) -> None:
    path = write(document(event(1), "page"))
    assert failure(path).endswith("event 2: '\"page\"' is no object with fields")


def test_ids_that_would_spoil_a_message_are_shown_escaped(write: Write) -> None:
    bad = {"properties": {"a\nb": {"visitors": {"x" * 90: {"events": [event(1, created="soon")]}}}}}
    assert "property 'a\\nb', visitor '" + "x" * 60 + "', event 1, column created" in failure(write(bad))


def test_bad_events_are_left_out_on_request_and_can_be_put_right(write: Write, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    path = write(document(event(1), event(2, created="soon"), 5, event(1, pathname="/"), event(4)))
    reader = VisitReader([path], on_error="skip", rejects=rejects)
    assert [row["request_id"] for batch in reader.batches() for row in batch.to_pylist()] == ["request-1", "request-4"]
    assert (reader.summary.rows, reader.summary.rejected) == (2, 3)
    with rejects.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    # Those of no value come first: what the texts mean is asked later.
    assert [(row["line"], row["column"], row["value"]) for row in rows] == [
        ("3", "", "5"),
        ("4", "request_id", "request-1"),
        ("2", "created", "soon"),
    ]
    record = rows[2]["record"].replace("soon", "2019-06-21T10:00:00+09:00")
    [mended] = read(write(record.encode(), "mended.json"))
    assert (mended["request_id"], mended["sender_id"], mended["domain"]) == ("request-2", "77", "example.org")


def test_a_stopped_reading_leaves_no_rejects_behind(write: Write, tmp_path: Path) -> None:
    path = write(document(event(1), event(2, created="soon")))
    broken = write(b'{"properties": ', "broken.json")
    reader = VisitReader([path, broken], on_error="skip", rejects=tmp_path / "rejects.csv")
    with pytest.raises(EventFileError, match="not valid JSON"):
        list(reader.batches())
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["broken.json", "events.json"]


def test_skipping_needs_a_place_for_what_is_skipped() -> None:
    with pytest.raises(ValueError, match="needs a file for the rejected events"):
        VisitReader([Path("events.json")], on_error="skip")


# -------------------------------------------------------------------- bad files


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; export it again"),
        (b"[1, 2]", "does not begin with an object; a file of visits is {"),
        (b"visitor,created\n", "does not begin with an object"),
        (b'{"a": 1', "is not valid JSON (line 1, column 8: "),
        (b'{"a": NaN}', "cannot be read without loss (it says NaN, which is no number of JSON)"),
        (b'{"properties": {"a": {}, "b": {}, "a": {}}}', "cannot be read without loss (one object has 'a' twice)"),
        (b'{"name": "\xff"}', "is not UTF-8 (byte 10)"),
        (b'{"a": ' + b"[" * 100_000, "is nested too deeply"),
        (b'{"name": "x"}', ": properties is no object with names"),
        (b'{"properties": {"s": 1}}', ": property s is no object with names"),
        (b'{"properties": {"s": {"visitors": [1]}}}', ": visitors of property s is no object with names"),
        (b'{"properties": {"s": {"visitors": {"v": 1}}}}', ": property s, visitor v is no object with names"),
        (b'{"properties": {"s": {"visitors": {"v": {"events": {"a": 1}}}}}}', "visitor v has events that are no list"),
    ],
)
def test_files_that_are_no_visits(write: Write, content: bytes, said: str) -> None:
    path = write(content)
    found = failure(path)
    assert found.startswith(str(path))
    assert said in found


def test_files_that_cannot_be_read(write: Write, tmp_path: Path) -> None:
    assert "does not exist" in failure(tmp_path / "absent.json")
    cut = write(document(*(event(k) for k in range(50))), "cut.json.gz")
    cut.write_bytes(cut.read_bytes()[:-40])
    assert "is damaged or cut short" in failure(cut)
    path = write(document(EVENT))
    assert "is named twice" in failure(path, path)


def test_a_file_that_grows_meanwhile_is_refused(write: Write) -> None:
    path = write(document(EVENT))
    batches = VisitReader([path]).batches()
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(EventFileError, match="changed while it was read"):
        next(batches)


# ------------------------------------------------------------ nested or flat


def test_the_form_is_told_by_the_name(write: Write, tmp_path: Path) -> None:
    nested = write(document(EVENT), "folder/events.json.gz")
    flat = write(b"request_id,created,visitor\n1,2019-06-20T10:00:00Z,v\n", "events.csv")
    assert isinstance(visit_reader([nested]), VisitReader)
    assert isinstance(visit_reader([tmp_path / "folder"]), VisitReader)
    reader = visit_reader([flat])
    assert isinstance(reader, EventReader)
    assert [row["visitor"] for batch in reader.batches() for row in batch.to_pylist()] == ["v"]
    with pytest.raises(EventFileError, match=r"events.json.gz is nested JSON and .*events.csv is not; load them one"):
        visit_reader([flat, nested])
