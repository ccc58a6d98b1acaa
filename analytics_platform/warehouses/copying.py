"""From one warehouse to another: events a local day at a time, then the results that are current, and proof of each.

Belongs here: in which order, what is compared, what is left out. Does not: any engine, printing.

There is no record of how far a copy came. What two warehouses hold of a day is compared first and only copied when it
differs, so a copy that was interrupted is started again, and a copy made twice finds nothing to do.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache, partial
from typing import Literal
from zoneinfo import ZoneInfo

from analytics_platform.metrics.events import EVENT_TABLES, EventTable, Kind
from analytics_platform.metrics.lineage import lineage
from analytics_platform.metrics.tables import FIRST_SEEN, STANDARD_TABLES, ResultTable, Type
from analytics_platform.metrics.windows import EPOCH, Window, day_window, days
from analytics_platform.queries import Query, Value, compose
from analytics_platform.warehouses.base import EventLoad, Row, Warehouse, WarehouseError

_NOTHING: Row = {"rows": 0}
_NO_NUMBERS = (Type.TEXT, Type.LONG_TEXT, Type.TIME, Type.DATE)

Progress = Callable[[str, int, int], None]


class CopyError(WarehouseError):
    """The two warehouses cannot be copied from and to, or do not hold the same afterwards."""


@dataclass
class CopiedTable:
    """What became of one table. `rows`: of the days `copied`, which in a dry run are the days that would be.

    `equal`: days that the target had already. `outdated`: days that were left out, because the source itself would
    compute them again.
    """

    name: str
    copied: list[date] = field(default_factory=list)
    rows: int = 0
    equal: list[date] = field(default_factory=list)
    outdated: list[date] = field(default_factory=list)


@dataclass(frozen=True)
class Copied:
    """What became of each table, in the order of copying, and what else is to be known, a sentence each."""

    tables: tuple[CopiedTable, ...]
    notes: tuple[str, ...] = ()


def table_names() -> tuple[str, ...]:
    """Every table that can be copied, in order."""
    return (*(t.name for t in EVENT_TABLES), *(t.name for t in STANDARD_TABLES))


def event_fingerprint(table: EventTable, window: Window) -> Query:
    """One row: what the events of a half-open UTC window add up to. Column `rows` is their number."""
    return replace(_of_events(table), params={"start": window.start, "end": window.end, "epoch": EPOCH})


@cache
def _of_events(table: EventTable) -> Query:
    return compose(
        "fingerprint",
        table=f"events.{table.name}",
        by_day=False,
        numbers=[c.name for c in table.columns if c.kind not in (Kind.TEXT, Kind.LONG_TEXT, Kind.TIME)],
        shares=[c.name for c in table.columns if c.kind is Kind.FLOAT],
        large=[c.name for c in table.columns if c.kind in (Kind.UINT64, Kind.INT64)],
        texts=[c.name for c in table.columns if c.kind is Kind.TEXT],
        long_texts=[c.name for c in table.columns if c.kind is Kind.LONG_TEXT],
        times=[c.name for c in table.columns if c.kind is Kind.TIME],
    )


def result_fingerprint(table: ResultTable, first: date, last: date) -> Query:
    """What the rows of each day of first..last (both included) add up to; a day without rows has none here."""
    times = [name for name, kind in table.columns if kind is Type.TIME]
    bound: dict[str, Value] = {"first_day": first, "last_day": last}
    return compose(
        "fingerprint",
        bound | {"epoch": EPOCH} if times else bound,
        table=f"results.{table.name}",
        by_day=True,
        numbers=[name for name, kind in table.columns if kind not in _NO_NUMBERS],
        shares=[name for name, kind in table.columns if kind is Type.SHARE],
        large=(),
        texts=[name for name, kind in table.columns if kind is Type.TEXT],
        long_texts=[name for name, kind in table.columns if kind is Type.LONG_TEXT],
        times=times,
    )


def copy(
    source: Warehouse,
    target: Warehouse,
    first: date,
    last: date,
    zone: ZoneInfo,
    *,
    only: Literal["events", "results"] | None = None,
    tables: Collection[str] = (),
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Copied:
    """Make the target hold what the source holds of the local days first..last (both included) in `zone`.

    Each day that differs is replaced at once and compared again. `tables`: these alone, by name. `progress` gets
    (table, days done, days). A dry run compares, and writes nothing. Raises CopyError, and ValueError for a table that
    there is not.
    """
    if unknown := set(tables) - set(table_names()):
        raise ValueError(f"there is no table {sorted(unknown)[0]!r}; there are {', '.join(table_names())}")
    if (source.engine, source.place) == (target.engine, target.place):
        raise CopyError(
            f"{source.place} is both where to copy from and where to copy to; name another warehouse: WAREHOUSE_URL, "
            "--from or --to"
        )
    if lacking := [c for c in source.check() if c.fatal]:
        raise CopyError("; ".join(f"{c.what}: {c.remedy}" for c in lacking))
    if not dry_run:
        target.prepare()
    # A dry run does not create the target: what is not there has no rows.
    bare = dry_run and any(c.fatal for c in target.check())
    work = _Work(source, None if bare else target, target, zone, dry_run, progress or _quietly)
    wanted = [t for t in EVENT_TABLES if only != "results" and (not tables or t.name in tables)]
    copied = work.events(wanted, first, last)
    results = [t for t in STANDARD_TABLES if only != "events" and (not tables or t.name in tables)]
    reloaded = {table.name: table.copied for table in copied}
    copied += work.results(results, first, last, reloaded)
    return Copied(tuple(copied), tuple(work.notes(results, first)))


def _quietly(*_: object) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class _Work:
    """`known` is the target as far as it can be asked: None when it is not there yet."""

    source: Warehouse
    known: Warehouse | None
    target: Warehouse
    zone: ZoneInfo
    dry_run: bool
    progress: Progress

    def events(self, tables: Sequence[EventTable], first: date, last: date) -> list[CopiedTable]:
        """Copy each day whose events differ, all its tables in one load."""
        done = {table.name: CopiedTable(table.name) for table in tables}
        for number, day in enumerate(days(first, last), 1):
            window = day_window(day, self.zone)
            wanted = {table: _figures(self.source, table, window) for table in tables}
            differing = [t for t in tables if self._differs(t, day, window, wanted[t])]
            if differing and not self.dry_run:
                loads = [EventLoad(table, self.source.event_batches(table, window)) for table in differing]
                self.target.load(loads, self.zone)
            for table in tables:
                if table not in differing:
                    done[table.name].equal.extend([day] if _rows(wanted[table]) else [])
                else:
                    if not self.dry_run:
                        # Not counted first, as in `_figures`: there are events now.
                        [found] = self.target.rows(event_fingerprint(table, window))
                        again = partial(_figures, self.source, table, window)
                        self._prove(f"{table.name} of {day}", wanted[table], found, again)
                    done[table.name].copied.append(day)
                    done[table.name].rows += _rows(wanted[table])
                self.progress(table.name, number, (last - first).days + 1)
        return list(done.values())

    def results(
        self, tables: Sequence[ResultTable], first: date, last: date, reloaded: Mapping[str, Collection[date]]
    ) -> list[CopiedTable]:
        """Copy each current day that the target does not have, or has otherwise; table by table.

        Tables go in the order in which they are computed from one another: the target takes a table whose base was
        stored after it for outdated. `reloaded`: by event table, the days that the target got just now.
        """
        stored: dict[str, set[date]] = {}
        done = []
        for table in tables:
            of = lineage(table.name)
            outdated = {day for base in of.tables for day in stored.get(base, ())}
            if self.dry_run:  # the target cannot know yet
                changed = {day for name in of.events for day in reloaded.get(name, ())}
                outdated |= {day + timedelta(days=k) for day in changed for k in range(of.lookback + 1)}
            done.append(self._table(table, first, last, outdated))
            stored[table.name] = set(done[-1].copied)
        return done

    def _table(self, table: ResultTable, first: date, last: date, fallen: Collection[date]) -> CopiedTable:
        """`fallen`: days that are outdated in the target, though it may not say so."""
        # What nobody computed, or is not to be compared, is not asked for: engines plan such a question for long.
        computed = set(self.source.computed_days(table, first, last))
        current = set(self.source.current_days(table, first, last)) if computed else set()
        there = set(self.known.current_days(table, first, last)) - set(fallen) if self.known and current else set()
        asked = result_fingerprint(table, first, last)
        wanted = _by_day(self.source, asked) if current else {}
        found = _by_day(self.known, asked) if self.known and current & there else {}
        done = CopiedTable(table.name)
        done.outdated.extend(sorted(computed - current))
        for number, day in enumerate(days(first, last), 1):
            if day in current and day in there and wanted.get(day) == found.get(day):
                done.equal.append(day)
            elif day in current:
                if not self.dry_run:
                    self.target.store_day(table, day, self.source.stored_rows(table, day))
                done.copied.append(day)
                done.rows += _rows(wanted.get(day, _NOTHING))
            self.progress(table.name, number, (last - first).days + 1)
        if done.copied and not self.dry_run:
            # All days at once: a question for each would take longer than the copying. Whoever is interrupted before
            # it compares them all the next time.
            found = _by_day(self.target, asked)
            for day in done.copied:
                again = partial(_figures_of, self.source, asked, day)
                self._prove(f"{table.name} of {day}", wanted.get(day, _NOTHING), found.get(day, _NOTHING), again)
        return done

    def notes(self, tables: Collection[ResultTable], first: date) -> Iterator[str]:
        """What the copied days alone do not make true."""
        if FIRST_SEEN not in tables:
            return
        before = first - timedelta(days=1)
        knows = set(self.source.computed_days(FIRST_SEEN, EPOCH.date(), before))
        has = self.known.computed_days(FIRST_SEEN, EPOCH.date(), before) if self.known and knows else ()
        missing = sorted(knows - set(has))
        if missing:
            yield (
                f"the source knows first days of users and posts from {missing[0]} on; until those before {first} are "
                f"copied too, the target takes whoever comes back for new: copy from {missing[0]} on"
            )

    def _differs(self, table: EventTable, day: date, window: Window, wanted: Row) -> bool:
        """Whether these events are to be copied. Raises CopyError where copying would not make the target equal."""
        if self.known is None:
            return _rows(wanted) != 0
        [counted] = self.known.rows(_number(table, window))
        if _rows(counted) == _rows(wanted):
            return _rows(wanted) != 0 and self.known.rows(event_fingerprint(table, window)) != [wanted]
        if _rows(wanted) == 0:
            raise CopyError(
                f"{table.name} of {day}: {self.source.place} has no events, {self.target.place} has {counted['rows']}; "
                "a copy replaces days and deletes none: delete them there, or leave that day out"
            )
        return True

    def _prove(self, what: str, wanted: Row, found: Row, again: Callable[[], Row]) -> None:
        """Raise CopyError unless the figures are the same. `again` asks the source once more."""
        if found == wanted:
            return
        if again() != wanted:
            raise CopyError(f"{what} changed in {self.source.place} while it was copied; start the copy again")
        name = next(n for n in (*wanted, *found) if found.get(n) != wanted.get(n))
        raise CopyError(
            f"{what} is not the same after copying: {name} is {wanted.get(name)} in {self.source.place} and "
            f"{found.get(name)} in {self.target.place}; see that nobody else writes there, and start the copy again"
        )


def _figures(warehouse: Warehouse, table: EventTable, window: Window) -> Row:
    # An engine plans the whole question for longer than it looks at a day; days without events are many.
    [counted] = warehouse.rows(_number(table, window))
    if _rows(counted) == 0:
        return _NOTHING
    [row] = warehouse.rows(event_fingerprint(table, window))
    return row


def _number(table: EventTable, window: Window) -> Query:
    """The fingerprint of no column: `rows`, and what tells nothing."""
    return replace(_of_no_column(table), params={"start": window.start, "end": window.end})


@cache
def _of_no_column(table: EventTable) -> Query:
    none: dict[str, Sequence[str]] = dict.fromkeys(("numbers", "shares", "large", "texts", "long_texts", "times"), ())
    return compose("fingerprint", {}, table=f"events.{table.name}", by_day=False, **none)


def _by_day(warehouse: Warehouse, asked: Query) -> dict[date, Row]:
    return {day: row for row in warehouse.rows(asked) if isinstance(day := row["event_date"], date)}


def _figures_of(warehouse: Warehouse, asked: Query, day: date) -> Row:
    return _by_day(warehouse, asked).get(day, _NOTHING)


def _rows(figures: Mapping[str, object]) -> int:
    rows = figures["rows"]
    if not isinstance(rows, int):
        raise TypeError(f"a number of rows is no {rows!r}")
    return rows
