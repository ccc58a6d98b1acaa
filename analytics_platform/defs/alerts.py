"""Alerts in Dagster: the sensor that looks every 15 minutes, the job that tells, assets and checks of what was found.

Belongs here: ticks, the run that tells, what the UI shows. Does not: the look (`defs/watching.py`), telling
(`defs/telling.py`).

The look is in the tick, not in a run: it takes a hundredth of a run's time, and there is something to say only now and
then. A run is asked for when there is.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock

import dagster as dg

from analytics_platform.alerts.incident import Incident, Kind, Status
from analytics_platform.channels.base import ChannelError
from analytics_platform.defs.claims import now
from analytics_platform.defs.deliveries import UNFINISHED
from analytics_platform.defs.instances import instance_of
from analytics_platform.defs.liveness import Alive
from analytics_platform.defs.metrics import QUARTERS
from analytics_platform.defs.office import ALERTS, Office
from analytics_platform.defs.shown import picture, receipts_table
from analytics_platform.defs.telling import Teller, Told, said_in_words, to_tell, week_to_tell
from analytics_platform.defs.watching import SUBJECT, Looked, Tower, look
from analytics_platform.settings import Settings
from analytics_platform.warehouses.base import Warehouse, origin

SENSOR, JOB, TRAINING_JOB = "watch_metrics", "tell_alerts", "train_alert_detector"
ANOMALIES = dg.AssetKey(["anomalies", "quarter_hour"])
DELIVERED = dg.AssetKey(["deliveries", ALERTS])
NOTHING_UNUSUAL, DATA_ON_TIME = "nothing_unusual", "data_on_time"
_GROUP = "alerts"
# Seldom more than what came in one look; the rest is told by the next run.
_SHOWN = 10
_PASSED_OVER = "passed over"
_AFTER_FAILURE = timedelta(minutes=5)
_REMEMBERED = timedelta(days=400)


class LookError(Exception):
    """A look failed. One sentence."""


def alert_assets() -> list[dg.AssetSpec]:
    """What ticks and telling runs report."""
    return [
        dg.AssetSpec(
            ANOMALIES,
            deps=[QUARTERS],
            group_name=_GROUP,
            description="What is unusual: every closed quarter of an hour is judged once, by the sensor "
            f"{SENSOR}, and becomes incidents (`analytics-platform alerts list`).",
            kinds={"sensor"},
        ),
        dg.AssetSpec(
            DELIVERED,
            deps=[ANOMALIES],
            group_name=_GROUP,
            description="Incidents as they were told: one message an incident and chat, edited while it lives.",
        ),
    ]


def alert_checks(office: Office) -> list[dg.AssetChecksDefinition]:
    """Of the state as it is; the sensor reports them after each look."""

    @dg.asset_check(asset=ANOMALIES, name=NOTHING_UNUSUAL, description="No incident is open.")
    def nothing_unusual() -> dg.AssetCheckResult:
        passed, text = _unusual(office.ledgers.incidents.open())
        return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, description=text)

    @dg.asset_check(asset=ANOMALIES, name=DATA_ON_TIME, description="Every source's events come.")
    def data_on_time() -> dg.AssetCheckResult:
        passed, text = _on_time(office.ledgers.incidents.open())
        return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, description=text)

    return [nothing_unusual, data_on_time]


def _unusual(open_: list[Incident]) -> tuple[bool, str]:
    found = [one for one in open_ if one.kind is Kind.ANOMALY and one.status is Status.OPEN]
    lines = [f"{one.id}: {one.lead} {one.direction} since {one.started:%Y-%m-%d %H:%M} UTC" for one in found[:_SHOWN]]
    return not found, "; ".join(lines)


def _on_time(open_: list[Incident]) -> tuple[bool, str]:
    found = [one for one in open_ if one.kind is Kind.LATE_DATA and one.status is Status.OPEN]
    return not found, "; ".join(f"{one.source}: no events since {one.started:%Y-%m-%d %H:%M} UTC" for one in found)


def reported(office: Office, looked: Looked, seconds: float) -> list[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """What a look has to show in the UI; nothing when it judged nothing."""
    if not looked.judged:
        return []
    open_ = office.ledgers.incidents.open()
    until = max(looked.until.values())
    shown = [f"{f.bucket:%H:%M} {f.series}: {f.what} {f.value:g}, expected {f.expected:g}" for f in looked.findings]
    events: list[dg.AssetMaterialization | dg.AssetCheckEvaluation] = [
        dg.AssetMaterialization(
            ANOMALIES,
            metadata={
                "judged": dg.MetadataValue.int(sum(looked.judged.values())),
                "until": dg.MetadataValue.timestamp(until),
                "unusual": dg.MetadataValue.int(len(looked.findings)),
                "findings": dg.MetadataValue.text("\n".join(shown[:_SHOWN]) or "none"),
                "seconds": dg.MetadataValue.float(round(seconds, 3)),
            },
        )
    ]
    for name, (passed, text) in ((NOTHING_UNUSUAL, _unusual(open_)), (DATA_ON_TIME, _on_time(open_))):
        events.append(
            dg.AssetCheckEvaluation(
                asset_key=ANOMALIES,
                check_name=name,
                passed=passed,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={},
                description=text or None,
            )
        )
    return events


def tick(office: Office, tower: Tower, moment: datetime) -> Looked:
    """One look; an error becomes a problem of the owner's and is raised as LookError."""
    problems = office.ledgers.problems
    token = origin.set(f"sensor/{SENSOR}")
    try:
        looked = look(tower, moment)
    except Exception as error:
        # Whatever it is: metrics that nobody looks at are the owner's to know of, and the tick is red.
        text = f"{type(error).__name__}: {error}"
        problems.record(SUBJECT, "tick", text, moment)
        raise LookError(f"metrics were not checked: {text}") from error
    finally:
        origin.reset(token)
    problems.resolve(SUBJECT, moment, "metrics are checked again", kind="tick")
    for source, (begin, end) in looked.passed_over.items():
        text = (
            f"{source} from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC was not judged: longer ago than "
            "ALERT_CATCH_UP_HOURS. What alerts would have said: analytics-platform alerts replay"
        )
        problems.record(SUBJECT, f"{_PASSED_OVER} {source}", text, moment)
    for problem in problems.open():
        if problem.subject == SUBJECT and problem.kind.startswith(_PASSED_OVER) and problem.told_at:
            problems.resolve(SUBJECT, moment, "it was told; buckets are judged again", kind=problem.kind)
    return looked


def said(looked: Looked) -> str:
    """A line for the tick."""
    if looked.missing:
        return f"history: {looked.said}"
    parts = [
        f"{source}: {count} judged, to {looked.until[source]:%H:%M} UTC" for source, count in looked.judged.items()
    ]
    parts += [f"{source}: nothing since {since:%Y-%m-%d %H:%M} UTC" for source, since in looked.held.items()]
    parts += [f"{source}: passed over to {end:%Y-%m-%d %H:%M} UTC" for source, (_, end) in looked.passed_over.items()]
    parts += [f"{len(looked.findings)} unusual"] if looked.findings else []
    parts += ["another process was faster"] if looked.behind else []
    return "; ".join(parts) or "nothing new to judge"


def wanted(office: Office, moment: datetime) -> bool:
    """Whether there is something to tell."""
    return bool(to_tell(office, moment) or week_to_tell(office, moment))


def held_back(office: Office, instance: dg.DagsterInstance, moment: datetime) -> str:
    """Why no run is asked for though there is something to tell; empty when one is."""
    try:
        office.recipients(ALERTS)
    except ChannelError as error:
        office.ledgers.problems.record(SUBJECT, "delivery", str(error), moment)
        return str(error)
    if instance.get_runs(dg.RunsFilter(job_name=JOB, statuses=UNFINISHED), limit=1):
        return "a run is telling"
    failed = dg.RunsFilter(job_name=JOB, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=moment - _AFTER_FAILURE)
    return "the last telling failed; it is tried again in some minutes" if instance.get_runs(failed, limit=1) else ""


def forget(office: Office, moment: datetime) -> None:
    """Let go of what nobody will ask for any more."""
    for ledger in (office.ledgers.incidents, office.ledgers.feedback, office.ledgers.mutes):
        ledger.forget(moment - _REMEMBERED)


def alerts_sensor(
    settings: Settings, office: Office, job: dg.JobDefinition, warehouse: Callable[[], Warehouse]
) -> dg.SensorDefinition:
    """Every minute a look whether a quarter of an hour has closed; it is judged in the tick itself."""
    looking = Lock()
    towers: list[Tower] = []
    next_look: list[datetime] = []

    @dg.sensor(
        name=SENSOR,
        job=job,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if settings.alerts else dg.DefaultSensorStatus.STOPPED,
        description="Judges every quarter of an hour once it has closed, and asks for a run when there is something "
        "to tell.",
    )
    def watch_metrics(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        moment, started = now(), time.process_time()
        # Dagster gives up waiting for a tick after a minute; its look goes on all the same.
        if not looking.acquire(blocking=False):
            return dg.SensorResult(skip_reason="the last look still goes on")
        try:
            looked = Looked()
            if not next_look or moment >= next_look[0]:
                if not towers:
                    towers.append(Tower.of(warehouse(), settings, office.ledgers))
                next_look.clear()  # an error is tried again at once
                looked = tick(office, towers[0], moment)
                next_look.extend([looked.next_at] if looked.next_at else [])
        finally:
            looking.release()
        events = reported(office, looked, time.process_time() - started)
        if moment.minute == 0:
            forget(office, moment)
        why_not = "" if wanted(office, moment) else said(looked)
        if not why_not:
            why_not = held_back(office, instance_of(context), moment)
        if why_not:
            return dg.SensorResult(skip_reason=why_not, asset_events=events)
        request = dg.RunRequest(run_key=f"{JOB}@{moment.isoformat(timespec='seconds')}")
        return dg.SensorResult(run_requests=[request], asset_events=events)

    return watch_metrics


def training_job() -> dg.JobDefinition:
    """The run that learns from verdicts."""

    @dg.op(name="fit_to_verdicts", required_resource_keys={"office", "warehouse", "settings", "alive"})
    def fit_to_verdicts(context: dg.OpExecutionContext) -> None:
        """Fit a detector to what people said of incidents; it is used where it beats the default."""
        from analytics_platform.defs.training import train

        office: Office = context.resources.office
        trained = train(context.resources.warehouse, context.resources.settings, office.ledgers, now())
        for line in trained.said:
            context.log.info(line)

    @dg.job(name=TRAINING_JOB, description="Learns from verdicts on incidents; used only where it beats the default.")
    def train_alert_detector() -> None:
        fit_to_verdicts()

    return train_alert_detector


def alert_job() -> dg.JobDefinition:
    """The run that tells."""

    @dg.op(
        name="tell_incidents",
        pool="alerts",
        required_resource_keys={"office", "warehouse", "alive"},
    )
    def tell_incidents(context: dg.OpExecutionContext) -> None:
        """Tell readers what is new of every incident: text first, chart and explanation as far as they can be made."""
        office: Office = context.resources.office
        alive: Alive = context.resources.alive
        told = Teller(office, context.resources.warehouse, alive.owner).tell(now())
        for line in told.lines:
            context.log.info(line)
        if told.delivered:
            context.log_event(dg.AssetMaterialization(DELIVERED, metadata=receipt(told)))
        if told.troubled:
            raise dg.Failure("\n".join(told.troubled), allow_retries=False)

    @dg.job(name=JOB, description="Tells subscribers what is unusual in the metrics, and what has become of it.")
    def tell_alerts() -> None:
        tell_incidents()

    return tell_alerts


def receipt(told: Told) -> dict[str, dg.MetadataValue]:
    """What a telling run shows of itself."""
    parts = [part for delivered in told.delivered.values() for part in delivered.parts]
    shown: dict[str, dg.MetadataValue] = dict(receipts_table(parts))
    shown["incidents"] = dg.MetadataValue.md("\n".join(f"- {line}" for line in told.lines) or "none")
    for number, explanation in list(told.explanations.items())[:_SHOWN]:
        shown[f"what carries {number}"] = dg.MetadataValue.text(said_in_words(explanation))
    for number, png in list(told.pictures.items())[:1]:
        shown[f"chart of {number}"] = picture(png, f"incident {number}")
    return shown
