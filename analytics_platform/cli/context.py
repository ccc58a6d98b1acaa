"""What every verb needs first: the home folder, its settings, today's date, a Dagster instance, a run.

Belongs here: reading clock and environment for the verbs, and running a job in this process. Does not: any verb.
"""

import getpass
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analytics_platform.cli.console import Bars, JobError
from analytics_platform.redaction import install_redaction, register_secret
from analytics_platform.settings import HOME_VARIABLE, Home, Settings, home_folder, load_settings

if TYPE_CHECKING:
    from analytics_platform.channels.base import Recipient
    from analytics_platform.defs.office import Office
    from analytics_platform.warehouses.base import Warehouse

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", help=f"Folder of this home. Default: {HOME_VARIABLE}, else .analytics_platform here.", file_okay=False
    ),
]
Day = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")]


@dataclass(frozen=True)
class Context:
    """A home with its settings, and today's local date."""

    home: Home
    settings: Settings
    today: date

    def warehouse(self) -> "Warehouse":
        """The home's warehouse, created when it is not there yet."""
        from analytics_platform.defs.resources import warehouse_at

        warehouse = warehouse_at(self.home, self.settings)
        warehouse.prepare()
        return warehouse

    def office(self, fixed: "Sequence[Recipient] | None" = None) -> "Office":
        """The home's post and address book. `fixed`: these recipients alone."""
        from analytics_platform.defs.office import Office
        from analytics_platform.defs.resources import ledgers_of
        from analytics_platform.reports import all_reports

        ledgers = ledgers_of(self.home, self.settings)
        return Office(self.home, self.settings, ledgers, all_reports(), fixed)

    def local(self, moment: datetime | None) -> str:
        """A moment as people here write it, to the minute; empty for none."""
        return f"{moment.astimezone(self.settings.zone):%Y-%m-%d %H:%M}" if moment else ""


def begin(home: Path | None) -> Context:
    """The context of a verb. Raises SettingsError when a setting is wrong."""
    install_redaction()
    place = home_folder(home)
    # Runs and code servers started from here must find the same home.
    os.environ[HOME_VARIABLE] = str(place.path)
    settings = load_settings(place)
    for secret in settings.secrets:
        register_secret(secret)
    return Context(place, settings, datetime.now(settings.zone).date())


def whoever() -> str:
    """Who says so: the account at this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "somebody"


def run_days(
    context: Context,
    job: str,
    first: date | str | None,
    last: date | str | None,
    *,
    title: str,
    office: "Office | None" = None,
    without: str | None = None,
    tags: Mapping[str, str] | None = None,
    run_config: Mapping[str, Any] | None = None,
) -> None:
    """Run a job for the days (or partition keys) first..last as one run in this process, recorded in the home.

    Raises JobError naming each failed asset and why. Progress is shown for the whole (`title`) and per asset.
    `without` is the key of an asset of the job that is left out.
    """
    with Bars() as bars:
        bars.begin(title)  # before the imports: Dagster alone takes a second
        from analytics_platform.definitions import build_definitions
        from analytics_platform.defs.failures import FOREGROUND
        from analytics_platform.defs.running import run_in_process

        definitions = build_definitions(context.home, context.settings, office=office, progress=bars)
        reasons = run_in_process(
            context.home,
            definitions,
            job,
            first=first,
            last=last,
            without=without,
            tags={FOREGROUND: "true", **(tags or {})},
            run_config=run_config,
        )
        if not reasons:
            bars.finish(title)
    if reasons:
        raise JobError("\n".join(reasons))
