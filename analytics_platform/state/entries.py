"""What the run ledger says: one entry a report and period, its history, and why a claim is refused.

Belongs here: the ledger's words. Does not: the rules by which they change (`runs.py`), SQL (`rows.py`).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, SupportsFloat

from analytics_platform.cadence import Period
from analytics_platform.state.owners import Owner


class Status(StrEnum):
    """What has become of a report's period."""

    WAITING = "waiting"  # for its data
    READY = "ready"  # to be made
    RUNNING = "running"  # claimed by a process
    SENDING = "sending"  # handed over to the delivery ledger, which sees to what has not arrived
    DELIVERED = "delivered"
    PRELIMINARY = "preliminary"  # delivered without all of its data
    FAILED = "failed"


SETTLED = (Status.DELIVERED, Status.PRELIMINARY)


@dataclass(frozen=True)
class Entry:
    """One report's period. All moments are aware, UTC.

    `numbers` are what readers were told, `{name, value, share}` each; a value that is not available is None. `owner`
    and `lease_until` are there while it is running. `delivering`: delivery has begun, so parts may have arrived; it
    stays until the next claim. `delivery` names it in the delivery ledger, `becomes` and `becomes_reason` are what the
    period is once all has arrived. `round`: how many times readers were to get it, by a person's word after the first.
    """

    report: str
    period: Period
    status: Status
    created_at: datetime
    updated_at: datetime
    reason: str = ""
    attempts: int = 0
    numbers: tuple[Mapping[str, Any], ...] = ()
    delivering: bool = False
    owner: Owner | None = None
    lease_until: datetime | None = None
    waiting_since: datetime | None = None  # the first moment; READY in between does not change it
    ready_at: datetime | None = None
    started_at: datetime | None = None  # of the last attempt
    finished_at: datetime | None = None  # of the last attempt
    corrected_at: datetime | None = None
    numbers_at: datetime | None = None  # of the data that the numbers are from
    late_told_at: datetime | None = None
    round: int = 1
    delivery: str | None = None
    becomes: Status | None = None
    becomes_reason: str | None = None

    @property
    def settled(self) -> bool:
        """Whether readers have it."""
        return self.status in SETTLED

    @property
    def key(self) -> str:
        """What of the report this is, for the delivery ledger: `2026-11-20`, and ` #2` when it is sent anew."""
        return f"{self.period.last}" if self.round == 1 else f"{self.period.last} #{self.round}"


@dataclass(frozen=True)
class Change:
    """An entry's status became this. `run_id` is empty when no run did it."""

    moment: datetime
    status: Status
    reason: str
    run_id: str


class ClaimError(Exception):
    """A claim is refused or no longer held. One sentence; `entry` is what the ledger says instead."""

    def __init__(self, message: str, entry: Entry | None) -> None:
        super().__init__(message)
        self.entry = entry


class TakenError(ClaimError):
    """Another process is at it."""

    def __init__(self, entry: Entry) -> None:
        who = f"run {entry.owner.run_id} (process {entry.owner.pid} on {entry.owner.host})" if entry.owner else "a run"
        since = f" since {entry.started_at:%H:%M} UTC" if entry.started_at else ""
        super().__init__(f"{entry.report} of {entry.period} is being made by {who}{since}", entry)


class SettledError(ClaimError):
    """Readers have it already, or it is on its way to them."""

    def __init__(self, entry: Entry) -> None:
        when = f" on {entry.finished_at:%Y-%m-%d at %H:%M} UTC" if entry.finished_at else ""
        done = "is on its way, handed over" if entry.status is Status.SENDING else "was delivered"
        super().__init__(f"{entry.report} of {entry.period} {done}{when}", entry)


class LostClaimError(ClaimError):
    """The claim is no longer this owner's: its lease ended and another took over, or somebody reset it."""

    def __init__(self, report: str, period_end: date, owner: Owner, entry: Entry | None) -> None:
        now = "is not in the ledger" if entry is None else f"is {entry.status}"
        if entry is not None and entry.owner is not None:
            now += f", claimed by run {entry.owner.run_id}"
        super().__init__(f"{report} of {period_end} is no longer run {owner.run_id}'s: it {now}", entry)


def plain_numbers(numbers: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """The numbers in what JSON has: numpy's and Decimal's as float, nan and infinities as None."""
    return tuple({name: _plain(value) for name, value in number.items()} for number in numbers)


def utc(moment: datetime) -> datetime:
    """The same moment in UTC. ValueError for one without a zone."""
    if moment.utcoffset() is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(UTC)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, SupportsFloat):
        number = float(value)
        return number if math.isfinite(number) else None
    raise TypeError(f"{value!r} is neither a number nor a text")
