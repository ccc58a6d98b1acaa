"""How late a source's events come, learned; and until where buckets may be judged when they do not come at all.

Belongs here: pure decisions from counts. Does not: counting (`defs/series.py`), keeping what was learned (`state/`).

A row of a source is late when it is not there at the end of its bucket. What is learned is for how long after its end a
bucket has to be left alone so that its figure is final. What comes later still corrects the bucket afterwards.

Looks show only that a bucket became complete between two of them. Where they lie far apart, it is learned that the
earlier one was too early, and no more: a bucket is looked at again at the moment that was learned, so that too short a
wait is noticed, while too long a one would never be.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any, Self

from analytics_platform.metrics.series import BUCKET, bucket_of

WATCHED_BUCKETS = 12  # so long a bucket is watched for rows that still come
LONGEST = timedelta(minutes=120)
ENOUGH_ROWS = 0.995
ENOUGH_BUCKETS = 0.95
_KEPT = timedelta(days=7)
_LIVE_SECONDS = 3600
_WATCHED_SECONDS = 3600
_LOOKS = (1, 2, 4, 7, 11)  # minutes after the end of a bucket that still grows
_CLOSE = 5 * 60  # seconds between two looks; the later one then tells well enough when a bucket was complete
_ASLEEP = 20 * 60  # nobody looked for longer than from one quarter of an hour to the next
# An outage can be told from data that is late where so many events would usually have come.
TELLING = 50


@dataclass(frozen=True)
class Arrivals:
    """What was learned of one source. Buckets are their starts, epoch seconds UTC.

    `watched`: of buckets that may still grow, what looks saw: (seconds after the bucket's end, rows), of looks that saw
    the same the first and the last. `settled`: of the last week's buckets that grow no more, minutes after the end at
    which they were complete.
    """

    watched: Mapping[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    settled: Mapping[int, int] = field(default_factory=dict)

    @property
    def live(self) -> bool:
        """Whether events were seen within an hour of happening in the last week. A source that is loaded once a day is
        not late all day long."""
        return bool(self.settled) or any(
            rows and after <= _LIVE_SECONDS for seen in self.watched.values() for after, rows in seen
        )

    def look_again_at(self, now: datetime) -> datetime | None:
        """When counting the rows again tells how long a bucket grows; None where looks at what is to be judged are
        enough. `now`: the moment (aware) of the look that was `seen` last.

        While the newest ended bucket grows, that is soon, then ever later; once where buckets before it grew. These are
        also looked at right after their end, or what came since would not show.
        """
        end = bucket_of(now.astimezone(UTC))
        newest = int((end - BUCKET).timestamp())
        seen = self.watched.get(newest, ())
        growing = len(seen) > 1 and seen[-1][1] != seen[-2][1]
        late = any(self.settled.values()) or any(map(_lacking, self.watched.values()))
        if growing or (late and len(seen) == 1):
            for minutes in _LOOKS:
                if (moment := end + timedelta(minutes=minutes)) > now:
                    return moment
        return end + BUCKET if late else None

    def as_json(self) -> dict[str, Any]:
        """For a JSON column."""
        return {
            "watched": {str(k): [list(pair) for pair in seen] for k, seen in self.watched.items()},
            "settled": {str(k): minutes for k, minutes in self.settled.items()},
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """What `as_json` gave; of nothing, nothing was learned."""
        return cls(
            {int(k): tuple((int(a), int(b)) for a, b in seen) for k, seen in kept.get("watched", {}).items()},
            {int(k): int(minutes) for k, minutes in kept.get("settled", {}).items()},
        )

    def seen(self, counts: Mapping[datetime, int], now: datetime) -> "Arrivals":
        """After a look at `now` (aware). `counts`: rows by bucket (start, aware), of those that have any; the last
        WATCHED_BUCKETS that have ended are taken note of, the others passed over.
        """
        watched = {k: list(pairs) for k, pairs in self.watched.items()}
        last = bucket_of(now.astimezone(UTC)) - BUCKET
        for k in range(WATCHED_BUCKETS):
            bucket = last - k * BUCKET
            pairs = watched.setdefault(int(bucket.timestamp()), [])
            rows = counts.get(bucket, 0)
            # Between the first and the last look that found the same, others teach nothing; the list stays short.
            if len(pairs) > 1 and pairs[-2][1] == pairs[-1][1] == rows:
                pairs.pop()
            pairs.append((int((now - bucket - BUCKET).total_seconds()), rows))
        oldest = int((last - (WATCHED_BUCKETS - 1) * BUCKET).timestamp())
        settled, known = dict(self.settled), lateness(self) // timedelta(minutes=1)
        for start in [start for start in watched if start < oldest]:
            pairs = watched.pop(start)
            # Of a bucket that nobody looked at for hours, it is not known whether it grew.
            if pairs[-1][0] >= _WATCHED_SECONDS and (minutes := _complete_after(pairs, known)) is not None:
                settled[start] = minutes
        forgotten = int((now - _KEPT).timestamp())
        return Arrivals(
            {k: tuple(watched[k]) for k in sorted(watched)},
            {k: settled[k] for k in sorted(settled) if k >= forgotten},
        )


def _lacking(seen: Sequence[tuple[int, int]]) -> int:
    """How many of the looks, from the first on, came before the bucket was complete."""
    return sum(1 for _ in takewhile(lambda pair: pair[1] < ENOUGH_ROWS * seen[-1][1], seen))


def _complete_after(seen: Sequence[tuple[int, int]], known: int = 0) -> int | None:
    """Whole minutes after its end at which a bucket was complete; the least that is possible where the looks before and
    after lie too far apart to tell.

    A bucket that is complete at its first look confirms the lateness that is `known`, unless that look was earlier.
    None for one that teaches nothing: without rows, first looked at long after its end, or completed while nobody
    looked.
    """
    if not seen[-1][1]:
        return None
    short = _lacking(seen)
    if not short:
        return min(known, seen[0][0] // 60) if seen[0][0] <= BUCKET.total_seconds() else None
    lacking, complete = seen[short - 1][0], seen[short][0]
    if complete - lacking > _ASLEEP:
        return None
    return math.ceil(complete / 60) if complete - lacking <= _CLOSE else lacking // 60 + 1


def lateness(learned: Arrivals, override: timedelta | None = None) -> timedelta:
    """For how long after its end a bucket of the source is left alone: `override`, or what was learned, up to LONGEST.

    The smallest number of minutes after which 99.5 % of the rows were there in 95 % of the last week's buckets; 0 where
    nothing was learned, as of a source that was loaded as a whole. Buckets that were seen growing count at once.
    Looks of `Arrivals.look_again_at` make it exact to some minutes.
    """
    if override is not None:
        return override
    growing = [_complete_after(seen) for seen in learned.watched.values() if _lacking(seen)]
    minutes = sorted([*learned.settled.values(), *(m for m in growing if m is not None)])
    if not minutes:
        return timedelta()
    return min(LONGEST, timedelta(minutes=minutes[math.ceil(ENOUGH_BUCKETS * len(minutes)) - 1]))


@dataclass(frozen=True)
class Standing:
    """Until where the buckets of a source may be judged: those that end at `until` (aware UTC) or before.

    `late_since`: the time of the newest event where later ones should have come and did not. `others_arrive`: whether
    the events of every other source come as usual; None when there is no other.
    """

    until: datetime
    late_since: datetime | None = None
    others_arrive: bool | None = None


def late_since(
    newest: Mapping[str, datetime | None],
    usual: Mapping[str, Sequence[float]],
    closed: Mapping[str, datetime],
) -> Mapping[str, Standing]:
    """What may be judged of each source. All moments are aware.

    `newest`: the time of a source's newest event, None without any. `usual`: its usual number of events in each quarter
    hour of the day (UTC), 96 figures. `closed`: the end of its newest closed bucket. Where nothing came after the
    newest event although at least TELLING events usually would have by the end of a bucket, that bucket is held: an
    outage and late data look the same. Whatever newer event comes shows that the source lives, and the gap is real.
    """
    until = {source: _judged_until(newest.get(source), usual.get(source, ()), end) for source, end in closed.items()}
    held = {source for source, end in until.items() if end < closed[source]}
    return {
        source: Standing(
            end,
            newest[source] if source in held else None,
            None if len(closed) < 2 else not held - {source},
        )
        for source, end in until.items()
    }


def _judged_until(newest: datetime | None, usual: Sequence[float], closed: datetime) -> datetime:
    if newest is None or not any(usual):
        return closed
    newest = newest.astimezone(UTC)
    bucket, missed = bucket_of(newest), 0.0
    rest = (bucket + BUCKET - newest) / BUCKET  # of the bucket in which the newest event lies
    while bucket < closed:
        missed += rest * usual[int(bucket.timestamp()) // 900 % len(usual)]
        if missed >= TELLING:
            return bucket
        bucket, rest = bucket + BUCKET, 1.0
    return closed
