"""What `alerts replay` and the demo's scoreboard share: history as a block, the truth, asking what carried a move.

Belongs here: reading for a replay, computing what of the series is missing. Does not: a verb, judging (`alerts/`).
Nothing here writes anything but the table of series.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from analytics_platform.alerts.incident import Incident, Policy
from analytics_platform.alerts.watch import Watch
from analytics_platform.cli.console import Bars, JobError
from analytics_platform.cli.context import Context
from analytics_platform.metrics.series import BUCKET, TABLES, SeriesKey, services
from analytics_platform.metrics.windows import day_start, local_day
from analytics_platform.queries import compose

if TYPE_CHECKING:
    from analytics_platform.alerts.explanation import Explanation
    from analytics_platform.alerts.occasions import Occasion
    from analytics_platform.alerts.replay import Replayed
    from analytics_platform.alerts.replay_budget import Span
    from analytics_platform.defs.resources import Ledgers
    from analytics_platform.defs.series import Plan
    from analytics_platform.detectors.base import Block
    from analytics_platform.detectors.fitted import FittedModel
    from analytics_platform.simulate.incidents import Incident as Truth
    from analytics_platform.warehouses.base import Warehouse

_USUAL_OF = timedelta(days=14)
_REAL = ("real", "expected")  # what a person called an incident that was no false alarm


@dataclass(frozen=True)
class Lab:
    """History to be judged from column `first` on; the columns before are what the detectors learn from.

    `held`: sources whose events had not come at its end, and since when; what is not known of them is NaN.
    """

    block: "Block"
    keys: tuple[SeriesKey, ...]
    first: int
    watch: Watch
    policy: Policy
    occasions: "Sequence[Occasion]" = ()
    fitted: "Mapping[str, FittedModel]" = field(default_factory=dict)
    held: "Mapping[str, datetime]" = field(default_factory=dict)

    def replayed(self) -> "Replayed":
        """What alerts would have made of it."""
        from analytics_platform.alerts.replay import replay

        return replay(
            self.block,
            self.keys,
            self.watch,
            self.first,
            policy=self.policy,
            occasions=self.occasions,
            fitted=self.fitted,
        )


def lab(
    context: Context,
    first: date,
    last: date,
    metrics: Sequence[str] = (),
    detector: str = "",
    *,
    until: datetime | None = None,
    as_live: bool = False,
) -> Lab:
    """The series of the local days first..last and of the 28 before, computed where they are missing.

    `metrics`: these alone. `detector`: instead of those of the rules. `until`: only the buckets before (aware); the
    last day may then be one that is not over. `as_live`: with all that verdicts and past incidents have changed, as the
    tick judges now. Raises JobError when there is no history.
    """
    settings, zone = context.settings, context.settings.zone
    warehouse = context.warehouse()
    _check_events(warehouse, zone, first, last)
    with Bars() as bars:
        title = "series of every 15 minutes"
        bars.begin(title)
        from analytics_platform.alerts.history import block_of
        from analytics_platform.defs.claims import now
        from analytics_platform.defs.followed import learned, models_in_use, rules_of
        from analytics_platform.defs.series import HISTORY_DAYS, Memory, Plan, backfill, refresh
        from analytics_platform.defs.series_reading import read

        begin = max(min(settings.start_date, first), first - timedelta(days=HISTORY_DAYS))
        plan = Plan.of(settings)
        over = min(last, context.today - timedelta(days=1))
        backfill(warehouse, plan, begin, over, lambda done, count: bars.step(title, done, count))
        if over < last and until is not None:
            # As of now, whatever moment is asked for: what is stored of today is never made less.
            refresh(warehouse, plan, now(), {}, Memory(todo=[]))
        start, end = (day_start(day, zone).replace(tzinfo=UTC) for day in (begin, last + timedelta(days=1)))
        end = min(end, until) if until is not None else end
        grid = read(warehouse, start, end).since_first_event()
        bars.finish(title)
    watch = watch_of(context, detector)
    rows = [i for i, key in enumerate(grid.keys) if watch.watches(key) and (not metrics or key.metric in metrics)]
    chosen = replace(grid, keys=tuple(grid.keys[i] for i in rows), values=grid.values[rows], base=grid.base[rows])
    ledgers = _state(context)
    entries = ledgers.calendar.entries(start, end) if ledgers else []
    if ledgers and as_live:
        rules = rules_of(settings, ledgers, end)
        block, watch = learned(chosen, plan, rules), rules.watch
    else:
        block = block_of(chosen, zone, occasions=entries)
    # Models judge again what the default found; who asks for a detector wants that one alone.
    models = models_in_use(ledgers) if ledgers and not detector else {}
    late = held_back(warehouse, plan, until) if until else {}
    for source, (_, unknown_from) in late.items():
        mine = [i for i, key in enumerate(chosen.keys) if TABLES[key.service].name == source]
        # Nothing is known of what has not come: it is no zero.
        block.values[mine, max(int((unknown_from - start) / BUCKET), 0) :] = math.nan
    judged = int((day_start(first, zone).replace(tzinfo=UTC) - start) / BUCKET)
    held = {source: since for source, (since, _) in late.items()}
    return Lab(block, chosen.keys, judged, watch, policy_of(context, watch), entries, models, held)


def held_back(warehouse: "Warehouse", plan: "Plan", moment: datetime) -> "dict[str, tuple[datetime, datetime]]":
    """By source whose events had not come by that moment: since when, and the end of its last bucket that is known."""
    from analytics_platform.alerts.lateness import late_since
    from analytics_platform.defs.series import Memory
    from analytics_platform.defs.series_reading import look, read
    from analytics_platform.metrics.series_grid import usual_events

    seen = look(warehouse, plan, moment, Memory())
    grid = read(warehouse, moment - _USUAL_OF, moment, totals=True)
    usual = {source: figures.tolist() for source, figures in usual_events(grid).items()}
    standings = late_since(seen.newest, usual, dict.fromkeys(seen.newest, moment))
    return {
        source: (standing.late_since, standing.until)
        for source, standing in standings.items()
        if standing.late_since is not None
    }


def _check_events(warehouse: "Warehouse", zone: ZoneInfo, first: date, last: date) -> None:
    """JobError unless something happened within these days, or around them."""
    spans = [warehouse.rows(compose("event_span", table=service.table))[0] for service in services()]
    times = [t for span in spans for t in (span["first_time"], span["last_time"]) if isinstance(t, datetime)]
    remedy = "load them with analytics-platform load, or make some with analytics-platform demo"
    if not times:
        raise JobError(f"there are no events: {remedy}")
    oldest, newest = (local_day(moment, zone) for moment in (min(times), max(times)))
    if oldest > last or newest < first:
        raise JobError(f"there are no events from {first} to {last}, only from {oldest} to {newest}: {remedy}")


def watch_of(context: Context, detector: str = "") -> Watch:
    """The rules of the settings; with `detector`, all of them with that one."""
    watch = context.settings.watch
    if not detector:
        return watch
    metrics = {name: replace(rule, detector=detector) for name, rule in watch.metrics.items()}
    return Watch(replace(watch.default, detector=detector), metrics)


def policy_of(context: Context, watch: Watch) -> Policy:
    """How incidents come and go by the settings. Mutes are not among them: they are of today."""
    zone = context.settings.zone
    return Policy(
        remind_after=timedelta(hours=context.settings.alert_remind_hours),
        quiet=lambda series, moment: watch.rule(series.metric).is_quiet(moment, zone),
    )


def truth(context: Context) -> "tuple[Truth, ...]":
    """The incidents planted into this home's events; none where they are somebody's own."""
    from analytics_platform.simulate.incidents import read_truth

    path = context.home.path / "generated" / "truth.csv"
    if context.home.own_events.exists() or not path.exists():
        return ()
    try:
        return read_truth(path)
    except (KeyError, ValueError) as error:
        raise JobError(f"{path} cannot be read ({error}): run analytics-platform demo again") from None


def real_spans(context: Context, start: datetime, end: datetime) -> "list[Span]":
    """When something really was the matter: planted incidents, and those that a person called real or expected."""
    from analytics_platform.alerts.replay_budget import Span
    from analytics_platform.alerts.scoreboard import planted

    spans = [Span(one.start, one.end, one.services) for one in planted(truth(context))]
    if (ledgers := _state(context)) is not None:
        judged = (one for one in ledgers.incidents.listing(start, end) if one.verdict in _REAL)
        spans += [Span(one.started, (one.recovered_at or one.last_bad) + BUCKET, one.services) for one in judged]
    return spans


def explainer(context: Context) -> "Callable[[Incident], Explanation | None]":
    """What carried an incident in its first four hours, as its message would say by then; None without slices."""

    def explained(incident: Incident) -> "Explanation | None":
        from analytics_platform.alerts.explain import explain
        from analytics_platform.alerts.leaves import LONGEST, incident_window, leaves, measured, reference_windows

        member = incident.member(incident.lead) if incident.lead else None
        if member is None:
            return None
        try:
            of = measured(member.series.metric)
        except ValueError:  # a metric that events of single users cannot tell
            return None
        end = max(incident.last_bad, incident.started) + BUCKET
        window = incident_window(incident.started, min(end, incident.started + LONGEST))
        windows = (window, *reference_windows(window, context.settings.zone))
        rows = context.warehouse().rows(leaves(of.table, windows, of.counts, context.settings.labels))
        return explain(of, rows, member.direction)

    return explained


def _state(context: Context) -> "Ledgers | None":
    """The state, if there is any: a replay makes none."""
    if context.settings.state_url is None and not context.home.state.exists():
        return None
    from analytics_platform.defs.resources import ledgers_of

    return ledgers_of(context.home, context.settings)
