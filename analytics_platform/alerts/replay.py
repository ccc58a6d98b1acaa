"""The replay: what alerts would have been, had history come bucket by bucket, with the rules given.

Belongs here: running detectors, judging and incidents over a block of history. Does not: reading history, a budget of
false alarms (`replay_budget.py`), planted changes (`replay_power.py`), showing or sending anything. Pure. Imported
lazily only: numpy is imported at the top.

Detectors, rules and incidents are the very parts of the live tick. Two things differ. History is whole, so no data is
ever late. And what people did (acknowledge, mute, close) is not done again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import numpy as np

from analytics_platform.alerts.baseline import excluded_spans
from analytics_platform.alerts.findings import Finding
from analytics_platform.alerts.history import widened
from analytics_platform.alerts.incident import Event, Incident, Policy, Status, Step
from analytics_platform.alerts.incidents import advance, of_interest
from analytics_platform.alerts.judging import alarms, judge
from analytics_platform.alerts.occasions import Occasion
from analytics_platform.alerts.watch import Watch
from analytics_platform.detectors import detector as by_name
from analytics_platform.detectors.base import STEP, Block, Bools, Detector, Ints, Verdicts
from analytics_platform.detectors.fitted import FittedModel, rescored
from analytics_platform.metrics.series import BUCKET, SeriesKey

WEEK = timedelta(weeks=1)
_PARTS = ("score", "expected", "low", "high", "sign")
Detectors = Callable[[str, Sequence[str]], Detector]  # by name, for series of these metrics


@dataclass(frozen=True)
class Told:
    """An incident as it was at last, and what was said of it. `findings`: the unusual buckets that made it."""

    incident: Incident
    events: tuple[Event, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def opened(self) -> datetime:
        """When its first message would have gone: the end of the bucket that confirmed it. Aware, UTC."""
        return (self.incident.opened_at or self.incident.started) + BUCKET

    @property
    def ended(self) -> datetime | None:
        """Start of the first usual bucket, or the moment it was closed; None while it lasts."""
        return self.incident.recovered_at or self.incident.closed_at

    @property
    def loud(self) -> tuple[datetime, ...]:
        """When a message would have made a sound: the ends of those buckets. Aware, UTC."""
        return tuple(event.moment + BUCKET for event in self.events if event.loud)

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Whether it lay, in part at least, in the half-open span."""
        until = max(self.ended or self.incident.last_bad + BUCKET, self.incident.started + BUCKET)
        return self.incident.started < end and until > start


@dataclass(frozen=True)
class Replayed:
    """What a replay came to. `columns`: the judged buckets; `verdicts` and `found` are theirs, [m, k].

    `told`: incidents that were opened, by their start.
    """

    keys: tuple[SeriesKey, ...]
    columns: Block
    verdicts: Verdicts
    found: Bools
    told: tuple[Told, ...]

    @property
    def weeks(self) -> float:
        """How long the judged buckets are."""
        return self.columns.buckets * BUCKET / WEEK

    @property
    def loud(self) -> int:
        """Messages that would have made a sound."""
        return sum(len(one.loud) for one in self.told)

    @property
    def first(self) -> datetime:
        """The first judged bucket. Aware, UTC."""
        return datetime.fromtimestamp(int(self.columns.times[0]), UTC)

    @property
    def last(self) -> datetime:
        """The end of the last one. Aware, UTC."""
        return datetime.fromtimestamp(int(self.columns.times[-1]), UTC) + BUCKET

    @property
    def since(self) -> datetime | None:
        """The first bucket in which the detector could tell of half of the totals; None: never."""
        totals = np.array([key.is_total for key in self.keys], dtype=bool)
        known = np.isfinite(self.verdicts.score[totals if totals.any() else ~totals]).mean(axis=0) >= 0.5
        return self.first + int(np.argmax(known)) * BUCKET if known.any() else None

    def by_metric(self) -> dict[str, int]:
        """Incidents by the metric they are told by."""
        found = {key.metric: 0 for key in self.keys}
        for one in self.told:
            if one.incident.lead is not None:
                found[one.incident.lead.metric] += 1
        return found


def replay(
    block: Block,
    keys: Sequence[SeriesKey],
    watch: Watch,
    first: int,
    *,
    policy: Policy | None = None,
    occasions: Sequence[Occasion] = (),
    fitted: Mapping[str, FittedModel] = MappingProxyType({}),
    detectors: Detectors = by_name,
) -> Replayed:
    """What the columns first..n of the block would have come to; those before are history only.

    Each metric is judged by its own rule's detector. What had incidents is then judged once more with these kept out of
    its baseline, as the live tick does once it knows of them; an incident that became the new normal stays in it.
    `occasions`: those of single services or metrics give more room here, those of everything have done in the block.
    `fitted`: the model in use, by metric.
    Raises ValueError for a detector that there is not, and when there is no column to judge.
    """
    if not 0 <= first < block.buckets:
        raise ValueError(f"there are {block.buckets} buckets of history, so none after {first} to be judged")
    policy = policy or Policy()
    columns = block.columns(first, block.buckets)

    def judged(part: Block, those: Sequence[SeriesKey]) -> Verdicts:
        found = widened(judge_all(part, those, watch, first, detectors), columns, those, occasions)
        for model in {model.version: model for model in fitted.values()}.values():
            mine = [key.metric if fitted.get(key.metric) is model else "" for key in those]
            found = rescored(model, mine, part, found, first)
        return found

    verdicts = judged(block, keys)
    once = run(verdicts, columns, keys, watch, policy)
    lessons = without_incidents(block, keys, [one.incident for one in once.told])
    changed = np.flatnonzero((lessons.learn != block.learn).any(axis=1))
    if not changed.size:
        return once
    again = judged(lessons.rows(changed), [keys[i] for i in changed.tolist()])
    parts = {name: getattr(verdicts, name).copy() for name in _PARTS}
    for name, part in parts.items():
        part[changed] = getattr(again, name)
    return run(Verdicts(**parts), columns, keys, watch, policy)


def judge_all(
    block: Block, keys: Sequence[SeriesKey], watch: Watch, first: int, detectors: Detectors = by_name
) -> Verdicts:
    """Verdicts on the columns first..n of all series, each by its rule's detector."""
    found = Verdicts.unknown(block.series, block.buckets - first)
    for name, rows in by_detector(keys, watch).items():
        part = detectors(name, [keys[i].metric for i in rows.tolist()]).judge(block.rows(rows), first)
        for each in _PARTS:
            getattr(found, each)[rows] = getattr(part, each)
    return found


def by_detector(keys: Sequence[SeriesKey], watch: Watch) -> Mapping[str, Ints]:
    """The rows that each detector judges; slices that are not watched are in none."""
    names: dict[str, list[int]] = {}
    for i, key in enumerate(keys):
        if watch.watches(key):
            names.setdefault(watch.rule(key.metric).detector, []).append(i)
    return {name: np.array(rows, dtype=np.int64) for name, rows in names.items()}


def run(verdicts: Verdicts, columns: Block, keys: Sequence[SeriesKey], watch: Watch, policy: Policy) -> Replayed:
    """The incidents that verdicts come to. `columns`: the judged ones."""
    found = alarms(verdicts, columns, keys, watch)
    ledger = _Ledger()
    for step, findings in steps(verdicts, columns, keys, watch, policy=policy, found=found):
        ledger.note(step, findings)
    return Replayed(tuple(keys), columns, verdicts, found, ledger.told())


def without_incidents(block: Block, keys: Sequence[SeriesKey], incidents: Sequence[Incident]) -> Block:
    """The same history, of which no baseline learns from the buckets in which a series took part in an incident."""
    learn = block.learn.copy()
    start = int(block.times[0])
    spans = excluded_spans(incidents)
    for i, key in enumerate(keys):
        for begins, ends in spans.get(key, ()):
            first, last = (max(int(moment.timestamp() - start) // STEP, 0) for moment in (begins, ends))
            learn[i, first:last] = False
    return replace(block, learn=learn)


def steps(
    verdicts: Verdicts, columns: Block, keys: Sequence[SeriesKey], watch: Watch, *, policy: Policy, found: Bools
) -> Iterator[tuple[Step, tuple[Finding, ...]]]:
    """The steps of the buckets that matter: with nothing open and nothing found, nothing comes of a bucket."""
    hits = np.flatnonzero(found.any(axis=0))
    row = {key: i for i, key in enumerate(keys)}
    living: tuple[Incident, ...] = ()
    k = 0
    while k < columns.buckets:
        if not living:
            at = int(np.searchsorted(hits, k))
            if at == len(hits):
                return
            k = int(hits[at])
        waiting = of_interest(living)
        rows = np.array(sorted({*np.flatnonzero(found[:, k]).tolist(), *(row[key] for key in waiting)}), dtype=np.int64)
        here = Verdicts(**{name: getattr(verdicts, name)[rows, k : k + 1] for name in _PARTS})
        cells = columns.columns(k, k + 1).rows(rows)
        [one] = judge(here, cells, [keys[i] for i in rows.tolist()], watch, waiting)
        step = advance(living, one.bucket, one.findings, one.readings, policy)
        living = step.living
        yield step, one.findings
        k += 1


def some(verdicts: Verdicts, rows: Ints) -> Verdicts:
    """Those of some of the series alone."""
    return Verdicts(**{name: getattr(verdicts, name)[rows] for name in _PARTS})


@dataclass
class _Ledger:
    """What the steps said, by incident."""

    newest: dict[str, Incident] = field(default_factory=dict)
    events: dict[str, list[Event]] = field(default_factory=dict)
    findings: dict[str, list[Finding]] = field(default_factory=dict)

    def note(self, step: Step, findings: tuple[Finding, ...]) -> None:
        for incident in step.incidents:
            self.newest[incident.key] = incident
        for finding in findings:
            key = step.belongs.get(finding.series)
            if key is not None:
                self.findings.setdefault(key, []).append(finding)
        for event in step.events:
            self.events.setdefault(event.key, []).append(event)
        for gone in step.dropped:
            self.newest.pop(gone.key, None)

    def told(self) -> tuple[Told, ...]:
        every = [
            Told(incident, tuple(self.events.get(key, ())), tuple(self.findings.get(key, ())))
            for key, incident in self.newest.items()
            if incident.status is not Status.PENDING
        ]
        return tuple(sorted(every, key=lambda one: (one.incident.started, one.incident.key)))
