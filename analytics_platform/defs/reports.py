"""frames/feed_daily -> charts/feed_daily -> reports/feed_daily -> deliveries/feed_daily.

Belongs here: reading the frame of a day, drawing, composing, delivering, and what the UI shows of each.
Does not: what the report says (`reports/`), how it is sent (`channels/`).
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import dagster as dg

from analytics_platform import delivery
from analytics_platform.artifacts import Artifacts
from analytics_platform.channels.base import Channel, Receipt
from analytics_platform.defs.failures import retried_when_transient
from analytics_platform.defs.liveness import Alive
from analytics_platform.defs.metrics import FEED_FRAME
from analytics_platform.defs.partitions import days_of
from analytics_platform.defs.shown import markdown, picture
from analytics_platform.language import Language
from analytics_platform.messages import Text
from analytics_platform.metrics.frames import FeedDay, FeedFrame
from analytics_platform.metrics.windows import days
from analytics_platform.queries import compose
from analytics_platform.reports import feed_daily as report
from analytics_platform.settings import Settings
from analytics_platform.warehouses.base import Warehouse

CHART = dg.AssetKey(["charts", report.NAME])
REPORT = dg.AssetKey(["reports", report.NAME])
DELIVERY = dg.AssetKey(["deliveries", report.NAME])


def feed_frame(warehouse: Warehouse, day: date) -> FeedFrame:
    """The eight days that the report of `day` compares; days that were not computed are empty.

    Raises dg.Failure when the report day itself has not been computed or has no events: nothing is said of it.
    """
    first = day - timedelta(days=7)
    rows = {r["event_date"]: r for r in warehouse.rows(compose("feed_frame", {"first_day": first, "last_day": day}))}
    frame = FeedFrame(tuple(_feed_day(d, rows.get(d)) for d in days(first, day)))
    if frame.today.dau is None:
        raise dg.Failure(f"{day} has not been computed: materialise frames/feed_daily for it.", allow_retries=False)
    if not frame.today.dau:
        raise dg.Failure(
            f"{day} has no feed events, so there is nothing to report: load them, then materialise facts/user_day "
            "and what follows for that day.",
            allow_retries=False,
        )
    return frame


def report_assets(partitions: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The three assets from chart to receipt."""
    # The report of a day compares it with the seven before it.
    week = dg.TimeWindowPartitionMapping(start_offset=-7, allow_nonexistent_upstream_partitions=True)

    every_day = dg.BackfillPolicy.single_run()

    @dg.asset(
        key=CHART,
        deps=[dg.AssetDep(FEED_FRAME, partition_mapping=week)],
        partitions_def=partitions,
        backfill_policy=every_day,
        group_name="feed",
        kinds={"matplotlib"},
        description="Seven days of DAU, views and likes, each with CTR: a PNG for the chat and a vector PDF.",
    )
    def chart(
        context: dg.AssetExecutionContext,
        alive: dg.ResourceParam[Alive],
        warehouse: dg.ResourceParam[Warehouse],
        settings: dg.ResourceParam[Settings],
        artifacts: dg.ResourceParam[Artifacts],
    ) -> dg.MaterializeResult:
        from analytics_platform.charts import feed_daily as chart

        for day in days_of(context):
            with retried_when_transient(settings.retry_pause_seconds):
                frame = feed_frame(warehouse, day)
            drawn = chart.draw(frame, Language(settings.locale))
            shown = {
                "chart": picture(drawn.png, f"{report.NAME} {day}"),
                "png": dg.MetadataValue.path(artifacts.save(report.NAME, day, "chart.png", drawn.png)),
                "pdf": dg.MetadataValue.path(artifacts.save(report.NAME, day, "chart.pdf", drawn.pdf)),
            }
            context.add_asset_metadata(shown, partition_key=day.isoformat())
        return dg.MaterializeResult()

    @dg.asset(
        key=REPORT,
        deps=[dg.AssetDep(FEED_FRAME, partition_mapping=week), CHART],
        partitions_def=partitions,
        backfill_policy=every_day,
        group_name="feed",
        kinds={"jinja"},
        description="The messages of the daily feed report as they will be sent: text, picture, PDF.",
    )
    def messages(
        context: dg.AssetExecutionContext,
        alive: dg.ResourceParam[Alive],
        warehouse: dg.ResourceParam[Warehouse],
        settings: dg.ResourceParam[Settings],
        artifacts: dg.ResourceParam[Artifacts],
    ) -> dg.MaterializeResult:
        for day in days_of(context):
            with retried_when_transient(settings.retry_pause_seconds):
                frame = feed_frame(warehouse, day)
            png, pdf = (artifacts.load(report.NAME, day, f"chart.{kind}") for kind in ("png", "pdf"))
            composed = report.compose(frame, png, pdf, Language(settings.locale))
            text = "\n\n".join(m.plain for m in composed if isinstance(m, Text))
            missing = [d.day.isoformat() for d in frame.days if d.dau is None]
            shown = {
                "text": dg.MetadataValue.md(f"```text\n{text}\n```"),
                "messages": dg.MetadataValue.path(artifacts.save_messages(report.NAME, day, composed)),
                "days_not_computed": dg.MetadataValue.text(", ".join(missing) or "none"),
            }
            context.add_asset_metadata(shown, partition_key=day.isoformat())
        return dg.MaterializeResult()

    @dg.asset(
        key=DELIVERY,
        deps=[REPORT],
        partitions_def=partitions,
        backfill_policy=every_day,
        group_name="feed",
        pool="delivery",
        description="The receipt: who got the daily feed report, part by part. Materialising it again sends it again.",
    )
    def receipts(
        context: dg.AssetExecutionContext,
        alive: dg.ResourceParam[Alive],
        artifacts: dg.ResourceParam[Artifacts],
        channels: dg.ResourceParam[Sequence[Channel]],
    ) -> dg.MaterializeResult:
        # All are read before the first is sent: a day that was never built must not stop in the middle.
        prepared = {day: artifacts.load_messages(report.NAME, day) for day in days_of(context)}
        sent: dict[date, Mapping[str, dg.MetadataValue]] = {}
        failures: list[str] = []
        failed: list[Receipt] = []
        for day, messages in prepared.items():
            try:
                got = delivery.deliver(messages, channels, key=f"{report.NAME}/{day}")
            except delivery.DeliveryError as error:
                failures.append(f"{day}: {error}")
                failed += error.receipts
                continue
            sent[day] = {
                "receipts": dg.MetadataValue.md(_receipts(got)),
                "recipients": dg.MetadataValue.int(_recipients(got)),
            }
        if failures:
            # The days that did go out keep their receipts, or a later backfill would send them again.
            for day, shown in sent.items():
                receipt = dg.AssetMaterialization(DELIVERY, partition=day.isoformat(), metadata=shown)
                # Recorded at once: what a step logs before it fails is dropped with it.
                context.instance.report_runless_asset_event(receipt)
            # No retry by Dagster: what is uncertain may have arrived, and what was sent would be sent twice.
            raise dg.Failure(
                "\n".join(failures), metadata={"receipts": dg.MetadataValue.md(_receipts(failed))}, allow_retries=False
            )
        for day, shown in sent.items():
            context.add_asset_metadata(shown, partition_key=day.isoformat())
        return dg.MaterializeResult()

    return [chart, messages, receipts]


def _feed_day(day: date, row: dict[str, object] | None) -> FeedDay:
    def number(name: str) -> int | None:
        value = row[name] if row else None
        return value if isinstance(value, int) else None

    return FeedDay(day, number("dau"), number("views"), number("likes"))


def _recipients(receipts: Sequence[Receipt]) -> int:
    return len({(r.channel, r.recipient) for r in receipts})


def _receipts(receipts: Sequence[Receipt]) -> str:
    return markdown(
        [
            {
                "outcome": r.outcome.value,
                "part": r.part,
                "recipient": f"{r.channel} {r.recipient}",
                "detail": r.detail,
            }
            for r in receipts
        ],
        limit=500,
    )
