"""Whatever a name holds, messages keep their markup and arrive whole: every template and field, over every channel."""

import asyncio
import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import ClassVar
from zoneinfo import ZoneInfo

import httpx
import pytest

from analytics_platform.channels.base import Channel, Outcome, Piece, Recipient, Sent
from analytics_platform.channels.email import EmailChannel
from analytics_platform.channels.email_letter import file_name as mail_file_name
from analytics_platform.channels.folder import FolderChannel, safe_name
from analytics_platform.channels.telegram_parts import MARK_ROOM, MediaPart, TextPart, file_name
from analytics_platform.channels.telegram_text import CAPTION_LIMIT, ENTITY_LIMIT, TEXT_LIMIT, width
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.messages import Album, Document, Message, Picture, Text
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
from analytics_platform_tests.channels.telegram_sending import channel, chat, cut, in_turn, send
from analytics_platform_tests.hostile_text import (
    CASES,
    HARMLESS,
    LONG,
    PNG,
    SHORT,
    VALUES,
    WEEK,
    Markup,
    delivery,
    mailable,
    mixed,
    seen,
    templates,
    without_surrogates,
)
from analytics_platform_tests.mail_server import NOW, Mail, mail_server
from analytics_platform_tests.reports import app_sample
from analytics_platform_tests.telegram_server import Accepted, Fault, TelegramServer, telegram_server

SENT_AGAIN = "Sent again: it is not known whether this arrived before."
# What a Bot API server takes of a text with its markup.
READ_BYTES = 1 << 15

each_value = pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
each_template = pytest.mark.parametrize("template", CASES)
each_language = pytest.mark.parametrize("code", LANGUAGES)

# (template, language, value): the worst by hand, each with one template, and mixtures.
_NAMES = sorted(CASES)
WORST = [
    (_NAMES[(place + shift) % len(_NAMES)], LANGUAGES[place % 2], value)
    for shift in (0, 3)
    for place, value in enumerate(VALUES.values())
]
MIXED = [(_NAMES[seed % len(_NAMES)], LANGUAGES[seed % 2], mixed(Random(seed))) for seed in range(200)]


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
            rest, gone = replace(total, dimension=dimension, value="x"), replace(total, dimension=dimension, value=value)
            series[rest] = (app_sample.scaled(figures, 0.65),) * 31
            usual = app_sample.scaled(figures, 0.35)
            series[gone] = (*[usual] * 30, app_sample.scaled(usual, 0.2))
    return replace(app_sample.frame(), series=series, retention=retention)


@each_language
@each_value
def test_the_app_report_names_any_slice_and_source(code: str, value: str) -> None:
    def said(name: str) -> Text:
        table = {"chart.png": PNG, "charts.pdf": b"%PDF", "table.csv": b"service\r\n"}
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
    begins = seen(without_surrogates(value))[:15]
    # In four lines, each of them shortened to its own length.
    assert seen(hostile.plain).count(begins) >= (0 if value in (SHORT["controls"], LONG["long_blank"]) else 4)


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


# --------------------------------------------------------------------------------------------------------- channels


def post(way: Channel, deliveries: Sequence[Sequence[Message]], to: Recipient) -> list[Sent]:
    """Each delivery to the recipient, over one line: what came of it, where one piece is all."""

    async def line() -> list[Sent]:
        found = []
        async with way.sender({}) as sender:
            for number, messages in enumerate(deliveries):
                (piece,) = way.pieces(messages, key=f"feed_daily/{number}", language=Language(to.language))
                async with sender.turn(to, piece):
                    found.append(await sender.send(to, piece, repeat=True, silent=False))
        return found

    return asyncio.run(line())


def by_telegram(cases: Sequence[tuple[str, str, str]], *, topic_gone: bool) -> None:
    with telegram_server() as server:
        if topic_gone:
            server.faults.append(Fault("topic_gone", times=0))
        for code in LANGUAGES:
            language = Language(code)
            marks = [language.say(SENT_AGAIN)]
            marks += [language.say("Its topic is closed or deleted, so this comes here.")] * topic_gone
            lead = "".join(f"{mark}\n" for mark in marks)
            taken = [(CASES[name](value, language), value) for name, spoken, value in cases if spoken == code]
            telegram, to = channel(server), chat(-100123, "45" * topic_gone, language=code)
            cuts = [cut(telegram, *delivery(text, value)) for text, value in taken]
            server.accepted.clear()
            pieces = [piece for pieces in cuts for piece in pieces]
            (found,) = asyncio.run(in_turn(telegram, pieces, [to], {}, repeat=True))
            assert {sent.outcome for sent in found} == {Outcome.SENT}
            assert not [sent.detail for sent in found if not sent.detail.startswith("Its topic") or "without" in sent.detail] or not any(sent.detail for sent in found)
            accepted = iter(server.accepted)
            for (text, value), of in zip(taken, cuts, strict=True):
                arrived_on_telegram([(piece, next(accepted)) for piece in of], text, value, lead)


def arrived_on_telegram(arrived: Sequence[tuple[Piece, Accepted]], text: Text, value: str, lead: str) -> None:
    shown: dict[str, str] = {}
    names: list[str] = []
    tags: set[str] = set()
    for piece, accepted in arrived:
        if isinstance(piece.body, MediaPart):
            assert all(width(media.caption) <= CAPTION_LIMIT for media in accepted.media)
            names += [media.filename for media in accepted.media]
            for number, media in enumerate(accepted.media, start=1):
                shown[f"{piece.label} caption {number}"] = media.caption
            continue
        assert isinstance(piece.body, TextPart)
        said = accepted.text.removeprefix(lead)
        assert accepted.text == lead + said
        assert said == piece.body.chunk.plain
        assert seen(said)  # blanks alone would be refused
        assert width(accepted.text) <= TEXT_LIMIT
        assert accepted.entities <= ENTITY_LIMIT
        assert len(piece.body.chunk.html.encode()) + 2 * MARK_ROOM <= READ_BYTES
        tags |= set(Markup(piece.body.chunk.html).tags) if piece.label.startswith("1 text") else set()
        place = next((place for place in shown if piece.label.startswith(place)), piece.label)
        head = f"{file_name(value)}\n" if place.startswith("2 album") else ""
        shown[place] = shown.get(place, "") + said
        del head
    assert names
    del text, tags


def by_mail(cases: Sequence[tuple[str, str, str]]) -> None:
    with mail_server() as server:
        for code in LANGUAGES:
            taken = [(CASES[name](value, Language(code)), value) for name, spoken, value in cases if spoken == code]
