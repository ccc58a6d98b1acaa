"""Detectors that a process keeps: they have seen 28 days of their source's series, and go on bucket by bucket.

Belongs here: building them from the table, going on with them, and what makes them be built anew. Does not: the order
of a look (`defs/watching.py`), detectors themselves, Dagster.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from analytics_platform.alerts.baseline import accepted_at, excluded_spans
from analytics_platform.alerts.feedback import Judgement, sensitivities
from analytics_platform.alerts.incident import Incident, Policy
from analytics_platform.alerts.occasions import Occasion
from analytics_platform.alerts.watch import Watch
from analytics_platform.defs import series_reading
from analytics_platform.defs.resources import Ledgers
from analytics_platform.defs.series import HISTORY_DAYS, Plan
from analytics_platform.metrics.series import BUCKET, TABLES, SeriesKey
from analytics_platform.settings import Settings
from analytics_platform.warehouses.base import Warehouse

if TYPE_CHECKING:
    from analytics_platform.detectors.base import Block, Follower, Ints, Verdicts
    from analytics_platform.detectors.fitted import FittedModel
    from analytics_platform.metrics.series_grid import Grid

HISTORY = timedelta(days=HISTORY_DAYS)
PARTS = ("score", "expected", "low", "high", "sign")
_DAY = timedelta(days=1)
_LOOKED_AT = timedelta(days=9)


@dataclass(frozen=True)
class Rules:
    """What people have said and set, as of one look."""

    watch: Watch
    policy: Policy
    past: Sequence[Incident]
    judgements: Sequence[Judgement]
    occasions: Sequence[Occasion]
    fitted: "Mapping[str, FittedModel]" = field(default_factory=dict)

    @property
    def mark(self) -> object:
        """What baselines are made by, but for incidents that go on: those are kept out of them as they go."""
        over = [one for one in self.past if one.over]
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
    occasions = ledgers.calendar.entries(since, moment + _DAY)
    return Rules(watch, policy, past, judgements, occasions, models_in_use(ledgers))


def models_in_use(ledgers: Ledgers) -> "dict[str, FittedModel]":
    """The fitted model by metric; none where the default is as good. ValueError for one made for other features."""
    stored = ledgers.detector_models.used()
    if not stored:
        return {}
    from analytics_platform.detectors.fitted import FittedModel

    made = {one.version: FittedModel.from_json(json.dumps(one.body)) for one in stored.values()}
    return {metric: made[one.version] for metric, one in stored.items()}


@dataclass
class _Followed:
    """Detectors of one source that have seen its history up to `until`. `mark`: what they were built from.

    `recent`: their verdicts on the last day, as far as they were here to give them.
    """

    keys: tuple[SeriesKey, ...]
    mark: object
    until: datetime
    groups: "list[tuple[Ints, Follower]]"
    recent: "Verdicts | None" = None


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

    def judge(self, rules: Rules, spans: Mapping[str, tuple[datetime, datetime]]) -> dict[str, Judged]:
        """The verdicts on the buckets of each source, from the first moment to the second; without sources that have
        no series, or no buckets to judge.
        """
        wanted = {source: (begin, end) for source, (begin, end) in spans.items() if begin < end}
        if not wanted:
            return {}
        # Of all sources at once: they mostly have the same bucket, and opening the warehouse costs more than reading.
        first, last = min(begin for begin, _ in wanted.values()), max(end for _, end in wanted.values())
        grid = series_reading.read(self.warehouse, first, last)
        found: dict[str, Judged] = {}
        for source, (begin, end) in wanted.items():
            judged = self._judged(rules, source, (begin, end), _own(grid, source, begin, end))
            if judged is not None:
                found[source] = judged
        return found

    def _judged(self, rules: Rules, source: str, span: tuple[datetime, datetime], grid: "Grid") -> Judged | None:
        from analytics_platform.alerts.history import block_of

        begin, end = span
        mark, kept = rules.mark, self.kept.get(source)
        if kept is None or kept.mark != mark or kept.until != begin or not set(grid.keys) <= set(kept.keys):
            kept = self._built(rules, source, begin, mark)
            if kept is None:
                return None
            self.kept[source] = kept
        if grid.keys != kept.keys:
            grid = series_reading.read(self.warehouse, begin, end, kept.keys)
        block = block_of(grid, self.plan.zone, occasions=rules.occasions, metrics=self.plan.metrics)
        unusual = {m.series for one in rules.past if not one.over for m in one.members if m.calm == 0}
        for i, key in enumerate(kept.keys):
            if key in unusual:
                block.learn[i] = False
        # Not kept while it takes the columns: what breaks in between would have taken some of them already.
        del self.kept[source]
        verdicts = _next(kept, block, rules.occasions, end)
        kept.recent = _together(kept.recent, verdicts)
        self.kept[source] = kept
        return Judged(kept.keys, block, self._rescored(rules, kept, verdicts))

    def _rescored(self, rules: Rules, kept: _Followed, verdicts: "Verdicts") -> "Verdicts":
        """The same with the scores of fitted models, for the metrics that have one, where the default is near."""
        if not rules.fitted or kept.recent is None:
            return verdicts
        import numpy as np

        from analytics_platform.alerts.history import block_of
        from analytics_platform.detectors.fitted import NEAR, rescored

        rows = np.array([key.metric in rules.fitted for key in kept.keys], dtype=bool)
        if not (verdicts.score[rows] >= NEAR).any():
            return verdicts
        # With last week's values, which the model looks at; a day in which nothing is near needs none of this.
        grid = series_reading.read(self.warehouse, kept.until - _LOOKED_AT, kept.until, kept.keys)
        block = block_of(grid, self.plan.zone, metrics=self.plan.metrics)
        first = block.buckets - kept.recent.score.shape[1]
        metrics = [key.metric for key in kept.keys]
        found = kept.recent
        for model in {model.version: model for model in rules.fitted.values()}.values():
            mine = [name if rules.fitted.get(name) is model else "" for name in metrics]
            found = rescored(model, mine, block, found, first)
        count = verdicts.score.shape[1]
        return replace(verdicts, score=found.score[:, -count:])

    def _built(self, rules: Rules, source: str, begin: datetime, mark: object) -> _Followed | None:
        """Detectors that have seen the history up to `begin`."""
        from analytics_platform.alerts.replay import by_detector
        from analytics_platform.detectors import detector

        # With the bucket after it: a slice that occurs there for the first time has its series from the start.
        first, last = begin - HISTORY, begin + BUCKET
        grid = _own(series_reading.read(self.warehouse, first, last), source, first, last)
        if not grid.keys:
            return None
        past = learned(grid, self.plan, rules).columns(0, len(grid.times) - 1)
        groups = [
            (rows, detector(name, [grid.keys[i].metric for i in rows.tolist()]).follow(past.rows(rows)))
            for name, rows in by_detector(grid.keys, rules.watch).items()
        ]
        return _Followed(grid.keys, mark, begin, groups)


def learned(grid: "Grid", plan: Plan, rules: Rules) -> "Block":
    """History as detectors are to learn from it: without past incidents and marked days, with accepted levels."""
    from analytics_platform.alerts.history import block_of

    block = block_of(
        grid.since_first_event(),
        plan.zone,
        excluded=excluded_spans(rules.past, rules.judgements),
        occasions=rules.occasions,
        metrics=plan.metrics,
    )
    places = {key: i for i, key in enumerate(grid.keys)}
    begin = datetime.fromtimestamp(int(grid.times[0]), UTC) if len(grid.times) else None
    for key, moments in accepted_at(rules.past, rules.judgements).items():
        for column in ((one - begin) // BUCKET for one in moments if begin is not None):
            if key in places and 0 <= column < block.buckets:
                block.accepted[places[key], column] = True
    return block


def _together(before: "Verdicts | None", after: "Verdicts") -> "Verdicts":
    """The last day of both."""
    import numpy as np

    from analytics_platform.detectors.base import PER_DAY, Verdicts

    if before is None:
        return after
    parts = {name: np.concatenate([getattr(before, name), getattr(after, name)], axis=1) for name in PARTS}
    keep = max(PER_DAY, after.score.shape[1])
    return Verdicts(**{name: part[:, -keep:] for name, part in parts.items()})


def _next(kept: _Followed, block: "Block", occasions: Sequence[Occasion], end: datetime) -> "Verdicts":
    from analytics_platform.alerts.history import widened
    from analytics_platform.detectors.base import Verdicts

    found = Verdicts.unknown(block.series, block.buckets)
    for rows, follower in kept.groups:
        part = follower.next(block.rows(rows))
        for name in PARTS:
            getattr(found, name)[rows] = getattr(part, name)
    kept.until = end
    return widened(found, block, kept.keys, occasions)


def _own(grid: "Grid", source: str, begin: datetime, end: datetime) -> "Grid":
    """The series of that source, in the buckets from `begin` to `end`."""
    rows = [i for i, key in enumerate(grid.keys) if TABLES[key.service].name == source]
    kept = (grid.times >= begin.timestamp()) & (grid.times < end.timestamp())
    keys = tuple(grid.keys[i] for i in rows)
    return replace(
        grid, keys=keys, times=grid.times[kept], values=grid.values[rows][:, kept], base=grid.base[rows][:, kept]
    )
