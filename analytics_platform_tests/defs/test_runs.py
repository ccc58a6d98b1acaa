"""Running the graph for real: backfills, reruns, checks that stop a wrong number, deliveries that fail red."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pyarrow as pa
import pytest

from analytics_platform.channels.base import Outcome, Sent
from analytics_platform.definitions import build_definitions
from analytics_platform.defs.claims import AGAIN
from analytics_platform.defs.reports import delivery_key
from analytics_platform.defs.schedules import METRICS_JOB, report_job
from analytics_platform.messages import Album, Document, Text
from analytics_platform.metrics.events import FEED_ACTIONS, arrow_schema
from analytics_platform.metrics.slices import slices_between
from analytics_platform.metrics.tables import ResultTable
from analytics_platform.metrics.windows import day_window
from analytics_platform.queries import Query
from analytics_platform.reports import all_reports
from analytics_platform.warehouses.base import EventLoad, Row, Warehouse, WarehouseBusyError
from analytics_platform_tests.defs.conftest import DAYS, FIRST, LAST, Backfill, Place
from analytics_platform_tests.drawn_once import Known
from analytics_platform_tests.recording import Recording, office_of

FEED = all_reports()["feed_daily"]
REPORT_JOB = report_job(FEED)
DELIVERY = delivery_key(FEED)


@dataclass
class Altered:
    """The real warehouse, except that the events are said to have had one like more."""

    real: Warehouse

    def prepare(self) -> None:
        self.real.prepare()

    def rows(self, query: Query) -> list[Row]:
        rows = self.real.rows(query)
        if query.name == "event_totals":
            rows[0]["likes"] = int(str(rows[0]["likes"])) + 1
        return rows

    @property
    def engine(self) -> str:
        return self.real.engine

    def note_changes(self, first: date, last: date, zone: ZoneInfo) -> Collection[date]:
        return self.real.note_changes(first, last, zone)

    def computed_days(self, table: ResultTable, first: date, last: date) -> Collection[date]:
        return self.real.computed_days(table, first, last)

    def current_days(self, table: ResultTable, first: date, last: date) -> Collection[date]:
        return self.real.current_days(table, first, last)

    def computed_at(self, table: ResultTable, first: date, last: date) -> Mapping[date, datetime]:
        return self.real.computed_at(table, first, last)

    def replace_day(self, table: ResultTable, day: date, query: Query, *, also: Query | None = None) -> int:
        return self.real.replace_day(table, day, query, also=also)


def run(
    place: Place,
    job: str,
    first: date,
    last: date,
    *,
    channels: Sequence[Recording] = (),
    warehouse: object | None = None,
    instance: dg.DagsterInstance | None = None,
    again: bool = False,
) -> dg.ExecuteInProcessResult:
    """One run over the days, in this process."""
    definitions = build_definitions(
        place.home,
        place.settings,
        office=office_of(place.home, place.settings, channels),
        warehouse=warehouse or place.warehouse,  # type: ignore[arg-type]
    )
    with nullcontext(instance) if instance else dg.DagsterInstance.ephemeral() as used:
        return definitions.resolve_job_def(job).execute_in_process(
            instance=used,
            raise_on_error=False,
            tags={
                "dagster/asset_partition_range_start": first.isoformat(),
                "dagster/asset_partition_range_end": last.isoformat(),
                **({AGAIN: "yes"} if again else {}),
            },
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )


def whole(place: Place, day: date, channels: Sequence[Recording]) -> dg.ExecuteInProcessResult:
    """The day's figures, then its feed report."""
    assert run(place, METRICS_JOB, day, day).success
    return run(place, REPORT_JOB, day, day, channels=channels)


def materialized(result: dg.ExecuteInProcessResult) -> set[tuple[str, str]]:
    """(asset, partition) of every materialisation."""
    return {
        (event.asset_key.to_user_string(), str(event.partition))
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the failed steps say."""
    texts = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            described = data.user_failure_data.description if data.user_failure_data else None
            texts.append(described or (data.error.message if data.error else ""))
    return "\n".join(texts)


def test_a_backfill_is_one_run_and_materializes_every_day_of_every_asset(backfill: Backfill) -> None:
    result = backfill.result
    assert result.success, failure(result)
    days = [(FIRST + timedelta(days=k)).isoformat() for k in range(DAYS)]
    assets = (
        "facts/user_day",
        "metrics/daily_slices",
        "frames/feed_daily",
        "facts/post_day",
        "facts/first_seen",
        "frames/app_daily",
        "series/quarter_hour",
    )
    assert materialized(result) == {(asset, day) for asset in assets for day in days}
    passed = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
    assert passed == {
        "counts_match_events": True,
        "messages_received_equal_sent": True,
        "slices_sum_to_total": True,
        "no_missing_values": True,
        "volume_as_usual": passed["volume_as_usual"],
    }


def test_each_day_shows_its_own_rows_and_window(loaded: Place) -> None:
    result = run(loaded, METRICS_JOB, FIRST, FIRST + timedelta(days=1))
    shown = {}
    for event in result.asset_materializations_for_node("facts__user_day"):
        rows = event.metadata["dagster/row_count"].value
        shown[event.partition] = (rows, event.metadata["window_start"].value)
    stored = {
        day.isoformat(): loaded.warehouse.rows(
            Query("n", "SELECT count(*) AS n FROM results.user_day WHERE event_date = $d", {"d": day})
        )[0]["n"]
        for day in (FIRST, FIRST + timedelta(days=1))
    }
    assert {day: rows for day, (rows, _) in shown.items()} == stored
    # Moscow is three hours ahead of UTC: its 2 March begins on 1 March, 21:00 UTC.
    assert shown[FIRST.isoformat()][1] == 1772398800.0


def test_a_rerun_replaces_and_changes_nothing(computed: Place) -> None:
    before = computed.warehouse.rows(slices_between(FIRST, LAST))
    assert run(computed, METRICS_JOB, FIRST + timedelta(days=3), FIRST + timedelta(days=5)).success
    assert computed.warehouse.rows(slices_between(FIRST, LAST)) == before


def test_a_count_that_differs_from_the_events_stops_everything_behind_it(loaded: Place) -> None:
    result = run(loaded, METRICS_JOB, LAST, LAST, warehouse=Altered(loaded.warehouse))
    assert not result.success
    # Series come from the events alone: they are not behind it.
    assert {asset for asset, _ in materialized(result)} == {"facts/user_day", "series/quarter_hour"}
    [wrong] = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert wrong.check_name == "counts_match_events"
    assert wrong.description
    assert "likes is" in wrong.description
    assert LAST.isoformat() in wrong.description


def test_from_events_to_a_delivered_report(computed: Place) -> None:
    channel = Recording()
    result = whole(computed, LAST, [channel])
    assert result.success, failure(result)
    [(key, messages)] = channel.sent
    assert key == f"feed_daily/{LAST}"
    assert [type(m) for m in messages] == [Text, Album, Document]
    assert isinstance(messages[0], Text)
    assert "n/a" not in messages[0].plain
    [receipt] = result.asset_materializations_for_node("deliveries__feed_daily")
    assert receipt.metadata["recipients"].value == 1


def test_days_that_were_never_computed_read_as_not_available(loaded: Place) -> None:
    channel = Recording()
    assert whole(loaded, LAST, [channel]).success
    [(_, messages)] = channel.sent
    assert isinstance(messages[0], Text)
    assert messages[0].plain.count("n/a vs") == 8
    assert "nan" not in messages[0].plain.lower()
    assert "inf" not in messages[0].plain.lower()


def test_a_day_without_feed_events_is_refused_and_nothing_is_delivered(loaded: Place) -> None:
    empty = LAST + timedelta(days=1)
    channel = Recording()
    result = whole(loaded, empty, [channel])
    assert not result.success
    assert f"{empty} has no feed events" in failure(result)
    assert channel.sent == []


@pytest.mark.parametrize(
    ("outcome", "state", "tries"),
    [
        (Outcome.REFUSED, "failed", 1),
        (Outcome.NOT_SENT, "pending", 4),
        (Outcome.UNCERTAIN, "uncertain (held)", 1),
    ],
)
def test_a_delivery_that_is_not_certain_is_red(computed: Place, outcome: Outcome, state: str, tries: int) -> None:
    channel = Recording(outcome)
    result = run(computed, REPORT_JOB, LAST, LAST, channels=[channel])
    assert not result.success
    assert len(channel.sent) == tries
    assert f"1 of 1 parts have not arrived for certain:\nrecording somebody, all: {state}. Why." in failure(result)
    assert ("What is left goes by itself" in failure(result)) == (outcome is Outcome.NOT_SENT)
    assert ("deliveries/feed_daily", LAST.isoformat()) not in materialized(result)


def test_days_that_were_delivered_keep_their_receipts_when_another_is_refused(computed: Place) -> None:
    refuses_the_last = Recording(outcomes=[Sent(Outcome.SENT), Sent(Outcome.REFUSED, "Why.")])
    before = LAST - timedelta(days=1)
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(computed, REPORT_JOB, before, LAST, channels=[refuses_the_last], instance=instance)
        assert not result.success
        assert f"{LAST}: 1 of 1 parts" in failure(result)
        assert instance.get_materialized_partitions(DELIVERY) == {before.isoformat()}


@pytest.mark.parametrize(
    ("asset", "missing"), [("metrics/daily_slices", "facts/user_day"), ("frames/feed_daily", "metrics/daily_slices")]
)
def test_a_day_is_not_computed_from_nothing(loaded: Place, asset: str, missing: str) -> None:
    definitions = build_definitions(loaded.home, loaded.settings, warehouse=loaded.warehouse)
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def(METRICS_JOB).execute_in_process(
            instance=instance,
            raise_on_error=False,
            partition_key=FIRST.isoformat(),
            asset_selection=[dg.AssetKey.from_user_string(asset)],
        )
    assert not result.success
    assert f"{missing} of {FIRST} has not been computed" in failure(result)


def test_events_loaded_between_computing_and_checking_are_computed_again(loaded: Place) -> None:
    @dataclass
    class LateEvents(Altered):
        late: bool = True

        def rows(self, query: Query) -> list[Row]:
            if query.name == "event_totals" and self.late:
                self.late = False
                event = {"user_id": 1, "post_id": 1, "action": "view", "time": day_window(FIRST, zone).start}
                batch = pa.RecordBatch.from_pylist([event], schema=arrow_schema(FEED_ACTIONS))
                loaded.warehouse.load([EventLoad(FEED_ACTIONS, [batch])], zone, append=True)
            return self.real.rows(query)

    zone = loaded.settings.zone
    result = run(loaded, METRICS_JOB, FIRST, FIRST, warehouse=LateEvents(loaded.warehouse))
    assert result.success, failure(result)
    assert all(e.passed for e in result.get_asset_check_evaluations() if e.check_name == "counts_match_events")


def test_nobody_to_tell_is_a_failure_not_silence(computed: Place) -> None:
    result = run(computed, REPORT_JOB, LAST, LAST)
    assert not result.success
    assert "nobody was told" in failure(result)


def test_only_a_busy_warehouse_asks_for_another_try(loaded: Place) -> None:
    calls = []

    @dataclass
    class BusyOnce(Altered):
        def replace_day(self, table: ResultTable, day: date, query: Query, *, also: Query | None = None) -> int:
            calls.append(day)
            if len(calls) == 1:
                raise WarehouseBusyError("kept open")
            return self.real.replace_day(table, day, query, also=also)

        def rows(self, query: Query) -> list[Row]:
            return self.real.rows(query)

    result = run(loaded, METRICS_JOB, FIRST, FIRST, warehouse=BusyOnce(loaded.warehouse))
    assert result.success, failure(result)
    assert len(calls) == 8  # the first once more, then the six other tables


def test_the_report_is_built_again_without_computing(computed: Place, charts_drawn_once: Known) -> None:
    first, second = Recording(), Recording()
    assert run(computed, REPORT_JOB, LAST, LAST, channels=[first]).success
    charts_drawn_once.clear()
    assert run(computed, REPORT_JOB, LAST, LAST, channels=[second], again=True).success
    [(key, sent)], [(again, repeated)] = first.sent, second.sent
    assert sent == repeated  # to the byte, pictures included
    assert (key, again) == (f"feed_daily/{LAST}", f"feed_daily/{LAST} #2")
