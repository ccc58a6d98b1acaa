"""The summary says what the tables have, nothing breaks it, and no IP address is in it."""

import re
from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from analytics_platform.language import LANGUAGES, Language
from analytics_platform.messages import ALLOWED_TAGS, Document, Text
from analytics_platform.metrics.tables import EVENT_REPORTS, VISITOR_REPORTS, result_schema
from analytics_platform.visitors import telling
from analytics_platform.visitors.reporting import VisitReport, events_csv, visitors_csv
from analytics_platform.visitors.window import VisitWindow, between
from analytics_platform_tests.hostile_text import HARMLESS, VALUES, Markup, without_surrogates
from analytics_platform_tests.visitors import oracle, sample
from analytics_platform_tests.visitors.sample import Row

TOKYO, BERLIN = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Berlin")
DOCUMENTED = between("2019-06-22", "2019-06-25", TOKYO)
MADE = datetime.fromisoformat("2019-06-26T09:00+09:00")
ENGLISH = Language("en")
every_language = pytest.mark.parametrize("code", LANGUAGES)


def report_on(rows: Sequence[Row], window: VisitWindow = DOCUMENTED) -> VisitReport:
    """The report, without an engine: its rows are the oracle's (see test_reporting.py)."""
    visitors, events = (of(rows, window, MADE, TOKYO) for of in (oracle.visitor_rows, oracle.event_rows))
    return VisitReport(
        window,
        MADE,
        TOKYO,
        pa.Table.from_pylist(visitors, schema=result_schema(VISITOR_REPORTS)),
        pa.Table.from_pylist(events, schema=result_schema(EVENT_REPORTS)),
    )


def lines(text: Text) -> list[str]:
    return re.sub("[\xa0\u202f\u2009]", " ", text.plain).splitlines()


def test_the_documented_window_in_english() -> None:
    report = report_on(sample.documented())
    names = [f"{visitor[:8]}…" for visitor in sample.VISITORS]
    twos = sorted(names[2:8])[:3]
    assert lines(telling.text(report, ENGLISH, TOKYO)) == [
        "Visitors, Jun 22, 2019 – Jun 24, 2019 (Asia/Tokyo)",
        "",
        "Visitors = 9",
        "Page events = 21",
        "Different pages per visitor = 1.9",
        "With an ad blocker = 33% (3 of 9)",
        "",
        "Pages by events",
        "/en/ = 12 (57%)",
        "/ = 9 (43%)",
        "",
        "First pages by visitors",
        "/ = 9 (100%)",
        "",
        "Last pages by visitors",
        "/en/ = 8 (89%)",
        "/ = 1 (11%)",
        "",
        "Busiest visitors by events",
        f"{names[0]} = 5",
        f"{names[1]} = 3",
        *(f"{name} = 2" for name in twos),
        "4 more",
        "",
        "Languages by visitors",
        "en-US = 3 (33%)",
        "ja = 3 (33%)",
        "ja-JP = 3 (33%)",
    ]


def test_the_same_in_russian() -> None:
    found = lines(telling.text(report_on(sample.documented()), Language("ru"), TOKYO))
    assert found[:6] == [
        "Посетители, 22 июн. 2019 г. – 24 июн. 2019 г. (Asia/Tokyo)",
        "",
        "Посетители = 9",
        "События на страницах = 21",
        "Разных страниц на посетителя = 1,9",
        "С блокировщиком рекламы = 33 % (3 из 9)",
    ]
    assert "ещё 4" in found


def test_the_tables_come_as_files() -> None:
    report = report_on(sample.documented())
    summary, visitors, events = telling.messages(report, ENGLISH, TOKYO, bom=False)
    assert summary == telling.text(report, ENGLISH, TOKYO)
    assert isinstance(visitors, Document)
    assert isinstance(events, Document)
    assert visitors.filename == "visitors_2019-06-21T1500Z_2019-06-24T1500Z.csv"
    assert events.filename == "events_2019-06-21T1500Z_2019-06-24T1500Z.csv"
    assert visitors.content == visitors_csv(report, ENGLISH, bom=False)
    assert events.content == events_csv(report, ENGLISH, bom=False)
    [_, first, _] = telling.messages(report, ENGLISH, TOKYO)
    assert isinstance(first, Document)
    assert first.content.startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("window", [DOCUMENTED, between("2019-06-24T23:00", "2019-06-24T23:30", TOKYO)])
def test_what_of_the_source_was_left_out_is_said(window: VisitWindow) -> None:
    report = report_on(sample.documented(), window)
    whole, less = lines(telling.text(report, ENGLISH, TOKYO)), lines(telling.text(report, ENGLISH, TOKYO, bad=1_234))
    [added] = set(less) - set(whole)
    assert added == "Left out, as they are no events = 1,234"
    assert [line for line in less if line != added] == whole
    summary = telling.messages(report, ENGLISH, TOKYO, bad=1_234)[0]
    assert isinstance(summary, Text)
    assert lines(summary) == less


@every_language
def test_an_empty_window_says_that_it_was_looked_at_and_what_is_known(code: str) -> None:
    report = report_on(sample.documented(), between("2019-06-24T23:00", "2019-06-24T23:30", TOKYO))
    [known] = telling.messages(report, Language(code), TOKYO, sample.LAST)
    [unknown] = telling.messages(report, Language(code), TOKYO)
    assert isinstance(known, Text)
    assert isinstance(unknown, Text)
    said = lines(known)
    assert lines(unknown) == said[:-1]
    if code == "en":
        assert said == [
            "Visitors, Jun 24, 2019, 23:00 – 23:30 (Asia/Tokyo)",
            "",
            "No events. The window was looked at, and nothing was there.",
            "The newest event known is of Jun 24, 2019, 22:48:34.",
        ]


@pytest.mark.parametrize(
    ("start", "end", "zone", "said"),
    [
        ("2019-06-22", "2019-06-23", "Asia/Tokyo", "Jun 22, 2019"),
        ("2019-06-22", "2019-06-23", "Europe/Berlin", "Jun 22, 2019"),
        ("2026-10-25", "2026-10-26", "Europe/Berlin", "Oct 25, 2026"),
        ("2026-03-29", "2026-03-30", "Asia/Beirut", "Mar 29, 2026"),
        ("2019-06-21T15:00Z", "2019-06-23T15:00Z", "Asia/Tokyo", "Jun 22, 2019 – Jun 23, 2019"),
        ("2019-06-22T10:00", "2019-06-22T10:30", "Asia/Tokyo", "Jun 22, 2019, 10:00 – 10:30"),
        ("2019-06-22T10:00:30", "2019-06-22T10:30:00.5", "UTC", "Jun 22, 2019, 10:00:30 – 10:30:00"),
        ("2019-06-22T23:30", "2019-06-23", "UTC", "Jun 22, 2019, 23:30 – Jun 23, 2019, 00:00"),
        ("2019-06-22", "2019-06-22T12:00", "UTC", "Jun 22, 2019, 00:00 – 12:00"),
    ],
)
def test_windows_in_local_time(start: str, end: str, zone: str, said: str) -> None:
    assert telling.period(between(start, end, ZoneInfo(zone)), ZoneInfo(zone), ENGLISH) == said


def test_an_hour_that_is_there_twice_is_told_apart() -> None:
    window = between("2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00", BERLIN)
    assert telling.period(window, BERLIN, ENGLISH) == "Oct 25, 2026, 02:30 (+02:00) – 02:30 (+01:00)"


def test_no_ip_address_is_in_a_text() -> None:
    rows = sample.documented()
    addresses = {row["ip_address"] for row in rows}
    for code in LANGUAGES:
        html = telling.text(report_on(rows), Language(code), TOKYO).html
        assert not [address for address in addresses if address in html]


def test_what_is_not_known_is_said_to_be_so() -> None:
    moment = sample.utc(sample.LAST)
    said = lines(telling.text(report_on([sample.event(1, "v", moment, None)]), ENGLISH, TOKYO))
    assert said[2:] == [
        "Visitors = 1",
        "Page events = 1",
        "Different pages per visitor = 0",
        "With an ad blocker = n/a",
        "",
        "Busiest visitors by events",
        "v = 1",
    ]


def test_shares_are_of_all_and_lists_are_cut() -> None:
    moment = sample.utc(sample.LAST)
    rows = [
        sample.event(k, f"v{k}", moment, None if k % 2 else f"/{k:02}", adblock=(None, k == 2)[k < 5])
        for k in range(20)
    ]
    said = lines(telling.text(report_on(rows), ENGLISH, TOKYO))
    assert said[5] == "With an ad blocker = 20% (1 of 5)"
    assert said[7:14] == ["Pages by events", *(f"/{k:02} = 1 (5%)" for k in range(0, 10, 2)), "5 more"]
    assert said[14:19] == ["", "First pages by visitors", *(f"/{k:02} = 1 (5%)" for k in range(0, 6, 2))]


def filled(value: str, code: str) -> Text:
    """A summary with the value in every place that holds a text of the data."""
    moment = sample.utc(sample.LAST)
    text = without_surrogates(value).replace("\0", "")
    rows = [
        sample.event(k, f"{k}{text}", moment, f"{text}{k}", language=f"{text}{k}", user_agent=text, ip_address=text)
        for k in range(8)
    ]
    return telling.text(report_on(rows), Language(code), TOKYO)


@every_language
@pytest.mark.parametrize("name", VALUES)
def test_no_text_breaks_the_summary(name: str, code: str) -> None:
    text, harmless = filled(VALUES[name], code), filled(HARMLESS, code)
    found = Markup(text.html)
    assert found.tags == Markup(harmless.html).tags
    assert set(found.tags) <= {*ALLOWED_TAGS, *(f"/{tag}" for tag in ALLOWED_TAGS)}
    # Each value on a line of its own, seen, and not so long that the message is cut.
    assert len(text.plain.splitlines()) == len(harmless.plain.splitlines())
    assert len(text.plain.encode("utf-16-le")) // 2 < 4096
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f]", text.plain)


def test_every_template_is_used() -> None:
    folder = resources.files("analytics_platform") / "visitors" / "templates"
    assert {entry.name for entry in folder.iterdir()} == {"visitors.html.j2"}
