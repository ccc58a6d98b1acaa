"""Parquet files: every sensible type of column, and the row of a defect."""

import csv
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analytics_platform.metrics.events import FEED_ACTIONS, USER_EVENTS, Kind, arrow_schema
from analytics_platform.sources.files import BadRowError, EventFileError, EventReader
from analytics_platform.sources.parquet import suits

TEN = datetime(2026, 11, 20, 10)  # noqa: DTZ001
LATE = datetime(2101, 1, 1)  # noqa: DTZ001
STAMP = int(TEN.replace(tzinfo=UTC).timestamp())


def store(path: Path, **columns: pa.Array) -> Path:
    count = len(next(iter(columns.values())))
    usual = {
        "user_id": pa.array([1] * count),
        "post_id": pa.array([2] * count),
        "action": pa.array(["View"] * count),
        "time": pa.array([TEN] * count),
    }
    pq.write_table(pa.table(usual | columns), path)
    return path


def column(path: Path, name: str, zone: str = "UTC") -> list[object]:
    reader = EventReader(FEED_ACTIONS, [path], source_zone=ZoneInfo(zone))
    batches = list(reader.batches())
    assert {batch.schema for batch in batches} == {arrow_schema(FEED_ACTIONS)}
    return [value for batch in batches for value in batch.column(name).to_pylist()]


@pytest.mark.parametrize(
    ("times", "zone", "expected"),
    [
        (pa.array([TEN], pa.timestamp("us")), "UTC", TEN),
        (pa.array([TEN], pa.timestamp("s")), "Europe/Moscow", TEN - timedelta(hours=3)),
        (pa.array([TEN], pa.timestamp("ms", "UTC")), "Europe/Moscow", TEN),
        (pa.array([TEN.replace(tzinfo=timezone(timedelta(hours=3)))]), "UTC", TEN - timedelta(hours=3)),
        (
            pa.array([STAMP * 10**9 + 123_456_789], pa.timestamp("ns", "Europe/Berlin")),
            "UTC",
            TEN + timedelta(microseconds=123_456),
        ),
        (pa.array([STAMP], pa.int64()), "Europe/Moscow", TEN),
        (pa.array([STAMP], pa.uint32()), "UTC", TEN),
        (pa.array([STAMP * 1000 + 5]), "UTC", TEN + timedelta(milliseconds=5)),
        (pa.array([float(STAMP)]), "UTC", TEN),
        (pa.array([STAMP + 0.25]), "UTC", TEN + timedelta(milliseconds=250)),
        (pa.array([Decimal(STAMP)]), "UTC", TEN),
        (pa.array(["2026-11-20T13:00:00+0300"]), "UTC", TEN),
        (pa.array(["2026-11-20T10:00:00Z"]).dictionary_encode(), "UTC", TEN),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_times(tmp_path: Path, times: pa.Array, zone: str, expected: datetime) -> None:
    assert column(store(tmp_path / "feed.parquet", time=times), "time", zone) == [expected]


@pytest.mark.parametrize(
    "ages",
    [
        pa.array([25, None], pa.int64()),
        pa.array([25, None], pa.uint8()),
        pa.array([25.0, float("nan")], pa.float32()),
        pa.array([25.0, None], pa.float64()),
        pa.array([Decimal("25.00"), None]),
        pa.array(["25", ""]),
        pa.array([" 25.0 ", None], pa.large_string()),
        pa.array([b"25", b"\\N"], pa.binary()),
        pa.array(["25", None]).dictionary_encode(),
    ],
    ids=lambda ages: str(ages.type),
)
def test_numbers(tmp_path: Path, ages: pa.Array) -> None:
    assert column(store(tmp_path / "feed.parquet", age=ages), "age") == [25, None]


@pytest.mark.parametrize(
    "cities",
    [
        pa.array([" Омск ", None]),
        pa.array(["Омск", ""], pa.large_string()),
        pa.array(["Омск", None], pa.string_view()),
        pa.array(["Омск".encode(), b" "], pa.binary()),
        pa.array(["Омск", None]).dictionary_encode(),
    ],
    ids=lambda cities: str(cities.type),
)
def test_texts(tmp_path: Path, cities: pa.Array) -> None:
    assert column(store(tmp_path / "feed.parquet", city=cities), "city") == ["Омск", "unknown"]


def test_a_column_of_nothing_and_a_number_for_a_text(tmp_path: Path) -> None:
    path = store(tmp_path / "feed.parquet", age=pa.nulls(2), os=pa.nulls(2), source=pa.array([7, None]))
    assert column(path, "age") == [None, None]
    assert column(path, "os") == ["unknown", "unknown"]
    assert column(path, "source") == ["7", "unknown"]
    assert column(path, "action") == ["view", "view"]


@pytest.mark.parametrize(
    ("name", "values", "value", "expected"),
    [
        ("user_id", pa.array([1, -1]), "-1", "is not a whole number from 0 to 4294967295"),
        ("user_id", pa.array([1, None]), "", "is empty, and every row needs a value here"),
        ("user_id", pa.array([1.0, float("nan")]), "", "is empty, and every row needs a value here"),
        ("age", pa.array([1.0, 25.5]), "25.5", "is not a whole number from -32768 to 32767 or empty"),
        ("age", pa.array([1.0, 1e22]), "1" + "0" * 22, "is not a whole number from -32768 to 32767 or empty"),
        ("time", pa.array([TEN, LATE]), "2101-01-01 00:00:00.000000", "is a time before 1970 or after 2099"),
        ("action", pa.array(["view", " "]), " ", "is empty, and every row needs a value here"),
    ],
)  # fmt: skip
def test_a_bad_row_and_its_number(tmp_path: Path, name: str, values: pa.Array, value: str, expected: str) -> None:
    path = store(tmp_path / "feed.parquet", **{name: values})
    with pytest.raises(BadRowError) as caught:
        column(path, name)
    assert str(caught.value) == f"{path}, row 2, column {name}: {value!r} {expected}"


def test_bad_rows_can_be_set_aside(tmp_path: Path) -> None:
    path = store(tmp_path / "feed.parquet", user_id=pa.array([1, -1, 3]), city=pa.array(["a", "b,c", "d"]))
    rejects = tmp_path / "rejected.csv"
    reader = EventReader(FEED_ACTIONS, [path], on_error="skip", rejects=rejects)
    assert [batch.column("user_id").to_pylist() for batch in reader.batches()] == [[1, 3]]
    with rejects.open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["line"], row["column"], row["value"]) == ("2", "user_id", "-1")
    assert row["record"] == '-1,2,View,2026-11-20 10:00:00.000000,"b,c"'


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("time", pa.array([date(2026, 11, 20)]), "date32[day], which cannot be read as time; export it as a timestamp"),
        ("age", pa.array([True]), "of type bool, which cannot be read as int16; export it as a whole number"),
        ("user_id", pa.array([TEN]), "type timestamp[us], which cannot be read as uint32; export it as a whole number"),
        ("city", pa.array([["a"]]), "cannot be read as text; export it as text"),
        ("city", pa.array([1.5]), "cannot be read as text; export it as text"),
    ],
)  # fmt: skip
def test_types_that_do_not_fit(tmp_path: Path, name: str, values: pa.Array, why: str) -> None:
    path = store(tmp_path / "feed.parquet", **{name: values})
    with pytest.raises(EventFileError) as caught:
        EventReader(FEED_ACTIONS, [path]).batches()
    assert str(caught.value).startswith(f"{path} has a column {name} of type ")
    assert str(caught.value).endswith(why)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = store(tmp_path / "feed.parquet", city=pa.array([b"\xff\xfe"]))
    with pytest.raises(EventFileError, match="cannot be read as Parquet"):
        list(EventReader(FEED_ACTIONS, [path]).batches())


def test_names_in_any_case_and_columns_too_many(tmp_path: Path) -> None:
    path = tmp_path / "feed.parquet"
    table = pa.table({" User_ID": [1], "POST_ID": [2], "action": ["like"], "Time": [TEN], "s": [[1]], "t": [{"a": 1}]})
    pq.write_table(table, path)
    reader = EventReader(FEED_ACTIONS, [path])
    assert [batch.num_rows for batch in reader.batches()] == [1]
    assert set(reader.summary.ignored_columns) == {"s", "t"}


def test_a_file_of_no_rows_and_one_of_many(tmp_path: Path) -> None:
    empty = store(tmp_path / "none.parquet", age=pa.array([], pa.int8()))
    many = store(tmp_path / "many.parquet", user_id=pa.array(range(200_000)))
    heard: list[tuple[int, int, int]] = []
    reader = EventReader(FEED_ACTIONS, [empty, many], progress=lambda *told: heard.append(told))
    assert [batch.num_rows for batch in reader.batches()] == [131_072, 68_928]
    assert heard == sorted(heard)
    assert heard[-1][0] == heard[-1][1] == empty.stat().st_size + many.stat().st_size


# ---------------------------------------------------- tables of many kinds


def videos(path: Path, **columns: pa.Array) -> Path:
    """Events of videos: numbers of 64 bits, shares, texts that hardly repeat."""
    count = len(next(iter(columns.values())))
    usual = {
        "event_id": pa.array([2**64 - 1 - n for n in range(count)], pa.uint64()),
        "event_type": pa.array(["video_view"] * count),
        "timestamp": pa.array([TEN] * count),
    }
    pq.write_table(pa.table(usual | columns), path)
    return path


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("watch_duration", pa.array([0.1, float("nan")]), [0.1, None]),
        ("watch_duration", pa.array([0.5, None], pa.float32()), [0.5, None]),
        ("watch_duration", pa.array([1e300, -5e-324]), [1e300, -5e-324]),
        ("watch_duration", pa.array([7, None]), [7.0, None]),
        ("watch_duration", pa.array([Decimal("12.50"), None]), [12.5, None]),
        ("watch_duration", pa.array(["1e-3", " "]), [0.001, None]),
        ("file_size", pa.array([-(2**63), 2**63 - 1]), [-(2**63), 2**63 - 1]),
        ("file_size", pa.array([5.0, float("nan")]), [5, None]),
        ("video_id", pa.array([7, None]), ["7", None]),
        ("video_id", pa.array([" a ", ""]).dictionary_encode(), ["a", None]),
        ("video_id", pa.nulls(2), [None, None]),
        ("category", pa.array(["x", None]), ["x", "unknown"]),
        ("inserted_at", pa.array([TEN, None], pa.timestamp("ms")), [TEN, None]),
    ],
)  # fmt: skip
def test_kinds_of_video_events(tmp_path: Path, name: str, values: pa.Array, expected: list[object]) -> None:
    reader = EventReader(USER_EVENTS, [videos(tmp_path / "videos.parquet", **{name: values})])
    [batch] = list(reader.batches())
    assert batch.schema == arrow_schema(USER_EVENTS)
    assert batch.column(name).to_pylist() == expected
    assert batch.column("event_id").to_pylist() == [2**64 - 1, 2**64 - 2]
    assert (reader.summary.actions, reader.summary.last_time) == ({"video_view": 2}, TEN.replace(tzinfo=UTC))


def test_an_infinite_number_is_a_bad_row(tmp_path: Path) -> None:
    path = videos(tmp_path / "videos.parquet", watch_duration=pa.array([1.0, float("-inf")]))
    said = "row 2, column watch_duration: '-inf' is not a finite number such as 12.5 or 1e-3, with a point for decimals"
    with pytest.raises(BadRowError, match=said):
        list(EventReader(USER_EVENTS, [path]).batches())


@pytest.mark.parametrize(
    ("kind", "fitting"),
    [
        (Kind.LONG_TEXT, {"string", "int64", "null"}),
        (Kind.FLOAT, {"string", "int64", "null", "double", "decimal128(4, 2)"}),
        (Kind.BOOL, {"string", "int64", "null", "double", "decimal128(4, 2)", "bool"}),
        (Kind.UINT64, {"string", "int64", "null", "double", "decimal128(4, 2)"}),
        (Kind.TIME, {"string", "int64", "null", "double", "decimal128(4, 2)", "timestamp[us]"}),
    ],
)
def test_which_types_can_hold_a_kind(kind: Kind, fitting: set[str]) -> None:
    types = [pa.string(), pa.int64(), pa.null(), pa.float64(), pa.decimal128(4, 2), pa.bool_(), pa.timestamp("us")]
    types += [pa.list_(pa.string()), pa.struct({"a": pa.string()}), pa.date32()]
    assert {str(type_) for type_ in types if suits(kind, type_)} == fitting
