"""Reports arrive in the tables of the site's programs, once, whatever happens on the way.

Belongs here: `write_reports` against moto, with batches refused, left over and cut off. Does not: what a report says.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from analytics_platform.metrics.tables import EVENT_REPORTS, VISITOR_REPORTS, result_schema
from analytics_platform.sources import dynamodb_reports
from analytics_platform.sources.dynamodb import Account, DynamoBusyError, DynamoError
from analytics_platform.sources.dynamodb_reports import Gone, Written, check_reports, write_reports
from analytics_platform_tests.dynamodb_service import REGION, between, make_table, stored

pytestmark = pytest.mark.usefixtures("aws_credentials")

VISITORS, EVENTS = "visitor-reports", "events-reports"
START = datetime(2019, 6, 21, 15, 0)  # noqa: DTZ001  (naive UTC)


@pytest.fixture
def tables(address: str) -> str:
    make_table(address, VISITORS, "uuid", index=False)
    make_table(address, EVENTS, index=False)
    return address


def visitor_rows(count: int, **others: object) -> pa.Table:
    common = {"event_date": date(2019, 6, 22), "window_start": START, "window_end": START + timedelta(days=1)}
    rows = [
        {**common, "uuid": f"u{k}", "visitor": f"v{k}", "n_interactions": k + 1, "pages": '["/en/", "/é"]', **others}
        for k in range(count)
    ]
    schema = result_schema(VISITOR_REPORTS)
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)


def event_rows(count: int, start: datetime = START) -> pa.Table:
    schema = result_schema(EVENT_REPORTS)
    window = {"window_start": start, "window_end": start + timedelta(days=1)}
    common = {"event_date": date(2019, 6, 22), **window, "action": "action", "page": "/en/"}
    rows = [{**common, "request_id": f"r{k}", "created": START + timedelta(microseconds=k)} for k in range(count)]
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)


def account(address: str, seconds: float = 20) -> Account:
    return Account(REGION, address, attempts=1, patience=timedelta(seconds=seconds))


def gone(visitors: Sequence[str] = (), events: Sequence[str] = ()) -> Gone:
    return Gone(START, START + timedelta(days=1), visitors, events)


def write(address: str, visitors: int, events: int, *, seconds: float = 20, gone: Gone | None = None) -> Written:
    rows = {"visitor_rows": visitor_rows(visitors), "event_rows": event_rows(events)}
    return write_reports(account(address, seconds), VISITORS, EVENTS, **rows, gone=gone)


def test_reports_are_written_as_their_readers_know_them(tables: str) -> None:
    seen = datetime(2019, 6, 21, 16, 0, 0, 523086)  # noqa: DTZ001
    rows = visitor_rows(1, adblock=False, first_seen=seen, language="", distinct_pages=2)
    assert write_reports(account(tables), VISITORS, EVENTS, visitor_rows=rows, event_rows=event_rows(1)) == Written(
        1, 1, 0
    )
    assert stored(tables, VISITORS, "uuid") == {
        "u0": {
            "uuid": {"S": "u0"},
            "visitor": {"S": "v0"},
            "event_date": {"S": "2019-06-22"},
            "window_start": {"S": "2019-06-21T15:00:00.000000Z"},
            "window_end": {"S": "2019-06-22T15:00:00.000000Z"},
            "n_interactions": {"N": "1"},
            "adblock": {"BOOL": False},
            "first_seen": {"S": "2019-06-21T16:00:00.523086Z"},
            "language": {"S": ""},
            "pages": {"L": [{"S": "/en/"}, {"S": "/é"}]},
            "distinct_pages": {"N": "2"},
        }
    }
    assert stored(tables, EVENTS, "request_id") == {
        "r0": {
            "request_id": {"S": "r0"},
            "event_date": {"S": "2019-06-22"},
            "window_start": {"S": "2019-06-21T15:00:00.000000Z"},
            "window_end": {"S": "2019-06-22T15:00:00.000000Z"},
            "page": {"S": "/en/"},
            "action": {"S": "action"},
            "created": {"S": "2019-06-21T15:00:00.000000Z"},
        }
    }


def test_a_second_time_changes_nothing_and_what_is_gone_is_deleted(tables: str) -> None:
    assert write(tables, 30, 60) == Written(30, 60, 0)
    before = stored(tables, VISITORS, "uuid"), stored(tables, EVENTS, "request_id")
    assert (len(before[0]), len(before[1])) == (30, 60)
    assert write(tables, 30, 60) == Written(30, 60, 0)
    assert (stored(tables, VISITORS, "uuid"), stored(tables, EVENTS, "request_id")) == before
    # Of those that are named, what was written again stays; what never was does no harm.
    assert write(tables, 28, 60, gone=gone(["u28", "u29", "u0", "never"])) == Written(28, 60, 3)
    assert set(stored(tables, VISITORS, "uuid")) == {f"u{k}" for k in range(28)}


def test_an_event_that_is_gone_is_deleted_unless_another_window_has_it_by_now(tables: str) -> None:
    write(tables, 0, 6)
    later = START + timedelta(hours=12)
    rows = {"visitor_rows": visitor_rows(0), "event_rows": event_rows(5, later).slice(4)}
    assert write_reports(account(tables), VISITORS, EVENTS, **rows) == Written(0, 1, 0)
    # r4 is of the later window now; r0 is written again; r9 never was there.
    assert write(tables, 0, 3, gone=gone(events=["r3", "r4", "r5", "r0", "r9"])) == Written(0, 3, 0, 2)
    left = stored(tables, EVENTS, "request_id")
    assert set(left) == {"r0", "r1", "r2", "r4"}
    assert left["r4"]["window_start"] == {"S": "2019-06-22T03:00:00.000000Z"}


def test_of_many_events_that_are_gone_only_some_wait_to_be_deleted(
    tables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamodb_reports, "_AT_ONCE", 5)
    write(tables, 0, 12)
    with between(tables) as proxy:
        ahead: list[int] = []

        class Asked(list[str]):
            def __iter__(self) -> Iterator[str]:
                for place, key in enumerate(super().__iter__()):
                    ahead.append(place - proxy.seen.count("DeleteItem"))
                    yield key

        keys = Asked(f"r{k}" for k in range(12))
        assert write(proxy.address, 0, 1, gone=gone(events=keys)) == Written(0, 1, 0, 11)
    assert len(ahead) == 12
    assert max(ahead) <= 5
    assert set(stored(tables, EVENTS, "request_id")) == {"r0"}


def test_of_many_items_only_some_are_made_before_they_are_written(tables: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb_reports, "_AT_ONCE", 50)
    made, ahead, item = 0, [], dynamodb_reports._item
    with between(tables) as proxy:

        def counted(row: Mapping[str, Any]) -> dict[str, Any]:
            nonlocal made
            made += 1
            ahead.append(made - 25 * proxy.seen.count("BatchWriteItem"))
            return item(row)

        monkeypatch.setattr(dynamodb_reports, "_item", counted)
        # A key that comes twice is written once, as its last row says.
        rows = pa.concat_tables([event_rows(120), event_rows(1, START + timedelta(hours=1))])
        found = write_reports(account(proxy.address), VISITORS, EVENTS, visitor_rows=visitor_rows(0), event_rows=rows)
    assert found == Written(0, 120, 0)
    assert len(ahead) == 120
    assert max(ahead) <= 50
    left = stored(tables, EVENTS, "request_id")
    assert len(left) == 120
    assert left["r0"]["window_start"] == {"S": "2019-06-21T16:00:00.000000Z"}


def test_nothing_to_write_is_nothing(tables: str) -> None:
    assert write(tables, 0, 0) == Written(0, 0, 0)


def test_what_is_left_over_is_written_later(tables: str) -> None:
    with between(tables) as proxy:
        proxy.leave_over, proxy.refuse = 5, 2
        assert write(proxy.address, 30, 60) == Written(30, 60, 0)
        assert proxy.seen.count("BatchWriteItem") == 5 + 2 + 5
    assert (len(stored(tables, VISITORS, "uuid")), len(stored(tables, EVENTS, "request_id"))) == (30, 60)


def test_what_is_refused_without_end_ends_in_a_sentence(tables: str) -> None:
    with between(tables) as proxy:
        proxy.leave_over = 10_000
        with pytest.raises(
            DynamoBusyError, match=r"wrote nothing to table 'visitor-reports' for 0.2 s, as it exceeds its"
        ):
            write(proxy.address, 30, 60, seconds=0.2)


def test_cut_off_in_the_middle_and_begun_again_it_is_as_if_nothing_had_happened(tables: str) -> None:
    write(tables, 40, 1)
    away = gone([f"u{k}" for k in range(30, 40)])
    with between(tables) as proxy:
        proxy.dropping_after = 3
        with pytest.raises(DynamoBusyError, match="does not answer"):
            write(proxy.address, 30, 120, gone=away)
        assert 0 < len(stored(tables, EVENTS, "request_id")) < 120
        assert len(stored(tables, VISITORS, "uuid")) == 40  # nothing is deleted before all is written
        proxy.dropping_after = None
        write(proxy.address, 30, 120, gone=away)
    assert set(stored(tables, VISITORS, "uuid")) == {f"u{k}" for k in range(30)}
    assert set(stored(tables, EVENTS, "request_id")) == {f"r{k}" for k in range(120)}


def test_tables_are_checked_before_anything_is_written(tables: str) -> None:
    assert check_reports(account(tables), VISITORS, EVENTS).startswith(f"DynamoDB tables '{VISITORS}' and '{EVENTS}'")
    with pytest.raises(
        DynamoError, match=r"table 'events-reports' has the key request_id \(S\), not uuid \(S\); create it"
    ):
        check_reports(account(tables), EVENTS, EVENTS)
    with pytest.raises(DynamoError, match="has no table 'absent'"):
        check_reports(account(tables), VISITORS, "absent")
    with pytest.raises(DynamoError, match="has no table 'absent'"):
        write_reports(account(tables), "absent", EVENTS, visitor_rows=visitor_rows(1), event_rows=event_rows(1))


def test_times_with_a_zone_are_written_in_utc(tables: str) -> None:
    schema = pa.schema([("uuid", pa.string()), ("timestamp", pa.timestamp("us", "UTC"))])
    rows = pa.Table.from_pylist([{"uuid": "u", "timestamp": START.replace(tzinfo=UTC)}], schema)
    write_reports(account(tables), VISITORS, EVENTS, visitor_rows=rows, event_rows=event_rows(0))
    assert stored(tables, VISITORS, "uuid")["u"]["timestamp"] == {"S": "2019-06-21T15:00:00.000000Z"}
