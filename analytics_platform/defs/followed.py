"""Detectors that a process keeps: they have seen 28 days of their source's series, and go on bucket by bucket.

Belongs here: building them from the table, going on with them, and what makes them be built anew. Does not: the order
of a look (`defs/watching.py`), detectors themselves, Dagster.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from analytics_platform.alerts.baseline import accepted_at, excluded_spans
from analytics_platform.alerts.feedback import Judgement, sensitivities
from analytics_platform.alerts.incident import Incident, Policy, Status
from analytics_platform.alerts.occasions import Occasion, slack
from analytics_platform.alerts.watch import Watch
from analytics_platform.defs import series_reading
from analytics_platform.defs.resources import Ledgers
from analytics_platform.defs.series import HISTORY_DAYS, Plan
from analytics_platform.metrics.series import BUCKET, TABLES, SeriesKey
from analytics_platform.settings import Settings
from analytics_platform.warehouses.base import Warehouse

if TYPE_CHECKING:
    from analytics_platform.detectors.base import Block, Follower, Ints, Verdicts
    from analytics_platform.metrics.series_grid import Grid

HISTORY = timedelta(days=HISTORY_DAYS)
PARTS = ("score", "expected", "low", "high", "sign")
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Rules:
    """What people have said and set, as of one look."""

    watch: Watch
    policy: Policy
    past: Sequence[Incident]
    judgements: Sequence[Judgement]
    occasions: Sequence[Occasion]

    @property
    def mark(self) -> object:
        """What baselines are made by, but for incidents that go on: those are kept out of them as they go."""
        over = [one for one in self.past if not one.living]
        detectors = tuple(sorted((name, rule.detector) for name, rule in self.watch.metrics.items()))
        return (
            self.watch.default.detector,
            detectors,
            tuple(sorted(excluded_spans(over, self.judgements).items())),
            tuple(sorted(accepted_at(over, self.judgements).items())),
            tuple(self.occasions),
        )


def rules_of(settings: Settings, ledgers: Ledgers, moment: datetime) -> Rules:
    """The rules in force: settings, moved by feedback; mutes; the calendar; incidents of the last four weeks."""
    since = moment - HISTORY - _DAY
    judgements = ledgers.feedback.judgements()
    watch = settings.watch.with_sensitivity(sensitivities(judgements, moment))
    policy = Policy(
        mutes=ledgers.mutes.active(moment),
        remind_after=timedelta(hours=settings.alert_remind_hours),
        quiet=lambda key, at: watch.rule(key.metric).is_quiet(at, settings.zone),
    )
    past = ledgers.incidents.listing(since=since)
    return Rules(watch, policy, past, judgements, ledgers.calendar.entries(since, moment + _DAY))


@dataclass
class _Followed:
    """Detectors of one source that have seen its history up to `until`. `mark`: what they were built from."""

    keys: tuple[SeriesKey, ...]
    mark: object
    until: datetime
    groups: "list[tuple[Ints, Follower]]"


@dataclass(frozen=True)
class Judged:
    """New columns of one source, and what its detectors say of them."""

    keys: tuple[SeriesKey, ...]
    columns: "Block"
    verdicts: "Verdicts"


@dataclass
class Followers:
    """The detectors of all sources of one process."""

    warehouse: Warehouse
    plan: Plan
    kept: dict[str, _Followed] = field(default_factory=dict)

    def judge(self, rules: Rules, source: str, begin: datetime, end: datetime) -> Judged | None:
        """The verdicts on the buckets of a source from `begin` to `end`; None when it has no series at all."""
        from analytics_platform.alerts.history import block_of

        mark, kept = rules.mark, self.kept.get(source)
        grid = _own(series_reading.read(self.warehouse, begin, end), source)
        if kept is None or kept.mark != mark or kept.until != begin or not set(grid.keys) <= set(kept.keys):
            kept = self._built(rules, source, begin, mark)
            if kept is None:
                return None
            self.kept[source] = kept
        if grid.keys != kept.keys:
            grid = series_reading.read(self.warehouse, begin, end, kept.keys)
        block = block_of(grid, self.plan.zone, occasions=rules.occasions, metrics=self.plan.metrics)
        unusual = {m.series for one in rules.past if one.status is Status.OPEN for m in one.members}
        for i, key in enumerate(kept.keys):
            if key in unusual:
                block.learn[i] = False
        return Judged(kept.keys, block, _next(kept, block, rules.occasions, end))

    def _built(self, rules: Rules, source: str, begin: datetime, mark: object) -> _Followed | None:
        """Detectors that have seen the history up to `begin`."""
        from analytics_platform.alerts.history import block_of
        from analytics_platform.alerts.replay import by_detector
        from analytics_platform.detectors import detector

        # With the bucket after it: a slice that occurs there for the first time has its series from the start.
        grid = _own(series_reading.read(self.warehouse, begin - HISTORY, begin + BUCKET), source)
        if not grid.keys:
            return None
        block = block_of(
            grid.since_first_event(),
            self.plan.zone,
            excluded=excluded_spans(rules.past, rules.judgements),
            occasions=rules.occasions,
            metrics=self.plan.metrics,
        )
        places = {key: i for i, key in enumerate(grid.keys)}
        for key, moments in accepted_at(rules.past, rules.judgements).items():
            for column in ((one - begin + HISTORY) // BUCKET for one in moments):
                if key in places and 0 <= column < block.buckets:
                    block.accepted[places[key], column] = True
        past = block.columns(0, block.buckets - 1)
        groups = [
            (rows, detector(name, [grid.keys[i].metric for i in rows.tolist()]).follow(past.rows(rows)))
            for name, rows in by_detector(grid.keys, rules.watch).items()
        ]
        return _Followed(grid.keys, mark, begin, groups)


def _next(kept: _Followed, block: "Block", occasions: Sequence[Occasion], end: datetime) -> "Verdicts":
    from analytics_platform.detectors.base import Verdicts

    found = Verdicts.unknown(block.series, block.buckets)
    for rows, follower in kept.groups:
        part = follower.next(block.rows(rows))
        for name in PARTS:
            getattr(found, name)[rows] = getattr(part, name)
    kept.until = end
    # An occasion of some metrics alone; those of all are in the block.
    for one in occasions:
        if one.services or one.metrics:
            _widen(found, block, kept.keys, one)
    return found


def _widen(found: "Verdicts", block: "Block", keys: Sequence[SeriesKey], one: Occasion) -> None:
    from analytics_platform.alerts.history import between

    touched = between(block.times, one.starts, one.ends)
    for i, key in enumerate(keys):
        if one.covers(key):
            room = slack([one], one.starts, key)
            found.score[i, touched] /= room
            for edge in (found.low, found.high):
                edge[i, touched] = found.expected[i, touched] + (edge[i, touched] - found.expected[i, touched]) * room


def _own(grid: "Grid", source: str) -> "Grid":
    """The series of that source alone."""
    rows = [i for i, key in enumerate(grid.keys) if TABLES[key.service].name == source]
    return replace(grid, keys=tuple(grid.keys[i] for i in rows), values=grid.values[rows], base=grid.base[rows])
