"""Whatever a name holds, texts keep their markup and all of it: templates, reports, notices, the unsubscribe page."""

import asyncio
import csv
import io
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import ClassVar
from zoneinfo import ZoneInfo

import httpx
import pytest

from analytics_platform.channels.telegram_text import width
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.messages import Text
from analytics_platform.metrics.app import AppFrame, Retention
from analytics_platform.owner import LIMIT, digest_messages
from analytics_platform.reports import app_csv, notices
from analytics_platform.reports.app_daily import REPORT as APP
from analytics_platform.reports.app_daily import AppInputs
from analytics_platform.reports.base import Number, Rendering
from analytics_platform.reports.feed_daily import FeedDaily
from analytics_platform.reports.likes_by_os_weekly import REPORT as LIKES
from analytics_platform.reports.likes_by_os_weekly import LikesByOs
from analytics_platform.state.database import Database, sqlite_url
from analytics_platform.state.problems import Digest, Problem
from analytics_platform.state.subscribers import Subscriber, Subscribers
from analytics_platform.unsubscribe import app, link
from analytics_platform_tests.channels.telegram_sending import channel
from analytics_platform_tests.hostile_text import (
    CASES,
    HARMLESS,
    VALUES,
    WEEK,
    Markup,
    mixed,
    seen,
    templates,
    without_surrogates,
)
from analytics_platform_tests.mail_server import NOW
from analytics_platform_tests.reports import app_sample
from analytics_platform_tests.telegram_server import telegram_server

each_value = pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
each_template = pytest.mark.parametrize("template", CASES)
each_language = pytest.mark.parametrize("code", LANGUAGES)

# ------------------------------------------------------------------------------------------------ texts and reports


def test_every_template_has_a_case() -> None:
    assert templates() == CASES.keys()


def same_as_harmless(hostile: Text, harmless: Text, value: str) -> None:
    """The value stands where the harmless name stood, and nothing else has changed."""
    shown = Markup(hostile.html)
    assert shown.tags == Markup(harmless.html).tags
    assert hostile.plain.strip() == harmless.plain.replace(HARMLESS, value).strip()
    assert shown.text == hostile.plain
    assert shown.values == [found.replace(HARMLESS, value) for found in Markup(harmless.html).values]


@each_template
@each_language
@each_value
def test_no_value_breaks_a_template(template: str, code: str, value: str) -> None:
    render, language = CASES[template], Language(code)
    assert HARMLESS in render(HARMLESS, language).plain
    same_as_harmless(render(value, language), render(HARMLESS, language), value)


@each_template
@each_language
def test_no_mixture_breaks_a_template(template: str, code: str) -> None:
    render, language = CASES[template], Language(code)
    for seed in range(40):
        value = mixed(Random(f"{template} {code} {seed}"))
        same_as_harmless(render(value, language), render(HARMLESS, language), value)


def rendering(code: str) -> Rendering:
    return Rendering(Language(code), ZoneInfo("UTC"))


def app_frame(value: str) -> AppFrame:
    """The users of one value are gone on the report day, so that it is named as what stands out and by whom."""
    series = dict(app_sample.frame().series)
    retention = tuple(Retention(name, age, 50, 5) for age in (1, 7) for name in ("total", value, f"{value} 2"))
    for total, figures in app_sample.WEEK_AGO.items():
        series[total] = (*[figures] * 30, app_sample.scaled(figures, 0.72))
        for dimension in ("os", "country", "source"):
            rest, gone = (
                replace(total, dimension=dimension, value="x"),
                replace(total, dimension=dimension, value=value),
            )
            series[rest] = (app_sample.scaled(figures, 0.65),) * 31
            usual = app_sample.scaled(figures, 0.35)
            series[gone] = (*[usual] * 30, app_sample.scaled(usual, 0.2))
    return replace(app_sample.frame(), series=series, retention=retention)


@each_language
@each_value
def test_the_app_report_names_any_slice_and_source(code: str, value: str) -> None:
    def said(name: str) -> Text:
        table = {"charts.pdf": b"%PDF", "table.csv": b"service\r\n"}
        text, *_ = APP.compose(AppInputs(app_frame(name), ()), table, rendering(code))
        assert isinstance(text, Text)
        return text

    hostile, harmless = said(value), said(HARMLESS)
    flat = " ".join(value.split())
    short = flat if len(flat) <= 40 else f"{flat[:39]}…"
    assert Markup(hostile.html).tags == Markup(harmless.html).tags
    assert harmless.plain.count(HARMLESS) == 5  # what stands out, and two sources in each retention
    assert hostile.plain.count(short) >= 3
    assert len(hostile.plain) < len(harmless.plain) + 5 * 40


@each_language
@each_value
def test_the_weekly_report_names_any_system(code: str, value: str) -> None:
    def said(name: str) -> Text:
        (text,) = LIKES.compose(LikesByOs(WEEK, {name: (20, 10), "iOS": (10, 10)}), {}, rendering(code))
        assert isinstance(text, Text)
        return text

    same_as_harmless(said(value), said(HARMLESS), value)


@each_language
@each_value
def test_notices_take_any_title_and_reason(code: str, value: str) -> None:
    def said(name: str) -> list[Text]:
        class Titled(FeedDaily):
            title: ClassVar[str] = name

        changes = [(Number(name, 1), Number(name, 2))]
        first, *_ = notices.preliminary([Text("<b>x</b>")], name, Language("en"))
        assert isinstance(first, Text)
        return [
            first,
            notices.correction(Titled(), WEEK, changes, Language(code)),
            notices.digest(Titled(), [(WEEK, [Number(name, 1)]), (WEEK, "none")], Language(code)),
        ]

    for hostile, harmless in zip(said(value), said(HARMLESS), strict=True):
        same_as_harmless(hostile, harmless, value)


@each_language
@each_value
def test_the_owner_is_told_of_any_error(code: str, value: str) -> None:
    def said(name: str) -> Text:
        when = datetime(2026, 11, 20, 21, 30, tzinfo=UTC)
        bad = Problem("0", name, name, "", name, "", when, when, resolved_at=when, resolution=name)
        (text,) = digest_messages(Digest([bad], [bad], [bad]), Language(code), ZoneInfo("UTC"))
        return text

    hostile = said(value)
    assert Markup(hostile.html).tags == Markup(said(HARMLESS).html).tags
    assert width(hostile.plain) <= LIMIT
    # Four times, each shortened to its own length and without signs that nobody sees.
    assert bare(hostile.plain).count(bare(without_surrogates(value))[:15]) >= 4


def bare(text: str) -> str:
    return "".join(sign for sign in seen(text) if unicodedata.category(sign) not in ("Cc", "Cf"))


@each_value
def test_the_table_holds_any_slice(value: str) -> None:
    value = without_surrogates(value)  # no warehouse gives what is not UTF-8
    row: dict[str, object] = dict.fromkeys(app_csv.COLUMNS, 1) | {"event_date": WEEK.last}
    row |= {"service": "feed", "dimension": "country", "dimension_value": value}
    for code in LANGUAGES:
        content = app_csv.write([row] * 2, Language(code), bom=True)
        table = io.StringIO(content.decode("utf-8-sig"), newline="")
        _, *rows = csv.reader(table, delimiter=";" if code == "ru" else ",")
        assert [found[2].removeprefix("'") for found in rows] == [value] * 2
        assert {len(found) for found in rows} == {len(app_csv.COLUMNS)}


# --------------------------------------------------------------------------------------------- subscribers, the page


@pytest.fixture
def subscribers(tmp_path: Path) -> Iterator[Subscribers]:
    database = Database(sqlite_url(tmp_path / "state.db"))
    yield Subscribers(database)
    database.close()


def solid(value: str) -> str:
    """Without what no domain may have."""
    return "".join(value.replace("@", "").split())


def add(subscribers: Subscribers, code: str, value: str, number: int) -> Subscriber:
    """Somebody whose name, address and topics hold the value."""
    one, _ = subscribers.add(
        "email",
        f"{solid(value)}{number}@{solid(value)}.example.org",
        kind="email",
        name=value,
        language=code,
        zone="UTC",
        topics={without_surrogates(value): True, "feed_daily": False, "app_daily": False},
        now=NOW,
    )
    return one


@each_language
def test_no_name_breaks_the_unsubscribe_page(subscribers: Subscribers, code: str) -> None:
    async def pages(value: str, number: int) -> list[httpx.Response]:
        one = add(subscribers, code, value, number)
        topic = next(name for name in one.topics if name not in ("feed_daily", "app_daily"))
        site = app(subscribers, clock=lambda: NOW, reports={"feed_daily": value, "app_daily": f"2 {value}"})
        base = "https://reports.example.org"
        async with httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url=base) as client:
            own, report = link(base, one.token, topic), link(base, one.token, "feed_daily")
            choice = {"choice": "topic"}
            return [
                await client.get(own),
                await client.get(report),
                await client.post(own, data=choice),
                await client.post(report, data=choice),
                await client.post(report, data={"choice": "all"}),
            ]

    harmless = [Markup(page.text) for page in asyncio.run(pages(HARMLESS, 0))]
    for number, value in enumerate(VALUES.values(), start=1):
        found = asyncio.run(pages(value, number))
        assert [page.status_code for page in found] == [200] * 5
        shown = [Markup(page.content.decode()) for page in found]
        assert [page.tags for page in shown] == [page.tags for page in harmless]
        assert [page.values for page in shown] == [page.values for page in harmless]
        said = seen(without_surrogates(value, "?"))
        for page in shown[:4]:
            assert said in seen(page.text)
        for page in shown:
            assert seen(without_surrogates(f"@{solid(value)}.example.org".lower(), "?")) in seen(page.text)
            assert f"{number}@" not in page.text  # most of the address stays with its owner


def test_chats_of_any_name_can_subscribe(subscribers: Subscribers) -> None:
    titles = {str(-1000 - number): without_surrogates(value) for number, value in enumerate(VALUES.values())}
    with telegram_server() as server:
        server.titles.update(titles)
        for address in titles:
            server.press_start(address)
        _, found = channel(server).updates(0)
    assert {arrival.address: arrival.title for arrival in found} == titles
    for arrival in found:
        address, name, topics = arrival.address, arrival.title, {"feed_daily": False}
        one, _ = subscribers.add(
            "telegram", address, kind="group", name=name, language="en", zone="UTC", topics=topics, now=NOW
        )
        assert one.name == name.replace("\0", " ")
