"""The event tables as external assets, and the sensor that observes how far their data reaches.

Belongs here: asset specs and observations of raw events. Does not: loading (`cli/`), anything computed from events.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from analytics_platform.metrics.events import EVENT_TABLES, EventTable
from analytics_platform.metrics.windows import local_day
from analytics_platform.queries import compose
from analytics_platform.settings import Settings
from analytics_platform.warehouses.base import Warehouse

GROUP = "events"


def event_key(table: EventTable) -> dg.AssetKey:
    """The asset key of an event table: `events/<name>`."""
    return dg.AssetKey(["events", table.name])


def event_assets(engine: str) -> list[dg.AssetSpec]:
    """The external assets: other programs, or `analytics-platform load`, write them."""
    return [
        dg.AssetSpec(
            event_key(table),
            group_name=GROUP,
            description="Raw events, one row per event. Written by `analytics-platform load`, or by other programs "
            "where EVENTS_DATABASE or EVENTS_MAPPING says so.",
            kinds={"table", engine},
            metadata={
                "dagster/column_schema": dg.TableSchema(
                    [dg.TableColumn(c.name, c.kind.value, constraints=_constraints(c.required)) for c in table.columns]
                )
            },
        )
        for table in EVENT_TABLES
    ]


def observations(warehouse: Warehouse, settings: Settings) -> list[dg.AssetObservation]:
    """How many events each table holds and when the last one happened."""
    seen = []
    for table in EVENT_TABLES:
        [row] = warehouse.rows(compose("event_span", table=table.name))
        metadata: dict[str, dg.MetadataValue] = {"dagster/row_count": dg.MetadataValue.int(_int(row["rows"]))}
        last = row["last_time"]
        if isinstance(last, datetime):
            metadata["last_event_time"] = dg.MetadataValue.timestamp(last.replace(tzinfo=UTC))
            metadata["last_event_day"] = dg.MetadataValue.text(local_day(last, settings.zone).isoformat())
            metadata["dagster/last_updated_timestamp"] = dg.MetadataValue.timestamp(last.replace(tzinfo=UTC))
        seen.append(dg.AssetObservation(event_key(table), metadata=metadata))
    return seen


def events_sensor(settings: Settings, warehouse: Callable[[], Warehouse]) -> dg.SensorDefinition:
    """Every 15 minutes, observe the event tables from the tick itself: a run would cost a hundred times as much."""

    @dg.sensor(
        name="observe_events",
        minimum_interval_seconds=900,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records the last event time and the row count of each event table.",
    )
    def observe_events() -> dg.SensorResult:
        started = time.perf_counter()
        events = observations(warehouse(), settings)
        took = time.perf_counter() - started
        return dg.SensorResult(asset_events=events, skip_reason=f"observed {len(events)} tables in {took:.2f} s")

    return observe_events


def _constraints(required: bool) -> dg.TableColumnConstraints:
    return dg.TableColumnConstraints(nullable=not required)


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
