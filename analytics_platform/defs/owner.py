"""Problems reach their owner: failed runs are collected, one digest per owner goes out, recoveries close them.

Belongs here: reading failed and successful runs, sending digests, the heartbeat. Does not: wording (`owner.py`),
what the ledgers hold (`state/`).
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from analytics_platform import heartbeat, owner
from analytics_platform.agenda import SETTLED
from analytics_platform.channels.base import ChannelError, Recipient
from analytics_platform.defs.claims import SUBJECT, now, subject_of
from analytics_platform.defs.health import PATIENCE, unseen
from analytics_platform.defs.instances import instance_of
from analytics_platform.defs.liveness import this_host
from analytics_platform.defs.office import PROBLEMS, Office
from analytics_platform.defs.resources import Ledgers
from analytics_platform.delivery import NOT_ARRIVED, Delivered, Parcel
from analytics_platform.language import Language
from analytics_platform.reports.base import Report
from analytics_platform.settings import Settings
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import State
from analytics_platform.state.problems import Digest, Problem
from analytics_platform.state.runs import Entry, Status

SENSOR = "tell_owner"
# A sensor's tick may last a minute, and other sensors wait for it.
_TELLING_SECONDS = 30.0
# How long problems that are over are kept.
_REMEMBERED = timedelta(days=90)
# How a run says that another one is at its report.
_TAKEN = "is being made by run"


@dataclass(frozen=True)
class Told:
    """What became of a round: who was told, and what went wrong with telling."""

    lines: tuple[str, ...]
    failed: bool = False


def collect_failures(instance: dg.DagsterInstance, settings: Settings, ledgers: Ledgers, since: datetime) -> datetime:
    """Turn runs that failed after `since` into problems; the moment up to which runs have been seen.

    A report's run is the ledger's affair (it is tried again, and given up with a problem of its own) unless it ended
    before it could claim anything. One that only came second is no trouble.
    """
    where = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    seen = since
    for record in reversed(instance.get_run_records(where)):
        run = record.dagster_run
        seen = max(seen, record.update_timestamp.replace(tzinfo=UTC))
        subject = f"job {run.job_name}"
        report, _, period = run.tags.get(SUBJECT, "").partition("/")
        text = _reason(instance, run)
        # What has not arrived is the delivery ledger's affair, which tells it once and when it is over.
        if _TAKEN in text or NOT_ARRIVED in text or _in_ledger(ledgers, run):
            continue
        if report and "/" not in period:
            subject = subject_of(report, period)
        url = f"{settings.ui_url.rstrip('/')}/runs/{run.run_id}" if settings.ui_url else ""
        ledgers.problems.record(subject, "failed", text, seen, report=report, url=url)
    return seen


def _in_ledger(ledgers: Ledgers, run: dg.DagsterRun) -> bool:
    """Whether the run has worked on a report's period: then its failure is written there."""
    if not run.job_name.startswith("report_"):
        return False
    name = run.job_name.removeprefix("report_")
    recent = ledgers.runs.entries(name, limit=50)
    return any(c.run_id == run.run_id for entry in recent for c in ledgers.runs.history(name, entry.period.last))


def close_recovered(instance: dg.DagsterInstance, ledgers: Ledgers, moment: datetime) -> None:
    """Resolve the problems that are over: the report went out, or the job has succeeded since."""
    problems = ledgers.problems.open()
    everybody = ledgers.subscribers.all() if any(p.subject.startswith("subscriber ") for p in problems) else []
    for problem in problems:
        kind, _, rest = problem.subject.partition(" ")
        if kind == "job":
            where = dg.RunsFilter(
                job_name=rest, statuses=[dg.DagsterRunStatus.SUCCESS], updated_after=problem.last_seen
            )
            if instance.get_runs(where, limit=1):
                ledgers.problems.resolve(problem.subject, moment, "the job has succeeded since")
        elif kind == "delivery":
            _close_delivery(ledgers, problem, rest, moment)
        elif kind == "subscriber":
            one = next((one for one in everybody if str(one) == rest), None)
            if one is None or (problem.kind == "paused" and one.active):
                ledgers.problems.resolve(problem.subject, moment, "active again" if one else "removed")
        elif kind == "report" and problem.kind in ("late", "failed", "missing"):
            name, _, period = rest.partition(" ")
            if not period:
                continue
            entry = ledgers.runs.entry(name, datetime.fromisoformat(period.rpartition("..")[2]).date())
            if entry and entry.status in SETTLED and entry.finished_at and entry.finished_at > problem.first_seen:
                ledgers.problems.resolve(
                    problem.subject,
                    moment,
                    "delivered" if entry.status is Status.DELIVERED else "delivered as preliminary",
                )


def _close_delivery(ledgers: Ledgers, problem: Problem, what: str, moment: datetime) -> None:
    """Over when all has arrived, or when what was sent is so long ago that the ledger has let go of it."""
    topic, _, period = what.partition(" ")
    parts = ledgers.deliveries.parts(topic, period)
    if not Delivered(tuple(parts)).trouble:
        ledgers.problems.resolve(problem.subject, moment, "delivered" if parts else "long over")
    elif (entry := _entry(ledgers, topic, period)) and entry.settled:
        earlier = [replace(entry, round=number).key for number in range(1, entry.round)]
        if period in earlier:
            ledgers.problems.resolve(problem.subject, moment, "sent anew")


def _entry(ledgers: Ledgers, topic: str, period: str) -> Entry | None:
    try:
        return ledgers.runs.entry(topic, date.fromisoformat(period[:10]))
    except ValueError:  # no report's period
        return None


def tell(office: Office, moment: datetime) -> Told:
    """Send each owner one digest of what is new, lasts or is over. What could not be sent is tried again next time."""
    settings, ledgers = office.settings, office.ledgers
    digest = ledgers.problems.to_tell(moment, timedelta(hours=settings.problems_again_hours))
    if not digest:
        return Told(())
    try:
        subscribed = {str(recipient): recipient for recipient in office.recipients(PROBLEMS)}
    except ChannelError as error:  # a wrong setting must not silence itself
        subscribed = {}
        ledgers.problems.record("settings", "failed", str(error), moment)
    else:
        ledgers.problems.resolve("settings", moment, "mended")
    _forget_strangers(ledgers, (*settings.owners, *subscribed), settings, moment)
    digest = ledgers.problems.to_tell(moment, timedelta(hours=settings.problems_again_hours))
    shares = owner.by_owner(digest, (*settings.owners, *subscribed), settings.report_owners)
    lines: list[str] = []
    reached: set[str] = set()
    failed = False
    began = time.monotonic()
    for place, (recipient, share) in enumerate(shares.items(), start=1):
        if not share:
            continue
        trying = next((p for p in ledgers.problems.open() if p.subject == f"owner {recipient}"), None)
        if trying and moment < trying.last_seen + _pause(trying):
            lines.append(f"{recipient} cannot be told, and is tried again later")
            failed = True
            continue
        if time.monotonic() - began > _TELLING_SECONDS:
            lines.append(f"{recipient} is told in the next minute")
            continue
        ids = {p.fingerprint for p in (*share.new, *share.lasting, *share.recovered)}
        try:
            one = subscribed.get(recipient) or office.anyone(recipient)
            trouble = _digest_to(office, one, share, f"{moment:%Y-%m-%d %H%M%S} {place}")
        except ChannelError as error:
            trouble = str(error)
        if trouble:
            lines.append(f"{recipient} was not told: {trouble}")
            # For the other owners; for the only one, the tick's log and `health` have it.
            text = trying.text if trying else f"cannot be told: {trouble}"
            ledgers.problems.record(f"owner {recipient}", "failed", text, moment)
            failed = True
        else:
            lines.append(f"{recipient} was told of {len(ids)} {'problem' if len(ids) == 1 else 'problems'}")
            ledgers.problems.resolve(f"owner {recipient}", moment, "reached again")
            reached |= ids
    # Told is told: an owner who cannot be reached must not make the others hear it every minute.
    ledgers.problems.told(_only(digest, reached), moment)
    return Told(tuple(lines), failed)


def _digest_to(office: Office, recipient: Recipient, share: Digest, period: str) -> str:
    """Why this owner has not got the share; empty when they have."""
    messages = owner.digest_messages(share, Language(recipient.language), recipient.zone)
    # Not tried later: the next digest says what is wrong then.
    parcel = Parcel(PROBLEMS, period, {recipient.language: messages}, timedelta(0))
    me = Owner(SENSOR, this_host(), os.getpid())
    delivered: Delivered = office.post.deliver(parcel, (recipient,), me)
    left = [part.id for part in delivered.parts if part.unfinished]
    reason = "the next digest says what is wrong then"
    office.ledgers.deliveries.give_up(left, reason, office.clock(), states=(State.PENDING, State.UNCERTAIN))
    # What may have arrived counts: telling it anew every minute would be worse than once too little.
    unsure = all(part.state in (State.SENT, State.UNCERTAIN) for part in delivered.parts)
    return "" if delivered.parts and unsure and not delivered.errors else delivered.summary()


def _pause(trying: Problem) -> timedelta:
    """How long an owner is left alone who could not be told: longer and longer, half an hour at most."""
    return min((trying.last_seen - trying.first_seen) / 4, timedelta(minutes=30))


def _forget_strangers(ledgers: Ledgers, owners: Sequence[str], settings: Settings, moment: datetime) -> None:
    """Who is no owner any more need not be told."""
    known = {*owners, *(one for found in settings.report_owners.values() for one in found)}
    for problem in ledgers.problems.open():
        kind, _, who = problem.subject.partition(" ")
        if kind == "owner" and who not in known:
            ledgers.problems.resolve(problem.subject, moment, "no longer an owner")


def _only(digest: Digest, fingerprints: set[str]) -> Digest:
    def chosen(problems: tuple[Problem, ...] | list[Problem]) -> Any:
        return type(problems)(p for p in problems if p.fingerprint in fingerprints)

    return replace(digest, new=chosen(digest.new), lasting=chosen(digest.lasting), recovered=chosen(digest.recovered))


def beat(settings: Settings, moment: datetime) -> str:
    """The sign of life; a sentence when it could not be given."""
    url = settings.heartbeat_url.get_secret_value() if settings.heartbeat_url else None
    return heartbeat.beat(settings.heartbeat_file, url, moment) or ""


def _reason(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Why a run failed: its first failed step, else its last word."""
    events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    for entry in events:
        event = entry.dagster_event
        if event is not None:
            data = event.step_failure_data
            described = data.user_failure_data.description if data.user_failure_data else None
            text = described or ((data.error.cause or data.error).message if data.error else "failed")
            return f"{(event.step_key or 'a step').replace('__', '/')}: {text.strip()}"
    ends = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    last = ends[-1].dagster_event if ends else None
    return (last.message if last and last.message else "the run failed; see its log").strip()


def owner_sensor(
    settings: Settings, reports: Mapping[str, Report[Any]], ledgers: Ledgers, office: Office
) -> dg.SensorDefinition:
    """Every minute: failed runs and missing reports become problems, owners get one digest, the heartbeat goes out."""

    begun = now()

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells owners what is wrong, once, daily while it lasts, and when it is over.",
    )
    def tell_owner(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        moment = now()
        silent = beat(settings, moment)
        # What failed before the first tick is history, not news.
        since = datetime.fromisoformat(context.cursor) if context.cursor else moment
        instance = instance_of(context)
        seen = collect_failures(instance, settings, ledgers, since)
        close_recovered(instance, ledgers, moment)
        # After a start the scheduler catches up first: what it is about to send is not missing.
        patient = moment >= begun + PATIENCE
        for subject, text, report in unseen(reports, settings, ledgers, moment) if patient else ():
            ledgers.problems.record(subject, "missing", text, moment, report=report)
        told = tell(office, moment)
        if moment.minute == 0:
            ledgers.problems.forget(moment - _REMEMBERED)
        lines = [*told.lines, *([silent] if silent else [])]
        return dg.SensorResult(skip_reason="; ".join(lines) or "nothing new", cursor=seen.isoformat())

    return tell_owner
