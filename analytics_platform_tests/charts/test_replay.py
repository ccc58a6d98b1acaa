"""The page of a replay: every alert is on it, no spike is thinned away, and the truth is told where it is known."""

import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from analytics_platform.alerts.findings import Severity
from analytics_platform.charts import replay, style
from analytics_platform.charts.replay import MARKED, PLANTED, Planted, ReplayAlert, ReplayFrame, Strip
from analytics_platform.charts.sheet import Area, Disc, Sheet, Stroke
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.metrics.series import BUCKET
from analytics_platform_tests.charts.legible import assert_legible

ZONE = ZoneInfo("Europe/Moscow")
LAST = datetime(2026, 11, 21, tzinfo=ZONE)
HOUR = timedelta(hours=1)


def times(days: int) -> list[datetime]:
    return [LAST - timedelta(days=days) + BUCKET * k for k in range(days * 96)]


def strip(days: int, metric: str = "likes", *, spike: int | None = None, **rest: object) -> Strip:
    values: list[float | None] = [1000 + 800 * math.sin(2 * math.pi * k / 96) for k in range(days * 96)]
    if spike is not None:
        values[spike] = 9000.0
    return replace(Strip("feed", metric, times(days), values), **rest)  # type: ignore[arg-type]  # fields by name


def alerted(days_ago: float, hours: float, severity: Severity, right: bool | None = None) -> ReplayAlert:
    since = LAST - timedelta(days=days_ago)
    return ReplayAlert(since, since + hours * HOUR, severity, right)


def true(days_ago: float, hours: float, label: str = "", *, found: bool = True) -> Planted:
    since = LAST - timedelta(days=days_ago)
    return Planted(since, since + hours * HOUR, label, found)


def page(days: int, *strips: Strip) -> ReplayFrame:
    return ReplayFrame(LAST - timedelta(days=days), LAST, strips, ZONE)


KNOWN = strip(
    28,
    alerts=(alerted(20, 5, Severity.CRITICAL, True), alerted(9, 1, Severity.WARNING, False)),
    planted=(true(20, 5, "zero outage"), true(1, 2, "night dip", found=False), true(12, 1, found=False)),
)
NOTHING = Strip("messenger", "senders", times(28), [None] * (28 * 96))
CTR = Strip("feed", "ctr", times(28), [0.21 + 0.001 * (k % 7) for k in range(28 * 96)], share=True)
CROWD = strip(
    28,
    "feed_users",
    alerts=tuple(alerted(27 - k / 4, 1, Severity.WARNING) for k in range(100)),
    planted=tuple(true(27 - k / 3, 3, f"incident {k} <b>&") for k in range(70)),
)
CASES = {
    "four weeks": page(28, KNOWN, CTR, NOTHING, CROWD),
    "six": page(28, *[KNOWN] * 6),
    "a quarter": page(90, strip(90), strip(90, "views")),
    "a week": page(7, strip(7)),
    "a day": page(1, strip(1)),
    "some hours": ReplayFrame(LAST - 3 * HOUR, LAST - HOUR, (strip(1),), ZONE),
    "years": ReplayFrame(LAST - timedelta(days=900), LAST, (strip(90),), ZONE),
    "long name": page(28, replace(KNOWN, dimension="country", value="Saint Vincent and the Grenadines " * 3)),
}
every_case = pytest.mark.parametrize("case", CASES)
every_language = pytest.mark.parametrize("code", LANGUAGES)


def drawn(frame: ReplayFrame, code: str = "en") -> Sheet:
    with style.look():
        return replay.compose(frame, Language(code))


def written(sheet: Sheet) -> list[str]:
    return [words.text.replace("\xa0", " ").replace("\u202f", " ") for words in sheet.words]


def curve(sheet: Sheet) -> list[Stroke]:
    return [
        mark for mark in sheet.marks if isinstance(mark, Stroke) and (mark.colour, mark.width) == (style.COUNT, 2.0)
    ]


def discs(sheet: Sheet, *, ring: bool) -> Sequence[Disc]:
    return [
        mark for mark in sheet.marks if isinstance(mark, Disc) and mark.colour == MARKED and bool(mark.ring) is ring
    ]


@every_language
@every_case
def test_all_text_is_on_the_page_and_clear_of_all_other(case: str, code: str) -> None:
    sheet = drawn(CASES[case], code)
    assert sheet.width == 1600
    assert_legible(sheet, right=4, smallest=0)


def test_alerts_are_counted_and_marked_by_severity_and_truth() -> None:
    sheet = drawn(page(28, KNOWN))
    text = written(sheet)
    assert "alerts: 2, false: 1, incidents found: 1 of 3" in text
    assert {"zero outage", "missed: night dip", "missed", "false alarm", "true incident"} <= set(text)
    assert len(discs(sheet, ring=False)) == 1 + 1  # the critical one, and the key
    assert len(discs(sheet, ring=True)) == 0 + 1
    crosses = [mark for mark in sheet.marks if isinstance(mark, Stroke) and mark.width == 3.5]
    assert len(crosses) == 2 + 2
    assert len([mark for mark in sheet.marks if isinstance(mark, Area) and mark.colour == PLANTED]) == 3 + 1


def test_where_the_truth_is_not_known_nothing_is_called_false() -> None:
    text = written(drawn(page(28, replace(KNOWN, planted=(), alerts=(alerted(3, 1, Severity.WARNING),)))))
    assert "alerts: 1" in text
    assert not [word for word in text if "false" in word or "incident" in word]


def test_the_reader_gets_it_in_russian() -> None:
    text = written(drawn(page(28, KNOWN), "ru"))
    assert {"Что было бы отправлено", "24 окт. 2026 г. – 20 нояб. 2026 г.", "Лайки", "Лента"} <= set(text)
    assert "алертов: 2, ложных: 1, найдено инцидентов: 1 из 3" in text


@pytest.mark.parametrize("spike", [17, 4000, 90 * 96 - 1])
def test_no_spike_is_thinned_away(spike: int) -> None:
    (line,) = curve(drawn(page(90, strip(90, spike=spike))))
    assert len(line.points) < 1600
    flat = min(y for _, y in curve(drawn(page(90, strip(90, spike=spike + 1 if spike < 8000 else 1))))[0].points)
    assert min(y for _, y in line.points) == flat
    x = min(line.points, key=lambda point: point[1])[0]
    assert x == pytest.approx(36 + (1600 - 2 * 36 - 110) * spike / (90 * 96), abs=2)


def test_a_gap_interrupts_the_curve() -> None:
    values = list(strip(7).values)
    values[200:260] = [None] * 30 + [math.nan] * 30
    sheet = drawn(page(7, replace(strip(7), values=values)))
    assert len(curve(sheet)) == 2
    assert "n/a" in written(drawn(page(28, NOTHING)))


def test_a_few_hours_have_their_times_at_the_ends() -> None:
    assert {"21:00", "23:00"} <= set(written(drawn(CASES["some hours"])))


def test_what_lies_outside_the_period_is_left_out_and_what_reaches_into_it_is_not() -> None:
    before, into = alerted(40, 1, Severity.WARNING), alerted(28.1, 24, Severity.WARNING)
    sheet = drawn(page(28, replace(KNOWN, alerts=(before, into), planted=())))
    assert "alerts: 1" in written(sheet)
    assert min(disc.x for disc in discs(sheet, ring=True)) >= 36


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (lambda: page(0, strip(1)), "has no time in it"),
        (lambda: page(1), "shows 1 to 6 series, not 0"),
        (lambda: page(1, *[strip(1)] * 7), "shows 1 to 6 series, not 7"),
        (lambda: page(1, replace(strip(1), values=[1.0])), "likes: 1 values for 96 times"),
    ],
)
def test_a_page_that_cannot_be_drawn_is_refused(frame: object, said: str) -> None:
    assert callable(frame)
    with pytest.raises(ValueError, match=said):
        frame()


@every_case
def test_the_same_page_gives_the_same_bytes(case: str) -> None:
    one, other = (hashlib.sha256(replay.draw(CASES[case], Language("ru"))).digest() for _ in range(2))
    assert one == other


def test_the_picture_is_a_screen_wide() -> None:
    content = replay.draw(CASES["six"], Language("en"))
    with Image.open(io.BytesIO(content)) as picture:
        assert (picture.format, picture.size) == ("PNG", (1600, 1684))
        assert not picture.info.keys() & {"Software", "Creation Time"}
    assert len(content) < 300_000
