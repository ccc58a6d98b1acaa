"""The chart of weekly cohorts: everything on the page and legible, heights as the figures say, young weeks marked."""

import itertools
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.charts import funnels, style
from analytics_platform.charts.sheet import Area, Disc, Sheet, Stroke
from analytics_platform.funnels.conversion import Conversions, Row, conversions
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.language import LANGUAGES, Language
from analytics_platform_tests.charts.legible import assert_legible

LANGUAGE, OTHER = FunnelType.LANGUAGE, FunnelType.NON_LANGUAGE
ZONE, DAY = ZoneInfo("Europe/Berlin"), timedelta(days=1)
AS_OF = datetime(2026, 11, 2, tzinfo=ZONE).astimezone(UTC)  # a Monday


def weeks(rows: list[Row]) -> Conversions:
    return conversions(rows, zone=ZONE, as_of=AS_OF, attribution=30 * DAY, by="week")


def week(number: int, entries: int, purchased: int, funnel: FunnelType = LANGUAGE, customers: int = 0) -> list[Row]:
    """Entries of the week that began so many weeks before AS_OF."""
    at = AS_OF - number * 7 * DAY + timedelta(hours=12)
    return [
        *(Row(funnel, 1, at, 3600) for _ in range(purchased)),
        *(Row(funnel, 1, at, None) for _ in range(entries - purchased)),
        *(Row(funnel, 1, at, None, already_customer=True) for _ in range(customers)),
    ]


def many(count: int, per_week: int, share: float, seed: int = 3) -> list[Row]:
    random = Random(seed)
    rows: list[Row] = []
    for number, funnel in itertools.product(range(1, count + 1), FunnelType):
        entries = random.randint(0, per_week)
        rows += week(number, entries, sum(random.random() < share for _ in range(entries)), funnel)
    return rows


USUAL = [*week(7, 40, 10), *week(6, 20, 2), *week(1, 30, 3), *week(7, 4, 4, OTHER), *week(6, 1, 0, OTHER)]
CASES: dict[str, list[Row]] = {
    "usual": USUAL,
    "a month": many(9, 60, 0.1),
    "one week": week(1, 3, 1),
    "no purchases": many(9, 50, 0.0),
    "all buy": many(9, 50, 1.0),
    "sixty weeks": many(60, 12, 0.2),
    "three years": many(156, 5, 0.2),
    "customers alone": week(2, 0, 0, customers=4),
    "customers beside": [*week(2, 0, 0, OTHER, customers=4), *week(3, 20, 2)],
    "crowds": [*week(6, 30_000, 700), *week(1, 12_000, 30, OTHER)],
    "nothing": [],
}
every_case = pytest.mark.parametrize("case", CASES)
every_language = pytest.mark.parametrize("code", LANGUAGES)


def drawn(case: str, code: str = "en") -> Sheet:
    with style.look():
        return funnels.compose(weeks(CASES[case]), Language(code))


def bars(sheet: Sheet) -> list[tuple[float, str]]:
    """Heights and colours, from the left."""
    areas = [mark for mark in sheet.marks if isinstance(mark, Area) and len(mark.points) == 4]
    return [(max(y for _, y in a.points) - min(y for _, y in a.points), a.colour) for a in areas]


@every_language
@every_case
def test_all_text_is_on_the_page_and_clear_of_all_other(case: str, code: str) -> None:
    assert_legible(drawn(case, code))


@every_case
def test_all_marks_are_on_the_page(case: str) -> None:
    sheet = drawn(case)
    for mark in sheet.marks:
        points = mark.points if isinstance(mark, Area | Stroke) else [(mark.x, mark.y)]
        assert all(0 <= x <= sheet.width and 0 <= y <= sheet.height for x, y in points), mark


def test_bars_are_as_high_as_the_entries_and_gaps_stay_gaps() -> None:
    heights = [height for height, _ in bars(drawn("usual"))[:3]]
    assert [height / heights[0] for height in heights] == pytest.approx([1, 0.5, 0.75])
    xs = sorted(min(x for x, _ in m.points) for m in drawn("usual").marks if isinstance(m, Area))
    gaps = [after - before for before, after in itertools.pairwise(dict.fromkeys(xs))]
    assert gaps[1] == pytest.approx(5 * gaps[0])


def test_weeks_that_still_have_time_are_rings_over_pale_bars() -> None:
    sheet = drawn("usual")
    assert [colour for _, colour in bars(sheet)] == [style.COUNT] * 2 + [style.COUNT_PALE] + [style.COUNT] * 2
    discs = [mark for mark in sheet.marks if isinstance(mark, Disc)]
    assert [disc.ring > 0 for disc in discs] == [False, False, True, False, False, False, True]  # the last two: the key
    assert "ring, pale bar: less than 30 days to buy so far, may still rise" in [words.text for words in sheet.words]


def test_where_no_week_is_young_the_key_does_not_speak_of_it() -> None:
    with style.look():
        sheet = funnels.compose(weeks(week(9, 5, 1)), Language("en"))
    assert not [words for words in sheet.words if "pale" in words.text]


def test_an_interval_is_around_its_conversion_and_none_is_shown_without() -> None:
    sheet = drawn("a month")
    lines = [m for m in sheet.marks if isinstance(m, Stroke) and m.colour == style.SHARE]
    dots = [m for m in sheet.marks if isinstance(m, Disc)]
    assert len(lines) == len(dots)
    for line, dot in zip(lines, dots, strict=True):
        (x, one), (_, other) = line.points
        assert dot.x == x
        assert min(one, other) - 1e-6 <= dot.y <= max(one, other) + 1e-6


@every_language
def test_customers_alone_are_told_in_words_without_empty_scales(code: str) -> None:
    language = Language(code)
    said = language.say("no entries; already customers: {count}", count=4)
    alone = drawn("customers alone", code)
    assert [words.text for words in alone.words][-2:] == [language.say("Language tests"), said]
    assert alone.marks == list(alone.words)
    beside = drawn("customers beside", code)
    assert said in [words.text for words in beside.words]
    assert len(bars(beside)) == 1
    assert beside.height < drawn("usual", code).height


def test_an_interval_beyond_the_scale_ends_in_an_arrow() -> None:
    rows = [*(one for k in range(6, 12) for one in week(k, 2_000, 40)), *week(12, 1, 0)]
    with style.look():
        sheet = funnels.compose(weeks(rows), Language("en"))
    assert len([m for m in sheet.marks if isinstance(m, Area) and len(m.points) == 3]) == 1


@pytest.mark.parametrize("entries", range(1, 13))
def test_the_height_of_a_bar_can_be_read_off_however_few_entered(entries: int) -> None:
    with style.look():
        sheet = funnels.compose(weeks(week(1, entries, 0)), Language("en"))
    assert max(int(words.text) for words in sheet.words if words.text.isdigit()) >= entries / 2


def test_the_totals_are_written() -> None:
    words = [words.text for words in drawn("usual").words]
    assert "15 of 90 bought: 16.67%" in words
    assert "4 of 5 bought: 80.00%" in words
    assert words[0] == "E-mail funnels"
    assert {"Language tests", "Other tests"} <= set(words)


def test_of_many_years_the_last_two_are_shown_and_it_says_so() -> None:
    sheet = drawn("three years")
    assert "the last 104 weeks of entry, named by their Mondays" in [words.text for words in sheet.words]
    assert date(2026, 10, 26).strftime("%b %d, %Y") in [words.text for words in sheet.words]


def test_nothing_is_said() -> None:
    assert "no entries" in [words.text for words in drawn("nothing").words]


def test_the_same_figures_are_the_same_picture() -> None:
    found = weeks(USUAL)
    picture = funnels.draw(found, Language("ru"))
    assert picture.startswith(b"\x89PNG")
    assert picture == funnels.draw(found, Language("ru"))
