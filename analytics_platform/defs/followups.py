"""What follows a delivery or stands in for one: corrections after late data, the digest after an outage.

Belongs here: finding delivered periods whose figures have moved, and the two jobs that tell. Does not: wording
(`reports/notices.py`), which periods are missed (`agenda.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from analytics_platform.agenda import SETTLED
from analytics_platform.cadence import Period
from analytics_platform.channels.base import ChannelError, Recipient
from analytics_platform.defs.claims import Claims, now
from analytics_platform.defs.liveness import Alive
from analytics_platform.defs.office import Office, note, verdict
from analytics_platform.defs.reports import data_moment
from analytics_platform.defs.resources import Ledgers
from analytics_platform.defs.schedules import METRICS_JOB
from analytics_platform.defs.sight import Computed, Desk, HomeSight, Memory
from analytics_platform.delivery import Delivered, Parcel
from analytics_platform.language import Language
from analytics_platform.messages import Text
from analytics_platform.queries import compose
from analytics_platform.reports import notices
from analytics_platform.reports.base import NothingToReportError, Number, Report
from analytics_platform.settings import Settings
from analytics_platform.state.runs import Entry, Status
from analytics_platform.warehouses.base import Warehouse

Reports = Mapping[str, Report[Any]]
Jobs = dict[str, dg.JobDefinition]

CORRECTION_JOB, DIGEST_JOB = "report_correction", "report_digest"

# A failing computation is started again after this: as a rule somebody must mend something first.
_COMPUTE_AGAIN = timedelta(minutes=30)
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
# How often delivered periods are looked at again.
_EVERY = timedelta(hours=1)
# Loads often come in several files: figures that still move are not told piece by piece.
_QUIET = timedelta(minutes=15)


def correction_requests(
    desk: Desk,
    instance: dg.DagsterInstance,
    moment: datetime,
    cursor: str | None,
    busy: Sequence[dg.RunRequest] = (),
    *,
    memory: Memory | None = None,
) -> tuple[list[dg.RunRequest], list[str], str]:
    """Runs that recompute days under delivered reports or correct what was delivered, errors, and the new cursor.

    `cursor` is the moment of the last look: within an hour of it nothing is asked of the warehouse. An error about
    one report becomes a problem of its owner and keeps nobody else from his turn. With a `memory`, a look after which
    nothing was to be done is not repeated before something is loaded or computed.
    """
    if cursor and moment < datetime.fromisoformat(cursor) + _EVERY:
        return [], [], cursor
    requests: list[dg.RunRequest] = []
    errors: list[str] = []
    failed: set[str] = set()
    sight = desk.sight(moment)
    looked_at = watched(desk, moment)
    if not looked_at:
        return [], [], moment.isoformat()
    [row] = desk.warehouse.rows(compose("last_changes"))
    changes = row["loaded_at"], row["computed_at"]
    if memory and memory.settled == changes:
        return [], [], moment.isoformat()
    computed = changes[1].replace(tzinfo=UTC) if isinstance(changes[1], datetime) else None
    pending = computed is not None and computed <= moment < computed + _QUIET
    first, last = min(e.period.first for _, e in looked_at), max(e.period.last for _, e in looked_at)
    known = Computed(desk.warehouse, min(first, desk.settings.start_date), last)
    sight.prefetch(first, last)
    for report, entry in looked_at:
        try:
            days = sight.outdated_days(report, entry.period.first, entry.period.last)
            if days:
                if not computing(instance, (*busy, *requests)):
                    requests.append(compute_request(days[0], days[-1], moment))
            elif entry.status is Status.FAILED or (entry.status is Status.PRELIMINARY and not entry.numbers):
                _revive(desk, sight, known, report, entry)
            elif moved_at := to_correct(desk, sight, known, report, entry):
                # An hour is enough for another try of one that did not get through; the ledger sees to the rest.
                key = f"correction/{report.name}/{entry.period.last}@{moved_at.isoformat()}#{moment:%dT%H}"
                config = correction_config(report, entry.period)
                requests.append(dg.RunRequest(run_key=key, job_name=CORRECTION_JOB, run_config=config))
        except Exception as error:  # noqa: BLE001 - one report's error never stops another's; it reaches the owner
            text = f"looking for corrections: {type(error).__name__}: {error}"
            # A subject of its own: the minutely look at the same report is well and would close it.
            desk.ledgers.problems.record(_subject(report), "tick", text, moment, report=report.name)
            errors.append(f"{report.name}: {text}")
            failed.add(report.name)
    for report in {r.name: r for r, _ in looked_at if r.name not in failed}.values():
        desk.ledgers.problems.resolve(_subject(report), moment, "the look went through", kind="tick")
    if memory:
        memory.settled = None if requests or errors or pending else changes
    return requests, errors, moment.isoformat()


def _subject(report: Report[Any]) -> str:
    return f"corrections {report.name}"


def computing(instance: dg.DagsterInstance, asked: Sequence[dg.RunRequest] = ()) -> str:
    """The id of a run that computes figures, or `asked` when one has just been asked for; empty when none does."""
    if any(request.job_name == METRICS_JOB for request in asked):
        return "asked"
    running = instance.get_runs(dg.RunsFilter(job_name=METRICS_JOB, statuses=UNFINISHED), limit=1)
    return running[0].run_id if running else ""


def compute_request(first: date, last: date, moment: datetime) -> dg.RunRequest:
    """A run that computes the figures of those days; the same again only after half an hour."""
    key = f"{METRICS_JOB}/{first}..{last}@{int(moment.timestamp() // _COMPUTE_AGAIN.total_seconds())}"
    span = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)}
    return dg.RunRequest(run_key=key, job_name=METRICS_JOB, tags=span)


def _revive(desk: Desk, sight: HomeSight, known: Computed, report: Report[Any], entry: Entry) -> None:
    """A period given up, or of which a digest said that there is nothing, is due again when its data has come.

    One that hangs on syncs alone never failed for want of data: an empty period is told as such.
    """
    if not report.tables:
        return
    computed = data_moment(report, known, entry.period, desk.settings)
    if computed and computed > entry.updated_at and not sight.gate(report, entry.period).missing:
        desk.ledgers.runs.reset(report.name, entry.period.last, sight.now)


def watched(desk: Desk, moment: datetime) -> list[tuple[Report[Any], Entry]]:
    """Periods young enough to be looked at again: delivered ones, and those of which nothing was sent."""
    settings = desk.settings
    if not settings.correction_days:
        return []
    since = moment.astimezone(settings.zone).date() - timedelta(days=settings.correction_days)
    entries = desk.ledgers.runs.entries(since=since, statuses=(*SETTLED, Status.FAILED))
    return [
        (desk.reports[e.report], e)
        for e in entries
        if e.report in desk.reports and not (e.status is Status.FAILED and e.delivering)
    ]


def to_correct(desk: Desk, sight: HomeSight, known: Computed, report: Report[Any], entry: Entry) -> datetime | None:
    """When the figures were computed that differ from the delivered ones; None when nothing is to be corrected yet."""
    computed, moment = data_moment(report, known, entry.period, desk.settings), sight.now
    # Without figures of its tables a report is not made; before the first sync it is, and any figures are newer.
    if computed is None or (computed <= entry.numbers_at if entry.numbers_at else not report.syncs):
        return None
    # What a sync has written needs no rest: it is whole, and the next one, minutes later, moves the same days again.
    if not sight.settled(report, entry.period) or (report.tables and moment < computed + _QUIET):
        return None
    if _changes(report, entry, desk.settings, desk.warehouse)[1]:
        return computed
    desk.ledgers.runs.seen(report.name, entry.period.last, computed, moment)
    return None


def _changes(
    report: Report[Any], entry: Entry, settings: Settings, warehouse: Warehouse
) -> tuple[Sequence[Number], list[tuple[Number, Number]]]:
    """The figures as they are now, and those that have moved."""
    try:
        numbers = report.numbers(report.read(warehouse, entry.period, settings.zone))
    except NothingToReportError:
        return (), []
    return numbers, notices.moved(entry.numbers, numbers, settings.correction_tolerance)


def correction_config(report: Report[Any], period: Period) -> dict[str, Any]:
    """Run config of CORRECTION_JOB."""
    return {"ops": {"correct": {"config": {"report": report.name, "period": period.last.isoformat()}}}}


def digest_config(report: Report[Any], missed: Sequence[Period]) -> dict[str, Any]:
    """Run config of DIGEST_JOB."""
    spans = [f"{p.first}..{p.last}" for p in missed]
    return {"ops": {"catch_up": {"config": {"report": report.name, "periods": spans}}}}


def jobs(reports: Reports) -> Jobs:
    """The two jobs by name."""
    correct, catch_up = _correct_op(reports), _catch_up_op(reports)

    @dg.job(name=CORRECTION_JOB, description="Says which figures of a delivered report later data has moved.")
    def correction_job() -> None:
        correct()

    @dg.job(name=DIGEST_JOB, description="One digest in place of the reports that an outage kept from going out.")
    def digest_job() -> None:
        catch_up()

    return {job.name: job for job in (correction_job, digest_job)}


def _correct_op(reports: Reports) -> dg.OpDefinition:
    @dg.op(
        config_schema={"report": str, "period": str},
        pool="delivery",
        required_resource_keys={"ledgers", "warehouse", "settings", "office", "alive"},
    )
    def correct(context: dg.OpExecutionContext) -> None:
        """Say which figures of a delivered report later data has moved."""
        report = reports[context.op_config["report"]]
        ledgers: Ledgers = context.resources.ledgers
        warehouse: Warehouse = context.resources.warehouse
        settings: Settings = context.resources.settings
        office: Office = context.resources.office
        alive: Alive = context.resources.alive
        last = date.fromisoformat(context.op_config["period"])
        entry = ledgers.runs.entry(report.name, last)
        if entry is None or entry.status not in SETTLED:
            raise dg.Failure(f"{report.name} of {last} was not delivered: nothing to correct.", allow_retries=False)
        computed = data_moment(report, warehouse, entry.period, settings)
        numbers, changes = _changes(report, entry, settings, warehouse)
        if not changes or computed is None:
            context.log.info("no figure differs by more than CORRECTION_TOLERANCE from what was delivered")
            return
        key = f"{last} correction {computed:%Y-%m-%d %H%M%S}"
        texts = _texts(office, report, lambda language: notices.correction(report, entry.period, changes, language))
        parcel = Parcel(report.name, key, texts, office.patience)
        recipients = _recipients(office, report)
        office.post.hand_over(parcel, recipients)
        if ledgers.runs.corrected(entry, notices.as_json(numbers), computed, now()) is None:
            context.log.info("another run has corrected it")
            newer = ledgers.runs.entry(report.name, last)
            if newer and newer.numbers_at and newer.numbers_at > computed:
                ledgers.deliveries.withdraw(report.name, key, now())
            return
        delivered = office.post.send(report.name, key, recipients, alive.owner)
        _ended(office, parcel, delivered)
        context.log.info(next(iter(texts.values()))[0].plain)

    return correct


def _catch_up_op(reports: Reports) -> dg.OpDefinition:
    @dg.op(
        config_schema={"report": str, "periods": [str]},
        pool="delivery",
        required_resource_keys={"ledgers", "warehouse", "settings", "office", "alive"},
    )
    def catch_up(context: dg.OpExecutionContext) -> None:
        """Send one digest in place of the reports that were missed, and settle them."""
        report = reports[context.op_config["report"]]
        ledgers: Ledgers = context.resources.ledgers
        settings: Settings = context.resources.settings
        office: Office = context.resources.office
        alive: Alive = context.resources.alive
        lease = timedelta(minutes=settings.report_lease_minutes)
        claims = Claims(report, ledgers.runs, alive.owner, lease)
        spans = [span.split("..") for span in context.op_config["periods"]]
        wanted = [Period(date.fromisoformat(a), date.fromisoformat(b)) for a, b in spans]
        mine = claims.take_all(wanted, context.log.info)
        if not mine:
            return
        with ExitStack() as stack:
            for period in mine:
                stack.enter_context(claims.working(period))
            warehouse: Warehouse = context.resources.warehouse
            moments = {period: data_moment(report, warehouse, period, settings) for period in mine}
            figures = [(period, _headline(report, warehouse, period, settings)) for period in mine]
            key = f"{mine[0].last}..{mine[-1].last} digest {now():%Y-%m-%d %H%M%S}"
            texts = _texts(office, report, lambda language: notices.digest(report, figures, language))
            parcel = Parcel(report.name, key, texts, office.patience)
            recipients = _recipients(office, report)
            for period, numbers in figures:
                # Told that there is nothing: should its data come, it is made after all.
                empty = isinstance(numbers, str)
                reason = numbers if isinstance(numbers, str) else f"in the digest of {mine[0].last} to {mine[-1].last}"
                claims.begin_delivery(
                    period,
                    key,
                    Status.PRELIMINARY if empty else Status.DELIVERED,
                    reason,
                    numbers=[] if isinstance(numbers, str) else notices.as_json(numbers),
                    numbers_at=moments[period],
                )
            # Handed over only now: periods that were begun and have no delivery are made anew, none is told twice.
            office.post.hand_over(parcel, recipients)
            delivered = office.post.send(report.name, key, recipients, alive.owner)
            for period, _ in figures:
                entry = ledgers.runs.entry(report.name, period.last)
                becomes = (entry and entry.becomes) or Status.DELIVERED
                claims.finish(period, *verdict(delivered, becomes, (entry and entry.becomes_reason) or ""))
        _ended(office, parcel, delivered)
        context.log.info(next(iter(texts.values()))[0].plain)

    return catch_up


def _texts(office: Office, report: Report[Any], say: Callable[[Language], Text]) -> dict[str, tuple[Text]]:
    """The text in every language that is wanted."""
    return {code: (say(Language(code)),) for code in office.languages(report.name)}


def _recipients(office: Office, report: Report[Any]) -> list[Recipient]:
    try:
        return office.recipients(report.name)
    except ChannelError as nobody:
        raise dg.Failure(str(nobody), allow_retries=False) from None


def _ended(office: Office, parcel: Parcel, delivered: Delivered) -> None:
    """Owners hear of what has not arrived; the run is red."""
    note(office.ledgers, parcel.topic, parcel.period, delivered, now())
    if summary := delivered.summary():
        raise dg.Failure(summary, allow_retries=False)


def _headline(report: Report[Any], warehouse: Warehouse, period: Period, settings: Settings) -> Sequence[Number] | str:
    try:
        return report.numbers(report.read(warehouse, period, settings.zone))
    except NothingToReportError as nothing:
        return str(nothing)
