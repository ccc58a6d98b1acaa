"""What an alert has to say, as plain values: an incident, late data, a week of alerts.

Belongs here: the input of `telling.py`, and what follows from it alone (changes, lengths). Does not: words, time zones,
how incidents come about (`incidents.py`). Light: no numpy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from analytics_platform.alerts.feedback import Precision, Verdict
from analytics_platform.alerts.findings import Severity, What
from analytics_platform.alerts.incident import Reason, Status
from analytics_platform.metrics.dimensions import TOTAL
from analytics_platform.metrics.series import BUCKET, EVERYBODY

_TOO_LARGE = 1e15


@dataclass(frozen=True)
class Member:
    """One series of an incident, in its last judged bucket. None, nan and inf all mean that a figure is not known.

    `metric`: name in the catalogue; `share`: shown as percent. `now`: the value; `expected`, `low`, `high`: what is
    usual for it; `previous`, `yesterday`, `week_ago`: the values of the bucket before, and of the same time on these
    days. `worst`: the value of the bucket farthest from what was expected, `worst_expected`, there. `first_seen`,
    `last_seen`: starts of the first and last unusual bucket, aware. `usual`: whether it is within its band again.
    `fresh`: whether it joined since the last message. `lost`: value less expectation, summed over the incident; of a
    share in events of `lost_metric`, its numerator.
    """

    service: str
    metric: str
    now: float | None
    expected: float | None
    low: float | None = None
    high: float | None = None
    dimension: str = TOTAL
    value: str = EVERYBODY
    share: bool = False
    what: What = What.JUMP
    previous: float | None = None
    yesterday: float | None = None
    week_ago: float | None = None
    worst: float | None = None
    worst_expected: float | None = None
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    usual: bool = False
    fresh: bool = False
    lost: float | None = None
    lost_metric: str = ""

    @property
    def change(self) -> float | None:
        """Relative change against what is expected; None where there is none."""
        return change(self.now, self.expected)

    @property
    def worst_change(self) -> float | None:
        """The same in the worst bucket."""
        return change(self.worst, self.worst_expected)


@dataclass(frozen=True)
class IncidentView:
    """An incident as it is told. All moments are aware.

    `since`: start of its first bucket; `last`: start of the last judged one, to which `now` of its members belongs;
    `ended`: start of the first usual bucket, when it has recovered or is closed; `closed_as`: why it is closed.
    `verdict`: what a person said it was. `members`: the most telling first.
    `explanation`, `notes`: lines in the reader's language, unescaped. `link`: where the series is to be seen.
    """

    id: int
    status: Status
    severity: Severity
    since: datetime
    last: datetime
    members: tuple[Member, ...]
    reason: Reason = Reason.OPENED
    ended: datetime | None = None
    closed_as: Reason | None = None
    acknowledged_by: str | None = None
    muted_until: datetime | None = None
    verdict: Verdict | None = None
    judged_by: str | None = None
    explanation: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    link: str | None = None

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError(f"incident {self.id} has no series; an incident needs at least one")

    @property
    def duration(self) -> timedelta:
        """How long it lasted, or has lasted so far, to the end of the last bucket."""
        return max((self.ended or self.last + BUCKET) - self.since, timedelta(0))


@dataclass(frozen=True)
class LateView:
    """Data that does not arrive. All moments are aware.

    `source`: the event table; `services`: what is not judged for want of it. `since`: from when on events are missing;
    `seen`: when that was last looked at; `ended`: when they were there. `arriving`: event tables that come as usual.
    """

    id: int
    source: str
    services: tuple[str, ...]
    since: datetime
    seen: datetime
    arriving: tuple[str, ...] = ()
    reason: Reason = Reason.OPENED
    ended: datetime | None = None
    link: str | None = None

    @property
    def duration(self) -> timedelta:
        """How long it lasted, or has lasted so far."""
        return max((self.ended or self.seen) - self.since, timedelta(0))


@dataclass(frozen=True)
class WeeklyView:
    """A week of alerts. `thresholds`: by metric, what its threshold is multiplied by from now on, 1 for unchanged.

    `late`: how often data was late.
    """

    week: Precision
    thresholds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    late: int = 0


def known(value: float | None) -> float | None:
    """The figure, or None where there is none: nan, inf and what nobody can have counted are nothing to tell."""
    return value if value is not None and abs(value) < _TOO_LARGE else None


def change(value: float | None, before: float | None) -> float | None:
    """Relative change; None where either is unknown or there was nothing before."""
    value, before = known(value), known(before)
    return None if value is None or not before else known(value / before - 1)
