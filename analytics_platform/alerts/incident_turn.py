"""One bucket's work on all incidents: whose each finding is, what each incident comes to, what there is to say.

Belongs here: the state machine. Does not: which findings are one incident (`grouping.py`), what may be loud
(`loudness.py`), the way in (`incidents.py`). Pure and deterministic. Light: no numpy.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from types import MappingProxyType

from analytics_platform.alerts.findings import Finding, Reading, Severity, What
from analytics_platform.alerts.grouping import at_once, heard, home, is_rebound, joined, merged, rebounded
from analytics_platform.alerts.incident import (
    Event,
    Incident,
    Kind,
    Member,
    Policy,
    Reason,
    Status,
    Step,
    buckets,
    key_of,
)
from analytics_platform.alerts.loudness import due, gravest, may, said_aloud, said_softly, strength
from analytics_platform.metrics.series import BUCKET, SeriesKey

_NEVER_NORMAL = (What.ZERO, What.FREEZE)


class Turn:
    """One bucket's work on all incidents."""

    def __init__(
        self,
        incidents: Iterable[Incident],
        bucket: datetime,
        policy: Policy,
        kind: Kind = Kind.ANOMALY,
        spoken_at: datetime | None = None,
    ) -> None:
        self._kind = kind
        self._bucket = bucket
        # A look at late data is a moment, not a bucket.
        self._ends = bucket + BUCKET if kind is Kind.ANOMALY else bucket
        self._spoken_at = spoken_at or self._ends
        self._policy = policy
        self._before = {incident.key: incident for incident in incidents if not incident.over}
        self._now = dict(self._before)
        self._events: list[Event] = []
        self._belongs: dict[SeriesKey, str] = {}
        # What was found of each incident in this bucket, and which were heard of at all.
        self._found: dict[str, list[Finding]] = {}
        self._heard: set[str] = set()
        self._spoken: set[str] = set()
        self._joining: dict[str, list[Member]] = {}

    # ------------------------------------------------------------------------------------------------- what there is

    def place(self, findings: Iterable[Finding]) -> None:
        """Each finding becomes part of its incident, or of a new one. In the order in which they are told."""
        for finding in findings:
            self._place(finding)
            if finding.series.is_total:
                self._join()
        # Slices come after all totals and do not decide about each other; in an outage there are thousands.
        self._join()

    def _place(self, finding: Finding) -> None:
        found = home(finding, self._all(), self._policy)
        if found is None:
            rebounds = [i for i in self._all() if is_rebound(finding, i, self._policy)]
            if rebounds:
                self._belongs[finding.series] = rebounds[0].key
                self._turned(finding)
                return
            new = Incident(
                key=key_of(finding),
                kind=Kind.ANOMALY,
                status=Status.PENDING,
                started=finding.bucket,
                last_bad=finding.bucket,
                services=(finding.series.service,),
                direction=finding.direction,
                lead=finding.series,
            )
            found = merged(new, [joined(None, finding)])
        else:
            self._joining.setdefault(found.key, []).append(joined(found.member(finding.series), finding))
        self._belongs[finding.series] = found.key
        self._found.setdefault(found.key, []).append(finding)
        self._heard.add(found.key)
        graver = finding.severity is Severity.CRITICAL and found.status is not Status.CLOSED
        severity = Severity.CRITICAL if graver else found.severity
        started, last_bad = min(found.started, finding.bucket), max(found.last_bad, finding.bucket)
        if (severity, started, last_bad) != (found.severity, found.started, found.last_bad):
            found = replace(found, severity=severity, started=started, last_bad=last_bad)
        self._now[found.key] = found
        self._turned(finding, besides=found.key)

    def _join(self) -> None:
        """Members take the place they were given."""
        for key, members in self._joining.items():
            self._now[key] = merged(self._now[key], members)
        self._joining.clear()

    def listen(self, readings: Iterable[Reading], found: set[SeriesKey]) -> None:
        """Members that are no finding in this bucket."""
        said = {reading.series: reading for reading in readings if reading.series not in found}
        for incident in self._all():
            news = [
                heard(member, said[member.series], lasting=incident.status in (Status.PENDING, Status.OPEN))
                for member in incident.members
                if member.series in said
            ]
            if news:
                self._heard.add(incident.key)
                self._now[incident.key] = merged(incident, news)

    def is_late(self, source: str, since: datetime, services: tuple[str, ...]) -> None:
        """The source's data is missing.

        Of what a person closed, nothing is news as long as it is the same gap; the next one is.
        """
        for incident in self._all():
            if incident.status is Status.CLOSED and incident.closed_at is not None and since > incident.closed_at:
                self._now[incident.key] = replace(incident, over=True)
        known = sorted((i for i in self._all() if not i.over), key=lambda i: i.status is Status.CLOSED)
        if not known:
            new = Incident(
                key=f"{since:%Y-%m-%d %H:%M} late {source}",
                kind=Kind.LATE_DATA,
                status=Status.OPEN,
                started=since,
                last_bad=self._bucket,
                services=services,
                source=source,
                opened_at=self._bucket,
                stretch=self._bucket,
            )
            self._say(new, Reason.OPENED, loud=self._may(new))
            return
        incident = replace(known[0], last_bad=self._bucket)
        self._now[incident.key] = incident
        if incident.status is Status.RECOVERED:
            self._reopen(incident)

    def has_data(self, resumed: datetime | None) -> None:
        """The source's data is there, again since that bucket. What a person closed is over by that."""
        for incident in self._all():
            if incident.status is Status.CLOSED:
                self._now[incident.key] = replace(incident, over=True)
            elif incident.status is Status.OPEN and resumed is not None:
                after = replace(incident, status=Status.RECOVERED, recovered_at=max(resumed, incident.started), hits=0)
                self._say(after, Reason.RECOVERED)

    def _turned(self, finding: Finding, besides: str = "") -> None:
        """For an incident of the other direction, that series is over."""
        for incident in self._all():
            member = incident.member(finding.series)
            if incident.key != besides and member is not None and member.direction is not finding.direction:
                self._heard.add(incident.key)
                self._joining.setdefault(incident.key, []).append(rebounded(member, finding))

    # ---------------------------------------------------------------------------------------------- what it amounts to

    def settle(self) -> None:
        """Every incident's status, and what there is to say."""
        for key in [incident.key for incident in self._all()]:
            incident = self._now.get(key)
            if incident is None:  # it became part of another
                continue
            match incident.status:
                case Status.PENDING:
                    self._pending(incident)
                case Status.OPEN:
                    # Whether data is still late, no bucket tells.
                    if incident.kind is self._kind:
                        self._open(incident)
                case Status.RECOVERED:
                    self._recovered(incident)
                case Status.CLOSED:
                    self._closed(incident)

    def _pending(self, incident: Incident) -> None:
        confirmed = self._confirmed(incident)
        if confirmed is None:
            if self._stale(incident):
                del self._now[incident.key]
            return
        partners = [i for i in self._all() if i.status is Status.OPEN and at_once(i, incident, self._policy)]
        if partners:
            partner = partners[0]
            del self._now[incident.key]
            self._found.setdefault(partner.key, []).extend(self._found.get(incident.key, []))
            self._heard.add(partner.key)
            self._belongs.update({f.series: partner.key for f in self._found.get(incident.key, [])})
            self._open(
                replace(
                    merged(partner, incident.members),
                    severity=max(partner.severity, incident.severity, key=list(Severity).index),
                    last_bad=max(partner.last_bad, incident.last_bad),
                )
            )
            return
        opened = replace(
            confirmed, status=Status.OPEN, opened_at=self._bucket, stretch=self._bucket, hits=0, lead=_lead(confirmed)
        )
        self._say(opened, Reason.OPENED, loud=self._may(opened))

    def _open(self, incident: Incident) -> None:
        self._now[incident.key] = incident
        if incident.kind is Kind.ANOMALY:
            deciding = self._deciding(incident)
            if not deciding:
                after = replace(incident, status=Status.CLOSED, ended=Reason.LOST, closed_at=self._bucket, over=True)
                self._say(replace(after, hits=0), Reason.LOST)
                return
            if incident.key not in self._heard:  # nobody knows whether it lasts
                return
            if self._calm(incident, deciding):
                # What does not decide is over for readers with its last finding.
                usual = [m.usual_since for m in incident.members if m.series in deciding and m.usual_since]
                ends = [*usual, *(member.last + BUCKET for member in incident.members)]
                after = replace(incident, status=Status.RECOVERED, recovered_at=max(ends), hits=0)
                self._say(after, Reason.RECOVERED)
                return
            if self._usual_now(incident):
                after = replace(incident, status=Status.CLOSED, ended=Reason.NEW_NORMAL, closed_at=self._bucket)
                self._say(replace(after, told_score=after.worst_score), Reason.NEW_NORMAL)
                return
        if (reason := self._due(incident)) is not None:
            self._say(incident, reason, loud=True)
        elif incident.key in self._spoken or incident.kind is Kind.LATE_DATA:
            return
        elif self._newcomers(incident):
            self._say(incident, Reason.MORE_METRICS)
        elif self._outdated(incident):
            self._say(incident, Reason.UPDATED)

    def _recovered(self, incident: Incident) -> None:
        if incident.kind is Kind.ANOMALY and (relapsed := self._confirmed(incident)) is not None:
            self._reopen(relapsed)
        elif incident.recovered_at is not None and not self._found.get(incident.key):
            if self._bucket - incident.recovered_at >= self._policy.reopen and not incident.hits:
                after = replace(
                    incident, status=Status.CLOSED, closed_at=self._bucket, ended=Reason.CLOSED, over=True, hits=0
                )
                self._say(after, Reason.CLOSED)
            elif incident.hits and self._stale(incident):
                self._now[incident.key] = replace(incident, hits=0)

    def _closed(self, incident: Incident) -> None:
        """Closed by a person or as usual by now: what goes on as it was is no news, what is worse is."""
        found = self._found.get(incident.key, [])
        graver = gravest(found) is Severity.CRITICAL and incident.severity is not Severity.CRITICAL
        if graver or strength(found) >= self._policy.doubled * max(incident.told_score, 1.0):
            self._reopen(replace(incident, severity=Severity.CRITICAL if graver else incident.severity))
        elif not found and incident.kind is self._kind is Kind.ANOMALY:
            quiet = self._bucket - incident.last_bad
            heard_of = incident.key in self._heard or quiet >= self._policy.lost_after
            if heard_of and quiet >= self._policy.reopen:
                self._now[incident.key] = replace(incident, over=True)

    def _reopen(self, incident: Incident) -> None:
        after = replace(
            incident,
            status=Status.OPEN,
            recovered_at=None,
            closed_at=None,
            ended=None,
            stretch=self._bucket,
            reopenings=incident.reopenings + 1,
            hits=0,
        )
        aloud = self._due(after)
        self._say(after, aloud or Reason.REOPENED, loud=aloud is not None)

    # ------------------------------------------------------------------------------------------------------- questions

    def _confirmed(self, incident: Incident) -> Incident | None:
        """The incident when what was found confirms it; what was found counts in any case.

        An onset is a finding of one bucket by its nature: weak signs are confirmed by what stays away, too.
        """
        found = self._found.get(incident.key, [])
        heard_of = incident.status is Status.PENDING and incident.key in self._heard
        stays = heard_of and any(m.at == self._bucket and not m.score and not m.calm for m in incident.members)
        if not (found or stays):
            return None
        incident = replace(incident, hits=incident.hits + 1)
        self._now[incident.key] = incident
        strong = any(f.score >= self._policy.strong or f.what is What.ZERO for f in found)
        return incident if strong or incident.hits >= self._policy.confirm else None

    def _stale(self, incident: Incident) -> bool:
        """Whether weak signs came to nothing."""
        quiet = self._bucket - incident.last_bad
        unheard = quiet >= self._policy.lost_after
        over = incident.key in self._heard and quiet >= buckets(self._policy.confirm_within)
        return not self._found.get(incident.key) and (over or unheard)

    def _deciding(self, incident: Incident) -> set[SeriesKey]:
        """Whose return ends it: totals, when any takes part, of those that are still heard of."""
        heard_of = {member.series for member in incident.members if not self._lost(member)}
        return {series for series in heard_of if series.is_total} or heard_of

    def _calm(self, incident: Incident, deciding: set[SeriesKey]) -> bool:
        """Whether it is over. Slices that linger do not matter beside a total; those still found unusual do."""
        needed = self._policy.needed_calm(incident.reopenings)
        since = self._bucket - buckets(self._policy.calm)
        return all(
            member.calm >= needed if member.series in deciding else member.last <= since for member in incident.members
        )

    def _lost(self, member: Member) -> bool:
        """Whether its data no longer comes. While that is late, it is to be judged yet."""
        return self._bucket - member.at >= self._policy.lost_after and member.series.service not in self._late

    @cached_property
    def _late(self) -> set[str]:
        """The services whose data is late."""
        late = (i for i in self._before.values() if i.kind is Kind.LATE_DATA and i.status is not Status.RECOVERED)
        return {service for incident in late for service in incident.services}

    def _usual_now(self, incident: Incident) -> bool:
        if incident.stretch is None or self._bucket - incident.stretch < self._policy.accept_after:
            return False
        lasting = [member.newest for member in incident.members if member.calm == 0]
        return bool(lasting) and not any(what in _NEVER_NORMAL for what in lasting)

    def _outdated(self, incident: Incident) -> bool:
        """Whether it lasts, with newer figures than were said."""
        lasts = any(member.calm == 0 for member in incident.members)
        return lasts and self._bucket - (incident.revised_at or self._bucket) >= self._policy.update_after

    def _newcomers(self, incident: Incident) -> bool:
        """Whether somebody joined who is named: a total, or one of the few that fit."""
        before = self._before.get(incident.key)
        known = {member.series for member in before.members} if before else set()
        new = [member.series for member in incident.shown(self._policy.shown) if member.series not in known]
        return any(series.is_total or len(known) < self._policy.shown for series in new)

    # --------------------------------------------------------------------------------------------------------- outcome

    def _say(self, incident: Incident, reason: Reason, *, loud: bool = False) -> None:
        after = replace(incident, revision=incident.revision + 1, reason=reason, revised_at=self._bucket)
        found = self._found.get(incident.key, [])
        after = said_aloud(after, found, self._bucket) if loud else said_softly(after, self._bucket, self._policy)
        self._now[incident.key] = after
        self._spoken.add(incident.key)
        self._events.append(Event(after.key, after.revision, reason, loud, self._bucket))

    def _due(self, incident: Incident) -> Reason | None:
        if not self._may(incident):
            return None
        return due(incident, self._found.get(incident.key, []), self._bucket, self._policy)

    def _may(self, incident: Incident) -> bool:
        return may(incident, self._ends, self._spoken_at, self._policy)

    def _all(self) -> list[Incident]:
        return sorted(self._now.values(), key=lambda incident: (incident.started, incident.key))

    def _dropped(self) -> Iterator[Incident]:
        for key, incident in self._before.items():
            if key not in self._now:
                yield incident

    def step(self) -> Step:
        """What it came to."""
        return Step(
            incidents=tuple(self._all()),
            events=tuple(self._events),
            dropped=tuple(self._dropped()),
            belongs=MappingProxyType(dict(self._belongs)),
        )


def _lead(incident: Incident) -> SeriesKey | None:
    """The one to tell it by: totals, counts before ratios, the strongest. Chosen when it opens, and kept."""
    order = sorted(incident.members, key=lambda m: (not m.series.is_total, m.is_ratio, -m.worst_score, m.series))
    return order[0].series if order else incident.lead
