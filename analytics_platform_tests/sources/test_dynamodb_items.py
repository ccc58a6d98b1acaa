"""Items become exactly the events of a window; what is no event is named, or counted.

Belongs here: items alone, without a server. Does not: how they come (`test_dynamodb.py`).
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from analytics_platform.metrics.events import PAGE_EVENTS, arrow_schema
from analytics_platform.metrics.windows import Window
from analytics_platform.sources.dynamodb_client import DynamoError
from analytics_platform.sources.dynamodb_items import Converter, Item, Reading

WINDOW = Window(datetime(2019, 6, 21, 15, 0), datetime(2019, 6, 21, 16, 0))  # noqa: DTZ001  (naive UTC)
MICRO = timedelta(microseconds=1)


def item(request_id: str, created: object, **others: dict[str, Any]) -> Item:
    time = {"N": str(created)} if isinstance(created, int | float) else {"S": str(created)}
    return {"request_id": {"S": request_id}, "visitor": {"S": "v1"}, "created": time, **others}


def converter(*, skip_bad: bool = False, time: str = "created") -> Converter:
    return Converter(Reading("table 'visits'"), WINDOW, time, left_out=("bucket", "ts"), skip_bad=skip_bad)


def rows(items: Sequence[Item], **options: Any) -> list[dict[str, Any]]:
    batch = converter(**options).batch(items)
    assert batch.schema == arrow_schema(PAGE_EVENTS)
    found: list[dict[str, Any]] = batch.to_pylist()
    return found


def said(*items: Item) -> str:
    with pytest.raises(DynamoError) as refused:
        converter().batch(items)
    return str(refused.value)


def test_every_attribute_finds_its_column() -> None:
    [row] = rows(
        [
            {
                "request_id": {"S": "r1"},
                "created": {"S": "2019-06-22T00:35:06.523086+09:00"},
                "visitor": {"S": "v1"},
                "type": {"S": "website"},
                "pathname": {"S": "/en/"},
                "language": {"S": "ja"},
                "adblock": {"BOOL": False},
                "ip_address": {"S": "10.0.0.1"},
                "user_agent": {"NULL": True},
                "sender_id": {"N": "1970"},
                "metadata": {"M": {"b": {"L": [{"N": "1"}, {"NULL": True}]}, "a": {"S": "é"}}},
                "bucket": {"S": "2019-06-21#3"},
                "ts": {"S": "2019-06-21T15:35:06.523Z"},
            }
        ]
    )
    found = {name: value for name, value in row.items() if value is not None}
    assert found == {
        "request_id": "r1",
        "time": datetime(2019, 6, 21, 15, 35, 6, 523086),  # noqa: DTZ001
        "visitor": "v1",
        "type": "website",
        "pathname": "/en/",
        "language": "ja",
        "adblock": False,
        "ip_address": "10.0.0.1",
        "sender_id": "1970",
        "metadata": '{"a": "é", "b": [1, null]}',
    }


def test_what_has_no_column_is_kept_as_json() -> None:
    odd: dict[str, dict[str, Any]] = {
        "screen": {"M": {"width": {"N": "1920"}, "scale": {"N": "1.5"}}},
        "tags": {"SS": ["b", "a"]},
        "sizes": {"NS": ["10", "9"]},
        "raw": {"B": b"\x00\x01"},
        "raws": {"BS": ["AAE="]},
        "other": {"S": "its own"},
        "time": {"S": "not the time attribute"},
        "bot": {"BOOL": True},
        "ts": {"S": "2019"},
    }
    [row] = rows([item("r1", "2019-06-21T15:00:00Z", **odd)])
    assert json.loads(row["other"]) == {
        "screen": {"width": 1920, "scale": 1.5},
        "tags": ["a", "b"],
        "sizes": [9, 10],
        "raw": "AAE=",
        "raws": ["AAE="],
        "other": "its own",
        "time": "not the time attribute",
        "bot": True,
    }
    assert rows([item("r1", "2019-06-21T15:00:00Z")])[0]["other"] is None


@pytest.mark.parametrize("offset", [-11, 0, 9, 14])
def test_the_window_is_exact_at_any_offset(offset: int) -> None:
    zone = timezone(timedelta(hours=offset))
    start, end = (moment.replace(tzinfo=UTC) for moment in (WINDOW.start, WINDOW.end))
    moments = {"before": start - MICRO, "first": start, "last": end - MICRO, "after": end}
    items = [item(name, moment.astimezone(zone).isoformat()) for name, moment in moments.items()]
    assert {row["request_id"] for row in rows(items)} == {"first", "last"}


def test_all_ways_to_write_a_time_in_one_page() -> None:
    epoch = int(WINDOW.start.replace(tzinfo=UTC).timestamp())
    spellings: list[object] = [
        "2019-06-21T15:00:00Z",
        "2019-06-21 15:00:00+00:00",
        "2019-06-22T05:00+1400",
        "2019-06-21T04:00:00.000000-11:00",
        " 2019-06-21T15:00:00.000Z",
        epoch,
        epoch * 1000,
        f"{epoch}",
        f"{epoch}.0",
    ]
    found = rows([item(str(k), spelling) for k, spelling in enumerate(spellings)])
    assert [row["time"] for row in found] == [WINDOW.start] * len(spellings)
    exponent = {**item("e", 0), "created": {"N": f"{epoch / 1e9:.9f}E+9"}}
    assert rows([exponent])[0]["time"] == WINDOW.start


def test_numbers_alone_are_times_as_well() -> None:
    epoch = int(WINDOW.start.replace(tzinfo=UTC).timestamp())
    found = rows([item(str(k), (epoch + k) * 1000) for k in range(-1, 3)])
    assert [row["request_id"] for row in found] == ["0", "1", "2"]


def test_a_time_without_an_offset_is_refused() -> None:
    good = item("r1", "2019-06-21T15:00:00Z")
    assert said(good, item("r2", "2019-06-21T15:00:00")) == (
        "table 'visits', item request_id 'r2', attribute created: '2019-06-21T15:00:00' names no offset from UTC, such "
        "as Z or +09:00; correct the item, or set DYNAMODB_ON_ERROR=skip"
    )
    assert "'r2'" in said(item("r2", "2019-06-21T15:00:00"), good)  # whichever comes first


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (item("r2", "yesterday"), "request_id 'r2', attribute created: 'yesterday' is not a date and time"),
        (item("r2", "2019-02-30T10:00:00Z"), "is not a date and time of the calendar"),
        ({**item("r2", ""), "created": {"M": {}}}, "attribute created: '{}' is not a date and time"),
        (
            {"request_id": {"S": "r2"}, "visitor": {"S": "v"}},
            "attribute created: is missing, and every event needs one",
        ),
        ({**item("", "2019-06-21T15:00:00Z")}, "attribute request_id: '' is empty"),
        ({"visitor": {"S": "v"}, "created": {"S": "2019-06-21T15:00:00Z"}}, 'the item \'{"created": "2019-06-21T15:'),
        ({"request_id": {"S": "r2"}, "created": {"S": "2019-06-21T15:00:00Z"}}, "attribute visitor: is missing"),
        (item("r2", "2019-06-21T15:00:00Z", adblock={"S": "maybe"}), "attribute adblock: 'maybe' is neither true"),
    ],
)
def test_what_is_no_event_is_named(broken: Item, words: str) -> None:
    good = item("r1", "2019-06-21T15:00:00Z")
    assert words in said(good, broken)
    one = converter(skip_bad=True)
    assert [row["request_id"] for row in one.batch([good, broken]).to_pylist()] == ["r1"]
    assert (one.reading.events, one.reading.bad) == (1, 1)
    assert words in one.reading.first_bad


def test_defects_outside_the_window_do_not_matter_unless_the_time_is_unreadable() -> None:
    assert rows([item("", "2019-06-22T15:00:00Z", adblock={"S": "maybe"})]) == []


def test_each_request_is_taken_once_over_all_pages() -> None:
    one = converter()
    first = one.batch([item("r1", "2019-06-21T15:00:00Z"), item("r1", "2019-06-22T00:00:00+09:00")])
    second = one.batch([item("r1", "2019-06-21T15:00:00Z"), item("r2", "2019-06-21T15:00:00Z")])
    assert [batch.column("request_id").to_pylist() for batch in (first, second)] == [["r1"], ["r2"]]
    assert (one.reading.events, one.reading.repeated) == (2, 2)


def test_one_request_at_two_times_is_a_defect() -> None:
    assert "two events of request_id 'r1', at 2019-06-21 15:00:00 UTC and 2019-06-21 15:00:01 UTC" in said(
        item("r1", "2019-06-21T15:00:00Z"), item("r1", "2019-06-21T15:00:01Z")
    )


def test_another_attribute_can_hold_the_time() -> None:
    odd = {"request_id": {"S": "r1"}, "visitor": {"S": "v"}, "ts": {"S": "2019-06-21T15:00:00.000Z"}}
    assert rows([odd], time="ts")[0]["time"] == WINDOW.start


def test_no_items_are_no_events() -> None:
    assert rows([]) == []
