"""A report to many chats over Telegram: the platform's delivery, and a plain loop over the same chats.

Belongs here: the report, the chats, both ways of sending it. Does not: the server (`stand_in.py`), measuring
(`measure.py`).
"""

import asyncio
import multiprocessing
import os
import random
import shutil
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

# What a delivery imports when it first sends is there before anything is measured.
import analytics_platform.state.models
import analytics_platform.state.part_rows  # noqa: F401
from analytics_platform.artifacts import Artifacts
from analytics_platform.channels.base import Recipient
from analytics_platform.channels.telegram import TelegramChannel
from analytics_platform.delivery import Delivered, Parcel, Post
from analytics_platform.dispatch import Tools
from analytics_platform.messages import Album, Card, Document, Message, Picture, Text
from analytics_platform.state.database import Database, sqlite_url
from analytics_platform.state.deliveries import Deliveries
from analytics_platform.state.owners import Owner
from analytics_platform.state.slots import Slots
from analytics_platform.state.subscribers import Subscribers
from benchmarks.data import Place
from benchmarks.measure import Job
from benchmarks.stand_in import Seen, StandIn

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from telegram import Bot

# A text, four pictures, two files.
MESSAGES, UPLOADS = 7, 6
_METHODS = "sendMessage sendMediaGroup sendDocument sendDocument"
# Telegram's published pace: so many a second altogether; and to one chat one a second, so that its last message comes
# six seconds after its first.
_PER_SECOND, _LINE_SECONDS = 30, 6
_PERIOD = "2026-11-20"


def report() -> tuple[Message, ...]:
    """The same bytes each time; nothing looks into the files."""
    dice = random.Random(1)
    pictures = [Picture(f"{n}.png", b"\x89PNG\r\n\x1a\n" + dice.randbytes(120_000)) for n in range(1, 5)]
    text = "<b>Feed, 20 November</b>\n" + "\n".join(f"Metric {n}: {n * 1_000:,}" for n in range(1, 30))
    pdf, csv = b"%PDF-1.4\n" + dice.randbytes(1_000_000), b"day,dau\n" + b"2026-11-20,123456\n" * 11_000
    return (
        Text(text),
        Album(tuple(pictures)),
        Document("report.pdf", pdf, "All figures"),
        Document("report.csv", csv),
    )


def chats_of(place: Place, chats: int) -> int:
    """So many; few in a run of less than a million rows, which shall be short."""
    return chats if place.rows >= 1 else max(2, chats // 100)


class _Counted(Database):
    """Counts transactions that write, and the seconds they took with the wait for their turn."""

    def __init__(self, path: Path) -> None:
        super().__init__(sqlite_url(path))
        self.writes, self.seconds = 0, 0.0
        self._counting = Lock()

    @contextmanager
    def write(self) -> "Iterator[Connection]":
        began = time.perf_counter()
        with super().write() as con:
            yield con
        with self._counting:
            self.writes += 1
            self.seconds += time.perf_counter() - began


@dataclass(frozen=True)
class _Sent:
    """One process's share of a delivery."""

    delivered: Delivered
    writes: int
    write_seconds: float


def _deliver(home: Path, url: str, token: str, topic: str, chats: int) -> _Sent:
    database = _Counted(home / "state.db")

    def clock() -> datetime:
        return datetime.now(UTC)

    slots = Slots(database, clock)
    tools = Tools(Deliveries(database), Subscribers(database), clock, gone=lambda _: False)
    post = Post(tools, Artifacts(home / "sent"), lambda _: TelegramChannel(token, slots=slots, api_url=url))
    recipients = [Recipient("telegram", str(1_000_000 + n)) for n in range(chats)]
    owner = Owner("benchmark", "this host", os.getpid())
    delivered = post.deliver(Parcel(topic, _PERIOD, {"en": report()}), recipients, owner)
    return _Sent(delivered, database.writes, database.seconds)


def ours(place: Place, chats: int, *, processes: int = 1) -> Job:
    """The report handed over and sent to so many chats; with several processes, a report each to the same chats."""
    chats = chats_of(place, chats)
    home = place.scratch / "delivery-home"
    server = StandIn()
    sent: list[_Sent] = []
    seconds: list[float] = []
    shutil.rmtree(home, ignore_errors=True)
    _Counted(home / "state.db").prepare()

    def run() -> Mapping[str, float]:
        began = time.perf_counter()
        if processes == 1:
            sent[:] = [_deliver(home, server.url, server.token, "report", chats)]
        else:
            # Forked, so that what each of them imported before is not measured.
            with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
                asked = [
                    pool.submit(_deliver, home, server.url, server.token, f"report{n}", chats) for n in range(processes)
                ]
                sent[:] = [one.result() for one in asked]
        seconds[:] = [time.perf_counter() - began]
        return {}

    def facts() -> Mapping[str, object]:
        for one in sent:
            if one.delivered.trouble:
                raise RuntimeError(one.delivered.summary())
        writes = sum(one.writes for one in sent)
        return {
            **_facts(server, chats, processes, seconds[0]),
            "writes_a_second": writes / seconds[0],
            "write_ms": 1000 * sum(one.write_seconds for one in sent) / writes,
        }

    return Job(run, facts=facts, shares=chats * processes)


def _facts(server: StandIn, chats: int, reports: int, seconds: float) -> dict[str, object]:
    seen = server.seen()
    server.close()
    _check(seen, chats, reports)
    allowed = max(chats * reports * MESSAGES / _PER_SECOND, float(_LINE_SECONDS * reports))
    told = {"chats": chats, "reports": reports, "seconds": seconds, "allowed": allowed, "pace": seconds / allowed}
    return {**told, "floods": seen.floods, "requests": seen.requests, "uploads": seen.uploads}


def _check(seen: Seen, chats: int, reports: int) -> None:
    """Every chat got all of it once and, of one report, in order."""
    got = {line if reports == 1 else " ".join(sorted(line.split())): n for line, n in seen.lines.items()}
    line = _METHODS if reports == 1 else " ".join(sorted(_METHODS.split() * reports))
    if {line} != got.keys() or sum(seen.lines.values()) != chats or seen.messages != chats * reports * MESSAGES:
        raise RuntimeError(f"the chats did not get the report once and in order: {seen}")


def loop(place: Place, chats: int) -> Job:
    """One chat after the other, each file uploaded to each, with python-telegram-bot; waits only when told to."""
    chats = chats_of(place, chats)
    server = StandIn()
    seconds: list[float] = []

    def run() -> Mapping[str, float]:
        began = time.perf_counter()
        asyncio.run(_loop(server.url, server.token, [1_000_000 + n for n in range(chats)]))
        seconds[:] = [time.perf_counter() - began]
        return {}

    return Job(run, facts=lambda: _facts(server, chats, 1, seconds[0]), shares=chats)


async def _loop(url: str, token: str, chats: Sequence[int]) -> None:
    from telegram import Bot

    async with Bot(token, base_url=f"{url}/bot") as bot:
        for chat in chats:
            for message in report():
                await _until_taken(_request(bot, chat, message))


def _request(bot: "Bot", chat: int, message: Message) -> Callable[[], Awaitable[object]]:
    from telegram import InputMediaPhoto

    match message:
        case Text():
            return lambda: bot.send_message(chat, message.html, parse_mode="HTML")
        case Album():
            media = [InputMediaPhoto(p.content, filename=p.filename) for p in message.pictures]
            return lambda: bot.send_media_group(chat, media)
        case Document():
            return lambda: bot.send_document(chat, message.content, caption=message.caption, filename=message.filename)
        case Card():
            return lambda: bot.send_message(chat, message.text.html, parse_mode="HTML")


async def _until_taken(request: Callable[[], Awaitable[object]]) -> None:
    from telegram.error import RetryAfter

    from analytics_platform.channels.telegram_answers import pause

    while True:
        try:
            await request()
        except RetryAfter as error:
            with warnings.catch_warnings():
                # A number now, a timedelta in its next version.
                warnings.simplefilter("ignore")
                seconds = pause(error.retry_after)
            await asyncio.sleep(seconds)
        else:
            return
