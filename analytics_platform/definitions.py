"""Dagster's entry point: what there is, as a table of contents.

`dagster dev -m analytics_platform.definitions` loads `definitions`; tests and the command line call
`build_definitions` with other parts. Nothing heavy is imported here (a test watches), and no file is opened.
"""

import warnings
from collections.abc import Sequence

import dagster as dg

from analytics_platform.artifacts import Artifacts
from analytics_platform.channels.base import Channel
from analytics_platform.defs import events, liveness, metrics, partitions, reports, resources, schedules
from analytics_platform.metrics import catalog, dimensions
from analytics_platform.settings import Home, Settings, home_folder, load_settings
from analytics_platform.warehouses.base import Warehouse

# Backfill policies are "beta" in Dagster 1.13; the version is pinned, so the notice tells nothing new.
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build_definitions(
    home: Home | None = None,
    settings: Settings | None = None,
    *,
    warehouse: Warehouse | None = None,
    channels: Sequence[Channel] | None = None,
    progress: resources.Progress | None = None,
    catalogue: Sequence[catalog.Metric] = catalog.METRICS,
    sliced_by: Sequence[dimensions.Dimension] = dimensions.DIMENSIONS,
) -> dg.Definitions:
    """The whole graph over one home folder. Raises SettingsError or ValueError naming what is configured wrongly."""
    home = home or home_folder()
    settings = settings or load_settings(home)
    daily = partitions.daily(settings)
    jobs = schedules.jobs()
    return dg.Definitions(
        assets=[
            *events.event_assets(),
            *metrics.metric_assets(daily, catalog.check(catalogue), dimensions.check(sliced_by)),
            *reports.report_assets(daily),
        ],
        jobs=list(jobs.values()),
        schedules=schedules.schedules(settings, jobs[schedules.DAILY_JOB]),
        sensors=[events.events_sensor(settings), liveness.dead_runs_sensor(home)],
        resources={
            "warehouse": warehouse or resources.warehouse_resource(home, settings),
            "settings": settings,
            "artifacts": Artifacts(home.artifacts),
            "channels": list(channels) if channels is not None else resources.channels_resource(home, settings),
            "progress": progress or resources.Quiet(),
            "alive": liveness.alive_resource(home),
        },
        # Six assets cost 3.5 s of CPU in one process and 22 s in one each; the engine has its own threads.
        executor=dg.in_process_executor,
    )


@dg.definitions
def definitions() -> dg.Definitions:
    """What `dagster dev` and the daemon load."""
    return build_definitions()
