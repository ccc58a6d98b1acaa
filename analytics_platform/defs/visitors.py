"""Visitor reports in Dagster: a job with the window as a form, schedules to be switched on, what the UI shows.

Belongs here: the window of a run, where its events come from, storing, writing back, delivering. Does not: the report
itself (`visitors/`), reading DynamoDB (`sources/dynamodb.py`).

A report replaces the one of the same window: its rows in the warehouse, its items in DynamoDB. It is sent once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from analytics_platform.channels.base import ChannelError
from analytics_platform.defs.claims import now
from analytics_platform.defs.events import event_key
from analytics_platform.defs.failures import RETRIES
from analytics_platform.defs.liveness import Alive
from analytics_platform.defs.office import VISITORS, Office, note
from analytics_platform.defs.resources import visits_of, write_back_of
from analytics_platform.defs.shown import column_schema, markdown, receipts_table
from analytics_platform.defs.tables import POOL, working
from analytics_platform.delivery import Delivered, Parcel
from analytics_platform.language import Language
from analytics_platform.messages import Message, Text
from analytics_platform.metrics.events import PAGE_EVENTS
from analytics_platform.metrics.tables import EVENT_REPORTS, VISITOR_REPORTS
from analytics_platform.queries import compose
from analytics_platform.settings import Settings
from analytics_platform.sources.dynamodb import DynamoBusyError, DynamoError
from analytics_platform.state.owners import Owner
from analytics_platform.visitors.reporting import UnsettledError, VisitReport, make_report
from analytics_platform.visitors.telling import messages
from analytics_platform.visitors.window import VisitWindow, between, last_minutes
from analytics_platform.warehouses.base import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

VISITOR_KEY = dg.AssetKey(["visitors", VISITOR_REPORTS.name])
EVENT_KEY = dg.AssetKey(["visitors", EVENT_REPORTS.name])
DELIVERED = dg.AssetKey(["deliveries", VISITORS])
JOB, WINDOW_JOB, STEP = "visitor_report", "visitor_report_window", "report_visitors"
_GROUP = "visitors"
_SHOWN = 20
_SAID_EVERY = 100_000  # items


class VisitConfig(dg.Config):
    """The window of a visitor report: the last minutes, or from a start to an end."""

    last_minutes: int | None = Field(
        default=None, description="the window ends now and begins so many minutes before; or write start and end"
    )
    start: str = Field(default="", description="first moment, such as 2019-06-22T00:00+09:00; included")
    end: str = Field(default="", description="last moment, excluded")
    deliver: bool = Field(default=True, description="send the report to whoever subscribes to it")
    again: bool = Field(default=False, description="send it though a report of the same window was sent before")


def window_of(config: VisitConfig, settings: Settings, moment: datetime) -> VisitWindow:
    """The window that a run is for. Raises dg.Failure in one sentence for one that is none."""
    try:
        if config.last_minutes is not None and (config.start or config.end):
            raise ValueError("last_minutes and start..end are two windows: leave one of them out")
        if config.last_minutes is not None:
            return last_minutes(config.last_minutes, moment)
        if config.start and config.end:
            return between(config.start, config.end, settings.zone)
    except ValueError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    raise dg.Failure("say which window: last_minutes, or both start and end", allow_retries=False)


def config_of(window: VisitWindow, *, deliver: bool, again: bool = False) -> dict[str, Any]:
    """Run config of the job for that window."""
    config = {"start": window.start.isoformat(), "end": window.end.isoformat(), "deliver": deliver, "again": again}
    return {"ops": {STEP: {"config": config}}}


def report_of(
    warehouse: Warehouse,
    settings: Settings,
    window: VisitWindow,
    moment: datetime,
    progress: Callable[[int, int], None] | None = None,
) -> VisitReport:
    """The report of that window from where the events are; nothing is stored. `progress`: see `resources.visits_of`."""
    source = visits_of(settings, progress)
    if source is None:
        return make_report(warehouse.table, window, moment, settings.zone)
    from analytics_platform.warehouses.scratch import Scratch

    with Scratch.of(PAGE_EVENTS, source.events(window.start, window.end), settings.duckdb_memory_limit) as scratch:
        return make_report(scratch.table, window, moment, settings.zone)


@dataclass(frozen=True)
class Kept:
    """What storing came to. `gone`: ids of visitors of an earlier report of the window that it has no more."""

    visitors: int
    events: int
    gone: tuple[str, ...]


def keep(warehouse: Warehouse, settings: Settings, report: VisitReport) -> Kept:
    """Replace the window's rows in the warehouse, and its items in DynamoDB where it is to be written back."""
    day, part = report.window.day(settings.zone), report.window.bounds
    # What an earlier run wrote of the window; before it is replaced, so that a run that is killed in between is mended
    # by the next one: ids are taken away first.
    gone = tuple(sorted(set(_ids(report_stored(warehouse, settings, report.window))) - set(_ids(report))))
    if back := write_back_of(settings):
        back.write(report.visitors, report.events, gone)
    visitors = warehouse.store_part(VISITOR_REPORTS, day, part, report.visitors)
    events = warehouse.store_part(EVENT_REPORTS, day, part, report.events)
    return Kept(visitors, events, gone)


def report_stored(warehouse: Warehouse, settings: Settings, window: VisitWindow) -> VisitReport:
    """The report of that window as it is stored; empty when none is."""
    day, found = window.day(settings.zone), []
    for table in (VISITOR_REPORTS, EVENT_REPORTS):
        rows = warehouse.stored_rows(table, day)
        found.append(rows.filter(_of_window(rows, window)))
    moments = found[0]["timestamp"].to_pylist() + found[1]["timestamp"].to_pylist()
    made_at = max(moments, default=window.bounds["window_end"]).replace(tzinfo=UTC)
    return VisitReport(window, made_at, settings.zone, *found)


def _of_window(rows: "pa.Table", window: VisitWindow) -> "pa.ChunkedArray":
    import pyarrow.compute as pc

    same = [pc.equal(rows[name], moment) for name, moment in window.bounds.items()]
    return pc.and_(*same)


def _ids(report: VisitReport) -> list[str]:
    found: list[str] = report.visitors["uuid"].to_pylist()
    return found


def newest_event(warehouse: Warehouse, settings: Settings) -> datetime | None:
    """When the newest known event happened (aware, UTC); unknown where events are in DynamoDB."""
    if settings.visits_source != "warehouse":
        return None
    [row] = warehouse.rows(compose("event_span", table=PAGE_EVENTS.name))
    last = row["last_time"]
    return last.replace(tzinfo=UTC) if isinstance(last, datetime) else None


def deliver(
    office: Office,
    report: VisitReport,
    newest: datetime | None,
    owner: Owner,
    moment: datetime,
    *,
    again: bool = False,
) -> tuple[Delivered | None, str]:
    """Send the report to whoever is to get it, and what became of it. None: it was sent before, and is not again.

    Raises ChannelError when nobody gets it though somebody should.
    """
    recipients = office.recipients(VISITORS)
    period, sent = report.window.key, office.ledgers.deliveries
    if sent.parts(VISITORS, period):
        if not again:
            return None, "a report of this window was sent before; nothing was sent"
        number = 2
        while sent.parts(VISITORS, f"{period} #{number}"):
            number += 1
        period = f"{period} #{number}"
    settings = office.settings
    made: dict[str, Sequence[Message]] = {
        code: messages(report, Language(code), settings.zone, newest, bom=settings.csv_bom)
        for code in office.languages(VISITORS)
    }
    parcel = Parcel(VISITORS, period, made, office.patience)
    office.post.hand_over(parcel, recipients)
    delivered = office.post.send(VISITORS, period, recipients, owner)
    note(office.ledgers, VISITORS, period, delivered, moment)
    return delivered, delivered.summary()


@contextmanager
def _reading(settings: Settings) -> Iterator[None]:
    """A source's errors: what waiting may mend is tried again, all others are red at once with their sentence."""
    try:
        yield
    except DynamoBusyError as busy:
        raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=settings.retry_pause_seconds) from busy
    except (DynamoError, UnsettledError) as error:
        raise dg.Failure(str(error), allow_retries=False) from None


def visitor_assets(engine: str) -> list[dg.AssetsDefinition]:
    """The two reports of a window, and their receipt."""

    @dg.multi_asset(
        name=STEP,
        specs=[
            dg.AssetSpec(
                VISITOR_KEY,
                deps=[event_key(PAGE_EVENTS)],
                group_name=_GROUP,
                kinds={engine, "table"},
                description="Visitors of a window: interactions, pages, first and last seen, attributes of their first "
                "event. Run the job visitor_report and fill in last_minutes, or start and end.",
                metadata=column_schema(VISITOR_REPORTS),
            ),
            dg.AssetSpec(
                EVENT_KEY,
                deps=[event_key(PAGE_EVENTS)],
                group_name=_GROUP,
                kinds={engine, "table"},
                description="The events of the window, one row each.",
                metadata=column_schema(EVENT_REPORTS),
            ),
            dg.AssetSpec(
                DELIVERED,
                deps=[VISITOR_KEY, EVENT_KEY],
                group_name=_GROUP,
                skippable=True,
                description="Who got the report of a window, part by part.",
            ),
        ],
        pool=POOL,
    )
    def report_visitors(
        context: dg.AssetExecutionContext,
        config: VisitConfig,
        alive: dg.ResourceParam[Alive],
        warehouse: dg.ResourceParam[Warehouse],
        settings: dg.ResourceParam[Settings],
        office: dg.ResourceParam[Office],
    ) -> Iterator[dg.MaterializeResult]:
        moment = now()
        window = window_of(config, settings, moment)
        with working(context, VISITOR_KEY, settings), _reading(settings):
            report = report_of(warehouse, settings, window, moment, _told(context.log.info))
            kept = keep(warehouse, settings, report)
            newest = newest_event(warehouse, settings)
        texts = messages(report, Language(settings.locale), settings.zone, newest, bom=settings.csv_bom)
        about = _about(window, settings)
        preview = report.visitors.slice(0, _SHOWN).select(["visitor", "n_interactions", "entry_page", "exit_page"])
        yield dg.MaterializeResult(
            asset_key=VISITOR_KEY,
            metadata={
                **about,
                "dagster/row_count": kept.visitors,
                "summary": dg.MetadataValue.md(f"```text\n{_plain(texts)}\n```"),
                "visitors": dg.MetadataValue.md(markdown(preview.to_pylist()) if kept.visitors else "none"),
                "gone since the last report of this window": dg.MetadataValue.int(len(kept.gone)),
            },
        )
        yield dg.MaterializeResult(asset_key=EVENT_KEY, metadata={**about, "dagster/row_count": kept.events})
        if not config.deliver:
            return
        try:
            delivered, said = deliver(office, report, newest, alive.owner, moment, again=config.again)
        except ChannelError as nobody:
            raise dg.Failure(str(nobody), allow_retries=False) from None
        if delivered is None:
            context.log.info(said)
            return
        yield dg.MaterializeResult(asset_key=DELIVERED, metadata={**about, **receipts_table(delivered.parts)})
        if delivered.trouble or delivered.errors or not delivered.reached:
            raise dg.Failure(said, allow_retries=False)

    return [report_visitors]


def _told(say: Callable[[str], None]) -> Callable[[int, int], None]:
    """Says every so often how far a long reading has come."""
    said = 0

    def tell(items: int, events: int) -> None:
        nonlocal said
        if items // _SAID_EVERY > said:
            said = items // _SAID_EVERY
            say(f"{items:,} items looked at, {events:,} of them in the window")

    return tell


def _about(window: VisitWindow, settings: Settings) -> Mapping[str, dg.MetadataValue]:
    source = settings.visits_source if settings.visits_source == "warehouse" else f"DynamoDB {settings.dynamodb_table}"
    return {
        "window_start": dg.MetadataValue.timestamp(window.start),
        "window_end": dg.MetadataValue.timestamp(window.end),
        "source": dg.MetadataValue.text(source),
    }


def _plain(found: Sequence[Message]) -> str:
    return "\n\n".join(message.plain for message in found if isinstance(message, Text))


def visitor_jobs(settings: Settings) -> "dict[str, UnresolvedAssetJobDefinition]":
    """The job whose form takes any window, and the one that has a window saved."""
    selection = dg.AssetSelection.assets(VISITOR_KEY, EVENT_KEY, DELIVERED)
    start, _, end = settings.visitor_window.partition("..")
    return {
        JOB: dg.define_asset_job(
            JOB,
            selection,
            # What the launchpad shows to begin with.
            config={"ops": {STEP: {"config": {"last_minutes": 10, "deliver": True}}}},
            description="Visitors of the last minutes, or from a start to an end: fill in the form and launch.",
        ),
        WINDOW_JOB: dg.define_asset_job(
            WINDOW_JOB,
            selection,
            config={"ops": {STEP: {"config": {"start": start, "end": end, "deliver": True}}}},
            description=f"Visitors of one window (VISITOR_WINDOW: {settings.visitor_window}).",
        ),
    }


def visitor_schedules(settings: Settings, job: "UnresolvedAssetJobDefinition") -> list[dg.ScheduleDefinition]:
    """Visitors of the last minutes every so many minutes; each is switched on in the UI."""
    return [_schedule(settings, job, every, last) for every, last in settings.visitor_pace.items()]


def _schedule(settings: Settings, job: "UnresolvedAssetJobDefinition", every: int, last: int) -> dg.ScheduleDefinition:
    delay = timedelta(minutes=settings.visitor_delay_minutes)

    @dg.schedule(
        name=f"visitors_every_{every}_minutes",
        job=job,
        cron_schedule=cron_of(every),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"Every {every} minutes: visitors of {last} minutes, up to {settings.visitor_delay_minutes} "
        "minutes before (VISITOR_SCHEDULES, VISITOR_DELAY_MINUTES).",
    )
    def visitors_of_the_last_minutes(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        # Of the moment that was planned, not of the one at which a busy daemon came to it: windows leave no gaps.
        window = last_minutes(last, context.scheduled_execution_time.astimezone(UTC) - delay)
        return dg.RunRequest(run_key=f"{JOB}/{window.key}", run_config=config_of(window, deliver=True))

    return visitors_of_the_last_minutes


def cron_of(every: int) -> str:
    """Every so many minutes (a divisor of an hour, or whole hours that divide a day), from midnight UTC."""
    if every < 60:
        return f"*/{every} * * * *"
    return f"0 */{every // 60} * * *" if every < 24 * 60 else "0 0 * * *"
