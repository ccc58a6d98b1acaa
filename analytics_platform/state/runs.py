"""The run ledger: which period of which report is whose, and what became of it.

Belongs here: the rules of claims. Does not: when a report is due (`agenda.py`), SQL (`rows.py`), clocks: the moment,
the lease and the test for a dead process come as arguments.

A claim is exclusive: one transaction reads the row under its lock and writes it. It ends by `finish`, by a proven death
of its process, or by its lease; hosts that share a database therefore need clocks that agree to within the lease.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from analytics_platform.cadence import Period
from analytics_platform.redaction import redact
from analytics_platform.state.database import Database, StateError
from analytics_platform.state.entries import (
    SETTLED,
    Change,
    ClaimError,
    Entry,
    LostClaimError,
    SettledError,
    Status,
    TakenError,
    plain_numbers,
    utc,
)
from analytics_platform.state.owners import Owner

if TYPE_CHECKING:
    from analytics_platform.state.rows import Rows

__all__ = [
    "SETTLED",
    "Change",
    "ClaimError",
    "Entry",
    "LostClaimError",
    "Owner",
    "RunLedger",
    "SettledError",
    "Status",
    "TakenError",
]

_ON_THE_WAY = (Status.SENDING, Status.FAILED)
DIED = "its process ended without a word"
SILENT = "its process did not renew its lease in time"
DIED_DELIVERING = "its process ended while delivering"

Gone = Callable[[Owner], bool]


class RunLedger:
    """One entry a report and period end. Every `now` is aware. Methods raise StateError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ----------------------------------------------------------------- reading

    def settled_until(self, report: str) -> date | None:
        """The cursor: every scheduled period of the report that ends by then is settled. None: never ran."""
        with self._rows() as rows:
            return rows.cursor(report)

    def standing(self) -> tuple[Mapping[str, date], list[Entry]]:
        """Every report's cursor, and every entry that readers do not have: one transaction for a whole look."""
        unfinished = (Status.WAITING, Status.READY, Status.RUNNING, Status.SENDING, Status.FAILED)
        with self._rows() as rows:
            return rows.cursors(), rows.find_all(None, None, unfinished, None)

    def entry(self, report: str, period_end: date) -> Entry | None:
        """What the ledger says of that period."""
        with self._rows() as rows:
            return rows.find(report, period_end)

    def entries(
        self,
        report: str | None = None,
        *,
        since: date | None = None,
        statuses: Collection[Status] = (),
        limit: int | None = None,
    ) -> list[Entry]:
        """Entries of one report or all, of periods that end at `since` or later, the newest period first."""
        with self._rows() as rows:
            return rows.find_all(report, since, statuses, limit)

    def history(self, report: str, period_end: date) -> list[Change]:
        """Every status the period has had, oldest first."""
        with self._rows() as rows:
            return rows.history(report, period_end)

    # -------------------------------------------------------------- scheduling

    def settle(self, report: str, until: date, now: datetime) -> None:
        """Move the report's cursor forward to `until`; it never moves back."""
        utc(now)
        with self._rows(write=True) as rows:
            rows.move_cursor(report, until)

    def expect(self, report: str, period: Period, status: Status, reason: str, now: datetime) -> Entry:
        """The period is known to wait for its data or to be ready: create or update its entry; what is stored then.

        Leaves alone what is running, what readers have or are being sent, and what failed after delivery had begun (a
        person must look at that; `claim` and `reset` do it knowingly). Writes only when something differs.
        """
        if status not in (Status.WAITING, Status.READY):
            raise ValueError(f"a period can be expected as waiting or ready, not as {status}")
        now = utc(now)
        with self._rows() as rows:
            stored = rows.find(report, period.last)
        if stored is not None and _as_expected(stored, period, status, reason) == stored:
            return stored
        fresh = _dated(Entry(report, period, status, now, now, reason), None, now)
        with self._rows(write=True) as rows:
            stored, added = rows.find_or_add(fresh, "")
            after = _as_expected(stored, period, status, reason)
            if added or after == stored:
                return stored
            return rows.store(stored, _dated(after, stored.status, now), "")

    # ------------------------------------------------------------------ claims

    def claim(
        self,
        report: str,
        period: Period,
        owner: Owner,
        now: datetime,
        *,
        lease: timedelta,
        gone: Gone,
        again: bool = False,
    ) -> Entry:
        """Make the period this owner's until it finishes or `now + lease` has passed; the entry, running.

        Free are periods unknown, waiting, ready, failed, running with a process that is `gone` or a lease that ended
        before delivery began, and, `again`, delivered ones. An owner that has the claim gets it back unchanged. Raises
        TakenError when another process is at it, SettledError when readers have or are being sent it and not `again`.
        What was handed over before, and is claimed nevertheless, begins a new round.
        """
        now = utc(now)
        fresh = _started(Entry(report, period, Status.WAITING, now, now), owner, now, lease)
        with self._rows(write=True) as rows:
            stored, added = rows.find_or_add(fresh, owner.run_id)
            if added:
                return stored
            reason = ""
            if stored.status is Status.RUNNING:
                if stored.owner == owner:
                    return stored
                if not (why := _over(stored, now, gone)):
                    raise TakenError(stored)
                ended = _ended(stored, why, now)
                rows.store(stored, ended, _run_of(stored))
                reason = f"taken over from run {_run_of(stored)}: {ended.reason}"
                stored = ended
            if again or not (stored.settled or stored.status is Status.SENDING):
                claimed = replace(stored, period=period, reason=reason, round=_round(stored))
                return rows.store(stored, _started(claimed, owner, now, lease), owner.run_id)
        raise SettledError(stored)

    def delivering(
        self,
        report: str,
        period_end: date,
        owner: Owner,
        now: datetime,
        *,
        delivery: str,
        becomes: Status,
        reason: str = "",
        numbers: Iterable[Mapping[str, Any]] | None = None,
        numbers_at: datetime | None = None,
    ) -> None:
        """Parts of `delivery` may arrive from here on: committed before the first is sent, so that no crash hides it.

        `numbers` are what it says; numbers that are not given stay as they were. Raises LostClaimError when the claim
        is another's, and also when its lease has ended: another could take it at any moment. `renew` right before makes
        it last.
        """
        now = utc(now)
        with self._rows(write=True) as rows:
            stored = _own(rows, report, period_end, owner)
            if stored.lease_until is not None and stored.lease_until <= now:
                raise LostClaimError(report, period_end, owner, stored)
            begun = replace(
                stored,
                delivering=True,
                delivery=delivery,
                becomes=becomes,
                becomes_reason=reason,
                numbers=stored.numbers if numbers is None else plain_numbers(numbers),
                numbers_at=stored.numbers_at if numbers_at is None else utc(numbers_at),
                updated_at=now,
            )
            rows.store(stored, begun, owner.run_id)

    def renew(self, report: str, period_end: date, owner: Owner, now: datetime, lease: timedelta) -> None:
        """The claim lasts until `now + lease`. Raises LostClaimError when it is no longer this owner's."""
        now = utc(now)
        with self._rows(write=True) as rows:
            stored = _own(rows, report, period_end, owner)
            rows.store(stored, replace(stored, lease_until=now + lease, updated_at=now), owner.run_id)

    def finish(  # noqa: PLR0917  (who, what, how it ended)
        self, report: str, period_end: date, owner: Owner, status: Status, reason: str, now: datetime
    ) -> Entry:
        """Give the claim back as delivered, preliminary, sending, failed or ready (to be done again).

        Raises LostClaimError when the claim is no longer this owner's.
        """
        if status in (Status.WAITING, Status.RUNNING):
            raise ValueError(f"a claim cannot end as {status}")
        now = utc(now)
        with self._rows(write=True) as rows:
            stored = _own(rows, report, period_end, owner)
            return rows.store(stored, _freed(stored, status, reason, now), owner.run_id)

    def arrived(self, was: Entry, status: Status, reason: str, now: datetime) -> Entry | None:
        """What was sent has arrived, or has failed: the end of `was`. None when that is no longer on its way.

        Ready: nothing was sent, and it is to be made again. What had failed may have been sent again by a person.
        """
        if status in (Status.WAITING, Status.RUNNING, Status.SENDING):
            raise ValueError(f"what was sent cannot end as {status}")
        now = utc(now)
        with self._rows(write=True) as rows:
            stored = rows.find(was.report, was.period.last, lock=True)
            before = (was.status, was.delivery)
            if stored is None or (stored.status, stored.delivery) != before or was.status not in _ON_THE_WAY:
                return None
            return rows.store(stored, _freed(stored, status, reason, now), "")

    def release_dead(self, now: datetime, gone: Gone) -> list[Entry]:
        """End the claims whose process is gone or whose lease ended; the entries, as they are then.

        Ready to be done again when delivery had not begun; when it had, sending: the delivery ledger knows the rest.
        """
        now = utc(now)
        running = self.entries(statuses=(Status.RUNNING,))
        dead = [entry for entry in running if _over(entry, now, gone)]
        if not dead:
            return []
        released = []
        with self._rows(write=True) as rows:
            for entry in sorted(dead, key=lambda e: (e.report, e.period.last)):
                stored = rows.find(entry.report, entry.period.last, lock=True)
                if stored is None or stored.status is not Status.RUNNING or stored.owner != entry.owner:
                    continue
                if why := _over(stored, now, gone):
                    released.append(rows.store(stored, _ended(stored, why, now), _run_of(stored)))
        return released

    def reset(self, report: str, period_end: date, now: datetime, *, force: bool = False) -> Entry | None:
        """Back to waiting as if never tried; the history stays, and so does the cursor. None when it is not known.

        Raises TakenError when it is running and its lease lasts, unless `force`: its process then loses the claim.
        """
        now = utc(now)
        with self._rows(write=True) as rows:
            stored = rows.find(report, period_end, lock=True)
            if stored is None:
                return None
            if stored.status is Status.RUNNING and not force and not _over(stored, now, lambda _: False):
                raise TakenError(stored)
            fresh = Entry(report, stored.period, Status.WAITING, stored.created_at, now, "reset", waiting_since=now)
            ended = _ended(stored, DIED, now) if stored.status is Status.RUNNING else stored
            return rows.store(stored, replace(fresh, round=_round(ended)), "")

    # ---------------------------------------------------- after and around delivery

    def corrected(
        self, was: Entry, numbers: Iterable[Mapping[str, Any]], numbers_at: datetime | None, now: datetime
    ) -> Entry | None:
        """Readers are told these numbers in place of those of `was`. None when somebody else was quicker.

        Written before telling: of two that want to correct the same figures, one does. To take it back when nothing got
        through, call it with what it returned and the old numbers.
        """
        with self._rows(write=True) as rows:
            stored = rows.find(was.report, was.period.last, lock=True)
            if stored is None or (stored.numbers_at, stored.numbers) != (was.numbers_at, was.numbers):
                return None
            told = replace(
                stored,
                numbers=plain_numbers(numbers),
                numbers_at=None if numbers_at is None else utc(numbers_at),
                corrected_at=utc(now),
                updated_at=utc(now),
            )
            return rows.store(stored, told, "")

    def seen(self, report: str, period_end: date, numbers_at: datetime, now: datetime) -> None:
        """The data of `numbers_at` was looked at: nothing to correct. StateError when the period is not known."""
        self._note(report, period_end, now, {"numbers_at": utc(numbers_at)})

    def told_late(self, report: str, period_end: date, now: datetime) -> None:
        """The owner was told that it is late. Raises StateError when the period is not known."""
        self._note(report, period_end, now, {"late_told_at": utc(now)})

    def _note(self, report: str, period_end: date, now: datetime, changes: dict[str, Any]) -> None:
        with self._rows(write=True) as rows:
            stored = rows.find(report, period_end, lock=True)
            if stored is None:
                raise StateError(f"{report} of {period_end} is not in the ledger")
            rows.store(stored, replace(stored, updated_at=utc(now), **changes), "")

    @contextmanager
    def _rows(self, *, write: bool = False) -> "Iterator[Rows]":
        from analytics_platform.state.rows import Rows

        with self._database.write() if write else self._database.read() as con:
            yield Rows(con)


def _as_expected(stored: Entry, period: Period, status: Status, reason: str) -> Entry:
    """The entry as an expectation leaves it, its moments not yet set."""
    handed_over = stored.settled or stored.status in (Status.RUNNING, Status.SENDING)
    if handed_over or (stored.status is Status.FAILED and stored.delivering):
        return stored
    return replace(stored, period=period, status=status, reason=reason)


def _dated(entry: Entry, was: Status | None, now: datetime) -> Entry:
    """The moments of an expected entry that has just changed."""
    if entry.status is Status.WAITING:
        return replace(entry, updated_at=now, waiting_since=entry.waiting_since or now, ready_at=None)
    return replace(entry, updated_at=now, ready_at=entry.ready_at if was is Status.READY else now)


def _started(entry: Entry, owner: Owner, now: datetime, lease: timedelta) -> Entry:
    return replace(
        entry,
        status=Status.RUNNING,
        attempts=entry.attempts + 1,
        delivering=False,
        delivery=None,
        becomes=None,
        becomes_reason=None,
        owner=owner,
        lease_until=now + lease,
        updated_at=now,
        started_at=now,
        finished_at=None,
    )


def _freed(entry: Entry, status: Status, reason: str, now: datetime) -> Entry:
    """The entry when its claim is over."""
    ready_at = now if status is Status.READY else entry.ready_at
    freed = replace(entry, status=status, reason=redact(reason), owner=None, lease_until=None, updated_at=now)
    return replace(freed, finished_at=now, ready_at=ready_at)


def _ended(entry: Entry, why: str, now: datetime) -> Entry:
    """The entry of a process that never said how it ended."""
    if entry.delivering:
        return _freed(entry, Status.SENDING if entry.delivery else Status.FAILED, DIED_DELIVERING, now)
    return _freed(entry, Status.READY, why, now)


def _round(entry: Entry) -> int:
    """The round of what is begun anew: another one when this one was handed over to be delivered."""
    return entry.round + (entry.delivering and entry.status in (*SETTLED, Status.SENDING, Status.FAILED))


def _over(entry: Entry, now: datetime, gone: Gone) -> str:
    """Why that claim is over, though nobody has given it back; empty while it lives."""
    if entry.owner is None or gone(entry.owner):
        return DIED
    return SILENT if entry.lease_until is None or entry.lease_until <= now else ""


def _own(rows: "Rows", report: str, period_end: date, owner: Owner) -> Entry:
    """The entry, locked and this owner's."""
    stored = rows.find(report, period_end, lock=True)
    if stored is None or stored.status is not Status.RUNNING or stored.owner != owner:
        raise LostClaimError(report, period_end, owner, stored)
    return stored


def _run_of(entry: Entry) -> str:
    return entry.owner.run_id if entry.owner else ""
