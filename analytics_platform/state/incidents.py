"""The incident ledger: how far each source is judged, what is wrong, and what readers know of it.

Belongs here: that a bucket is judged once and nothing is lost. Does not: what becomes of incidents (`alerts/`), SQL
(`incident_rows.py`), clocks: the moment comes as an argument.

A step is one transaction: cursors move and incidents change together or not at all. A process takes it only from the
cursors and the incidents that it has seen; who comes second writes nothing, reads again and finds the bucket judged.
What a person does meanwhile (acknowledge, mute, close, judge) is such a change, too. What readers were told is not: it
is written beside, so a delivery and a step never wait for each other's outcome.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from analytics_platform.alerts import by_hand, occasions
from analytics_platform.alerts.feedback import Judgement, Verdict, worst_scores
from analytics_platform.alerts.incident import Event, Incident, Reason, Status, Step
from analytics_platform.alerts.incident_json import encode
from analytics_platform.state.database import Database, StateError
from analytics_platform.state.entries import utc

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from analytics_platform.state.incident_rows import Rows

Json = Mapping[str, Any]
_EMPTY: Json = MappingProxyType({})


@dataclass(frozen=True)
class Cursor:
    """How far a source is judged. `judged_until`: end of the newest judged bucket, aware, UTC.

    `held`, `lateness`: what the tick keeps from one bucket to the next, as plain JSON. `version` grows with every step;
    a cursor that was never stored has 0.
    """

    source: str
    judged_until: datetime
    held: Json = field(default_factory=lambda: _EMPTY)
    lateness: Json = field(default_factory=lambda: _EMPTY)
    version: int = 0


@dataclass(frozen=True)
class Change:
    """A line of an incident's history. `moment`: the bucket's start, or when a person did it. `by`: empty: nobody."""

    moment: datetime
    revision: int
    what: Reason
    loud: bool
    by: str
    about: str


class Incidents:
    """The incidents of one database. Every `now` is aware. Methods raise StateError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ----------------------------------------------------------------- reading

    def open(self) -> list[Incident]:
        """What the next bucket begins with: everything that is not over, also what is pending or still lingers."""
        with self._rows() as rows:
            return rows.open()

    def standing(self) -> tuple[dict[str, Cursor], list[Incident]]:
        """All cursors and what `open` gives: a whole look.

        Cursors are read first: on PostgreSQL a step in between makes them too old, and `commit` refuses.
        """
        with self._rows() as rows:
            return rows.cursors(), rows.open()

    def cursor(self, source: str) -> Cursor | None:
        """How far the source is judged; None: never."""
        with self._rows() as rows:
            return rows.cursors([source]).get(source)

    def find(self, which: int | str) -> Incident | None:
        """The incident of that id or key."""
        with self._rows() as rows:
            return rows.get(which) if isinstance(which, int) else rows.named(which)

    def listing(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        statuses: Collection[Status] = (),
        limit: int | None = None,
    ) -> list[Incident]:
        """Incidents that started within [since, until), the newest first; pending ones only by their status."""
        since, until = since and utc(since), until and utc(until)
        with self._rows() as rows:
            return rows.listing(since, until, statuses, limit)

    def unsaid(self) -> list[Incident]:
        """Those of which readers do not know the newest revision, the oldest first. `loud`: whether it may sound."""
        with self._rows() as rows:
            return rows.unsaid()

    def history(self, incident_id: int) -> list[Change]:
        """Everything that was said of it or done to it, oldest first."""
        with self._rows() as rows:
            return rows.history(incident_id)

    # ------------------------------------------------------------------- steps

    def commit(
        self, expected: Mapping[str, Cursor | None], new: Mapping[str, Cursor], step: Step, now: datetime
    ) -> bool:
        """Move the cursors and change the incidents in one transaction; False when somebody else has been faster.

        `expected`: the cursors as read, by source, None for a source that had none; `new`: as they are to be; sources
        may be none, when only lateness is to be written. False, and nothing is written, when a cursor or an incident of
        the step is not as it was read. Raises ValueError when a new cursor is not among the expected, or goes back.
        """
        now = utc(now)
        for source, cursor in new.items():
            before = expected.get(source)
            if source not in expected or cursor.source != source:
                raise ValueError(f"the cursor of {source} is moved without saying from where")
            if utc(cursor.judged_until) < (before.judged_until if before else cursor.judged_until):
                raise ValueError(f"the cursor of {source} would go back to {cursor.judged_until}")
        try:
            with self._rows(write=True) as rows:
                stored = rows.cursors(expected, lock=True) if expected else {}
                for source, before in expected.items():
                    if _place(stored.get(source)) != _place(before):
                        raise _RaceError
                for source in sorted(new):
                    if not rows.move(new[source], stored.get(source), now):
                        raise _RaceError
                self._write(rows, step, now)
        except _RaceError:
            return False
        return True

    def _write(self, rows: "Rows", step: Step, now: datetime) -> None:
        there = {incident.key: incident for incident in rows.open(lock=True)}
        ids: dict[str, int] = {}
        for incident in (*step.incidents, *step.dropped):
            found = there.get(incident.key)
            if incident.id is not None and (found is None or found.version != incident.version):
                raise _RaceError
        for incident in step.incidents:
            found = there.get(incident.key)
            if found is None:
                # One of that key that is over was judged once before: it is not opened again.
                added = rows.add(incident, now)
                if added is not None:
                    ids[incident.key] = added
                continue
            if incident.id is None:
                raise _RaceError
            ids[incident.key] = incident.id
            if encode(found) != encode(incident):
                rows.store(incident, now)
        rows.drop(step.dropped)
        rows.note((ids[event.key], event) for event in step.events if event.key in ids)

    # ----------------------------------------------------------------- telling

    def said(self, incident_id: int, revision: int, now: datetime) -> bool:
        """Readers have that revision; False when they had it or a newer one already."""
        with self._rows(write=True) as rows:
            return rows.said(incident_id, revision, utc(now))

    # ------------------------------------------------------------------ people

    def acknowledge(self, incident_id: int, by: str, now: datetime) -> Incident:
        """Somebody is at it. The incident afterwards, as of all methods below; StateError when there is none such."""
        moment = utc(now)
        return self._by_hand(incident_id, moment, lambda one: by_hand.acknowledged(one, by, moment))

    def mute(self, incident_id: int, until: datetime, by: str, now: datetime) -> Incident:
        """Nothing loud of it before `until`."""
        moment, end = utc(now), utc(until)
        return self._by_hand(incident_id, moment, lambda one: by_hand.muted(one, end, by, moment))

    def unmute(self, incident_id: int, by: str, now: datetime) -> Incident:
        """It may be loud again."""
        moment = utc(now)
        return self._by_hand(incident_id, moment, lambda one: by_hand.unmuted(one, by, moment))

    def close_by_hand(self, incident_id: int, by: str, now: datetime) -> Incident:
        """It is over; as long as it goes on as it was, nothing of it is news."""
        moment = utc(now)
        return self._by_hand(incident_id, moment, lambda one: by_hand.closed(one, by, moment))

    def feedback(self, incident_id: int, verdict: Verdict, by: str, now: datetime) -> Incident:
        """What it was: into the incident, the judgements and, when it was expected, the calendar; one transaction.

        The same verdict once more changes nothing; another one takes back what the one before changed.
        """
        from analytics_platform.state.alert_calendar import add_occasion, remove_occasion
        from analytics_platform.state.feedback import add_judgement

        moment = utc(now)

        def also(con: "Connection", before: Incident, after: Incident) -> None:
            if before.verdict == after.verdict:
                return
            add_judgement(con, Judgement(before.key, verdict, moment, by, worst_scores(before)))
            entry = occasions.expected(before, by, moment)
            if verdict is Verdict.EXPECTED:
                add_occasion(con, entry, moment)
            elif before.verdict == Verdict.EXPECTED:
                remove_occasion(con, entry)

        return self._by_hand(incident_id, moment, lambda one: by_hand.judged(one, verdict, by, moment), also)

    def forget(self, before: datetime) -> int:
        """Delete what was closed before that moment, unless something of it is still to be said; how many."""
        with self._rows(write=True) as rows:
            return rows.forget(utc(before))

    def _by_hand(
        self,
        incident_id: int,
        now: datetime,
        change: Callable[[Incident], tuple[Incident, Event | None]],
        also: "Callable[[Connection, Incident, Incident], None] | None" = None,
    ) -> Incident:
        from analytics_platform.state.incident_rows import Rows

        with self._database.write() as con:
            rows = Rows(con)
            before = rows.get(incident_id, lock=True)
            if before is None:
                raise StateError(f"there is no incident {incident_id}; `alerts list` shows those there are")
            after, event = change(before)
            if event is None:
                return before
            rows.store(after, now)
            rows.note([(incident_id, event)])
            if also is not None:
                also(con, before, after)
            stored = rows.get(incident_id)
            if stored is None:
                raise StateError(f"incident {incident_id} vanished while it was written")
            return stored

    @contextmanager
    def _rows(self, *, write: bool = False) -> "Iterator[Rows]":
        from analytics_platform.state.incident_rows import Rows

        with self._database.write() if write else self._database.read() as con:
            yield Rows(con)


class _RaceError(Exception):
    """Somebody else has been faster: the transaction is undone."""


def _place(cursor: Cursor | None) -> tuple[datetime, int] | None:
    return None if cursor is None else (utc(cursor.judged_until), cursor.version)
