"""The app's month as a reader gets it: what moved comes first and stands out, nothing hides, always the same bytes."""

import hashlib
import io
import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pypdf import PdfReader

from analytics_platform.charts import app_book, app_charts, app_daily, app_panels, ink, style
from analytics_platform.charts.app_charts import DOWN, GROUPS, UP, Chart
from analytics_platform.charts.app_plots import MARKED, TINT
from analytics_platform.charts.sheet import Area, Disc, Sheet, Stroke, Words
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.metrics.app import AppFrame, Figures, Service, Slice
from analytics_platform.metrics.moves import Move
from analytics_platform_tests.charts.app_month import (
    CASES,
    FEED,
    MESSAGE,
    USUAL,
    changed,
    month,
    moves,
)
from analytics_platform_tests.work import calls_of

APP = Service.APP
IOS, BELARUS = Slice(FEED, "os", "iOS"), Slice(FEED, "country", "Belarus")
every_case = pytest.mark.parametrize("case", CASES)
every_language = pytest.mark.parametrize("code", LANGUAGES)


def listed(frame: AppFrame, found: list[Move], code: str = "en") -> dict[str, tuple[Chart, ...]]:
    return app_charts.charts(frame, found, Language(code))


@cache
def sheets_of(case: str, code: str) -> list[Sheet]:
    """Every panel and page of a case, for reading."""
    return [*panels(*CASES[case], code).values(), *pages(*CASES[case], code)]


@cache
def drawn_of(case: str) -> app_daily.AppCharts:
    """The files of a case in Russian: most of what this file costs, so once for all who read them."""
    return draw(case)


def draw(case: str) -> app_daily.AppCharts:
    """The same, anew."""
    return app_daily.draw(*CASES[case], Language("ru"))


def panels(frame: AppFrame, found: list[Move], code: str = "en") -> dict[str, Sheet]:
    with style.look():
        of = listed(frame, found, code)
        return {group: app_panels.panel(of[group], frame, Language(code)) for group in GROUPS}


def pages(frame: AppFrame, found: list[Move], code: str = "en") -> list[Sheet]:
    with style.look():
        return app_book.book(listed(frame, found, code), frame, Language(code))


def written(sheet: Sheet) -> list[str]:
    return [words.text.replace("\xa0", " ") for words in sheet.words]


def order(found: list[Move]) -> list[tuple[str, int]]:
    return app_daily.ranked(listed(USUAL, found), found)


def overlap(one: Words, other: Words) -> bool:
    """Whether the capitals and the digits of two texts touch; a hair of a letter's side is nobody's concern."""
    return (
        one.x + 0.5 < other.right - 0.5
        and other.x + 0.5 < one.right - 0.5
        and abs(one.y - other.y) < 0.36 * (one.size + other.size)
    )


@every_language
@every_case
def test_all_text_is_on_its_page_legible_and_clear_of_other_text(case: str, code: str) -> None:
    sheets = sheets_of(case, code)
    assert len(sheets) == 10
    for sheet in sheets:
        paper = sheet.per_inch == 72
        for words in sheet.words:
            assert not {"nan", "inf", "None"} & set(words.text.split()), words
            assert words.x >= 10, words
            assert words.right <= sheet.width - 10, words
            assert 10 <= words.y <= sheet.height - 10, words
            assert words.size >= (4.5 if paper else 18), words
        for one, other in itertools.combinations(sheet.words, 2):
            assert not overlap(one, other), f"{one} overlaps {other}"


@every_case
def test_every_mark_is_finite_and_within_the_page(case: str) -> None:
    for sheet in sheets_of(case, "en"):
        assert len(sheet.marks) < 2000
        for mark in sheet.marks:
            points = mark.points if isinstance(mark, Stroke | Area) else [(mark.x, mark.y)]
            for x, y in points:
                assert 0 <= x <= sheet.width, mark
                assert 0 <= y <= sheet.height, mark


@every_case
def test_pictures_and_pdf_come_out_of_every_case(case: str) -> None:
    drawn = drawn_of(case)
    assert sorted(panel.name for panel in drawn.panels) == sorted(GROUPS)
    for panel in drawn.panels:
        with Image.open(io.BytesIO(panel.png)) as picture:
            assert picture.size == (1080, 1350)
            assert picture.format == "PNG"
            assert not picture.info.keys() & {"Software", "Creation Time"}
            assert picture.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
        assert len(panel.png) < 200_000
    assert len(PdfReader(io.BytesIO(drawn.pdf)).pages) == 6


def test_the_panel_with_the_farthest_unusual_move_comes_first() -> None:
    usual = moves(USUAL, {})
    assert order(usual) == [(group, 0) for group in GROUPS]
    assert order([]) == [(group, 0) for group in GROUPS]
    found = moves(
        USUAL, {(Slice(MESSAGE), "new_users"): (0.3, 6.0), (BELARUS, "ctr"): (-0.2, -7.5), (IOS, "dau"): (-0.1, -5.0)}
    )
    assert order(found) == [("feed_slices", 2), ("chat", 1), ("app", 0), ("feed", 0)]
    # A total of the feed is in two panels; the app comes before the feed then.
    assert order(moves(USUAL, {(Slice(FEED), "dau"): (0.2, 8.0)})) == [
        ("app", 1),
        ("feed", 1),
        ("feed_slices", 0),
        ("chat", 0),
    ]


def test_the_panels_are_drawn_in_that_order() -> None:
    drawn = app_daily.draw(USUAL, moves(USUAL, {(BELARUS, "ctr"): (-0.2, -7.5)}), Language("ru"))
    shown = [(panel.name, panel.title, panel.moved) for panel in drawn.panels]
    assert shown[:2] == [("feed_slices", "Лента по срезам", 1), ("app", "Приложение", 0)]
    assert len({panel.png for panel in drawn.panels}) == 4


def test_without_anything_unusual_the_farthest_move_decides_and_unknown_scores_do_not() -> None:
    far = Move(Slice(FEED), "new_posts", 100, 90, 0.1, -3.0, False)
    unknown = Move(Slice(MESSAGE), "dau", 100, 90, 0.1, float("nan"), False)
    not_drawn = Move(Slice(APP), "likes", 100, 90, 0.1, 50.0, True)
    assert order([far, unknown, not_drawn]) == [("feed", 0), ("app", 0), ("feed_slices", 0), ("chat", 0)]


def test_what_is_unusual_has_a_colour_a_sign_a_marker_and_its_change_in_words() -> None:
    found = moves(USUAL, {(IOS, "dau"): (-0.312, -9.0)})
    sheet = panels(USUAL, found)["feed_slices"]
    marked = [words for words in sheet.words if words.colour == MARKED]
    value = app_charts.short(listed(USUAL, found)["feed_slices"][4], USUAL.series[IOS][-1].dau, Language("en"))
    assert [words.text for words in marked] == [
        f"{DOWN} DAU",
        value,
        f"{DOWN}31%",
        f"{UP}{DOWN} unusual: vs a usual day",
    ]
    heading, figure = marked[0], marked[1]
    tints = [mark for mark in sheet.marks if isinstance(mark, Area) and mark.colour == TINT and len(mark.points) == 4]
    assert len(tints) == 2  # the chart's heading and the cell
    for words, tint in zip((heading, figure), tints, strict=True):
        (left, top), (right, bottom) = tint.points[0], tint.points[2]
        assert left <= words.x <= right
        assert top <= words.y <= bottom
    assert [len(m.points) for m in sheet.marks if isinstance(m, Area) and m.colour == MARKED] == [3]  # a triangle
    assert sum(isinstance(m, Stroke) and m.colour == MARKED for m in sheet.marks) == 1
    (name,) = (words for words in sheet.words if words.text == "iOS")
    assert name.bold


@pytest.mark.parametrize(
    ("change", "score", "said"), [(0.186, 6.0, "▲19%"), (-0.043, -6.0, "▼4.3%"), (12.3, 40.0, "▲×13")]
)
def test_a_card_says_both_changes(change: float, score: float, said: str) -> None:
    sheet = panels(USUAL, moves(USUAL, {(Slice(FEED), "ctr"): (change, score)}))["feed"]
    to_week_ago = Language("en").change(USUAL.series[Slice(FEED)][-1].ctr / USUAL.series[Slice(FEED)][-8].ctr - 1)  # type: ignore[operator]
    assert {said, to_week_ago, f"{said[0]} CTR"} <= set(written(sheet))
    assert "other changes: vs Oct 13, 2023" in written(sheet)


def test_nothing_is_marked_when_nothing_is_unusual() -> None:
    for sheet in [*panels(USUAL, moves(USUAL, {})).values(), *pages(USUAL, moves(USUAL, {}))]:
        assert not [m for m in sheet.marks if m.colour in (MARKED, TINT)]
        assert "changes: vs Oct 13, 2023" in written(sheet)


def test_the_pdf_marks_what_is_unusual_in_each_chart_that_shows_it() -> None:
    found = moves(USUAL, {(Slice(FEED), "dau"): (-0.12, -6.0), (BELARUS, "ctr"): (0.2, 7.0), (IOS, "ctr"): (0.3, 8.0)})
    headings = [
        [words.text for words in sheet.words if words.text.startswith((UP, DOWN)) and "Slice" in words.text]
        for sheet in pages(USUAL, found)
    ]
    assert headings == [
        ["▼ Slice: Service, metric: Users (DAU)"],
        ["▼ Slice: Total, metric: Users (DAU)"],
        ["▲ Slice: OS, metric: CTR"],
        ["▲ Slice: Country, metric: CTR"],
        [],
        [],
    ]
    label = next(words for words in pages(USUAL, found)[3].words if words.text == "▲20%")
    assert (label.bold, label.colour) == (True, MARKED)


def plotted(sheet: Sheet, width: float) -> list[Stroke]:
    return [m for m in sheet.marks if isinstance(m, Stroke) and m.width == width and m.colour == style.COUNT]


def test_a_missing_day_is_a_marked_gap_and_a_zero_is_a_zero() -> None:
    def outage(where: Slice, day: int, one: Figures) -> Figures:
        return Figures() if day in (11, 12) else Figures(0, 0, 0, 0, 0, 0, 0) if day == 20 else one

    frame = changed(USUAL, outage)
    sheet = panels(frame, [])["feed"]
    lines = plotted(sheet, 4)
    dau = [line for line in lines if line.points[0][1] == lines[0].points[0][1] or line.points == lines[1].points][:2]
    assert [len(line.points) for line in dau] == [11, 18]  # days 0 to 10, 13 to 30
    floor = next(m for m in sheet.marks if isinstance(m, Stroke) and m.colour == style.QUIET and not m.dash)
    assert dau[1].points[20 - 13][1] == pytest.approx(floor.points[0][1])  # zero is at the bottom
    assert written(sheet).count("n/a") == 8 + 3  # one in each card, and three rates of nothing by nothing
    table = panels(frame, [])["feed_slices"]
    dotted = [m for m in table.marks if isinstance(m, Stroke) and m.dash]
    assert len(dotted) == 40 * 2 + 20 + 1  # two days in each cell, rates also on the third, and the key
    assert "n/a" in written(table)


def test_a_missing_report_day_says_so_where_its_figure_would_be() -> None:
    for group, sheet in panels(month(missing=(30,)), [], "ru").items():
        figures = [w for w in sheet.words if w.text == "н/д" and w.colour != style.QUIET]
        assert len(figures) == {"app": 6, "feed": 8, "feed_slices": 40, "chat": 34}[group]
        assert not [m for m in sheet.marks if isinstance(m, Disc) and not m.ring]  # no dot for a day without figures


@every_language
def test_the_pdf_has_all_35_charts_by_name(code: str) -> None:
    language = Language(code)
    drawn = drawn_of("a usual month") if code == "ru" else app_daily.draw(*CASES["a usual month"], language)
    reader = PdfReader(io.BytesIO(drawn.pdf))
    texts = [" ".join(page.extract_text().split()) for page in reader.pages]
    everything = " ".join(texts)
    of = listed(USUAL, [], code)
    assert [len(of[group]) for group in GROUPS] == [2, 8, 12, 13]
    titles = [app_charts.chart_title(chart, language) for group in GROUPS for chart in of[group]]
    for title in set(titles):
        longer = [other for other in titles if other.startswith(f"{title} ")]  # actions: actions per user
        assert everything.count(title) == titles.count(title) + len(longer), title
    expected = {
        "en": ("Sep 20, 2023 – Oct 20, 2023", "page 3 of 6"),
        "ru": ("20 сент. 2023 г. – 20 окт. 2023 г.", "страница 3 из 6"),
    }
    assert all(expected[code][0] in text for text in texts)
    assert expected[code][1] in texts[2]
    for page, heading in zip(texts, ("app", "feed", "feed_slices", "feed_slices", "chat", "chat"), strict=True):
        assert page.startswith(app_charts.group_name(heading, language))


def test_the_pdf_is_vectors_and_searchable_true_type() -> None:
    reader = PdfReader(io.BytesIO(drawn_of("all unusual").pdf))
    for page in reader.pages:
        assert list(page.images) == []
        assert (round(float(page.mediabox.width)), round(float(page.mediabox.height))) == (595, 842)
        resources: Any = page["/Resources"]
        fonts = [font.get_object()["/DescendantFonts"][0].get_object() for font in resources["/Font"].values()]
        assert {font["/Subtype"] for font in fonts} == {"/CIDFontType2"}
        assert all("/FontFile2" in font["/FontDescriptor"].get_object() for font in fonts)
    assert reader.metadata is not None
    assert list(reader.metadata) == ["/Title"]
    title = " ".join(str(reader.metadata.title).replace("\u202f", " ").split())
    assert title == "Приложение, 20 сент. 2023 г. – 20 окт. 2023 г."


def test_six_lines_that_end_together_have_six_labels_apart() -> None:
    page = pages(*CASES["all alike"])[3]
    for title in [words for words in page.words if words.text.startswith("Slice")]:
        names = {"Russia", "Ukraine", "Belarus", "Kazakhstan", "Azerbaijan", "other"}
        labels = [words for words in page.words if words.text in names and 0 < words.y - title.y < 175]
        assert {words.text for words in labels} == names
        heights = sorted(words.y for words in labels)
        assert all(b - a >= 1.2 * labels[0].size for a, b in itertools.pairwise(heights))


def test_a_small_country_is_no_flat_line_below_a_large_one() -> None:
    page = pages(USUAL, [])[3]
    small = next(words for words in page.words if words.text == "Azerbaijan")
    lines = [m for m in page.marks if isinstance(m, Stroke) and m.colour == small.colour and len(m.points) == 31]
    users = lines[0].points
    assert max(y for _, y in users) - min(y for _, y in users) > 10  # the outage and the campaign, in points


def test_the_same_fall_looks_alike_in_all_plots_of_a_chart() -> None:
    def half(where: Slice, day: int, one: Figures) -> Figures:
        return Figures(400, 900) if day == 30 and where == IOS else Figures(1000, 2000 + day)

    sheet = panels(changed(USUAL, half), [])["feed_slices"]
    teeth = [m for m in sheet.marks if isinstance(m, Stroke) and m.colour == style.QUIET and len(m.points) > 2]
    # Torn are all cells but two of users and two of actions by OS, and ten rates of nothing; and the sample in the key.
    assert len(teeth) == 40 - 2 - 2 - 10 + 1


def test_long_lists_keep_what_is_unusual_and_say_what_is_left_out() -> None:
    sources = {Slice(FEED, "source", f"campaign-{k:02}"): USUAL.series[Slice(FEED, "source", "ads")] for k in range(12)}
    frame = AppFrame(USUAL.days, {**USUAL.series, **sources}, 1, 1, USUAL.audience, USUAL.audience, ())
    last = Slice(FEED, "source", "campaign-11")
    sheet = panels(frame, moves(frame, {(last, "ctr"): (0.5, 9.0)}))["feed_slices"]
    assert "campaign-11" in written(sheet)
    assert "8 more rows in the PDF" in written(sheet)
    assert len([text for text in written(sheet) if text.startswith("campaign")]) == 4


def test_letters_that_the_type_lacks_are_boxes() -> None:
    frame = month(("中国", "ქართული", "a\nb", "x" * 5000, "\ufeff$x$ & <b>"))
    sheet = panels(frame, [])["feed_slices"]
    assert {"□□", "ქართული", "a b"} <= set(written(sheet))
    assert next(text for text in written(sheet) if text.startswith("xxx")).endswith("…")
    assert len(app_daily.draw(frame, [], Language("en")).panels) == 4


def test_dates_and_units_are_in_the_readers_language() -> None:
    russian = panels(USUAL, [], "ru")
    assert {"Приложение", "Лента", "Чат", "Пользователи (DAU)", "пт 20", "13"} <= set(written(russian["app"]))
    assert {"Источник", "ОС", "Страна", "другие", "Russia", "На чел."} <= set(written(russian["feed_slices"]))
    assert "Fri 20" in written(panels(USUAL, [])["feed"])


def test_the_same_input_gives_the_same_bytes_in_another_process_at_another_time() -> None:
    code = (
        "import sys\n"
        "from analytics_platform_tests.charts.test_app_daily import digest, draw\n"
        "print(digest(draw('gaps')), 'matplotlib.pyplot' in sys.modules)"
    )
    surroundings = {**os.environ, "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "86400", "TZ": "Asia/Tokyo"}
    root = Path(__file__).parents[2]
    printed = subprocess.run([sys.executable, "-c", code], cwd=root, env=surroundings, capture_output=True, check=True)
    assert printed.stdout.decode().split() == [digest(drawn_of("gaps")), "False"]


def digest(drawn: app_daily.AppCharts) -> str:
    return hashlib.sha256(b"".join(panel.png for panel in drawn.panels) + drawn.pdf).hexdigest()


def test_the_order_of_moves_does_not_show() -> None:
    frame, found = CASES["all unusual"]
    assert app_daily.draw(frame, found[::-1], Language("ru")) == drawn_of("all unusual")


def test_charts_may_be_drawn_by_several_threads_at_once() -> None:
    cases = ["gaps", "long names"]
    expected = [drawn_of(case) for case in cases]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(draw, cases)) == expected


def test_a_page_is_one_artist_and_no_axes() -> None:
    with style.look():
        figure = ink._figure(panels(USUAL, [])["chat"])
        assert (len(figure.axes), len(figure.artists), len(figure.texts), len(figure.lines)) == (0, 1, 0, 0)


def test_importing_the_charts_imports_no_drawing_library() -> None:
    code = (
        "import sys, analytics_platform.charts.app_daily; "
        "print(sorted({'matplotlib', 'PIL', 'numpy', 'pandas', 'seaborn'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    printed = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)
    assert printed.stdout.decode().strip() == "[]"


def test_all_charts_take_little_work() -> None:
    drawn_of("a usual month")  # fonts are read and words are measured once
    # 1.75 million calls where this was written, in 0.8 s; axes objects would take three times as long.
    assert calls_of(lambda: draw("a usual month")) < 2_600_000
