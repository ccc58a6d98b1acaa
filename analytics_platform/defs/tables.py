"""An asset that is a result table: for each day of a run, one statement replaces the partition.

Belongs here: running the statement for the days, and refusing a day whose inputs are missing. Does not: which table
comes from which statement (`defs/metrics.py`, `defs/app.py`), checks of what was written.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date

import dagster as dg

from analytics_platform.defs.failures import retried_when_transient
from analytics_platform.defs.liveness import Alive
from analytics_platform.defs.partitions import days_of
from analytics_platform.defs.resources import Progress
from analytics_platform.defs.shown import column_schema, day_metadata, markdown
from analytics_platform.metrics.tables import ResultTable
from analytics_platform.queries import Query
from analytics_platform.settings import Settings
from analytics_platform.warehouses.base import Warehouse, origin

# One asset writes at a time: a DuckDB file has one writer, and on a server days wait for one another's memory.
POOL = "warehouse"


@contextmanager
def working(context: dg.AssetExecutionContext, key: dg.AssetKey, settings: Settings) -> Iterator[None]:
    """The frame of every asset's work with the warehouse: its statements carry run and asset, and what only waiting can
    mend asks for another try.
    """
    token = origin.set(f"{context.run.run_id}/{key.to_user_string()}")
    try:
        with retried_when_transient(settings.retry_pause_seconds):
            yield
    finally:
        origin.reset(token)


def need(warehouse: Warehouse, table: ResultTable, key: dg.AssetKey, day: date) -> None:
    """Raise dg.Failure when the day is not in the table: computed from nothing, it would read as a day of zeros."""
    if day not in warehouse.computed_days(table, day, day):
        name = key.to_user_string()
        raise dg.Failure(f"{name} of {day} has not been computed: materialise it first.", allow_retries=False)


def table_asset(
    key: dg.AssetKey,
    table: ResultTable,
    partitions: dg.DailyPartitionsDefinition,
    *,
    group: str,
    reads: Sequence[tuple[ResultTable, dg.AssetKey]],
    statement: Callable[[date, Settings], tuple[Query, Query | None]],
    about: str,
    engine: str,
    preview: Callable[[date], Query] | None = None,
    events: Sequence[dg.AssetKey] = (),
) -> dg.AssetsDefinition:
    """An asset that replaces each day of the run by the rows of `statement`, once every table it reads has that day.

    `statement` gives the day's rows, and rows of other days to add if any; `preview` gives what the UI shows of the
    table after the run's last day. `events`: the event tables that it reads, of which any day may be empty.
    """
    name = key.to_user_string()

    @dg.asset(
        key=key,
        deps=[*(asset for _, asset in reads), *events],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=group,
        kinds={engine, "table"},
        pool=POOL,
        description=about,
        metadata=column_schema(table),
    )
    def replace(
        context: dg.AssetExecutionContext,
        alive: dg.ResourceParam[Alive],
        warehouse: dg.ResourceParam[Warehouse],
        settings: dg.ResourceParam[Settings],
        progress: dg.ResourceParam[Progress],
    ) -> dg.MaterializeResult:
        days = days_of(context)
        with working(context, key, settings):
            for done, day in enumerate(days, start=1):
                for needed, asset in reads:
                    need(warehouse, needed, asset, day)
                query, also = statement(day, settings)
                rows = warehouse.replace_day(table, day, query, also=also)
                context.add_asset_metadata(day_metadata(rows, query, engine), partition_key=day.isoformat())
                progress.step(name, done, len(days))
            shown = warehouse.rows(preview(days[-1])) if preview else None
        return dg.MaterializeResult(metadata={} if shown is None else {"preview": dg.MetadataValue.md(markdown(shown))})

    return replace
