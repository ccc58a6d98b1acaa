"""The `analytics-platform` command: its verbs and what their failures mean.

Exit codes: 0 done, 1 failed, 2 wrong use.
"""

import sys
import traceback
from types import TracebackType

import typer

from analytics_platform.cli import (
    alerts,
    audience,
    copy,
    deliveries,
    demo,
    doctor,
    events,
    funnel,
    ledger,
    rankings,
    reports,
    scheduling,
    serve,
    slices,
    subscribers,
    visitors,
    warehouse,
)
from analytics_platform.cli.console import JobError, err
from analytics_platform.settings import SettingsError

app = typer.Typer(
    name="analytics-platform",
    help="Product events in; exact sliced metrics, charts and delivered reports out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("generate")(events.generate)
app.command("init")(warehouse.init)
app.command("load")(events.load)
app.command("copy")(copy.copy)
app.command("materialize")(slices.materialize)
app.command("slices")(slices.slices)
app.command("audience")(audience.audience)
app.command("rankings")(rankings.rankings)
app.command("visitors")(visitors.visitors)
app.add_typer(funnel.app, name="funnel")
app.add_typer(reports.app, name="report")
app.add_typer(ledger.app, name="reports")
app.add_typer(subscribers.app, name="subscribers")
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(alerts.app, name="alerts")
app.command("schedule")(scheduling.schedule)
app.command("health")(scheduling.health)
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)


def run() -> None:
    """Entry point of the console script. Known failures are one sentence; an unknown one keeps its traceback."""
    from analytics_platform.artifacts import ArtifactError
    from analytics_platform.channels.base import ChannelError
    from analytics_platform.contacts.base import ContactsError
    from analytics_platform.sources.modx_client import SiteError
    from analytics_platform.sources.problems import EventFileError
    from analytics_platform.state.database import StateError
    from analytics_platform.state.runs import ClaimError
    from analytics_platform.stores.base import StoreError
    from analytics_platform.unsubscribe import PageError
    from analytics_platform.warehouses.base import WarehouseError

    broken = (ArtifactError, ChannelError, EventFileError, PageError, StateError, StoreError, WarehouseError)
    known = (JobError, SettingsError, ClaimError, ContactsError, SiteError, *broken)
    try:
        app()
    except known as error:
        err.print("[bold red]Error:[/bold red]", end=" ")
        err.print(str(error), markup=False)
        sys.exit(1)
    except (KeyboardInterrupt, RuntimeError) as error:
        # The engine answers Ctrl-C with an error of its own while a statement runs.
        if not isinstance(error, KeyboardInterrupt) and str(error) != "Query interrupted":
            raise
        err.print("Stopped.")
        sys.exit(1)
    finally:
        sys.excepthook = unforeseen  # Typer has put one of its own there


def unforeseen(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What Python does with an error that nobody expected, without secrets and people that its words may name."""
    from analytics_platform.funnels.person import masked
    from analytics_platform.redaction import redact

    sys.stderr.write(masked(redact("".join(traceback.format_exception(kind, error, trace)))))
