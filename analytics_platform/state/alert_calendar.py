"""The calendar of alerts: holidays, releases and expected events, entered by people or left by their verdicts.

Belongs here: storing and finding entries. Does not: what an entry changes (`alerts/occasions.py`).
"""

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from analytics_platform.alerts.occasions import Occasion, OccasionKind
from analytics_platform.state.database import Database
from analytics_platform.state.entries import utc

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping


class AlertCalendar:
    """The entries of one database. Moments are aware. Methods raise StateError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, occasion: Occasion, now: datetime) -> Occasion:
        """Enter it; the entry with its id. The same name, kind and time is one entry: it is then replaced."""
        with self._database.write() as con:
            return add_occasion(con, occasion, utc(now))

    def remove(self, occasion_id: int) -> bool:
        """Whether there was one."""
        from sqlalchemy import delete

        from analytics_platform.state.models import ALERT_CALENDAR

        with self._database.write() as con:
            return con.execute(delete(ALERT_CALENDAR).where(ALERT_CALENDAR.c.id == occasion_id)).rowcount == 1

    def entries(self, since: datetime | None = None, until: datetime | None = None) -> list[Occasion]:
        """Those that touch [since, until), by their start."""
        from sqlalchemy import select

        from analytics_platform.state.models import ALERT_CALENDAR

        query = select(ALERT_CALENDAR).order_by(ALERT_CALENDAR.c.starts, ALERT_CALENDAR.c.id)
        if since is not None:
            query = query.where(ALERT_CALENDAR.c.ends > utc(since))
        if until is not None:
            query = query.where(ALERT_CALENDAR.c.starts < utc(until))
        with self._database.read() as con:
            return [_occasion(row) for row in con.execute(query).mappings()]


def add_occasion(con: "Connection", occasion: Occasion, now: datetime) -> Occasion:
    """Within a transaction: see `AlertCalendar.add`."""
    from sqlalchemy import and_, insert, select, update

    from analytics_platform.state.models import ALERT_CALENDAR

    values: dict[str, Any] = {
        "name": occasion.name,
        "kind": occasion.kind.value,
        "starts": occasion.starts,
        "ends": occasion.ends,
        "services": list(occasion.services),
        "metrics": list(occasion.metrics),
        "slack": occasion.slack,
        "created_by": occasion.created_by,
    }
    same = and_(*(ALERT_CALENDAR.c[name] == values[name] for name in ("name", "kind", "starts", "ends")))
    found = con.execute(select(ALERT_CALENDAR.c.id).where(same).with_for_update()).scalar()
    if found is not None:
        con.execute(update(ALERT_CALENDAR).where(ALERT_CALENDAR.c.id == found).values(**values))
    else:
        added = insert(ALERT_CALENDAR).values(**values, created_at=now).returning(ALERT_CALENDAR.c.id)
        found = con.execute(added).scalar_one()
    return replace(occasion, id=int(found))


def remove_occasion(con: "Connection", occasion: Occasion) -> None:
    """Within a transaction: take the entry of that name, kind and start out, if it is there."""
    from sqlalchemy import and_, delete

    from analytics_platform.state.models import ALERT_CALENDAR

    values = {"name": occasion.name, "kind": occasion.kind.value, "starts": occasion.starts}
    con.execute(delete(ALERT_CALENDAR).where(and_(*(ALERT_CALENDAR.c[name] == it for name, it in values.items()))))


def _occasion(row: "RowMapping") -> Occasion:
    return Occasion(
        name=row["name"],
        kind=OccasionKind(row["kind"]),
        starts=row["starts"],
        ends=row["ends"],
        services=tuple(row["services"]),
        metrics=tuple(row["metrics"]),
        slack=row["slack"],
        created_by=row["created_by"],
        id=row["id"],
    )
