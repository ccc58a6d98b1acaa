"""The feed's week as a reader gets it: right figures, legible in every case, the same bytes each time."""

import hashlib
import io
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image
from pypdf import PdfReader

from analytics_platform.charts import feed_daily, style
from analytics_platform.charts.style import Chart
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.metrics.frames import FeedDay, FeedFrame
from analytics_platform_tests.work import calls_of

Row = tuple[int | None, int | None, int | None]

FIRST = date(2023, 10, 12)
NOTHING: Row = (None, None, None)
WEEK: list[Row] = [
    (18_811, 547_073, 114_936),
    (18_540, 561_020, 118_210),
    (17_930, 531_877, 109_802),
    (17_702, 520_114, 109_310),
    (18_222, 544_190, 115_722),
    (18_391, 538_802, 112_044),
    (18_167, 503_624, 106_989),
    (18_706, 569_448, 118_695),
]


def replaced(**days: Row) -> list[Row]:
    """The week with some days, named like `day3`, replaced."""
    return [days.get(f"day{place}", row) for place, row in enumerate(WEEK)]


CASES: dict[str, list[Row]] = {
    "a usual week": WEEK,
    "a gap and an outage": replaced(day3=NOTHING, day4=(17_702, 0, 0)),
    "nothing for the report day": replaced(day7=NOTHING),
    "nothing a week ago": replaced(day0=NOTHING),
    "nothing at all": [NOTHING] * 8,
    "zero": [(0, 0, 0)] * 8,
    "one day": [NOTHING] * 7 + [WEEK[7]],
    "parts of days": replaced(day5=(18_391, None, 112_044), day6=(None, 3, 2), day7=(18_706, 569_448, None)),
    "billions and a tiny rate": [(7_999_888_777, 999_888_777_666, 1_483 + day) for day in range(8)],
    "collapse": replaced(day6=(913, 2_011, 402)),
    "growth out of nothing": [*[(1, 3, 1)] * 7, (12_345_678_901, 12_345_678_901, 1)],
    "a handful": [(day % 3, day % 5 * 2, day % 2) for day in range(8)],
    "more likes than views": [(10, 10, 10 + day * 7) for day in range(8)],
    "all low but one": [(5, 4_321, 999_949), (900_000, 90_000_000, 999_950_000), *[(999, 949_999, 999_949)] * 6],
}

every_language = pytest.mark.parametrize("code", LANGUAGES)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    """Each in turn; what is asked of one is asked before the next, while its page is kept."""
    name: str = request.param
    return name


def frame(rows: Sequence[Row], first: date = FIRST) -> FeedFrame:
    return FeedFrame(tuple(FeedDay(first + timedelta(days=k), *row) for k, row in enumerate(rows)))


@cache
def chart_of(case: str) -> Chart:
    """A case in Russian: most of what this file costs, so once for all who read it."""
    return draw(CASES[case], "ru")


# The last two pages that were looked at.
PAGES: dict[tuple[tuple[Row, ...], str, date], Figure] = {}


def draw(rows: list[Row], code: str) -> Chart:
    """A chart drawn anew."""
    return feed_daily.draw(frame(rows), Language(code))


@contextmanager
def drawn(rows: list[Row], code: str, first: date = FIRST) -> Iterator[Figure]:
    """A page to be looked at."""
    with style.look():
        key = tuple(rows), code, first
        if key not in PAGES:
            while len(PAGES) > 1:
                # Figures are cycles, which are seldom looked for; this one lets go of its 6 MB at once.
                FigureCanvasBase(PAGES.pop(next(iter(PAGES))))
            page = style.page()
            feed_daily.compose(page, frame(rows, first), Language(code))
            FigureCanvasAgg(page).draw()  # type: ignore[no-untyped-call]
            PAGES[key] = page
        yield PAGES[key]


def panels(figure: Figure) -> list[tuple[Axes, Axes]]:
    """Users, views, likes: the axes of the columns and of the rate."""
    return [(figure.axes[k], figure.axes[k + 1]) for k in (0, 2, 4)]


def columns(plot: Axes) -> dict[int, float]:
    """The heights drawn, by the day's place on the axis."""
    return {round(p.get_x() + p.get_width() / 2): p.get_height() for p in plot.patches if isinstance(p, Rectangle)}


def texts(figure: Figure) -> list[Text]:
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible() and bool(artist.get_text()))
    return [text for text in found if isinstance(text, Text)]


def words(rows: list[Row], code: str = "en") -> list[str]:
    with drawn(rows, code) as figure:
        return [text.get_text() for text in texts(figure)]


@every_language
def test_all_text_is_on_the_page_and_clear_of_everything_else(case: str, code: str) -> None:
    with drawn(CASES[case], code) as figure:
        boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
        assert len(boxes) > 15
        for text, box in boxes:
            assert not {"nan", "inf"} & set(text.lower().replace("(", " ").split()), text
            assert box.x0 >= 10, text
            assert box.y0 >= 10, text
            assert box.x1 <= style.WIDTH - 10, text
            assert box.y1 <= style.HEIGHT - 10, text
        for (one, first), (other, second) in itertools.combinations(boxes, 2):
            apart = first.x1 < second.x0 or second.x1 < first.x0 or first.y1 < second.y0 or second.y1 < first.y0
            assert apart, f"{one!r} overlaps {other!r}"
        for plot, rate in panels(figure):
            label = next(text for text in plot.texts if text.get_color() == style.COUNT).get_window_extent()
            assert all(column.get_window_extent().y1 < label.y0 for column in plot.patches)
            for low in rate.get_yticks()[:1]:
                assert label.y1 < rate.transData.transform((0, low))[1]


@every_language
@pytest.mark.parametrize("month", [2, 5, 9, 11])
def test_dates_fit_all_year_round(month: int, code: str) -> None:
    with drawn(WEEK, code, date(2028, month, 20)) as figure:
        labels = sorted((t.get_window_extent() for t in figure.axes[4].get_xticklabels()), key=lambda box: box.x0)
        assert len(labels) == 7
        for left, right in itertools.pairwise(labels):
            assert right.x0 - left.x1 >= 4
        assert all(text.get_window_extent().x1 <= style.WIDTH - 30 for text in figure.texts)


def test_columns_start_at_zero_and_show_the_days(case: str) -> None:
    rows = CASES[case][1:]
    with drawn(CASES[case], "en") as figure:
        for which, (plot, _) in enumerate(panels(figure)):
            assert plot.get_ylim()[0] == 0
            assert columns(plot) == {day: row[which] for day, row in enumerate(rows) if row[which]}


def test_the_report_day_is_written_out_with_its_change_to_the_same_weekday_a_week_before() -> None:
    written = words(WEEK)
    assert {"18,706 (-0.56%)", "569,448 (+4.09%)", "118,695 (+3.27%)"} <= set(written)
    assert written.count("CTR 20.84% (-0.79%)") == 3
    assert "News feed" in written
    assert "Oct 13, 2023 – Oct 19, 2023" in written
    assert "a week earlier, Oct 12, 2023; in brackets, the change since" in written
    assert [word for word in written if word.startswith(("Fri", "Thu"))] == ["Fri 13", "Thu 19"]


def test_the_week_ago_is_marked_at_its_level() -> None:
    with drawn(WEEK, "en") as figure:
        for which, (plot, _) in enumerate(panels(figure)):
            marks = {tuple(line.get_ydata()) for line in plot.lines if line.get_color() == style.INK}  # type: ignore[arg-type]
            assert marks == {(WEEK[0][which], WEEK[0][which])}


def test_a_missing_day_is_a_marked_gap_and_a_zero_is_a_zero() -> None:
    with drawn(CASES["a gap and an outage"], "en") as figure:
        for plot, rate in panels(figure):
            gaps = {text.get_position()[0]: text.get_text() for text in plot.texts if text.get_color() == style.QUIET}
            assert gaps == ({2: "n/a"} if plot is figure.axes[0] else {2: "n/a", 3: "0"})
            assert [text.get_position()[0] for text in rate.texts] == [3]  # no views, so no rate
            (line,) = (line for line in rate.lines if line.get_marker() == "o")
            assert np.flatnonzero(np.isnan(line.get_ydata())).tolist() == [2, 3]


def test_a_missing_report_day_says_so_where_its_figure_would_be() -> None:
    written = words(CASES["nothing for the report day"], "ru")
    assert written.count("н/д") == 3
    assert written.count("CTR н/д") == 3


def test_nothing_is_compared_where_there_is_no_week_ago() -> None:
    assert not [word for word in words(CASES["nothing a week ago"]) if "(" in word and "DAU" not in word]
    assert not [word for word in words(CASES["nothing at all"]) if "week" in word]


def test_the_picture_is_small_and_has_the_size_of_a_phone(case: str) -> None:
    chart = chart_of(case)
    with Image.open(io.BytesIO(chart.png)) as picture:
        assert picture.size == (1080, 1350)
        assert picture.format == "PNG"
        assert not picture.info.keys() & {"Software", "Creation Time"}
        assert picture.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
    assert len(chart.png) < 80_000
    assert len(PdfReader(io.BytesIO(chart.pdf)).pages) == 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("en", ["News feed Oct 13, 2023 – Oct 19, 2023", "Users (DAU)", "Views", "Likes", "18,706 (-0.56%)", "Thu 19"]),
        (
            "ru",
            [
                "Лента новостей 13 окт. 2023 г. – 19 окт. 2023 г.",
                "Пользователи (DAU)",
                "Просмотры",
                "Лайки",
                "18 706 (-0,56 %)",
                "чт 19",
                "неделей ранее, 12 окт. 2023 г.",
            ],
        ),
    ],
)
def test_the_pdf_is_one_page_of_searchable_text_and_vectors(code: str, expected: list[str]) -> None:
    chart = chart_of("a usual week") if code == "ru" else draw(WEEK, code)
    reader = PdfReader(io.BytesIO(chart.pdf))
    (page,) = reader.pages
    text = " ".join(page.extract_text().split())
    assert text.startswith(expected[0])
    assert [phrase for phrase in expected if phrase not in text] == []
    assert list(page.images) == []
    resources: Any = page["/Resources"]
    fonts = [font.get_object()["/DescendantFonts"][0].get_object() for font in resources["/Font"].values()]
    assert {font["/Subtype"] for font in fonts} == {"/CIDFontType2"}  # TrueType
    assert all("/FontFile2" in font["/FontDescriptor"].get_object() for font in fonts)  # embedded
    assert reader.metadata is not None
    assert list(reader.metadata) == ["/Title"]


def test_the_same_frame_gives_the_same_bytes_in_another_process_at_another_time() -> None:
    code = (
        "import hashlib, sys\n"
        "from analytics_platform_tests.charts.test_feed_daily import WEEK, digest\n"
        "print(digest(WEEK), 'matplotlib.pyplot' in sys.modules)"
    )
    surroundings = {**os.environ, "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "86400", "TZ": "Asia/Tokyo"}
    root = Path(__file__).parents[2]
    printed = subprocess.run([sys.executable, "-c", code], cwd=root, env=surroundings, capture_output=True, check=True)
    assert printed.stdout.decode().split() == [digest_of(chart_of("a usual week")), "False"]


def digest(rows: list[Row]) -> str:
    """Of a chart drawn anew."""
    return digest_of(draw(rows, "ru"))


def digest_of(chart: Chart) -> str:
    return hashlib.sha256(chart.png + chart.pdf).hexdigest()


def test_settings_made_by_others_do_not_show() -> None:
    expected = digest_of(chart_of("a usual week"))
    theirs = {"font.size": 30, "pdf.fonttype": 3, "savefig.bbox": "tight", "axes.grid": True, "figure.autolayout": True}
    with matplotlib.rc_context(theirs):  # type: ignore[arg-type]
        assert digest(WEEK) == expected


def test_charts_may_be_drawn_by_several_threads_at_once() -> None:
    cases = ["a usual week", "parts of days", "a usual week"]
    rows = [CASES[case] for case in cases]
    expected = [digest_of(chart_of(case)) for case in cases]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(digest, rows)) == expected


def test_one_chart_takes_little_work() -> None:
    chart_of("a usual week")  # fonts are read and words are measured once
    # 1.05 million calls where this was written, in 0.3 s.
    assert calls_of(lambda: draw(WEEK, "en")) < 1_600_000
