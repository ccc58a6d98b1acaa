"""What the delivery ledger says: one part a delivery, recipient and piece, and what is known of its fate.

Belongs here: the ledger's words. Does not: the rules by which they change (`deliveries.py`), SQL (`part_rows.py`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from analytics_platform.state.owners import Owner

_CARD_PICTURE = re.compile(r"\d{1,2} card picture")

# What the error of a part begins with that was given up because a later revision says how things stand now.
SUPERSEDED = "superseded:"


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

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells it from the delivery's other parts: channel, address, thread, piece."""
        return self.channel, self.address, self.thread, self.part


@dataclass(frozen=True)
class Part:
    """One piece of one delivery for one recipient. All moments are aware, UTC.

    `topic` and `period` name the delivery: a report or a kind of alert, and what of it (`2026-11-20`, `2026-11-20 #2`,
    `2026-11-20 correction ...`). `place`: its order within the delivery. `digest`: of the content. `repeatable`: sent
    again by itself when its fate is unknown. `doubtful`: an earlier try may have arrived. `next_at`: not tried again
    before; `try_until`: nor after. `owner` and `lease_until` are there while it is being sent, and stay with a part
    that became uncertain because nothing was heard of its process: the answer may still come. `sent_at`, `message_ids`
    and `file_ids` are of the last time it was accepted.
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
    def key(self) -> tuple[str, str, str, str]:
        """What tells it from the delivery's other parts: channel, address, thread, piece."""
        return self.channel, self.address, self.thread, self.part

    @property
    def recipient(self) -> tuple[str, str, str]:
        """Channel, address, thread."""
        return self.channel, self.address, self.thread

    @property
    def fresh(self) -> bool:
        """Whether it was never begun, so that nothing of it can have arrived."""
        return self.state is State.PENDING and self.attempts == 0

    @property
    def superseded(self) -> bool:
        """Whether a later revision was sent, or is to be, in its place."""
        return self.state is State.FAILED and self.error.startswith(SUPERSEDED)

    @property
    def optional(self) -> bool:
        """Whether it is a card's picture: nothing waits for it, and nothing is wrong without it."""
        return _CARD_PICTURE.fullmatch(self.part) is not None

    @property
    def unfinished(self) -> bool:
        """Whether it goes on by itself: to be sent, being sent, or of unknown fate and repeatable."""
        return self.state in (State.PENDING, State.SENDING) or (self.state is State.UNCERTAIN and self.repeatable)


@dataclass(frozen=True)
class Overview:
    """One delivery. Moments are aware, UTC: of its first part, and of its last change.

    `recipients`: how many. `counts`: of parts in each state, but for superseded ones; 0 where there is none.
    `error`: the last one said of a part that is not sent; empty when there is none.
    """

    topic: str
    period: str
    created_at: datetime
    updated_at: datetime
    recipients: int
    counts: Mapping[State, int]
    error: str


class LostPartError(Exception):
    """A try is no longer this owner's. One sentence; `part` is what the ledger says instead."""

    def __init__(self, part_id: int, owner: Owner, part: Part | None) -> None:
        if part is None:
            super().__init__(f"part {part_id} is no longer run {owner.run_id}'s: it is not in the ledger")
        else:
            what = f"{part.part} of {part.topic} {part.period} for {part.channel} {part.address}"
            by = f", by run {part.owner.run_id} (try {part.attempts})" if part.owner else ""
            super().__init__(f"{what} is no longer run {owner.run_id}'s: it is {part.state}{by}")
        self.part = part
