"""One value against its definition, and the fast way against the definition."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analytics_platform.metrics.events import (
    FEED_ACTIONS,
    MESSAGE_ACTIONS,
    PAGE_EVENTS,
    USER_EVENTS,
    Column,
    arrow_schema,
)
from analytics_platform.sources.values import UnfitError, convert, parse

COLUMNS = {column.name: column for column in (*FEED_ACTIONS.columns, *MESSAGE_ACTIONS.columns)}
TIME, USER, AGE, GENDER, CITY, ACTION = (COLUMNS[n] for n in ("time", "user_id", "age", "gender", "city", "action"))
EVENT, HEIGHT, WATCHED, VIDEO, INSERTED = (
    USER_EVENTS.column(n) for n in ("event_id", "video_height", "watch_duration", "video_id", "inserted_at")
)
ADBLOCK, VISITOR = PAGE_EVENTS.column("adblock"), PAGE_EVENTS.column("visitor")
TABLES = {id(c): t for t in (FEED_ACTIONS, MESSAGE_ACTIONS, USER_EVENTS, PAGE_EVENTS) for c in t.columns}
BERLIN, MOSCOW = ZoneInfo("Europe/Berlin"), ZoneInfo("Europe/Moscow")


def micros(*wall: int) -> int:
    return (datetime(*wall, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20T10:00:05", micros(2026, 11, 20, 10, 0, 5)),
        ("2026-11-20 10:00", micros(2026, 11, 20, 10)),
        ("  2026-11-20 10:00:05.5 ", micros(2026, 11, 20, 10, 0, 5, 500_000)),
        ("2026-11-20 10:00:05.123456789", micros(2026, 11, 20, 10, 0, 5, 123_456)),
        ("2026-11-20T10:00:05Z", micros(2026, 11, 20, 10, 0, 5)),
        ("2026-11-20T10:00:05+03:00", micros(2026, 11, 20, 7, 0, 5)),
        ("2026-11-20T10:00:05.25+0300", micros(2026, 11, 20, 7, 0, 5, 250_000)),
        ("2026-11-20 10:00+03", micros(2026, 11, 20, 7)),
        ("2026-11-20T22:30:00-03:30", micros(2026, 11, 21, 2)),
        ("1970-01-01T00:00:00Z", 0),
        ("2099-12-31T23:59:59.999999Z", micros(2099, 12, 31, 23, 59, 59, 999_999)),
        ("1790000000", 1_790_000_000_000_000),
        ("1790000000.25", 1_790_000_000_250_000),
        ("1790000000.0", 1_790_000_000_000_000),
        ("1790000000123", 1_790_000_000_123_000),
        ("0", 0),
    ],
)
def test_times(text: str, expected: int) -> None:
    assert parse(TIME, text, UTC) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2026-11-20", "is a date without a time of day"),
        ("20261120", "is a date without a time of day"),
        ("2026-11-20 10", "is not a date and time such as"),
        ("2026-11-20 10+03:00", "is not a date and time such as"),
        ("20.11.2026 10:00", "is not a date and time such as"),
        ("2026-11-20T10:00:00+25:00", "has an offset from UTC that does not exist"),
        ("2026-02-30 10:00:00", "is not a date and time of the calendar"),
        ("2026-11-20 24:00:00", "is not a date and time of the calendar"),
        ("2026-11-20 23:59:60", "is not a date and time of the calendar"),
        ("1969-12-31 23:59:59", "is a time before 1970 or after 2099"),
        ("2100-01-01 00:00:00", "is a time before 1970 or after 2099"),
        ("0001-01-01 00:00:00", "is a time before 1970 or after 2099"),
        ("9999-12-31T23:59:59-12:00", "is a time before 1970 or after 2099"),
        ("4102444800", "is a time before 1970 or after 2099"),
        ("1790000000123456", "is a time before 1970 or after 2099"),
        ("-5", "is not a date and time such as"),
        ("1.79e9", "is not a date and time such as"),
        ("", "is empty, and every row needs a value here"),
    ],
)
def test_unfit_times(text: str, why: str) -> None:
    with pytest.raises(UnfitError, match=f"^{why}"):
        parse(TIME, text, UTC)


def test_a_time_without_a_zone_is_a_wall_clock_in_the_source_zone() -> None:
    assert parse(TIME, "2026-11-20 10:00:00", MOSCOW) == micros(2026, 11, 20, 7)
    assert parse(TIME, "2026-07-20 10:00:00", BERLIN) == micros(2026, 7, 20, 8)
    assert parse(TIME, "2026-11-20 10:00:00", timezone(timedelta(hours=-3, minutes=-30))) == micros(
        2026, 11, 20, 13, 30
    )
    # Named zones and epochs are what they are wherever the file was written.
    assert parse(TIME, "2026-11-20T10:00:00Z", MOSCOW) == micros(2026, 11, 20, 10)
    assert parse(TIME, "1790000000", MOSCOW) == 1_790_000_000_000_000


def test_a_change_of_clocks() -> None:
    assert parse(TIME, "2026-10-25 02:30:00", BERLIN) == micros(2026, 10, 25, 0, 30)  # the first of two
    with pytest.raises(UnfitError, match=r"^does not exist in Europe/Berlin: clocks skip it there$"):
        parse(TIME, "2026-03-29 02:30:00", BERLIN)


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        (USER, "25", 25),
        (USER, " 25\t", 25),
        (USER, "\u00a025", 25),
        (USER, "25.0", 25),
        (USER, "007", 7),
        (USER, "0" * 40 + "7", 7),
        (USER, "0", 0),
        (USER, "4294967295", 4_294_967_295),
        (GENDER, "-128", -128),
        (AGE, "32767", 32_767),
        (AGE, "", None),
        (AGE, "  ", None),
        (AGE, None, None),
        (AGE, "\\N", None),
        (CITY, "", "unknown"),
        (CITY, None, "unknown"),
        (CITY, " Нижний Новгород ", "Нижний Новгород"),
        (ACTION, " View ", "view"),
        (ACTION, "ПРОСМОТР", "просмотр"),
        (EVENT, "18446744073709551615", 2**64 - 1),
        (EVENT, "007.0", 7),
        (HEIGHT, "-9223372036854775808", -(2**63)),
        (HEIGHT, "9223372036854775807", 2**63 - 1),
        (HEIGHT, "\\N", None),
        (WATCHED, " 12.50 ", 12.5),
        (WATCHED, "-1e-3", -0.001),
        (WATCHED, "+.5E1", 5.0),
        (WATCHED, "7.", 7.0),
        (WATCHED, "1e308", 1e308),
        (WATCHED, "", None),
        (WATCHED, None, None),
        (ADBLOCK, "TRUE", True),
        (ADBLOCK, " t ", True),
        (ADBLOCK, "Yes", True),
        (ADBLOCK, "1", True),
        (ADBLOCK, "false", False),
        (ADBLOCK, "F", False),
        (ADBLOCK, "no", False),
        (ADBLOCK, "0", False),
        (ADBLOCK, "\\N", None),
        (VIDEO, " A b\u00a0", "A b"),
        (VIDEO, " ", None),
        (VIDEO, "\\N", None),
        (VIDEO, None, None),
        (VISITOR, "0", "0"),
        (INSERTED, "", None),
    ],
)
def test_numbers_and_texts(column: Column, text: str | None, expected: float | str | None) -> None:
    found = parse(column, text, UTC)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("column", "text", "why"),
    [
        (USER, "", "is empty, and every row needs a value here"),
        (USER, "-1", "is not a whole number from 0 to 4294967295"),
        (USER, "4294967296", "is not a whole number from 0 to 4294967295"),
        (USER, "9" * 5000, "is not a whole number from 0 to 4294967295"),
        (USER, "0x1F", "is not a whole number from 0 to 4294967295"),
        (USER, "1_000", "is not a whole number from 0 to 4294967295"),
        (USER, "1 000", "is not a whole number from 0 to 4294967295"),
        (USER, "1e3", "is not a whole number from 0 to 4294967295"),
        (USER, "+5", "is not a whole number from 0 to 4294967295"),
        (USER, "٣", "is not a whole number from 0 to 4294967295"),
        (AGE, "25.5", "is not a whole number from -32768 to 32767 or empty"),
        (GENDER, "male", "is not a whole number from -128 to 127 or empty"),
        (GENDER, "128", "is not a whole number from -128 to 127 or empty"),
        (ACTION, "   ", "is empty, and every row needs a value here"),
        (EVENT, "18446744073709551616", "is not a whole number from 0 to 18446744073709551615"),
        (HEIGHT, "9223372036854775808", f"is not a whole number from {-(2**63)} to {2**63 - 1} or empty"),
        *(
            (WATCHED, text, "is not a finite number such as 12.5 or 1e-3, with a point for decimals or empty")
            for text in ("nan", "inf", "-Infinity", "1e309", "12,5", "1_000", "0x1p3", "fast", ".", "1e", "٣")
        ),
        (ADBLOCK, "on", "is neither true (t, yes, 1) nor false (f, no, 0) or empty"),
        (ADBLOCK, "1.0", "is neither true (t, yes, 1) nor false (f, no, 0) or empty"),
        (VISITOR, "\\N", "is empty, and every row needs a value here"),
    ],
)
def test_unfit_numbers_and_texts(column: Column, text: str, why: str) -> None:
    with pytest.raises(UnfitError) as caught:
        parse(column, text, UTC)
    assert str(caught.value) == why


def _one_by_one(column: Column, texts: Iterable[str | None], zone: tzinfo) -> "pa.Array | None":
    kind = arrow_schema(TABLES[id(column)]).field(column.name).type
    try:
        return pa.array([parse(column, text, zone) for text in texts], kind)
    except UnfitError:
        return None


_digits = st.text("0123456789", min_size=1, max_size=14)
_offset = st.sampled_from(["", "", "Z", "+03:00", "+0300", "+03", "-11:30", "+23:59", "+24:00", "+03:60", "z", " Z"])
_when = st.datetimes(datetime(1969, 12, 30), datetime(2100, 1, 3))  # noqa: DTZ001
_changes = st.builds(
    lambda day, minutes: day + timedelta(minutes=minutes),
    st.sampled_from([datetime(2026, 3, 29), datetime(2026, 10, 25), datetime(1995, 9, 24)]),  # noqa: DTZ001
    st.integers(0, 300),
)
_form = st.sampled_from(["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S.%f"])
_iso = st.builds(lambda when, form, offset: when.strftime(form) + offset, _when | _changes, _form, _offset)
_epoch = st.one_of(
    st.integers(-5, 5_000_000_000).map(str),
    st.integers(10**11, 5 * 10**12).map(str),
    st.integers(19_000_000, 21_100_000).map(str),
    st.builds(lambda whole, part: f"{whole}.{part}", st.integers(0, 2 * 10**12), _digits),
)
_odd = st.sampled_from(
    ["", " ", "\\N", "x", "0x1F", "-0", "25.", ".5", "1e3", "2026-11-20", "2026-11-20 10", "2026-11-20 10+03:00", "nan"]
)
_blanked = st.builds(
    lambda left, text, right: left + text + right,
    st.sampled_from(["", "", "", " ", "\u00a0"]),
    st.one_of(_digits, _iso, _epoch, _odd),
    st.sampled_from(["", "", "", " ", ".0", ".000", "\t"]),
)
_long_digits = st.text("0123456789", min_size=17, max_size=21)
_floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.builds(lambda a, b, e: f"{a}.{b}{e}", _digits, _digits, st.sampled_from(["", "e5", "E-7", "e+400", "e"])),
)
# Batches of one form exercise the fast way; mixed ones its giving up.
_batch = st.one_of(
    *(st.lists(one, max_size=6) for one in (_digits, _long_digits, _floats, _iso, _epoch)),
    st.lists(st.sampled_from(["true", "False", "1", "0", "t", "YES", " no ", "", "x"]), max_size=6),
    st.lists(st.none() | _blanked | st.text(max_size=4), max_size=6),
    st.builds(
        lambda whens, form, offset: [when.strftime(form) + offset for when in whens],
        st.lists(_when | _changes, max_size=6),
        _form,
        _offset,
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    column=st.sampled_from(
        [USER, AGE, GENDER, TIME, TIME, TIME, CITY, ACTION, EVENT, HEIGHT, WATCHED, WATCHED, ADBLOCK, VIDEO, VISITOR]
    ),
    texts=_batch,
    zone=st.sampled_from([UTC, MOSCOW, BERLIN, ZoneInfo("Australia/Lord_Howe"), timezone(timedelta(hours=5))]),
    repeating=st.booleans(),
)
@example(column=TIME, texts=["2026-03-29 02:30:00"], zone=BERLIN, repeating=False)
@example(column=TIME, texts=["2026-11-20 10", "2026-11-20 11"], zone=UTC, repeating=False)
@example(column=USER, texts=["0x1F"], zone=UTC, repeating=False)
@example(column=TIME, texts=["20261120"], zone=UTC, repeating=False)
@example(column=EVENT, texts=["18446744073709551616"], zone=UTC, repeating=False)
@example(column=WATCHED, texts=["nan"], zone=UTC, repeating=False)
@example(column=WATCHED, texts=["1e309"], zone=UTC, repeating=False)
def test_the_fast_way_agrees_with_the_definition(
    column: Column, texts: list[str | None], zone: tzinfo, repeating: bool
) -> None:
    expected = _one_by_one(column, texts, zone)
    given_texts = pa.array(texts, pa.string())
    kind = arrow_schema(TABLES[id(column)]).field(column.name).type
    actual = convert(column, given_texts.dictionary_encode() if repeating else given_texts, kind, zone)
    if expected is None:
        assert actual is None
    else:
        assert actual is not None
        assert actual.type == kind
        assert actual.to_pylist() == expected.to_pylist()
