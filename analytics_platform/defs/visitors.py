"""Visitor reports in Dagster: the window as a form, where its events come from, what becomes of the report.

Belongs here: the window of a run, reading, storing, writing back, delivering. Does not: the report itself
(`visitors/`), reading DynamoDB (`sources/dynamodb.py`), jobs and schedules (`defs/visitor_times.py`).

A report replaces the one of the same window: its rows in the warehouse, its items in DynamoDB. It is sent once.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from analytics_platform.artifacts import ArtifactError, Artifacts
from analytics_platform.channels.base import ChannelError
from analytics_platform.defs.claims import now
from analytics_platform.defs.events import event_key
from analytics_platform.defs.failures import later
from analytics_platform.defs.liveness import Alive
from analytics_platform.defs.office import VISITORS, Office, note
from analytics_platform.defs.resources import visits_of, write_back_of
from analytics_platform.defs.shown import column_schema, markdown, receipts_table
from analytics_platform.defs.tables import working
from analytics_platform.delivery import Delivered, Parcel
from analytics_platform.language import Language
from analytics_platform.messages import Message
from analytics_platform.metrics.events import PAGE_EVENTS
from analytics_platform.metrics.tables import EVENT_REPORTS, VISITOR_REPORTS
from analytics_platform.queries import compose
from analytics_platform.settings import Settings, SettingsError
from analytics_platform.sources.dynamodb import DynamoBusyError, DynamoError
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import State
from analytics_platform.visitors.reporting import UnsettledError, VisitReport, make_report, report_from_store
from analytics_platform.visitors.telling import messages, text
from analytics_platform.visitors.window import VisitWindow, between, last_minutes
from analytics_platform.warehouses.base import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

VISITOR_KEY = dg.AssetKey(["visitors", VISITOR_REPORTS.name])
EVENT_KEY = dg.AssetKey(["visitors", EVENT_REPORTS.name])
DELIVERED = dg.AssetKey(["deliveries", VISITORS])
STEP = "report_visitors"
_OWED, _LEFT_OUT = "owed.json", "left_out.txt"
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


@dataclass(frozen=True)
class Made:
    """A report, and what of the source was left out of it: how many items, and in words."""

    report: VisitReport
    bad: int = 0
    left_out: str = ""


def report_of(
    warehouse: Warehouse,
    settings: Settings,
    window: VisitWindow,
    moment: datetime,
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """The report of that window from where the events are; nothing is stored. `progress`: see `resources.visits_of`."""
    source = visits_of(settings, progress)
    if source is None:
        return Made(make_report(warehouse.table, window, moment, settings.zone))
    from analytics_platform.warehouses.scratch import Scratch

    with Scratch.of(PAGE_EVENTS, source.events(window.start, window.end), settings.duckdb_memory_limit) as scratch:
        report = make_report(scratch.table, window, moment, settings.zone)
    reading = source.reading
    if reading is None or not reading.bad:
        return Made(report)
    said = f"items that are no events were left out: {reading.bad:,}; the first: {reading.first_bad}"
    return Made(report, reading.bad, said)


@dataclass(frozen=True)
class Kept:
    """What storing came to. `gone`, `gone_events`: ids of visitor reports and of events that earlier reports of the
    window had and it has no more.
    """

    visitors: int
    events: int
    gone: tuple[str, ...]
    gone_events: tuple[str, ...]


def keep(warehouse: Warehouse, settings: Settings, artifacts: Artifacts, report: VisitReport) -> Kept:
    """Replace the window's rows in the warehouse; `write_back` is to follow where reports go to DynamoDB, too.

    What earlier reports had is written down first: a run that ends between the two leaves it to the next one.
    """
    earlier, owed = report_from_store(warehouse.table, report.window, settings.zone), _owed(artifacts, report.window)
    gone, gone_events = (
        _gone(before, left, ids) for before, left, ids in zip(_ids(earlier), owed, _ids(report), strict=True)
    )
    if write_back_of(settings):
        artifacts.save(VISITORS, report.window.key, _OWED, json.dumps([gone, gone_events]).encode())
    day, part = report.window.day(settings.zone), report.window.bounds
    visitors = warehouse.store_part(VISITOR_REPORTS, day, part, report.visitors)
    events = warehouse.store_part(EVENT_REPORTS, day, part, report.events)
    return Kept(visitors, events, gone, gone_events)


def write_back(settings: Settings, artifacts: Artifacts, report: VisitReport, kept: Kept) -> None:
    """Put the report's items into DynamoDB and take away those that it has no more. Raises DynamoError."""
    back = write_back_of(settings)
    if back is None:
        return
    from analytics_platform.sources.dynamodb_reports import Gone

    bounds = report.window.bounds
    back.write(
        report.visitors,
        report.events,
        Gone(bounds["window_start"], bounds["window_end"], kept.gone, kept.gone_events),
    )
    artifacts.save(VISITORS, report.window.key, _OWED, b"[[], []]")


def _owed(artifacts: Artifacts, window: VisitWindow) -> list[list[str]]:
    """Ids of visitor reports and of events that an earlier run has not taken away for certain."""
    try:
        found: list[list[str]] = json.loads(artifacts.load(VISITORS, window.key, _OWED))
    except ArtifactError:
        return [[], []]
    return found


def _ids(report: VisitReport) -> "list[pa.ChunkedArray]":
    return [report.visitors["uuid"], report.events["request_id"]]


def _gone(before: "pa.ChunkedArray", owed: Sequence[str], now: "pa.ChunkedArray") -> tuple[str, ...]:
    """The ids of before and those owed that are no more, sorted. In Arrow: a window may have millions of events."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pa.chunked_array([*before.chunks, pa.array(owed, pa.string())], pa.string())
    missing = known.filter(pc.invert(pc.is_in(known, value_set=now)))
    return tuple(sorted(set(missing.to_pylist())))


def left_out(artifacts: Artifacts, window: VisitWindow) -> str:
    """What of the source was left out of the stored report of that window, in words; empty for nothing."""
    try:
        return artifacts.load(VISITORS, window.key, _LEFT_OUT).decode()
    except ArtifactError:
        return ""


def _note_left_out(artifacts: Artifacts, window: VisitWindow, said: str) -> None:
    """For whoever shows the report later than its run."""
    if said != left_out(artifacts, window):
        artifacts.save(VISITORS, window.key, _LEFT_OUT, said.encode())


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
    bad: int = 0,
    again: bool = False,
) -> tuple[Delivered | None, str]:
    """Send the report to whoever is to get it, and what became of it. None: it was sent before, and is not again.

    `bad` items of the source were left out, which it says.

    Raises ChannelError when nobody gets it though somebody should.
    """
    recipients = office.recipients(VISITORS)
    ledger, before = office.ledgers.deliveries, rounds(office, report.window)
    last = before[-1] if before else None
    if last is not None and last.unfinished and not again:
        return None, "a report of this window is on its way; what is left goes by itself"
    if last is not None and last.reached and not again:
        return None, "a report of this window was sent before; nothing was sent"
    period = _round(report.window, len(before) + 1)
    if last is not None:  # the one that comes brings it all
        left = [part.id for part in last.parts if part.unfinished]
        ledger.give_up(left, f"sent anew as {period}", moment, states=(State.PENDING, State.UNCERTAIN))
    settings = office.settings
    made: dict[str, Sequence[Message]] = {
        code: messages(report, Language(code), settings.zone, newest, bad=bad, bom=settings.csv_bom)
        for code in office.languages(VISITORS)
    }
    parcel = Parcel(VISITORS, period, made, office.patience)
    office.post.hand_over(parcel, recipients)
    delivered = office.post.send(VISITORS, period, recipients, owner)
    note(office.ledgers, VISITORS, period, delivered, moment)
    return delivered, delivered.summary()


def rounds(office: Office, window: VisitWindow) -> list[Delivered]:
    """What became of each delivery of that window's report, the first one first."""
    found: list[Delivered] = []
    while parts := office.ledgers.deliveries.parts(VISITORS, _round(window, len(found) + 1)):
        found.append(Delivered(tuple(parts)))
    return found


def _round(window: VisitWindow, number: int) -> str:
    """How a window's delivery is called: by its key, and from the second one on by its number."""
    return window.key if number == 1 else f"{window.key} #{number}"


@contextmanager
def _reading(context: dg.AssetExecutionContext, settings: Settings) -> Iterator[None]:
    """A source's errors: what waiting may mend is tried again, all others are red at once with their sentence."""
    try:
        yield
    except DynamoBusyError as busy:
        raise later(context, busy, settings.retry_pause_seconds) from busy
    except (DynamoError, SettingsError, UnsettledError) as error:
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
        # Of its own: reading a large table elsewhere keeps no other asset waiting, and windows of a day do not disturb
        # each other.
        pool=VISITORS,
    )
    def report_visitors(
        context: dg.AssetExecutionContext,
        config: VisitConfig,
        alive: dg.ResourceParam[Alive],
        warehouse: dg.ResourceParam[Warehouse],
        settings: dg.ResourceParam[Settings],
        artifacts: dg.ResourceParam[Artifacts],
        office: dg.ResourceParam[Office],
    ) -> Iterator[dg.MaterializeResult]:
        # Of the run and not of this try: one that is repeated is of the same window.
        moment = _begun(context).replace(microsecond=0)
        window = window_of(config, settings, moment)
        with working(context, VISITOR_KEY, settings), _reading(context, settings):
            made = report_of(warehouse, settings, window, moment, _told(context.log.info))
            report = made.report
            kept = keep(warehouse, settings, artifacts, report)
            _note_left_out(artifacts, window, made.left_out)
            newest = newest_event(warehouse, settings)
        if made.left_out:
            context.log.warning(made.left_out)
        about = _about(window, settings)
        summary = text(report, Language(settings.locale), settings.zone, newest, made.bad).plain
        preview = report.visitors.slice(0, _SHOWN).select(["visitor", "n_interactions", "entry_page", "exit_page"])
        yield dg.MaterializeResult(
            asset_key=VISITOR_KEY,
            metadata={
                **about,
                "dagster/row_count": kept.visitors,
                "summary": dg.MetadataValue.md(f"```text\n{summary}\n```"),
                "visitors": dg.MetadataValue.md(markdown(preview.to_pylist()) if kept.visitors else "none"),
                "gone since the last report of this window": dg.MetadataValue.int(len(kept.gone)),
                "events gone since then": dg.MetadataValue.int(len(kept.gone_events)),
                **({"left out": dg.MetadataValue.text(made.left_out)} if made.left_out else {}),
            },
        )
        yield dg.MaterializeResult(asset_key=EVENT_KEY, metadata={**about, "dagster/row_count": kept.events})
        failures: list[str] = []
        if config.deliver:
            try:
                delivered, said = deliver(office, report, newest, alive.owner, moment, bad=made.bad, again=config.again)
            except ChannelError as nobody:
                failures.append(str(nobody))
            else:
                context.log.info(said or "sent")
                if delivered is not None:
                    shown = {**about, **receipts_table(delivered.parts)}
                    yield dg.MaterializeResult(asset_key=DELIVERED, metadata=shown)
                    if delivered.trouble or delivered.errors or not delivered.reached:
                        failures.append(said)
        # Last: readers get their report whether DynamoDB takes it or not.
        with _reading(context, settings):
            write_back(settings, artifacts, report, kept)
        if failures:
            raise dg.Failure("\n".join(failures), allow_retries=False)

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


def _begun(context: dg.AssetExecutionContext) -> datetime:
    """When the run was asked for."""
    record = context.instance.get_run_record_by_id(context.run.run_id)
    return record.create_timestamp.replace(tzinfo=UTC) if record else now()
