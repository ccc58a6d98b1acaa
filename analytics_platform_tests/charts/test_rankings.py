"""A ranking's picture: right figures, legible in every case, the same bytes each time."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from analytics_platform.charts import rankings, style
from analytics_platform.charts.sheet import Area, Sheet
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.rankings.plan import UNKNOWN, Mode, Plan
from analytics_platform.rankings.ranking import Direction, Popular, Ranking, Trending
from analytics_platform_tests.charts.legible import assert_legible

Row = tuple[str, float, float, Direction]

AFRICA: list[Row] = [
    ("Mali", 18_234.4, 12.4, "up"),
    ("Cameroun", 15_002.0, -33.3, "down"),
    ("Côte d'Ivoire", 9_120.5, 0.04, "stable"),
]
LONG: list[Row] = [
    ("Saint Vincent and the Grenadines, all of them and more", 3_999.0, 120_345.2, "up"),
    ("Российская Федерация и всё остальное", 0.004, -1e9, "down"),
    ("日本国 🎉", 12.0, 9.99, "stable"),
    (UNKNOWN, 2.0, -100.0, "down"),
    ("", 1.0, 0.0, "stable"),
]
NEGATIVE: list[Row] = [("santé", 120.5, 55.5, "up"), ("rien", 0.0, 0.0, "stable"), ("skipped", -60.25, -80.0, "down")]
CROWD: list[Row] = [(f"Country {k:02}", 1_000.0 - 9 * k, 0.0, "stable") for k in range(50)]


def ranking(countries: list[Row], categories: list[Row], plan: Plan | None = None) -> Ranking:
    def popular(rows: list[Row]) -> tuple[Popular, ...]:
        return tuple(Popular(name, score, 10, 20, 3, 0.5, {}, (), ()) for name, score, _, _ in rows)

    def trending(rows: list[Row]) -> tuple[Trending, ...]:
        return tuple(
            Trending(name, score, score, score, velocity, direction, None, 1, 1, 1, 1, (), 0, (), ())
            for name, score, velocity, direction in rows
        )

    return Ranking(
        datetime(2026, 11, 21, 2, tzinfo=UTC),
        plan or Plan(),
        {"country": popular(countries), "category": popular(categories)},
        {"country": trending(countries), "category": trending(categories)},
        9,
        27,
        {},
        0,
    )


CASES = {
    "usual": ranking(AFRICA, NEGATIVE),
    "long names": ranking(LONG, LONG),
    "many": ranking(CROWD, CROWD),
    "one group": ranking(AFRICA[:1], []),
    "nothing": ranking([], []),
    "all negative": ranking([("a", -5.0, -20.0, "down")], [("b", -1e12, 0.0, "stable"), ("c", -1.0, 0.0, "stable")]),
    "all zero": ranking([("a", 0.0, 0.0, "stable")], [("b", -0.0, -0.0, "stable")]),
    "billions": ranking([("a", 9.99e11, 1.0, "stable"), ("b", 1.0, 1.0, "stable")], AFRICA),
    "compat": ranking(AFRICA, AFRICA, Plan(mode=Mode.COMPAT)),
    "other window": ranking(AFRICA, AFRICA, Plan(recent=timedelta(hours=6), previous=timedelta(hours=24))),
}

every_case = pytest.mark.parametrize("case", CASES)
every_language = pytest.mark.parametrize("code", LANGUAGES)


def drawn(case: str, code: str = "en") -> Sheet:
    with style.look():
        return rankings.compose(CASES[case], Language(code))


def written(case: str, code: str = "en") -> list[str]:
    return [words.text.replace("\xa0", " ").replace("\u202f", " ") for words in drawn(case, code).words]


def bars(sheet: Sheet) -> list[tuple[float, float]]:
    """Left and right ends, from above."""
    areas = [mark.points for mark in sheet.marks if isinstance(mark, Area)]
    return [(min(x for x, _ in points), max(x for x, _ in points)) for points in areas]


@every_language
@every_case
def test_all_text_is_on_the_page_and_clear_of_all_other(case: str, code: str) -> None:
    sheet = drawn(case, code)
    assert_legible(sheet, [words for words in sheet.words if words.text])


@every_case
def test_bars_are_between_names_and_scores_and_meet_at_zero(case: str) -> None:
    sheet, found = drawn(case), CASES[case]
    ends = iter(bars(sheet))
    for ranked_by in ("country", "category"):
        zeros = set()
        for group in found.popular[ranked_by][:12]:
            left, right = next(ends)
            assert 310 <= left <= right <= 735
            zeros.add(round(left if group.score >= 0 else right, 6))
        assert len(zeros) <= 1
    assert next(ends, None) is None


def test_bars_are_as_long_as_the_scores_say() -> None:
    widths = [right - left for left, right in bars(drawn("usual"))]
    assert [width / widths[0] for width in widths[:3]] == pytest.approx([1, 15_002 / 18_234.4, 9_120.5 / 18_234.4])
    assert widths[5] / widths[3] == pytest.approx(0.5)
    assert widths[4] == 0


def test_what_is_too_small_to_be_seen_is_there() -> None:
    small = bars(drawn("long names"))[1]
    assert small[1] - small[0] == pytest.approx(3)


def test_scores_changes_and_arrows_are_written() -> None:
    text = written("usual")
    assert {"Popular and trending", "24 hours until Nov 21, 2026, 02:00 UTC", "By country", "By category"} <= set(text)
    assert {"18.2K", "+12%", "15K", "-33%", "9.1K", "0%", "120.5", "+56%", "-60.2", "-80%"} <= set(text)
    assert [word for word in text if word in "↑↓→"] == ["↑", "↓", "→", "↑", "→", "↓"]
    assert "an arrow up or down: a change that chance does not explain" in text
    assert text.count("score a day") == 2


def test_it_is_told_in_the_readers_language() -> None:
    text = written("usual", "ru")
    assert {"Популярное и тренды", "По странам", "По категориям", "18,2 тыс.", "-33 %", "баллов в день"} <= set(text)
    assert "неизвестно" in written("long names", "ru")


def test_changes_beyond_all_bounds_are_told_as_such() -> None:
    text = written("long names")
    assert {">+999%", "<-999%", "-100%"} <= set(text)


def test_compat_says_what_its_arrows_are_and_that_its_scores_are_sums() -> None:
    text = written("compat")
    assert "an arrow up or down: a change of more than 10%" in text
    assert text.count("score") == 2
    assert "until Nov 21, 2026, 02:00 UTC" in written("other window")


def test_what_is_left_out_is_counted_and_what_is_missing_is_said() -> None:
    assert written("many").count("38 more") == 2
    assert len(bars(drawn("many"))) == 24
    assert written("one group").count("no data") == 1
    assert written("nothing").count("no data") == 2


@every_language
@every_case
def test_the_picture_is_as_wide_as_a_phone_small_and_the_same_each_time(case: str, code: str) -> None:
    content = rankings.draw(CASES[case], Language(code))
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "PNG"
        assert picture.size[0] == 1080
        assert picture.size[1] == drawn(case, code).height
        assert not picture.info.keys() & {"Software", "Creation Time"}
    assert len(content) < 120_000
    assert rankings.draw(replace(CASES[case]), Language(code)) == content
