"""One pace for several processes: who may send when, by limit (a bot, a chat).

Belongs here: reserving moments. Does not: the arithmetic (`pace.py`), which limits there are (`channels/`), waiting for
the moment (whoever reserved it).

A reservation is one transaction that reads its bucket under a lock and writes it. Hosts that share a database need
clocks that agree to within the window.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from analytics_platform.pace import CLOCK_SLACK, Limit, Slot, Turn, earliest, put_off
from analytics_platform.state.database import Database
from analytics_platform.state.entries import utc

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Slots:
    """The buckets of one database. Methods raise StateError when it fails. `clock`: the present moment, aware."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def reserve(self, weight: int, limit: Limit, *, free: Limit | None = None) -> Turn:
        """Reserve the first moment at which `limit` has room for `weight` units.

        `free`: has to have room at once, and is then taken at the same moment; else nothing is reserved, and the answer
        tells when it has. The turn's seconds are under zero when its moment has just passed. A reservation is not given
        back. ValueError for a weight under one.
        """
        if weight < 1:
            raise ValueError(f"{weight} units cannot be reserved")
        with self._database.write() as con:
            # The lesser bucket first, everywhere: two transactions wait for each other and do not lock each other out.
            own = _lock(con, free.bucket) if free else None
            # Read under the lock: those who queued for it must not reserve by the moment at which they came.
            if own and free:
                now = self._now()
                first, _ = own.with_units(free, weight, now, now)
                if first > now:
                    return Turn(first - now, first, weight)
            shared = _lock(con, limit.bucket)
            now = self._now()
            moment, after = shared.with_units(limit, weight, now, now)
            _store(con, limit.bucket, after)
            if own and free:
                _store(con, free.bucket, own.with_units(free, weight, now, moment)[1])
        # From now on: the transaction took its time.
        return Turn(moment - self._now(), moment, weight, (free.bucket, limit.bucket) if free else (limit.bucket,))

    def put_off(self, turn: Turn, seconds: float) -> Turn:
        """What was reserved counts so many seconds later; the turn then. What others reserved meanwhile stays."""
        with self._database.write() as con:
            for bucket in turn.buckets:
                stored = _lock(con, bucket)
                _store(con, bucket, replace(stored, taken=put_off(stored.taken, (turn.moment, turn.weight), seconds)))
        return replace(turn, seconds=turn.seconds + seconds, moment=turn.moment + seconds)

    def hold(self, bucket: str, seconds: float) -> None:
        """The other side asked to wait: nothing is reserved before now and so many seconds.

        Never shortens an earlier hold. What was reserved before stays as it is.
        """
        with self._database.write() as con:
            stored = _lock(con, bucket)
            now = self._now()
            until = max(stored.held_until(now), now + seconds)
            _store(con, bucket, _Bucket(stored.taken, until, now if until > now else None))

    def _now(self) -> float:
        return utc(self._clock()).timestamp()

    def forget(self, before: datetime) -> None:
        """Delete the buckets that were neither used nor held since that moment (aware)."""
        from sqlalchemy import delete, select

        from analytics_platform.state.models import SLOTS

        before = utc(before)
        idle = select(SLOTS.c.bucket, SLOTS.c.taken).where(SLOTS.c.free_at < before)
        with self._database.write() as con:
            # As in `reserve`: a bot's bucket comes after those of its chats, whose names are longer.
            rows = con.execute(idle.order_by(SLOTS.c.bucket.desc()).with_for_update()).all()
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

    def with_units(self, limit: Limit, weight: int, now: float, since: float) -> "tuple[float, _Bucket]":
        """The first moment, not before `since`, that has room for so many units; the bucket with them."""
        held = self.held_until(now)
        moment, taken = earliest(self.taken, max(held, since), now, weight, spacing=limit.spacing, window=limit.window)
        return moment, _Bucket(taken, max(held, now), self.held_at if held > now else None)


def _lock(con: "Connection", bucket: str) -> _Bucket:
    """The bucket, nobody else's until this transaction ends."""
    from sqlalchemy import select

    from analytics_platform.state.database import add_if_absent
    from analytics_platform.state.models import SLOTS

    query = select(SLOTS.c.taken, SLOTS.c.free_at).where(SLOTS.c.bucket == bucket).with_for_update()
    while (row := con.execute(query).first()) is None:  # a second time when `forget` has just deleted it
        add_if_absent(con, SLOTS, {"bucket": bucket, "taken": [], "free_at": datetime.fromtimestamp(0, UTC)})
    slots: list[Slot] = [(float(begin), int(units)) for begin, units in row.taken]
    holds = [begin for begin, units in slots if not units]
    return _Bucket([slot for slot in slots if slot[1]], row.free_at.timestamp(), max(holds, default=None))


def _store(con: "Connection", bucket: str, new: _Bucket) -> None:
    from sqlalchemy import update

    from analytics_platform.state.models import SLOTS

    taken = new.taken if new.held_at is None else [(new.held_at, 0), *new.taken]
    free_at = datetime.fromtimestamp(new.free_at, UTC)
    con.execute(update(SLOTS).where(SLOTS.c.bucket == bucket).values(taken=taken, free_at=free_at))
