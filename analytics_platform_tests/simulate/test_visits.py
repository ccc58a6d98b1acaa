"""Simulated visits: the nested form and what its values look like."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics_platform.simulate.clock import local_day
from analytics_platform.simulate.generator import VISITS, write
from analytics_platform.simulate.visits import visit_document
from analytics_platform_tests.simulate.history import FIRST, scenario

RUN = scenario(10, 14_000)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The visits of a product as large as the demo's, as a reader of the file has them."""
    found: dict[str, Any] = json.loads(json.dumps(visit_document(RUN)[0]))
    return found


@pytest.fixture(scope="module")
def visitors(document: dict[str, Any]) -> dict[str, Any]:
    [site] = document["properties"].values()
    found: dict[str, Any] = site["visitors"]
    return found


def test_an_account_has_one_site_with_a_few_hundred_visitors(
    document: dict[str, Any], visitors: dict[str, Any]
) -> None:
    assert set(document) == {"id", "name", "properties"}
    [site] = document["properties"].values()
    assert set(site) == {"domain", "metadata", "provider", "type", "visitors"}
    assert (site["metadata"], site["provider"], site["type"]) == ({}, "fb", "website")
    assert len(visitors) == 350
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in visitors)
    linked = [visitor for visitor in visitors.values() if "sender_id" in visitor]
    assert 60 < len(linked) < 150
    assert visit_document(RUN)[1] == sum(len(visitor["events"]) for visitor in visitors.values())


def test_events_have_the_documented_fields(visitors: dict[str, Any]) -> None:
    events = [event for visitor in visitors.values() for event in visitor["events"]]
    always = {
        "adblock",
        "created",
        "ip_address",
        "language",
        "navigator_platform",
        "pathname",
        "request_id",
        "type",
        "user_agent",
    }
    assert {frozenset(event) - {"hash"} for event in events} == {frozenset(always)}
    assert 0 < sum("hash" in event for event in events) < 0.1 * len(events)
    assert len({event["request_id"] for event in events}) == len(events)
    assert {event["type"] for event in events} == {"page"}
    assert {"/en/", "/", "/en/about"} <= {event["pathname"] for event in events}
    assert all(isinstance(event["adblock"], bool) for event in events)


def test_times_are_of_the_last_three_days_with_microseconds_and_the_offset_of_the_source(
    visitors: dict[str, Any],
) -> None:
    created = [event["created"] for visitor in visitors.values() for event in visitor["events"]]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+09:00", text) for text in created)
    moments = [datetime.fromisoformat(text) for text in created]
    days = {moment.astimezone(RUN.zone).date() for moment in moments}
    assert days == {FIRST + timedelta(days=k) for k in (7, 8, 9)}
    assert max(moments) < local_day(FIRST + timedelta(days=9), RUN.zone).end


def test_a_visitor_never_changes(visitors: dict[str, Any]) -> None:
    for visitor in visitors.values():
        for name in ("ip_address", "user_agent", "language", "adblock", "navigator_platform"):
            assert len({event[name] for event in visitor["events"]}) == 1


def test_the_file_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    run = scenario(4, 300)
    for name in ("one", "two"):
        assert write(run, tmp_path / name).visits > 0
    assert (tmp_path / "one" / VISITS).read_bytes() == (tmp_path / "two" / VISITS).read_bytes()
    assert json.loads((tmp_path / "one" / VISITS).read_text("utf-8")) == visit_document(run)[0]


def test_without_days_there_are_no_visitors() -> None:
    run = scenario(1, 300, empty_days=frozenset({FIRST}))
    document, events = visit_document(run)
    assert events == 0
    assert '"visitors": {}' in json.dumps(document)
