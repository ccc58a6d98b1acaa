"""From findings to incidents: what opens, goes on, recovers, comes back and is closed, bucket by bucket.

Belongs here: the way into the state machine (`incident_turn.py`). Does not: which findings are one incident
(`grouping.py`), what people do (`by_hand.py`), explanation, words, storage. Pure and deterministic: no clock, no
randomness. Light: no numpy.

Loud (may make a sound): opened, worsened, reminder. All other revisions are silent edits of the message that is there.
Nothing is told of an incident in a bucket in which nothing is heard of it; after a day of that it is lost, and closed.
Between two loud ones of an incident lies an hour, but for the one turn to the critical. In a service and direction at
most one incident lives, and it comes back as itself within the time to reopen.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from analytics_platform.alerts.findings import Finding, Reading
from analytics_platform.alerts.grouping import in_order
from analytics_platform.alerts.incident import (
    Event,
    Incident,
    Kind,
    Member,
    Mute,
    Policy,
    Reason,
    Status,
    Step,
)
from analytics_platform.alerts.incident_turn import Turn
from analytics_platform.metrics.series import SeriesKey

__all__ = [
    "Event",
    "Incident",
    "Kind",
    "Member",
    "Mute",
    "Policy",
    "Reason",
    "Status",
    "Step",
    "advance",
    "late",
    "of_interest",
]

_DEFAULT = Policy()


def of_interest(incidents: Iterable[Incident]) -> set[SeriesKey]:
    """The series that need a reading in each bucket in which they are no finding."""
    return {member.series for incident in incidents if not incident.over for member in incident.members}


def advance(
    incidents: Iterable[Incident],
    bucket: datetime,
    findings: Iterable[Finding],
    readings: Iterable[Reading],
    policy: Policy = _DEFAULT,
    *,
    spoken_at: datetime | None = None,
) -> Step:
    """What one bucket makes of the incidents. `bucket`: its start, aware. `spoken_at`: when readers would hear of it,
    aware; without it, the bucket's end. Mutes are those of that moment, and it must not be in quiet hours either.

    Sources are judged each at its own pace, so buckets of one service come in order, those of two need not. An incident
    grows calm only in buckets in which its own series were heard of: `of_interest`; in others, it is not told of.
    `incidents` hold late data, too: what is not heard of for that is not lost. Raises ValueError for a moment without a
    zone, for findings of another bucket, and for two of one series.
    """
    if bucket.utcoffset() is None:
        raise ValueError(f"the bucket {bucket} has no time zone")
    if spoken_at is not None and spoken_at.utcoffset() is None:
        raise ValueError(f"the moment {spoken_at}, of telling, has no time zone")
    bucket, found = bucket.astimezone(UTC), in_order(findings)
    if any(finding.bucket != bucket for finding in found):
        raise ValueError(f"there are findings of another bucket than {bucket:%Y-%m-%d %H:%M}")
    if len({finding.series for finding in found}) != len(found):
        raise ValueError(f"in {bucket:%Y-%m-%d %H:%M} a series has two findings")
    turn = Turn(incidents, bucket, policy, spoken_at=spoken_at)
    turn.place(found)
    turn.listen(readings, {finding.series for finding in found})
    turn.settle()
    return turn.step()


def late(
    incidents: Iterable[Incident],
    source: str,
    since: datetime | None,
    told: datetime,
    *,
    resumed: datetime | None = None,
    policy: Policy = _DEFAULT,
    services: tuple[str, ...] = (),
    spoken_at: datetime | None = None,
) -> Step:
    """What the lateness of a source's data makes of the incidents. Moments are aware.

    `since`: the first bucket that is missing, None while data comes. `told`: the moment of this look. `resumed`: the
    first bucket that is there again. `spoken_at`: when readers would hear of it; without it, `told`. The step holds
    this source's incidents alone. What a person closed stays so while its gap lasts; the next gap is another incident.
    """
    moments = [moment for moment in (since, told, resumed, spoken_at) if moment is not None]
    if any(moment.utcoffset() is None for moment in moments):
        raise ValueError(f"a moment of the lateness of {source} has no time zone")
    told = told.astimezone(UTC)
    ours = [i for i in incidents if i.kind is Kind.LATE_DATA and i.source == source and not i.over]
    turn = Turn(ours, told, policy, Kind.LATE_DATA, spoken_at)
    if since is not None and resumed is None:
        turn.is_late(source, since.astimezone(UTC), services)
    else:
        turn.has_data(None if resumed is None else resumed.astimezone(UTC))
    turn.settle()
    return turn.step()
