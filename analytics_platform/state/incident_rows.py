"""The incident ledger's rows: cursors, incidents and their history to columns and back, in one transaction.

Belongs here: SQL. Does not: rules (`incidents.py`). Imported only when the ledger is used: SQLAlchemy is heavy.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, func, insert, select, update

from analytics_platform.alerts.incident import Event, Incident, Reason, Status
from analytics_platform.alerts.incident_json import decode, encode
from analytics_platform.state.database import add_if_absent
from analytics_platform.state.incidents import Change, Cursor
from analytics_platform.state.models import ALERT_CURSORS, INCIDENT_CHANGES, INCIDENTS


class Rows:
    """The ledger's tables within one transaction.

    Cursors are locked before incidents, both in one order everywhere: so two writers wait, and never for each other.
    """

    def __init__(self, con: Connection) -> None:
        self._con = con

    # ----------------------------------------------------------------- cursors

    def cursors(self, sources: Collection[str] | None = None, *, lock: bool = False) -> dict[str, Cursor]:
        """By source; those that were never moved are not there."""
        query = select(ALERT_CURSORS).order_by(ALERT_CURSORS.c.source)
        if sources is not None:
            query = query.where(ALERT_CURSORS.c.source.in_(sources))
        rows = self._con.execute(query.with_for_update() if lock else query).mappings()
        return {row["source"]: _cursor(row) for row in rows}

    def move(self, cursor: Cursor, stored: Cursor | None, now: datetime) -> bool:
        """From what is stored, and locked; False when another has made the first step meanwhile."""
        values: dict[str, Any] = {
            "judged_until": cursor.judged_until,
            "held": dict(cursor.held),
            "lateness": dict(cursor.lateness),
            "version": 1 + (stored.version if stored else 0),
            "updated_at": now,
        }
        if stored is None:
            return add_if_absent(self._con, ALERT_CURSORS, {"source": cursor.source, **values})
        this = ALERT_CURSORS.c.source == cursor.source
        self._con.execute(update(ALERT_CURSORS).where(this).values(**values))
        return True

    # --------------------------------------------------------------- incidents

    def get(self, incident_id: int, *, lock: bool = False) -> Incident | None:
        """The one of that id."""
        return next(iter(self.find(INCIDENTS.c.id == incident_id, lock=lock)), None)

    def named(self, key: str) -> Incident | None:
        """The one of that key."""
        return next(iter(self.find(INCIDENTS.c.key == key)), None)

    def open(self, *, lock: bool = False) -> list[Incident]:
        """Those that are not over."""
        return self.find(~INCIDENTS.c.over, lock=lock)

    def unsaid(self) -> list[Incident]:
        """Those with something to say."""
        return self.find(INCIDENTS.c.revision > INCIDENTS.c.said_revision, INCIDENTS.c.status != Status.PENDING.value)

    def find(
        self, *where: ColumnElement[bool], lock: bool = False, newest: bool = False, limit: int | None = None
    ) -> list[Incident]:
        """Ordered by id."""
        order = (INCIDENTS.c.started.desc(), INCIDENTS.c.id.desc()) if newest else (INCIDENTS.c.id,)
        query = select(INCIDENTS).where(*where).order_by(*order).limit(limit)
        return [_incident(row) for row in self._con.execute(query.with_for_update() if lock else query).mappings()]

    def listing(
        self, since: datetime | None, until: datetime | None, statuses: Collection[Status], limit: int | None
    ) -> list[Incident]:
        """The newest first; pending ones only when asked for."""
        where: list[ColumnElement[bool]] = []
        if since is not None:
            where.append(INCIDENTS.c.started >= since)
        if until is not None:
            where.append(INCIDENTS.c.started < until)
        wanted = sorted(statuses) if statuses else [s.value for s in Status if s is not Status.PENDING]
        where.append(INCIDENTS.c.status.in_(wanted))
        return self.find(*where, newest=True, limit=limit)

    def add(self, incident: Incident, now: datetime) -> int | None:
        """Its id; None when there is one of that key: nothing is opened twice."""
        row = {**_columns(incident), "said_revision": 0, "version": 1, "created_at": now, "updated_at": now}
        if not add_if_absent(self._con, INCIDENTS, row):
            return None
        return int(self._con.execute(select(INCIDENTS.c.id).where(INCIDENTS.c.key == incident.key)).scalar_one())

    def store(self, incident: Incident, now: datetime) -> None:
        """In the place of the locked one of that id. What readers were told is not touched."""
        values = {**_columns(incident), "version": incident.version + 1, "updated_at": now}
        self._con.execute(update(INCIDENTS).where(INCIDENTS.c.id == incident.id).values(**values))

    def drop(self, incidents: Iterable[Incident]) -> None:
        """They never were."""
        ids = sorted(incident.id for incident in incidents if incident.id is not None)
        if ids:
            self._con.execute(delete(INCIDENTS).where(INCIDENTS.c.id.in_(ids)))

    def said(self, incident_id: int, revision: int, now: datetime) -> bool:
        """Readers have it now; False when they had it, or there is none such."""
        newer = and_(
            INCIDENTS.c.id == incident_id, INCIDENTS.c.said_revision < revision, INCIDENTS.c.revision >= revision
        )
        done = self._con.execute(update(INCIDENTS).where(newer).values(said_revision=revision, said_at=now))
        return done.rowcount == 1

    def forget(self, before: datetime) -> int:
        """Delete what is over and said and was closed before; how many.

        Never the newest: SQLite would give its number to another, which readers would take for the same.
        """
        newest = select(func.max(INCIDENTS.c.id)).scalar_subquery()
        gone = and_(
            INCIDENTS.c.over,
            INCIDENTS.c.closed_at < before,
            INCIDENTS.c.said_revision >= INCIDENTS.c.revision,
            INCIDENTS.c.id < newest,
        )
        return self._con.execute(delete(INCIDENTS).where(gone)).rowcount

    # ----------------------------------------------------------------- history

    def note(self, lines: Iterable[tuple[int, Event]]) -> None:
        """Lines of histories, by id of the incident."""
        rows = [
            {
                "incident_id": incident_id,
                "revision": event.revision,
                "moment": event.moment,
                "what": event.reason.value,
                "loud": event.loud,
                "by": event.by,
                "about": event.about,
            }
            for incident_id, event in lines
        ]
        if rows:
            self._con.execute(insert(INCIDENT_CHANGES), rows)

    def history(self, incident_id: int) -> list[Change]:
        """Oldest first."""
        query = (
            select(INCIDENT_CHANGES)
            .where(INCIDENT_CHANGES.c.incident_id == incident_id)
            .order_by(INCIDENT_CHANGES.c.id)
        )
        return [
            Change(row["moment"], row["revision"], Reason(row["what"]), row["loud"], row["by"], row["about"])
            for row in self._con.execute(query).mappings()
        ]


def _columns(incident: Incident) -> dict[str, Any]:
    return {
        "key": incident.key,
        "kind": incident.kind.value,
        "status": incident.status.value,
        "over": incident.over,
        "started": incident.started,
        "opened_at": incident.opened_at,
        "closed_at": incident.closed_at,
        "revision": incident.revision,
        "loud_revision": incident.loud_revision,
        "body": encode(incident),
    }


def _incident(row: RowMapping) -> Incident:
    body: Mapping[str, Any] = row["body"]
    return decode(body, id=row["id"], said_revision=row["said_revision"], version=row["version"])


def _cursor(row: RowMapping) -> Cursor:
    return Cursor(row["source"], row["judged_until"], row["held"], row["lateness"], row["version"])
