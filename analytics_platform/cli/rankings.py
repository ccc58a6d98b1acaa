"""`rankings`: what is popular and what is trending, by country and by category."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from analytics_platform.cli.console import JobError, counted, err, out, show_table
from analytics_platform.cli.context import Context, HomeOption, begin, run_days

if TYPE_CHECKING:
    from analytics_platform.rankings.ranking import Ranking

_SHOWN = 15
_DIGITS = {"score": 2, "change_%": 1, "completion": 3}
_SIGNS = {"up": "↑", "down": "↓", "stable": "→"}


def rankings(
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="MOMENT", help="As of then, such as 2026-11-20T02:00. Default: now."),
    ] = None,
    by: Annotated[Literal["country", "category"] | None, typer.Option(help="One of the two. Default: both.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The documents as Redis would hold them.")] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Store it as the ranking of its day, and publish it to REDIS_URL.")
    ] = False,
    limit: Annotated[int, typer.Option(help="How many groups to show; 0: all.", min=0)] = _SHOWN,
    home: HomeOption = None,
) -> None:
    """Rank videos from the events of the last 24 hours, against the 48 hours before. Stores nothing by itself.

    Changes are those of the rate per day; ↑ and ↓ mark those that are unlikely to be noise.

    Example: `analytics-platform rankings --as-of 2026-11-20T02:00 --by country`
    """
    context = begin(home)
    moment = _moment(context, as_of)
    if publish:
        _publish(context, moment)
    from analytics_platform.defs.rankings import EXPIRES, nothing_to_rank, ranked
    from analytics_platform.rankings.documents import documents

    ranking = ranked(context.warehouse(), context.settings, moment)
    if why := nothing_to_rank(ranking, context.settings):
        raise JobError(why)
    if as_json:
        found = documents(ranking, "", moment + EXPIRES)
        wanted = {name: document for name, document in found.items() if by is None or name.endswith(by)}
        print(json.dumps(wanted, ensure_ascii=False, indent=2))  # noqa: T201 - for other programs
        _say_left_out(ranking)
        return
    chosen = (by,) if by else ("country", "category")
    if out.is_terminal:
        for ranked_by in chosen:
            rows = _rows(ranking, ranked_by)
            show_table(rows[: limit or None], title=f"by {ranked_by}", digits=_DIGITS)
            if limit and len(rows) > limit:
                err.print(f"{len(rows) - limit} more: --limit 0 shows all", markup=False)
        _say(context, ranking)
        return
    shown: list[dict[str, object]] = []
    for ranked_by in chosen:
        for row in _rows(ranking, ranked_by)[: limit or None]:
            rest = {name: value for name, value in row.items() if name != ranked_by}
            shown.append({"by": ranked_by, "name": row[ranked_by], **rest})
    show_table(shown)
    _say(context, ranking)


def _moment(context: Context, text: str | None) -> datetime:
    """The moment that a person means, aware, UTC; not ahead of now."""
    now = datetime.now(UTC)
    if text is None:
        return now
    from analytics_platform.visitors.window import parse_moment

    try:
        moment = parse_moment(text, context.settings.zone)
    except ValueError as error:
        raise typer.BadParameter(f"--as-of {error}") from None
    if moment > now:
        raise JobError(f"--as-of {context.local(moment)} is not over yet: name a moment before now")
    return moment


def _publish(context: Context, moment: datetime) -> None:
    from analytics_platform.defs.ranking_times import config_of
    from analytics_platform.defs.rankings import JOB

    day = moment.astimezone(context.settings.zone).date()
    if day < context.settings.start_date:
        raise JobError(f"{day} is before START_DATE ({context.settings.start_date})")
    title = f"rankings as of {context.local(moment)}"
    run_days(context, JOB, day, day, title=title, run_config=config_of(moment))
    err.print(became_of(context, moment), markup=False)


def became_of(context: Context, moment: datetime) -> str:
    """Where a ranking as of that moment is after its run: in the warehouse, and what Redis itself says.

    Raises JobError when Redis cannot be asked.
    """
    from analytics_platform.defs.rankings import published_as_of
    from analytics_platform.defs.resources import store_of
    from analytics_platform.stores.base import StoreError

    day = moment.astimezone(context.settings.zone).date()
    try:
        store = store_of(context.settings)
        there = published_as_of(store) if store else None
    except StoreError as error:
        raise JobError(f"the ranking of {day} is stored, but what Redis has is not known: {error}") from None
    stored = f"stored as the ranking of {day}"
    if store is None:
        return f"{stored}; REDIS_URL is not set, so it is not published"
    if there == moment:
        return f"{stored}; published to {store.place}"
    kept = f"as of {context.local(there)}" if there else "none"
    return f"{stored}; not published, as it is old or older than what is there ({kept})"


def _rows(ranking: "Ranking", by: str) -> list[dict[str, object]]:
    changes = {one.name: one for one in ranking.trending[by]}
    rows: list[dict[str, object]] = []
    for place, one in enumerate(ranking.popular[by], start=1):
        change = changes[one.name]
        rows.append(
            {
                "rank": str(place),
                by: one.name,
                "score": round(one.score, 2) + 0.0,
                # -0.04 rounds to -0.0, which reads as a fall that nobody can see.
                "change_%": round(change.velocity_percent, 1) + 0.0,
                "trend": _SIGNS[change.direction],
                "users": one.users,
                "events": one.events,
                "completion": None if one.completion_rate is None else round(one.completion_rate, 4),
                "top_video": one.top_videos[0].video_id if one.top_videos else "",
                "rising": change.videos[0].name if change.videos else "",
            }
        )
    return rows


def _say(context: Context, ranking: "Ranking") -> None:
    plan = context.settings.ranking_plan
    hours = plan.recent.total_seconds() / 3600
    out.print(
        f"\nas of {context.local(ranking.as_of.astimezone(UTC))} {context.settings.timezone}: "
        f"{counted(ranking.events_analyzed, 'event')} in {hours:g} h, {ranking.total_events_loaded:,} with the window "
        f"before; {plan.mode.value}",
        markup=False,
    )
    _say_left_out(ranking)


def _say_left_out(ranking: "Ranking") -> None:
    """On standard error, whatever form the ranking is printed in."""
    if ranking.unknown_types:
        found = ", ".join(f"{name} {n:,}" for name, n in ranking.unknown_types.items())
        err.print(f"event types without a weight score 0: {found} (RANKING_WEIGHTS)", markup=False)
    if ranking.odd_completions:
        err.print(f"{counted(ranking.odd_completions, 'completion rate')} outside 0 to 1 left out", markup=False)
