"""The month's text and table: which months are compared as of when, in both languages, with little and with nothing."""

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.funnels import spreadsheet, telling
from analytics_platform.funnels.conversion import Row
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.messages import ALLOWED_TAGS
from analytics_platform_tests.funnels.people import DAY, LANGUAGE, OTHER

ZONE = ZoneInfo("Europe/Berlin")
FIRST, LAST, EARLIER = date(2026, 10, 1), date(2026, 10, 31), date(2026, 9, 1)
every_language = pytest.mark.parametrize("code", LANGUAGES)


def row(day: str, bought_after: int | None = None, funnel: FunnelType = LANGUAGE, test: int | None = 1) -> Row:
    """Entered at that local noon; bought so many days later."""
    entered = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=ZONE).astimezone(UTC)
    return Row(funnel, test, entered, None if bought_after is None else bought_after * 86_400)


def customer(day: str) -> Row:
    return Row(LANGUAGE, 1, row(day).entered_at, None, already_customer=True)


ROWS = [
    *(row("2026-10-05") for _ in range(6)),
    *(row("2026-10-05", k) for k in (1, 2, 9)),
    row("2026-10-30", 3),  # bought in November
    customer("2026-10-06"),
    # September: 5, of whom one bought in it and another since.
    row("2026-09-20", 2),
    row("2026-09-20", 20),
    *(row("2026-09-21") for _ in range(3)),
    row("2026-10-07", funnel=OTHER, test=None),
]


def told(rows: list[Row], code: str = "en") -> list[str]:
    text = telling.text(telling.months(rows, FIRST, LAST, EARLIER, ZONE), Language(code))
    assert set(re.findall(r"</?(\w+)", text.html)) <= set(ALLOWED_TAGS)
    return re.sub("[\xa0\u202f]", " ", text.plain).splitlines()


def test_the_month_in_english() -> None:
    assert told(ROWS) == [
        "E-mail funnels, Oct 1, 2026 – Oct 31, 2026",
        "--------------------",
        "language: entries=10, purchased=3, conversion=30.00%",
        "non_language: entries=1, purchased=0, conversion=0.00%",
        "",
        "Language tests",
        "Conversion, 95% interval = 10.78% – 60.32%",
        "Against the month before = +10.00 pp (20.00% at its end, 40.00% by now)",
        "Median days to purchase = 2",
        "Already customers, not counted = 1",
        "",
        "Other tests",
        "Conversion, 95% interval = 0.00% – 79.35%",
        "Against the month before = n/a",
        "Median days to purchase = n/a",
        "Already customers, not counted = 0",
        "",
        "Purchases until Oct 31, 2026 (included) are counted; later ones of the same people will be added. "
        "Without a purchase so far and less than 30 days old: 8.",
    ]


def test_the_month_in_russian() -> None:
    lines = told(ROWS, "ru")
    assert lines[0] == "E-mail-воронки, 1 окт. 2026 г. – 31 окт. 2026 г."
    assert lines[2] == "language: вошли=10, купили=3, конверсия=30,00 %"
    assert "К прошлому месяцу = +10,00 п. п. (20,00 % на его конец, 40,00 % к этому дню)" in lines
    assert "Дней до покупки, медиана = н/д" in lines


@every_language
def test_a_month_without_entries_is_told(code: str) -> None:
    lines = told([row("2026-09-20", 2), row("2026-11-01")], code)
    nothing = {"en": "No funnel entries found for the given period.", "ru": "За этот период в воронки никто не вошёл."}
    assert (len(lines), lines[-1]) == (3, nothing[code])


@every_language
def test_a_month_of_customers_alone_says_so_and_divides_nothing_by_nothing(code: str) -> None:
    lines = told([customer("2026-10-06")], code)
    missing = Language(code).say("n/a")
    assert lines[2].endswith(f"={missing}")
    said = {"en": "Only people who had bought before came.", "ru": "Пришли только те, кто уже покупал раньше."}
    assert lines[3:7] == ["", Language(code).say("Language tests"), said[code], lines[6]]
    assert lines[6].endswith(" = 1")
    assert not any(line.endswith(f" = {missing}") for line in lines)
    assert "0.00%" not in "".join(lines)


def test_a_funnel_that_nobody_entered_this_month_is_told_all_the_same() -> None:
    september = [*(row("2026-09-03") for _ in range(9)), row("2026-09-03", 2)]
    since = row("2026-09-20", 20)
    lines = told([*september, since, row("2026-10-07", funnel=OTHER)])
    assert lines[2:8] == [
        "language: entries=0, purchased=0, conversion=n/a",
        "non_language: entries=1, purchased=0, conversion=0.00%",
        "",
        "Language tests",
        "Nobody entered it.",
        "Conversion of the month before = 9.09% at its end, 18.18% by now",
    ]
    assert lines[8:10] == ["Already customers, not counted = 0", ""]
    found = telling.months(september, FIRST, LAST, EARLIER, ZONE)
    assert found.empty
    assert [(one.month.entries, one.before and one.before.entries) for one in telling.compared(found)] == [(0, 10)]


def test_a_purchase_at_the_very_end_of_a_month_is_the_next_ones() -> None:
    end = datetime(2026, 11, 1, tzinfo=ZONE).astimezone(UTC)
    rows = [Row(LANGUAGE, 1, end - timedelta(hours=1), 3600), Row(LANGUAGE, 1, end - timedelta(hours=1), 3599)]
    [group] = telling.months(rows, FIRST, LAST, EARLIER, ZONE).month.groups
    assert (group.entries, group.purchased, group.open) == (2, 1, 1)


def test_months_end_with_the_local_day() -> None:
    start = datetime(2026, 10, 1, tzinfo=ZONE).astimezone(UTC)
    end = datetime(2026, 11, 1, tzinfo=ZONE).astimezone(UTC)
    blink = timedelta(microseconds=1)
    moments = (start - blink, start, end - blink, end)
    found = telling.months([Row(LANGUAGE, 1, at) for at in moments], FIRST, LAST, EARLIER, ZONE)
    assert [group.entries for group in (*found.month.groups, *found.before.groups)] == [2, 1]
    assert end - start == 31 * DAY + timedelta(hours=1)  # the clocks went back


def test_the_same_is_said_later_whatever_was_bought_since() -> None:
    assert told(ROWS) == told([*ROWS, row("2026-11-02", 1)])
    assert told([row("2026-10-30")]) == told([row("2026-10-30", 5)])


def test_the_chart_begins_with_a_whole_week() -> None:
    rows = [row("2026-08-30"), row("2026-08-31"), row("2026-09-01"), row("2026-10-31"), row("2026-11-01")]
    found = telling.months(rows, FIRST, LAST, EARLIER, ZONE)
    assert [(group.week, group.entries) for group in found.weeks.groups] == [
        (date(2026, 8, 31), 2),
        (date(2026, 10, 26), 1),
    ]


@every_language
def test_the_table_has_funnels_then_weeks_then_tests(code: str) -> None:
    found = telling.months(ROWS, FIRST, LAST, EARLIER, ZONE)
    content = spreadsheet.written((found.month, found.weeks, found.tests), Language(code), bom=True)
    assert content.startswith(b"\xef\xbb\xbf")
    text = content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if code == "ru" else ","))
    assert tuple(rows[0]) == spreadsheet.COLUMNS
    assert [row["by"] for row in rows] == ["funnel"] * 2 + ["week"] * 5 + ["test"] * 2
    mark = "," if code == "ru" else "."
    assert list(rows[0].values()) == [
        *("funnel", "language", "", "", "10", "3"),
        *(figure.replace(".", mark) for figure in ("0.300000", "0.107791", "0.603222", "2.00")),
        *("7", "1"),
    ]
    assert (rows[-1]["test_id"], rows[-1]["median_days_to_purchase"]) == ("", "")
    assert rows[2]["week"] == "2026-09-14"
