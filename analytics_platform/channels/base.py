"""The channel port: a delivery is cut into pieces, and each piece goes to one recipient at a time.

Belongs here: the port, recipients, pieces, and what is proven about a piece after one try. Does not: any client
library, which piece is sent to whom and when again (`delivery.py`), who subscribed to what (`state/subscribers.py`).
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from analytics_platform.language import Language
from analytics_platform.messages import Message


class Outcome(StrEnum):
    """What one try proves about a piece."""

    SENT = "sent"  # accepted by the other side
    NOT_SENT = "not_sent"  # proven not accepted (no connection, asked to wait): safe to send again
    REFUSED = "refused"  # the other side said no; sending the same again would be refused again
    UNCERTAIN = "uncertain"  # no answer came: it may or may not have arrived


@dataclass(frozen=True)
class Recipient:
    """One chat, topic of a chat, or mailbox, and how it wants its messages.

    `address`: what the channel knows it by, such as `-1001234567890`, `@our_metrics`, `ann@example.org`, a folder's
    path. `thread`: the topic of a forum, empty for none. `quiet`: from when until when, in `zone`, messages come
    without a sound; `silent`: always. `unsubscribe`: the address that ends this subscription, where it can be shown.
    `subscribed`: whether it is one, and no setting of the platform's.
    """

    channel: str
    address: str
    thread: str = ""
    language: str = "en"
    zone: ZoneInfo = field(default=ZoneInfo("UTC"))
    quiet: tuple[time, time] | None = None
    silent: bool = False
    unsubscribe: str = field(default="", repr=False)
    subscribed: bool = True

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from others: channel, address, thread."""
        return self.channel, self.address, self.thread

    def __str__(self) -> str:
        return f"{self.channel} {self.address}" + (f"/{self.thread}" if self.thread else "")

    def silent_at(self, moment: datetime) -> bool:
        """Whether a message of that moment (aware) comes without a sound. Quiet hours may span midnight."""
        if self.silent or self.quiet is None:
            return self.silent
        begins, ends = self.quiet
        local = moment.astimezone(self.zone).time()
        return begins <= local < ends if begins <= ends else local >= begins or local < ends


@dataclass(frozen=True)
class Earlier:
    """What one recipient has of a message that is edited while it lives.

    `own`: the ids of the message as this delivery sent or edited it, None while it has not arrived. `before`: the ids
    of the message that this delivery is to edit, empty when there is none. `pictured`: whether that one carries a
    picture. `doubtful`: whether an earlier revision, given up since, may have arrived unnoticed.
    """

    own: tuple[str, ...] | None = None
    before: tuple[str, ...] = ()
    pictured: bool = False
    doubtful: bool = False


@dataclass(frozen=True)
class Piece:
    """What is sent in one request and arrives as a whole or not at all.

    `label` names it within its delivery, the same in every try: `1 text`, `1 text 2`, `2 album`. `digest`: of its
    content. `weight`: how many messages it counts for where a channel limits their number. `repeatable`: a second
    arrival does less harm than none, so it is sent again when its fate is unknown. `body` is the channel's own.

    Of a message that is edited while it lives: `living` is the label of the piece that holds it, and `earlier` what the
    recipient has of it, told when it is sent. `optional`: nothing waits for it, and nothing is wrong without it.
    `first_only`: not for those who have an earlier revision.
    """

    label: str
    digest: str
    body: Any = field(repr=False)
    weight: int = 1
    repeatable: bool = False
    living: str = ""
    earlier: Earlier = Earlier()
    optional: bool = False
    first_only: bool = False


@dataclass(frozen=True)
class Sent:
    """What one try came to.

    `detail`: one sentence, without secrets: what went wrong and what to do, or in which other form it went.
    `references`: the other side's ids of the messages. `files`: its names for the files of the piece, by which other
    recipients can be given them. `retry_after`: seconds it asked us to wait. `moved_to`: the recipient's new address,
    with which to try again. `gone`: why this recipient is to get nothing more until they ask for it. `astray`: why it
    arrived elsewhere than asked for, which somebody should put right.
    """

    outcome: Outcome
    detail: str = ""
    references: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    retry_after: float | None = None
    moved_to: str = ""
    gone: str = ""
    astray: str = ""


class Sender(Protocol):
    """A channel's open line, for one delivery to many recipients at once."""

    def turn(self, recipient: Recipient, piece: Piece) -> AbstractAsyncContextManager[None]:
        """Entered when the piece may be sent: the pace allows it, and nobody else is just uploading the same file."""
        ...

    async def send(self, recipient: Recipient, piece: Piece, *, repeat: bool, silent: bool) -> Sent:
        """One try, inside the turn. Never raises for what the other side does.

        `repeat`: it may have arrived before, and the recipient is told so. No waiting and no second try of what may
        have been accepted; another form of what was refused is tried at once.
        """
        ...


class Channel(Protocol):
    """A way out."""

    name: str

    def pieces(self, messages: Sequence[Message], *, key: str, language: Language) -> Sequence[Piece]:
        """The messages cut to the channel's limits, in order; a piece that can never be sent is refused when sent.

        `key` names the delivery, such as `feed_daily/2026-11-20`: the same for every recipient and try.
        """
        ...

    def sender(self, files: Mapping[str, tuple[str, ...]]) -> AbstractAsyncContextManager[Sender]:
        """A line, closed at the end. `files`: by digest, what the other side has already (`Sent.files`)."""
        ...


class ChannelError(Exception):
    """A channel cannot be used at all. One sentence with the remedy, without any secret."""


class NobodyError(ChannelError):
    """Nobody is to get it, though somebody should. One sentence with the remedy."""
