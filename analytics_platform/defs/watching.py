"""The look of every quarter of an hour: what is new is judged, and becomes incidents, each bucket once.

Belongs here: the order of a look, and what a process keeps from one to the next. Does not: counting (`defs/series.py`),
scores (`detectors/`), what becomes of findings (`alerts/`), telling anybody (`defs/telling.py`), Dagster.

A bucket is judged once because its cursor moves in the transaction that stores what it came to: a process that is
killed before has judged nothing, one that comes second writes nothing. What is kept in memory (detectors that have seen
28 days) only saves time; begun anew, it is read from the table.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from analytics_platform.alerts.findings import Finding, Reading
from analytics_platform.alerts.incident import Incident, Kind, Status, Step
from analytics_platform.alerts.incidents import advance, late, of_interest
from analytics_platform.alerts.lateness import Arrivals, Standing, late_since, lateness
from analytics_platform.defs import series, series_reading
from analytics_platform.defs.followed import PARTS, Followers, Judged, Rules, rules_of
from analytics_platform.defs.resources import Ledgers
from analytics_platform.metrics.series import BUCKET, TABLES, bucket_of
from analytics_platform.settings import Settings
from analytics_platform.state.incidents import Cursor
from analytics_platform.warehouses.base import Warehouse

# A source is given this long beyond what is usual for it before anybody hears that its data is late.
_PATIENCE = timedelta(minutes=15)
# What is going on when somebody begins to look is news.
_FIRST = timedelta(hours=1)
# How often it is looked whether late data has come.
_AGAIN = timedelta(minutes=3)
_USUAL_OF = timedelta(days=14)
SUBJECT = "alerts"


@dataclass
class Tower:
    """From where one process looks. `warehouse` and `plan` stay; the rest is kept between looks."""

    warehouse: Warehouse
    settings: Settings
    ledgers: Ledgers
    plan: series.Plan
    followers: Followers
    memory: series.Memory = field(default_factory=series.Memory)
    usual: tuple[date, Mapping[str, Sequence[float]]] | None = None

    @classmethod
    def of(cls, warehouse: Warehouse, settings: Settings, ledgers: Ledgers) -> "Tower":
        """With nothing kept yet."""
        plan = series.Plan.of(settings)
        return cls(warehouse, settings, ledgers, plan, Followers(warehouse, plan))


@dataclass
class Looked:
    """What a look came to. `judged`: buckets by source. `held`: sources whose data is late, and since when.

    `behind`: another process has judged meanwhile, and this one has written nothing more. `next_at`: when there is
    something to look at again.
    """

    judged: dict[str, int] = field(default_factory=dict)
    until: dict[str, datetime] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    held: dict[str, datetime] = field(default_factory=dict)
    missing: int = 0
    behind: bool = False
    passed_over: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    said: str = ""
    next_at: datetime | None = None


def look(tower: Tower, moment: datetime) -> Looked:
    """Count what is new, judge it, and store what it comes to. `moment`: aware.

    Raises WarehouseError and StateError; what was judged before is stored.
    """
    settings, ledger = tower.settings, tower.ledgers.incidents
    cursors, living = ledger.standing()
    seen = series_reading.look(tower.warehouse, tower.plan, moment, tower.memory)
    arrivals = {
        source: Arrivals.from_json(cursors[source].lateness if source in cursors else {}).seen(rows, moment)
        for source, rows in seen.rows.items()
    }
    minutes = settings.alert_lateness_minutes
    override = None if minutes is None else timedelta(minutes=minutes)
    slow = {source: lateness(one, override) for source, one in arrivals.items()}
    brought = series.refresh(tower.warehouse, tower.plan, moment, slow, tower.memory)
    # At once: what is told here is told once.
    for source in tuple(tower.followers.kept) if brought.rewritten else brought.changed:
        tower.followers.kept.pop(source, None)
    found = Looked(missing=brought.missing, said=brought.said)
    if brought.missing:  # a baseline of half a history would alert at everything
        return found
    standings = late_since(seen.newest, _usual(tower, moment), brought.until)
    rules = rules_of(settings, tower.ledgers, moment)
    spans = {
        source: _span(source, standing.until, cursors.get(source), settings, found)
        for source, standing in standings.items()
    }
    judged = tower.followers.judge(rules, spans)
    keeping = {source: one.as_json() for source, one in arrivals.items()}
    desk = _Desk(tower, rules, moment, keeping, spans, cursors, list(living), found)
    desk.store(judged)
    if not found.behind:
        desk.tell_lateness(standings, seen.newest, slow, {source for source, one in arrivals.items() if one.live})
        closing = [bucket_of(moment - wait) + BUCKET + wait for wait in slow.values()]
        again = [at for one in arrivals.values() if (at := one.look_again_at(moment))]
        again += [moment + _AGAIN] if found.held else []
        found.next_at = min([*closing, *again], default=moment + BUCKET)
    return found


def _usual(tower: Tower, moment: datetime) -> Mapping[str, Sequence[float]]:
    """The usual number of events by source and quarter hour of the day, made once a day."""
    today = moment.date()
    if tower.usual is None or tower.usual[0] != today:
        from analytics_platform.metrics.series_grid import usual_events

        end = bucket_of(moment)
        grid = series_reading.read(tower.warehouse, end - _USUAL_OF, end, totals=True)
        tower.usual = today, {source: figures.tolist() for source, figures in usual_events(grid).items()}
    return tower.usual[1]


def _span(
    source: str, until: datetime, cursor: Cursor | None, settings: Settings, found: Looked
) -> tuple[datetime, datetime]:
    """The buckets of a source to be judged now: those since its cursor, as far back as is worth it."""
    if cursor is None:  # what was long before the first look is history
        return until - _FIRST, until
    begin = cursor.judged_until
    earliest = until - timedelta(hours=settings.alert_catch_up_hours)
    if begin < earliest:
        found.passed_over[source] = begin, earliest
        begin = earliest
    return begin, max(begin, until)


@dataclass
class _Desk:
    """Where a look's buckets become steps of the ledger."""

    tower: Tower
    rules: Rules
    moment: datetime
    keeping: Mapping[str, Mapping[str, object]]
    spans: Mapping[str, tuple[datetime, datetime]]
    cursors: dict[str, Cursor]
    living: list[Incident]
    found: Looked

    def store(self, judged: Mapping[str, Judged]) -> None:
        """Every bucket in order, all sources' together where they have it; then the cursors stand at the end."""
        from analytics_platform.alerts.judging import alarms

        watch = self.rules.watch
        hits = {source: alarms(one.verdicts, one.columns, one.keys, watch) for source, one in judged.items()}
        first = {source: self.spans[source][0] for source in judged}
        buckets = sorted(
            {first[source] + k * BUCKET for source, one in judged.items() for k in range(one.columns.buckets)}
        )
        for bucket in buckets:
            here = {}
            for source, one in judged.items():
                k = (bucket - first[source]) // BUCKET
                if 0 <= k < one.columns.buckets:
                    here[source] = k
            if not self.living and not any(hits[source][:, k].any() for source, k in here.items()):
                continue
            if not self._bucket(bucket, judged, here):
                self.found.behind = True
                self.tower.followers.kept.clear()
                return
        ends = {source: max(end, begin) for source, (begin, end) in self.spans.items()}
        if self._commit(ends, Step(())):
            self.found.until = dict(ends)
            self.found.judged = {source: one.columns.buckets for source, one in judged.items() if one.columns.buckets}
        else:
            self.found.behind = True
            self.tower.followers.kept.clear()

    def _bucket(self, bucket: datetime, judged: Mapping[str, Judged], here: Mapping[str, int]) -> bool:
        from analytics_platform.alerts.judging import judge
        from analytics_platform.detectors.base import Verdicts

        findings: list[Finding] = []
        readings: list[Reading] = []
        for source, k in here.items():
            one = judged[source]
            parts = {name: getattr(one.verdicts, name)[:, k : k + 1] for name in PARTS}
            [cell] = judge(
                Verdicts(**parts),
                one.columns.columns(k, k + 1),
                one.keys,
                self.rules.watch,
                of_interest(self.living),
            )
            findings += cell.findings
            readings += cell.readings
        step = advance(self.living, bucket, findings, readings, self.rules.policy, spoken_at=self.moment)
        if not self._commit(dict.fromkeys(here, bucket + BUCKET), step):
            return False
        self.found.findings += findings
        return True

    def _commit(self, ends: Mapping[str, datetime], step: Step) -> bool:
        """Cursors and incidents in one transaction; what is living then is read anew, with the ids it was given."""
        ledger = self.tower.ledgers.incidents
        expected = {source: self.cursors.get(source) for source in ends}
        new = {
            source: Cursor(
                source,
                max(end, before.judged_until) if (before := expected[source]) else end,
                held={},
                lateness=self.keeping.get(source, {}),
            )
            for source, end in ends.items()
        }
        if not ledger.commit(expected, new, step, self.moment):
            return False
        self.cursors, self.living = ledger.standing()
        return True

    def tell_lateness(
        self,
        standings: Mapping[str, Standing],
        newest: Mapping[str, datetime | None],
        slow: Mapping[str, timedelta],
        live: Collection[str],
    ) -> None:
        """Data that does not come is told as such; that it has come, too. `live`: sources whose events come at once."""
        living = [one for one in self.living if one.kind is Kind.LATE_DATA]
        policy = self.rules.policy
        for source, standing in standings.items():
            since, known = standing.late_since, [one for one in living if one.source == source]
            if since is not None:
                self.found.held[source] = since
                # What a person has closed is not of a gap that began later.
                told = [one for one in known if one.closed_at is None or since <= one.closed_at]
                soon = self.moment - since < slow[source] + BUCKET + _PATIENCE
                if not told and (soon or source not in live):
                    continue
                services = tuple(name for name, table in TABLES.items() if table.name == source)
                step = late(known, source, since, self.moment, policy=policy, services=services, spoken_at=self.moment)
            elif known:
                open_ = any(one.status is Status.OPEN for one in known)
                there = bucket_of(newest[source] or self.moment) if open_ else None
                step = late(known, source, None, self.moment, resumed=there, policy=policy, spoken_at=self.moment)
            else:
                continue
            self.tower.ledgers.incidents.commit({}, {}, step, self.moment)
