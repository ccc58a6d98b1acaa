"""What a period's events must be like, whether they are there, and if not, what exactly is missing.

Belongs here: the rules of one event table (`Policy`), the judgement and its sentences, the two questions asked of the
events. Does not: clocks, settings, when a report is due (`cadence.py`), what to do about it (`agenda.py`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from math import ceil, sqrt
from statistics import median
from typing import Protocol
from zoneinfo import ZoneInfo

from analytics_platform.cadence import Period
from analytics_platform.metrics.windows import EPOCH, Window, day_start, day_window
from analytics_platform.queries import Query, compose
from analytics_platform.wording import Words, read_words

_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
_LONGEST = timedelta(days=31)
# With this many events expected in an hour, none at all is evidence. Chance alone would leave 7 as good as never at 0,
# but events come in bursts, a handful per user: over 32 simulated days of a small messenger, 5 raised 19 false alarms,
# 30 two, 50 none. Of a whole day less is enough.
_HOUR_EVIDENCE, _DAY_EVIDENCE = 50.0, 5.0
# Fewer days than this say nothing about what is usual.
_USUAL_DAYS = 2
_WEEKS_BACK = 4
# Without usual days, an hour is expected to have this share of the day's own mean: nights are quiet.
_QUIET = 1 / 5
# How many days before the period's last one the last event is looked for, nearest first; then everywhere.
_LOOK_BACK = (0, 1, 28)

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Policy:
    """When one event table counts as complete. ValueError, naming the word, for a value that makes no sense.

    `grace`: the last event must be at least at the period's end plus this; negative: it may be that much earlier. Hours
    at the end of the period in which the source may be silent are left out of account.
    `latency`: nothing is judged, and nothing is complete, before the period's end plus this.
    `hours`: no hour may be empty in which events were to be expected. `empty_hours`: local hours (0 to 23) in which the
    source may always be silent.
    `volume`: a day must have at least this share of the median of the same weekday in the four weeks before; 0: off. It
    never asks for more than chance allows (three standard deviations), so that small sources are not held up by it.
    `max_wait`: so long after it is due a report goes out all the same, as preliminary.
    """

    grace: timedelta = timedelta(minutes=-30)
    latency: timedelta = timedelta(0)
    hours: bool = True
    empty_hours: frozenset[int] = frozenset()
    volume: float = 0.5
    max_wait: timedelta = timedelta(hours=24)

    def __post_init__(self) -> None:
        for name, length in (("grace", abs(self.grace)), ("latency", self.latency), ("max_wait", self.max_wait)):
            if length % _MINUTE or not timedelta(0) <= length <= _LONGEST:
                sign = "" if name == "grace" else "from 0 "
                raise ValueError(f"{name} must be whole minutes, {sign}up to 31 days")
        if not self.empty_hours <= frozenset(range(24)):
            raise ValueError("empty_hours must be hours from 0 to 23")
        if not 0 <= self.volume <= 1:
            raise ValueError(f"volume must be a share from 0 (off) to 1, not {self.volume:g}")

    def __str__(self) -> str:
        """The policy in full, as `parse_policy` reads it."""
        silent = ",".join(_words({hour: [hour in self.empty_hours] for hour in range(24)})) or "none"
        return (
            f"grace={_written(self.grace)} latency={_written(self.latency)} hours={'on' if self.hours else 'off'} "
            f"empty_hours={silent} volume={self.volume:.15g} max_wait={_written(self.max_wait)}"
        )


def parse_policy(text: str) -> Policy:
    """The policy in words such as `grace=-30m latency=1h hours=on empty_hours=2-5,23 volume=0.5 max_wait=24h`.

    Words that are not there keep their defaults. Durations are whole m, h or d; ranges of hours may pass midnight
    (22-3). Raises ValueError: one sentence, without a full stop, that names the word and what is expected.
    """
    return Policy(**read_words(text, _WORDS))  # type: ignore[arg-type]  # each word's reader gives its field's type


_UNITS = {"m": _MINUTE, "h": _HOUR, "d": _DAY}


def _duration(text: str) -> timedelta:
    # Five digits of any unit fit a timedelta; what is too long the policy refuses.
    match = re.fullmatch(r"([+-]?[0-9]{1,5})([mhd])", text)
    if not match:
        raise ValueError
    return int(match[1]) * _UNITS[match[2]]


def _hours(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(",") if text != "none" else ():
        match = re.fullmatch(r"([0-9]{1,2})(?:-([0-9]{1,2}))?", part)
        if not match or max(int(hour) for hour in match.groups() if hour) > 23:
            raise ValueError
        first, last = int(match[1]), int(match[2] or match[1])
        found.update((first + k) % 24 for k in range((last - first) % 24 + 1))
    return frozenset(found)


def _share(text: str) -> float:
    if not re.fullmatch(r"[0-9]*\.?[0-9]+(e-[0-9]{1,3})?", text):
        raise ValueError
    return float(text)


_WORDS: Words = {
    "grace": (_duration, "a duration such as -30m, 1h or 1d"),
    "latency": (_duration, "a duration such as 30m, 2h or 1d"),
    "hours": (lambda text: {"on": True, "off": False}[text], "on or off"),
    "empty_hours": (_hours, "hours of the day such as 2-5,23, or none"),
    "volume": (_share, "a share such as 0.5, or 0 for off"),
    "max_wait": (_duration, "a duration such as 30m, 24h or 2d"),
}


def _written(length: timedelta) -> str:
    """A duration in the largest unit that keeps it whole; a single day in hours."""
    minutes = length // _MINUTE
    if minutes % 60 or not minutes:
        return f"{minutes}m"
    return f"{minutes // 60}h" if minutes % 1440 or abs(minutes) == 1440 else f"{minutes // 1440}d"


@dataclass(frozen=True)
class HourlyCounts:
    """Events of one local day, hour by hour from its first instant: 24 counts, or 23 or 25 when the clocks change."""

    day: date
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """Events of the day."""
        return sum(self.counts)


@dataclass(frozen=True)
class Observed:
    """What is there of one event table for a period.

    `last_event` is naive UTC, None when the table is empty. `days` are all days of the period. `usual` has for each of
    them the same weekday one to four weeks before, as far as those days have events at all.
    """

    source: str
    last_event: datetime | None
    days: tuple[HourlyCounts, ...]
    usual: Mapping[date, tuple[HourlyCounts, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """Whether the data is there: nothing is missing, or what is, one sentence a source."""

    missing: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Nothing is missing."""
        return not self.missing

    def __str__(self) -> str:
        """All that is missing in one line."""
        return "; ".join(self.missing)


class Reader(Protocol):
    """What can be asked: every warehouse."""

    def rows(self, query: Query) -> Sequence[Mapping[str, object]]:
        """The rows of a query whose answer is small."""
        ...


def hourly_counts(table: str, window: Window) -> Query:
    """Rows (hour_start, events) of an event table: naive UTC, hours counted from the window's start, none empty."""
    within = {"window_start": window.start, "window_end": window.end}
    return compose("hourly_counts", within, table=table, shift=window.start.minute)


def last_event(table: str, not_before: datetime, before: datetime) -> Query:
    """One row (last_time): the last event (naive UTC) from `not_before` on and before `before`, NULL without any."""
    return compose("last_event", {"start": not_before, "end": before}, table=table)


def tally(rows: Iterable[Mapping[str, object]], day: date, zone: ZoneInfo) -> HourlyCounts:
    """The counts of one local day from rows of `hourly_counts`; rows of other days are left out."""
    window = day_window(day, zone)
    # Where the clocks change by half an hour, the day's last hour is half of one.
    counts = [0] * ceil((window.end - window.start) / _HOUR)
    for row in rows:
        start, events = row["hour_start"], row["events"]
        if isinstance(start, datetime) and isinstance(events, int) and window.start <= start < window.end:
            counts[(start - window.start) // _HOUR] += events
    return HourlyCounts(day, tuple(counts))


def observe(
    reader: Reader, source: str, period: Period, zone: ZoneInfo, history: MutableMapping[tuple[str, date], HourlyCounts]
) -> Observed:
    """Ask for what `missing` judges of the event table `source`.

    The period's days are counted each time, earlier days only while they are not in `history` (by table and day), to
    which they are added; days without events are not, as they may still be loaded. Whoever keeps `history` drops from
    it what is loaded again, and uses it for one zone.
    """
    days = {c.day: c for c in _count(reader, source, period.days, zone)}
    same = {day: [day - k * 7 * _DAY for k in range(1, _WEEKS_BACK + 1)] for day in days}
    unknown = {d for earlier in same.values() for d in earlier if d not in days and (source, d) not in history}
    for counted in _count(reader, source, sorted(unknown), zone):
        if counted.total:
            history[source, counted.day] = counted
    usual = {
        day: tuple(c for d in earlier if (c := days.get(d) or history.get((source, d))) and c.total)
        for day, earlier in same.items()
    }
    return Observed(source, _last(reader, source, period.last, zone), tuple(days.values()), usual)


def _count(reader: Reader, source: str, days: Iterable[date], zone: ZoneInfo) -> Iterator[HourlyCounts]:
    """The days, asked for in runs of consecutive ones: opening a file or a connection costs as much as half a day."""
    runs: list[list[date]] = []
    for day in days:
        # Where a change of half an hour moves the hours' first minute, a new run begins.
        if runs and runs[-1][-1] == day - _DAY and day_start(day, zone).minute == day_start(runs[-1][0], zone).minute:
            runs[-1].append(day)
        else:
            runs.append([day])
    for run in runs:
        window = Window(day_start(run[0], zone), day_start(run[-1] + _DAY, zone))
        rows = reader.rows(hourly_counts(source, window))
        yield from (tally(rows, day, zone) for day in run)


def _last(reader: Reader, source: str, day: date, zone: ZoneInfo) -> datetime | None:
    for not_before in (*(day_start(day - k * _DAY, zone) for k in _LOOK_BACK), EPOCH):
        # Not beyond the day after: one event misdated into the future must not pass for all that should be there.
        [row] = reader.rows(last_event(source, not_before, day_start(day + 2 * _DAY, zone)))
        if isinstance(found := row["last_time"], datetime):
            return found
    return None


def opens(policy: Policy, period: Period, zone: ZoneInfo) -> datetime:
    """From when on the period's data is judged (aware UTC): its end plus the latency."""
    return day_start(period.last + _DAY, zone).replace(tzinfo=UTC) + policy.latency


def missing(policy: Policy, period: Period, observed: Observed, now: datetime, zone: ZoneInfo) -> tuple[str, ...]:
    """What the source lacks of the period at `now` (aware), as one sentence with local times; nothing when it is ready.

    The sentence does not depend on `now` beyond whether the latency has passed, so it stays the same while nothing
    happens. An empty hour counts where at least fifty events were to be expected: by the median of that hour on the
    usual days, or, with fewer than two of them, by a fifth of the day's own mean.
    """
    findings = list(_findings(policy, period, observed, now, zone))
    return (f"{observed.source}: {'; '.join(findings)}",) if findings else ()


def _findings(policy: Policy, period: Period, observed: Observed, now: datetime, zone: ZoneInfo) -> Iterator[str]:
    start = opens(policy, period, zone)
    if now < start:
        after = f" (latency {_length(policy.latency)})" if policy.latency else ""
        yield f"waits until {_moment(start, period.last + _DAY, period, zone)}{after}"
        return
    if observed.last_event is None:
        yield "no events"
        return
    yield from _watermark(policy, period, observed.last_event.replace(tzinfo=UTC), zone)
    for counted in observed.days:
        usual = observed.usual.get(counted.day, ())
        if not counted.total:
            if (policy.hours or policy.volume) and _is_expected(policy, counted, usual, zone):
                yield f"{counted.day} has no events"
            continue
        if policy.hours and (hours := _empty_hours(policy, counted, usual, zone)):
            on = "" if period.first == period.last else f"{counted.day} "
            yield f"{on}{'hour' if len(hours) == 1 and '-' not in hours[0] else 'hours'} {', '.join(hours)} empty"
        yield from _volume(policy, counted, usual)


def _watermark(policy: Policy, period: Period, last: datetime, zone: ZoneInfo) -> Iterator[str]:
    end = _expected_until(policy, period.last, zone)
    if last < end + policy.grace:
        short = max(end, end + policy.grace) - last
        yield f"last event {_moment(last, period.last, period, zone)}, {_length(short)} short"


def _expected_until(policy: Policy, day: date, zone: ZoneInfo) -> datetime:
    """The day's end without the hours before it in which the source may be silent (aware UTC)."""
    window = day_window(day, zone)
    end, starts = window.end, _hour_starts(day, zone)
    while starts and starts[-1].hour in policy.empty_hours:
        end = starts.pop().astimezone(UTC).replace(tzinfo=None)
    return end.replace(tzinfo=UTC)


def _hour_starts(day: date, zone: ZoneInfo) -> list[datetime]:
    """The local times at which the hours of a day begin, as many as `tally` counts."""
    window = day_window(day, zone)
    hours = ceil((window.end - window.start) / _HOUR)
    return [(window.start.replace(tzinfo=UTC) + k * _HOUR).astimezone(zone) for k in range(hours)]


def _by_hour(counted: HourlyCounts, zone: ZoneInfo) -> dict[int, list[int]]:
    """Events by hour on the clock, in order; the hour that comes twice in autumn has two counts."""
    found: dict[int, list[int]] = {}
    for start, events in zip(_hour_starts(counted.day, zone), counted.counts, strict=True):
        found.setdefault(start.hour, []).append(events)
    return found


def _is_expected(policy: Policy, counted: HourlyCounts, usual: Sequence[HourlyCounts], zone: ZoneInfo) -> bool:
    """Whether a day without events should have had some; so it is when nothing is known about it."""
    if policy.empty_hours.issuperset(_by_hour(counted, zone)):
        return False
    heard = [sum(sum(n) for hour, n in _by_hour(u, zone).items() if hour not in policy.empty_hours) for u in usual]
    return len(usual) < _USUAL_DAYS or median(heard) >= _DAY_EVIDENCE


def _empty_hours(policy: Policy, counted: HourlyCounts, usual: Sequence[HourlyCounts], zone: ZoneInfo) -> list[str]:
    """The hours that lack events, as words."""
    known = [_by_hour(u, zone) for u in usual]
    own = counted.total / len(counted.counts) * _QUIET
    lacks: dict[int, list[bool]] = {}
    for hour, counts in _by_hour(counted, zone).items():
        rates = [sum(k[hour]) / len(k[hour]) for k in known if hour in k]
        expected = median(rates) if len(rates) >= _USUAL_DAYS else own
        evident = hour not in policy.empty_hours and expected >= _HOUR_EVIDENCE
        lacks[hour] = [evident and not events for events in counts]
    return list(_words(lacks))


def _words(marked: Mapping[int, Sequence[bool]]) -> Iterator[str]:
    """The marked hours, three in a row and more as a range; `2 (second)` when one of two is marked."""
    run: list[int] = []
    for hour, marks in (*marked.items(), (24, (False,))):
        if all(marks):
            run.append(hour)
            continue
        yield from (f"{run[0]}-{run[-1]}",) if len(run) > 2 else map(str, run)
        run = []
        if any(marks):
            yield f"{hour} ({'first' if marks[0] else 'second'})"


def _volume(policy: Policy, counted: HourlyCounts, usual: Sequence[HourlyCounts]) -> Iterator[str]:
    if not policy.volume or len(usual) < _USUAL_DAYS:
        return
    middle = median(u.total for u in usual)
    least = min(policy.volume * middle, middle - 3 * sqrt(middle))
    if counted.total < least:
        yield (
            f"{counted.total:,} events on {counted.day}, usually {round(middle):,} "
            f"({_WEEKDAYS[counted.day.weekday()]}s); at least {ceil(least):,} are expected"
        )


def _moment(moment: datetime, understood: date, period: Period, zone: ZoneInfo) -> str:
    """Local time; with the date when it is not the one that is understood, or the period has several days."""
    local = moment.astimezone(zone)
    short = period.first == period.last and local.date() == understood
    return f"{local:%H:%M}" if short else f"{local:%Y-%m-%d %H:%M}"


def _length(length: timedelta) -> str:
    """`48 min`, `3 h 5 min`, `2 d 4 h`; begun minutes count, so nothing that is missing reads as 0."""
    minutes = ceil(length / _MINUTE)
    hours, days = minutes // 60, minutes // 1440
    if days > 1:
        return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
