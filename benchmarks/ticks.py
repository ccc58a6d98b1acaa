"""The scheduler's ticks: what it costs to ask every minute whether a report is due and its data is there.

Belongs here: a simulated day of the data-availability sensor, and the reads it is held against. Does not: homes
(`homes.py`), what a tick does (`defs/availability.py`, `defs/followups.py`).
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock

import dagster as dg
import duckdb

from analytics_platform.agenda import Action
from analytics_platform.cadence import Period
from analytics_platform.definitions import build_definitions
from analytics_platform.defs import availability, followups
from analytics_platform.defs.resources import ledgers_of, warehouse_at
from analytics_platform.defs.running import instance_of
from analytics_platform.defs.sight import Desk, Memory
from analytics_platform.metrics.events import EVENT_TABLES
from analytics_platform.metrics.windows import day_start
from analytics_platform.reports import all_reports
from analytics_platform.reports.base import Number
from analytics_platform.reports.notices import as_json
from analytics_platform.settings import Home, Settings, load_settings
from analytics_platform.state.runs import Owner, RunLedger, Status
from analytics_platform.warehouses.base import Warehouse
from benchmarks.cases import DAY_TICKS
from benchmarks.data import Place
from benchmarks.homes import home_of
from benchmarks.measure import Job

DUE = Settings.model_fields["report_time"].default.hour * 60  # the minute of the day
# What each tick is counted as; on top of it comes, once an hour, the look at delivered periods.
QUIET, WAITING, SENDING = "nothing is due", "waiting for data", "ready, running"
LOOKS_BACK = "delivered periods are looked at again"
NO_EVENT = "waiting, the day has no event at all"
_DAY = timedelta(days=1)
_LOOK_BACK_MINUTES = 60  # followups asks the warehouse so often
# The last event must come a day and more after the day's end: it never does. And the opposite.
_NEVER = dict.fromkeys(("gate_feed_actions", "gate_message_actions"), "grace=2d")
_AT_ONCE = dict.fromkeys(_NEVER, "grace=-1d hours=off volume=0")


@dataclass(frozen=True)
class Extent:
    """How much of a day is simulated: so many ticks from the minute `first` on, of which `waits` wait for data.

    `part`: one in so many goes through Dagster's own evaluation, in the same proportions. `empty`: so many wait for a
    day without events. `delivered`: so many days are in the ledger.
    """

    first: int
    ticks: int
    waits: int
    part: int
    empty: int
    delivered: int


def extent_of(place: Place) -> Extent:
    """A day after a year; in a run of less than a million rows, which shall be short, a half hour about REPORT_TIME."""
    return Extent(0, DAY_TICKS, 120, 12, 20, 365) if place.rows >= 1 else Extent(DUE - 10, 30, 6, 3, 2, 10)


@dataclass
class Scene:
    """A copy of the demo's home in which each report was delivered for a year, up to the day before `period`.

    `settings` are the home's, so REPORTS is the default.
    """

    home: Home
    settings: Settings
    instance: dg.DagsterInstance
    period: date

    def warehouse(self) -> Warehouse:
        """One of its own for each tick: that is how Dagster gives it to the sensor."""
        return warehouse_at(self.home, self.settings)


def set_up(place: Place, *, ago: int = 1) -> Scene:
    """Make the scene anew. `period` is so many days before the last one with events, which alone is not computed."""
    kept = home_of(place, "demo")
    home = Home(place.scratch / "ticks-home")
    shutil.rmtree(home.path, ignore_errors=True)
    shutil.copytree(kept.path, home.path)
    settings = load_settings(home)
    scene = Scene(home, settings, instance_of(home), kept.last - timedelta(days=ago))
    ledger, owner = ledgers_of(home, settings).runs, _owner()
    before = [Period(day, day) for k in range(extent_of(place).delivered, 0, -1) for day in [scene.period - k * _DAY]]
    moment = day_start(scene.period, settings.zone).replace(tzinfo=UTC)
    for name in settings.reports:
        for period in before:
            _claim(ledger, name, period, owner, moment)
            _deliver(ledger, name, period, owner, moment)
        ledger.settle(name, before[-1].last, moment)
    return scene


def _owner() -> Owner:
    return Owner("benchmark", "another host", 1)  # whose end cannot be proved, so it lives


def _claim(ledger: RunLedger, report: str, period: Period, owner: Owner, moment: datetime) -> None:
    """What a run writes at its start."""
    ledger.claim(report, period, owner, moment, lease=timedelta(hours=1), gone=lambda _: False)


def _deliver(ledger: RunLedger, report: str, period: Period, owner: Owner, moment: datetime) -> None:
    """What a run writes of its delivery and its end: figures no older than the home, so there is nothing to correct."""
    told, computed = as_json([Number("DAU", 1.0)]), datetime.now(UTC)
    delivery, becomes = str(period.last), Status.DELIVERED
    ledger.delivering(
        report, period.last, owner, moment, delivery=delivery, becomes=becomes, numbers=told, numbers_at=computed
    )
    ledger.finish(report, period.last, owner, becomes, "", moment)


def reads(place: Place) -> Job:
    """The least a tick has to do: for each scheduled report one read of its row in the ledger."""
    scene = set_up(place)
    ledger = ledgers_of(scene.home, scene.settings).runs
    count = extent_of(place).ticks

    def run() -> Mapping[str, float]:
        for _ in range(count):
            for name in scene.settings.reports:
                ledger.entry(name, scene.period)
        return {}

    ledger.entry("", scene.period)  # for its imports
    return Job(run, facts=lambda: {"ticks": count})


@dataclass
class _Spent:
    """CPU seconds of single ticks by kind; a tick that looks back is counted as a whole under LOOKS_BACK too."""

    looks: dict[str, list[float]] = field(default_factory=dict)
    back: list[float] = field(default_factory=list)
    with_back: list[float] = field(default_factory=list)

    def add(self, kind: str, look: float, back: float, *, looked_back: bool) -> None:
        if looked_back:
            self.back.append(back)
            self.with_back.append(look + back)
        self.looks.setdefault(kind, []).append(look)

    def parts(self) -> dict[str, float]:
        return {**{kind: sum(spent) for kind, spent in self.looks.items()}, LOOKS_BACK: sum(self.back)}

    def each(self) -> dict[str, list[float]]:
        """Mean and most of a tick, in ms."""
        kinds = {**self.looks, LOOKS_BACK: self.with_back}
        return {kind: [1000 * sum(s) / len(s), 1000 * max(s)] for kind, s in kinds.items() if s}


class _Simulated:
    """The sensor's own work at chosen minutes of the day after the period.

    Runs are not started: what a run would write into the ledger is written at once.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene, self.memory, self.spent = scene, Memory(), _Spent()
        self._warehouse = scene.warehouse()  # one a process, as the sensor has it
        self.requests = 0
        self._reports, self._ledgers = all_reports(), ledgers_of(scene.home, scene.settings)
        self._cursor: str | None = None
        self._running: list[str] = []
        self._start = day_start(scene.period + timedelta(days=1), scene.settings.zone).replace(tzinfo=UTC)
        self._owner = _owner()

    def tick(self, minute: int, gates: Mapping[str, str]) -> None:
        """One tick, and what became of the runs that the one before asked for."""
        moment = self._start + timedelta(minutes=minute)
        settings = self.scene.settings.model_copy(update=gates)
        began = time.process_time()
        self.memory.forget_old(moment)
        desk = Desk(self._reports, settings, self._ledgers, self._warehouse)
        found = availability.look(desk, self.scene.instance, moment, self.memory)
        looked = time.process_time()
        late, errors, cursor = followups.correction_requests(
            desk, self.scene.instance, moment, self._cursor, found.requests, memory=self.memory
        )
        ended = time.process_time()
        actions = {decision.action for decision in found.decisions}
        wrong = [*late, *errors, *found.errors]
        if wrong or not actions <= {Action.NOTHING, Action.WAIT, Action.RUNNING, Action.SEND}:
            raise RuntimeError(f"the simulated day went another way: {[*wrong, *found.lines]}")
        kind = WAITING if Action.WAIT in actions else QUIET if actions == {Action.NOTHING} else SENDING
        self.spent.add(kind, looked - began, ended - looked, looked_back=cursor != self._cursor)
        self._cursor = cursor
        self._run(moment, [d.report for d in found.decisions if d.action is Action.SEND])

    def _run(self, moment: datetime, asked: Sequence[str]) -> None:
        ledger, period = self._ledgers.runs, Period(self.scene.period, self.scene.period)
        for name in self._running:
            _deliver(ledger, name, period, self._owner, moment)
        for name in asked:
            _claim(ledger, name, period, self._owner, moment)
        self._running = list(asked)
        self.requests += len(asked)


def simulated(place: Place) -> Job:
    """`look` and `correction_requests` at every minute of a day: nothing due, incomplete data, two reports, nothing."""
    extent = extent_of(place)
    made: list[_Simulated] = []

    def before() -> None:
        made[:] = [_Simulated(set_up(place))]

    def run() -> Mapping[str, float]:
        [day] = made
        for minute in range(extent.first, extent.first + extent.ticks):
            day.tick(minute, _NEVER if minute < DUE + extent.waits else _AT_ONCE)
        if day.requests != len(day.scene.settings.reports):
            raise RuntimeError(f"{day.requests} reports were asked for")
        return day.spent.parts()

    def facts() -> Mapping[str, object]:
        [day] = made
        own = day.spent.each()
        empty = _no_event(day, extent.empty)
        worst = max(own[WAITING][0], empty[0])
        # A day in which the data never comes, reckoned from what single ticks cost.
        looks_back = own[LOOKS_BACK][0] - own[QUIET][0]
        dearest = DUE * own[QUIET][0] + (DAY_TICKS - DUE) * worst + DAY_TICKS / _LOOK_BACK_MINUTES * looks_back
        return {
            "ticks": extent.ticks,
            "requests": day.requests,
            "tick_ms": {**own, NO_EVENT: empty},
            "dearest_day_cpu": dearest / 1000,
        }

    before()
    made[0].tick(extent.first, _NEVER)  # for its imports
    made[0].tick(DUE, _NEVER)
    return Job(run, before, facts)


def _no_event(day: _Simulated, ticks: int) -> list[float]:
    """Mean and most, in ms, of ticks on the next day, whose report waits for a day of which nothing was loaded."""
    start = day_start(day.scene.period + timedelta(days=1), day.scene.settings.zone)
    with duckdb.connect(day.scene.home.events) as con:
        for table in EVENT_TABLES:
            con.execute(f"DELETE FROM {table.name} WHERE time >= $start", {"start": start})
    day.spent = _Spent()
    for minute in range(1 + ticks):
        day.tick(DAY_TICKS + DUE + minute, {})
    # The first one fills the history of past days, as the first one of every wait does.
    waited = day.spent.looks[WAITING][1:]
    return [1000 * sum(waited) / len(waited), 1000 * max(waited)]


def evaluated(place: Place) -> Job:
    """Ticks as Dagster's code server evaluates them: a part of a day, in the day's proportions, as a whole day.

    The sensor has its own clock, so it is REPORT_TIME that makes a tick quiet (the day's last second) or waiting (the
    first), and a tick without a cursor looks at delivered periods.
    """
    extent = extent_of(place)
    count, waits = extent.ticks // extent.part, extent.waits // extent.part
    scene = set_up(place, ago=0)
    times = {QUIET: clock(23, 59, 59), WAITING: clock(0)}
    sensors = {kind: _sensor(scene, at) for kind, at in times.items()}
    spent = _Spent()

    def run() -> Mapping[str, float]:
        spent.looks.clear()
        spent.with_back.clear()
        cursor: str | None = None
        for tick in range(count):
            looks_back = tick % _LOOK_BACK_MINUTES == 0
            kind = QUIET if tick < count - waits else WAITING
            began = time.process_time()
            cursor = sensors[kind].tick(None if looks_back else cursor)
            (spent.with_back if looks_back else spent.looks.setdefault(kind, [])).append(time.process_time() - began)
        return {}

    for sensor in sensors.values():  # for its imports
        sensor.tick(None)
    return Job(run, facts=lambda: {"ticks": extent.ticks, "tick_ms": spent.each()}, shares=count / extent.ticks)


@dataclass(frozen=True)
class _Sensor:
    repository: dg.RepositoryDefinition
    definition: dg.SensorDefinition
    instance: dg.DagsterInstance
    waits: bool

    def tick(self, cursor: str | None) -> str | None:
        """Evaluate it with a context of its own, as for every tick; the cursor it leaves."""
        name = self.definition.name
        keys = self.definition.required_resource_keys
        given = {key: value for key, value in self.repository.get_top_level_resources().items() if key in keys}
        with dg.SensorEvaluationContext(
            self.instance.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=cursor,
            repository_name=self.repository.name,
            repository_def=self.repository,
            sensor_name=name,
            resources=given,
        ) as context:
            data = self.definition.evaluate_tick(context)
        said = data.skip_message or ""
        if data.run_requests or ("waits for data" in said) != self.waits:
            raise RuntimeError(f"the tick went another way: {said or data.run_requests}")
        return data.cursor


def _sensor(scene: Scene, report_time: clock) -> _Sensor:
    settings = scene.settings.model_copy(update={**_NEVER, "report_time": report_time})
    repository = build_definitions(scene.home, settings).get_repository_def()
    definition = repository.get_sensor_def(availability.SENSOR)
    return _Sensor(repository, definition, scene.instance, report_time == clock(0))
