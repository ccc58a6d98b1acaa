"""An incident through JSON and back: exact, whatever people and slices are called."""

import json
import math
from dataclasses import fields, replace
from datetime import UTC, datetime

from analytics_platform.alerts.incident import Incident, Member
from analytics_platform.alerts.incident_json import ASIDE, decode, encode
from analytics_platform.alerts.incidents import late
from analytics_platform.metrics.series import SeriesKey
from analytics_platform_tests.alerts.scenes import CTR, LIKES, at, play


def through(incident: Incident) -> Incident:
    """As a database would have it."""
    stored = json.loads(json.dumps(encode(incident), allow_nan=False))
    return decode(stored, **{name: getattr(incident, name) for name in ASIDE})


def test_every_field_comes_back() -> None:
    done = play({LIKES: "DXD-.", CTR: ".DD..", SeriesKey("feed", "likes", "city", "Ростов\0 \ud800'\""): "..d"})
    there = replace(done.one, muted_until=at(5), acknowledged_at=datetime(2026, 1, 1, 1, 1, 1, 17, UTC), id=5)
    assert through(there) == there
    assert {f.name for f in fields(Incident)} - ASIDE == set(encode(there))
    assert {f.name for f in fields(Member)} == set(encode(there)["members"][0])
    [waiting] = late([], "feed_actions", at(0), at(2)).incidents
    assert through(waiting) == waiting


def test_numbers_without_a_bound_come_back_and_names_are_never_numbers() -> None:
    one = play({LIKES: "D"}).one
    endless = replace(one.members[0], worst_score=math.inf, low=-math.inf, loss=0.1 + 0.2, base=math.inf)
    there = replace(one, members=(endless,), acknowledged_by="nan", muted_by="inf", source="-inf")
    back = through(there)
    assert back == there
    assert (back.acknowledged_by, back.muted_by, back.source) == ("nan", "inf", "-inf")
    nothing = through(replace(there, members=(replace(endless, value=math.nan),)))
    assert math.isnan(nothing.members[0].value)


def test_what_another_version_stored_is_read() -> None:
    one = play({LIKES: "D"}).one
    stored = encode(one)
    del stored["told_totals"]
    stored["of a later version"] = 1
    stored["members"][0]["of a later version"] = 1
    assert decode(stored) == replace(one, told_totals=())
