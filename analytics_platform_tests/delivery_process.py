"""What `test_delivery_faults.py` kills: `python -m analytics_platform_tests.delivery_process`, jobs on stdin.

Belongs here: the office that both sides deliver by, and one delivery in a child process that waits at a given moment.
Does not: assertions.

Each line is a job (JSON). A child is forked for it, so that imports are paid for once; its number is said, and then
how it ended.
"""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from filelock import FileLock

from analytics_platform.channels.base import Channel, Piece, Recipient, Sender, Sent
from analytics_platform.channels.telegram import TelegramChannel
from analytics_platform.channels.telegram_pacing import MemorySlots, Patience
from analytics_platform.defs.liveness import this_host
from analytics_platform.defs.office import Office
from analytics_platform.defs.resources import ledgers_of
from analytics_platform.delivery import Parcel
from analytics_platform.language import Language
from analytics_platform.messages import Album, Card, Document, Message, Picture, Text
from analytics_platform.reports.app_daily import AppDaily
from analytics_platform.reports.feed_daily import FeedDaily
from analytics_platform.settings import Home, Settings
from analytics_platform.state.owners import Owner
from analytics_platform_tests.scripted import PERIOD, TOPIC, FakeTime, new_database
from analytics_platform_tests.state.worker import say
from analytics_platform_tests.telegram_wire import TOKEN

# As patient as the product, but for uploads: the other chat is to have its own while this one's is kept up.
EAGER = Patience(shared_upload=0.3)
ANN, BOB = "-1001", "-1002"
_PNG = b"\x89PNG\r\n\x1a\n"
REPORT = (
    Text("<b>Feed</b> 1 &lt; 2"),
    Album(tuple(Picture(f"{number}.png", _PNG + bytes([number])) for number in range(4))),
    Document("feed.csv", b"day,dau\n2026-11-20,7\n"),
)
LABELS = ("1 text", "2 album", "3 document feed.csv")


CARDS = {
    "17": Card(Text("<b>Views</b> -31%"), Picture("views.png", _PNG + b"17")),
    "17 r2": Card(Text("<b>Views</b> -45%"), Picture("views.png", _PNG + b"r2"), Text("Worse: -45%")),
    "17 r3": Card(Text("<b>Views</b> are back"), Picture("views.png", _PNG + b"r3")),
}


def card(period: str, *, hours: float = 24, loud: bool = True) -> Parcel:
    """A card in English, or a revision of it."""
    edits = "" if period == "17" else "17"
    return Parcel(TOPIC, period, {"en": (CARDS[period],)}, timedelta(hours=hours), edits=edits, loud=loud)


def parcel(topic: str = TOPIC, *, hours: float = 24) -> Parcel:
    """The report in English, to be sent for so long."""
    return Parcel(topic, PERIOD, {"en": REPORT}, timedelta(hours=hours))


def new_office(
    folder: Path,
    url: str,
    chats: Sequence[str],
    time: FakeTime,
    slots: MemorySlots,
    *,
    kind: type[TelegramChannel] = TelegramChannel,
    gate: "Gate | None" = None,
) -> Office:
    """An office that delivers by that Bot API server to these chats, as every process builds one; `kind`: what it makes
    of a server that is silent."""
    telegram: Channel = kind(TOKEN, slots=slots, api_url=url, patience=EAGER, clock=time.clock, sleep=time.sleep)
    if gate:
        telegram = Gated(telegram, gate)
    home, settings = Home(folder), Settings(telegram_chat_ids=tuple(chats), delivery_channel="subscribers")
    return Office(
        home,
        settings,
        replace(ledgers_of(home, settings), open=lambda: new_database(home.state)),
        {TOPIC: FeedDaily(), "app_daily": AppDaily()},
        channels={"telegram": telegram},
        clock=time.moment,
        sleep=time.sleep,
    )


@dataclass(frozen=True)
class Gate:
    """Where one piece to one chat stops before its request: `there` says that it has come, `go` lets it go on."""

    address: str
    label: str
    folder: Path

    @property
    def there(self) -> Path:
        """Made when the piece has come."""
        return self.folder / "there"

    @property
    def go(self) -> Path:
        """Made when it may go on."""
        return self.folder / "go"


@dataclass
class Gated:
    """A channel with a gate."""

    channel: Channel
    gate: Gate
    name: str = "telegram"

    def pieces(self, messages: Sequence[Message], *, key: str, language: Language) -> Sequence[Piece]:
        """The channel's."""
        return self.channel.pieces(messages, key=key, language=language)

    @asynccontextmanager
    async def sender(self, files: Mapping[str, tuple[str, ...]]) -> AsyncIterator[Sender]:
        """The channel's, with the gate."""
        async with self.channel.sender(files) as sender:
            yield _GatedSender(sender, self.gate)


@dataclass(frozen=True)
class _GatedSender:
    sender: Sender
    gate: Gate

    def turn(self, recipient: Recipient, piece: Piece) -> AbstractAsyncContextManager[None]:
        return self.sender.turn(recipient, piece)

    async def send(self, recipient: Recipient, piece: Piece, *, repeat: bool, silent: bool) -> Sent:
        if (recipient.address, piece.label) == (self.gate.address, self.gate.label):
            self.gate.there.touch()
            async with asyncio.timeout(60):  # whoever was to open it may be gone
                while not self.gate.go.exists():
                    await asyncio.sleep(0.005)
        return await self.sender.send(recipient, piece, repeat=repeat, silent=silent)


def deliver(folder: Path, url: str, address: str, label: str, period: str) -> None:
    """The whole delivery, as a run does it: the report, or a card of that period."""
    lock, time = folder / "run.lock", FakeTime()
    office = new_office(folder, url, (ANN, BOB), time, MemorySlots(time.clock), gate=Gate(address, label, folder))
    with FileLock(lock):
        owner = Owner("killed", this_host(), os.getpid(), str(lock))
        sent = card(period) if period in CARDS else parcel()
        office.post.deliver(sent, office.recipients(TOPIC), owner)


def main() -> None:
    """One child a line."""
    say("ready")
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if not child:
            try:
                deliver(Path(job["folder"]), job["url"], job["address"], job["label"], job["period"])
            except BaseException:  # noqa: BLE001 - a fork must not go on as the process that it was
                traceback.print_exc()
            os._exit(1)  # it was to be killed
        say(child)
        _, status = os.waitpid(child, 0)
        say(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
