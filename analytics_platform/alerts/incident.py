"""What an incident is: its words, its members, what may be told of it and how loudly.

Belongs here: the vocabulary, and what can be read off one incident. Does not: how incidents come and go
(`incidents.py`), what people do to them (`by_hand.py`), storing them (`state/`). Light: no numpy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

from analytics_platform.alerts.findings import Direction, Finding, Severity, What
from analytics_platform.metrics.catalog import METRICS, Ratio
from analytics_platform.metrics.series import BUCKET, SeriesKey

HOUR = timedelta(hours=1)


class Kind(StrEnum):
    """What is wrong."""

    ANOMALY = "anomaly"  # a metric moved
    LATE_DATA = "late_data"  # a source's events have not come; nothing is known of its metrics


class Status(StrEnum):
    """Where an incident is."""

    PENDING = "pending"  # weak signs, to be confirmed; nobody hears of it, and it vanishes when it is not
    OPEN = "open"
    RECOVERED = "recovered"  # as usual again; a relapse goes on with it
    CLOSED = "closed"


class Reason(StrEnum):
    """What there is new to say: why a revision came to be."""

    OPENED = "opened"
    MORE_METRICS = "more_metrics"
    WORSENED = "worsened"
    UPDATED = "updated"  # it goes on, with newer figures
    REMINDER = "reminder"
    RECOVERED = "recovered"
    REOPENED = "reopened"
    CLOSED = "closed"  # it stayed recovered
    NEW_NORMAL = "new_normal"  # closed: it has lasted so long that it is what is usual now
    LOST = "lost"  # closed: its data no longer comes, so that nobody knows
    BY_HAND = "by_hand"  # closed by a person
    ACKNOWLEDGED = "acknowledged"
    MUTED = "muted"
    UNMUTED = "unmuted"
    JUDGED = "judged"  # a person said what it was


@dataclass(frozen=True)
class Member:
    """A series that takes part. Buckets are their starts, aware UTC.

    `first`, `last`: the first and last bucket that was a finding; `bad`: how many were. `what`, `worst_score`: of the
    finding with the highest score; `worst_at`, `worst_value`, `worst_expected`: of the bucket farthest from what was
    expected; `newest`: what the newest one was. `value`, `expected`, `score`, `at`: of the newest bucket in which it
    was heard of (score 0: no finding); `low`, `high`, `base`: of the newest finding. `loss`: sum of
    value - expected over findings and buckets that were not back to usual; for a ratio times its base, so in its
    numerator: negative is what is missing. `calm`: buckets in a row that were as usual, since `usual_since`.
    """

    series: SeriesKey
    direction: Direction
    first: datetime
    last: datetime
    bad: int
    what: What
    newest: What
    worst_at: datetime
    worst_score: float
    worst_value: float
    worst_expected: float
    at: datetime
    score: float
    value: float
    expected: float
    low: float
    high: float
    base: float | None = None
    loss: float = 0.0
    calm: int = 0
    usual_since: datetime | None = None

    @property
    def is_ratio(self) -> bool:
        """Whether its loss is in its numerator."""
        return self.base is not None


@dataclass(frozen=True)
class Mute:
    """Nothing loud of these series before `until`. Empty fields stand for any. Moments are aware, UTC."""

    until: datetime
    service: str = ""
    metric: str = ""
    dimension: str = ""
    value: str = ""
    by: str = ""
    reason: str = ""
    id: int | None = None

    def covers_service(self, service: str, moment: datetime) -> bool:
        """Whether all of that service is muted at that moment."""
        narrower = self.metric or self.dimension or self.value
        return moment < self.until and self.service in ("", service) and not narrower

    def covers(self, series: SeriesKey, moment: datetime) -> bool:
        """Whether that series is muted at that moment."""
        wanted = (self.service, self.metric, self.dimension, self.value)
        found = (series.service, series.metric, series.dimension, series.value)
        return moment < self.until and all(ours in ("", theirs) for ours, theirs in zip(wanted, found, strict=True))


def _ratios() -> Mapping[str, tuple[str, str]]:
    return MappingProxyType({m.name: (m.numerator, m.denominator) for m in METRICS if isinstance(m, Ratio)})


@dataclass(frozen=True)
class Policy:
    """How incidents come and go. Counts are buckets of 15 minutes.

    `strong`: from this score on a finding opens at once, as a zero does; a weaker one needs `confirm` buckets, with
    gaps of fewer than `confirm_within`. `together`: moves that begin this near to each other are one. `calm`: usual
    buckets until it is recovered; `flaps` reopenings make it `flap_calm` times as many. `reopen`: a relapse within it
    goes on with the old incident. `remind_after`: a lasting incident is told of again; `loud_every`: and never sooner
    than this, whatever happens, but for a turn to the critical. `doubled`: a deviation that is worse. `update_after`:
    its figures are renewed, silently. `accept_after`: what lasted this long is usual now, unless it is a zero or a
    freeze. `lost_after`: a series that was not heard of for this long no longer counts, unless its data is late.
    `shown`: members that are told. `mutes`: in force. `ratios`: numerator and denominator by metric. `quiet`: whether
    only what is critical may be loud, by series and aware moment; a series without a metric stands for its service.
    """

    strong: float = 1.5
    confirm: int = 2
    confirm_within: int = 2
    together: int = 4
    calm: int = 3
    flaps: int = 3
    flap_calm: int = 4
    reopen: timedelta = timedelta(hours=2)
    remind_after: timedelta = timedelta(hours=6)
    loud_every: timedelta = HOUR
    doubled: float = 2.0
    update_after: timedelta = HOUR
    accept_after: timedelta = timedelta(days=3)
    lost_after: timedelta = timedelta(days=1)
    shown: int = 10
    mutes: tuple[Mute, ...] = ()
    ratios: Mapping[str, tuple[str, str]] = field(default_factory=_ratios)
    quiet: Callable[[SeriesKey, datetime], bool] | None = None

    def __post_init__(self) -> None:
        """ValueError when incidents could not come or go by it."""
        if min(self.confirm, self.confirm_within, self.calm, self.flaps, self.flap_calm, self.shown) < 1:
            raise ValueError("counts of an incident policy are at least 1")
        if self.remind_after < self.loud_every:
            raise ValueError(f"reminders every {self.remind_after} are more often than every {self.loud_every}")
        if self.reopen < self.loud_every:
            raise ValueError(f"an incident is reopened for {self.reopen}, which is less than {self.loud_every}")

    def needed_calm(self, reopenings: int) -> int:
        """Usual buckets in a row until it is recovered."""
        return self.calm * (self.flap_calm if reopenings >= self.flaps else 1)


@dataclass(frozen=True)
class Incident:
    """Something is wrong, or was. All moments are aware, UTC; buckets are their starts.

    `key` is the same whenever the same findings are judged again. `started`: first unusual bucket, `opened_at`: bucket
    by which it was confirmed, `last_bad`: last unusual one; `recovered_at`: the first usual one, so that the incident
    is half-open. `stretch`: since when it is open without a recovery in between. `ended`: why it is closed. `lead`: the
    series it is told by. `services` are its members', or, of late data, the source's. `severity` never falls.
    `reopenings`: how often it came back. `hits`: unusual buckets that are not yet confirmed.
    `revision` grows with each thing to say; readers have `said_revision`; `loud_revision` is the newest that may make a
    sound, made at `loud_at`, with `told_score`, `told_severity` and the totals that took part. `over`: nothing can
    happen to it any more. `version` counts how often it was stored.
    """

    key: str
    kind: Kind
    status: Status
    started: datetime
    last_bad: datetime
    services: tuple[str, ...]
    severity: Severity = Severity.WARNING
    direction: Direction | None = None
    lead: SeriesKey | None = None
    members: tuple[Member, ...] = ()
    source: str = ""
    hits: int = 0
    opened_at: datetime | None = None
    stretch: datetime | None = None
    recovered_at: datetime | None = None
    closed_at: datetime | None = None
    ended: Reason | None = None
    reopenings: int = 0
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    muted_until: datetime | None = None
    muted_by: str = ""
    verdict: str = ""
    revision: int = 0
    reason: Reason | None = None
    revised_at: datetime | None = None
    loud_revision: int = 0
    loud_at: datetime | None = None
    told_score: float = 0.0
    told_severity: Severity = Severity.WARNING
    told_totals: tuple[SeriesKey, ...] = ()
    over: bool = False
    said_revision: int = 0
    version: int = 0
    id: int | None = None

    @property
    def living(self) -> bool:
        """Whether it is open, or may go on."""
        return self.status in (Status.OPEN, Status.RECOVERED)

    @property
    def unsaid(self) -> bool:
        """Whether readers do not know the newest revision."""
        return self.revision > self.said_revision

    @property
    def loud(self) -> bool:
        """Whether what they do not know may make a sound."""
        return self.loud_revision > self.said_revision

    @property
    def duration(self) -> timedelta | None:
        """From the first unusual bucket to the first usual one; None while it lasts."""
        return None if self.recovered_at is None else self.recovered_at - self.started

    @cached_property
    def _by_series(self) -> dict[SeriesKey, Member]:
        return {member.series: member for member in self.members}

    @property
    def worst_score(self) -> float:
        """Of all its members; 0 for late data."""
        return max((member.worst_score for member in self.members), default=0.0)

    def member(self, series: SeriesKey) -> Member | None:
        """That series, when it takes part."""
        return self._by_series.get(series)

    def shown(self, most: int) -> tuple[Member, ...]:
        """The first ones to name: the lead, totals, then the strongest."""
        order = sorted(
            self.members, key=lambda m: (m.series != self.lead, not m.series.is_total, -m.worst_score, m.series)
        )
        return tuple(order[:most])

    def is_muted(self, moment: datetime, mutes: tuple[Mute, ...] = ()) -> bool:
        """Whether a person wants no sound of it: of the incident, or of every series that takes part.

        Late data has no series: it is muted with the whole of one of its services.
        """
        if self.muted_until is not None and moment < self.muted_until:
            return True
        if self.kind is Kind.LATE_DATA:
            return any(m.covers_service(service, moment) for m in mutes for service in self.services)
        return bool(self.members) and all(any(m.covers(one.series, moment) for m in mutes) for one in self.members)


@dataclass(frozen=True)
class Event:
    """A line of an incident's history: it came to this revision. `moment`: the bucket's start, or a person's moment."""

    key: str
    revision: int
    reason: Reason
    loud: bool
    moment: datetime
    by: str = ""
    about: str = ""


@dataclass(frozen=True)
class Step:
    """What one bucket made of the incidents: all that are not over, and those that became so in it.

    `dropped`: pending ones that came to nothing or became part of another. `belongs`: whose each finding is.
    """

    incidents: tuple[Incident, ...]
    events: tuple[Event, ...] = ()
    dropped: tuple[Incident, ...] = ()
    belongs: Mapping[SeriesKey, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def living(self) -> tuple[Incident, ...]:
        """What the next bucket begins with."""
        return tuple(incident for incident in self.incidents if not incident.over)


def key_of(finding: Finding) -> str:
    """The key of an incident that begins with this finding."""
    series = finding.series
    slice_of = "" if series.is_total else f" {series.dimension}={series.value}"
    start = f"{finding.bucket:%Y-%m-%d %H:%M}"
    return f"{start} {series.service} {finding.direction} {series.metric}{slice_of}"


def rank(finding: Finding) -> tuple[bool, bool, float, SeriesKey]:
    """The order in which findings are told: totals, then counts before ratios, then by score."""
    return not finding.series.is_total, finding.base is not None, -finding.score, finding.series


def buckets(many: int) -> timedelta:
    """How long so many buckets are."""
    return many * BUCKET
