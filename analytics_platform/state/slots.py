"""One pace for several processes: who may send when, by limit (a bot, a chat).

Belongs here: reserving moments. Does not: the arithmetic (`pace.py`), which limits there are (`channels/`), waiting for
the moment (whoever reserved it).

A reservation is one transaction that reads its bucket under a lock and writes it. Hosts that share a database need
clocks that agree to within the window.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from analytics_platform.pace import CLOCK_SLACK, Slot, Window, earliest
from analytics_platform.state.database import Database
from analytics_platform.state.entries import utc

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Slots:
    """The buckets of one database. Methods raise StateError when it fails. `clock`: the present moment, aware."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def reserve(self, bucket: str, weight: int, *, spacing: float = 0.0, window: Window | None = None) -> float:
        """Seconds from now until the moment that is now reserved for `weight` units; 0.0: now.

        `spacing`: seconds a unit takes, during which nothing else begins. `window`: (limit, seconds), see `earliest`.
        Both are a bucket's own, the same in every call. A reservation is not given back. ValueError for a weight under
        one, a spacing under zero, a window without room or length.
        """
        if weight < 1 or spacing < 0 or (window is not None and (window[0] < 1 or window[1] <= 0)):
            raise ValueError(f"{weight} units, {spacing} s apart, within {window}: none of them can be reserved")
        with self._database.write() as con:
            stored = _lock(con, bucket)
            # Read under the lock: those who queued for it must not reserve by the moment at which they came.
            now = utc(self._clock()).timestamp()
            held = stored.held_until(now)
            moment, taken = earliest(stored.taken, held, now, weight, spacing=spacing, window=window)
            _store(con, bucket, _Bucket(taken, max(held, now), stored.held_at if held > now else None))
        return moment - now

    def hold(self, bucket: str, seconds: float) -> None:
        """The other side asked to wait: nothing is reserved before now and so many seconds.

        Never shortens an earlier hold. What was reserved before stays as it is.
        """
        with self._database.write() as con:
            stored = _lock(con, bucket)
            now = utc(self._clock()).timestamp()
            until = max(stored.held_until(now), now + seconds)
            _store(con, bucket, _Bucket(stored.taken, until, now if until > now else None))

    def held(self, bucket: str) -> float:
        """For how many seconds more the bucket is held; 0.0 when it is not."""
        from sqlalchemy import select

        from analytics_platform.state.models import SLOTS

        with self._database.read() as con:
            row = con.execute(select(SLOTS.c.taken, SLOTS.c.free_at).where(SLOTS.c.bucket == bucket)).first()
        now = utc(self._clock()).timestamp()
        return max(_read(row.taken, row.free_at).held_until(now) - now, 0.0) if row else 0.0

    def forget(self, before: datetime) -> None:
        """Delete the buckets that were neither used nor held since that moment (aware)."""
        from sqlalchemy import delete, select

        from analytics_platform.state.models import SLOTS

        before = utc(before)
        idle = select(SLOTS.c.bucket, SLOTS.c.taken).where(SLOTS.c.free_at < before).order_by(SLOTS.c.bucket)
        with self._database.write() as con:
            rows = con.execute(idle.with_for_update()).all()
            over = [r.bucket for r in rows if all(begin < before.timestamp() for begin, _ in r.taken)]
            if over:
                con.execute(delete(SLOTS).where(SLOTS.c.bucket.in_(over)))


@dataclass(frozen=True)
class _Bucket:
    """A row. `free_at`: end of the hold that was asked for at `held_at`; without one, when the bucket was last used.

    All in seconds since the epoch. A hold's own moment is stored among the slots, with no weight.
    """

    taken: list[Slot]
    free_at: float
    held_at: float | None

    def held_until(self, now: float) -> float:
        """The end of the hold; `now` when there is none, or when a clock that was far ahead made it."""
        return now if self.held_at is None or self.held_at > now + CLOCK_SLACK else self.free_at


def _lock(con: "Connection", bucket: str) -> _Bucket:
    """The bucket, nobody else's until this transaction ends."""
    from sqlalchemy import select

    from analytics_platform.state.database import add_if_absent
    from analytics_platform.state.models import SLOTS

    query = select(SLOTS.c.taken, SLOTS.c.free_at).where(SLOTS.c.bucket == bucket).with_for_update()
    while (row := con.execute(query).first()) is None:  # a second time when `forget` has just deleted it
        add_if_absent(con, SLOTS, {"bucket": bucket, "taken": [], "free_at": datetime.fromtimestamp(0, UTC)})
    return _read(row.taken, row.free_at)


def _read(taken: Sequence[Sequence[float]], free_at: datetime) -> _Bucket:
    slots: list[Slot] = [(float(begin), int(units)) for begin, units in taken]
    holds = [begin for begin, units in slots if not units]
    return _Bucket([slot for slot in slots if slot[1]], free_at.timestamp(), max(holds, default=None))


def _store(con: "Connection", bucket: str, new: _Bucket) -> None:
    from sqlalchemy import update

    from analytics_platform.state.models import SLOTS

    taken = new.taken if new.held_at is None else [(new.held_at, 0), *new.taken]
    free_at = datetime.fromtimestamp(new.free_at, UTC)
    con.execute(update(SLOTS).where(SLOTS.c.bucket == bucket).values(taken=taken, free_at=free_at))
