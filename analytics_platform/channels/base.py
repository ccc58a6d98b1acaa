"""The channel port: messages go in, one receipt per recipient and message part comes out.

Belongs here: the port, receipts and what they may say. Does not: any client library, any retry of a whole delivery
(`delivery.py` decides), anything about subscribers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from analytics_platform.messages import Message


class Outcome(StrEnum):
    """What is proven about one part sent to one recipient."""

    SENT = "sent"  # accepted by the other side
    NOT_SENT = "not_sent"  # proven not accepted (no connection, skipped after an earlier failure): safe to send again
    REFUSED = "refused"  # the other side said no; sending the same again would be refused again
    UNCERTAIN = "uncertain"  # no answer came: it may or may not have arrived, so it is not repeated blindly


@dataclass(frozen=True)
class Receipt:
    """The outcome of one message part for one recipient.

    `part` is the part's place and kind, such as `1 text`, `2 album`, `3 document feed.pdf`. `detail` says in one
    sentence what went wrong and what to do; it never holds a secret. `references` are the other side's ids
    (Telegram message ids) or the paths written.
    """

    channel: str
    recipient: str
    part: str
    outcome: Outcome
    detail: str = ""
    references: tuple[str, ...] = ()


class Channel(Protocol):
    """A way out. `send` never raises for what the other side does; it tells it in the receipts."""

    name: str
    # Whether sending the same key again leaves one delivery, not two; then one that was cut off is simply repeated.
    repeatable: bool

    def send(self, messages: Sequence[Message], *, key: str) -> list[Receipt]:
        """Send all messages, in order, to every recipient of this channel.

        `key` names the delivery, such as `feed_daily/2026-11-20`; channels that store files use it as a path.
        One recipient's failure never keeps another from getting theirs; after a failed part the recipient's other
        parts are still tried.
        """
        ...


class ChannelError(Exception):
    """A channel cannot be used at all. One sentence with the remedy, without any secret."""
