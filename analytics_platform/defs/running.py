"""Running from outside the UI: the home's Dagster instance, a job in this process, observations after a load.

Belongs here: what the command line needs of Dagster. Does not: jobs and assets themselves.
"""

import shutil
from collections.abc import Mapping
from datetime import date
from importlib import resources
from typing import Any

import dagster as dg

from analytics_platform.defs.events import observations
from analytics_platform.defs.liveness import end_dead_runs
from analytics_platform.settings import Home, Settings
from analytics_platform.warehouses.base import Warehouse


def prepare_instance(home: Home) -> None:
    """Make the home's DAGSTER_HOME: a dagster.yaml counts only there."""
    home.dagster.mkdir(parents=True, exist_ok=True)
    target = home.dagster / "dagster.yaml"
    if not target.exists():
        with resources.as_file(resources.files("analytics_platform.defs") / "dagster.yaml") as source:
            shutil.copyfile(source, target)


def instance_of(home: Home) -> dg.DagsterInstance:
    """The home's instance: what is run or recorded here is seen in the UI."""
    prepare_instance(home)
    return dg.DagsterInstance.from_config(str(home.dagster))


# How `dagster dev -m analytics_platform.definitions` names what it loads; without it the UI's overview and job pages do
# not show the run.
_LOCATION = "__repository__@analytics_platform.definitions"


def run_in_process(
    home: Home,
    definitions: dg.Definitions,
    job: str,
    *,
    first: date | str | None = None,
    last: date | str | None = None,
    without: str | None = None,
    tags: Mapping[str, str] | None = None,
    run_config: Mapping[str, Any] | None = None,
) -> list[str]:
    """Run a job as one run; the reasons why it failed, none when it succeeded.

    `first` and `last` are the range of partition keys; `without` is the key of an asset of the job that is left out.
    """
    span = (
        {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)}
        if first
        else {}
    )
    with instance_of(home) as instance:
        end_dead_runs(home, instance)
        chosen = definitions.resolve_job_def(job)
        keys = [k for k in chosen.asset_layer.executable_asset_keys if k.to_user_string() != without]
        result = chosen.execute_in_process(
            instance=instance,
            raise_on_error=False,
            asset_selection=keys if without else None,
            tags={
                ".dagster/repository": _LOCATION,
                **span,
                **(tags or {}),
            },
            # The caller says what failed; the whole log is in the UI.
            run_config={**(run_config or {}), "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    return [] if result.success else _reasons(result)


def record_observations(home: Home, settings: Settings, warehouse: Warehouse) -> None:
    """Tell the home's instance how far the events reach now."""
    with instance_of(home) as instance:
        for observation in observations(warehouse, settings):
            instance.report_runless_asset_event(observation)


# How an interrupt or a termination reads in a step: Dagster's own, and the engine's when a statement was running.
_STOPPED = ("DagsterExecutionInterruptedError", "Query interrupted")


def _reasons(result: dg.ExecuteInProcessResult) -> list[str]:
    reasons = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.error and any(name in data.error.to_string() for name in _STOPPED):
                return ["stopped; days that were finished are kept, run it again for the rest"]
            step = (event.step_key or "a step").replace("__", "/")
            if data.user_failure_data and data.user_failure_data.description:
                reasons.append(f"{step}: {data.user_failure_data.description}")
            elif data.error:
                cause = data.error.cause or data.error
                reasons.append(f"{step}: {cause.message.strip()}")
    return reasons or ["the run failed; see its log in the UI (analytics-platform serve)"]
