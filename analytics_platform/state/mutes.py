"""Mutes of metrics and slices: nothing loud of them for a time. (Those of one incident are part of it.)

Belongs here: storing and finding them. Does not: what is loud (`alerts/loudness.py`).
"""

from dataclasses import replace
from datetime import datetime

from analytics_platform.alerts.incident import Mute
from analytics_platform.state.database import Database
from analytics_platform.state.entries import utc

_PATTERN = ("service", "metric", "dimension", "value")


class Mutes:
    """The mutes of one database. Moments are aware. Methods raise StateError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, mute: Mute, now: datetime) -> Mute:
        """The mute with its id. One of the same series that is in force is replaced.

        Raises ValueError when it ends before it begins.
        """
        from sqlalchemy import delete, insert

        from analytics_platform.state.models import ALERT_MUTES

        now, until = utc(now), utc(mute.until)
        if until <= now:
            raise ValueError(f"a mute until {until:%Y-%m-%d %H:%M} UTC is over already; name a later moment")
        values = {name: getattr(mute, name) for name in (*_PATTERN, "by", "reason")}
        with self._database.write() as con:
            same = (ALERT_MUTES.c[name] == values[name] for name in _PATTERN)
            con.execute(delete(ALERT_MUTES).where(*same, ALERT_MUTES.c.until > now))
            added = insert(ALERT_MUTES).values(**values, until=until, created_at=now).returning(ALERT_MUTES.c.id)
            return replace(mute, until=until, id=int(con.execute(added).scalar_one()))

    def remove(self, mute_id: int) -> bool:
        """Whether there was one."""
        from sqlalchemy import delete

        from analytics_platform.state.models import ALERT_MUTES

        with self._database.write() as con:
            return con.execute(delete(ALERT_MUTES).where(ALERT_MUTES.c.id == mute_id)).rowcount == 1

    def active(self, now: datetime) -> tuple[Mute, ...]:
        """Those in force, the first to end first."""
        from sqlalchemy import select

        from analytics_platform.state.models import ALERT_MUTES

        query = select(ALERT_MUTES).where(ALERT_MUTES.c.until > utc(now))
        with self._database.read() as con:
            rows = con.execute(query.order_by(ALERT_MUTES.c.until, ALERT_MUTES.c.id)).mappings()
            return tuple(
                Mute(row["until"], **{name: row[name] for name in (*_PATTERN, "by", "reason", "id")}) for row in rows
            )

    def forget(self, before: datetime) -> int:
        """Delete those that ended before that moment; how many."""
        from sqlalchemy import delete

        from analytics_platform.state.models import ALERT_MUTES

        with self._database.write() as con:
            return con.execute(delete(ALERT_MUTES).where(ALERT_MUTES.c.until < utc(before))).rowcount
