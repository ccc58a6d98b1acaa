"""What is known of an incident now: its series, what carries it, what the calendar says; as views and chart frames.

Belongs here: reading all that for one incident. Does not: wording (`alerts/telling.py`), drawing (`charts/alert.py`),
sending (`defs/telling.py`). Used in runs and by the command line, never in a tick: it looks at events.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING

from analytics_platform.alerts import leaves
from analytics_platform.alerts.explanation import Explanation, sentences
from analytics_platform.alerts.feedback import Verdict, latest
from analytics_platform.alerts.findings import Direction
from analytics_platform.alerts.incident import Incident, Kind, Member, Reason
from analytics_platform.alerts.telling_views import IncidentView, LateView
from analytics_platform.alerts.telling_views import Member as Shown
from analytics_platform.defs import series_reading
from analytics_platform.defs.followed import HISTORY, Rules, learned
from analytics_platform.defs.series import Plan
from analytics_platform.language import Language
from analytics_platform.metrics.catalog import Count, Ratio
from analytics_platform.metrics.series import BUCKET, SeriesKey, bucket_of, services, totals
from analytics_platform.metrics.windows import local_day
from analytics_platform.settings import Settings
from analytics_platform.warehouses.base import Warehouse

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from analytics_platform.charts.alert import AlertFrame, Panel
    from analytics_platform.detectors.base import Block, Bools, Ints, Verdicts

SHOWN = 6
_PANELS = 3
_DAY = timedelta(days=1)
_BEFORE, _AFTER, _LONGEST = timedelta(hours=6), timedelta(hours=3), timedelta(days=3)
# An entry of the calendar this shortly before an incident may have caused it.
_CAUSES = timedelta(hours=2)


@dataclass(frozen=True)
class Desk:
    """What is needed to look at incidents: `open_sources` are those whose data is late now."""

    warehouse: Warehouse
    plan: Plan
    settings: Settings
    rules: Rules
    moment: datetime
    open_sources: Collection[str] = ()

    @property
    def link(self) -> str | None:
        """Where the series are to be seen."""
        url = self.settings.ui_url
        return f"{url.rstrip('/')}/assets/series/quarter_hour" if url else None


class Scene:
    """One incident, looked at. Reads when asked; nothing is read twice."""

    def __init__(self, desk: Desk, incident: Incident) -> None:
        self.desk = desk
        self.incident = incident

    # ------------------------------------------------------------------------------------------------------ for people

    def view(
        self, language: Language, explanation: Explanation | None, *, bare: bool = False
    ) -> IncidentView | LateView:
        """The incident as it is told in that language. `bare`: by what is stored of it, without reading anything."""
        incident, desk = self.incident, self.desk
        if incident.id is None:
            raise ValueError(f"{incident.key} is not stored; only what is stored is told")
        if incident.kind is Kind.LATE_DATA:
            others = [s.table for s in services(desk.plan.metrics) if s.table != incident.source]
            return LateView(
                id=incident.id,
                source=incident.source,
                services=incident.services,
                since=incident.started,
                seen=max(incident.last_bad, incident.started),
                arriving=tuple(name for name in others if name not in desk.open_sources),
                reason=incident.reason or Reason.OPENED,
                ended=incident.recovered_at,
                link=desk.link,
            )
        return IncidentView(
            id=incident.id,
            status=incident.status,
            severity=incident.severity,
            since=incident.started,
            last=self.last,
            members=tuple(_bare(m) if bare else self._shown(i, m) for i, m in enumerate(self.members)),
            reason=incident.reason or Reason.OPENED,
            ended=incident.recovered_at or (incident.closed_at if incident.ended else None),
            closed_as=incident.ended,
            judged_by=next((j.by for j in latest(desk.rules.judgements) if j.incident == incident.key), None),
            acknowledged_by=incident.acknowledged_by or None,
            muted_until=incident.muted_until,
            verdict=Verdict(incident.verdict) if incident.verdict else None,
            explanation=sentences(explanation, language) if explanation else (),
            notes=self._notes(desk.plan.zone, language),
            link=desk.link,
        )

    def explanation(self) -> Explanation | None:
        """Which slices carry it; None where its lead is a slice itself, or a metric that slices cannot tell."""
        from analytics_platform.alerts.explain import Options, explain

        lead, plan = self.incident.lead, self.desk.plan
        if self.incident.kind is Kind.LATE_DATA or lead is None or not lead.is_total:
            return None
        try:
            how = leaves.measured(lead.metric, plan.metrics)
        except ValueError:  # a metric of somebody's own that is no plain count of events
            return None
        end = min(self.incident.recovered_at or self.last + BUCKET, self.last + BUCKET)
        window = leaves.incident_window(self.incident.started, max(end, self.incident.started + BUCKET))
        windows = (window, *leaves.reference_windows(window, plan.zone, self._days_of_others(lead)))
        query = leaves.leaves(how.table, windows, how.counts, plan.labels, metrics=plan.metrics)
        expected = self._expected(lead, window.start, window.end)
        options = Options() if expected is None else Options(expected=expected)
        rows = self.desk.warehouse.rows(query)
        return explain(how, rows, self.incident.direction or Direction.DOWN, options)

    def frame(self) -> "AlertFrame | None":
        """The chart; None where there is nothing to draw."""
        from analytics_platform.charts.alert import AlertFrame

        columns = range(self._first, self._block.buckets)
        times = tuple(self._moment(k) for k in columns)
        incident = self.incident
        if len(times) < 2 or not self._keys:
            return None
        late = incident.kind is Kind.LATE_DATA
        panels = tuple(self._panel(i) for i in range(min(len(self._keys), _PANELS)))
        return AlertFrame(
            times,
            panels,
            self.desk.plan.zone,
            since=None if late else incident.started,
            until=None if late else incident.recovered_at,
            late_since=incident.started if late and incident.recovered_at is None else None,
        )

    # --------------------------------------------------------------------------------------------------------- figures

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Those that are told."""
        return self.incident.shown(SHOWN)

    @cached_property
    def last(self) -> datetime:
        """The newest bucket in which the incident was heard of."""
        return max((member.at for member in self.incident.members), default=self.incident.last_bad)

    @cached_property
    def _keys(self) -> tuple[SeriesKey, ...]:
        if self.incident.kind is Kind.ANOMALY:
            return tuple(member.series for member in self.members)
        return tuple(key for key in totals(self.desk.plan.metrics) if key.service in self.incident.services)[:2]

    @cached_property
    def _end(self) -> datetime:
        """The end of what is shown."""
        incident = self.incident
        if incident.kind is Kind.LATE_DATA:
            return bucket_of(min(self.desk.moment, (incident.recovered_at or incident.last_bad) + _AFTER)) + BUCKET
        ended = incident.recovered_at
        return max(self.last + BUCKET, incident.started + BUCKET) if ended is None else max(ended, self.last + BUCKET)

    @cached_property
    def _block(self) -> "Block":
        """The shown series, with the history that a verdict needs."""
        begin = max(min(self._end - _DAY, self.incident.started - _BEFORE), self._end - _LONGEST)
        grid = series_reading.read(self.desk.warehouse, bucket_of(begin) - HISTORY, self._end, self._keys)
        return learned(grid, self.desk.plan, self.desk.rules)

    @cached_property
    def _first(self) -> int:
        """The first column that is shown."""
        return HISTORY // BUCKET

    @cached_property
    def _verdicts(self) -> "Verdicts":
        from analytics_platform.alerts.replay import judge_all

        return judge_all(self._block, self._keys, self.desk.rules.watch, self._first)

    @cached_property
    def _alarms(self) -> "Bools":
        from analytics_platform.alerts.judging import alarms

        shown = self._block.columns(self._first, self._block.buckets)
        return alarms(self._verdicts, shown, self._keys, self.desk.rules.watch)

    @cached_property
    def _ago(self) -> "dict[int, Ints]":
        return {days: self._block.same_time(days) for days in (1, 7)}

    def _shown(self, i: int, member: Member) -> Shown:
        column = min(max(int((self.last - self._moment(0)) / BUCKET), 0), self._block.buckets - 1)
        k = column - self._first
        ratio = bool(self._block.ratio[i])
        numerators = {m.name: m.numerator for m in self.desk.plan.metrics if isinstance(m, Ratio)}
        newest = member.at == self.last
        low, high = self._band(i, k) if k >= 0 else (None, None)
        return Shown(
            service=member.series.service,
            metric=member.series.metric,
            dimension=member.series.dimension,
            value=member.series.value,
            now=self._value(i, column),
            expected=member.expected if newest else (float(self._verdicts.expected[i, k]) if k >= 0 else None),
            low=member.low if newest and member.calm == 0 else low,
            high=member.high if newest and member.calm == 0 else high,
            share=ratio,
            what=member.newest,
            previous=self._value(i, column - 1),
            yesterday=self._value(i, int(self._ago[1][column])),
            week_ago=self._value(i, int(self._ago[7][column])),
            worst=member.worst_value,
            worst_expected=member.worst_expected,
            first_seen=member.first,
            last_seen=member.last,
            usual=member.calm > 0,
            fresh=self.incident.started < member.first >= (self.incident.revised_at or self.last),
            lost=member.loss,
            lost_metric=numerators.get(member.series.metric, "") if ratio else "",
        )

    def _panel(self, i: int) -> "Panel":
        from analytics_platform.charts.alert import Panel

        n, first, key = self._block.buckets, self._first, self._keys[i]
        late = self.incident.kind is Kind.LATE_DATA
        gone = bucket_of(self.incident.started) if late and self.incident.recovered_at is None else None
        values = [None if gone is not None and self._moment(k) >= gone else self._value(i, k) for k in range(first, n)]
        if late:
            ratio = bool(self._block.ratio[i])
            shown = Shown(key.service, key.metric, now=None, expected=None, share=ratio, dimension=key.dimension)
            alerted: tuple[int, ...] = ()
        else:
            member = self.members[i]
            shown = self._shown(i, member)
            alerted = tuple(
                k - first
                for k in range(first, n)
                if self._alarms[i, k - first] and member.first <= self._moment(k) <= member.last
            )
        return Panel(
            shown,
            tuple(values),
            low=tuple(self._band(i, k)[0] for k in range(n - first)),
            high=tuple(self._band(i, k)[1] for k in range(n - first)),
            week_ago=tuple(self._value(i, int(self._ago[7][k])) for k in range(first, n)),
            alerted=alerted,
        )

    def _band(self, i: int, k: int) -> tuple[float, float]:
        """The band at the sensitivity in force for the series: the detector's own is the one at 1."""
        expected, sensitivity = float(self._verdicts.expected[i, k]), self.desk.rules.watch.sensitivity(self._keys[i])
        low, high = float(self._verdicts.low[i, k]), float(self._verdicts.high[i, k])
        return expected + (low - expected) / sensitivity, expected + (high - expected) / sensitivity

    def _moment(self, column: int) -> datetime:
        return self._begin + column * BUCKET

    @cached_property
    def _begin(self) -> datetime:
        return datetime.fromtimestamp(int(self._block.times[0]), UTC)

    def _value(self, i: int, column: int) -> float | None:
        if not 0 <= column < self._block.buckets:
            return None
        value = float(self._block.values[i, column])
        return value if isfinite(value) else None

    def _expected(self, lead: SeriesKey, start: datetime, end: datetime) -> float | None:
        """What was expected of a count in the window; of users and ratios, sums over buckets say nothing."""
        count = any(isinstance(m, Count) and m.name == lead.metric for m in self.desk.plan.metrics)
        if not count or lead not in self._keys:
            return None
        row, begin = self._keys.index(lead), self._begin.replace(tzinfo=None)
        first, last = int((start - begin) / BUCKET) - self._first, int((end - begin) / BUCKET) - self._first
        if first < 0 or last > self._block.buckets - self._first:
            return None
        found = float(self._verdicts.expected[row, first:last].sum())
        return found if isfinite(found) and found > 0 else None

    # ------------------------------------------------------------------------------------------------------- around it

    def _days_of_others(self, lead: SeriesKey) -> set[date]:
        """Local days on which the series was in another incident: they say nothing of what is usual."""
        found: set[date] = set()
        for other in self.desk.rules.past:
            member = other.member(lead)
            if other.key != self.incident.key and member is not None:
                found |= {local_day(at.replace(tzinfo=None), self.desk.plan.zone) for at in (member.first, member.last)}
        return found

    def _notes(self, zone: "ZoneInfo", language: Language) -> tuple[str, ...]:
        end = self.incident.recovered_at or self.last + BUCKET
        near = [
            one
            for one in self.desk.rules.occasions
            if one.starts < end and one.ends + _CAUSES > self.incident.started and not one.name.startswith("expected: ")
        ]
        return tuple(
            language.say(
                "{kind}: {name}, from {time}",
                kind=language.say(one.kind.value),
                name=one.name,
                time=f"{one.starts.astimezone(zone):%Y-%m-%d %H:%M}",
            )
            for one in near
        )


def _bare(member: Member) -> Shown:
    """What the incident itself knows of a series, as of the newest bucket in which it was heard of."""
    return Shown(
        service=member.series.service,
        metric=member.series.metric,
        dimension=member.series.dimension,
        value=member.series.value,
        now=member.value,
        expected=member.expected,
        low=member.low,
        high=member.high,
        share=member.is_ratio,
        what=member.newest,
        worst=member.worst_value,
        worst_expected=member.worst_expected,
        first_seen=member.first,
        last_seen=member.last,
        usual=member.calm > 0,
        lost=None if member.is_ratio else member.loss,
    )
