"""What the owner is to be told: every problem once, again while it lasts, and when it is over.

Belongs here: which problems are the same, and which are to be told now. Does not: what is a problem, words and channels
for telling it.
"""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from analytics_platform.redaction import redact
from analytics_platform.state.database import Database
from analytics_platform.state.entries import utc

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, RowMapping

# What differs between two sightings of one problem. In this order: an address or a path may hold an id, an id digits.
_VARYING = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+",
        r"(?<![\w/])(?:[a-z]:|~|\.{1,2})?(?:[/\\][\w.@%+=,-]+)+[/\\]?",
        r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b",
        r"\b0x[0-9a-f]+\b|\b(?=[a-f]*[0-9])[0-9a-f]{7,}\b",
        r"\b\d+(?:[.,]\d+)?\s*(?:ns|us|µs|ms|s|secs?|seconds?|mins?|minutes?|h|hours?|с|мс|сек|мин|ч)\b",
        r"\d+(?:[.,:]\d+)*",
    )
)
# Characters of a text that tell it from others; after them come tracebacks, which differ with every version.
_TELLING = 2000


@dataclass(frozen=True)
class Problem:
    """Something that is wrong, or was. Moments are aware, UTC; `times` is how often it was seen since `first_seen`."""

    fingerprint: str
    subject: str  # "report feed_daily 2026-11-20", "job daily_metrics"
    kind: str  # "failed", "late", "tick", "missing"
    owner_of: str  # the report it concerns; empty when none
    text: str  # as it was last said
    url: str  # where to look; empty when nowhere
    first_seen: datetime
    last_seen: datetime
    times: int = 1
    told_at: datetime | None = None
    resolved_at: datetime | None = None
    resolution: str = ""
    recovery_told_at: datetime | None = None


@dataclass(frozen=True)
class Digest:
    """What is to be told now, each part in the order in which the problems were first seen."""

    new: list[Problem] = field(default_factory=list)  # open, never told
    lasting: list[Problem] = field(default_factory=list)  # open, told long ago
    recovered: list[Problem] = field(default_factory=list)  # resolved since it was told

    def __bool__(self) -> bool:
        return bool(self.new or self.lasting or self.recovered)


class Problems:
    """The problems of one database. Every `now` is aware. Methods raise StateError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, subject: str, kind: str, text: str, now: datetime, *, report: str = "", url: str = "") -> Problem:
        """Something is wrong (again). The same problem counts up; a resolved one opens anew, to be told as new.

        The same is: same subject, same kind, and a text that differs only in numbers, ids, paths and durations.
        """
        from sqlalchemy import update

        from analytics_platform.state.database import add_if_absent
        from analytics_platform.state.models import PROBLEMS

        now, text = utc(now), redact(text)
        mark = fingerprint(subject, kind, text)
        new = Problem(mark, subject, kind, report, text, url, now, now)
        with self._database.write() as con:
            same = PROBLEMS.c.fingerprint == mark
            stored = None
            while stored is None:  # a second time when `forget` has just deleted it
                if add_if_absent(con, PROBLEMS, vars(new)):
                    return new
                stored = next(iter(_find(con, same, lock=True)), None)
            if stored.resolved_at is None:
                said = {"text": text, "url": url or stored.url, "last_seen": now}
                con.execute(update(PROBLEMS).where(same).values(times=stored.times + 1, **said))
            else:
                con.execute(update(PROBLEMS).where(same).values(**vars(new)))
            return _find(con, same)[0]

    def resolve(self, subject: str, now: datetime, resolution: str, *, kind: str | None = None) -> list[Problem]:
        """Close every open problem of the subject, or those of one kind; the problems, closed. Cheap when none is."""
        from sqlalchemy import and_, update

        from analytics_platform.state.models import PROBLEMS

        now = utc(now)
        wanted = and_(PROBLEMS.c.subject == subject, PROBLEMS.c.resolved_at.is_(None))
        if kind is not None:
            wanted = and_(wanted, PROBLEMS.c.kind == kind)
        with self._database.read() as con:
            if not _find(con, wanted):
                return []
        with self._database.write() as con:
            marks = [problem.fingerprint for problem in _find(con, wanted, lock=True)]
            closed = PROBLEMS.c.fingerprint.in_(marks)
            con.execute(update(PROBLEMS).where(closed).values(resolved_at=now, resolution=resolution))
            return _find(con, closed)

    def open(self) -> list[Problem]:
        """What is wrong now, the oldest first."""
        from analytics_platform.state.models import PROBLEMS

        with self._database.read() as con:
            return _find(con, PROBLEMS.c.resolved_at.is_(None))

    def to_tell(self, now: datetime, again_after: timedelta) -> Digest:
        """What the owner does not know yet, and what has lasted for `again_after` since it was last told.

        What was resolved before it was ever told is not told.
        """
        from sqlalchemy import and_, or_

        from analytics_platform.state.models import PROBLEMS

        known, over = PROBLEMS.c.told_at.is_not(None), PROBLEMS.c.resolved_at.is_not(None)
        with self._database.read() as con:
            found = _find(con, or_(~over, and_(known, PROBLEMS.c.recovery_told_at.is_(None))))
        still = [problem for problem in found if problem.resolved_at is None]
        long_ago = utc(now) - again_after
        return Digest(
            new=[problem for problem in still if problem.told_at is None],
            lasting=[problem for problem in still if problem.told_at is not None and problem.told_at <= long_ago],
            recovered=[problem for problem in found if problem.resolved_at is not None],
        )

    def told(self, digest: Digest, now: datetime) -> None:
        """The owner knows all of the digest, in one transaction. What has opened anew since then is left to be told."""
        from sqlalchemy import and_, update

        from analytics_platform.state.models import PROBLEMS

        now = utc(now)
        stamps = [(problem, "told_at") for problem in (*digest.new, *digest.lasting)]
        stamps += [(problem, "recovery_told_at") for problem in digest.recovered]
        if not stamps:
            return
        with self._database.write() as con:
            # In one order everywhere, so that two tellers wait for each other instead of locking each other out.
            for problem, column in sorted(stamps, key=lambda stamp: stamp[0].fingerprint):
                this = and_(PROBLEMS.c.fingerprint == problem.fingerprint, PROBLEMS.c.first_seen == problem.first_seen)
                con.execute(update(PROBLEMS).where(this).values({column: now}))

    def forget(self, before: datetime) -> int:
        """Delete what was resolved before that moment, unless its recovery is still to be told; how many."""
        from sqlalchemy import and_, delete, or_

        from analytics_platform.state.models import PROBLEMS

        silent = or_(PROBLEMS.c.told_at.is_(None), PROBLEMS.c.recovery_told_at.is_not(None))
        with self._database.write() as con:
            return con.execute(delete(PROBLEMS).where(and_(PROBLEMS.c.resolved_at < utc(before), silent))).rowcount


def fingerprint(subject: str, kind: str, text: str) -> str:
    """The same for the same problem, in every process and version: subject, kind, and the text without what varies."""
    text = text[:_TELLING]
    for pattern in _VARYING:
        text = pattern.sub("", text)
    words = " ".join(text.casefold().split())
    return hashlib.sha256("\0".join((subject, kind, words)).encode("utf-8", "replace")).hexdigest()[:32]


def _find(con: "Connection", where: "ColumnElement[bool]", *, lock: bool = False) -> list[Problem]:
    from sqlalchemy import select

    from analytics_platform.state.models import PROBLEMS

    # Locked in the order of `told`; shown in the order of appearance.
    query = select(PROBLEMS).where(where).order_by(PROBLEMS.c.fingerprint)
    rows = con.execute(query.with_for_update() if lock else query).mappings()
    return sorted((_problem(row) for row in rows), key=lambda problem: (problem.first_seen, problem.fingerprint))


def _problem(row: "RowMapping") -> Problem:
    values: dict[str, Any] = dict(row)
    return Problem(**values)
