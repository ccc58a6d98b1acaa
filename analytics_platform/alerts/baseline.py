"""What no baseline may be made of: past incidents and expected events; and from when on a new level is the usual one.

Belongs here: spans by series, as `detectors.base.Block.learn` and `.accepted` want them. Does not: baselines
(`detectors/`). Pure. Light: no numpy.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType

from analytics_platform.alerts.feedback import Judgement, Verdict, latest
from analytics_platform.alerts.incident import Incident, Kind, Member, Reason, Status
from analytics_platform.alerts.occasions import Occasion
from analytics_platform.metrics.series import BUCKET, SeriesKey

Span = tuple[datetime, datetime]


def excluded_spans(
    incidents: Iterable[Incident],
    judgements: Iterable[Judgement] = (),
    occasions: Iterable[Occasion] = (),
    series: Iterable[SeriesKey] = (),
) -> Mapping[SeriesKey, tuple[Span, ...]]:
    """By series: half-open spans, aware UTC, in order and apart, that are judged but not learned from.

    Of an incident, from a member's first unusual bucket until it was as usual again. Not of one that people called a
    false alarm, nor of a new normal, nor of one that was never confirmed. Of occasions, for the given `series`.
    """
    verdicts = _verdicts(judgements)
    found: dict[SeriesKey, list[Span]] = {}
    for incident in incidents:
        if _anomaly(incident) and _verdict(incident, verdicts) not in (Verdict.FALSE_ALARM, Verdict.NEW_NORMAL):
            for member in () if incident.ended is Reason.NEW_NORMAL else incident.members:
                found.setdefault(member.series, []).append((member.first, _end(incident, member)))
    entries = list(occasions)
    for key in series:
        spans = [(one.starts, one.ends) for one in entries if one.covers(key)]
        if spans:
            found.setdefault(key, []).extend(spans)
    return MappingProxyType({key: _apart(spans) for key, spans in sorted(found.items())})


def accepted_at(
    incidents: Iterable[Incident], judgements: Iterable[Judgement] = ()
) -> Mapping[SeriesKey, tuple[datetime, ...]]:
    """By series: the first buckets of levels that are the new normal, by a person's word or because they lasted.

    Members that were as usual again in the end are not among them.
    """
    verdicts = _verdicts(judgements)
    found: dict[SeriesKey, set[datetime]] = {}
    for incident in incidents:
        said = _verdict(incident, verdicts)
        lasted = incident.ended is Reason.NEW_NORMAL and said is None
        if _anomaly(incident) and (said is Verdict.NEW_NORMAL or lasted):
            for member in incident.members:
                if member.usual_since is None:
                    found.setdefault(member.series, set()).add(member.first)
    return MappingProxyType({key: tuple(sorted(moments)) for key, moments in sorted(found.items())})


def _anomaly(incident: Incident) -> bool:
    return incident.kind is Kind.ANOMALY and incident.status is not Status.PENDING


def _verdicts(judgements: Iterable[Judgement]) -> dict[str, Verdict]:
    return {one.incident: one.verdict for one in latest(judgements)}


def _verdict(incident: Incident, verdicts: Mapping[str, Verdict]) -> Verdict | None:
    return verdicts.get(incident.key) or (Verdict(incident.verdict) if incident.verdict else None)


def _end(incident: Incident, member: Member) -> datetime:
    """What was open until the newest bucket may go on in the next one, which is then a span of its own making."""
    lasts = incident.status is Status.OPEN and member.usual_since is None
    return member.usual_since or (max(member.last, member.at) if lasts else member.last) + BUCKET


def _apart(spans: Iterable[Span]) -> tuple[Span, ...]:
    apart: list[Span] = []
    for first, last in sorted(spans):
        if apart and first <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(apart[-1][1], last))
        else:
            apart.append((first, last))
    return tuple(apart)
