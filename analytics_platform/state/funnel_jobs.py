"""The outbox of the funnel ledger: jobs to columns and back, and what becomes of them, in one transaction.

Belongs here: SQL about jobs, and how the two jobs of an entry hang together. Does not: entries (`funnel_rows.py`), who
may write (`leases.py`), transactions (`funnels.py`). Imported only when the ledger is used: SQLAlchemy is heavy.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Table,
    Update,
    bindparam,
    case,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    true,
    update,
)

from analytics_platform.funnels.person import masked
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Entry, Job, JobStatus, NewEntry, Operation, Outcome
from analytics_platform.redaction import redact
from analytics_platform.state.database import add_absent
from analytics_platform.state.entries import utc
from analytics_platform.state.funnel_models import ENTRIES, OUTBOX

_T = TypeVar("_T")
# Values in one IN: few enough for SQLite and for the size of a packet, many enough that there are few requests.
AT_ONCE = 1000
# Rows that one statement changes each in its own way: the server goes through the list for each of them.
CHANGED_AT_ONCE = 128
# Why an update failed that was never tried.
NOT_TAKEN = "its contact was not taken"
_LONGEST_ERROR = 2000
_PENDING, _IMPORTING = JobStatus.PENDING.value, JobStatus.IMPORTING.value
_FAILED, _DROPPED = JobStatus.FAILED.value, JobStatus.DROPPED.value
_PROCESS = func.coalesce(OUTBOX.c.process_id, 0)
# Not by its key: asked for entries and a status, SQLite would go through all that have the status.
_STATUS = func.coalesce(OUTBOX.c.status, "")
_UPSERT = OUTBOX.c.operation_type == Operation.UPSERT_CONTACT.value
_UPDATE = OUTBOX.c.operation_type == Operation.UPDATE_AFTER_PURCHASE.value
# A customer is not written to; an update is of somebody who bought, and so is never a customer's.
_MAY_GO = ENTRIES.c.already_customer == 0


class FunnelJobs:
    """The ledger's outbox within one transaction."""

    def __init__(self, con: Connection) -> None:
        self._con = con

    # ----------------------------------------------------------------- making

    def welcome(self, entries: Iterable[tuple[int, NewEntry]], now: datetime) -> None:
        """Those who entered (the entry's id with each) are to be added to a list."""
        self._add([_job_row(number, Operation.UPSERT_CONTACT, _welcome(entry), now) for number, entry in entries])

    def bought(self, entries: Iterable[tuple[Entry, datetime]], now: datetime) -> None:
        """What they bought, and when, is to be told; of somebody who was not taken or given up, it need not be."""
        found = list(entries)
        update_of = Operation.UPDATE_AFTER_PURCHASE
        self._add([_job_row(entry.id, update_of, _bought(entry, moment), now) for entry, moment in found])
        self._follow([entry.id for entry, _ in found], now)

    def spare(self, entry_ids: Iterable[int]) -> None:
        """They were customers: what the mailing service has not been told of them yet, it need not hear."""
        found = self._upserts(entry_ids, (_PENDING, _FAILED))
        for some in chunks(number for number, _, _ in found):
            self._con.execute(delete(OUTBOX).where(OUTBOX.c.id.in_(some)))

    def _upserts(self, entry_ids: Iterable[int], statuses: Sequence[str]) -> list[tuple[int, int, str]]:
        """Id, entry and status of the upserts of these entries, where that is one of those."""
        asked = select(OUTBOX.c.id, OUTBOX.c.funnel_entry_id, OUTBOX.c.status).where(_UPSERT, _STATUS.in_(statuses))
        queries = (asked.where(OUTBOX.c.funnel_entry_id.in_(some)) for some in chunks(entry_ids))
        return [(row[0], row[1], row[2]) for query in queries for row in self._con.execute(query)]

    def _add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            add_absent(self._con, OUTBOX, rows)

    # ---------------------------------------------------------------- reading

    def due(self, now: datetime, after_id: int, limit: int, funnels: Collection[FunnelType] | None = None) -> list[Job]:
        """Those whose time has come; an update only after its entry's contact is there."""
        first = OUTBOX.alias("first")
        waits = exists().where(
            first.c.funnel_entry_id == OUTBOX.c.funnel_entry_id,
            first.c.operation_type == Operation.UPSERT_CONTACT.value,
            first.c.status != JobStatus.SUCCESS.value,
        )
        led = true() if funnels is None else _of(funnels)
        return self._jobs(
            _jobs()
            .where(
                OUTBOX.c.status == _PENDING,
                OUTBOX.c.next_attempt_at <= now,
                OUTBOX.c.id > after_id,
                _MAY_GO,
                or_(_UPSERT & led, _UPDATE & ~waits),
            )
            .limit(limit)
        )

    def held(self, funnels: Collection[FunnelType]) -> int:
        """How many wait for a list."""
        query = select(func.count()).select_from(OUTBOX.join(ENTRIES))
        return self._con.execute(query.where(OUTBOX.c.status == _PENDING, _held(funnels))).scalar_one()

    def oldest_pending(self, funnels: Collection[FunnelType]) -> Job | None:
        """Of those that nothing holds."""
        query = _jobs().where(OUTBOX.c.status == _PENDING, _MAY_GO, not_(_held(funnels)))
        found = self._jobs(query.order_by(None).order_by(OUTBOX.c.created_at, OUTBOX.c.id).limit(1))
        return found[0] if found else None

    def with_status(self, statuses: Collection[JobStatus], limit: int | None) -> list[Job]:
        """By id."""
        return self._jobs(_jobs().where(OUTBOX.c.status.in_(sorted(statuses))).limit(limit))

    def imports(self) -> dict[int, datetime]:
        """Those that jobs are part of, and since when."""
        query = select(_PROCESS, func.min(OUTBOX.c.updated_at)).where(OUTBOX.c.status == _IMPORTING).group_by(_PROCESS)
        return dict(self._con.execute(query).all())

    def of_import(self, process_id: int) -> list[Job]:
        """By id; whoever was given up while it began is part of it as well."""
        return self._jobs(_jobs().where(OUTBOX.c.status.in_((_IMPORTING, _DROPPED)), _PROCESS.in_([process_id])))

    def pending(self, ids: Iterable[int]) -> set[int]:
        """Those that are."""
        return self._with(ids, OUTBOX.c.status == _PENDING)

    def counts(self) -> dict[JobStatus, int]:
        """How many there are of each status."""
        query = select(OUTBOX.c.status, func.count()).group_by(OUTBOX.c.status)
        found = {JobStatus(status): many for status, many in self._con.execute(query)}
        return {status: found.get(status, 0) for status in JobStatus}

    def _jobs(self, query: Select[Any]) -> list[Job]:
        return [_job(row) for row in self._con.execute(query).mappings()]

    # ---------------------------------------------------------------- changing

    def note(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        """What became of them."""
        given_up = self._with((one.job_id for one in outcomes), OUTBOX.c.status == _DROPPED)
        alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for outcome in sorted(outcomes, key=lambda one: one.job_id):
            row = _outcome_row(outcome, now)
            # What a person gave up while it was told stays given up, unless it arrived; an import may yet bring it.
            if outcome.job_id in given_up and outcome.status is not JobStatus.SUCCESS:
                if outcome.status is not JobStatus.IMPORTING:
                    continue
                row = {"id": outcome.job_id, "process_id": outcome.process_id}
            # The moment of the next try stays as it was where none is given.
            alike.setdefault(tuple(row), []).append(row)
        for rows in alike.values():
            update_rows(self._con, OUTBOX, rows)
        arrived = [one.job_id for one in outcomes if one.status is JobStatus.SUCCESS and one.job_id in given_up]
        updates = self._ids_of(self._entries_of(arrived, _UPSERT), _UPDATE)
        self._set(updates, [OUTBOX.c.status == _DROPPED], now, JobStatus.PENDING)
        back = [one.job_id for one in outcomes if one.status in (JobStatus.PENDING, JobStatus.FAILED)]
        self._give_up_customers(back, now)
        self._follow(self._entries_of(back, _UPSERT), now)

    def retry(self, ids: Iterable[int] | None, now: datetime) -> int:
        """Failed ones begin anew, and named ones that are part of an import; how many."""
        failed = OUTBOX.c.status == _FAILED
        wanted = set(self._con.execute(select(OUTBOX.c.id).where(failed)).scalars() if ids is None else ids)
        # An update that waits for its contact begins anew with that, and the other way round.
        orphans = self._entries_of(wanted, _UPDATE & failed)
        wanted |= self._ids_of(orphans, _UPSERT & failed)
        not_taken = failed & (OUTBOX.c.last_error == NOT_TAKEN)
        wanted |= self._ids_of(self._entries_of(wanted, _UPSERT & failed), _UPDATE & not_taken)
        self._give_up_customers(wanted, now)
        return self._set(wanted, [OUTBOX.c.status.in_((_FAILED, _IMPORTING))], now, JobStatus.PENDING)

    def drop(self, ids: Iterable[int], now: datetime) -> int:
        """Failed and pending ones are given up, and the updates of contacts with them; how many."""
        alive = OUTBOX.c.status.in_((_PENDING, _FAILED))
        wanted = set(ids)
        contacts = self._entries_of(wanted, _UPSERT)
        wanted |= self._ids_of(self._entries_of(wanted, _UPSERT & alive), _UPDATE & alive)
        done = self._set(wanted, [alive], now, JobStatus.DROPPED)
        self._follow(contacts, now)
        return done

    def _follow(self, entry_ids: Iterable[int], now: datetime) -> None:
        """An update is no more to be told than the contact it is about: failed with it, given up with it."""
        found = self._upserts(entry_ids, (_FAILED, _DROPPED))
        for status, error in ((_FAILED, NOT_TAKEN), (_DROPPED, "")):
            for some in chunks(entry for _, entry, was in found if was == status):
                after = update(OUTBOX).where(OUTBOX.c.funnel_entry_id.in_(some), _UPDATE, OUTBOX.c.status == _PENDING)
                self._con.execute(after.values(status=status, last_error=error, updated_at=now))

    def _give_up_customers(self, ids: Iterable[int], now: datetime) -> None:
        """Whose upsert was under way when they turned out to be customers, and did not arrive: it is not told again."""
        for some in chunks(ids):
            query = select(OUTBOX.c.id).join(ENTRIES).where(OUTBOX.c.id.in_(some), _UPSERT, not_(_MAY_GO))
            theirs = list(self._con.execute(query).scalars())
            alive = OUTBOX.c.status.in_((_PENDING, _FAILED, _IMPORTING))
            self._set(theirs, [alive], now, JobStatus.DROPPED)

    def _set(self, ids: Iterable[int], where: Sequence[ColumnElement[bool]], now: datetime, status: JobStatus) -> int:
        values: dict[str, Any] = {"status": status.value, "updated_at": now}
        if status is JobStatus.PENDING:
            values |= {"retry_count": 0, "next_attempt_at": now, "process_id": None}
        change = update(OUTBOX).where(*where).values(**values)
        return sum(self._con.execute(change.where(OUTBOX.c.id.in_(some))).rowcount for some in chunks(sorted(ids)))

    # MySQL does not update a table that the statement reads elsewhere: it is read first.

    def _entries_of(self, ids: Iterable[int], where: ColumnElement[bool]) -> list[int]:
        queries = (select(OUTBOX.c.funnel_entry_id).where(OUTBOX.c.id.in_(some), where) for some in chunks(sorted(ids)))
        return [entry for query in queries for entry in self._con.execute(query).scalars()]

    def _with(self, ids: Iterable[int], where: ColumnElement[bool]) -> set[int]:
        queries = (select(OUTBOX.c.id).where(OUTBOX.c.id.in_(some), where) for some in chunks(sorted(ids)))
        return {number for query in queries for number in self._con.execute(query).scalars()}

    def _ids_of(self, entry_ids: Iterable[int], where: ColumnElement[bool]) -> set[int]:
        queries = (select(OUTBOX.c.id).where(OUTBOX.c.funnel_entry_id.in_(some), where) for some in chunks(entry_ids))
        return {number for query in queries for number in self._con.execute(query).scalars()}


def chunks(values: Iterable[_T]) -> Iterator[list[_T]]:
    """In order, so many at a time as fit into one question."""
    left = iter(values)
    while some := list(islice(left, AT_ONCE)):
        yield some


def update_rows(con: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Each row by its `id`, many in one statement; all have the same columns. Of several of one id the last counts.

    Not by a list of parameters: for an update, PyMySQL sends a statement for each of its rows.
    """
    left = list({row["id"]: row for row in rows}.values())
    while left:
        # Powers of two, so that few statements are made, and kept: making one takes four times what running it does.
        size = min(CHANGED_AT_ONCE, 1 << (len(left).bit_length() - 1))
        some, left = left[:size], left[size:]
        names = [name for name in some[0] if name != "id"]
        differ = tuple(name for name in names if any(row[name] != some[0][name] for row in some))
        alike = tuple(name for name in names if name not in differ)
        values = {_put(name): some[0][name] for name in alike}
        for place, row in enumerate(some):
            values |= {_put(name, place): row[name] for name in ("id", *differ)}
        con.execute(_change(table, alike, differ, size), values)


@lru_cache(maxsize=32)
def _change(table: Table, alike: tuple[str, ...], differ: tuple[str, ...], rows: int) -> Update:
    """So many rows, by their ids: columns that are `alike` in all of them, and those that `differ`."""
    ids = [bindparam(_put("id", place), type_=table.c.id.type) for place in range(rows)]
    values: dict[str, ColumnElement[Any]] = {name: bindparam(_put(name)) for name in alike}
    for name in differ:
        kind = table.c[name].type
        of_each = ((one, bindparam(_put(name, place), type_=kind)) for place, one in enumerate(ids))
        values[name] = case(*of_each, value=table.c.id)
    return update(table).where(table.c.id.in_(ids)).values(values)


def _put(name: str, place: int | None = None) -> str:
    """The name of a parameter, which may not be that of a column."""
    return f"new_{name}" if place is None else f"new_{name}_{place}"


def _of(funnels: Collection[FunnelType]) -> ColumnElement[bool]:
    return ENTRIES.c.funnel_type.in_(sorted(funnel.value for funnel in funnels))


def _held(funnels: Collection[FunnelType]) -> ColumnElement[bool]:
    """Upserts of other funnels that wait, and what waits for them."""
    first = OUTBOX.alias("first")
    waits = exists().where(
        first.c.funnel_entry_id == OUTBOX.c.funnel_entry_id,
        first.c.operation_type == Operation.UPSERT_CONTACT.value,
        first.c.status == _PENDING,
    )
    return not_(_of(funnels)) & waits


def _jobs() -> Select[Any]:
    return select(OUTBOX, ENTRIES.c.email).join(ENTRIES, ENTRIES.c.id == OUTBOX.c.funnel_entry_id).order_by(OUTBOX.c.id)


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
        "status": _PENDING,
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
