"""What follows a delivery or stands in for one: corrections after late data, the digest after an outage.

Belongs here: finding delivered periods whose figures have moved, and the two jobs that tell. Does not: wording
(`reports/notices.py`), which periods are missed (`agenda.py`).
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from analytics_platform import delivery
from analytics_platform.agenda import SETTLED
from analytics_platform.cadence import Period
from analytics_platform.channels.base import Channel
from analytics_platform.defs.claims import Claims, now
from analytics_platform.defs.liveness import Alive
from analytics_platform.defs.reports import data_moment
from analytics_platform.defs.resources import Ledgers
from analytics_platform.defs.schedules import METRICS_JOB
from analytics_platform.defs.sight import Desk
from analytics_platform.language import Language
from analytics_platform.reports import notices
from analytics_platform.reports.base import NothingToReportError, Number, Report
from analytics_platform.settings import Settings
from analytics_platform.state.runs import Entry, Status
from analytics_platform.warehouses.base import Warehouse

Reports = Mapping[str, Report[Any]]
Jobs = dict[str, dg.JobDefinition]

CORRECTION_JOB, DIGEST_JOB = "report_correction", "report_digest"

# How often delivered periods are looked at again.
_EVERY = timedelta(minutes=15)
# Loads often come in several files: figures that still move are not told piece by piece.
_QUIET = timedelta(minutes=15)


def correction_requests(
    desk: Desk, moment: datetime, cursor: str | None, busy: Sequence[dg.RunRequest]
) -> tuple[list[dg.RunRequest], str]:
    """Runs that recompute days under delivered reports, or correct what was delivered; and when this was looked at.

    `cursor` is the moment of the last look: within 15 minutes of it nothing is asked of the warehouse.
    """
    if cursor and moment < datetime.fromisoformat(cursor) + _EVERY:
        return [], cursor
    requests: list[dg.RunRequest] = []
    sight = desk.sight(moment)
    for report, entry in watched(desk, moment):
        days = sight.outdated_days(report, entry.period.first, entry.period.last)
        if days:
            if not any(r.job_name == METRICS_JOB for r in (*busy, *requests)):
                requests.append(
                    dg.RunRequest(
                        run_key=f"{METRICS_JOB}/late/{days[0]}..{days[-1]}@{moment:%Y-%m-%dT%H:%M}",
                        job_name=METRICS_JOB,
                        tags={
                            "dagster/asset_partition_range_start": days[0].isoformat(),
                            "dagster/asset_partition_range_end": days[-1].isoformat(),
                        },
                    )
                )
            continue
        computed = to_correct(desk, report, entry, moment)
        if computed:
            requests.append(
                dg.RunRequest(
                    run_key=f"correction/{report.name}/{entry.period.last}@{computed.isoformat()}",
                    job_name=CORRECTION_JOB,
                    run_config=correction_config(report, entry.period),
                )
            )
    return requests, moment.isoformat()


def watched(desk: Desk, moment: datetime) -> list[tuple[Report[Any], Entry]]:
    """Delivered periods that are young enough for a correction."""
    settings = desk.settings
    if not settings.correction_days:
        return []
    since = moment.astimezone(settings.zone).date() - timedelta(days=settings.correction_days)
    entries = desk.ledgers.runs.entries(since=since, statuses=SETTLED)
    return [(desk.reports[e.report], e) for e in entries if e.report in desk.reports and e.numbers and e.numbers_at]


def to_correct(desk: Desk, report: Report[Any], entry: Entry, moment: datetime) -> datetime | None:
    """When the figures were computed that differ from the delivered ones; None when nothing is to be corrected yet."""
    computed = data_moment(report, desk.warehouse, entry.period)
    if computed is None or entry.numbers_at is None or computed <= entry.numbers_at:
        return None
    if moment < computed + _QUIET:
        return None
    if _changes(report, entry, desk.settings, desk.warehouse):
        return computed
    desk.ledgers.runs.seen(report.name, entry.period.last, computed, moment)
    return None


def _changes(
    report: Report[Any], entry: Entry, settings: Settings, warehouse: Warehouse
) -> list[tuple[Number, Number]]:
    try:
        numbers = report.numbers(report.read(warehouse, entry.period, settings.zone))
    except NothingToReportError:
        return []
    return notices.moved(entry.numbers, numbers, settings.correction_tolerance)


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
        required_resource_keys={"ledgers", "warehouse", "settings", "channels", "alive"},
    )
    def correct(context: dg.OpExecutionContext) -> None:
        """Say which figures of a delivered report later data has moved."""
        report = reports[context.op_config["report"]]
        ledgers: Ledgers = context.resources.ledgers
        warehouse: Warehouse = context.resources.warehouse
        settings: Settings = context.resources.settings
        channels: Sequence[Channel] = context.resources.channels
        last = date.fromisoformat(context.op_config["period"])
        entry = ledgers.runs.entry(report.name, last)
        if entry is None or entry.status not in SETTLED:
            raise dg.Failure(f"{report.name} of {last} was not delivered: nothing to correct.", allow_retries=False)
        computed = data_moment(report, warehouse, entry.period)
        changes = _changes(report, entry, settings, warehouse)
        if not changes or computed is None:
            context.log.info("no figure differs by more than CORRECTION_TOLERANCE from what was delivered")
            return
        text = notices.correction(report, entry.period, changes, Language(settings.locale))
        key = f"{report.name}/{last}-correction-{computed:%Y%m%dT%H%M%S}"
        try:
            delivery.deliver((text,), channels, key=key)
        except delivery.DeliveryError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        numbers = report.numbers(report.read(warehouse, entry.period, settings.zone))
        ledgers.runs.corrected(report.name, last, notices.as_json(numbers), computed, now())
        context.log.info(text.plain)

    return correct


def _catch_up_op(reports: Reports) -> dg.OpDefinition:
    @dg.op(
        config_schema={"report": str, "periods": [str]},
        pool="delivery",
        required_resource_keys={"ledgers", "warehouse", "settings", "channels", "alive"},
    )
    def catch_up(context: dg.OpExecutionContext) -> None:
        """Send one digest in place of the reports that were missed, and settle them."""
        report = reports[context.op_config["report"]]
        ledgers: Ledgers = context.resources.ledgers
        settings: Settings = context.resources.settings
        channels: Sequence[Channel] = context.resources.channels
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
            figures = [(period, _headline(report, context.resources.warehouse, period, settings)) for period in mine]
            text = notices.digest(report, figures, Language(settings.locale))
            for period in mine:
                claims.begin_delivery(period)
            try:
                delivery.deliver((text,), channels, key=f"{report.name}/{mine[-1].last}-digest")
            except delivery.DeliveryError as error:
                for period in mine:
                    claims.finish(period, Status.FAILED, str(error))
                raise dg.Failure(str(error), allow_retries=False) from None
            for period, numbers in figures:
                told = notices.as_json(numbers) if not isinstance(numbers, str) else []
                reason = f"in the digest of {mine[0].last} to {mine[-1].last}"
                claims.finish(period, Status.DELIVERED, reason, numbers=told, numbers_at=now().astimezone(UTC))
        context.log.info(text.plain)

    return catch_up


def _headline(report: Report[Any], warehouse: Warehouse, period: Period, settings: Settings) -> Sequence[Number] | str:
    try:
        return report.numbers(report.read(warehouse, period, settings.zone))
    except NothingToReportError as nothing:
        return str(nothing)
