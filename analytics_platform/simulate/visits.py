"""Visits of a simulated site's pages, in the nested form in which such exports come.

Belongs here: the visitors, their events, the document. Does not: reading it (`sources/visits.py`), counting.
Imported lazily only: numpy is imported at the top.
"""

import uuid
from datetime import datetime, timedelta, timezone

import numpy as np

from analytics_platform.simulate.clock import Stream, Window, local_day, stream
from analytics_platform.simulate.scenario import Scenario

DAYS = 3  # the last ones of the scenario
VISITORS = 1 / 40  # of the users
_LEAST = 20
_MOST = 400
_EVENTS = 4  # mean a visitor
_LINKED = 0.3  # of the visitors: known to a messenger too
_HASHED = 0.04  # of the events: a link to a part of the page
# Whoever made these exports has its clock there, wherever the visitors are.
_ZONE = timezone(timedelta(hours=9))
_PATHS = {"/en/": 39, "/": 9, "/en/about": 3, "/jp/": 2, "/en/b2b": 1, "/en/contact": 1}
_HASHES = ("#pricing", "#contact", "#team")
# Platform, user agent.
_SYSTEMS = (
    ("Win32", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/74.0 Safari"),
    ("MacIntel", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari"),
    ("iPhone", "Mozilla/5.0 (iPhone; CPU iPhone OS 12_3_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"),
    ("Linux armv8l", "Mozilla/5.0 (Linux; Android 9; SM-G960F) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/74.0"),
)
_LANGUAGES = ("en-US", "ja", "en-GB", "ru-RU", "fr-FR")


def visit_document(scenario: Scenario) -> tuple[dict[str, object], int]:
    """One account with one site and its visitors in the scenario's last three days, and the number of their events.

    Every event has a `request_id` and `created`, with microseconds and the offset +09:00; the attributes of a visitor
    never change. Days on which nothing happens have no visits either.
    """
    rng = stream(scenario.seed, Stream.VISITS)
    days = [day for day in list(scenario.dates)[-DAYS:] if day not in scenario.empty_days]
    windows = [local_day(day, scenario.zone) for day in days]
    count = min(_MOST, max(_LEAST, round(scenario.users * VISITORS))) if windows else 0
    visitors: dict[str, object] = {}
    events = 0
    for _ in range(count):
        seen = _events(rng, windows)
        visitor: dict[str, object] = {"events": seen}
        events += len(seen)
        if rng.random() < _LINKED:
            visitor["sender_id"] = str(rng.integers(10**15, 10**16))
        visitors[rng.bytes(16).hex()] = visitor
    site = {"domain": "example.org", "metadata": {}, "provider": "fb", "type": "website", "visitors": visitors}
    return {"id": _uuid(rng), "name": "Simulated", "properties": {_uuid(rng): site}}, events


def _events(rng: np.random.Generator, windows: list[Window]) -> list[dict[str, object]]:
    # One visit, on one day: pages a minute or so apart.
    window = windows[int(rng.integers(len(windows)))]
    platform, agent = _SYSTEMS[int(rng.integers(len(_SYSTEMS)))]
    own: dict[str, object] = {
        "adblock": bool(rng.random() < 0.25),
        # Addresses that are reserved for examples.
        "ip_address": f"203.0.113.{rng.integers(1, 255)}",
        "language": _LANGUAGES[int(rng.integers(len(_LANGUAGES)))],
        "navigator_platform": platform,
        "type": "page",
        "user_agent": agent,
    }
    weights = np.asarray(tuple(_PATHS.values()))
    count = int(rng.geometric(1 / _EVENTS))
    pages = rng.choice(len(_PATHS), count, p=weights / weights.sum()).tolist()
    gaps = np.cumsum(rng.exponential(60_000_000, count)).astype(np.int64)
    start = int(rng.integers(window.seconds * 1_000_000))
    # A visit that goes on after the last midnight ends there.
    micros = np.minimum(start + gaps, window.seconds * 1_000_000 - 1).tolist()
    events = []
    for page, micro in zip(pages, micros, strict=True):
        event = own | {
            "created": _created(window.start + timedelta(microseconds=micro)),
            "pathname": tuple(_PATHS)[page],
            "request_id": _uuid(rng),
        }
        if rng.random() < _HASHED:
            event["hash"] = _HASHES[int(rng.integers(len(_HASHES)))]
        events.append(dict(sorted(event.items())))
    return events


def _created(moment: datetime) -> str:
    return moment.astimezone(_ZONE).isoformat(timespec="microseconds")


def _uuid(rng: np.random.Generator) -> str:
    return str(uuid.UUID(bytes=rng.bytes(16), version=4))
