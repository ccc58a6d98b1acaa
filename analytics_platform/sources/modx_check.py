"""Whether a site can be read and what is strange about it, for `doctor`.

Belongs here: what is looked at and the words for it. Does not: tables and columns (`modx_tables.py`), reading tests and
payments (`modx.py`).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from analytics_platform.sources.modx_client import Session, SiteError
from analytics_platform.sources.modx_names import STATUS, TABLES, Names
from analytics_platform.sources.modx_tables import TEXTS, TIMES, SiteFinding, Tables, read_tables
from analytics_platform.sources.modx_times import Kind, earliest, reader, written

if TYPE_CHECKING:
    from analytics_platform.sources.modx_sql import Statements

_OLDEST: Final = {"MariaDB": (10, 6), "MySQL": (5, 7)}
# Clocks of two machines differ; a wrong zone is wrong by a quarter of an hour at least.
_AHEAD: Final = timedelta(minutes=5)
_FARTHEST_ZONE: Final = timedelta(hours=26)
# What lets an account do no more than look.
_HARMLESS: Final = frozenset({"SELECT", "USAGE", "SHOW VIEW", "SHOW DATABASES", "PROCESS", "REPLICATION CLIENT"})
_MOST_DANGLING: Final = 0.1  # of the tests taken; single ones were deleted since
_GRANT: Final = re.compile(r"GRANT (?P<rights>.+?) ON (?P<what>\S+) TO ", re.IGNORECASE)


@dataclass(frozen=True)
class _Look:
    """One look at a site."""

    session: Session
    statements: "Statements"
    tables: Tables
    zone: ZoneInfo
    statuses: frozenset[str]
    now: datetime
    window: timedelta

    def all(self, statement: Any) -> list[Any]:
        return self.session.rows(statement)

    def one(self, statement: Any) -> Any:
        return self.all(statement)[0][0]


def found(
    session: Session,
    *,
    names: Names,
    zone: ZoneInfo,
    statuses: frozenset[str],
    now: datetime | None,
    window: timedelta,
) -> list[SiteFinding]:
    """All findings of a site, what must be repaired first before the rest. Raises SiteError when it cannot ask."""
    from analytics_platform.sources.modx_sql import Statements

    version = str(session.ask("SELECT VERSION()")[0][0])
    findings = [_version(session.client.place, version)]
    tables = read_tables(session, names)
    for table in TABLES:
        findings += tables.of_table(table, with_status=bool(statuses))
    findings.append(_rights(session))
    if any(finding.state == "problem" for finding in findings):
        return findings
    clock = datetime.fromisoformat(str(session.ask("SELECT UTC_TIMESTAMP()")[0][0])).replace(tzinfo=UTC)
    statements = Statements(names, statuses)
    look = _Look(session, statements, tables, zone, statuses, now or clock, window)
    parts: tuple[Callable[[_Look], Iterator[SiteFinding]], ...] = (
        _readable,
        _texts,
        _times,
        _index,
        _clock,
        _counts,
        _joined,
    )
    for part in parts:
        try:
            findings += part(look)
        except SiteError as error:
            findings.append(SiteFinding("problem", str(error)))
    return findings


def _version(place: str, version: str) -> SiteFinding:
    name = "MariaDB" if "mariadb" in version.lower() else "MySQL"
    # Before 11, MariaDB says "5.5.5-10.6..." to programs that know only MySQL.
    number = re.search(r"(\d+)\.(\d+)", version.removeprefix("5.5.5-"))
    known = (int(number[1]), int(number[2])) if number else (0, 0)
    oldest = _OLDEST[name]
    what = f"{place} answers: {name} {known[0]}.{known[1]}"
    if known < oldest:
        return SiteFinding("note", f"{what}; tried from {oldest[0]}.{oldest[1]} on", "update the server when you can")
    return SiteFinding("ok", what)


def _rights(session: Session) -> SiteFinding:
    more = set()
    for (grant,) in session.ask("SHOW GRANTS"):
        if match := _GRANT.match(str(grant)):
            rights = re.sub(r"\([^)]*\)", "", match["rights"])  # columns
            more |= {right.strip().upper() for right in rights.split(",")} - _HARMLESS
    if not more:
        return SiteFinding("ok", "the account can read and not write")
    listed = ", ".join(sorted(more)[:4]) + (", ..." if len(more) > 4 else "")
    return SiteFinding(
        "note",
        f"the account may do more than read ({listed}); nothing is ever written to the site",
        "give it SELECT only, on the tables named above",
    )


def _readable(look: _Look) -> Iterator[SiteFinding]:
    for table in TABLES:
        look.all(look.statements.readable(table))
    yield SiteFinding("ok", "every table and column can be read")


def _texts(look: _Look) -> Iterator[SiteFinding]:
    said = (
        f"{look.tables.names.table(ours.partition('.')[0])} in {look.tables.columns[ours].collation}" for ours in TEXTS
    )
    yield SiteFinding("ok", f"e-mails are kept by {' and '.join(said)}")
    mixed = sorted(
        look.tables.names.table(table) for table, engine in look.tables.engines.items() if engine not in ("InnoDB", "")
    )
    if mixed:
        yield SiteFinding(
            "note",
            f"{', '.join(mixed)}: not of InnoDB, so a sync may see tests and payments of slightly different moments",
            "nothing to do: what is missed is seen by the next sync",
        )


def _times(look: _Look) -> Iterator[SiteFinding]:
    for ours in TIMES:
        kind = look.tables.time(ours)
        named = f"{look.tables.names.table(ours.partition('.')[0])}.{look.tables.names.column(ours)}"
        if kind is Kind.DATE:
            yield SiteFinding(
                "note",
                f"{named} is a DATE, so that each time is taken for the beginning of its day",
                f"name a column with the time of day in MODX_MAPPING ({ours}=), or purchases on the day of entry count "
                "as earlier ones",
            )
        else:
            zone = f"in {look.zone.key}" if kind is Kind.DATETIME else "in UTC, whatever MODX_TIMEZONE says"
            yield SiteFinding("ok", f"{named} is read as {kind} {zone}")


def _index(look: _Look) -> Iterator[SiteFinding]:
    ours = "simpletest_users.Datep"
    table, column = look.tables.names.table("simpletest_users"), look.tables.names.column(ours)
    if ours in look.tables.indexed:
        yield SiteFinding("ok", f"{table}.{column} has an index")
    else:
        yield SiteFinding(
            "note",
            f"{table}.{column} has no index, so that each sync reads the whole table",
            f"with many tests, let the site's administrator create one on {column}",
        )


def _clock(look: _Look) -> Iterator[SiteFinding]:
    kind = look.tables.time("simpletest_users.Datep")
    farthest = written(kind, look.now + _FARTHEST_ZONE, look.zone)
    newest = reader(kind, look.zone)(look.one(look.statements.newest(farthest)))
    if newest is None:
        yield SiteFinding("note", "there is no test with a time", "check that MODX_URL names the site's own database")
    elif newest > look.now + _AHEAD:
        ahead = round((newest - look.now) / timedelta(minutes=1))
        remedy = "set MODX_TIMEZONE to the zone of the site's clock"
        if kind is not Kind.DATETIME:
            remedy = "check the clock of the site's server"
        yield SiteFinding("problem", f"the newest test was taken {ahead} minutes from now", remedy)
    else:
        yield SiteFinding("ok", f"the newest test was taken at {newest:%Y-%m-%d %H:%M} UTC")
    if later := int(look.one(look.statements.after(farthest))):
        yield SiteFinding(
            "note",
            f"tests that are dated more than a day from now: {later}; they count as the newest ones",
            "correct their times in the site",
        )


def _counts(look: _Look) -> Iterator[SiteFinding]:
    kind = look.tables.time("simpletest_users.Datep")
    since = written(kind, look.now - look.window, look.zone)
    days = f"{look.window / timedelta(days=1):g} days"
    total = int(look.one(look.statements.total(since)))
    if STATUS in look.tables.columns and total:
        rows = look.all(look.statements.statuses(since))
        said = ", ".join(f"{'none' if value is None else repr(value)}: {number}" for value, number in rows)
        absent = sorted(look.statuses - {value for value, _ in rows}) if len(rows) < 20 else []
        yield SiteFinding("ok", f"tests taken in the last {days}: {total}, by status {said}")
        if absent:
            named = ", ".join(map(repr, absent))
            yield SiteFinding(
                "note",
                f"no test of the last {days} has the status {named}",
                "write MODX_TEST_STATUSES as they stand in the table, capitals included",
            )
    elif total:
        yield SiteFinding("ok", f"tests taken in the last {days}: {total}")
    else:
        yield SiteFinding("note", f"no test was taken in the last {days}", "check FUNNEL_WINDOW_DAYS and MODX_TIMEZONE")
    if timeless := int(look.one(look.statements.timeless(earliest(kind)))):
        yield SiteFinding("note", f"tests without a time: {timeless}; they are left out", "correct them there")


def _joined(look: _Look) -> Iterator[SiteFinding]:
    known = dict(look.all(look.statements.tests()))
    kind = look.tables.time("simpletest_users.Datep")
    counts = look.all(look.statements.counts(written(kind, look.now - look.window, look.zone)))
    total = sum(int(number) for _, number, _ in counts)
    dangling = sum(int(number) for test, number, _ in counts if test not in known)
    languages = sum(map(bool, known.values()))
    what = f"tests to be taken: {len(known)}, with a language: {languages}"
    if dangling > _MOST_DANGLING * total:
        key, table = look.tables.names.column("simpletest_test.Id"), look.tables.names.table("simpletest_test")
        yield SiteFinding(
            "note",
            f"{what}; {dangling} of {total} that were taken have no row in {table}",
            f"check that {key} is what {look.tables.names.column('simpletest_users.TestId')} means, or name another "
            "column in MODX_MAPPING (simpletest_test.Id=)",
        )
    else:
        yield SiteFinding("ok", what)
    paid = int(look.one(look.statements.paid()))
    if paid:
        yield SiteFinding("ok", f"certificates paid for: {paid}")
    else:
        names = ", ".join(look.tables.names.column(ours) for ours in ("cert_payment.id_status", "cert_test.type"))
        yield SiteFinding("note", "no certificate was paid for yet", f"if that is not so, check what {names} hold")
