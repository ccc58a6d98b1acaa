"""Simulated events as Arrow tables, a day at a time, and as the folder of Parquet files the loader reads.

Belongs here: putting a day together, the tables' types, the folder. Does not: what happens on a day (`feed.py`,
`chat.py`, `videos.py`, `visits.py`), reading the folder (`sources/`). Imported lazily only: numpy and pyarrow are
imported at the top.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analytics_platform.metrics.events import FEED_ACTIONS, MESSAGE_ACTIONS, USER_EVENTS, EventTable, Kind
from analytics_platform.simulate.chat import ChatRows, chat_day
from analytics_platform.simulate.clock import Stream, Window, stream
from analytics_platform.simulate.feed import FeedRows, feed_day
from analytics_platform.simulate.incidents import write_truth
from analytics_platform.simulate.places import CITY_NAMES, COUNTRY_NAMES
from analytics_platform.simulate.population import CITY_COUNTRY, SOURCES, SYSTEMS, Ints, Population
from analytics_platform.simulate.posts import Posts
from analytics_platform.simulate.scenario import Scenario
from analytics_platform.simulate.videos import Videos, video_day, write_trends
from analytics_platform.simulate.visits import visit_document

Progress = Callable[[int, int, int], None]
"""Called after each day with the days done, the days in all and the rows so far."""

MARK = "simulation.json"
TRUTH = "truth.csv"
TRENDS = "trending.csv"
VISITS = "visits.json"
_OTHER_SYSTEM = 0.3  # of the events of a user with two systems
# DuckDB's own size of a row group: a day then spreads over its threads, and a time filter skips most of it.
_ROW_GROUP = 122_880
# Numbers that a dictionary makes smaller; for user ids and times it only costs.
_FEW_VALUES = {"gender", "age", "exp_group", "post_id", "video_duration", "video_width", "video_height", "file_size"}


@dataclass(frozen=True)
class DayOfEvents:
    """One local day: two Arrow tables with the columns of `metrics/events.py`, by time (naive, UTC, microseconds)."""

    day: date
    feed: pa.Table
    messages: pa.Table


@dataclass(frozen=True)
class Written:
    """What a run has put into the folder."""

    days: int
    feed_rows: int
    message_rows: int
    video_rows: int
    visits: int
    truth: Path
    trends: Path


class NotOurFolderError(ValueError):
    """The folder holds something that no simulation has put there; nothing was changed."""


def generate(scenario: Scenario) -> Iterator[DayOfEvents]:
    """Every day of the scenario, in order: feed and messages. Memory is needed for the population and one day."""
    people = Population.of(scenario)
    posts = Posts.of(scenario.seed, scenario.days, scenario.users)
    for index in range(scenario.days):
        day = scenario.day(index)
        rng = stream(scenario.seed, Stream.FEED, index)
        feed = _feed_table(rng, people, feed_day(rng, day, people, posts), day.window)
        rng = stream(scenario.seed, Stream.CHAT, index)
        yield DayOfEvents(day.date, feed, _message_table(rng, people, chat_day(rng, day, people), day.window))


def write(scenario: Scenario, out: Path, progress: Progress | None = None) -> Written:
    """The scenario under `out`: `feed_actions/<date>.parquet`, `message_actions/<date>.parquet` and what is planted in
    them (`truth.csv`), `user_events/<date>.parquet` and what rises there (`trending.csv`), `visits.json`.

    A day without events has a file without rows. What an earlier simulation wrote there is replaced;
    NotOurFolderError when the folder holds anything and was not made by one.
    """
    _prepare(scenario, out)
    truth, trends = out / TRUTH, out / TRENDS
    write_truth(scenario.truth(), truth)
    videos = Videos.of(scenario)
    write_trends(videos.trends(), trends)
    feed_rows = message_rows = video_rows = 0
    for index, events in enumerate(generate(scenario)):
        watched = video_day(scenario.day(index), videos)
        for table, rows in ((FEED_ACTIONS, events.feed), (MESSAGE_ACTIONS, events.messages), (USER_EVENTS, watched)):
            _write_table(rows, out / table.name / f"{events.day}.parquet")
        feed_rows += events.feed.num_rows
        message_rows += events.messages.num_rows
        video_rows += watched.num_rows
        if progress:
            progress(index + 1, scenario.days, feed_rows + message_rows + video_rows)
    visits = _write_visits(scenario, out / VISITS)
    return Written(scenario.days, feed_rows, message_rows, video_rows, visits, truth, trends)


def _prepare(scenario: Scenario, out: Path) -> None:
    mark = out / MARK
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not mark.is_file())):
        raise NotOurFolderError(f"{out} is not empty and was not made by a simulation; name a new or an empty folder")
    for table in (FEED_ACTIONS, MESSAGE_ACTIONS, USER_EVENTS):
        folder = out / table.name
        folder.mkdir(parents=True, exist_ok=True)
        # A shorter run must not leave days of a longer one behind, nor an interrupted run a half-written file.
        for old in (*folder.glob("????-??-??.parquet"), *folder.glob("????-??-??.partial")):
            old.unlink()
    settings = {
        "first_day": scenario.first_day.isoformat(),
        "days": scenario.days,
        "users": scenario.users,
        "seed": scenario.seed,
        "zone": scenario.zone.key,
        "incidents": scenario.incidents,
        "empty_days": sorted(day.isoformat() for day in scenario.empty_days),
        "messages_only_days": sorted(day.isoformat() for day in scenario.messages_only_days),
    }
    mark.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _write_table(rows: pa.Table, path: Path) -> None:
    partial = path.with_suffix(".partial")
    pq.write_table(
        rows,
        partial,
        compression="zstd",
        compression_level=1,
        row_group_size=_ROW_GROUP,
        use_dictionary=[f.name for f in rows.schema if pa.types.is_dictionary(f.type) or f.name in _FEW_VALUES],
    )
    partial.replace(path)


def _write_visits(scenario: Scenario, path: Path) -> int:
    # Returns the number of page events.
    document, count = visit_document(scenario)
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return count


def _feed_table(rng: np.random.Generator, people: Population, rows: FeedRows, window: Window) -> pa.Table:
    own = {
        "user_id": (rows.who + 1).astype(np.uint32)[rows.user],
        "post_id": rows.post + np.uint32(1),
        "action": _text(rows.liked.view(np.int8), ("view", "like")),
        "time": _time(rows.second, window),
    }
    return _table(FEED_ACTIONS, own | _attributes(rng, people, rows.who, rows.user))


def _message_table(rng: np.random.Generator, people: Population, rows: ChatRows, window: Window) -> pa.Table:
    own = {
        "user_id": (rows.sender + 1).astype(np.uint32),
        "receiver_id": (rows.receiver + 1).astype(np.uint32),
        "time": _time(rows.second, window),
    }
    return _table(MESSAGE_ACTIONS, own | _attributes(rng, people, rows.sender, np.arange(rows.sender.size)))


def _attributes(
    rng: np.random.Generator, people: Population, who: Ints, user: NDArray[np.int64]
) -> dict[str, pa.Array | NDArray[np.generic]]:
    # First the day's users, then the events: the small arrays stay in the processor's cache, the population's do not.
    city = people.city[who].astype(np.int8)
    system = people.os[who][user]
    twice = np.flatnonzero(people.two_systems[who][user])
    system[twice] ^= (rng.random(twice.size) < _OTHER_SYSTEM).astype(np.int8)
    return {
        "gender": people.gender[who][user],
        "age": people.age[who][user],
        "country": _text(CITY_COUNTRY[city][user], COUNTRY_NAMES),
        "city": _text(city[user], CITY_NAMES),
        "os": _text(system, SYSTEMS),
        "source": _text(people.source[who][user], SOURCES),
        "exp_group": people.exp_group[who][user],
    }


def _text(codes: NDArray[np.int8], words: tuple[str, ...]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(words), safe=False)


def _time(second: NDArray[np.int64], window: Window) -> NDArray[np.datetime64]:
    midnight = np.int64(round(window.start.timestamp()))
    return ((second + midnight) * 1_000_000).view("datetime64[us]")


_TYPES = {
    Kind.UINT32: pa.uint32(),
    Kind.INT16: pa.int16(),
    Kind.INT8: pa.int8(),
    Kind.TEXT: pa.dictionary(pa.int8(), pa.string()),
    Kind.TIME: pa.timestamp("us"),
}


def _table(table: EventTable, columns: dict[str, pa.Array | NDArray[np.generic]]) -> pa.Table:
    schema = pa.schema([(column.name, _TYPES[column.kind]) for column in table.columns])
    return pa.table([columns[name] for name in schema.names], schema=schema)
