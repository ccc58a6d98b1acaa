"""What to simulate: span, size, seed, time zone, and the days that are out of the ordinary.

Belongs here: the parameters of a run and their checks. Does not: making events (`generator.py`). Light: no numpy.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from analytics_platform.simulate.clock import Window, local_day, local_time
from analytics_platform.simulate.incidents import Incident, IncidentKind, calendar

MAX_DAYS = 400
MAX_USERS = 2_000_000  # about 11 million events and 1 GB of memory a day


@dataclass(frozen=True)
class Scenario:
    """One reproducible run: the same scenario gives the same rows, and the same files.

    `users`: the people known after the first 60 days; every further day brings in newcomers at the same pace (1 % of
    `users`), as others leave. Feed users a day come to about a seventh of it, feed events to 40 for each of those.
    `zone`: the zone whose days and clock the users live by. `incidents`: whether the default calendar is planted;
    `extra`: incidents of your own, with or without it. `empty_days` have no event, `messages_only_days` none in the
    feed. A day's events do not depend on `days`: a longer run begins with the days of a shorter one.
    ValueError names a parameter out of its range.
    """

    first_day: date
    days: int
    users: int
    seed: int
    zone: ZoneInfo
    incidents: bool = True
    extra: tuple[Incident, ...] = ()
    empty_days: frozenset[date] = frozenset()
    messages_only_days: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        if not 1 <= self.days <= MAX_DAYS:
            raise ValueError(f"days must be from 1 to {MAX_DAYS}, not {self.days}")
        if not 50 <= self.users <= MAX_USERS:
            raise ValueError(f"users must be from 50 to {MAX_USERS}, not {self.users}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, it is {self.seed}")

    @property
    def dates(self) -> Iterator[date]:
        """Every local day, in order."""
        return (self.first_day + timedelta(days=k) for k in range(self.days))

    @property
    def window(self) -> Window:
        """From the first day's local midnight to the one after the last day."""
        return Window(
            local_time(self.first_day, self.zone), local_time(self.first_day + timedelta(self.days), self.zone)
        )

    def planted(self) -> tuple[Incident, ...]:
        """Every incident that touches the span, in order of time, with its full length."""
        default = calendar(self.first_day, self.days, self.zone, self.seed) if self.incidents else ()
        inside = (i for i in (*default, *self.extra) if i.window.overlaps(self.window))
        return tuple(sorted(inside, key=lambda i: (i.start, i.kind, i.metric, i.slice)))

    def truth(self) -> tuple[Incident, ...]:
        """The incidents that can be seen in the events: none on days without events, none after the last day."""
        shown = (i for i in self.planted() if any(self._shown(i, day) for day in self.dates))
        return tuple(self._cut(i) for i in shown)

    def day(self, index: int) -> "Day":
        """Day `index` of the span, 0 the first."""
        date_ = self.first_day + timedelta(days=index)
        window = local_day(date_, self.zone)
        return Day(
            date=date_,
            index=index,
            window=window,
            zone=self.zone,
            seed=self.seed,
            incidents=tuple(i for i in self.planted() if i.window.overlaps(window)),
            feed_open=date_ not in self.empty_days and date_ not in self.messages_only_days,
            chat_open=date_ not in self.empty_days,
        )

    def _cut(self, incident: Incident) -> Incident:
        end = min(incident.end, self.window.end)
        size = incident.size
        if incident.kind is IncidentKind.CTR_SLIDE:
            size = round(1 + (size - 1) * ((end - incident.start) / (incident.end - incident.start)), 4)
        return replace(incident, end=end, size=size)

    def _shown(self, incident: Incident, day: date) -> bool:
        if day in self.empty_days or (day in self.messages_only_days and not incident.in_messages):
            return False
        return incident.window.overlaps(local_day(day, self.zone))


@dataclass(frozen=True)
class Day:
    """One local day of a scenario: its window in UTC, the incidents that touch it, whether anything happens at all."""

    date: date
    index: int
    window: Window
    zone: ZoneInfo
    seed: int
    incidents: tuple[Incident, ...]
    feed_open: bool
    chat_open: bool

    def seconds(self, span: Window) -> tuple[float, float]:
        """The part of `span` that lies within the day, in seconds since its midnight."""
        low = (span.start - self.window.start).total_seconds()
        high = (span.end - self.window.start).total_seconds()
        return max(0.0, low), min(float(self.window.seconds), high)
