"""Deliveries after their first go: what could not be sent is sent later, what is held is sent on a person's word.

Belongs here: the sensor that sees to deliveries, the jobs that send, the end of a report's period. Does not: the first
go (`defs/reports.py`, `defs/followups.py`), sending (`delivery.py`), who gets what (`defs/office.py`).
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from analytics_platform.artifacts import ArtifactError
from analytics_platform.channels.base import ChannelError
from analytics_platform.defs.claims import gone, now
from analytics_platform.defs.instances import instance_of
from analytics_platform.defs.liveness import Alive
from analytics_platform.defs.office import Office, conclude, note
from analytics_platform.defs.partitions import key_of
from analytics_platform.defs.reports import delivery_key
from analytics_platform.defs.shown import receipts_table
from analytics_platform.delivery import Delivered
from analytics_platform.dispatch import PAUSED
from analytics_platform.reports.base import Report
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import Part, State
from analytics_platform.state.runs import Entry, Status

Reports = Mapping[str, Report[Any]]

SENSOR = "see_to_deliveries"
DUE_JOB, AGAIN_JOB = "send_due", "send_again"
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
# What carries a report itself, not a correction of it or a digest: see `Entry.key`.
_A_PERIOD = re.compile(r"\d{4}-\d\d-\d\d( #\d+)?")
# How long the ledger knows of a delivery, and what was handed over is kept to be sent again.
_REMEMBERED, _KEPT = timedelta(days=400), timedelta(days=14)


@dataclass
class Gone:
    """What a go at several deliveries came to: lines for the log, and those that are still not right."""

    lines: list[str] = field(default_factory=list)
    troubled: list[str] = field(default_factory=list)
    touched: list[tuple[str, str, Delivered]] = field(default_factory=list)


def see_to(office: Office, moment: datetime) -> list[str]:
    """What needs no sending: leftovers become uncertain, what was tried long enough is given up, periods end."""
    ledger, lines = office.ledgers.deliveries, []
    left = ledger.release_dead(moment, gone)
    late = ledger.expire(moment)
    for topic, period in dict.fromkeys((part.topic, part.period) for part in (*left, *late)):
        note(office.ledgers, topic, period, Delivered(tuple(ledger.parts(topic, period))), moment)
        lines.append(f"{topic} {period}: {_counted(left, late, topic, period)}")
    sending = office.ledgers.runs.entries(statuses=(Status.SENDING,))
    ended = [entry for one in sending if (entry := conclude(office.ledgers, one, moment))]
    return [*lines, *(f"{entry.report} {entry.period}: {entry.status.value}" for entry in ended)]


def _counted(left: Sequence[Part], late: Sequence[Part], topic: str, period: str) -> str:
    unsure = sum((part.topic, part.period) == (topic, period) for part in left)
    given_up = sum((part.topic, part.period) == (topic, period) for part in late)
    words = [f"{unsure} left behind by a process that ended"] if unsure else []
    return ", ".join([*words, *([f"{given_up} given up"] if given_up else [])])


def due(office: Office, moment: datetime) -> list[tuple[str, str]]:
    """Deliveries with something to send now, the oldest first; not those whose report is just being made."""
    waiting = office.ledgers.deliveries.due(moment)
    return [key for key in waiting if not _in_the_making(office, *key) and not _behind(office, *key, moment)]


def _behind(office: Office, topic: str, period: str, moment: datetime) -> bool:
    """Whether all that is left of it waits for older deliveries to the same recipients, themselves not yet due."""
    ledger = office.ledgers.deliveries
    left = {part.recipient for part in ledger.parts(topic, period) if part.unfinished}
    return left <= ledger.behind(topic, period, moment)


def _in_the_making(office: Office, topic: str, period: str) -> bool:
    """Whether a run is at it or about to be; or was, of a report that is sent anew by now."""
    if topic not in office.reports or not _A_PERIOD.fullmatch(period):
        return False
    entry = office.ledgers.runs.entry(topic, date.fromisoformat(period[:10]))
    if entry is None:
        return False
    return period != entry.key or entry.status in (Status.RUNNING, Status.READY, Status.WAITING)


def _entry(office: Office, topic: str, period: str) -> Entry | None:
    """The report's period that this delivery carries; None for corrections, digests and other messages."""
    if topic not in office.reports:
        return None
    try:
        last = date.fromisoformat(period[:10])
    except ValueError:
        return None
    entry = office.ledgers.runs.entry(topic, last)
    return entry if entry and period in (entry.key, entry.delivery) else None


def left_of(office: Office, topic: str, moment: datetime) -> list[str]:
    """Periods of the topic of which something goes on by itself, due or not, the oldest first."""
    ledger = office.ledgers.deliveries
    found = ledger.overview(topic=topic, states=(State.PENDING, State.UNCERTAIN), since=moment - _KEPT, limit=100)
    periods = [one.period for one in reversed(found) if ledger.unfinished(topic, one.period)]
    return [period for period in periods if not _in_the_making(office, topic, period)]


def send_due(office: Office, owner: Owner, moment: datetime) -> Gone:
    """Send what is due, the oldest delivery first. Raises nothing for what the other side does."""
    gone_through = Gone()
    for topic, period in due(office, moment):
        _go(office, topic, period, owner, gone_through, anyone=False, due_at=moment)
    return gone_through


def send_again(office: Office, parts: Sequence[Part], owner: Owner, moment: datetime) -> Gone:
    """Send these parts once more, on a person's word, whatever became of them; also to who gets nothing any more."""
    office.ledgers.deliveries.again([part.id for part in parts], moment, moment + office.patience)
    gone_through = Gone()
    for topic, period in dict.fromkeys((part.topic, part.period) for part in parts):
        _go(office, topic, period, owner, gone_through, anyone=True)
    return gone_through


def _go(
    office: Office,
    topic: str,
    period: str,
    owner: Owner,
    found: Gone,
    *,
    anyone: bool,
    due_at: datetime | None = None,
) -> None:
    subject = f"{topic} {period}"
    try:
        recipients = office.recipients(topic)
    except ChannelError:  # nobody wants it any more
        recipients = []
    try:
        delivered = office.post.send(topic, period, recipients, owner, anyone=anyone, due_at=due_at)
    except ArtifactError as error:
        ledger = office.ledgers.deliveries
        left = [part.id for part in ledger.parts(topic, period)]
        ledger.give_up(left, str(error), office.clock(), states=(State.PENDING, State.UNCERTAIN))
        delivered = Delivered(tuple(ledger.parts(topic, period)))
    note(office.ledgers, topic, period, delivered, office.clock())
    found.touched.append((topic, period, delivered))
    if summary := delivered.summary():
        found.troubled.append(f"{subject}: {summary}")
    found.lines.append(f"{subject}: {summary or 'all has arrived'}")
    entry = _entry(office, topic, period)
    if entry and entry.status in (Status.SENDING, Status.FAILED):
        conclude(office.ledgers, entry, office.clock())


def returned(office: Office) -> list[str]:
    """Whoever has let the bot in again gets their reports again; who. What Telegram told is then marked as read."""
    from analytics_platform.channels.telegram import TelegramChannel

    channel = office.post.channel("telegram")
    if not isinstance(channel, TelegramChannel):
        return []
    lines: list[str] = []
    last = 0
    while True:
        newest, arrivals = channel.updates(last)
        for arrival in arrivals:
            for one in office.ledgers.subscribers.resume_address(
                "telegram", arrival.address, office.clock(), paused_by="telegram"
            ):
                office.ledgers.problems.resolve(f"subscriber {one}", office.clock(), arrival.what)
                lines.append(f"{one} is active again ({arrival.what})")
        if newest <= last:  # asking for what comes after an update is what marks it as read
            return lines
        last = newest


def see_to_paused(office: Office) -> list[str]:
    """Ask who has let the bot in again, when Telegram has paused anybody; who, or why it is not known."""
    paused = office.ledgers.subscribers.all(active=False)
    if not office.settings.telegram_bot_token or not any(one.paused_by == "telegram" for one in paused):
        return []
    try:
        return returned(office)
    except ChannelError as error:
        return [f"who lets the bot in again is not known: {error}"]


def receipts_of(office: Office, found: Gone) -> list[dg.AssetMaterialization]:
    """The delivery asset's receipts, as they are after another go."""
    made = []
    for topic, period, delivered in found.touched:
        entry = _entry(office, topic, period)
        if entry:
            report = office.reports[topic]
            made.append(
                dg.AssetMaterialization(
                    delivery_key(report),
                    partition=key_of(report, entry.period),
                    metadata=receipts_table(delivered.parts),
                )
            )
    return made


def jobs(reports: Reports) -> dict[str, dg.JobDefinition]:
    """The two jobs by name."""
    later, again = _due_op(), _again_op(reports)

    @dg.job(name=DUE_JOB, description="Sends what could not be sent before, the oldest delivery first.")
    def due_job() -> None:
        later()

    @dg.job(
        name=AGAIN_JOB, description="Sends parts of a delivery again: what is uncertain, failed, or wanted once more."
    )
    def again_job() -> None:
        again()

    return {job.name: job for job in (due_job, again_job)}


def _due_op() -> dg.OpDefinition:
    schema = {
        "topic": dg.Field(str, default_value="", description="a report or kind of message; empty: all that is due"),
        "period": dg.Field(str, default_value="", description="what of it, sent at once, due or not"),
    }

    @dg.op(name="send_what_is_due", config_schema=schema, pool="delivery", required_resource_keys={"office", "alive"})
    def send_what_is_due(context: dg.OpExecutionContext) -> None:
        """Send what is due, and end the periods that have arrived."""
        office: Office = context.resources.office
        alive: Alive = context.resources.alive
        topic, period = context.op_config["topic"], context.op_config["period"]
        found = Gone()
        if topic:
            _go(office, topic, period, alive.owner, found, anyone=False)
        else:
            found = send_due(office, alive.owner, now())
        _tell(context, office, found)

    return send_what_is_due


def _again_op(reports: Reports) -> dg.OpDefinition:
    topics = ", ".join(reports)
    schema = {
        "topic": dg.Field(
            str,
            default_value="",
            description=f"a report ({topics}) or kind of message; empty: all that is held",
        ),
        "period": dg.Field(str, default_value="", description="as `deliveries list` shows it, such as 2026-11-20"),
        "recipient": dg.Field(str, default_value="", description="an address, or address/topic; empty: everybody"),
        "part": dg.Field(str, default_value="", description="such as `2 album`; empty: all that did not arrive"),
    }

    @dg.op(name="send_parts_again", config_schema=schema, pool="delivery", required_resource_keys={"office", "alive"})
    def send_parts_again(context: dg.OpExecutionContext) -> None:
        """Send again all that is held; of a delivery that is named, what did not arrive, or the part that is named."""
        office: Office = context.resources.office
        alive: Alive = context.resources.alive
        wanted: Mapping[str, str] = context.op_config
        if wanted["topic"]:
            parts = chosen(office, wanted["topic"], wanted["period"], wanted["recipient"], wanted["part"])
        else:
            parts = held(office, now())
        if not parts:
            what = f"nothing of {wanted['topic']} {wanted['period']}" if wanted["topic"] else "nothing is held that"
            raise dg.Failure(
                f"{what} is to be sent again: see analytics-platform deliveries list --troubled", allow_retries=False
            )
        _tell(context, office, send_again(office, parts, alive.owner, now()))

    return send_parts_again


def chosen(office: Office, topic: str, period: str, recipient: str = "", part: str = "") -> list[Part]:
    """The parts of a delivery that a person means: those that did not arrive, or the one that is named.

    Whoever wants no more is meant only by name.
    """
    parts = office.ledgers.deliveries.parts(topic, period)
    if recipient:
        parts = [p for p in parts if recipient == (f"{p.address}/{p.thread}" if p.thread else p.address)]
    if part:
        return [p for p in parts if p.part == part]
    left = [p for p in parts if p.state not in (State.SENT, State.SENDING)]
    return left if recipient else [p for p in left if not p.error.startswith(PAUSED)]


def arrived(office: Office, parts: Sequence[Part]) -> list[Part]:
    """Somebody saw that those of the parts whose fate is unknown did arrive; those parts."""
    ledger, moment = office.ledgers.deliveries, office.clock()
    seen = ledger.arrived([part.id for part in parts], moment)
    for topic, period in dict.fromkeys((part.topic, part.period) for part in seen):
        note(office.ledgers, topic, period, Delivered(tuple(ledger.parts(topic, period))), moment)
        entry = _entry(office, topic, period)
        if entry and entry.status in (Status.SENDING, Status.FAILED):
            conclude(office.ledgers, entry, moment)
    return seen


def held(office: Office, moment: datetime) -> list[Part]:
    """Every part that waits for a person's word and is still kept to be sent."""
    ledger = office.ledgers.deliveries
    found = ledger.overview(states=(State.UNCERTAIN,), since=moment - _KEPT, limit=1000)
    parts = (part for one in found for part in ledger.parts(one.topic, one.period))
    return [part for part in parts if part.state is State.UNCERTAIN and not part.repeatable]


def _tell(context: dg.OpExecutionContext, office: Office, found: Gone) -> None:
    for line in found.lines:
        context.log.info(line)
    for receipt in receipts_of(office, found):
        # Recorded at once: what a step logs before it fails is dropped with it.
        context.instance.report_runless_asset_event(receipt)
    if found.troubled:
        raise dg.Failure("\n".join(found.troubled), allow_retries=False)


def deliveries_sensor(office: Office, job: dg.JobDefinition) -> dg.SensorDefinition:
    """Every minute: leftovers and ends are written down, and a run is asked for when there is something to send."""

    @dg.sensor(
        name=SENSOR,
        job=job,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Goes on with deliveries that could not be finished, and with chats that let the bot in again.",
    )
    def see_to_deliveries(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        moment = now()
        lines = see_to(office, moment)
        lines += see_to_paused(office)
        if moment.minute == 0:
            forget(office, moment)
        requests = []
        waiting = due(office, moment)
        if waiting and not instance_of(context).get_runs(dg.RunsFilter(job_name=DUE_JOB, statuses=UNFINISHED), limit=1):
            requests = [dg.RunRequest(run_key=f"{DUE_JOB}@{moment.isoformat(timespec='seconds')}")]
            lines.append(f"{len(waiting)} deliveries go on")
        if requests:
            return dg.SensorResult(run_requests=requests)
        return dg.SensorResult(skip_reason="; ".join(lines) or "nothing is left to send")

    return see_to_deliveries


def forget(office: Office, moment: datetime) -> None:
    """Let go of what nobody will ask for any more."""
    office.ledgers.deliveries.forget(moment - _REMEMBERED)
    office.ledgers.slots.forget(moment - timedelta(days=1))
    since = (moment - _KEPT).timestamp()
    for folder in office.home.sent.glob("*/*"):
        if folder.is_dir() and folder.stat().st_mtime < since:
            shutil.rmtree(folder, ignore_errors=True)
