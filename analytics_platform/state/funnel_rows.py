"""Rows of the funnel ledger: entries to columns and back, and how things stand, in one transaction.

Belongs here: SQL. Does not: that of jobs (`funnel_jobs.py`), who may write (`leases.py`), transactions and paging
(`funnels.py`). Imported only when the ledger is used: SQLAlchemy is heavy.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, func, select, update

from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Change, Entry, NewEntry
from analytics_platform.state.database import add_absent, add_if_absent
from analytics_platform.state.entries import utc
from analytics_platform.state.funnel_jobs import FunnelJobs, chunks, update_rows
from analytics_platform.state.funnel_models import ENTRIES, SYNCS

_ENTERED = [ENTRIES.c[name] for name in ("id", "email", "funnel_type", "user_id", "test_id", "entered_at")]
_ENTRY = [*_ENTERED, ENTRIES.c.certificate_purchased_at, ENTRIES.c.customer_since]
_OPEN = and_(ENTRIES.c.certificate_purchased == 0, ENTRIES.c.already_customer == 0)


class FunnelRows:
    """The ledger's tables within one transaction."""

    def __init__(self, con: Connection) -> None:
        self._con = con
        self._outbox = FunnelJobs(con)

    # ---------------------------------------------------------------- entries

    def known(self, funnel: FunnelType, emails: Iterable[str]) -> set[str]:
        """Those of the people who are in the funnel."""
        found: set[str] = set()
        for some in chunks(emails):
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
        self._outbox.welcome(self._numbers([entry for entry in added if entry.customer_since is None]), now)
        return many

    def entries(self, where: Sequence[ColumnElement[bool]], after_id: int, limit: int) -> list[Entry]:
        """Those after that id, by id."""
        query = select(*_ENTRY).where(ENTRIES.c.id > after_id, *where).order_by(ENTRIES.c.id).limit(limit)
        return [_entry(row) for row in self._con.execute(query)]

    def settle(self, changes: Iterable[Change], now: datetime) -> int:
        """The entries that were still open, with the jobs of purchases; how many."""
        wanted = {change.entry_id: change for change in changes}
        found: list[Entry] = []
        for some in chunks(wanted):
            query = select(*_ENTERED).where(ENTRIES.c.id.in_(some), _OPEN).order_by(ENTRIES.c.id).with_for_update()
            found += [_entry(row) for row in self._con.execute(query)]
        if not found:
            return 0
        rows = [_settled(wanted[entry.id]) for entry in found]
        for purchased in (1, 0):  # all but one column is alike in each of the two
            update_rows(self._con, ENTRIES, [row for row in rows if row["certificate_purchased"] == purchased])
        bought = ((entry, wanted[entry.id].purchased_at) for entry in found)
        self._outbox.bought([(entry, moment) for entry, moment in bought if moment is not None], now)
        self._outbox.spare(entry.id for entry in found if wanted[entry.id].customer_since is not None)
        return len(found)

    def unpublished(self, limit: int) -> list[datetime]:
        """When those entered whom the warehouse does not have as they are, by id."""
        query = select(ENTRIES.c.entered_at).where(ENTRIES.c.published == 0).order_by(ENTRIES.c.id).limit(limit)
        return list(self._con.execute(query).scalars())

    def unpublished_since(self) -> datetime | None:
        """When the first of those entered; None without any."""
        found: datetime | None = self._con.execute(
            select(func.min(ENTRIES.c.entered_at)).where(ENTRIES.c.published == 0)
        ).scalar()
        return found

    def publish(self, ids: Iterable[int]) -> None:
        """The warehouse has them."""
        for some in chunks(ids):
            self._con.execute(update(ENTRIES).where(ENTRIES.c.id.in_(some)).values(published=1))

    def unpublish_all(self) -> None:
        """The warehouse has none of them."""
        self._con.execute(update(ENTRIES).where(ENTRIES.c.published != 0).values(published=0))

    def _numbers(self, entries: Sequence[NewEntry]) -> Iterator[tuple[int, NewEntry]]:
        wanted = {(entry.email, entry.funnel.value): entry for entry in entries}
        for some in chunks(wanted):
            query = select(ENTRIES.c.id, ENTRIES.c.email, ENTRIES.c.funnel_type).where(
                ENTRIES.c.email.in_(sorted({email for email, _ in some}))
            )
            for row in self._con.execute(query.order_by(ENTRIES.c.id)).all():
                if entry := wanted.get((row.email, row.funnel_type)):
                    yield row.id, entry

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


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else utc(moment)


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


def _entry(row: Sequence[Any]) -> Entry:
    """Of `_ENTRY`, or of an open one's `_ENTERED`. By place: asked by name, a row takes a third longer."""
    number, email, kind, *others = row
    return Entry(number, email, FunnelType(kind), *others)
