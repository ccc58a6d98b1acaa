"""`materialize` and `slices`: compute days, and look at the sliced metrics."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from analytics_platform.cli.console import JobError, counted, err, out, show_table, write_csv
from analytics_platform.cli.context import Context, HomeOption, begin, run_days
from analytics_platform.metrics.dimensions import DIMENSIONS, TOTAL
from analytics_platform.metrics.slices import slices_between
from analytics_platform.metrics.tables import daily_slices_table

_OptionalDay = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")]
_From = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")]
_To = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")]


def chosen_days(day: datetime | None, first: datetime | None, last: datetime | None) -> tuple[date, date]:
    """The range that --date or --from and --to mean, both included. BadParameter on any other combination."""
    if day and not first and not last:
        return day.date(), day.date()
    if first and last and not day:
        if first > last:
            raise typer.BadParameter(f"--from {first.date()} is after --to {last.date()}")
        return first.date(), last.date()
    raise typer.BadParameter("give either --date D or both --from A and --to B")


def check_days(context: Context, first: date, last: date) -> None:
    """Raise JobError unless every day is a partition: not before START_DATE, and over."""
    if first < context.settings.start_date:
        raise JobError(
            f"{first} is before START_DATE ({context.settings.start_date}): load events of that day, or set START_DATE"
        )
    if last >= context.today:
        raise JobError(f"{last} is not over yet: in {context.settings.timezone} it is {context.today}")


def materialize(
    date: _OptionalDay = None,
    first: _From = None,
    last: _To = None,
    home: HomeOption = None,
) -> None:
    """Compute facts, slices and frames of a day or a range, as one Dagster run. Days already computed are replaced.

    Example: `analytics-platform materialize --from 2026-11-01 --to 2026-11-20`
    """
    from analytics_platform.defs.schedules import METRICS_JOB

    begin_day, end_day = chosen_days(date, first, last)
    context = begin(home)
    check_days(context, begin_day, end_day)
    context.warehouse()
    count = counted((end_day - begin_day).days + 1, "day")
    run_days(context, METRICS_JOB, begin_day, end_day, title=f"compute {count}")
    out.print(f"{count} materialised, {begin_day} to {end_day}", markup=False)


def slices(
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")],
    dimension: Annotated[str, typer.Option(help="Only this dimension, such as os or total.")] = "",
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write a CSV file instead.", dir_okay=False)] = None,
    home: HomeOption = None,
) -> None:
    """Print the sliced metrics of a range of days, or export them. Piped, the rows are tab-separated.

    Example: `analytics-platform slices --from 2026-11-20 --to 2026-11-20 --dimension os`
    """
    names = [TOTAL, *(d.name for d in DIMENSIONS)]
    if dimension and dimension not in names:
        raise typer.BadParameter(f"--dimension {dimension}: choose one of {', '.join(names)}")
    begin_day, end_day = chosen_days(None, first, last)
    context = begin(home)
    warehouse = context.warehouse()
    rows = warehouse.rows(slices_between(begin_day, end_day, dimension))
    computed = warehouse.computed_days(daily_slices_table(), begin_day, end_day)
    stale = sorted(set(computed) - set(warehouse.current_days(daily_slices_table(), begin_day, end_day)))
    if stale:
        err.print(
            f"{counted(len(stale), 'day')} older than the events or the settings in force; for current figures: "
            f"analytics-platform materialize --from {stale[0]} --to {stale[-1]}",
            markup=False,
        )
    if not rows:
        raise JobError(
            f"no slices from {begin_day} to {end_day}: run "
            f"analytics-platform materialize --from {begin_day} --to {end_day}"
        )
    if csv_file:
        write_csv(csv_file, rows)
        out.print(f"{len(rows):,} rows in {csv_file}", markup=False)
    else:
        show_table(rows)
