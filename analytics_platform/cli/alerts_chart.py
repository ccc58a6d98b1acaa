"""A replay as what its chart shows.

Belongs here: from replayed incidents to strips. Does not: drawing (`charts/replay.py`). Imported lazily only: numpy is
imported through what it needs.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from analytics_platform.alerts.replay import Replayed, Told
from analytics_platform.alerts.scoreboard import Planted
from analytics_platform.charts.replay import MOST_STRIPS, ReplayAlert, ReplayFrame, Strip
from analytics_platform.charts.replay import Planted as Shown
from analytics_platform.metrics.series import BUCKET


def frame(replayed: Replayed, planted: Sequence[Planted] | None, zone: ZoneInfo) -> ReplayFrame:
    """The totals, each with the incidents that its metric took part in; of slices where there is no total.

    Right is an alert that overlaps what was planted in its service; without a truth nobody knows.
    """
    rows = [i for i, key in enumerate(replayed.keys) if key.is_total] or list(range(len(replayed.keys)))
    times = [datetime.fromtimestamp(t, UTC) for t in replayed.columns.times.tolist()]
    strips = []
    for i in rows[:MOST_STRIPS]:
        key = replayed.keys[i]
        told = [one for one in replayed.told if any(m.series.metric == key.metric for m in one.incident.members)]
        strips.append(
            Strip(
                service=key.service,
                metric=key.metric,
                times=times,
                values=replayed.columns.values[i].tolist(),
                alerts=tuple(_alert(one, planted, replayed.last) for one in told),
                planted=tuple(_shown(p, replayed) for p in planted or () if key.service in p.services),
                dimension=key.dimension,
                value=key.value,
                share=bool(replayed.columns.ratio[i]),
            )
        )
    return ReplayFrame(replayed.first, replayed.last, tuple(strips), zone)


def _alert(told: Told, planted: Sequence[Planted] | None, last: datetime) -> ReplayAlert:
    right = None if planted is None else any(one.excuses(told) for one in planted)
    since = told.incident.started
    return ReplayAlert(since, max(told.ended or last, since + BUCKET), told.incident.severity, right)


def _shown(planted: Planted, replayed: Replayed) -> Shown:
    found = any(planted.is_found_by(told) for told in replayed.told)
    return Shown(planted.start, planted.end, planted.kind.replace("_", " "), found)
