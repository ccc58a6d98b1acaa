"""frames -> charts/<name> -> reports/<name> -> deliveries/<name>, for every report there is.

Belongs here: reading a period, drawing, composing, delivering, and what the UI shows of each.
Does not: what a report says (`reports/`), how it is sent (`channels/`), when (`defs/availability.py`).
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Protocol

import dagster as dg

from analytics_platform.artifacts import Artifacts
from analytics_platform.cadence import Period
from analytics_platform.channels.base import ChannelError
from analytics_platform.defs.claims import MISSING, Claims, now
from analytics_platform.defs.failures import retried_when_transient
from analytics_platform.defs.liveness import Alive
from analytics_platform.defs.metrics import TABLES
from analytics_platform.defs.office import Office, let_go, note, verdict
from analytics_platform.defs.partitions import key_of, lookback_periods, of_report
from analytics_platform.defs.resources import Ledgers, Progress
from analytics_platform.defs.shown import picture, receipts_table
from analytics_platform.defs.syncs import SYNCS
from analytics_platform.delivery import Delivered, Parcel
from analytics_platform.language import Language
from analytics_platform.messages import Message, Text
from analytics_platform.metrics.tables import ResultTable
from analytics_platform.reports.base import NothingToReportError, Rendering, Report
from analytics_platform.reports.notices import as_json, preliminary
from analytics_platform.settings import Settings
from analytics_platform.state.runs import Status
from analytics_platform.warehouses.base import Warehouse

_NUMBERS = "numbers.json"
# In which languages it was drawn and composed, the home's own first.
_DRAWN, _LANGUAGES = "drawn_languages.json", "languages.json"
# Fewer parts than these are sent before anybody has looked at a bar.
_WORTH_A_BAR = 20
# How often a long delivery says that it is alive.
_RENEWED_SECONDS = 60.0


def chart_key(report: Report[Any]) -> dg.AssetKey:
    """`charts/<name>`: pictures and tables."""
    return dg.AssetKey(["charts", report.name])


def report_key(report: Report[Any]) -> dg.AssetKey:
    """`reports/<name>`: the messages."""
    return dg.AssetKey(["reports", report.name])


def delivery_key(report: Report[Any]) -> dg.AssetKey:
    """`deliveries/<name>`: the receipt."""
    return dg.AssetKey(["deliveries", report.name])


def has_charts(report: Report[Any]) -> bool:
    """Whether the report draws anything."""
    return type(report).draw is not Report.draw


def keys_of(report: Report[Any]) -> list[dg.AssetKey]:
    """The report's own assets, in order."""
    return [*([chart_key(report)] if has_charts(report) else []), report_key(report), delivery_key(report)]


def rendering(settings: Settings, language: str, *, complete: bool = True) -> Rendering:
    """How reports of this home read in that language."""
    return Rendering(Language(language), settings.zone, complete, settings.csv_bom)


def read(report: Report[Any], warehouse: Warehouse, period: Period, settings: Settings) -> Any:
    """The report's frame. Raises dg.Failure when there is nothing to report; that is red, and nothing is sent."""
    with retried_when_transient(settings.retry_pause_seconds):
        try:
            return report.read(warehouse, period, settings.zone)
        except NothingToReportError as nothing:
            raise dg.Failure(str(nothing), allow_retries=False) from None


class Ledgered(Protocol):
    """What knows when days were computed: a warehouse, or what a look has asked it before."""

    def computed_at(self, table: ResultTable, first: date, last: date) -> Mapping[date, datetime]:
        """See `warehouses.base.Warehouse`."""
        ...


def data_moment(report: Report[Any], warehouse: Ledgered, period: Period, settings: Settings) -> datetime | None:
    """When the youngest of the figures behind the report was computed, aware, UTC.

    Those of the period, also in the tables that its syncs fill; of all days since START_DATE when the report reads its
    whole history: a day computed later may take away who was new.
    """
    first = settings.start_date if report.whole_history else period.first
    tables = [*(TABLES[name].table for name in report.tables), *(SYNCS[name].table for name in report.syncs)]
    moments = [m for table in tables for m in warehouse.computed_at(table, first, period.last).values()]
    return max(moments).replace(tzinfo=UTC) if moments else None


def report_assets(reports: Iterable[Report[Any]], settings: Settings) -> list[dg.AssetsDefinition]:
    """The assets of every report, from chart to receipt."""
    return [asset for report in reports for asset in _assets(report, of_report(report, settings))]


def _assets(report: Report[Any], partitions: dg.PartitionsDefinition[str]) -> list[dg.AssetsDefinition]:
    window = dg.TimeWindowPartitionMapping(
        start_offset=-lookback_periods(report), allow_nonexistent_upstream_partitions=True
    )
    frames = [dg.AssetDep(TABLES[name].key, partition_mapping=window) for name in report.tables]
    frames += [dg.AssetDep(dg.AssetKey(sync.split("/"))) for sync in report.syncs]
    drawn = [_chart(report, partitions, frames)] if has_charts(report) else []
    return [*drawn, _messages(report, partitions, frames), _receipt(report, partitions)]


def _chart(
    report: Report[Any], partitions: dg.PartitionsDefinition[str], frames: Sequence[dg.AssetDep]
) -> dg.AssetsDefinition:
    @dg.asset(
        key=chart_key(report),
        deps=frames,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=report.name,
        kinds={"matplotlib"},
        description=f"{report.title}: the pictures and tables that go with the report.",
    )
    def chart(
        context: dg.AssetExecutionContext,
        alive: dg.ResourceParam[Alive],
        ledgers: dg.ResourceParam[Ledgers],
        warehouse: dg.ResourceParam[Warehouse],
        settings: dg.ResourceParam[Settings],
        artifacts: dg.ResourceParam[Artifacts],
        office: dg.ResourceParam[Office],
    ) -> dg.MaterializeResult:
        claims = Claims.of(context, report, ledgers.runs, alive, settings)
        for period in claims.take(context, delivery_key(report)):
            with claims.working(period):
                frame = read(report, warehouse, period, settings)
                spoken = office.languages(report.name)
                first, *others = spoken
                for code in others:
                    how = rendering(settings, code, complete=MISSING not in context.run.tags)
                    artifacts.save_drawn(report.name, period.last, report.draw(frame, how), code)
                how = rendering(settings, first, complete=MISSING not in context.run.tags)
                drawn = report.draw(frame, how)
                paths = artifacts.save_drawn(report.name, period.last, drawn, first)
                artifacts.save(report.name, period.last, _DRAWN, json.dumps(spoken).encode())
                shown: dict[str, dg.MetadataValue] = {
                    name.removesuffix(".png"): picture(content, f"{report.name} {period}")
                    for name, content in drawn.items()
                    if name.endswith(".png")
                }
                shown |= {f"file {name}": dg.MetadataValue.path(path) for name, path in paths.items()}
                context.add_asset_metadata(shown, partition_key=key_of(report, period))
        return dg.MaterializeResult()

    return chart


def _messages(
    report: Report[Any], partitions: dg.PartitionsDefinition[str], frames: Sequence[dg.AssetDep]
) -> dg.AssetsDefinition:
    @dg.asset(
        key=report_key(report),
        deps=[*([chart_key(report)] if has_charts(report) else []), *frames],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=report.name,
        kinds={"jinja"},
        description=f"{report.title}: the messages as they will be sent. {report.about}",
    )
    def messages(
        context: dg.AssetExecutionContext,
        alive: dg.ResourceParam[Alive],
        ledgers: dg.ResourceParam[Ledgers],
        warehouse: dg.ResourceParam[Warehouse],
        settings: dg.ResourceParam[Settings],
        artifacts: dg.ResourceParam[Artifacts],
        office: dg.ResourceParam[Office],
    ) -> dg.MaterializeResult:
        claims = Claims.of(context, report, ledgers.runs, alive, settings)
        missing = context.run.tags.get(MISSING, "")
        for period in claims.take(context, delivery_key(report)):
            with claims.working(period):
                moment = data_moment(report, warehouse, period, settings)
                frame = read(report, warehouse, period, settings)
                spoken = _drawn_in(report, period, artifacts) or office.languages(report.name)
                made: dict[str, tuple[Message, ...]] = {}
                for code in spoken:
                    drawn = artifacts.load_drawn(report.name, period.last, code) if has_charts(report) else {}
                    composed = tuple(report.compose(frame, drawn, rendering(settings, code, complete=not missing)))
                    made[code] = preliminary(composed, missing, Language(code)) if missing else composed
                numbers = {
                    "numbers": as_json(report.numbers(frame)),
                    "numbers_at": moment.isoformat() if moment else None,
                }
                artifacts.save(report.name, period.last, _NUMBERS, json.dumps(numbers, ensure_ascii=False).encode())
                for code, composed in made.items():
                    artifacts.save_messages(report.name, period.last, composed, code)
                artifacts.save(report.name, period.last, _LANGUAGES, json.dumps(list(made)).encode())
                saved = artifacts.folder(report.name, period.last)
                context.add_asset_metadata(
                    {
                        "text": dg.MetadataValue.md(f"```text\n{plain(made[spoken[0]])}\n```"),
                        "messages": dg.MetadataValue.path(saved),
                    },
                    partition_key=key_of(report, period),
                )
        return dg.MaterializeResult()

    return messages


def _receipt(report: Report[Any], partitions: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    @dg.asset(
        key=delivery_key(report),
        deps=[report_key(report)],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=report.name,
        pool="delivery",
        description=f"{report.title}: who got it, part by part. A period that was delivered is not sent again unless "
        "it is reset.",
    )
    def receipts(
        context: dg.AssetExecutionContext,
        alive: dg.ResourceParam[Alive],
        ledgers: dg.ResourceParam[Ledgers],
        settings: dg.ResourceParam[Settings],
        artifacts: dg.ResourceParam[Artifacts],
        office: dg.ResourceParam[Office],
        progress: dg.ResourceParam[Progress],
    ) -> dg.MaterializeResult:
        claims = Claims.of(context, report, ledgers.runs, alive, settings)
        mine = claims.take(context, delivery_key(report))
        missing = context.run.tags.get(MISSING, "")
        becomes = Status.PRELIMINARY if missing else Status.DELIVERED
        sent: dict[str, Mapping[str, Any]] = {}
        failures: list[str] = []
        # All are read before the first is sent: a period that was never built must not stop in the middle.
        prepared: dict[Period, dict[str, tuple[Message, ...]]] = {}
        for period in mine:
            with claims.working(period):
                prepared[period] = built(report, period, artifacts)
        for period, messages in prepared.items():
            with claims.working(period):
                got = _deliver(context, claims, office, period, messages, (becomes, missing), progress)
                status, reason = verdict(got, becomes, missing)
                claims.finish(period, status, reason)
                note(ledgers, report.name, claims.entry(period).key, got, now())
            if got.trouble or got.errors or not got.reached:
                failures.append(f"{period}: {got.summary()}")
                if got.unfinished:
                    failures.append(
                        f"What is left goes by itself (daemon, or `analytics-platform schedule`), for "
                        f"{settings.delivery_hours:g} hours at most."
                    )
            else:
                sent[key_of(report, period)] = receipts_table(got.parts)
        if failures:
            # The periods that did go out keep their receipts.
            for key, shown in sent.items():
                receipt = dg.AssetMaterialization(delivery_key(report), partition=key, metadata=shown)
                # Recorded at once: what a step logs before it fails is dropped with it.
                context.instance.report_runless_asset_event(receipt)
            # No retry by Dagster: the delivery ledger sees to what can be tried again.
            raise dg.Failure("\n".join(failures), metadata=receipts_table(got.parts), allow_retries=False)
        for key in context.partition_keys:
            context.add_asset_metadata(
                sent.get(key, {"receipts": dg.MetadataValue.md("delivered before; nothing was sent")}),
                partition_key=key,
            )
        return dg.MaterializeResult()

    return receipts


def _deliver(
    context: dg.AssetExecutionContext,
    claims: Claims,
    office: Office,
    period: Period,
    messages: Mapping[str, tuple[Message, ...]],
    becomes: tuple[Status, str],
    progress: Progress,
) -> Delivered:
    """Hand one period over and send it. Raises dg.Failure when nobody is to get it."""
    report = claims.report
    try:
        recipients = office.recipients(report.name)
    except ChannelError as nobody:
        raise dg.Failure(str(nobody), allow_retries=False) from None
    artifacts: Artifacts = context.resources.artifacts
    let_go(office.ledgers, claims.entry(period))
    kept = json.loads(artifacts.load(report.name, period.last, _NUMBERS))
    moment = kept["numbers_at"]
    parcel = Parcel(report.name, claims.entry(period).key, messages, office.patience)
    claims.begin_delivery(
        period,
        parcel.period,
        *becomes,
        numbers=kept["numbers"],
        numbers_at=datetime.fromisoformat(moment) if moment else None,
    )
    # Handed over only now: a period that was begun and has no delivery is made anew.
    handed = office.post.hand_over(parcel, recipients)
    if not handed.parts:
        return handed

    renewed = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal renewed
        if time.monotonic() - renewed > _RENEWED_SECONDS:
            renewed = time.monotonic()
            claims.renew(period)
        if total > _WORTH_A_BAR:
            progress.step(f"deliver {report.name}", done, total)

    return office.post.send(report.name, parcel.period, recipients, claims.owner, progress=tell)


def _drawn_in(report: Report[Any], period: Period, artifacts: Artifacts) -> Sequence[str]:
    """The languages that its pictures are in; none when it has no pictures. Raises ArtifactError when not drawn."""
    return json.loads(artifacts.load(report.name, period.last, _DRAWN)) if has_charts(report) else ()


def built(report: Report[Any], period: Period, artifacts: Artifacts) -> dict[str, tuple[Message, ...]]:
    """The report's messages by language, the home's first. Raises ArtifactError when it was not built."""
    spoken = json.loads(artifacts.load(report.name, period.last, _LANGUAGES))
    return {code: artifacts.load_messages(report.name, period.last, code) for code in spoken}


def plain(messages: Sequence[Message]) -> str:
    """The texts among the messages, without markup."""
    return "\n\n".join(m.plain for m in messages if isinstance(m, Text))
