"""How a part of a delivery changes: pure functions from a part to the part it becomes.

Belongs here: one change each. Does not: when it happens and under which lock (`deliveries.py`).
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import Part, State, Wanted

DIED = "its process ended while it was being sent"
SILENT = "its process did not say in time whether it was sent"


def as_wanted(part: Part, wanted: Wanted, now: datetime) -> Part:
    """The part as it is wanted, dated if that changes it."""
    after = replace(
        part, place=wanted.place, language=wanted.language, digest=wanted.digest, repeatable=wanted.repeatable
    )
    return part if after == part else replace(after, updated_at=now)


def over(part: Part, now: datetime, gone: Callable[[Owner], bool]) -> str:
    """Why nothing more will be heard of the try; empty while it may go on, or when none is."""
    if part.state is not State.SENDING:
        return ""
    if part.owner is None or gone(part.owner):
        return DIED
    return SILENT if part.lease_until is None or part.lease_until <= now else ""


def left_behind(part: Part, why: str, now: datetime) -> Part:
    """The part of a process that never said what came of it. It stays its owner's: the answer may still come."""
    return replace(part, state=State.UNCERTAIN, doubtful=True, error=why, updated_at=now)


def freed(part: Part, now: datetime) -> Part:
    """The part when nobody is at it any more."""
    return replace(part, owner=None, lease_until=None, next_at=None, updated_at=now)


def failed(part: Part, reason: str, now: datetime) -> Part:
    """The part when it is given up."""
    return replace(freed(part, now), state=State.FAILED, error=reason)


def anew(part: Part, now: datetime, try_until: datetime) -> Part:
    """The part when a person wants it sent (again)."""
    may_have_arrived = part.doubtful or part.state is not State.FAILED
    pending = replace(freed(part, now), state=State.PENDING, error="", try_until=try_until)
    return replace(pending, doubtful=may_have_arrived)


def expired(part: Part, now: datetime) -> Part:
    """The part when its `try_until` has passed: held for a person if it may have arrived, failed if not."""
    if part.state is State.UNCERTAIN:
        return replace(part, repeatable=False, next_at=None, updated_at=now)
    why = f"not sent by {part.try_until:%Y-%m-%d %H:%M} UTC{', but may have arrived before' if part.doubtful else ''}"
    return failed(part, f"{why}: {part.error}" if part.error else why, now)
