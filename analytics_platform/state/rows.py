"""The run ledger's rows: entries to columns and back, in one transaction.

Belongs here: SQL. Does not: rules (`runs.py`). Imported only when the ledger is used: SQLAlchemy is heavy.
"""

from collections.abc import Collection
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, insert, select, update

from analytics_platform.cadence import Period
from analytics_platform.state.database import StateError, add_if_absent
from analytics_platform.state.entries import Change, Entry, Status
from analytics_platform.state.models import CHANGES, CURSORS, PERIODS
from analytics_platform.state.owners import Owner

# Fields of an entry that are columns of the same name and type.
_SAME = tuple(n for n in Entry.__dataclass_fields__ if n in PERIODS.c and n not in ("status", "numbers", "becomes"))


class Rows:
    """The ledger's tables within one transaction."""

    def __init__(self, con: Connection) -> None:
        self._con = con

    def cursor(self, report: str) -> date | None:
        """Where the report's cursor is."""
        found: date | None = self._con.execute(
            select(CURSORS.c.settled_until).where(CURSORS.c.report == report)
        ).scalar()
        return found

    def cursors(self) -> dict[str, date]:
        """Where every report's cursor is."""
        return {row.report: row.settled_until for row in self._con.execute(select(CURSORS))}

    def move_cursor(self, report: str, until: date) -> None:
        """Forward, or not at all."""
        if not add_if_absent(self._con, CURSORS, {"report": report, "settled_until": until}):
            behind = and_(CURSORS.c.report == report, CURSORS.c.settled_until < until)
            self._con.execute(update(CURSORS).where(behind).values(settled_until=until))

    def find(self, report: str, period_end: date, *, lock: bool = False) -> Entry | None:
        """The entry; with `lock`, nobody else changes it before this transaction ends."""
        query = select(PERIODS).where(_key(report, period_end))
        row = self._con.execute(query.with_for_update() if lock else query).mappings().first()
        return None if row is None else _entry(row)

    def find_all(
        self, report: str | None, since: date | None, statuses: Collection[Status], limit: int | None
    ) -> list[Entry]:
        """The newest period first, then by report."""
        query = select(PERIODS).order_by(PERIODS.c.period_last.desc(), PERIODS.c.report).limit(limit)
        if report is not None:
            query = query.where(PERIODS.c.report == report)
        if since is not None:
            query = query.where(PERIODS.c.period_last >= since)
        if statuses:
            query = query.where(PERIODS.c.status.in_(sorted(statuses)))
        return [_entry(row) for row in self._con.execute(query).mappings()]

    def find_or_add(self, entry: Entry, run_id: str) -> tuple[Entry, bool]:
        """The locked entry of that report and period, or this one, added with its history; whether it was added."""
        found = self.find(entry.report, entry.period.last, lock=True)
        if found is None and add_if_absent(self._con, PERIODS, _columns(entry)):
            self.note(entry, entry.status, entry.reason, entry.updated_at, run_id)
            return entry, True
        # PostgreSQL: another transaction has added it in between.
        found = found or self.find(entry.report, entry.period.last, lock=True)
        if found is None:
            raise StateError(f"the ledger's row of {entry.report}, {entry.period} vanished while it was written")
        return found, False

    def store(self, before: Entry, after: Entry, run_id: str) -> Entry:
        """Write what differs; a change of status also goes into the history."""
        old, new = _columns(before), _columns(after)
        changed = {name: value for name, value in new.items() if value != old[name]}
        if changed:
            self._con.execute(update(PERIODS).where(_key(before.report, before.period.last)).values(**changed))
        if before.status is not after.status:
            self.note(after, after.status, after.reason, after.updated_at, run_id)
        return after

    def note(self, entry: Entry, status: Status, reason: str, moment: datetime, run_id: str) -> None:
        """A line of the entry's history."""
        self._con.execute(
            insert(CHANGES).values(
                report=entry.report,
                period_last=entry.period.last,
                moment=moment,
                status=status.value,
                reason=reason,
                run_id=run_id,
            )
        )

    def history(self, report: str, period_end: date) -> list[Change]:
        """Oldest first."""
        query = (
            select(CHANGES.c.moment, CHANGES.c.status, CHANGES.c.reason, CHANGES.c.run_id)
            .where(CHANGES.c.report == report, CHANGES.c.period_last == period_end)
            .order_by(CHANGES.c.id)
        )
        return [Change(r.moment, Status(r.status), r.reason, r.run_id) for r in self._con.execute(query)]


def _key(report: str, period_end: date) -> ColumnElement[bool]:
    return and_(PERIODS.c.report == report, PERIODS.c.period_last == period_end)


def _columns(entry: Entry) -> dict[str, Any]:
    owner = entry.owner
    return {
        **{name: getattr(entry, name) for name in _SAME},
        "period_first": entry.period.first,
        "period_last": entry.period.last,
        "status": entry.status.value,
        "numbers": [dict(number) for number in entry.numbers],
        "becomes": entry.becomes and entry.becomes.value,
        "run_id": owner and owner.run_id,
        "host": owner and owner.host,
        "pid": owner and owner.pid,
        "lock": owner and owner.lock,
    }


def _entry(row: RowMapping) -> Entry:
    return Entry(
        period=Period(row["period_first"], row["period_last"]),
        status=Status(row["status"]),
        numbers=tuple(row["numbers"]),
        becomes=Status(row["becomes"]) if row["becomes"] else None,
        owner=None if row["run_id"] is None else Owner(row["run_id"], row["host"], row["pid"], row["lock"]),
        **{name: row[name] for name in _SAME},
    )
