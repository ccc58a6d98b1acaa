"""A table and its index give exactly the events of a window, and say in one sentence why they cannot.

Belongs here: `DynamoSource` against moto over HTTP, and a proxy that refuses. Does not: items
(`test_dynamodb_items.py`), exports (`test_dynamodb_export.py`), many items (`test_dynamodb_volume.py`).
"""

import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from analytics_platform.metrics.events import PAGE_EVENTS, arrow_schema
from analytics_platform.setting_values import endpoint
from analytics_platform.sources.dynamodb import Access, Account, DynamoBusyError, DynamoError, DynamoSource
from analytics_platform_tests.dynamodb_service import (
    INDEX,
    REGION,
    Item,
    between,
    make_table,
    put,
)

pytestmark = pytest.mark.usefixtures("aws_credentials")

START = datetime(2019, 6, 21, 15, 0, tzinfo=UTC)
END = datetime(2019, 6, 22, 15, 0, tzinfo=UTC)
MICRO = timedelta(microseconds=1)
OFFSETS = (9, -11, 14, 0)
WAYS = (Access.SCAN, Access.INDEX)
BIG = "x" * 300_000  # three items fill a page


def item(key: str, moment: datetime, offset: int = 0, shard: int = 0, **others: dict[str, Any]) -> Item:
    """An event as a site writes it, with the keys of the index: UTC day and shard, milliseconds cut off."""
    moment = moment.astimezone(UTC)
    created = moment.astimezone(timezone(timedelta(hours=offset))).isoformat(timespec="microseconds")
    return {
        "request_id": {"S": key},
        "visitor": {"S": f"v{shard}"},
        "created": {"S": created.replace("+00:00", "Z")},
        "bucket": {"S": f"{moment:%Y-%m-%d}#{shard}"},
        "ts": {"S": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")},
        **others,
    }


TRUTH: dict[str, datetime] = {}
"""Every event of the table `visits`, by key."""


def _visits() -> list[Item]:
    """Three days about the window in all offsets, its borders to the microsecond, over three shards."""
    moments = [START - timedelta(days=1) + timedelta(minutes=41 * k, microseconds=k) for k in range(105)]
    moments += [border + step for border in (START, END) for step in (-MICRO, MICRO * 0, MICRO, MICRO * 999)]
    moments += [border + timedelta(hours=h) for border in (START, END) for h in (-14, -11, -9, 9, 11, 14)]
    items = []
    for k, moment in enumerate(moments):
        others = {"user_agent": {"S": BIG}} if k % 15 == 0 else {}
        key = f"r{k:03}"
        TRUTH[key] = moment
        items.append(item(key, moment, OFFSETS[k % 4], k % 3, **others))
    return items


@pytest.fixture(scope="module")
def visits(address: str) -> str:
    make_table(address, "visits")
    put(address, "visits", _visits())
    return address


def source(address: str, access: Access = Access.SCAN, **options: Any) -> DynamoSource:
    given: dict[str, Any] = {"endpoint_url": address, "region": REGION, "index": INDEX, "shards": 3, "segments": 2}
    return DynamoSource(options.pop("table", "visits"), access=access, **{**given, **options})


def events(found: DynamoSource, start: datetime = START, end: datetime = END) -> dict[str, dict[str, Any]]:
    batches = list(found.events(start, end))
    table = pa.Table.from_batches(batches, arrow_schema(PAGE_EVENTS))
    keys = table.column("request_id").to_pylist()
    assert len(keys) == len(set(keys))
    return dict(zip(keys, table.to_pylist(), strict=True))


def moments(found: dict[str, dict[str, Any]]) -> dict[str, datetime]:
    return {key: row["time"].replace(tzinfo=UTC) for key, row in found.items()}


def true(start: datetime, end: datetime) -> dict[str, datetime]:
    return {key: moment for key, moment in TRUTH.items() if start <= moment < end}


@pytest.mark.parametrize("access", WAYS)
@pytest.mark.parametrize("segments", [1, 4])
def test_exactly_the_events_of_the_window_come(visits: str, access: Access, segments: int) -> None:
    found = source(visits, access, segments=segments)
    assert moments(events(found)) == true(START, END)
    assert found.reading
    assert found.reading.events == len(true(START, END)) > 30
    assert found.reading.items >= found.reading.events
    assert (found.reading.bad, found.reading.repeated) == (0, 0)


@pytest.mark.parametrize("access", WAYS)
@pytest.mark.parametrize(
    ("start", "end"),
    [
        (START, START + MICRO),
        (START - MICRO, START),
        (END, END + MICRO),
        (START - timedelta(days=30), END + timedelta(days=30)),
        (END + timedelta(days=20), END + timedelta(days=21)),
    ],
    ids=["one", "the_one_before", "the_one_at_its_end", "all", "none"],
)
def test_windows_are_half_open_to_the_microsecond(visits: str, access: Access, start: datetime, end: datetime) -> None:
    if end - start > timedelta(days=40):
        start, end = START - timedelta(days=2), END + timedelta(days=2)
    assert moments(events(source(visits, access), start, end)) == true(start, end)


def test_all_three_ways_give_the_same_rows(visits: str, tmp_path: Path) -> None:
    (tmp_path / "part.json").write_text("".join(json.dumps({"Item": one}) + "\n" for one in _visits()), "utf-8")
    scanned = events(source(visits, Access.SCAN))
    assert events(source(visits, Access.INDEX)) == scanned
    assert events(source(visits, Access.EXPORT, export=str(tmp_path))) == scanned


def test_a_window_may_be_given_in_any_zone(visits: str) -> None:
    tokyo = timezone(timedelta(hours=9))
    assert moments(events(source(visits), START.astimezone(tokyo), END.astimezone(tokyo))) == true(START, END)


def test_a_table_takes_several_pages(visits: str) -> None:
    looked: list[tuple[int, int]] = []
    found = source(visits, segments=1, progress=lambda items, kept: looked.append((items, kept)))
    events(found, END + timedelta(days=20), END + timedelta(days=21))
    # Nothing is in the window, so all pages but their keys are empty, and none of them is the end.
    assert len(looked) >= 3
    assert looked[-1] == (len(TRUTH), 0)


def test_items_skip_the_parser_of_the_library(visits: str) -> None:
    make_table(visits, "binary", index=False)
    put(visits, "binary", [item("r1", START, raw={"B": "AAE="})])
    with Account(REGION, visits).client() as client:
        answer = client.call("scan", "table 'binary'", TableName="binary")
        # The library itself would have made bytes of it.
        assert answer["Items"][0]["raw"] == {"B": "AAE="}
        assert (answer["Count"], answer["ScannedCount"]) == (1, 1)
    [row] = events(source(visits, table="binary")).values()
    assert json.loads(row["other"]) == {"raw": "AAE="}


def test_times_as_numbers_are_found_by_a_scan(address: str) -> None:
    make_table(address, "numbers", index=False)
    seconds = int(START.timestamp())
    times: dict[str, dict[str, Any]] = {
        "s": {"N": f"{seconds}.5"},
        "ms": {"N": f"{seconds}500"},
        "text": {"S": f"{seconds}500"},
    }
    late = {"late": {"N": f"{int(END.timestamp())}"}, "early": {"S": f"{seconds - 1}"}}
    put(
        address,
        "numbers",
        [{"request_id": {"S": key}, "visitor": {"S": "v"}, "created": time} for key, time in {**times, **late}.items()],
    )
    half = START + timedelta(milliseconds=500)
    assert moments(events(source(address, table="numbers"))) == {"s": half, "ms": half, "text": half}


def test_an_unreadable_time_is_told_wherever_it_is(address: str) -> None:
    make_table(address, "broken", index=False)
    strange: list[dict[str, Any]] = [{"S": "n/a"}, {"S": "21/06/2019 15:00"}, {"BOOL": True}, {"NULL": True}]
    items: list[Item] = [
        {"request_id": {"S": f"r{k}"}, "visitor": {"S": "v"}, "created": t} for k, t in enumerate(strange)
    ]
    items += [{"request_id": {"S": "none"}, "visitor": {"S": "v"}}, item("good", START)]
    put(address, "broken", items)
    with pytest.raises(
        DynamoError, match=r"^DynamoDB table 'broken' in .*, item request_id '\w+', attribute created: "
    ):
        events(source(address, table="broken"))
    found = source(address, table="broken", skip_bad=True)
    assert set(events(found)) == {"good"}
    assert found.reading
    assert found.reading.bad == 5
    assert "attribute created" in found.reading.first_bad


def test_refusals_are_waited_for(visits: str) -> None:
    with between(visits) as proxy:
        proxy.refuse = 2
        assert moments(events(source(proxy.address, attempts=2, segments=1))) == true(START, END)
        assert proxy.seen.count("Scan") >= 5


@pytest.mark.parametrize("access", WAYS)
def test_refusals_without_end_end_in_a_sentence(visits: str, access: Access) -> None:
    with between(visits) as proxy:
        proxy.refuse = 10_000
        found = source(proxy.address, access, attempts=1, patience=timedelta(seconds=0.3))
        with pytest.raises(
            DynamoBusyError, match=r"refused requests to .*'visits' for 0\.3 s, as they exceed its capacity"
        ):
            events(found)
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("pages-")]
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)


def test_who_takes_no_more_ends_the_reading(visits: str) -> None:
    batches = source(visits, segments=3).events(START, END)
    next(batches)
    batches.close()  # type: ignore[attr-defined]  # it is a generator
    for thread in threading.enumerate():
        if thread.name.startswith("pages-"):
            thread.join(20)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("UnrecognizedClientException", "refuses the AWS credentials (UnrecognizedClientException); renew them"),
        ("ExpiredTokenException", "refuses the AWS credentials (ExpiredTokenException); renew them"),
        (
            "AccessDeniedException",
            "may not do it (dynamodb:Scan on table 'visits'): too much; grant them dynamodb:Scan",
        ),
        ("ValidationException", "refused dynamodb:Scan on table 'visits': too much"),
    ],
)
def test_refused_for_good_is_one_sentence(visits: str, code: str, words: str) -> None:
    with between(visits) as proxy:
        proxy.refuse, proxy.code = 10, code
        with pytest.raises(DynamoError) as refused:
            events(source(proxy.address, segments=1))
    assert words in str(refused.value)
    assert not isinstance(refused.value, DynamoBusyError)


def test_a_table_that_is_not_there(visits: str) -> None:
    expected = r"DynamoDB in eu-central-1 \(http://127.* has no table 'vsits'; check the name, the region and whose"
    asks: tuple[Callable[[DynamoSource], object], ...] = (events, DynamoSource.check)
    for ask in asks:
        with pytest.raises(DynamoError, match=expected):
            ask(source(visits, table="vsits"))


def test_an_index_that_is_not_there(visits: str) -> None:
    found = source(visits, Access.INDEX, index="by-day")
    with pytest.raises(DynamoError, match="index 'by-day' of table 'visits'"):
        events(found)
    with pytest.raises(DynamoError, match=r"does not exist \(there is: by-time\)"):
        found.check()


def test_no_credentials_at_all(visits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(DynamoError, match="no AWS credentials were found for table 'visits'; set AWS_ACCESS_KEY_ID"):
        events(source(visits))


def test_nobody_answers() -> None:
    found = source("http://127.0.0.1:1", attempts=1)
    with pytest.raises(DynamoBusyError, match=r"eu-central-1 \(http://127.0.0.1:1\) does not answer"):
        events(found)


@pytest.mark.parametrize(
    "url",
    [
        *("nonsense", "http://", "http://:8000", "http://host:port", "http://[::1", "http:// host", "ftp://host", ""),
        *(
            "hidden:hidden@host",
            "http://u:hidden@host",
            "http://hidden@[bad",
            "http://u:12/hidden@host",
            "ftp//hidden@",
        ),
        *("http://host?key=hidden", "http://host#hidden", "http://host\\hidden"),
    ],
)
def test_an_endpoint_that_is_none_is_not_repeated(url: str) -> None:
    found = source(url)
    with pytest.raises(DynamoError, match="DYNAMODB_ENDPOINT_URL is no endpoint: write http:// or https://") as refused:
        events(found)
    assert "hidden" not in f"{refused.value}{found.place}{found.account}"


def test_a_host_that_only_the_client_refuses_is_not_repeated_either() -> None:
    with pytest.raises(DynamoError, match="cannot be asked about its client: Invalid endpoint") as refused:
        events(source("http://-host-/hidden"))
    assert "hidden" not in str(refused.value)


def test_endpoints_are_taken_as_they_are() -> None:
    for url in ("http://localhost:8000", "https://vpce-1.dynamodb.eu-central-1.vpce.amazonaws.com/", "http://[::1]:80"):
        assert endpoint(url) == url


def test_a_region_is_needed() -> None:
    with pytest.raises(DynamoError, match="no AWS region is set"):
        events(DynamoSource("visits", region=""))


def test_arguments_that_do_not_fit_together() -> None:
    with pytest.raises(ValueError, match="needs the index's name"):
        DynamoSource("visits", region=REGION, access=Access.INDEX)
    with pytest.raises(ValueError, match="needs the folder or s3:// address"):
        DynamoSource("visits", region=REGION, access=Access.EXPORT)
    with pytest.raises(ValueError, match="at least 1"):
        DynamoSource("visits", region=REGION, segments=0)
    plain = DynamoSource("visits", region=REGION)
    with pytest.raises(ValueError, match="with a time zone"):
        plain.events(START.replace(tzinfo=None), END)
    with pytest.raises(ValueError, match="ends after it begins"):
        plain.events(END, START)


def test_check_says_what_it_found(visits: str) -> None:
    assert source(visits).check().startswith(f"DynamoDB table 'visits' in {REGION} (http://127.0.0.1:")
    assert "index 'by-time'" in source(visits, Access.INDEX).check()


def test_check_finds_an_index_that_does_not_fit(address: str) -> None:
    make_table(address, "other-keys")
    with pytest.raises(DynamoError, match=r"has the keys bucket \(HASH\) and ts \(RANGE\), not day \(HASH\) and ts"):
        source(address, Access.INDEX, table="other-keys", bucket_attribute="day").check()
    keys = [{"AttributeName": "bucket", "KeyType": "HASH"}, {"AttributeName": "ts", "KeyType": "RANGE"}]
    index = {"IndexName": INDEX, "KeySchema": keys, "Projection": {"ProjectionType": "KEYS_ONLY"}}
    make_table(address, "keys-only", GlobalSecondaryIndexes=[index])
    asks: tuple[Callable[[DynamoSource], object], ...] = (events, DynamoSource.check)
    for ask in asks:
        with pytest.raises(
            DynamoError, match="does not project all attributes, so events would lack some; create it with ALL"
        ):
            ask(source(address, Access.INDEX, table="keys-only"))


def test_an_index_is_read_while_its_capacity_changes_and_not_before_it_is_filled(visits: str) -> None:
    with between(visits) as proxy:
        found = source(proxy.address, Access.INDEX)
        proxy.instead = b'"IndexStatus": "ACTIVE"', b'"IndexStatus": "UPDATING"'
        assert moments(events(found)) == true(START, END)
        proxy.instead = proxy.instead[0], b'"IndexStatus": "CREATING"'
        with pytest.raises(DynamoBusyError, match="index 'by-time' of table 'visits' is CREATING; wait until it is"):
            events(found)


def test_more_shards_than_are_set_are_told_and_not_left_out(visits: str) -> None:
    found = source(visits, Access.INDEX, shards=2)
    with pytest.raises(
        DynamoError, match=r"has events in 2019-06-2\d#2, and DYNAMODB_SHARDS is 2: set it to the number of shards"
    ):
        events(found)
    assert moments(events(source(visits, Access.INDEX, shards=4))) == true(START, END)


def test_secrets_are_in_no_log(visits: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        events(source(visits, Access.INDEX))
    assert "not-a-secret" not in caplog.text
