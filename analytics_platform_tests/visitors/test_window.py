"""Windows are half-open, mean what was written, and are called the same whoever wrote them."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.visitors.window import VisitWindow, between, last_minutes

TOKYO, BERLIN = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Berlin")
NOW = datetime.fromisoformat("2019-06-24T22:48:34.201263+09:00")
KEY = "2019-06-21T15:00Z..2019-06-24T15:00Z"
# Written down: rows stored under these ids must be found again by every later edition.
VISITOR, ID = "0123456789abcdef0123456789abcdef", "1974f8b5-7688-5f71-8daa-f5984dc5aa83"


@pytest.mark.parametrize(
    ("start", "end", "zone"),
    [
        ("2019-06-22", "2019-06-25", "Asia/Tokyo"),
        ("20190622", "2019-06-25", "Asia/Tokyo"),
        ("2019-06-22T00:00", "2019-06-25 00:00:00.000", "Asia/Tokyo"),
        ("2019-06-22T00:00+09:00", "2019-06-25T00:00+09:00", "Europe/Berlin"),
        ("2019-06-21T15:00Z", " 2019-06-24T17:00+02:00 ", "Asia/Tokyo"),
        ("2019-06-21T17:00", "2019-06-24T17:00", "Europe/Berlin"),
        ("2019-06-21T10:30-04:30", "2019-06-24T20:45+05:45", "UTC"),
    ],
)
def test_a_window_has_one_key_and_one_id_whatever_offset_it_was_written_with(start: str, end: str, zone: str) -> None:
    window = between(start, end, ZoneInfo(zone))
    assert window.key == KEY
    assert window == between("2019-06-22", "2019-06-25", TOKYO)
    assert window.report_id(VISITOR) == ID


def test_ids_are_the_same_in_another_process() -> None:
    code = (
        "from zoneinfo import ZoneInfo; from analytics_platform.visitors.window import between; "
        f"print(between('2019-06-22', '2019-06-25', ZoneInfo('Asia/Tokyo')).report_id({VISITOR!r}))"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == ID


def test_ids_tell_visitors_and_windows_apart() -> None:
    window = between("2019-06-22", "2019-06-25", TOKYO)
    others = (between("2019-06-22", "2019-06-25", BERLIN), VisitWindow(window.start, NOW), VisitWindow(NOW, window.end))
    visitors = (VISITOR, VISITOR.upper(), "", "\n", "é", "e\u0301", f"{window.key}\n{VISITOR}")
    ids = {one.report_id(visitor) for one in (window, *others) for visitor in visitors}
    assert len(ids) == 4 * len(visitors)


def test_the_last_minutes_end_now() -> None:
    window = last_minutes(30, NOW)
    assert window.end == NOW
    assert window.end - window.start == timedelta(minutes=30)
    assert window.start.tzinfo is window.end.tzinfo is UTC
    assert window.key == "2019-06-24T13:18:34.201263Z..2019-06-24T13:48:34.201263Z"
    # Minutes are minutes, however the clocks were changed in between.
    autumn = datetime.fromisoformat("2026-10-25T01:30Z").astimezone(BERLIN)
    assert last_minutes(90, autumn).key == "2026-10-25T00:00Z..2026-10-25T01:30Z"


def test_a_key_is_as_exact_as_it_must_be() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    lengths = (timedelta(days=1), timedelta(seconds=1), timedelta(microseconds=1))
    assert [VisitWindow(start, start + length).key for length in lengths] == [
        "2026-01-01T00:00Z..2026-01-02T00:00Z",
        "2026-01-01T00:00Z..2026-01-01T00:00:01Z",
        "2026-01-01T00:00Z..2026-01-01T00:00:00.000001Z",
    ]


@pytest.mark.parametrize(
    ("zone", "day"), [("Asia/Tokyo", 22), ("UTC", 21), ("America/New_York", 21), ("Pacific/Kiritimati", 22)]
)
def test_its_day_is_the_local_one_in_which_it_begins(zone: str, day: int) -> None:
    assert between("2019-06-22", "2019-06-25", TOKYO).day(ZoneInfo(zone)) == date(2019, 6, day)


def test_days_of_any_length() -> None:
    for day, hours in ((29, 23), (30, 24)):
        window = between(f"2026-03-{day}", f"2026-03-{day + 1}", BERLIN)
        assert window.end - window.start == timedelta(hours=hours)
    autumn = between("2026-10-25", "2026-10-26", BERLIN)
    assert autumn.end - autumn.start == timedelta(hours=25)


def test_a_day_without_midnight_begins_when_it_begins() -> None:
    # In Lebanon the clocks go from 0:00 to 1:00.
    window = between("2026-03-29", "2026-03-30", ZoneInfo("Asia/Beirut"))
    assert window.end - window.start == timedelta(hours=23)
    assert window.day(ZoneInfo("Asia/Beirut")) == date(2026, 3, 29)


def test_a_skipped_wall_time_is_refused_with_the_two_that_it_may_mean() -> None:
    with pytest.raises(ValueError, match="does not exist in Europe/Berlin") as refused:
        between("2026-03-29T02:30", "2026-03-30", BERLIN)
    assert str(refused.value) == (
        "2026-03-29T02:30 does not exist in Europe/Berlin, where the clocks are changed; write it with its offset, "
        "2026-03-29T02:30:00+01:00 or 2026-03-29T02:30:00+02:00"
    )
    between("2026-03-29T03:00", "2026-03-29T03:30", BERLIN)
    between("2026-03-29T01:59:59.999999", "2026-03-29T03:30", BERLIN)


def test_a_wall_time_that_is_there_twice_is_refused_and_can_be_written_with_its_offset() -> None:
    with pytest.raises(ValueError, match=r"2026-10-25T02:00 is there twice in Europe/Berlin.*\+02:00 or .*\+01:00"):
        between("2026-10-25", "2026-10-25T02:00", BERLIN)
    first = between("2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", BERLIN)
    assert first.end - first.start == timedelta(hours=1)
    between("2026-10-25T01:59", "2026-10-25T03:00", BERLIN)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "yesterday",
            "22.06.2019",
            "2019-06-31",
            "2019-06-22T25:00",
            "2019-6-22",
            "06/22/2019",
            "1561129200",
        ),
        *("0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00", "2019-06-22T00:00+25:00", "２０１９-06-22x"),
    ],
)
def test_what_is_no_moment_is_refused_with_what_to_write(text: str) -> None:
    for start, end in ((text, "2019-06-25"), ("2019-06-22", text)):
        with pytest.raises(ValueError, match="is no moment; write a day such as 2019-06-22, or a time such as") as bad:
            between(start, end, TOKYO)
        assert repr(text) in str(bad.value)
        assert "\n" not in str(bad.value)


@pytest.mark.parametrize(("start", "end"), [("2019-06-25", "2019-06-22"), ("2019-06-22", "2019-06-22T00:00+09:00")])
def test_an_end_that_is_not_after_the_start_is_refused(start: str, end: str) -> None:
    with pytest.raises(ValueError, match=r"not after its start at 2019-06-2.T15:00Z; write an end that is later"):
        between(start, end, TOKYO)


@pytest.mark.parametrize(("start", "end"), [("0019-06-22", "2019-06-22"), ("2019-06-22", "9019-06-22")])
def test_years_that_are_slips_of_the_pen_are_refused(start: str, end: str) -> None:
    with pytest.raises(ValueError, match="outside the years 1970 to 2261; write its year with four digits"):
        between(start, end, TOKYO)


@pytest.mark.parametrize("minutes", [0, -1, -(10**9)])
def test_no_minutes_are_no_window(minutes: int) -> None:
    with pytest.raises(ValueError, match=f"{minutes} minutes are no window; write a whole number of minutes from 1 on"):
        last_minutes(minutes, NOW)


def test_minutes_before_all_time_are_refused() -> None:
    with pytest.raises(ValueError, match="1970"):
        last_minutes(60 * 24 * 366 * 60, NOW)
    with pytest.raises(ValueError, match="reach back before 1970; write fewer"):
        last_minutes(10**15, NOW)


def test_moments_without_an_offset_are_refused() -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(ValueError, match=r"the start of a window.*has no offset; give it as aware"):
        VisitWindow(naive, NOW)
    with pytest.raises(ValueError, match=r"the end of a window.*has no offset; give it as aware"):
        VisitWindow(NOW, naive)
    with pytest.raises(ValueError, match=r"now.*has no offset; give it as aware"):
        last_minutes(5, naive)


def test_a_window_is_in_utc_whatever_it_was_given_in() -> None:
    window = VisitWindow(NOW.astimezone(timezone(timedelta(hours=-3))), NOW + timedelta(hours=1))
    assert (window.start.tzinfo, window.end.tzinfo) == (UTC, UTC)
    assert window.bounds == {
        "window_start": datetime.fromisoformat("2019-06-24T13:48:34.201263"),
        "window_end": datetime.fromisoformat("2019-06-24T14:48:34.201263"),
    }
