"""`init`: the warehouse gets its tables, and says what it finds of the events.

Belongs here: printing. Does not: creating anything (`warehouses/`).
"""

from datetime import date, datetime, timedelta

from analytics_platform.cli.console import JobError, out
from analytics_platform.cli.context import Context, HomeOption, begin
from analytics_platform.cli.events import keep_start_date
from analytics_platform.metrics.events import EVENT_TABLES
from analytics_platform.metrics.windows import local_day
from analytics_platform.queries import compose


def init(home: HomeOption = None) -> None:
    """Create or migrate the result tables in the warehouse that WAREHOUSE_URL names, and look at the events there.

    Idempotent: what is there stays as it is. Exit code 1 when the events cannot be read.

    Example: `analytics-platform init`
    """
    from analytics_platform.defs.resources import warehouse_at

    context = begin(home)
    warehouse = warehouse_at(context.home, context.settings)
    out.print(warehouse.place, markup=False)
    done = warehouse.prepare()
    for line in done:
        out.print(f"  {line}", markup=False)
    if not done:
        out.print("  every table is there", markup=False)
    complaints = warehouse.check()
    for complaint in complaints:
        out.print(f"  {'PROBLEM' if complaint.fatal else 'note'}: {complaint.what}", markup=False)
        out.print(f"    -> {complaint.remedy}", markup=False)
    fatal = sum(complaint.fatal for complaint in complaints)
    if fatal:
        raise JobError("the events cannot be read as they are; mend what is named above and run init again")
    _events(context)


def _events(context: Context) -> None:
    """Say how far the events reach, and let the daily partitions begin with them."""
    warehouse = context.warehouse()
    spans = {table.name: warehouse.rows(compose("event_span", table=table.name))[0] for table in EVENT_TABLES}
    days: dict[str, list[date]] = {}
    for name, row in spans.items():
        first, last = row["first_time"], row["last_time"]
        if not (isinstance(first, datetime) and isinstance(last, datetime)):
            out.print(f"  {name}: no events yet", markup=False)
            continue
        out.print(f"  {name}: {row['rows']:,} rows, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC", markup=False)
        days[name] = [local_day(first, context.settings.zone)]
    keep_start_date(context, days)
    start = begin(context.home.path).settings.start_date
    yesterday = context.today - timedelta(days=1)
    if days and start <= yesterday:
        out.print(f"next: analytics-platform materialize --from {start} --to {yesterday}", markup=False)
