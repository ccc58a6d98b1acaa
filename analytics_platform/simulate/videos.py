"""What people do with videos on one day: views, shares, skips by country, with rises that are known.

Belongs here: the videos, the day's `user_events`, the planted trends and their file. Does not: the feed and the
messages (`feed.py`, `chat.py`), ranking (`rankings/`). Imported lazily only: numpy and pyarrow are imported at the top.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_platform.metrics.events import USER_EVENTS
from analytics_platform.simulate.activity import feed_curve, feed_factor, whole_seconds
from analytics_platform.simulate.clock import Stream, local_day, stream
from analytics_platform.simulate.places import COUNTRIES as PRODUCT
from analytics_platform.simulate.scenario import Day, Scenario

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

VIEWERS = 1 / 21  # sessions a day, of all users: a third of those active in the feed
SESSION_EVENTS = 5  # mean
SECONDS_PER_EVENT = 45
ANONYMOUS = 0.25
TYPES = {
    "video_view": 0.51,
    "video_skip": 0.19,
    "video_share": 0.13,
    "video_favorite": 0.10,
    "cagnotte_detail_view": 0.09,
    "video_replay": 0.04,
}
CATEGORIES = ("santé", "éducation", "urgence", "solidarité", "culture", "sport", "environnement", "animaux")
_OWN = {"Mali": 0.24, "Cameroun": 0.17, "Sénégal": 0.12, "Côte d'Ivoire": 0.09}
# Country -> share of the viewers; the feed's countries have what is left.
COUNTRIES = _OWN | {name: share * (1 - sum(_OWN.values())) for name, (share, _) in PRODUCT.items()}

RISE = 10.0  # times its usual views a rising video has
RISES_A_DAY = 2
SURGE = 2.0  # times its usual viewers a country has
SURGE_EVERY = 5  # days
_LARGE = 5  # countries that may surge; a doubling of ten viewers would be known to nobody
# Rising videos were neither at the top nor unknown: by the views they could expect that day, from this place to that.
_RISING_PLACES = (25, 70)
# A video may rise on every fourth day only, so that no rise lies in the days that another is compared with.
_TURN = 4
TREND_COLUMNS = ("kind", "name", "start", "end", "factor")

_OLDEST = 21  # days a video is shown; as many days of videos exist before the first day
_FADES = 8  # days in which its views fall by e
_AT_HOME = 2.5  # how much more its own country sees it
_WORDS = tuple(COUNTRIES)
_IDS_A_DAY = 10_000_000
_VIEW, _SKIP, _DETAIL, _REPLAY = (
    tuple(TYPES).index(name) for name in ("video_view", "video_skip", "cagnotte_detail_view", "video_replay")
)


class TrendKind(StrEnum):
    """What rises."""

    VIDEO = "video"
    COUNTRY = "country"


@dataclass(frozen=True)
class Trend:
    """One planted rise, grain: one row of `trending.csv`. A video, or the viewers of a country, has `factor` times the
    usual events in [start, end), aware, UTC; one local day. Before and after it is as usual.
    """

    kind: TrendKind
    name: str
    start: datetime
    end: datetime
    factor: float


@dataclass(frozen=True)
class Videos:
    """All videos of a run in order of appearance; row i is `video-<i + 1>`.

    `day`: index of the local day on which it appears, `second`: since that day's midnight. `pull`: how much it is seen
    when new, zipf-like. `home`, `category`: positions in `COUNTRIES` and `CATEGORIES`, -1 without a category.
    `length`: seconds. `tall`: 1080 by 1920 pixels, else 720 by 1280.
    """

    scenario: Scenario
    day: Ints
    second: Ints
    pull: Floats
    cagnotte: Ints
    home: Ints
    category: Ints
    length: Floats
    tall: NDArray[np.bool_]

    @classmethod
    def of(cls, scenario: Scenario) -> Self:
        """The videos of the span and of three weeks before it: 8 a day for 14,000 users, by the square root."""
        a_day = max(2.0, 8 * (scenario.users / 14_000) ** 0.5)
        shares = np.asarray(tuple(COUNTRIES.values()))
        columns: list[list[NDArray[Any]]] = [[] for _ in range(8)]
        causes = 0
        for index in range(-_OLDEST, scenario.days):
            rng = stream(scenario.seed, Stream.VIDEOS, index + _OLDEST)
            count = max(1, int(rng.poisson(a_day)))
            # Some collections of money have several videos.
            new = max(1, round(count * 0.7))
            cause = rng.integers(new, size=count)
            home = rng.choice(shares.size, new, p=shares / shares.sum())
            category = np.where(rng.random(new) < 0.02, -1, rng.integers(len(CATEGORIES), size=new))
            of_day: tuple[NDArray[Any], ...] = (
                np.full(count, index),
                np.sort(rng.integers(6 * 3600, 22 * 3600, count)),
                np.minimum(1 + rng.pareto(1.1, count), 40),
                causes + cause,
                home[cause],
                category[cause],
                np.round(np.clip(rng.lognormal(4.1, 0.6, count), 8, 600), 1),
                rng.random(count) < 0.4,
            )
            for gathered, values in zip(columns, of_day, strict=True):
                gathered.append(values)
            causes += new
        return cls(scenario, *(np.concatenate(values) for values in columns))

    def shown(self, index: int) -> tuple[Ints, Floats]:
        """Rows of the videos that day `index` shows, and how much each is seen on a usual day."""
        low, high = np.searchsorted(self.day, (index - _OLDEST + 1, index + 1))
        rows = np.arange(low, high)
        return rows, self.pull[rows] * np.exp((self.day[rows] - index) / _FADES)

    def rising(self, index: int) -> Ints:
        """Rows of the videos that rise on day `index`: three days old at least, `RISES_A_DAY` where there are as many.

        A day's rises depend on its index and the seed, never on the number of days.
        """
        rows, weight = self.shown(index)
        ranked = rows[np.argsort(-weight, kind="stable")]
        if ranked.size > _RISING_PLACES[1]:
            ranked = ranked[slice(*_RISING_PLACES)]
        usual = ranked[(self.day[ranked] <= index - 3) & (ranked % _TURN == index % _TURN)]
        rng = stream(self.scenario.seed, Stream.VIDEO_TRENDS, index)
        return np.sort(rng.permutation(usual)[:RISES_A_DAY])

    def surging(self, index: int) -> int | None:
        """The position of the country whose viewers double on day `index`; None on four days of five."""
        if index % SURGE_EVERY != SURGE_EVERY - 1:
            return None
        largest = sorted(range(len(_WORDS)), key=lambda k: -COUNTRIES[_WORDS[k]])[:_LARGE]
        return largest[int(stream(self.scenario.seed, Stream.VIDEO_TRENDS, index).integers(_LARGE))]

    def trends(self) -> tuple[Trend, ...]:
        """Everything planted in the span, in order of time; nothing on days without video events."""
        found: list[Trend] = []
        for index, date_ in enumerate(self.scenario.dates):
            if date_ in self.scenario.empty_days or date_ in self.scenario.messages_only_days:
                continue
            window = local_day(date_, self.scenario.zone)
            country = self.surging(index)
            if country is not None:
                found.append(Trend(TrendKind.COUNTRY, _WORDS[country], window.start, window.end, SURGE))
            found += [
                Trend(TrendKind.VIDEO, f"video-{row + 1}", window.start, window.end, RISE) for row in self.rising(index)
            ]
        return tuple(found)


def write_trends(trends: Iterable[Trend], path: Path) -> None:
    """One CSV row per planted trend, ISO times with the offset of UTC."""
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(TREND_COLUMNS)
        writer.writerows((t.kind, t.name, t.start.isoformat(), t.end.isoformat(), f"{t.factor:g}") for t in trends)


def read_trends(path: Path) -> tuple[Trend, ...]:
    """The trends of a `trending.csv`; KeyError or ValueError names what is wrong with the file."""
    with path.open(encoding="utf-8", newline="") as lines:
        return tuple(
            Trend(
                TrendKind(row["kind"]),
                row["name"],
                datetime.fromisoformat(row["start"]),
                datetime.fromisoformat(row["end"]),
                float(row["factor"]),
            )
            for row in csv.DictReader(lines)
        )


def video_day(day: Day, videos: Videos) -> pa.Table:
    """The `user_events` of one local day by time (naive, UTC); none on a day on which the feed has none."""
    rng = stream(day.seed, Stream.VIDEO_EVENTS, day.index)
    rows, weight, viewers = _interest(day, videos)
    sessions = rng.poisson(viewers * videos.scenario.users * VIEWERS * feed_factor(day.date, rng))
    curve = feed_curve(day, rng)
    if not day.feed_open:
        sessions[:] = 0
    country = np.repeat(np.arange(len(_WORDS)), sessions)
    people = _people(rng, country, videos.scenario.users)

    owner = np.repeat(np.arange(country.size), 1 + rng.poisson(SESSION_EVENTS - 1, country.size))
    moment = curve.draw(rng, country.size)[owner] + rng.exponential(SECONDS_PER_EVENT * SESSION_EVENTS, owner.size)
    second = whole_seconds(moment, (0, day.window.seconds))
    seen_by = country[owner]
    video = rows[_pick(rng, weight, seen_by)]
    early = np.flatnonzero((videos.day[video] == day.index) & (videos.second[video] > second))
    weight[videos.day[rows] == day.index] = 0
    video[early] = rows[_pick(rng, weight, seen_by[early])]
    kind = rng.choice(len(TYPES), owner.size, p=np.asarray(tuple(TYPES.values())) / sum(TYPES.values()))

    millis = second * 1000 + rng.integers(1000, size=second.size)
    order = np.argsort(millis, kind="stable")
    owner, millis, video, kind = owner[order], millis[order], video[order], kind[order]
    time = (millis + round(day.window.start.timestamp()) * 1000) * 1000
    columns: dict[str, pa.Array] = {
        "event_id": pa.array(np.arange(time.size, dtype=np.uint64) + np.uint64(day.date.toordinal() * _IDS_A_DAY)),
        "event_type": _words(kind, tuple(TYPES)),
        "time": pa.array(time).cast(pa.timestamp("us")),
        "inserted_at": pa.array(time + 2_000_000).cast(pa.timestamp("us")),
        **{name: values.take(pa.array(owner)) for name, values in people.items()},
        "country": _words(np.where(rng.random(owner.size) < 0.01, -1, country[owner]), _WORDS),
        **_video(videos, rows, video, kind),
        **_watched(rng, videos.length[video], kind),
    }
    columns |= {name: pa.nulls(time.size, pa.string()) for name in ("phone", "raw_data")}
    return pa.table({column.name: columns[column.name] for column in USER_EVENTS.columns})


def _interest(day: Day, videos: Videos) -> tuple[Ints, Floats, Floats]:
    # Rows of the day's videos, how much each country sees each (a column a country), and each country's viewers.
    rows, weight = videos.shown(day.index)
    by_country = weight[:, None] * np.where(videos.home[rows][:, None] == np.arange(len(_WORDS)), _AT_HOME, 1.0)
    usual = by_country.sum(axis=0)
    by_country[np.isin(rows, videos.rising(day.index))] *= RISE
    # What rises brings viewers of its own, so that all other videos stay as they are.
    viewers = np.asarray(tuple(COUNTRIES.values())) * by_country.sum(axis=0) / usual
    surging = videos.surging(day.index)
    if surging is not None:
        viewers[surging] *= SURGE
    return rows, by_country, viewers


def _pick(rng: np.random.Generator, weight: Floats, country: Ints) -> Ints:
    # For each event's country a row of `weight`, which has a column a country. One sorted line of all countries'
    # shares: country k has the numbers from k to k + 1.
    lines: Floats = (np.cumsum(weight, axis=0) / weight.sum(axis=0)).T + np.arange(weight.shape[1])[:, None]
    place: Ints = np.searchsorted(lines.ravel(), rng.random(country.size) + country, side="right")
    picked: Ints = np.minimum(place - country * len(weight), len(weight) - 1)
    return picked


def _people(rng: np.random.Generator, country: Ints, users: int) -> dict[str, pa.Array]:
    # Who has each session; a user has one country, and some come more often than others.
    known = np.maximum(1, np.asarray(tuple(COUNTRIES.values())) * users * 0.4).astype(np.int64)
    first = np.cumsum(known) - known
    number = first[country] + (known[country] * rng.random(country.size) ** 2).astype(np.int64) + 1
    anonymous = rng.random(country.size) < ANONYMOUS
    names = rng.bytes(8 * country.size).hex()
    return {
        "user_type": _words(anonymous.astype(np.int64), ("authenticated", "anonymous")),
        "user_id": pa.array(number, mask=anonymous).cast(pa.string()),
        "session_id": pa.array([names[k : k + 16] for k in range(0, len(names), 16)], pa.string()),
        "device": _words(rng.choice(3, country.size, p=(0.68, 0.22, 0.1)), ("android", "ios", "web")),
    }


def _video(videos: Videos, rows: Ints, video: Ints, kind: Ints) -> dict[str, pa.Array]:
    # What is known of the video; of the page of a collection, the collection and its category only.
    without = kind == _DETAIL
    shown = np.where(without, -1, video - rows[0])
    names = [row + 1 for row in rows.tolist()]
    tall = videos.tall[video]
    first, last = int(videos.cagnotte[rows].min()), int(videos.cagnotte[rows].max())
    causes = tuple(f"cagnotte-{k + 1}" for k in range(first, last + 1))
    return {
        "cagnotte_id": _words(videos.cagnotte[video] - first, causes),
        "video_id": _words(shown, tuple(f"video-{name}" for name in names)),
        "post_id": _words(shown, tuple(f"post-{name}" for name in names)),
        "category": _words(videos.category[video], CATEGORIES),
        "video_duration": pa.array(videos.length[video], mask=without),
        "video_width": pa.array(np.where(tall, 1080, 720), mask=without),
        "video_height": pa.array(np.where(tall, 1920, 1280), mask=without),
        "file_size": pa.array((videos.length[video] * 180_000).astype(np.int64), mask=without),
        "mime_type": _words(np.where(without, -1, 0), ("video/mp4",)),
        "thumbnail_url": _words(shown, tuple(f"/thumbnails/video-{name}.jpg" for name in names)),
    }


def _watched(rng: np.random.Generator, length: Floats, kind: Ints) -> dict[str, pa.Array]:
    # Views and replays have a share; of a few, players tell the seconds only. A skip has the second of the skip.
    watched = (kind == _VIEW) | (kind == _REPLAY)
    skipped = kind == _SKIP
    share = np.round(np.clip(1.15 * rng.beta(1.4, 1.0, kind.size), 0.01, 1), 4)
    silent = rng.random(kind.size) < 0.03
    skip = np.round(length * 0.3 * rng.random(kind.size), 2)
    seconds = np.where(skipped, skip, np.round(length * share, 2))
    return {
        "watch_duration": pa.array(seconds, mask=~(watched | skipped)),
        "completion_rate": pa.array(share, mask=~watched | silent),
        "skip_time": pa.array(skip, mask=~skipped),
    }


def _words(codes: Ints, words: tuple[str, ...]) -> pa.Array:
    # A code of -1 is no word.
    return pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int32), mask=codes < 0), pa.array(words, pa.string())
    )
