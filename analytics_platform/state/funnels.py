"""The funnel ledger: who is in which funnel, who bought, what the mailing service is still to be told.

Belongs here: what is written together, and the lease that every write shows. Does not: rules (`analytics_platform/
funnels/`), SQL (`funnel_rows.py`, `funnel_jobs.py`), the lease itself (`leases.py`), running (`funnel_sync.py`,
`funnel_outbox.py`).

An entry and its job for the mailing service are written in one transaction, so neither is ever there without the other.
One row of `funnel_entries` is a person in a funnel, one of `brevo_sync_outbox` something to be told about that.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Change, Entry, Job, JobStatus, NewEntry, Outcome
from analytics_platform.state import leases
from analytics_platform.state.database import Database
from analytics_platform.state.entries import utc
from analytics_platform.state.leases import Lease
from analytics_platform.state.owners import Owner

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from analytics_platform.funnels.adoption import Adopted
    from analytics_platform.state.funnel_jobs import FunnelJobs
    from analytics_platform.state.funnel_rows import FunnelRows

_NAME = "e-mail funnels"
_PAGE = 20_000


@dataclass(frozen=True)
class Standing:
    """How things stand; None for what has not happened. `published_until`: the warehouse has entries up to then.

    `last_mode`: how the last sync ran, `dry` or `real`. `circuit_open_until`: the mailing service is left alone.
    `published_stamp`: what the warehouse said of itself when it was last published to; empty when it never was.
    """

    last_started_at: datetime | None = None
    last_finished_at: datetime | None = None
    published_until: datetime | None = None
    last_mode: str | None = None
    circuit_open_until: datetime | None = None
    published_stamp: str = ""


class FunnelLedger:
    """The ledger in one database, which has to be of the schema FUNNELS.

    Every moment that is given is aware, every one that comes back UTC to the microsecond. Methods raise StateError when
    the database fails, LeaseLostError (nothing is written) when the lease that they are shown is another's by now.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.place = database.place

    def __repr__(self) -> str:
        return f"FunnelLedger({self.place})"

    def exists(self) -> bool:
        """Whether the tables are there; makes neither them nor a file.

        Raises StateError where they could not be used: another version's, or another program's of the same names.
        """
        return self._database.exists()

    # ------------------------------------------------------------------ lease

    def take(self, owner: Owner, now: datetime, length: timedelta, gone: Callable[[Owner], bool]) -> Lease:
        """The one lease of this ledger, for `length`.

        Raises LeaseTakenError while another holds it: its time is not over, and it is not `gone`.
        """
        with self._database.write() as con:
            return leases.take(con, _NAME, owner, utc(now), length=length, gone=gone)

    def renew(self, lease: Lease, now: datetime, length: timedelta) -> Lease:
        """The lease, from now on for `length`."""
        with self._database.write() as con:
            return leases.renew(con, lease, utc(now), length)

    def release(self, lease: Lease) -> None:
        """Nobody's, unless it is another's by now."""
        with self._database.write() as con:
            leases.release(con, lease)

    # ---------------------------------------------------------------- entries

    def known(self, funnel: FunnelType, emails: Collection[str]) -> set[str]:
        """Those of these people (normalised addresses) who are in the funnel, whenever and by whatever test."""
        with self._rows() as rows:
            return rows.known(funnel, emails)

    def enter(self, lease: Lease, new: Sequence[NewEntry], now: datetime) -> int:
        """They enter at `now`, in one transaction; how many did. Whoever is in that funnel is left as it is.

        Each has a job `upsert_contact`, due at once, except customers. Give at most some hundreds.
        """
        now = utc(now)
        with self._rows(lease) as rows:
            return rows.enter(new, now)

    def open_entries(self, after_id: int, limit: int) -> list[Entry]:
        """Neither purchased nor a customer's, by id, after that id."""
        from analytics_platform.state.funnel_rows import open_entries

        with self._rows() as rows:
            return rows.entries(open_entries(), after_id, limit)

    def settle(self, lease: Lease, changes: Sequence[Change], now: datetime) -> int:
        """What payments make of entries that are still open, in one transaction; how many were.

        Each purchase has a job `update_after_purchase`. Who turns out to be a customer is not written to: an upsert
        that is still to be sent is dropped. All of them are to be published again.
        """
        now = utc(now)
        with self._rows(lease) as rows:
            return rows.settle(changes, now)

    def rows(self, start: datetime | None, end: datetime | None) -> Iterator[Entry]:
        """Everybody who entered in [start, end), by id; None: without that bound. Memory holds 20,000 of them."""
        from analytics_platform.state.funnel_rows import entered

        where = entered(start and utc(start), end and utc(end))
        after_id = 0
        while True:
            with self._rows() as rows:
                page = rows.entries(where, after_id, _PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after_id = page[-1].id

    # -------------------------------------------------------------- publishing

    def unpublished(self, limit: int) -> list[datetime]:
        """When those entered whom the warehouse does not have as they are now, by id."""
        with self._rows() as rows:
            return rows.unpublished(limit)

    def unpublished_since(self) -> datetime | None:
        """When the first of those entered, whatever their ids; None without any."""
        with self._rows() as rows:
            return rows.unpublished_since()

    def published(
        self, lease: Lease, until: datetime | None, entry_ids: Iterable[int], stamp: str | None = None
    ) -> None:
        """The warehouse has these entries as they are; `until`: and everything before. None: as it was.

        `stamp`: what that warehouse says of itself, by which another one is known; None: as it was.
        """
        stands: dict[str, datetime | str] = {} if until is None else {"published_until": utc(until)}
        if stamp is not None:
            stands["published_stamp"] = stamp
        with self._rows(lease) as rows:
            rows.publish(entry_ids)
            if stands:
                rows.stand(**stands)

    def unpublish_all(self, lease: Lease) -> None:
        """The warehouse has nothing of it any more, or is another one: all entries are to be published again, and it
        has nothing up to any moment."""
        with self._rows(lease) as rows:
            rows.unpublish_all()
            rows.stand(published_until=None)

    # ------------------------------------------------------------------- jobs

    def due(
        self, now: datetime, limit: int, after_id: int = 0, funnels: Collection[FunnelType] | None = None
    ) -> list[Job]:
        """Pending jobs whose time has come, by id; an update comes only after its entry's upsert succeeded.

        Upserts of these funnels alone (None: of all), and of nobody who turned out to be a customer.
        """
        with self._jobs() as jobs:
            return jobs.due(utc(now), after_id, limit, funnels)

    def held(self, funnels: Collection[FunnelType]) -> int:
        """How many pending jobs wait until their funnel leads to a list, as these funnels do: upserts of the others,
        and the updates that wait for those."""
        with self._jobs() as jobs:
            return jobs.held(funnels)

    def oldest_pending(self, funnels: Collection[FunnelType]) -> Job | None:
        """The pending job that was made first and is not held, where these funnels lead to a list."""
        with self._jobs() as jobs:
            return jobs.oldest_pending(funnels)

    def oldest_importing(self) -> Job | None:
        """Of the jobs that the mailing service was handed over with others, the one that was made first."""
        with self._jobs() as jobs:
            return next(iter(jobs.with_status([JobStatus.IMPORTING], 1)), None)

    def imports(self) -> Mapping[int, datetime]:
        """The imports that jobs are part of, by the service's number, and when each was handed over."""
        with self._jobs() as jobs:
            return jobs.imports()

    def of_import(self, process_id: int) -> list[Job]:
        """The jobs that are part of it, by id: `importing`, and those that were dropped while it was handed over."""
        with self._jobs() as jobs:
            return jobs.of_import(process_id)

    def pending(self, ids: Collection[int]) -> set[int]:
        """Those of these jobs that are still pending."""
        with self._jobs() as jobs:
            return jobs.pending(ids)

    def note(self, lease: Lease, outcomes: Sequence[Outcome], now: datetime) -> None:
        """What became of jobs, in one transaction. The next try stays when it was where an outcome names none.

        With an upsert that failed its update fails as well. What a person dropped meanwhile is not tried again; if it
        arrived, it is a success, and its dropped update is pending again. The upsert of somebody who turned out to be a
        customer is dropped when it did not arrive.
        """
        now = utc(now)
        with self._jobs(lease) as jobs:
            jobs.note(outcomes, now)

    def jobs(self, statuses: Collection[JobStatus], limit: int) -> list[Job]:
        """Those of these statuses, by id."""
        with self._jobs() as jobs:
            return jobs.with_status(statuses, limit)

    def counts(self) -> Mapping[JobStatus, int]:
        """How many jobs have each status; every status is there."""
        with self._jobs() as jobs:
            return jobs.counts()

    def retry(self, ids: Collection[int] | None, now: datetime) -> int:
        """Jobs that failed (None: all of them) or, where they are named, are part of an import, are due at once, with
        all their retries again; how many. An update and the upsert that it failed with begin anew together. The upsert
        of a customer is dropped.

        Needs no lease: nobody works on a failed job, and what becomes of an import changes only what is part of it.
        """
        with self._database.write() as con:
            leases.stop(con, _NAME)
            return _jobs_of(con).retry(ids, utc(now))

    def drop(self, ids: Collection[int], now: datetime) -> int:
        """Failed or pending jobs that a person gives up, with the updates of dropped upserts; how many.

        Needs no lease. One that is being told at this moment may still arrive, and is a success then.
        """
        with self._database.write() as con:
            leases.stop(con, _NAME)
            return _jobs_of(con).drop(ids, utc(now))

    # ------------------------------------------------------------------ syncs

    def standing(self) -> Standing:
        """How things stand."""
        with self._rows() as rows:
            row = rows.standing()
        if row is None:
            return Standing()
        stands = {name: row[name] for name in Standing.__dataclass_fields__}
        return Standing(**{**stands, "published_stamp": row["published_stamp"] or ""})

    def started(self, lease: Lease, now: datetime, mode: str = "real") -> None:
        """A sync begins."""
        with self._rows(lease) as rows:
            rows.stand(last_started_at=utc(now), last_mode=mode)

    def finished(self, lease: Lease, now: datetime) -> None:
        """It came to its end."""
        with self._rows(lease) as rows:
            rows.stand(last_finished_at=utc(now))

    def circuit(self, lease: Lease, until: datetime | None) -> None:
        """The mailing service is left alone until then; None: no longer."""
        with self._rows(lease) as rows:
            rows.stand(circuit_open_until=until and utc(until))

    @contextmanager
    def _rows(self, lease: Lease | None = None) -> "Iterator[FunnelRows]":
        with self._connected(lease) as con:
            from analytics_platform.state.funnel_rows import FunnelRows

            yield FunnelRows(con)

    @contextmanager
    def _jobs(self, lease: Lease | None = None) -> "Iterator[FunnelJobs]":
        with self._connected(lease) as con:
            yield _jobs_of(con)

    @contextmanager
    def _connected(self, lease: Lease | None) -> "Iterator[Connection]":
        """To read; with a lease, to write while nobody takes that."""
        if lease is None:
            with self._database.read() as con:
                yield con
            return
        with self._database.write() as con:
            leases.check(con, lease)
            yield con

    # --------------------------------------------------------------- adoption

    def adopt(self, lease: Lease, people: "Sequence[Adopted]", now: datetime) -> int:
        """People whom a former script let in, in one transaction; how many. Whoever is in that funnel is left as it is.

        They are as they come, at their own times of entry. Only of what is still to be told have they jobs, due at
        once. Give at most some hundreds.
        """
        now = utc(now)
        with self._connected(lease) as con:
            from analytics_platform.state.funnel_adopted import adopt

            return adopt(con, people, now)


def _jobs_of(con: "Connection") -> "FunnelJobs":
    from analytics_platform.state.funnel_jobs import FunnelJobs

    return FunnelJobs(con)
