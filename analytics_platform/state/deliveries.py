"""The delivery ledger: what is to be sent to whom, who is at it, and what became of it.

Belongs here: the rules by which parts change. Does not: sending (`channels/`), what follows from a try and when the
next one is (`delivery.py`, `dispatch.py`), SQL (`part_rows.py`), clocks: moments, leases and the test for a dead
process come as arguments.

A try is exclusive: one transaction reads the part under its lock and writes it as `sending`, before the request. So a
crash can hide nothing: what is left as `sending` may have arrived.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from analytics_platform.redaction import redact
from analytics_platform.state.database import Database
from analytics_platform.state.editions import Editions
from analytics_platform.state.entries import utc
from analytics_platform.state.owners import Owner
from analytics_platform.state.part_changes import (
    anew,
    as_wanted,
    expired,
    failed,
    freed,
    left_behind,
    over,
)
from analytics_platform.state.parts import LostPartError, Overview, Part, State, Wanted
from analytics_platform.state.runs import Gone

if TYPE_CHECKING:
    from analytics_platform.state.part_rows import PartRows

__all__ = ["Deliveries", "Gone", "LostPartError", "Overview", "Owner", "Part", "State", "Wanted"]


class Deliveries:
    """One part a delivery, recipient and piece. Every `now` is aware. Methods raise StateError when the database fails.

    Moments in answers are UTC. A delivery is named by its topic and period.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.editions = Editions(database)

    # ----------------------------------------------------------------- what is to be sent

    def enter(
        self, topic: str, period: str, wanted: Sequence[Wanted], now: datetime, try_until: datetime
    ) -> list[Part]:
        """The delivery is to have these parts; all that it has then, by recipient and place.

        New ones are pending, to be sent until `try_until`. Of what was never begun, parts that are no longer wanted are
        withdrawn and the others become as they are wanted. What was begun stays as it is. Raises ValueError for two
        different parts of one name.
        """
        now, try_until = utc(now), utc(try_until)
        with self._rows(write=True) as rows:
            by_key: dict[tuple[str, str, str, str], Wanted] = {}
            for one in map(rows.storable, wanted):
                if by_key.setdefault(one.key, one) != one:
                    raise ValueError(f"{one.part} of {topic} {period} for {one.channel} {one.address} is wanted twice")
            rows.alone(topic, period)
            known = rows.delivery(topic, period, lock=True)
            there = {part.key for part in known}
            # In one order everywhere: an insert waits for another transaction's insert of the same key.
            missing = [by_key[key] for key in sorted(by_key.keys() - there)]
            fresh = [part for part in known if part.fresh]
            unwanted = [part for part in fresh if part.key not in by_key]
            kept = [(part, as_wanted(part, by_key[part.key], now)) for part in fresh if part.key in by_key]
            changed = [after for part, after in kept if after != part]
            if not (missing or unwanted or changed):
                return known
            rows.add(topic, period, missing, now, try_until)
            rows.remove(unwanted)
            rows.store(changed)
            return rows.delivery(topic, period)

    def withdraw(self, topic: str, period: str, now: datetime) -> int:
        """Delete what was never begun of the delivery; how many parts."""
        from analytics_platform.state.part_rows import in_state, of

        utc(now)
        with self._rows(write=True) as rows:
            fresh = [p for p in rows.find_all(of(topic, period) & in_state(State.PENDING), lock=True) if p.fresh]
            rows.remove(fresh)
            return len(fresh)

    def moved(self, channel: str, old: str, new: str, now: datetime) -> int:
        """A chat has a new address: so have all its parts from now on; how many have got it.

        Of a piece that the new address is to get anyway, the old one is deleted if it was never begun; if it was, it
        keeps the old address. A new address is no change of a part's fate: `updated_at` stays.
        """
        utc(now)
        if old == new:
            return 0
        with self._rows(write=True) as rows:
            return rows.readdress(channel, old, new)

    # ----------------------------------------------------------------- one try

    def busy(self) -> AbstractContextManager[None]:
        """To be entered for many tries: see `Database.kept_open`."""
        return self._database.kept_open()

    def begin(self, part_id: int, owner: Owner, now: datetime, *, lease: timedelta, gone: Gone) -> Part | None:
        """Make the part this owner's to send, until it says what came of it or `now + lease` has passed.

        Free are pending parts and, if repeatable, parts of unknown fate, also those whose process is `gone` or whose
        lease ended; others of such a process become uncertain, held for a person. The answer is `doubtful` when an
        earlier try may have arrived; None when it is not free. `next_at` and `try_until` are not looked at.
        """
        now = utc(now)
        with self._rows(write=True) as rows:
            for stored in rows.find([part_id], lock=True):
                why = over(stored, now, gone)
                part = left_behind(stored, why, now) if why else stored
                if part.state is State.PENDING or (part.state is State.UNCERTAIN and part.repeatable):
                    begun = replace(
                        part,
                        state=State.SENDING,
                        attempts=part.attempts + 1,
                        owner=owner,
                        lease_until=now + lease,
                        next_at=None,
                        updated_at=now,
                    )
                    rows.store([begun])
                    return begun
                if why:
                    rows.store([part])
        return None

    def end(
        self,
        part_id: int,
        owner: Owner,
        state: State,
        now: datetime,
        *,
        error: str = "",
        message_ids: Sequence[str] = (),
        file_ids: Sequence[str] = (),
        next_at: datetime | None = None,
        as_repeatable: bool | None = None,
        attempt: int | None = None,
    ) -> Part:
        """What came of this owner's try: pending (proven not to have arrived), sent, uncertain, failed; the part then.

        `attempt`: the number of the try, for an owner that may have begun another one since. An answer that comes late
        counts as long as nobody has done anything else with the part: that its process seemed to have ended made it
        uncertain, and an answer is better than that. Raises LostPartError when the try is no longer this owner's.
        """
        if state is State.SENDING:
            raise ValueError("a try cannot end as sending")
        now = utc(now)
        with self._rows(write=True) as rows:
            stored = next(iter(rows.find([part_id], lock=True)), None)
            # Whoever else begins it, sends it again or gives it up, takes the owner away.
            if stored is None or stored.owner != owner or attempt not in (None, stored.attempts):
                raise LostPartError(part_id, owner, stored)
            doubtful = stored.doubtful or state is State.UNCERTAIN
            if stored.state is State.UNCERTAIN and state is not State.UNCERTAIN and stored.attempts == 1:
                # The doubt was about this very try, and there was none before it.
                doubtful = False
            waits = state in (State.PENDING, State.UNCERTAIN) and next_at is not None
            ended = replace(
                freed(stored, now),
                state=state,
                doubtful=doubtful,
                error=redact(error),
                next_at=utc(next_at) if waits and next_at else None,
                repeatable=stored.repeatable if as_repeatable is None else as_repeatable,
            )
            if state is State.SENT:
                ended = replace(ended, sent_at=now, message_ids=tuple(message_ids), file_ids=tuple(file_ids))
            rows.store([ended])
            return ended

    # ------------------------------------------------------- what time and people do

    def give_up(
        self, parts: Sequence[int], reason: str, now: datetime, *, states: Collection[State] = (State.PENDING,)
    ) -> list[Part]:
        """Those of the parts that are still in such a state are failed, with the reason; those parts.

        Raises ValueError when sending or sent is one of the states.
        """
        if State.SENDING in states or State.SENT in states:
            raise ValueError("what is being sent or was sent cannot be given up")
        now, reason = utc(now), redact(reason)
        with self._rows(write=True) as rows:
            found = [part for part in rows.find(parts, lock=True) if part.state in states]
            return _stored(rows, [failed(part, reason, now) for part in found])

    def put_off(self, parts: Sequence[int], until: datetime, now: datetime, *, error: str = "") -> list[Part]:
        """Those of the parts that nobody is at are not tried before `until`, and say why; those parts.

        No try is counted: what was never begun stays so. Without an `error`, the last one stays.
        """
        now, until, error = utc(now), utc(until), redact(error)
        with self._rows(write=True) as rows:
            found = [p for p in rows.find(parts, lock=True) if p.unfinished and p.state is not State.SENDING]
            put_off = [replace(p, next_at=until, error=error or p.error, updated_at=now) for p in found]
            return _stored(rows, put_off)

    def release_dead(self, now: datetime, gone: Gone) -> list[Part]:
        """What was being sent by a process that is gone, or whose lease ended, is uncertain; those parts.

        Only reads when there is none.
        """
        from analytics_platform.state.part_rows import in_state

        now = utc(now)
        with self._rows() as rows:
            sending = rows.find_all(in_state(State.SENDING))
        asked: dict[Owner, bool] = {}

        def gone_once(owner: Owner) -> bool:
            # One process may have many parts in hand.
            return asked[owner] if owner in asked else asked.setdefault(owner, gone(owner))

        dead = {part.id: (part, why) for part in sending if (why := over(part, now, gone_once))}
        if not dead:
            return []
        with self._rows(write=True) as rows:
            left = []
            for part in rows.find(list(dead), lock=True):
                seen, why = dead[part.id]
                if (part.state, part.owner, part.attempts) == (State.SENDING, seen.owner, seen.attempts):
                    left.append(left_behind(part, why, now))
            return _stored(rows, left)

    def expire(self, now: datetime) -> list[Part]:
        """Parts not sent by their `try_until` are failed, those of unknown fate held for a person; those parts.

        Only reads when there is none.
        """
        from analytics_platform.state.models import PARTS
        from analytics_platform.state.part_rows import open_ones

        now = utc(now)
        late = open_ones() & (PARTS.c.try_until <= now)
        with self._rows() as rows:
            if not rows.is_any(late):
                return []
        with self._rows(write=True) as rows:
            return _stored(rows, [expired(part, now) for part in rows.find_all(late, lock=True)])

    def again(self, ids: Sequence[int], now: datetime, try_until: datetime) -> list[Part]:
        """A person's word: what was sent, failed or is of unknown fate is to be sent (again); those parts, pending.

        Doubtful if it may have arrived. What is pending or being sent is left alone and not among them.
        """
        now, try_until = utc(now), utc(try_until)
        with self._rows(write=True) as rows:
            found = [p for p in rows.find(ids, lock=True) if p.state not in (State.PENDING, State.SENDING)]
            return _stored(rows, [anew(part, now, try_until) for part in found])

    def arrived(self, ids: Sequence[int], now: datetime) -> list[Part]:
        """A person's word: those of the parts whose fate is unknown did arrive; those parts, sent."""
        now = utc(now)
        with self._rows(write=True) as rows:
            found = [part for part in rows.find(ids, lock=True) if part.state is State.UNCERTAIN]
            error = "somebody saw that it arrived"
            return _stored(rows, [replace(freed(p, now), state=State.SENT, sent_at=now, error=error) for p in found])

    def forget(self, before: datetime) -> int:
        """Delete deliveries that are finished and of which no part has changed since `before`; how many.

        Each in a transaction of its own, so that nobody waits for all of them.
        """
        from analytics_platform.state.models import PARTS

        before, forgotten = utc(before), 0
        with self._rows() as rows:
            old = rows.deliveries(PARTS.c.created_at < before)
        for topic, period in old:
            with self._rows(write=True) as rows:
                rows.alone(topic, period)
                parts = rows.delivery(topic, period, lock=True)
                if not any(part.unfinished or part.updated_at >= before for part in parts):
                    rows.remove(parts)
                    forgotten += bool(parts)
        return forgotten

    # ----------------------------------------------------------------- reading

    def due(self, now: datetime) -> list[tuple[str, str]]:
        """Topic and period of every delivery with a part that may be tried now, the oldest delivery first."""
        from analytics_platform.state.models import PARTS
        from analytics_platform.state.part_rows import open_ones

        now = utc(now)
        may_be = PARTS.c.next_at.is_(None) | (PARTS.c.next_at <= now)
        with self._rows() as rows:
            return rows.deliveries(open_ones() & may_be & (PARTS.c.try_until > now))

    def quiet(self) -> bool:
        """Whether nothing is unfinished, no period on its way, nobody paused by their channel: asked every minute."""
        from sqlalchemy import exists, or_, select

        from analytics_platform.state.models import PARTS, PERIODS, SUBSCRIBERS
        from analytics_platform.state.part_rows import in_state, open_ones
        from analytics_platform.state.runs import Status

        something = or_(
            exists().where(in_state(State.SENDING) | open_ones()).select_from(PARTS),
            exists().where(PERIODS.c.status == Status.SENDING.value),
            exists().where(SUBSCRIBERS.c.paused_by == SUBSCRIBERS.c.channel),
        )
        with self._database.read() as con:
            return not con.execute(select(something)).scalar()

    def waiting(self, now: datetime) -> datetime | None:
        """When the next part becomes due that is not due yet; None when there is none."""
        from analytics_platform.state.models import PARTS
        from analytics_platform.state.part_rows import open_ones

        now = utc(now)
        with self._rows() as rows:
            return rows.earliest(open_ones() & (PARTS.c.next_at > now) & (PARTS.c.try_until > now))

    def parts(self, topic: str, period: str) -> list[Part]:
        """All parts of the delivery by channel, address, thread, place."""
        with self._rows() as rows:
            return rows.delivery(topic, period)

    def find(self, ids: Sequence[int]) -> list[Part]:
        """The parts of these ids that there are, by id."""
        with self._rows() as rows:
            return rows.find(ids)

    def overview(
        self,
        *,
        topic: str | None = None,
        address: str | None = None,
        states: Collection[State] = (),
        since: datetime | None = None,
        limit: int = 30,
    ) -> list[Overview]:
        """One row a delivery, the newest first: those begun at `since` or later with a part in one of the `states`.

        With an `address`, only what goes to that chat or mailbox is looked at and counted.
        """
        since = None if since is None else utc(since)
        with self._rows() as rows:
            return rows.overview(topic=topic, address=address, states=states, since=since, limit=limit)

    def files(self, topic: str, period: str) -> Mapping[str, tuple[str, ...]]:
        """By digest, the other side's ids of the files of parts that were sent."""
        with self._rows() as rows:
            return rows.files(topic, period)

    def behind(self, topic: str, period: str, now: datetime) -> set[tuple[str, str, str]]:
        """Recipients with an unfinished part of an older delivery of the topic: that goes first, to keep the order.

        Older is the delivery whose first part was entered first; neither what is past its `try_until` nor a card's
        picture holds anybody up.
        """
        from analytics_platform.state.models import PARTS
        from analytics_platform.state.part_rows import in_state, open_ones, optional

        still = in_state(State.SENDING) | (open_ones() & (PARTS.c.try_until > utc(now)) & ~optional())
        with self._rows() as rows:
            return rows.ahead(topic, period, still)

    def unfinished(self, topic: str, period: str) -> bool:
        """Whether something of the delivery goes on by itself: see `Part.unfinished`."""
        from analytics_platform.state.part_rows import in_state, of, open_ones

        with self._rows() as rows:
            return rows.is_any(of(topic, period) & (in_state(State.SENDING) | open_ones()))

    def begun(self, topic: str, period: str) -> bool:
        """Whether any part of the delivery was ever begun."""
        from analytics_platform.state.models import PARTS
        from analytics_platform.state.part_rows import of

        with self._rows() as rows:
            return rows.is_any(of(topic, period) & (PARTS.c.attempts > 0))

    @contextmanager
    def _rows(self, *, write: bool = False) -> "Iterator[PartRows]":
        from analytics_platform.state.part_rows import PartRows

        with self._database.write() if write else self._database.read() as con:
            yield PartRows(con)


def _stored(rows: "PartRows", parts: list[Part]) -> list[Part]:
    rows.store(parts)
    return parts
