"""Verbs of the command line, and jobs as a worker of the daemon runs them, in forks of one process (`forked.py`).

Belongs here: what a fork does, and what is imported for it. Does not: assertions.
"""

import sys

# What verbs and reports import when they are used.
USED = (
    "alembic.autogenerate",
    "alembic.command",
    "analytics_platform.channels.folder",
    "analytics_platform.channels.telegram",
    "analytics_platform.charts.feed_daily",
    "analytics_platform.cli.main",
    "analytics_platform.definitions",
    "analytics_platform.defs.running",
    "analytics_platform.sources.problems",
    "analytics_platform.state.deliveries",
    "analytics_platform.state.part_rows",
    "analytics_platform.state.subscriber_rows",
    "analytics_platform.warehouses.duckdb",
    "babel.dates",
    "babel.numbers",
    "dagster._core.execution.execute_in_process",
    "dagster._core.executor.in_process",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.sqlite_storage",
    "dagster._core.workspace.context",
    "fontTools.subset",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "PIL.PngImagePlugin",
    "seaborn",
    "sqlalchemy.dialects.sqlite",
    "telegram",
)
VERB = f"{__name__}:verb"
JOB = f"{__name__}:job"


def verb(*words: str) -> None:
    """`analytics-platform WORDS`; ends as it does."""
    from analytics_platform.cli.main import run

    sys.argv = ["analytics-platform", *words]
    run()


def job(name: str, day: str) -> int:
    """What a worker of the daemon or the UI does with a run it was given."""
    from analytics_platform.definitions import build_definitions
    from analytics_platform.defs.running import run_in_process
    from analytics_platform.settings import home_folder, load_settings

    home = home_folder()
    reasons = run_in_process(home, build_definitions(home, load_settings(home)), name, first=day, last=day)
    print(*reasons, file=sys.stderr)
    return int(bool(reasons))
