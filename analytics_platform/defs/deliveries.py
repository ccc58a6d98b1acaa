"""Deliveries after their first go: what could not be sent is sent later, what is held is sent on a person's word.

Belongs here: the sensor that sees to deliveries, each further go, the end of a report's period. Does not: the jobs that
go (`defs/sending.py`), the first go (`defs/reports.py`, `defs/followups.py`), sending (`delivery.py`), who gets what
(`defs/office.py`).
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from analytics_platform.artifacts import ArtifactError
from analytics_platform.channels.base import ChannelError, NobodyError, Recipient
from analytics_platform.defs.claims import end_dead_claims, gone, now
from analytics_platform.defs.instances import instance_of
from analytics_platform.defs.office import Office, conclude, note, subject_of_delivery
from analytics_platform.delivery import Delivered
from analytics_platform.dispatch import PAUSED
from analytics_platform.reports.base import Report
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import Part, State
from analytics_platform.state.runs import Entry, Status
from analytics_platform.state.subscribers import Subscriber

if TYPE_CHECKING:
    from analytics_platform.channels.telegram_updates import Arrival

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
# Minutes between two looks at who lets the bot in again: who has left for good must not cost a request a minute.
_ASKED_EVERY = 5
_CLOCKS_DIFFER = 60.0  # seconds, Telegram's clock and ours
# After which a delivery is tried again that an error kept from being tried.
_AFTER_AN_ERROR = timedelta(minutes=5)
# How long the ledger knows of a delivery, and what was handed over is kept to be sent again.
_REMEMBERED, _KEPT = timedelta(days=400), timedelta(days=14)


@dataclass
class Gone:
    """What a go at several deliveries came to: lines for the log, and those that are still not right."""

    lines: list[str] = field(default_factory=list)
    troubled: list[str] = field(default_factory=list)
    touched: list[tuple[str, str, Delivered]] = field(default_factory=list)


def see_to(office: Office, moment: datetime) -> list[str]:
    """What needs no sending: dead runs lose their periods, what they were sending becomes uncertain, periods end.

    What was tried long enough is given up. A line each.
    """
    ledger = office.ledgers.deliveries
    # First of all: while a period counts as being made, nothing of it is gone on with (`due`), and it does not end.
    lines = end_dead_claims(office.ledgers, moment)
    left = ledger.release_dead(moment, gone)
    late = ledger.expire(moment)
    for topic, period in dict.fromkeys((part.topic, part.period) for part in (*left, *late)):
        note(office.ledgers, topic, period, Delivered(tuple(ledger.parts(topic, period))), moment)
        lines.append(f"{topic} {period}: {_counted(left, late, topic, period)}")
    sending = office.ledgers.runs.entries(statuses=(Status.SENDING,))
    ended = [entry for one in sending if (entry := conclude(office.ledgers, one, moment))]
    for entry in ended:
        if entry.delivery:  # whoever began it may have ended before it could tell
            parts = ledger.parts(entry.report, entry.delivery)
            note(office.ledgers, entry.report, entry.delivery, Delivered(tuple(parts)), moment)
    return [*lines, *(f"{entry.report} {entry.period}: {entry.status.value}" for entry in ended)]


def _counted(left: Sequence[Part], late: Sequence[Part], topic: str, period: str) -> str:
    unsure = sum((part.topic, part.period) == (topic, period) for part in left)
    given_up = sum((part.topic, part.period) == (topic, period) for part in late)
    words = [f"{unsure} left behind by a process that ended"] if unsure else []
    return ", ".join([*words, *([f"{given_up} given up"] if given_up else [])])


def due(office: Office, moment: datetime) -> list[tuple[str, str]]:
    """Deliveries with something to send now, the oldest first; not those whose report is just being made."""
    waiting = [key for key in office.ledgers.deliveries.due(moment) if not _in_the_making(office, *key)]
    # With a database that several homes share, each sends what it keeps itself.
    return [key for key in waiting if office.post.keeps(*key) and not _behind(office, *key, moment)]


def _behind(office: Office, topic: str, period: str, moment: datetime) -> bool:
    """Whether all that is due of it waits: for an earlier part, or for older deliveries to the same recipients."""
    ledger = office.ledgers.deliveries
    left = [part for part in ledger.parts(topic, period) if part.unfinished]
    later = {part.recipient for part in left if part.next_at and part.next_at > moment}
    return {part.recipient for part in left} <= later | ledger.behind(topic, period, moment)


def _in_the_making(office: Office, topic: str, period: str) -> bool:
    """Whether a run is at this report's period, or about to be."""
    if topic not in office.reports or not _A_PERIOD.fullmatch(period):
        return False
    entry = office.ledgers.runs.entry(topic, date.fromisoformat(period[:10]))
    if entry is None:
        return False
    return entry.status in (Status.RUNNING, Status.READY, Status.WAITING)


def carried_by(office: Office, topic: str, period: str) -> Entry | None:
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
    """Send what is due, the oldest delivery first; an error about one keeps no other from its turn."""
    found = Gone()
    for topic, period in due(office, moment):
        try:
            go_on(office, topic, period, owner, found, due_at=moment)
        except Exception as error:  # noqa: BLE001 - one delivery's error never stops another's; it reaches the owner
            text = f"{type(error).__name__}: {error}"
            found.troubled.append(f"{topic} {period}: {text}")
            subject = subject_of_delivery(topic, period)
            office.ledgers.problems.record(subject, "delivery", text, office.clock(), report=topic)
            ledger = office.ledgers.deliveries
            ledger.put_off([p.id for p in ledger.parts(topic, period)], moment + _AFTER_AN_ERROR, moment, error=text)
    return found


def send_again(office: Office, parts: Sequence[Part], owner: Owner, moment: datetime) -> Gone:
    """Send these parts once more, on a person's word, whatever became of them; also to who gets nothing any more."""
    found = Gone()
    for topic, period in dict.fromkeys((part.topic, part.period) for part in parts):
        if not office.post.keeps(topic, period):
            found.troubled.append(f"{topic} {period} is no longer kept to be sent again: build the report again")
            continue
        ids = [part.id for part in parts if (part.topic, part.period) == (topic, period)]
        office.ledgers.deliveries.again(ids, moment, moment + office.patience)
        go_on(office, topic, period, owner, found, only=ids)
    return found


def go_on(
    office: Office,
    topic: str,
    period: str,
    owner: Owner,
    found: Gone,
    *,
    only: Sequence[int] | None = None,
    due_at: datetime | None = None,
) -> None:
    """One go at one delivery: see `Post.send`. What it came to is added to `found`, and told."""
    ledger = office.ledgers.deliveries
    recipients: list[Recipient] = []
    try:
        # Of nobody: nobody wants it any more. A wrong setting says nothing of who wants it.
        with suppress(NobodyError):
            recipients = office.recipients(topic)
        delivered = office.post.send(topic, period, recipients, owner, only=only, due_at=due_at)
    except ChannelError as error:
        left = [part.id for part in ledger.parts(topic, period)]
        ledger.put_off(left, office.clock() + _AFTER_AN_ERROR, office.clock(), error=str(error))
        delivered = Delivered(tuple(ledger.parts(topic, period)), (f"{error}.",))
    except ArtifactError as error:
        left = [part.id for part in ledger.parts(topic, period)]
        ledger.give_up(left, str(error), office.clock(), states=(State.PENDING, State.UNCERTAIN))
        delivered = Delivered(tuple(ledger.parts(topic, period)))
    note(office.ledgers, topic, period, delivered, office.clock())
    found.touched.append((topic, period, delivered))
    subject = f"{topic} {period}"
    if summary := delivered.summary():
        found.troubled.append(f"{subject}: {summary}")
    found.lines.append(f"{subject}: {summary or 'all has arrived'}")
    entry = carried_by(office, topic, period)
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
            for one in _paused_before(office, arrival):
                office.ledgers.subscribers.resume(one.id, office.clock())
                office.ledgers.problems.resolve(f"subscriber {one}", office.clock(), arrival.what)
                lines.append(f"{one} is active again ({arrival.what})")
        if newest <= last:  # asking for what comes after an update is what marks it as read
            return lines
        last = newest


def _paused_before(office: Office, arrival: "Arrival") -> list[Subscriber]:
    """Whom Telegram had paused when this came: somebody may have pressed Start long before leaving."""
    paused = office.ledgers.subscribers.all(active=False)
    return [
        one
        for one in paused
        if (one.channel, one.address, one.paused_by) == ("telegram", arrival.address, "telegram")
        and one.paused_at
        and arrival.at >= one.paused_at.timestamp() - _CLOCKS_DIFFER
    ]


def see_to_paused(office: Office) -> list[str]:
    """Ask who has let the bot in again, when Telegram has paused anybody; who, or why it is not known."""
    paused = office.ledgers.subscribers.all(active=False)
    if not office.settings.telegram_bot_token or not any(one.paused_by == "telegram" for one in paused):
        return []
    try:
        return returned(office)
    except ChannelError as error:
        return [f"who lets the bot in again is not known: {error}"]


def chosen(office: Office, topic: str, period: str, recipient: str = "", part: str = "") -> list[Part]:
    """The parts of a delivery that a person means: those that did not arrive, or the one that is named.

    Whoever wants no more is meant only by name.
    """
    parts = office.ledgers.deliveries.parts(topic, period)
    if recipient:
        parts = [p for p in parts if recipient == (f"{p.address}/{p.thread}" if p.thread else p.address)]
    if part:
        return [p for p in parts if p.part == part]
    left = [p for p in parts if p.state not in (State.SENT, State.SENDING) and not p.superseded]
    return left if recipient else [p for p in left if not p.error.startswith(PAUSED)]


def arrived(office: Office, parts: Sequence[Part]) -> list[Part]:
    """Somebody saw that those of the parts whose fate is unknown did arrive; those parts."""
    ledger, moment = office.ledgers.deliveries, office.clock()
    seen = ledger.arrived([part.id for part in parts], moment)
    for topic, period in dict.fromkeys((part.topic, part.period) for part in seen):
        note(office.ledgers, topic, period, Delivered(tuple(ledger.parts(topic, period))), moment)
        entry = carried_by(office, topic, period)
        if entry and entry.status in (Status.SENDING, Status.FAILED):
            conclude(office.ledgers, entry, moment)
    return seen


def held(office: Office, moment: datetime) -> list[Part]:
    """Every part that waits for a person's word and is still kept to be sent."""
    ledger = office.ledgers.deliveries
    found = ledger.overview(states=(State.UNCERTAIN,), since=moment - _KEPT, limit=1000)
    parts = (p for one in found if one.topic in office.topics for p in ledger.parts(one.topic, one.period))
    return [part for part in parts if part.state is State.UNCERTAIN and not part.repeatable]


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
        if moment.minute == 0:
            forget(office, moment)
        if office.ledgers.deliveries.quiet():
            return dg.SensorResult(skip_reason="nothing is left to send")
        lines = see_to(office, moment)
        if moment.minute % _ASKED_EVERY == 0:
            lines += see_to_paused(office)
        requests = []
        waiting = due(office, moment)
        if waiting and not instance_of(context).get_runs(dg.RunsFilter(job_name=DUE_JOB, statuses=UNFINISHED), limit=1):
            requests = [dg.RunRequest(run_key=f"{DUE_JOB}@{moment.isoformat(timespec='seconds')}")]
            lines.append(f"{len(waiting)} deliveries go on")
        if requests:
            return dg.SensorResult(run_requests=requests)
        return dg.SensorResult(skip_reason="; ".join(lines) or left_for_later(office, moment))

    return see_to_deliveries


def left_for_later(office: Office, moment: datetime) -> str:
    """What waits for its time, in a line."""
    later = office.ledgers.deliveries.waiting(moment)
    if later is None:
        return "nothing is left to send"
    return f"what is left to send is tried again at {later.astimezone(office.settings.zone):%H:%M}"


def forget(office: Office, moment: datetime) -> None:
    """Let go of what nobody will ask for any more."""
    office.ledgers.deliveries.forget(moment - _REMEMBERED)
    office.ledgers.slots.forget(moment - timedelta(days=1))
    since = (moment - _KEPT).timestamp()
    for folder in office.home.sent.glob("*/*"):
        if folder.is_dir() and folder.stat().st_mtime < since:
            shutil.rmtree(folder, ignore_errors=True)
