"""What every verb needs first: the home folder, its settings, today's date, a Dagster instance, a run.

Belongs here: reading clock and environment for the verbs, and running a job in this process. Does not: any verb.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analytics_platform.cli.console import Failure, Steps
from analytics_platform.redaction import install_redaction, register_secret
from analytics_platform.settings import HOME_VARIABLE, Home, Settings, home_folder, load_settings

if TYPE_CHECKING:
    import dagster as dg

    from analytics_platform.channels.base import Channel
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
        from analytics_platform.defs.resources import warehouse_resource

        warehouse = warehouse_resource(self.home, self.settings).warehouse()
        warehouse.prepare()
        return warehouse


def begin(home: Path | None) -> Context:
    """The context of a verb. Raises SettingsError when a setting is wrong."""
    install_redaction()
    place = home_folder(home)
    # Runs and code servers started from here must find the same home.
    os.environ[HOME_VARIABLE] = str(place.path)
    settings = load_settings(place)
    if settings.telegram_bot_token:
        register_secret(settings.telegram_bot_token.get_secret_value())
    return Context(place, settings, datetime.now(settings.zone).date())


def prepare_dagster(home: Home) -> None:
    """Make the home's DAGSTER_HOME: a dagster.yaml counts only there."""
    home.dagster.mkdir(parents=True, exist_ok=True)
    target = home.dagster / "dagster.yaml"
    if not target.exists():
        with resources.as_file(resources.files("analytics_platform.defs") / "dagster.yaml") as source:
            shutil.copyfile(source, target)


def run_days(
    context: Context, job: str, first: date, last: date, *, channels: "Sequence[Channel] | None" = None
) -> None:
    """Run a job for the days first..last as one run in this process, recorded in the home's Dagster instance.

    Raises Failure naming each failed asset and why. Progress is shown per asset.
    """
    import dagster as dg

    from analytics_platform.definitions import build_definitions

    prepare_dagster(context.home)
    with Steps() as steps, dg.DagsterInstance.from_config(str(context.home.dagster)) as instance:
        definitions = build_definitions(context.home, context.settings, channels=channels, progress=steps)
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags={
                "dagster/asset_partition_range_start": first.isoformat(),
                "dagster/asset_partition_range_end": last.isoformat(),
            },
            # The command line says itself what failed; the whole log is in the UI.
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    if not result.success:
        raise Failure("\n".join(_reasons(result)))


def _reasons(result: "dg.ExecuteInProcessResult") -> list[str]:
    reasons = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            step = (event.step_key or "a step").replace("__", "/")
            if data.user_failure_data and data.user_failure_data.description:
                reasons.append(f"{step}: {data.user_failure_data.description}")
            elif data.error:
                cause = data.error.cause or data.error
                reasons.append(f"{step}: {cause.message.strip()}")
    return reasons or ["the run failed; see its log in the UI (analytics-platform serve)"]
