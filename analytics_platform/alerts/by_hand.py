"""What people do to an incident: acknowledge, mute, close, say what it was.

Belongs here: what an incident is afterwards. Does not: who may (`settings`), storing it (`state/incidents.py`), what a
judgement changes later (`feedback.py`). Pure. Light: no numpy. Every change is a silent revision.
"""

from dataclasses import replace
from datetime import datetime

from analytics_platform.alerts.feedback import Verdict
from analytics_platform.alerts.incident import Event, Incident, Kind, Reason, Status

Changed = tuple[Incident, Event | None]


def acknowledged(incident: Incident, by: str, moment: datetime) -> Changed:
    """Somebody is at it: no reminders. The first one counts."""
    if incident.acknowledged_by or not incident.living:
        return incident, None
    return _said(
        replace(incident, acknowledged_by=by, acknowledged_at=moment), Reason.ACKNOWLEDGED, moment, by, f"by {by}"
    )


def muted(incident: Incident, until: datetime, by: str, moment: datetime) -> Changed:
    """Nothing loud of it before that moment."""
    if incident.over or incident.status is Status.PENDING or incident.muted_until == until:
        return incident, None
    return _said(
        replace(incident, muted_until=until, muted_by=by), Reason.MUTED, moment, by, f"until {until:%Y-%m-%d %H:%M} UTC"
    )


def unmuted(incident: Incident, by: str, moment: datetime) -> Changed:
    """It may be loud again."""
    if incident.muted_until is None or incident.over:
        return incident, None
    return _said(replace(incident, muted_until=None, muted_by=""), Reason.UNMUTED, moment, by, "")


def closed(incident: Incident, by: str, moment: datetime, reason: Reason = Reason.BY_HAND) -> Changed:
    """Over by a person's word. As long as it goes on as it was, nothing of it is news; what is worse reopens it."""
    if not incident.living:
        return incident, None
    after = replace(
        incident,
        status=Status.CLOSED,
        closed_at=moment,
        ended=reason,
        hits=0,
        # Its data is there: what is late from now on is another time.
        over=incident.kind is Kind.LATE_DATA and incident.status is Status.RECOVERED,
        told_score=max(incident.told_score, incident.worst_score),
    )
    return _said(after, reason, moment, by, "")


def judged(incident: Incident, verdict: Verdict, by: str, moment: datetime) -> Changed:
    """What it was, by a person's word. What is no incident, or usual from now on, is closed."""
    if incident.verdict == verdict or incident.status is Status.PENDING:
        return incident, None
    incident = replace(incident, verdict=verdict.value)
    if incident.living and verdict in (Verdict.FALSE_ALARM, Verdict.NEW_NORMAL):
        reason = Reason.NEW_NORMAL if verdict is Verdict.NEW_NORMAL else Reason.BY_HAND
        after, event = closed(incident, by, moment, reason)
        return after, None if event is None else replace(event, about=verdict.value)
    return _said(incident, Reason.JUDGED, moment, by, verdict.value)


def _said(incident: Incident, reason: Reason, moment: datetime, by: str, about: str) -> Changed:
    after = replace(incident, revision=incident.revision + 1, reason=reason, revised_at=moment)
    return after, Event(after.key, after.revision, reason, loud=False, moment=moment, by=by, about=about)
