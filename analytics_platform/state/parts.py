"""What the delivery ledger says: one part a delivery, recipient and piece, and what is known of its fate.

Belongs here: the ledger's words. Does not: the rules by which they change (`deliveries.py`), SQL (`part_rows.py`).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from analytics_platform.state.owners import Owner


class State(StrEnum):
    """What is known of a part."""

    PENDING = "pending"  # to be sent: never tried, or proven not to have arrived
    SENDING = "sending"  # a process is at it; written before the call, so that no crash hides it
    SENT = "sent"  # accepted by the other side
    UNCERTAIN = "uncertain"  # it may or may not have arrived
    FAILED = "failed"  # refused, or given up


@dataclass(frozen=True)
class Wanted:
    """A part that there is to be; see `Part`."""

    channel: str
    address: str
    thread: str
    part: str
    place: int
    language: str
    digest: str
    repeatable: bool


@dataclass(frozen=True)
class Part:
    """One piece of one delivery for one recipient. All moments are aware, UTC.

    `topic` and `period` name the delivery: a report or a kind of alert, and what of it (`2026-11-20`, `2026-11-20 #2`,
    `2026-11-20 correction ...`). `place`: its order within the delivery. `digest`: of the content. `repeatable`: sent
    again by itself when its fate is unknown. `doubtful`: an earlier try may have arrived. `next_at`: not tried again
    before; `try_until`: nor after. `owner` and `lease_until` are there while it is being sent.
    """

    id: int
    topic: str
    period: str
    channel: str
    address: str
    thread: str
    part: str
    place: int
    language: str
    digest: str
    repeatable: bool
    state: State
    doubtful: bool
    attempts: int
    message_ids: tuple[str, ...]
    file_ids: tuple[str, ...]
    error: str
    created_at: datetime
    updated_at: datetime
    try_until: datetime
    sent_at: datetime | None = None
    next_at: datetime | None = None
    owner: Owner | None = None
    lease_until: datetime | None = None

    @property
    def recipient(self) -> tuple[str, str, str]:
        """Channel, address, thread."""
        return self.channel, self.address, self.thread

    @property
    def unfinished(self) -> bool:
        """Whether it goes on by itself: to be sent, being sent, or of unknown fate and repeatable."""
        return self.state in (State.PENDING, State.SENDING) or (self.state is State.UNCERTAIN and self.repeatable)
