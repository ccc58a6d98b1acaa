"""Rows of the funnel ledger: entries and jobs to columns and back, in one transaction.

Belongs here: SQL. Does not: who may write (`leases.py`), transactions and paging (`funnels.py`). Imported only when the
ledger is used: SQLAlchemy is heavy.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from analytics_platform.funnels.person import masked
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Change, Entry, Job, JobStatus, NewEntry, Operation, Outcome
from analytics_platform.redaction import redact
from analytics_platform.state.database import add_absent, add_if_absent
from analytics_platform.state.entries import utc
from analytics_platform.state.funnel_models import ENTRIES, OUTBOX, SYNCS

_T = TypeVar("_T")
# Values in one IN: few enough for SQLite and for the size of a packet, many enough that there are few requests.
_AT_ONCE = 1000
_LONGEST_ERROR = 2000
_ENTRY = [
    ENTRIES.c[name]
    for name in (
        "id",
        "email",
        "funnel_type",
        "user_id",
        "test_id",
        "entered_at",
        "certificate_purchased_at",
        "customer_since",
    )
]
_OPEN = and_(ENTRIES.c.certificate_purchased == 0, ENTRIES.c.already_customer == 0)


class FunnelRows:
    """The ledger's tables within one transaction."""

    def __init__(self, con: Connection) -> None:
        self._con = con

    # ---------------------------------------------------------------- entries

    def known(self, funnel: FunnelType, emails: Iterable[str]) -> set[str]:
        """Those of the people who are in the funnel."""
        found: set[str] = set()
        for some in _chunks(emails):
            query = select(ENTRIES.c.email).where(ENTRIES.c.email.in_(some), ENTRIES.c.funnel_type == funnel.value)
            found.update(self._con.execute(query).scalars())
        return found

    def enter(self, new: Sequence[NewEntry], now: datetime) -> int:
        """Those who are not in their funnel yet, with the jobs of those who are to be written to; how many."""
        wanted: dict[tuple[FunnelType, str], NewEntry] = {}
        for entry in new:
            wanted.setdefault((entry.funnel, entry.email), entry)
        funnels = {funnel: [email for kind, email in wanted if kind is funnel] for funnel in FunnelType}
        there = {funnel: self.known(funnel, emails) for funnel, emails in funnels.items() if emails}
        added = [entry for (funnel, email), entry in wanted.items() if email not in there[funnel]]
        if not added:
            return 0
        many = add_absent(self._con, ENTRIES, [_new_row(entry, now) for entry in added])
        jobs = [
            _job_row(number, Operation.UPSERT_CONTACT, _welcome(entry), now)
            for number, entry in self._numbers([entry for entry in added if entry.customer_since is None])
        ]
        if jobs:
            add_absent(self._con, OUTBOX, jobs)
        return many

    def entries(self, where: Sequence[ColumnElement[bool]], after_id: int, limit: int) -> list[Entry]:
        """Those after that id, by id."""
        query = select(*_ENTRY).where(ENTRIES.c.id > after_id, *where).order_by(ENTRIES.c.id).limit(limit)
        return [_entry(row) for row in self._con.execute(query).mappings()]

    def settle(self, changes: Iterable[Change], now: datetime) -> int:
        """The entries that were still open, with the jobs of purchases; how many."""
        wanted = {change.entry_id: change for change in changes}
        found: list[Entry] = []
        for some in _chunks(wanted):
            query = select(*_ENTRY).where(ENTRIES.c.id.in_(some), _OPEN).order_by(ENTRIES.c.id).with_for_update()
            found += [_entry(row) for row in self._con.execute(query).mappings()]
        if not found:
            return 0
        self._update(ENTRIES, [_settled(wanted[entry.id]) for entry in found])
        jobs = [
            _job_row(entry.id, Operation.UPDATE_AFTER_PURCHASE, _bought(entry, moment), now)
            for entry in found
            if (moment := wanted[entry.id].purchased_at) is not None
        ]
        if jobs:
            add_absent(self._con, OUTBOX, jobs)
        # Customers are not written to: what the mailing service has not been told of them yet, it need not hear.
        for some in _chunks(entry.id for entry in found if wanted[entry.id].customer_since is not None):
            told = OUTBOX.c.operation_type == Operation.UPSERT_CONTACT.value
            waits = OUTBOX.c.status.in_((JobStatus.PENDING.value, JobStatus.FAILED.value))
            self._con.execute(delete(OUTBOX).where(OUTBOX.c.funnel_entry_id.in_(some), told, waits))
        return len(found)

    def unpublished(self, limit: int) -> list[datetime]:
        """When those entered whom the warehouse does not have as they are, by id."""
        query = select(ENTRIES.c.entered_at).where(ENTRIES.c.published == 0).order_by(ENTRIES.c.id).limit(limit)
        return list(self._con.execute(query).scalars())

    def publish(self, ids: Iterable[int]) -> None:
        """The warehouse has them."""
        for some in _chunks(ids):
            self._con.execute(update(ENTRIES).where(ENTRIES.c.id.in_(some)).values(published=1))

    def _numbers(self, entries: Sequence[NewEntry]) -> Iterator[tuple[int, NewEntry]]:
        wanted = {(entry.email, entry.funnel.value): entry for entry in entries}
        for some in _chunks(wanted):
            query = select(ENTRIES.c.id, ENTRIES.c.email, ENTRIES.c.funnel_type).where(
                ENTRIES.c.email.in_(sorted({email for email, _ in some}))
            )
            for row in self._con.execute(query.order_by(ENTRIES.c.id)).all():
                if entry := wanted.get((row.email, row.funnel_type)):
                    yield row.id, entry

    # ------------------------------------------------------------------- jobs

    def due(self, now: datetime, after_id: int, limit: int) -> list[Job]:
        """Those whose time has come; an update only after its entry's contact is there."""
        first = OUTBOX.alias("first")
        waits = exists().where(
            first.c.funnel_entry_id == OUTBOX.c.funnel_entry_id,
            first.c.operation_type == Operation.UPSERT_CONTACT.value,
            first.c.status != JobStatus.SUCCESS.value,
        )
        return self._jobs(
            _jobs()
            .where(
                OUTBOX.c.status == JobStatus.PENDING.value,
                OUTBOX.c.next_attempt_at <= now,
                OUTBOX.c.id > after_id,
                or_(OUTBOX.c.operation_type == Operation.UPSERT_CONTACT.value, ~waits),
            )
            .limit(limit)
        )

    def with_status(self, statuses: Collection[JobStatus], limit: int | None) -> list[Job]:
        """By id."""
        return self._jobs(_jobs().where(OUTBOX.c.status.in_(sorted(statuses))).limit(limit))

    def by_id(self, ids: Iterable[int]) -> list[Job]:
        """By id; those that there are."""
        return [job for some in _chunks(sorted(ids)) for job in self._jobs(_jobs().where(OUTBOX.c.id.in_(some)))]

    def note(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        """What became of them."""
        # The moment of the next try stays as it was where none is given.
        by_columns: dict[bool, list[dict[str, Any]]] = {}
        for outcome in sorted(outcomes, key=lambda one: one.job_id):
            by_columns.setdefault(outcome.next_attempt_at is None, []).append(_outcome_row(outcome, now))
        for rows in by_columns.values():
            self._update(OUTBOX, rows)

    def counts(self) -> dict[JobStatus, int]:
        """How many there are of each status."""
        query = select(OUTBOX.c.status, func.count()).group_by(OUTBOX.c.status)
        found = {JobStatus(status): many for status, many in self._con.execute(query)}
        return {status: found.get(status, 0) for status in JobStatus}

    def retry(self, ids: Iterable[int] | None, now: datetime) -> int:
        """Failed ones begin anew; how many."""
        again = (
            update(OUTBOX)
            .where(OUTBOX.c.status == JobStatus.FAILED.value)
            .values(
                status=JobStatus.PENDING.value,
                retry_count=0,
                next_attempt_at=now,
                updated_at=now,
                process_id=None,
            )
        )
        if ids is None:
            return self._con.execute(again).rowcount
        return sum(self._con.execute(again.where(OUTBOX.c.id.in_(some))).rowcount for some in _chunks(sorted(ids)))

    def _jobs(self, query: Select[Any]) -> list[Job]:
        return [_job(row) for row in self._con.execute(query).mappings()]

    def _update(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Each row by its `id`; all have the same columns."""
        names = [name for name in rows[0] if name != "id"]
        # A parameter may not have the name of a column.
        statement = update(table).where(table.c.id == bindparam("of_id"))
        statement = statement.values({name: bindparam(f"new_{name}") for name in names})
        self._con.execute(
            statement, [{"of_id": row["id"], **{f"new_{name}": row[name] for name in names}} for row in rows]
        )

    # ------------------------------------------------------------------ syncs

    def standing(self) -> RowMapping | None:
        """The row of how things stand."""
        return self._con.execute(select(SYNCS)).mappings().first()

    def stand(self, **values: datetime | str | None) -> None:
        """So it stands from now on."""
        if not add_if_absent(self._con, SYNCS, {"id": 1, **values}):
            self._con.execute(update(SYNCS).values(**values))


def open_entries() -> list[ColumnElement[bool]]:
    """Neither purchased nor a customer's."""
    return [_OPEN]


def entered(start: datetime | None, end: datetime | None) -> list[ColumnElement[bool]]:
    """In [start, end); None: without that bound."""
    bounds = []
    if start is not None:
        bounds.append(ENTRIES.c.entered_at >= start)
    if end is not None:
        bounds.append(ENTRIES.c.entered_at < end)
    return bounds


def _chunks(values: Iterable[_T]) -> Iterator[list[_T]]:
    left = iter(values)
    while some := list(islice(left, _AT_ONCE)):
        yield some


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else utc(moment)


def _jobs() -> Select[Any]:
    return select(OUTBOX, ENTRIES.c.email).join(ENTRIES, ENTRIES.c.id == OUTBOX.c.funnel_entry_id).order_by(OUTBOX.c.id)


def _new_row(entry: NewEntry, now: datetime) -> dict[str, Any]:
    return {
        "email": entry.email,
        "funnel_type": entry.funnel.value,
        "user_id": entry.user_id,
        "test_id": entry.test_id,
        "entered_at": now,
        "certificate_purchased": 0,
        "already_customer": int(entry.customer_since is not None),
        "customer_since": _utc(entry.customer_since),
        "published": 0,
    }


def _settled(change: Change) -> dict[str, Any]:
    bought = change.purchased_at is not None
    return {
        "id": change.entry_id,
        "certificate_purchased": int(bought),
        "certificate_purchased_at": _utc(change.purchased_at),
        "already_customer": int(not bought),
        "customer_since": None if bought else _utc(change.customer_since),
        "published": 0,
    }


def _welcome(entry: NewEntry) -> dict[str, Any]:
    return {
        "funnel_type": entry.funnel.value,
        "user_id": entry.user_id,
        "test_id": entry.test_id,
        "list_ids": [entry.list_id],
        "attributes": {"FUNNEL_TYPE": entry.funnel.value},
    }


def _bought(entry: Entry, moment: datetime) -> dict[str, Any]:
    return {
        "funnel_type": entry.funnel.value,
        "user_id": entry.user_id,
        "test_id": entry.test_id,
        "list_ids": [],
        "attributes": {
            "FUNNEL_TYPE": entry.funnel.value,
            "CERTIFICATE_PURCHASED": 1,
            "CERTIFICATE_PURCHASED_AT": utc(moment).isoformat(),
        },
    }


def _job_row(entry_id: int, operation: Operation, payload: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return {
        "funnel_entry_id": entry_id,
        "operation_type": operation.value,
        "payload": json.dumps(payload),
        "status": JobStatus.PENDING.value,
        "retry_count": 0,
        "last_error": "",
        "next_attempt_at": now,
        "created_at": now,
        "updated_at": now,
    }


def _outcome_row(outcome: Outcome, now: datetime) -> dict[str, Any]:
    later = {} if outcome.next_attempt_at is None else {"next_attempt_at": utc(outcome.next_attempt_at)}
    return {
        "id": outcome.job_id,
        "status": outcome.status.value,
        "retry_count": outcome.retries,
        # Whoever wrote it was to leave addresses out; here it is certain.
        "last_error": masked(redact(outcome.error))[:_LONGEST_ERROR],
        "process_id": outcome.process_id,
        "updated_at": now,
        **later,
    }


def _entry(row: RowMapping) -> Entry:
    return Entry(
        row["id"],
        row["email"],
        FunnelType(row["funnel_type"]),
        row["user_id"],
        row["test_id"],
        row["entered_at"],
        row["certificate_purchased_at"],
        row["customer_since"],
    )


def _job(row: RowMapping) -> Job:
    return Job(
        row["id"],
        row["funnel_entry_id"],
        Operation(row["operation_type"]),
        row["email"],
        json.loads(row["payload"]),
        JobStatus(row["status"]),
        row["retry_count"],
        row["last_error"],
        row["next_attempt_at"],
        row["created_at"],
        row["updated_at"],
        row["process_id"],
    )
