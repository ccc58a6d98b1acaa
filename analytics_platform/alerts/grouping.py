"""Which findings are one incident, and what a finding or a reading makes of a member.

Belongs here: relations of metrics, slices and services; members' figures. Does not: when an incident opens or ends
(`incidents.py`). Pure. Light: no numpy.

An incident is one service's move in one direction; several findings of it are one because views, likes and users that
fall together fall for one reason, and a slice falls with its total. A ratio also moves against its denominator: many
empty views lower the click rate. Totals of another service join when they move at the same time: the app is down.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from analytics_platform.alerts.findings import Direction, Finding, Reading, Severity, What
from analytics_platform.alerts.incident import Incident, Kind, Member, Policy, Status, buckets, rank

_HALF = 0.5


def home(finding: Finding, incidents: Iterable[Incident], policy: Policy) -> Incident | None:
    """The incident the finding belongs to; None when it is the first of a new one.

    `incidents`: those that are not over. Of several, its own series' before its service's, before another service's;
    open ones first, then the oldest.
    """
    found = [(_nearness(finding, incident, policy), incident) for incident in incidents]
    fitting = [(nearness, incident) for nearness, incident in found if nearness is not None]
    if not fitting:
        return None
    order = list(Status)
    return min(fitting, key=lambda pair: (pair[0], order.index(pair[1].status), pair[1].started, pair[1].key))[1]


def is_rebound(finding: Finding, incident: Incident, policy: Policy) -> bool:
    """Whether it is the way back, and a little too far, of a member: no news, and no incident of its own.

    What is critical, a zero or a freeze never is: after a peak, an outage must be heard.
    """
    member = incident.member(finding.series)
    if member is None or member.direction is finding.direction or finding.severity is Severity.CRITICAL:
        return False
    fresh = abs(finding.bucket - member.last) <= buckets(policy.together)
    return fresh and finding.what not in (What.ZERO, What.FREEZE) and incident.living


def at_once(first: Incident, second: Incident, policy: Policy) -> bool:
    """Whether totals of two services began to move together: one incident of the whole app."""
    if first.kind is not Kind.ANOMALY or second.kind is not Kind.ANOMALY or first.direction is not second.direction:
        return False
    ours, theirs = _totals_began(first), _totals_began(second)
    if ours is None or theirs is None or set(first.services) & set(second.services):
        return False
    return abs(ours - theirs) <= buckets(policy.together)


def joined(member: Member | None, finding: Finding) -> Member:
    """The member after an unusual bucket; None when it was none yet."""
    loss = (finding.value - finding.expected) * (1.0 if finding.base is None else finding.base)
    if member is None:
        return Member(
            series=finding.series,
            direction=finding.direction,
            first=finding.bucket,
            last=finding.bucket,
            bad=1,
            what=finding.what,
            newest=finding.what,
            worst_at=finding.bucket,
            worst_score=finding.score,
            worst_value=finding.value,
            worst_expected=finding.expected,
            at=finding.bucket,
            score=finding.score,
            value=finding.value,
            expected=finding.expected,
            low=finding.low,
            high=finding.high,
            base=finding.base,
            loss=loss,
        )
    after = replace(
        member,
        # What is frozen is now above and now below what is usual.
        direction=member.direction if finding.what is What.FREEZE else finding.direction,
        newest=finding.what,
        last=max(member.last, finding.bucket),
        bad=member.bad + 1,
        at=finding.bucket,
        score=finding.score,
        value=finding.value,
        expected=finding.expected,
        low=finding.low,
        high=finding.high,
        base=finding.base,
        loss=member.loss + loss,
        calm=0,
        usual_since=None,
    )
    if finding.score > member.worst_score:
        after = replace(after, what=finding.what, worst_score=finding.score)
    return _at_worst(after, finding.bucket, finding.value, finding.expected)


def _at_worst(member: Member, bucket: datetime, value: float, expected: float) -> Member:
    """The member, with that bucket as its worst if it is farther from what was expected than all before."""

    def away(one: float, usual: float) -> float:
        return abs(one - usual) / usual if usual > 0 else abs(one - usual)

    if away(value, expected) <= away(member.worst_value, member.worst_expected):
        return member
    return replace(member, worst_at=bucket, worst_value=value, worst_expected=expected)


def heard(member: Member, reading: Reading, *, lasting: bool) -> Member:
    """The member after a bucket that is no finding of it. `lasting`: its incident is open, so what is missing counts.

    Of what is not known nothing follows. What is beyond the band on the other side is over all the same. What is within
    it is not yet, while it is half as far away as at the worst: a band holds what may happen once, not what goes on;
    but of a series so noisy that this happens all the time, the band decides.
    """
    if reading.value is None or reading.expected is None:
        return member
    delta = reading.value - reading.expected
    other_side = delta > 0 if member.direction is Direction.DOWN else delta < 0
    other_side = other_side and member.newest is not What.FREEZE
    over = other_side or (reading.usual and not _still_away(member, reading.value, reading.expected))
    loss = delta * (1.0 if member.base is None else member.base) if lasting else 0.0
    after = replace(
        member,
        at=reading.bucket,
        score=0.0,
        value=reading.value,
        expected=reading.expected,
        calm=member.calm + 1 if over else 0,
        usual_since=(member.usual_since or reading.bucket) if over else None,
        loss=member.loss if over else member.loss + loss,
    )
    return after if over else _at_worst(after, reading.bucket, reading.value, reading.expected)


def _still_away(member: Member, value: float, expected: float) -> bool:
    """Whether it is half as far from what is expected as in its worst bucket, relatively, on the same side.

    Only where that tells it from noise: half of the worst is at least half as far as its band is wide to one side.
    """
    middle, reach = (member.low + member.high) / 2.0, (member.high - member.low) / 2.0
    if member.newest is What.FREEZE or not (expected > 0 and member.worst_expected > 0 and middle > 0):
        return False
    worst = member.worst_value / member.worst_expected - 1.0
    now = value / expected - 1.0
    return worst * now > 0 and _HALF * abs(worst) >= _HALF * reach / middle and abs(now) >= _HALF * abs(worst)


def rebounded(member: Member, finding: Finding) -> Member:
    """The member after a bucket that was unusual on the other side: it is over."""
    return heard(
        member, Reading(finding.series, finding.bucket, finding.value, finding.expected, usual=True), lasting=False
    )


def merged(incident: Incident, members: Iterable[Member]) -> Incident:
    """The incident with these members in the place of those of the same series; services, and a total as its lead."""
    by_series = {member.series: member for member in incident.members} | {member.series: member for member in members}
    ordered = tuple(by_series[series] for series in sorted(by_series))
    lead = incident.lead
    if lead is not None and not lead.is_total:
        totals = [member for member in ordered if member.series.is_total]
        if totals:
            lead = min(totals, key=lambda m: (m.is_ratio, -m.score, m.series)).series
    return replace(
        incident,
        members=ordered,
        services=tuple(sorted({member.series.service for member in ordered})),
        lead=lead,
    )


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """As they are told: so a slice finds the incident of its total."""
    return sorted(findings, key=rank)


def _nearness(finding: Finding, incident: Incident, policy: Policy) -> int | None:
    if incident.kind is not Kind.ANOMALY:
        return None
    ours = finding.series.service in incident.services
    member = incident.member(finding.series) if ours else None
    if incident.status is Status.CLOSED and member is None and finding.series.is_total:
        return None  # a person who closed it did not know of this one
    if ours and _one_move(finding, incident, member, policy):
        return 0 if member is not None and member.direction is finding.direction else 1
    if ours or not finding.series.is_total or finding.direction is not incident.direction:
        return None
    began = _totals_began(incident)
    near = began is not None and abs(finding.bucket - began) <= buckets(policy.together)
    return 2 if near and incident.status in (Status.PENDING, Status.OPEN) else None


def _one_move(finding: Finding, incident: Incident, member: Member | None, policy: Policy) -> bool:
    if finding.direction is incident.direction:
        return True
    if member is not None and (finding.what is What.FREEZE or member.direction is finding.direction):
        return True
    members = [member for member in incident.members if member.series.service == finding.series.service]
    own = policy.ratios.get(finding.series.metric)
    if own is not None:
        # The click rate rises because the views are gone, not because something else happened.
        return any(m.series.metric == own[1] and m.direction is not finding.direction for m in members)
    denominators = {policy.ratios[m.series.metric][1] for m in members if m.series.metric in policy.ratios}
    only_ratios = all(member.series.metric in policy.ratios for member in incident.members)
    return only_ratios and finding.series.metric in denominators


def _totals_began(incident: Incident) -> datetime | None:
    return min((member.first for member in incident.members if member.series.is_total), default=None)
