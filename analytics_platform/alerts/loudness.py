"""What may make a sound: the first word of an incident, a turn to the worse, a reminder. All else is a silent edit.

Belongs here: when an incident may be loud, and what readers then know. Does not: the state machine (`incidents.py`),
the hours of single subscribers (`delivery`). Pure. Light: no numpy.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime

from analytics_platform.alerts.findings import Finding, Severity
from analytics_platform.alerts.incident import Incident, Kind, Policy, Reason, Status, buckets
from analytics_platform.metrics.series import SeriesKey


def may(incident: Incident, ends: datetime, spoken_at: datetime, policy: Policy) -> bool:
    """Whether it may make a sound at all: not when muted, and in quiet hours only what is critical.

    `ends`: of the bucket; `spoken_at`: when readers would hear it. Neither of the two may be in quiet hours.
    """
    if incident.is_muted(spoken_at, policy.mutes):
        return False
    if policy.quiet is None or incident.severity is Severity.CRITICAL:
        return True
    leads = [incident.lead] if incident.lead is not None else [SeriesKey(name, "") for name in incident.services]
    return not any(policy.quiet(lead, moment) for lead in leads for moment in (ends, spoken_at))


def due(incident: Incident, found: Collection[Finding], moment: datetime, policy: Policy) -> Reason | None:
    """What is to be said aloud now: what never was, what is worse than was said, what has lasted. None: nothing.

    `found`: what was found of it in this bucket. What was held back, muted or too early, is due once it may be said,
    if it still lasts.
    """
    lasts = incident.kind is Kind.LATE_DATA or any(member.calm == 0 for member in incident.members)
    if not incident.loud_revision or incident.loud_at is None:
        return Reason.OPENED if lasts else None
    # Not held back by the hour: it happens once in an incident's life.
    if incident.severity is Severity.CRITICAL and incident.told_severity is not Severity.CRITICAL:
        return Reason.WORSENED
    since = moment - incident.loud_at
    if since < policy.loud_every:
        return None
    if {f.series for f in found if f.series.is_total} - set(incident.told_totals):
        return Reason.WORSENED
    if strength(found) >= policy.doubled * incident.told_score > 0:
        return Reason.WORSENED
    lasting = lasts and since >= policy.remind_after and incident.status is Status.OPEN
    return Reason.REMINDER if lasting and not incident.acknowledged_by else None


def said_aloud(incident: Incident, found: Collection[Finding], moment: datetime) -> Incident:
    """The incident once its newest revision is one that may make a sound."""
    return replace(
        incident,
        loud_revision=incident.revision,
        loud_at=moment,
        told_score=max(strength(found), incident.told_score) or incident.worst_score,
        told_severity=incident.severity,
        told_totals=_totals(incident),
    )


def said_softly(incident: Incident, moment: datetime, policy: Policy) -> Incident:
    """The incident after a silent revision: totals that joined one at once are known from it, and no news later."""
    began = incident.opened_at or incident.started
    if incident.told_totals and moment - began <= buckets(policy.together):
        return replace(incident, told_totals=_totals(incident))
    return incident


def strength(findings: Iterable[Finding]) -> float:
    """The highest score of the totals among them, or of all when there is none: some slice is always far out."""
    return max(((finding.series.is_total, finding.score) for finding in findings), default=(False, 0.0))[1]


def gravest(findings: Iterable[Finding]) -> Severity:
    """The severity of the gravest."""
    critical = any(finding.severity is Severity.CRITICAL for finding in findings)
    return Severity.CRITICAL if critical else Severity.WARNING


def _totals(incident: Incident) -> tuple[SeriesKey, ...]:
    return tuple(member.series for member in incident.members if member.series.is_total)
