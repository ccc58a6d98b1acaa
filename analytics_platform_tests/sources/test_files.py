"""Event files as people have them: ugly exports, folders, defects with their exact place."""

import csv
import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analytics_platform.metrics.events import (
    EVENT_TABLES,
    FEED_ACTIONS,
    MESSAGE_ACTIONS,
    EventTable,
    arrow_schema,
)
from analytics_platform.sources.files import BATCH_ROWS, BadRowError, EventFileError, EventReader

HEADER = "user_id,post_id,action,time"
ROW = "1,2,view,2026-11-20 10:00:00"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, *lines: str, end: str = "\n", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = "".join(line + end for line in lines).encode(encoding)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def read(*paths: Path, table: EventTable = FEED_ACTIONS, zone: str = "UTC") -> list[dict[str, object]]:
    reader = EventReader(table, paths, source_zone=ZoneInfo(zone))
    return [row for batch in reader.batches() for row in batch.to_pylist()]


def failure(*paths: Path, table: EventTable = FEED_ACTIONS) -> str:
    with pytest.raises(EventFileError) as caught:
        read(*paths, table=table)
    return str(caught.value)


@pytest.mark.parametrize("table", EVENT_TABLES, ids=lambda table: table.name)
def test_the_arrow_schema_names_every_column(table: EventTable) -> None:
    schema = arrow_schema(table)
    assert schema.names == [column.name for column in table.columns]
    assert schema.field("time").type == pa.timestamp("us")
    kinds = {column.kind: schema.field(column.name).type for column in table.columns}
    of = {
        "uint64": pa.uint64(),
        "uint32": pa.uint32(),
        "int64": pa.int64(),
        "int16": pa.int16(),
        "int8": pa.int8(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "text": pa.string(),
        "long_text": pa.string(),
        "time": pa.timestamp("us"),
    }
    assert kinds == {kind: of[kind] for kind in kinds}


def test_a_full_row(write: Write) -> None:
    path = write(
        "feed.csv",
        "user_id,post_id,action,time,gender,age,country,city,os,source,exp_group",
        '1,2,Like,2026-11-20T10:00:00+03:00,1,25.0,Russia,"Rostov, ""on Don""",iOS,ads,3',
    )
    assert read(path) == [
        {
            "user_id": 1,
            "post_id": 2,
            "action": "like",
            "time": datetime(2026, 11, 20, 7),  # noqa: DTZ001
            "gender": 1,
            "age": 25,
            "country": "Russia",
            "city": 'Rostov, "on Don"',
            "os": "iOS",
            "source": "ads",
            "exp_group": 3,
        }
    ]


def test_an_ugly_export(write: Write) -> None:
    path = write(
        "ugly.csv",
        "\ufeff",
        ' "User_ID" ;POST_ID; Action ;TIME;City;Age;session;'.replace(' "User_ID" ', '" User_ID "'),
        "",
        '1;2; View ;2026-11-20 10:00:00;"two\r\nlines";;x;',
        "   ",
        "2;2.0;like;2026-11-20T10:00:00+03:00;  ; 30 ;;",
        '"3";2;"like";"1763632800";"a;b";\\N;"q""q";',
        "4;2;share;1763632800123;;;;",
        end="\r\n",
    )
    reader = EventReader(FEED_ACTIONS, [path])
    batches = list(reader.batches())
    assert [batch.schema for batch in batches] == [arrow_schema(FEED_ACTIONS)]
    rows = batches[0].to_pylist()
    assert [row["user_id"] for row in rows] == [1, 2, 3, 4]
    assert [row["action"] for row in rows] == ["view", "like", "like", "share"]
    assert [row["city"] for row in rows] == ["two\r\nlines", "unknown", "a;b", "unknown"]
    assert [row["age"] for row in rows] == [None, 30, None, None]
    assert [row["os"] for row in rows] == ["unknown"] * 4
    assert [row["time"].isoformat() for row in rows] == [
        "2026-11-20T10:00:00",
        "2026-11-20T07:00:00",
        "2025-11-20T10:00:00",
        "2025-11-20T10:00:00.123000",
    ]
    summary = reader.summary
    assert (summary.files, summary.rows, summary.rejected) == (1, 4, 0)
    assert summary.ignored_columns == {"session": (path,), "(no name)": (path,)}
    assert set(summary.absent_columns) == {"gender", "country", "os", "source", "exp_group"}
    assert summary.actions == {"view": 1, "like": 2, "share": 1}
    assert summary.first_time == datetime(2025, 11, 20, 10, tzinfo=UTC)
    assert summary.last_time == datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters(write: Write, delimiter: str) -> None:
    path = write("feed.csv", HEADER.replace(",", delimiter), ROW.replace(",", delimiter))
    assert [row["post_id"] for row in read(path)] == [2]


def test_the_last_line_may_lack_its_end(tmp_path: Path) -> None:
    for end in ("", "\r", "\n\n", "\r\n \r\n"):
        path = tmp_path / "feed.csv"
        path.write_bytes(f"{HEADER}\n{ROW}{end}".encode())
        assert len(read(path)) == 1


def test_a_header_alone_is_no_events(write: Write) -> None:
    reader = EventReader(FEED_ACTIONS, [write("feed.csv", HEADER)])
    assert sum(batch.num_rows for batch in reader.batches()) == 0
    assert (reader.summary.files, reader.summary.rows, reader.summary.first_time) == (1, 0, None)


def test_the_old_spelling_of_the_receiver(write: Write) -> None:
    path = write("messages.csv", "user_id,Reciever_ID,time", "1,2,1763632800")
    assert [row["receiver_id"] for row in read(path, table=MESSAGE_ACTIONS)] == [2]


def test_times_without_a_zone_are_of_the_source_zone(write: Write) -> None:
    path = write("feed.csv", HEADER, ROW, "1,2,view,2026-11-20T10:00:00Z")
    hours = [row["time"].hour for row in read(path, zone="Europe/Moscow")]  # type: ignore[attr-defined]
    assert hours == [7, 10]


def test_a_folder(write: Write, tmp_path: Path) -> None:
    later = write("in/b/2.CSV", HEADER, "2" + ROW[1:])
    write("in/a.csv.gz", HEADER, "1" + ROW[1:])
    write("in/_SUCCESS")
    write("in/.hidden.csv", "x")
    write("in/_temporary/part.csv", "x")
    notes = write("in/notes.txt", "x")
    pq.write_table(
        pa.table({"user_id": [3], "post_id": [2], "action": ["view"], "time": [5]}), tmp_path / "in/c.parquet"
    )
    reader = EventReader(FEED_ACTIONS, [tmp_path / "in"])
    assert [row["user_id"] for batch in reader.batches() for row in batch.to_pylist()] == [1, 2, 3]
    assert reader.summary.skipped_files == (notes,)
    assert reader.summary.files == 3
    assert failure(tmp_path / "in", later) == f"{later} is named twice, so its events would count twice; name it once"


def test_paths_that_cannot_be_read(write: Write, tmp_path: Path) -> None:
    gone, empty, folder = tmp_path / "gone.csv", write("empty.csv"), tmp_path / "folder"
    folder.mkdir()
    assert failure(gone) == f"{gone} does not exist; check the path"
    assert failure(empty) == f"{empty} is empty; export it again, or leave it out"
    assert failure(folder) == f"{folder} holds no event files; they end in .csv, .tsv, .csv.gz, .tsv.gz, .parquet, .pq"
    blank = write("blank.csv", "\ufeff", " ")
    assert failure(blank) == f"{blank} is empty; it needs a first line with the names of its columns"
    fake = write("fake.parquet", HEADER)
    assert "is not a Parquet file in spite of its name" in failure(fake)
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(b"PAR1 and nothing else")
    assert failure(torn).startswith(f"{torn} cannot be read as Parquet (")
    zipped = tmp_path / "feed.zip"
    zipped.write_bytes(b"PK\x03\x04...")
    assert failure(zipped) == f"{zipped} is a zip archive or a spreadsheet; unpack it, or export it as CSV"
    assert "is neither a file nor a folder" in failure(Path("/dev/null"))


def test_a_damaged_gzip(write: Write) -> None:
    path = write("feed.csv.gz", HEADER, *[ROW] * 5000)
    path.write_bytes(path.read_bytes()[:-20])
    assert failure(path).startswith(f"{path} is damaged or cut short (")
    empty = write("none.csv.gz")
    assert failure(empty) == f"{empty} is empty; it needs a first line with the names of its columns"


def test_other_encodings(write: Write) -> None:
    wide = write("wide.csv", HEADER, ROW, encoding="utf-16")
    assert failure(wide) == f"{wide} is UTF-16 text; save it as UTF-8"
    bare = write("bare.csv", HEADER, ROW, encoding="utf-16-le")
    assert failure(bare).startswith(f"{bare} is not UTF-8 text")
    cyrillic = write("old.csv", HEADER + ",city", ROW + ",Omsk", "", ROW + ",Омск", encoding="cp1251")
    remedy = "export the file as UTF-8, or convert it with iconv"
    assert failure(cyrillic) == f"{cyrillic}, line 4 is not UTF-8 text; {remedy}"
    ignored = write("extra.csv", HEADER + ",комментарий", ROW + ",", encoding="cp1251")
    assert failure(ignored) == f"{ignored}, line 1 is not UTF-8 text; {remedy}"


def test_headers_that_do_not_fit(write: Write) -> None:
    missing = write("a.csv", "user_id,time,Foo", "1,2,3")
    assert failure(missing, table=MESSAGE_ACTIONS) == (
        f"{missing} has no column receiver_id (also accepted: reciever_id), which message_actions needs; "
        "its first line names: user_id, time, foo"
    )
    both = write("b.csv", "user_id,receiver_id,reciever_id,time", "1,2,3,4")
    assert failure(both, table=MESSAGE_ACTIONS) == (
        f"{both} has the columns receiver_id and reciever_id, which both mean receiver_id; keep one of them"
    )
    twice = write("c.csv", HEADER + ", Action", ROW + ",x")
    assert failure(twice) == f"{twice} has the column action more than once; keep one of them"
    headless = write("d.csv", ROW)
    assert failure(headless).endswith("its first line names: 1, 2, view, 2026-11-20 10:00:00")
    mac = write("e.csv", HEADER, ROW, end="\r")
    assert (
        failure(mac)
        == f"{mac} has a first line that has a carriage return inside the line; save it with LF or CRLF as line ends"
    )


def test_all_headers_are_checked_before_the_first_row(write: Write) -> None:
    good, bad = write("good.csv", HEADER, ROW), write("wrong.csv", "user_id")
    with pytest.raises(EventFileError, match=r"wrong\.csv has no column post_id"):
        EventReader(FEED_ACTIONS, [good, bad]).batches()


@pytest.mark.parametrize(
    ("line", "column", "value", "expected"),
    [
        ("x" + ROW[1:], "user_id", "x", "is not a whole number from 0 to 4294967295"),
        ("1,,view,1763632800", "post_id", "", "is empty, and every row needs a value here"),
        ("1,2, ,1763632800", "action", " ", "is empty, and every row needs a value here"),
        ("1,2,view,2026-11-20", "time", "2026-11-20", "is a date without a time of day"),
        ("1,2,view", "", "1,2,view", "has 3 fields, the header has 4"),
        (ROW + ",", "", ROW + ",", "has 5 fields, the header has 4"),
        (ROW.replace("view", '"view'), "", ROW.replace("view", '"view'), "has a quotation mark that is never closed"),
        ('1,2,"view"s,1', "", '1,2,"view"s,1', "has text after a closing quotation mark"),
        (",,,", "user_id", "", "is empty, and every row needs a value here"),
    ],
)
def test_a_bad_row_and_its_place(write: Write, line: str, column: str, value: str, expected: str) -> None:
    end = "\r\n" if column else "\n"
    quoted = f'1,2,"vi{end}{end}ew",1763632800'
    path = write("feed.csv", "\ufeff" + HEADER, ROW, "", quoted, " ", ROW, line, ROW, end=end)
    with pytest.raises(BadRowError) as caught:
        read(path)
    error = caught.value
    assert (error.file, error.line, error.column, error.value, error.expected) == (path, 9, column, value, expected)
    where = f"{path}, line 9, column {column}" if column else f"{path}, line 9"
    assert str(error) == f"{where}: {value!r} {expected}"


def test_a_long_value_is_shortened_in_the_message(write: Write) -> None:
    path = write("feed.csv", HEADER, "7" * 500 + ROW[1:])
    assert failure(path) == (
        f"{path}, line 2, column user_id: '{'7' * 60}'... is not a whole number from 0 to 4294967295"
    )


def test_the_line_is_exact_in_a_file_of_many_chunks(write: Write) -> None:
    lines = [ROW if k % 7 else '3,4,"li\nke",1763632800' for k in range(3000)]
    path = write("feed.csv", HEADER, *lines, "1,2,view,never", *lines)
    reader = EventReader(FEED_ACTIONS, [path], chunk_bytes=512)
    with pytest.raises(BadRowError) as caught:
        list(reader.batches())
    assert path.read_text().split("\n")[caught.value.line - 1] == "1,2,view,never"


def test_bad_rows_can_be_set_aside(write: Write, tmp_path: Path) -> None:
    path = write("feed.csv", HEADER, ROW, "x" + ROW[1:], "1,2", '1,2,"a\nb",noon', ROW, '1,2,"view,5', ROW)
    rejects = tmp_path / "rejected.csv"
    reader = EventReader(FEED_ACTIONS, [path], on_error="skip", rejects=rejects)
    assert sum(batch.num_rows for batch in reader.batches()) == 3
    assert (reader.summary.rows, reader.summary.rejected) == (3, 4)
    with rejects.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["file", "line", "column", "value", "reason", "record"]
    any_time = "is not a date and time such as 2026-11-20 10:00:00 or 2026-11-20T10:00:00+03:00, nor seconds or "
    assert rows == [
        [str(path), "3", "user_id", "x", "is not a whole number from 0 to 4294967295", "x" + ROW[1:]],
        [str(path), "4", "", "1,2", "has 2 fields, the header has 4", "1,2"],
        [str(path), "5", "time", "noon", any_time + "milliseconds since 1970", '1,2,"a\nb",noon'],
        [str(path), "8", "", '1,2,"view,5', "has a quotation mark that is never closed", '1,2,"view,5'],
    ]
    # A second load with the same name goes on where the first one ended.
    list(EventReader(FEED_ACTIONS, [path], on_error="skip", rejects=rejects).batches())
    with rejects.open(newline="") as stream:
        assert list(csv.reader(stream)) == [header, *rows, *rows]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["feed.csv", "rejected.csv"]


def test_no_file_of_rejects_without_a_rejected_row_or_a_finished_load(write: Write, tmp_path: Path) -> None:
    good, bad = write("good.csv", HEADER, ROW), write("wrong.csv", HEADER, "1,2", ROW)
    rejects = tmp_path / "rejected.csv"
    assert len(list(EventReader(FEED_ACTIONS, [good], on_error="skip", rejects=rejects).batches())) == 1
    stopped = EventReader(FEED_ACTIONS, [bad, good], on_error="skip", rejects=rejects).batches()
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good.csv", "wrong.csv"]


def test_a_file_of_rejects_never_replaces_another_file(write: Write, tmp_path: Path) -> None:
    good = write("good.csv", HEADER, ROW)
    with pytest.raises(EventFileError, match="does not hold rejected rows; choose another name"):
        EventReader(FEED_ACTIONS, [good], on_error="skip", rejects=good).batches()
    with pytest.raises(EventFileError, match="does not exist; create it"):
        EventReader(FEED_ACTIONS, [good], on_error="skip", rejects=tmp_path / "no" / "r.csv").batches()
    with pytest.raises(ValueError, match="needs a file"):
        EventReader(FEED_ACTIONS, [good], on_error="skip")


def test_batches_stay_small_and_progress_grows(write: Write) -> None:
    files = [write("a.csv", HEADER, *[ROW] * 300_000), write("b.csv.gz", HEADER, *[ROW] * 20_000)]
    heard: list[tuple[int, int, int]] = []
    reader = EventReader(FEED_ACTIONS, files, progress=lambda *told: heard.append(told))
    sizes = [batch.num_rows for batch in reader.batches()]
    assert sum(sizes) == 320_000
    assert max(sizes) <= BATCH_ROWS
    total = sum(path.stat().st_size for path in files)
    assert heard == sorted(heard)
    assert heard[-1] == (total, total, 320_000)
    assert {told[1] for told in heard} == {total}
    assert len(heard) < 20


def test_the_size_of_a_chunk_changes_nothing(write: Write) -> None:
    path = write(
        "feed.csv",
        HEADER + ",city",
        *[line for k in range(40) for line in (f'{k},2,view,1763632800,"a""{k}\n,é"', "", f"{k},2,like,1763632800,b")],
    )
    expected = read(path)
    for chunk_bytes in (1, 7, 64, 333):
        reader = EventReader(FEED_ACTIONS, [path], chunk_bytes=chunk_bytes)
        assert [row for batch in reader.batches() for row in batch.to_pylist()] == expected


def test_a_line_without_end_is_no_csv(write: Write) -> None:
    path = write("feed.csv", HEADER, ROW, "x" * (2 << 20))
    assert failure(path) == f"{path}, line 3 is longer than 1 MiB; is it a CSV file?"
    path = write("feed.csv", "x" * (2 << 20))
    assert failure(path) == f"{path}, line 1 is longer than 1 MiB; is it a CSV file?"


def test_a_file_that_grows_while_it_is_read(write: Write) -> None:
    path = write("feed.csv", HEADER, ROW)
    batches = EventReader(FEED_ACTIONS, [path]).batches()
    next(batches)
    path.write_text(f"{HEADER}\n{ROW}\n{ROW}\n")
    with pytest.raises(EventFileError, match="changed while it was read"):
        list(batches)
