"""What the tests of Telegram share: a clock, a channel, and the plainest way to send by it.

Belongs here: sending as a delivery does it, without a ledger. Does not: the server (`telegram_server.py`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from analytics_platform.channels.base import Piece, Recipient, Sent
from analytics_platform.channels.telegram import TelegramChannel
from analytics_platform.channels.telegram_pacing import MemorySlots
from analytics_platform.language import Language
from analytics_platform.messages import Album, Document, Message, Picture, Text
from analytics_platform_tests.telegram_server import TelegramServer
from analytics_platform_tests.telegram_silence import Hurried

PNG = b"\x89PNG\r\n\x1a\n"
REPORT = (
    Text("<b>Feed</b> 1 &lt; 2"),
    Album((Picture("a.png", PNG + b"a", "first"), Picture("b.png", PNG + b"b"))),
    Document("feed.csv", b"day,dau\n", "the figures"),
)


def album(count: int) -> Album:
    """So many pictures."""
    return Album(tuple(Picture(f"{n}.png", PNG + bytes([n])) for n in range(count)))


@dataclass
class FakeTime:
    """Seconds that pass only by sleeping; whoever sleeps at the same time wakes up at their own moment."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        """The present moment."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Until the moment has come."""
        self.slept.append(seconds)
        due = self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, due)


def channel(
    server: TelegramServer,
    *,
    timing: FakeTime | None = None,
    kind: type[TelegramChannel] = Hurried,
    slots: MemorySlots | None = None,
) -> TelegramChannel:
    """A bot of that server's, on a clock of its own; `kind`: what it makes of a server that is silent."""
    timing = timing or FakeTime()
    slots = slots or MemorySlots(timing.clock)
    return kind(server.token, slots=slots, api_url=server.url, clock=timing.clock, sleep=timing.sleep)


def chat(address: int | str, thread: str = "", *, language: str = "en") -> Recipient:
    """A recipient."""
    return Recipient("telegram", str(address), thread, language)


def cut(telegram: TelegramChannel, *messages: Message) -> Sequence[Piece]:
    """The pieces of a delivery."""
    return telegram.pieces(messages, key="feed_daily/2026-11-20", language=Language("en"))


async def in_turn(
    telegram: TelegramChannel,
    pieces: Sequence[Piece],
    recipients: Sequence[Recipient],
    files: Mapping[str, tuple[str, ...]],
    *,
    repeat: bool = False,
    silent: bool = False,
) -> list[list[Sent]]:
    """All pieces to every recipient, one try each: the pieces in order, the recipients at once."""

    async with telegram.sender(files) as sender:

        async def line(recipient: Recipient) -> list[Sent]:
            found = []
            for piece in pieces:
                async with sender.turn(recipient, piece):
                    found.append(await sender.send(recipient, piece, repeat=repeat, silent=silent))
            return found

        return list(await asyncio.gather(*map(line, recipients)))


def send_all(
    telegram: TelegramChannel,
    recipients: Sequence[Recipient],
    *messages: Message,
    files: Mapping[str, tuple[str, ...]] | None = None,
    repeat: bool = False,
    silent: bool = False,
) -> list[list[Sent]]:
    """What came of each piece, by recipient."""
    pieces = cut(telegram, *messages)
    return asyncio.run(in_turn(telegram, pieces, recipients, files or {}, repeat=repeat, silent=silent))


def send(
    telegram: TelegramChannel,
    *messages: Message,
    to: Recipient | None = None,
    files: Mapping[str, tuple[str, ...]] | None = None,
    repeat: bool = False,
    silent: bool = False,
) -> list[Sent]:
    """What came of each piece, to one recipient: the chat 42 by default."""
    return send_all(telegram, [to or chat(42)], *messages, files=files, repeat=repeat, silent=silent)[0]


def outcomes(found: Sequence[Sent]) -> list[str]:
    """In a word each."""
    return [sent.outcome.value for sent in found]
