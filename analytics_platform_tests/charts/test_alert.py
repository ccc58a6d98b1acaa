"""An incident's picture as a reader gets it: right figures, legible in every case, the same bytes each time."""

import hashlib
import io
import math
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from analytics_platform.alerts.findings import What
from analytics_platform.alerts.telling_views import Member
from analytics_platform.charts import alert, style
from analytics_platform.charts.alert import BAND, LATE, MARKED, SHADE, WEEK, AlertFrame, Panel
from analytics_platform.charts.sheet import Area, Disc, Sheet, Stroke
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.metrics.series import BUCKET
from analytics_platform_tests.alerts.telling_cases import CTR, IOS, LIKES, VIEWS, ZONE, at
from analytics_platform_tests.charts.legible import assert_legible

BUCKETS = 120
END = at(13, 45)
TIMES = tuple(END - BUCKET * (BUCKETS - k) for k in range(BUCKETS))
EMPTY = Member("feed", "likes", None, None)


def usual(level: float) -> list[float]:
    """A day's curve, in whole numbers where the level is one."""
    hours = [moment.hour + moment.minute / 60 for moment in TIMES]
    return [level * (0.25 + 0.75 * math.sin(math.pi * ((hour - 4) % 24) / 24) ** 2) for hour in hours]


def panel(member: Member, level: float, factor: float = 0.4, last: int = 2) -> Panel:
    """The last buckets are off by a factor; everything before is a little above what was expected."""
    expected = usual(level)
    values = [value * (1.03 if k < BUCKETS - last else factor) for k, value in enumerate(expected)]
    return Panel(
        replace(member, now=values[-1], expected=expected[-1]),
        tuple(values),
        tuple(value * 0.87 for value in expected),
        tuple(value * 1.13 for value in expected),
        tuple(value * 0.98 for value in expected),
        tuple(range(BUCKETS - last, BUCKETS)),
    )


def ctr(factor: float = 0.66) -> Panel:
    values = [0.21 + 0.002 * (k % 3) for k in range(BUCKETS - 2)] + [0.21 * factor] * 2
    flat = tuple([0.21] * BUCKETS)
    member = replace(CTR, now=values[-1], expected=0.21)
    return Panel(member, tuple(values), tuple(v * 0.95 for v in flat), tuple(v * 1.05 for v in flat), flat, (118, 119))


def gaps(one: Panel, first: int = 113) -> Panel:
    values = [None if k >= first or k in (30, 31, 50, 52) else value for k, value in enumerate(one.values)]
    values[40] = math.nan
    return replace(one, values=tuple(values), alerted=())


def frame(*panels: Panel, since: datetime | None = None, **rest: datetime) -> AlertFrame:
    return AlertFrame(TIMES, panels, ZONE, since, **rest)


LONG = replace(IOS, dimension="country", value="Saint Vincent and the Grenadines, all", what=What.SLIDE)
CASES = {
    "one": frame(panel(LIKES, 3000), since=at(13, 15)),
    "three": frame(panel(LIKES, 3000), panel(VIEWS, 14_000, 0.6), ctr(), since=at(13, 15)),
    "ratio": frame(ctr(), since=at(13, 15)),
    "spike": frame(panel(LIKES, 3000, 3.9, 1), since=at(13, 30)),
    "slide": frame(panel(LONG, 300, 0.8, 30), panel(VIEWS, 14_000, 0.8, 30), since=at(6, 15)),
    "zero": frame(panel(replace(LIKES, what=What.ZERO), 260, 0.0, 6), since=at(12, 15)),
    "frozen": frame(panel(replace(LIKES, what=What.FREEZE), 3000, 1.0, 3), since=at(13)),
    "late": frame(gaps(panel(LIKES, 3000)), gaps(panel(VIEWS, 14_000)), late_since=at(12, 5)),
    "closed": frame(panel(LIKES, 3000, 1.0), since=at(11, 15), until=at(12, 30)),
    "since yesterday": frame(panel(LIKES, 3000), since=at(1, day=19)),
    "nothing is known": frame(Panel(EMPTY, (None,) * BUCKETS), since=at(13, 15)),
    "all zero": frame(Panel(replace(EMPTY, now=0.0, expected=0.0), (0.0,) * BUCKETS), since=at(13, 15)),
    "one value": frame(Panel(EMPTY, (*[None] * 60, 5.0, *[math.nan] * 59)), since=at(13, 15)),
    "billions": frame(panel(LIKES, 3e9), panel(VIEWS, 1e12), ctr(9.0), since=at(13, 15)),
    "a handful": frame(Panel(replace(EMPTY, now=1.0, expected=2.0), tuple(float(k % 3) for k in range(BUCKETS)))),
    "endless range": frame(
        replace(panel(LIKES, 3000), high=(math.inf,) * BUCKETS, low=(-math.inf,) * BUCKETS), since=at(13, 15)
    ),
}

every_case = pytest.mark.parametrize("case", CASES)
every_language = pytest.mark.parametrize("code", LANGUAGES)


def drawn(case: AlertFrame | str, code: str = "en") -> Sheet:
    with style.look():
        return alert.compose(CASES[case] if isinstance(case, str) else case, Language(code))


def written(sheet: Sheet) -> list[str]:
    return [words.text.replace("\xa0", " ").replace("\u202f", " ") for words in sheet.words]


def strokes(sheet: Sheet, colour: str, width: float) -> list[Stroke]:
    return [mark for mark in sheet.marks if isinstance(mark, Stroke) and (mark.colour, mark.width) == (colour, width)]


def lines(sheet: Sheet, colour: str = style.COUNT) -> list[Stroke]:
    """Curves, without their samples in the key."""
    return [mark for mark in strokes(sheet, colour, 5.0 if colour == style.COUNT else 3.0) if len(mark.points) > 2]


def plot_height(sheet: Sheet) -> tuple[float, float]:
    """Top and bottom of the first plot."""
    begin = strokes(sheet, MARKED, 3.0)[0].points
    return begin[0][1], begin[1][1]


@every_language
@every_case
def test_all_text_is_on_the_page_whole_and_clear_of_all_other(case: str, code: str) -> None:
    assert_legible(drawn(case, code), right=4)


@every_language
@every_case
def test_the_picture_is_as_wide_as_a_phone_and_small(case: str, code: str) -> None:
    content = alert.draw(CASES[case], Language(code))
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "PNG"
        assert picture.size == (1080, {1: 860, 2: 1150, 3: 1350}[len(CASES[case].panels)])
        assert not picture.info.keys() & {"Software", "Creation Time"}
    assert len(content) < 120_000


def test_a_heading_says_what_moved_how_far_and_from_what() -> None:
    text = written(drawn("three"))
    assert {"Feed", "Nov 20, 2026, since 13:15", "Likes -60%", "Views -40%", "CTR -34%"} <= set(text)
    assert "13.86% instead of 21.00%" in text
    assert {"every 15 minutes", "usual range", "a week earlier", "unusual", "the scale starts above 0"} <= set(text)
    assert {"Fri 20", "06:00", "12:00", "18:00"} <= set(text)


def test_it_is_told_in_the_readers_language() -> None:
    text = written(drawn("three", "ru"))
    assert {"Лента", "20 нояб. 2026 г., с 13:15", "Лайки -60 %", "пт 20", "обычные пределы", "шкала не от нуля"} <= set(
        text
    )


def test_a_long_name_is_cut_and_the_change_is_not() -> None:
    heading = next(text for text in written(drawn("slide")) if text.startswith("Likes ("))
    assert "…)" in heading
    assert heading.endswith("-20%, gradually")


def test_what_is_over_tells_its_worst() -> None:
    text = written(drawn("closed"))
    assert {"Likes -90%", "at worst 310 instead of 2,990", "Nov 20, 2026, 11:15–12:30", "11:15–12:30"} <= set(text)
    assert "since Thu 19, 01:00" in written(drawn("since yesterday"))


def test_late_data_is_said_to_be_late_and_nothing_to_have_moved() -> None:
    sheet = drawn("late")
    text = written(sheet)
    assert {"Likes", "Views", "no data yet"} <= set(text)
    assert text.count("no data since 12:05") == 2
    assert not [word for word in text if word.endswith("%") or "instead" in word or word == "unusual"]
    colours = {mark.colour for mark in sheet.marks}
    assert LATE in colours
    assert not {MARKED, SHADE} & colours


def test_a_missing_bucket_is_a_gap_and_a_single_one_a_dot() -> None:
    sheet = drawn("late")
    first = lines(sheet)[:4]
    # 30 and 31, the nan at 40, and 50 and 52 with 51 alone between them are missing.
    assert [len(line.points) for line in first] == [30, 8, 9, 60]
    dots = [mark for mark in sheet.marks if isinstance(mark, Disc) and mark.colour == style.COUNT]
    assert len(dots) == 2
    assert max(x for line in lines(sheet) for x, _ in line.points) < 13.2 / 15 * 1080


def test_counts_start_at_zero_and_a_zero_lies_on_it() -> None:
    sheet = drawn("zero")
    _, low = plot_height(sheet)
    assert "0" in written(sheet)
    assert [y for _, y in lines(sheet)[0].points[-6:]] == pytest.approx([low] * 6)


def test_everything_stays_within_its_plot() -> None:
    for case in ("spike", "endless range", "billions"):
        sheet = drawn(case)
        high, low = plot_height(sheet)
        curve = lines(sheet)[0].points
        assert all(high - 1e-6 <= y <= low + 1e-6 for _, y in curve), case
        bands = [
            mark for mark in sheet.marks if isinstance(mark, Area) and mark.colour == BAND and len(mark.points) > 4
        ]
        for band in bands[:1]:
            assert all(high - 1e-6 <= y <= low + 1e-6 for _, y in band.points), case


def test_the_key_explains_only_what_is_there() -> None:
    assert "usual range" not in written(drawn("endless range"))
    assert written(drawn("nothing is known"))[-1] == "every 15 minutes"


def test_every_unusual_bucket_is_marked_and_the_span_is_shaded() -> None:
    sheet = drawn("slide")
    dots = [mark for mark in sheet.marks if isinstance(mark, Disc) and mark.colour == MARKED]
    assert len(dots) == 2 * 30 + 1  # and one in the key
    shades = [mark for mark in sheet.marks if isinstance(mark, Area) and mark.colour == SHADE]
    assert len(shades) == 3
    (left, *_), (right, *_) = shades[0].points[0], shades[0].points[1]
    assert (right - left) / (1080 - 2 * 34 - 118) == pytest.approx(30 / BUCKETS)


def test_the_week_before_lies_behind_the_values() -> None:
    marks = drawn("one").marks
    week = next(k for k, mark in enumerate(marks) if isinstance(mark, Stroke) and mark.colour == WEEK)
    value = next(k for k, mark in enumerate(marks) if isinstance(mark, Stroke) and mark.colour == style.COUNT)
    assert week < value


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "UTC"])
def test_hours_are_the_readers_also_when_clocks_change(zone: str) -> None:
    place = ZoneInfo(zone)
    end = datetime(2026, 11, 1, 18, 0, tzinfo=ZoneInfo("UTC"))  # New York sets its clocks back that morning
    times = tuple(end - BUCKET * (BUCKETS - k) for k in range(BUCKETS))
    turned = replace(CASES["one"], times=times, zone=place, since=end - timedelta(hours=1))
    text = written(drawn(turned))
    assert "Sun 1" in text
    assert f"{(end - timedelta(hours=1)).astimezone(place):%H:%M}" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"times": TIMES[:1]}, "needs two buckets and one series"),
        ({"panels": ()}, "needs two buckets and one series"),
        ({"times": TIMES[1:]}, "likes: 120 values for 119 buckets"),
    ],
)
def test_a_frame_that_cannot_be_drawn_is_refused(change: dict[str, tuple[object, ...]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(CASES["one"], **change)  # type: ignore[arg-type]  # a dictionary of fields of different types


def digest(case: str) -> str:
    return hashlib.sha256(alert.draw(CASES[case], Language("ru"))).hexdigest()


def test_the_same_input_gives_the_same_bytes_in_another_process_at_another_time() -> None:
    code = (
        "import sys\n"
        "from analytics_platform_tests.charts.test_alert import digest\n"
        "print(digest('three'), digest('late'), 'matplotlib.pyplot' in sys.modules)"
    )
    surroundings = {**os.environ, "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "86400", "TZ": "Asia/Tokyo"}
    root = Path(__file__).parents[2]
    printed = subprocess.run([sys.executable, "-c", code], cwd=root, env=surroundings, capture_output=True, check=True)
    assert printed.stdout.decode().split() == [digest("three"), digest("late"), "False"]


def test_importing_it_imports_no_drawing_library() -> None:
    code = (
        "import sys, analytics_platform.charts.alert, analytics_platform.charts.replay; "
        "import analytics_platform.alerts.telling; "
        "print(sorted({'matplotlib', 'PIL', 'numpy', 'pandas', 'jinja2'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    printed = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)
    assert printed.stdout.decode().strip() == "[]"
