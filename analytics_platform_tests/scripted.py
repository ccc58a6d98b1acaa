"""A channel that answers as told for each recipient and piece, and a desk that delivers by it on a clock of its own.

Belongs here: answers, what was tried, the ledger in an SQLite file. Does not: assertions, real channels.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from analytics_platform.artifacts import Artifacts
from analytics_platform.channels.base import Channel, ChannelError, Outcome, Piece, Recipient, Sent
from analytics_platform.delivery import Delivered, Parcel, Post
from analytics_platform.dispatch import Tools
from analytics_platform.language import Language
from analytics_platform.messages import Album, Card, Document, Message, Picture, Text
from analytics_platform.state.database import Database, sqlite_url
from analytics_platform.state.deliveries import Deliveries
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import Part
from analytics_platform.state.subscribers import Subscriber, Subscribers

START = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
DAY = timedelta(days=1)
TOPIC, PERIOD = "feed_daily", "2026-11-20"
ME = Owner("me", "here", 1)
TEXT, ALBUM, CSV = LABELS = ("1 text", "2 album", "3 document")
REPORT = (
    Text("<b>Feed</b>"),
    Album((Picture("a.png", b"a"), Picture("b.png", b"b"))),
    Document("feed.csv", b"day\n"),
)

ACCEPTED = Sent(Outcome.SENT)
NOT_SENT = Sent(Outcome.NOT_SENT, "No connection.")
UNKNOWN = Sent(Outcome.UNCERTAIN, "No answer came.")
REFUSED = Sent(Outcome.REFUSED, "It is too long.")
BLOCKED = Sent(Outcome.REFUSED, "It answered: blocked.", gone="The bot was blocked.")


def flood(seconds: float) -> Sent:
    """Asked to wait."""
    return Sent(Outcome.NOT_SENT, "Too many.", retry_after=seconds)


def moved(address: str) -> Sent:
    """Asked to write elsewhere."""
    return Sent(Outcome.NOT_SENT, "It has moved.", moved_to=address)


def chat(address: str, thread: str = "", *, channel: str = "scripted", language: str = "en") -> Recipient:
    """A recipient."""
    return Recipient(channel, address, thread, language)


@dataclass(frozen=True)
class Try:
    """One call of `send`. `said`: the text, or the names of the files; `after`: seconds since the beginning."""

    address: str
    thread: str
    label: str
    said: str
    repeat: bool
    silent: bool
    after: float


@dataclass
class FakeTime:
    """Time that passes only by sleeping; whoever sleeps at the same time wakes up at their own moment."""

    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def moment(self) -> datetime:
        """The present moment."""
        return START + timedelta(seconds=self.seconds)

    def clock(self) -> float:
        """The same in seconds since the beginning."""
        return self.seconds

    def pass_by(self, time: timedelta) -> None:
        """So much later."""
        self.seconds += time.total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Until the moment has come."""
        self.slept.append(seconds)
        due = self.seconds + seconds
        await asyncio.sleep(0)
        self.seconds = max(self.seconds, due)


@dataclass
class Scripted:
    """Takes everything, unless it is told otherwise; a message is a piece. `pause`: what happens within each try."""

    time: FakeTime
    name: str = "scripted"
    script: dict[tuple[str, str], list[Sent | BaseException]] = field(default_factory=dict)
    tries: list[Try] = field(default_factory=list)
    known: list[Mapping[str, tuple[str, ...]]] = field(default_factory=list)
    pause: Callable[[Try], Awaitable[None]] | None = None

    def answers(self, address: str, label: str, *answers: Sent | BaseException) -> None:
        """To the next tries of that piece for that address."""
        self.script.setdefault((address, label), []).extend(answers)

    def got(self, address: str, thread: str = "") -> list[str]:
        """The labels of what was tried there, in order; a repeat has an exclamation mark."""
        here = [one for one in self.tries if (one.address, one.thread) == (address, thread)]
        return [one.label + "!" * one.repeat for one in here]

    def pieces(self, messages: Sequence[Message], *, key: str, language: Language) -> Sequence[Piece]:
        """One a message."""
        return [_piece(place, message) for place, message in enumerate(messages, start=1)]

    @asynccontextmanager
    async def sender(self, files: Mapping[str, tuple[str, ...]]) -> AsyncIterator["Scripted"]:
        """Itself."""
        self.known.append(files)
        yield self

    @asynccontextmanager
    async def turn(self, recipient: Recipient, piece: Piece) -> AsyncIterator[None]:
        """At once."""
        yield

    async def send(self, recipient: Recipient, piece: Piece, *, repeat: bool, silent: bool) -> Sent:
        """Note it, and answer as told."""
        this = Try(
            recipient.address, recipient.thread, piece.label, piece.body, repeat, silent, round(self.time.seconds, 3)
        )
        self.tries.append(this)
        if self.pause:
            await self.pause(this)
        waiting = self.script.get((recipient.address, piece.label))
        answer = waiting.pop(0) if waiting else ACCEPTED
        if isinstance(answer, BaseException):
            raise answer
        if answer is ACCEPTED:
            return Sent(Outcome.SENT, references=(str(len(self.tries)),), files=(f"file of {piece.digest}",))
        return answer


def _piece(place: int, message: Message) -> Piece:
    match message:
        case Text():
            return Piece(f"{place} text", message.html, message.plain, repeatable=True)
        case Album():
            names = " ".join(picture.filename for picture in message.pictures)
            return Piece(f"{place} album", names, names, weight=len(message.pictures))
        case Card():
            return Piece(f"{place} card", message.text.html, message.text.plain, repeatable=True)
    return Piece(f"{place} document", message.filename, message.filename)


@cache
def _empty_database() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.sqlite"
        Database(sqlite_url(path)).prepare()
        return path.read_bytes()


def new_database(path: Path) -> Database:
    """The one of that file; a new one gets its tables by copying, which is faster than making them."""
    if not path.exists():
        path.write_bytes(_empty_database())
    return Database(sqlite_url(path))


class Desk:
    """One process's engine. `channels`: by name; a name that is missing cannot be used, as after a lost setting."""

    def __init__(self, folder: Path, time: FakeTime, *channels: Channel, gone: Callable[[Owner], bool] | None = None):
        self.time = time
        self.channels = {channel.name: channel for channel in channels}
        database = new_database(folder / "state.sqlite")
        self.ledger, self.subscribers = Deliveries(database), Subscribers(database)
        self.tools = Tools(self.ledger, self.subscribers, time.moment, gone or (lambda _: False), sleep=time.sleep)
        self.sent = Artifacts(folder / "sent")
        self.post = self.again()

    def again(self) -> Post:
        """What the next process works with: the same ledger, and channels built anew."""
        self.post = Post(self.tools, self.sent, self._channel)
        return self.post

    def _channel(self, name: str) -> Channel:
        if name not in self.channels:
            raise ChannelError(f"{name} cannot be used: set ITS_TOKEN")
        return self.channels[name]

    def deliver(self, *recipients: Recipient, period: str = PERIOD, messages: Sequence[Message] = REPORT) -> Delivered:
        """Hand over and send, in English."""
        return self.post.deliver(Parcel(TOPIC, period, {"en": messages}), recipients, ME)

    def send(
        self, *recipients: Recipient, period: str = PERIOD, owner: Owner = ME, only: Collection[int] | None = None
    ) -> Delivered:
        """Go on with what was handed over, in another process and past the moment for which it was left."""
        waiting = self.ledger.waiting(self.time.moment())
        if waiting:
            self.time.seconds = (waiting - START).total_seconds()
        return self.again().send(TOPIC, period, recipients, owner, only=only)

    def parts(self, address: str, thread: str = "", *, period: str = PERIOD) -> list[Part]:
        """What the ledger says of one recipient."""
        return [p for p in self.ledger.parts(TOPIC, period) if (p.address, p.thread) == (address, thread)]

    def states(self, address: str, thread: str = "", *, period: str = PERIOD) -> list[str]:
        """The same in a word each."""
        return [part.state.value for part in self.parts(address, thread, period=period)]

    def subscribe(self, address: str, thread: str = "", *, channel: str = "scripted") -> Subscriber:
        """Somebody who gets the report."""
        added, _ = self.subscribers.add(
            *(channel, address),
            thread=thread,
            kind="group",
            language="en",
            zone="UTC",
            topics={TOPIC: False},
            now=self.time.moment(),
        )
        return added


@pytest.fixture
def channel() -> Scripted:
    """A channel that takes everything."""
    return Scripted(FakeTime())


@pytest.fixture
def desk(tmp_path: Path, channel: Scripted) -> Desk:
    """A desk that delivers by it."""
    return Desk(tmp_path, channel.time, channel)
