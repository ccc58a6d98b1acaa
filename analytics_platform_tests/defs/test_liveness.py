"""A run that was killed does not stop the ones after it."""

import os
import signal
from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import psutil
import pytest

from analytics_platform.defs.liveness import end_dead_runs
from analytics_platform.defs.running import instance_of
from analytics_platform.settings import HOME_VARIABLE
from analytics_platform_tests import forked
from analytics_platform_tests.cli import killed
from analytics_platform_tests.cli.commands import VERB
from analytics_platform_tests.defs.conftest import FIRST, ZONE, Place
from analytics_platform_tests.forked import Parent, Process
from analytics_platform_tests.services import until

# What `materialize` imports when it is used.
USED = (
    "alembic.command",
    "analytics_platform.cli.main",
    "analytics_platform.definitions",
    "analytics_platform.defs.running",
    "analytics_platform.warehouses.duckdb",
    "dagster._core.execution.execute_in_process",
    "dagster._core.executor.in_process",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.sqlite_storage",
    "sqlalchemy.dialects.sqlite",
)
# Within the step that holds the pool.
WRITING = "analytics_platform.warehouses.duckdb:DuckDBWarehouse.replace_day"
WORDS = ("materialize", "--from", str(FIRST), "--to", str(FIRST + timedelta(days=1)))


@pytest.fixture(scope="module")
def processes() -> Iterator[Parent]:
    """Each run is a fork of it."""
    with forked.parent(*USED, warnings="default") as made:
        yield made


def materialize(processes: Parent, place: Place, function: str = VERB, *arguments: str) -> Process:
    return processes.start(function, *arguments, *WORDS, environment=environment(place))


def until_stopped(process: Process) -> None:
    until(lambda: bool(psutil.Process(process.pid).status() == psutil.STATUS_STOPPED))


def environment(place: Place) -> dict[str, str]:
    """What a process over that home is started with."""
    return {**os.environ, HOME_VARIABLE: str(place.home.path), "TIMEZONE": ZONE, "START_DATE": str(FIRST)}


@pytest.mark.slow
def test_after_a_kill_the_next_run_goes_through(loaded: Place, processes: Parent) -> None:
    process = materialize(processes, loaded, killed.BEFORE, WRITING)
    try:
        said = process.stderr.read()
        assert process.wait() == -signal.SIGKILL, said
    finally:
        process.end()
    with instance_of(loaded.home) as instance:
        [dead] = instance.get_runs()
        assert dead.status is dg.DagsterRunStatus.STARTED

    again = materialize(processes, loaded)
    said = again.stderr.read()

    assert again.wait() == 0, said
    again.end()
    with instance_of(loaded.home) as instance:
        run = instance.get_run_by_id(dead.run_id)
        assert run
        assert run.status is dg.DagsterRunStatus.FAILURE
        assert not list((loaded.home.dagster / "running").iterdir())


@pytest.mark.slow
def test_a_run_that_lives_is_left_alone(loaded: Place, processes: Parent) -> None:
    process = materialize(processes, loaded, killed.STOPPED, WRITING)
    try:
        until_stopped(process)
        with instance_of(loaded.home) as instance:
            [alive] = instance.get_runs()
            assert alive.status is dg.DagsterRunStatus.STARTED
            assert end_dead_runs(loaded.home, instance) == []
        process.send_signal(signal.SIGCONT)
        process.stderr.read()
        assert process.wait() == 0
    finally:
        process.end()
