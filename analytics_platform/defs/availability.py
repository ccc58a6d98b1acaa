"""The data-availability sensor: asks ledger and data about every report, and starts what is due and ready.

Belongs here: turning decisions into run requests, ledger entries and problems. Does not: deciding (`agenda.py`),
judging data (`availability.py`), sending.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from analytics_platform.agenda import Action, Decision, Rules, decide
from analytics_platform.defs.claims import MISSING, SUBJECT, end_dead_claims, now, subject_of
from analytics_platform.defs.followups import (
    DIGEST_JOB,
    compute_request,
    computing,
    correction_requests,
    digest_config,
)
from analytics_platform.defs.instances import instance_of
from analytics_platform.defs.partitions import key_of
from analytics_platform.defs.resources import Ledgers
from analytics_platform.defs.schedules import report_job
from analytics_platform.defs.sight import Desk, Memory, rules_of
from analytics_platform.reports.base import Report
from analytics_platform.settings import Settings
from analytics_platform.state.problems import Problem
from analytics_platform.state.runs import Status
from analytics_platform.warehouses.base import Warehouse

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

Reports = Mapping[str, Report[Any]]

SENSOR = "data_availability"
# How long a late period may be on its way before its owner hears of it.
_PATIENCE = timedelta(minutes=10)


class SchedulingError(Exception):
    """The look at one or more reports failed. One sentence for each."""


@dataclass
class Look:
    """One look over all reports: what is to be started, what there is to say."""

    decisions: list[Decision] = field(default_factory=list)
    requests: list[dg.RunRequest] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def look(desk: Desk, instance: dg.DagsterInstance, moment: datetime, memory: Memory | None = None) -> Look:
    """Decide for every scheduled report, write waiting and ready periods into the ledger, and collect run requests.

    An error about one report becomes a problem of its owner and never keeps another from its turn.
    """
    found = Look()
    sight = desk.sight(moment, memory)
    if sight.running() and (ended := end_dead_claims(desk.ledgers, moment)):
        found.lines += ended
        sight = desk.sight(moment, memory)
    rules = rules_of(desk.settings)
    problems = _Problems(desk.ledgers, moment)
    for name in desk.settings.reports:
        report = desk.reports[name]
        try:
            decision = decide(report, sight, rules, moment)
            _note(report, decision, desk.ledgers, problems)
            starter = _Starter(instance, rules, moment, found)
            found.requests += starter.requests(report, decision)
            found.decisions.append(decision)
        except Exception as error:  # noqa: BLE001 - one report's error never stops another's; it reaches the owner
            text = f"{type(error).__name__}: {error}"
            problems.record(f"report {name}", "tick", text, name)
            found.errors.append(f"{name}: {text}")
        else:
            problems.over(f"report {name}", "tick", "the scheduler is at it again")
    return found


def _note(report: Report[Any], decision: Decision, ledgers: Ledgers, problems: "_Problems") -> None:
    """What the ledger and the owner are to know of the decision."""
    moment = problems.moment
    if decision.settled:
        ledgers.runs.settle(report.name, decision.settled, moment)
    for entry in decision.given_up:
        if entry.delivery:  # what became of each part is told of by the delivery
            continue
        what = "it may have arrived in part" if entry.delivering else f"{entry.attempts} tries"
        again = f"analytics-platform reports reset {report.name} --period {entry.period.last}"
        text = f"was not delivered ({what}): {entry.reason}. To send it: {again}"
        problems.record(subject_of(report.name, entry.period), "failed", text, report.name)
    if decision.action is Action.WAIT:
        ledgers.runs.expect(report.name, decision.period, Status.WAITING, decision.missing, moment)
    elif decision.action in (Action.SEND, Action.SEND_PRELIMINARY, Action.COMPUTE):
        ledgers.runs.expect(report.name, decision.period, Status.READY, decision.missing, moment)
    if decision.late and decision.action not in (Action.SEND, Action.NOTHING):
        known = ledgers.runs.entry(report.name, decision.period.last)
        # After an outage what is late is done in a minute, unless it is its data that is late.
        hopeless = known and (decision.missing or moment >= known.created_at + _PATIENCE)
        if known and hopeless and known.late_told_at is None:  # once a period, however the reason changes
            problems.record(subject_of(report.name, decision.period), "late", decision.reason, report.name)
            ledgers.runs.told_late(report.name, decision.period.last, moment)


@dataclass(frozen=True)
class _Starter:
    """Turns a decision into the runs that carry it out; none when they are under way."""

    instance: dg.DagsterInstance
    rules: Rules
    moment: datetime
    found: Look

    def requests(self, report: Report[Any], decision: Decision) -> list[dg.RunRequest]:
        match decision.action:
            case Action.COMPUTE:
                request, more = self._compute(decision)
            case Action.SEND | Action.SEND_PRELIMINARY:
                request, more = self._send(report, decision)
            case Action.CATCH_UP:
                request, more = self._catch_up(report, decision)
            case _:
                request, more = None, ""
        self.found.lines.append(f"{report.name}: {decision.reason}{more}")
        return [request] if request else []

    def _compute(self, decision: Decision) -> tuple[dg.RunRequest | None, str]:
        under_way = computing(self.instance, self.found.requests)
        if under_way:
            return None, "" if under_way == "asked" else f" (run {under_way[:8]} computes)"
        return compute_request(decision.days[0], decision.days[-1], self.moment), ""

    def _send(self, report: Report[Any], decision: Decision) -> tuple[dg.RunRequest | None, str]:
        subject = f"{report.name}/{decision.period.last}"
        number, why = self._next(subject)
        if why:
            return None, why
        tags = {SUBJECT: subject} | ({MISSING: decision.missing} if decision.missing else {})
        key = key_of(report, decision.period)
        return dg.RunRequest(
            run_key=f"{subject}#{number}", job_name=report_job(report), partition_key=key, tags=tags
        ), ""

    def _catch_up(self, report: Report[Any], decision: Decision) -> tuple[dg.RunRequest | None, str]:
        subject = f"{report.name}/digest/{decision.missed[-1].last}"
        number, why = self._next(subject)
        if why:
            return None, why
        config = digest_config(report, decision.missed)
        return dg.RunRequest(
            run_key=f"{subject}#{number}", job_name=DIGEST_JOB, run_config=config, tags={SUBJECT: subject}
        ), ""

    def _next(self, subject: str) -> tuple[int, str]:
        """The number of the run to start, or why there is none to be started now.

        Runs that ended without delivering are counted, so that a period is never without a run key of its own.
        """
        earlier = self.instance.get_runs(dg.RunsFilter(tags={SUBJECT: subject}))
        if any(not run.is_finished for run in earlier):
            return 0, " (its run is queued or starting)"
        died = bool(earlier) and earlier[0].status is not dg.DagsterRunStatus.SUCCESS
        if died and not self._rested(earlier[0]):
            return 0, " (its last run ended early; next try after a pause)"
        return len(earlier) + 1, ""

    def _rested(self, run: dg.DagsterRun) -> bool:
        record = self.instance.get_run_record_by_id(run.run_id)
        if record is None or record.end_time is None:
            return True
        ended = datetime.fromtimestamp(record.end_time, UTC)
        return not ended <= self.moment < ended + self.rules.retry_pause


class _Problems:
    """The owner's problems as this look finds them; nothing is written twice."""

    def __init__(self, ledgers: Ledgers, moment: datetime) -> None:
        self._store, self.moment = ledgers.problems, moment
        self._known: Sequence[Problem] | None = None

    def record(self, subject: str, kind: str, text: str, report: str) -> None:
        if not any((p.subject, p.kind, p.text) == (subject, kind, text) for p in self._open()):
            self._store.record(subject, kind, text, self.moment, report=report)

    def over(self, subject: str, kind: str, resolution: str) -> None:
        if any((p.subject, p.kind) == (subject, kind) for p in self._open()):
            self._store.resolve(subject, self.moment, resolution, kind=kind)

    def _open(self) -> Sequence[Problem]:
        if self._known is None:
            self._known = self._store.open()
        return self._known


def availability_sensor(
    settings: Settings,
    reports: Reports,
    ledgers: Ledgers,
    jobs: "Sequence[dg.JobDefinition | UnresolvedAssetJobDefinition]",
    warehouse: Callable[[], Warehouse],
) -> dg.SensorDefinition:
    """Every minute: what is due and ready is started, the rest says what it waits for. `jobs`: those it may start.

    `warehouse` gives the process's own: opening one for each tick costs more than asking it.
    """
    memory = Memory()
    # With nobody to tell, reports would only fill the folder: switch it on in the UI when that is wanted.
    delivers = settings.delivers

    @dg.sensor(
        name=SENSOR,
        jobs=jobs,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if delivers else dg.DefaultSensorStatus.STOPPED,
        description=f"Starts reports that are due and whose data is there: {', '.join(settings.reports) or 'none'}.",
    )
    def data_availability(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        moment = now()
        memory.forget_old(moment)
        instance = instance_of(context)
        desk = Desk(reports, settings, ledgers, warehouse())
        found = look(desk, instance, moment, memory)
        # Both in ISO form and UTC, so the later is the greater; a red tick keeps no cursor.
        looked = max(context.cursor, memory.looked or "") if context.cursor else None
        corrections, errors, cursor = correction_requests(desk, instance, moment, looked, found.requests, memory=memory)
        memory.looked = cursor
        requests = [*found.requests, *corrections]
        lines = [*found.errors, *errors, *found.lines]
        if requests:
            # Only then: what is logged in a tick is kept in a file of its own, and a skipped tick says why by itself.
            for line in lines:
                context.log.info(line)
            return dg.SensorResult(run_requests=requests, cursor=cursor)
        if found.errors or errors:
            # Red, and nothing is lost: the problems are recorded, and no run waits to be asked for.
            raise SchedulingError("; ".join(lines))
        return dg.SensorResult(skip_reason="; ".join(lines) or "no report is scheduled (REPORTS)", cursor=cursor)

    return data_availability
