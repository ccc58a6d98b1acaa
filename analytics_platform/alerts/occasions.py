"""The calendar: holidays, releases and expected events, in which metrics may be away from what is usual.

Belongs here: an entry, what it covers, how much more room it gives. Does not: storing entries
(`state/alert_calendar.py`), judging (`judging.py`). Pure. Light: no numpy.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from analytics_platform.alerts.incident import Incident
from analytics_platform.metrics.series import BUCKET, SeriesKey


class OccasionKind(StrEnum):
    """What sort of day or hour it is."""

    HOLIDAY = "holiday"
    RELEASE = "release"
    EXPECTED = "expected"


@dataclass(frozen=True)
class Occasion:
    """An entry of the calendar, half-open; moments are aware. Empty filters stand for all services or metrics.

    `slack`: by what factor a deviation may be larger while it lasts, 1 and more. `id` is the stored one's.
    """

    name: str
    kind: OccasionKind
    starts: datetime
    ends: datetime
    services: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    slack: float = 2.0
    created_by: str = ""
    id: int | None = None

    def __post_init__(self) -> None:
        """ValueError for moments without a zone, an end before its start, a slack below 1."""
        if self.starts.utcoffset() is None or self.ends.utcoffset() is None:
            raise ValueError(f"{self.name}: write its start and end with a time zone")
        if self.ends <= self.starts:
            raise ValueError(f"{self.name}: it ends at {self.ends}, which is not after its start, {self.starts}")
        if not self.slack >= 1.0:
            raise ValueError(f"{self.name}: slack {self.slack} is less than 1; 1 is an ordinary day, 2 twice the room")

    def covers(self, series: SeriesKey) -> bool:
        """Whether it concerns that series."""
        return (not self.services or series.service in self.services) and (
            not self.metrics or series.metric in self.metrics
        )

    def touches(self, bucket: datetime) -> bool:
        """Whether the bucket that starts at that aware moment lies in it, if only in part."""
        return bucket < self.ends and self.starts < bucket + BUCKET


def slack(occasions: Iterable[Occasion], bucket: datetime, series: SeriesKey | None = None) -> float:
    """By what factor a deviation may be larger in that bucket; without `series`, by entries that concern them all."""
    factors = [
        one.slack
        for one in occasions
        if one.touches(bucket) and (one.covers(series) if series else not one.services and not one.metrics)
    ]
    return max(factors, default=1.0)


def expected(incident: Incident, by: str, until: datetime, *, room: float = 2.0) -> Occasion:
    """The entry that an incident leaves when a person says that it was expected.

    `until`: its end when it has not recovered. It concerns the services and metrics that took part.
    """
    ends = max(incident.recovered_at or until, incident.started + BUCKET)
    name = f"expected: {incident.lead}" if incident.lead else f"expected: {incident.source}"
    metrics = tuple(sorted({member.series.metric for member in incident.members}))
    return Occasion(
        name, OccasionKind.EXPECTED, incident.started, ends, incident.services, metrics, room, created_by=by
    )
