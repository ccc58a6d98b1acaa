"""`audience`: daily, weekly and monthly users, stickiness and retention over days."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from analytics_platform.cli.console import JobError, counted, err, out, show_table, write_csv
from analytics_platform.cli.context import Context, HomeOption, begin
from analytics_platform.metrics.app import Service
from analytics_platform.metrics.audience import AudienceDay, days_read, read_audience
from analytics_platform.metrics.tables import FIRST_SEEN, user_day_table
from analytics_platform.metrics.windows import days

_SHOWN_DAYS = 14


def audience(
    first: Annotated[
        datetime | None,
        typer.Option(
            "--from", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="First day. Default: the last 14 computed ones."
        ),
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Last day, included.")
    ] = None,
    service: Annotated[
        Service, typer.Option(help="Whose users: of the feed, who sent a message, or either (app).")
    ] = Service.APP,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write a CSV file with all counts instead.", dir_okay=False)
    ] = None,
    home: HomeOption = None,
) -> None:
    """Print DAU, WAU, MAU, stickiness and retention of a range of days. Piped, the rows are tab-separated.

    D1, D7 and D30: of the users whose first day was 1, 7, 30 days before, the share that was active on the day.

    Example: `analytics-platform audience --from 2026-11-14 --to 2026-11-20`
    """
    if (first is None) != (last is None):
        raise typer.BadParameter("give both --from A and --to B, or neither for the last computed days")
    if first and last and first > last:
        raise typer.BadParameter(f"--from {first.date()} is after --to {last.date()}")
    context = begin(home)
    warehouse = context.warehouse()
    if first and last:
        begin_day, end_day = first.date(), last.date()
    else:
        yesterday = context.today - timedelta(days=1)
        computed = warehouse.computed_days(user_day_table(), context.settings.start_date, yesterday)
        if not computed:
            raise JobError("no day is computed yet: run analytics-platform materialize --from A --to B")
        end_day = max(computed)
        begin_day = max(min(computed), end_day - timedelta(days=_SHOWN_DAYS - 1))
    found = read_audience(warehouse, begin_day, end_day, service)
    if all(day == AudienceDay(day.day) for day in found):
        raise JobError(
            f"no day from {begin_day} to {end_day} is computed: run "
            f"analytics-platform materialize --from {begin_day} --to {end_day}"
        )
    _say_what_is_missing(context, begin_day, end_day)
    if csv_file:
        write_csv(csv_file, [_all_counts(day, service) for day in found])
        out.print(f"{counted(len(found), 'row')} in {csv_file}", markup=False)
    else:
        show_table([_shown(day) for day in found])


def _shown(of: AudienceDay) -> dict[str, object]:
    return {
        "day": of.day,
        "dau": of.dau,
        "wau": of.wau,
        "mau": of.mau,
        "stickiness": of.stickiness,
        **{f"d{part.age_days}": part.share for part in of.retention},
    }


def _all_counts(of: AudienceDay, service: Service) -> dict[str, object]:
    """The figures that are shown, and all that they are made of."""
    row = {"day": of.day, "service": service, **_shown(of)}
    row |= {"new": of.new, "retained": of.retained, "resurrected": of.resurrected, "churned": of.churned}
    for part in of.retention:
        row |= {f"d{part.age_days}_cohort": part.cohort, f"d{part.age_days}_active": part.active}
    return row


def _say_what_is_missing(context: Context, first: date, last: date) -> None:
    """On standard error: days that figures need and that are not computed (n/a), or older than their events."""
    warehouse = context.warehouse()
    from_day, _ = days_read(first, last)
    wanted = set(days(max(from_day, context.settings.start_date), min(last, context.today - timedelta(days=1))))
    tables = (user_day_table(), FIRST_SEEN)
    computed = set.intersection(*(set(warehouse.computed_days(t, from_day, last)) for t in tables))
    current = set.intersection(*(set(warehouse.current_days(t, from_day, last)) for t in tables))
    for among, what, remedy in (
        (wanted - computed, "that the figures need not computed", "for all figures"),
        (wanted & computed - current, "older than the events or the settings in force", "for current figures"),
    ):
        if among:
            err.print(
                f"{counted(len(among), 'day')} {what}; {remedy}: "
                f"analytics-platform materialize --from {min(among)} --to {max(among)}",
                markup=False,
            )
