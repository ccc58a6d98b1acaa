"""Dagster's entry point: what there is, as a table of contents.

`dagster dev -m analytics_platform.definitions` loads `definitions`; tests and the command line call
`build_definitions` with other parts. Nothing heavy is imported here (a test watches), and no file is opened.
"""

import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from analytics_platform.artifacts import Artifacts
from analytics_platform.defs import (
    alerts,
    app,
    availability,
    deliveries,
    events,
    followups,
    funnels,
    late,
    liveness,
    metrics,
    owner,
    partitions,
    ranking_times,
    rankings,
    reports,
    resources,
    schedules,
    sending,
    series,
    visitor_times,
    visitors,
)
from analytics_platform.defs.office import Office, office_resource
from analytics_platform.metrics import catalog, dimensions
from analytics_platform.redaction import register_secret
from analytics_platform.reports import all_reports
from analytics_platform.reports.base import Report
from analytics_platform.settings import Home, Settings, SettingsError, home_folder, load_settings
from analytics_platform.warehouses.base import Warehouse

# Backfill policies are "beta" in Dagster 1.13; the version is pinned, so the notice tells nothing new.
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build_definitions(
    home: Home | None = None,
    settings: Settings | None = None,
    *,
    warehouse: Warehouse | None = None,
    office: Office | None = None,
    progress: resources.Progress | None = None,
    known_reports: Mapping[str, Report[Any]] | None = None,
    ledgers: resources.Ledgers | None = None,
    catalogue: Sequence[catalog.Metric] = catalog.METRICS,
    sliced_by: Sequence[dimensions.Dimension] = dimensions.DIMENSIONS,
) -> dg.Definitions:
    """The whole graph over one home folder. Raises SettingsError or ValueError naming what is configured wrongly."""
    home = home or home_folder()
    settings = settings or load_settings(home)
    for secret in settings.secrets:  # runs and sensors live in processes of their own
        register_secret(secret)
    known = all_reports() if known_reports is None else known_reports
    check_reports(settings, known)
    ledgers = ledgers or resources.ledgers_of(home, settings)
    # One for the sensors of a process.
    ticking = functools.cache(lambda: warehouse or resources.warehouse_at(home, settings))
    engine = warehouse.engine if warehouse else resources.engine_of(settings)
    daily = partitions.daily(settings)
    desk = office or Office(home, settings, ledgers, known)
    to_send = sending.jobs(known)
    send_due = to_send[deliveries.DUE_JOB]
    tell = alerts.alert_job()
    jobs = schedules.jobs(known)
    follow = followups.jobs(known)
    rank = ranking_times.ranking_job()
    visits = visitor_times.visitor_jobs(settings)
    funnel = funnels.funnel_job()
    return dg.Definitions(
        assets=[
            *events.event_assets(engine),
            *metrics.metric_assets(daily, catalog.check(catalogue), dimensions.check(sliced_by), engine),
            *app.app_assets(daily, catalogue, engine),
            *series.series_assets(daily, catalogue, sliced_by, engine),
            *alerts.alert_assets(),
            *reports.report_assets(known.values(), settings),
            *rankings.ranking_assets(settings, engine),
            *visitors.visitor_assets(engine),
            *funnels.funnel_assets(engine),
        ],
        asset_checks=[*alerts.alert_checks(desk), *ranking_times.ranking_checks(settings, ticking)],
        jobs=[
            *jobs.values(),
            *follow.values(),
            *to_send.values(),
            tell,
            alerts.training_job(),
            rank,
            *visits.values(),
            funnel,
        ],
        schedules=[
            *schedules.schedules(settings, jobs[schedules.METRICS_JOB]),
            *visitor_times.visitor_schedules(settings, visits[visitor_times.JOB]),
            *funnels.funnel_schedules(settings, funnel),
        ],
        sensors=[
            availability.availability_sensor(settings, known, ledgers, [*jobs.values(), *follow.values()], ticking),
            deliveries.deliveries_sensor(desk, send_due),
            owner.owner_sensor(settings, known, ledgers, desk),
            events.events_sensor(settings, ticking),
            alerts.alerts_sensor(settings, desk, tell, ticking),
            late.late_data_sensor(settings, jobs[schedules.METRICS_JOB], ticking),
            ranking_times.rankings_sensor(settings, ledgers, rank, ticking, Artifacts(home.artifacts)),
            liveness.dead_runs_sensor(home),
        ],
        resources={
            "warehouse": warehouse or resources.warehouse_resource(home, settings),
            "settings": settings,
            "ledgers": ledgers,
            "artifacts": Artifacts(home.artifacts),
            "office": office or office_resource(home, settings, ledgers, known),
            "progress": progress or resources.Quiet(),
            "alive": liveness.alive_resource(home),
        },
        # Six assets cost 3.5 s of CPU in one process and 22 s in one each; the engine has its own threads.
        executor=dg.in_process_executor,
    )


def check_reports(settings: Settings, known: Mapping[str, Report[Any]]) -> None:
    """Raise SettingsError when REPORTS or REPORT_OWNERS names a report that there is not."""
    for variable, names in (("REPORTS", settings.reports), ("REPORT_OWNERS", settings.report_owners)):
        strange = [name for name in names if name not in known]
        if strange:
            raise SettingsError(f"{variable}: there is no report {strange[0]!r}; there are {', '.join(known)}.")


@dg.definitions
def definitions() -> dg.Definitions:
    """What `dagster dev` and the daemon load."""
    return build_definitions()
