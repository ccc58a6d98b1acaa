"""A run that was killed does not stop the ones after it."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import dagster as dg
import pytest

from analytics_platform.defs.liveness import end_dead_runs
from analytics_platform.defs.running import instance_of
from analytics_platform.settings import HOME_VARIABLE
from analytics_platform_tests.defs.conftest import FIRST, ZONE, Place

CLI = [sys.executable, "-c", "from analytics_platform.cli.main import run; run()"]


def environment(place: Place) -> dict[str, str]:
    """What a process over that home is started with."""
    return {**os.environ, HOME_VARIABLE: str(place.home.path), "TIMEZONE": ZONE, "START_DATE": str(FIRST)}


@pytest.mark.slow
def test_after_a_kill_the_next_run_goes_through(loaded: Place) -> None:
    words = [*CLI, "materialize", "--from", str(FIRST), "--to", str(FIRST + timedelta(days=3))]
    with subprocess.Popen(words, env=environment(loaded), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith("facts/user_day"):  # inside the step that holds the pool
                break
        process.send_signal(signal.SIGKILL)
    with instance_of(loaded.home) as instance:
        [dead] = instance.get_runs()
        assert dead.status is dg.DagsterRunStatus.STARTED

    again = subprocess.run(words, env=environment(loaded), capture_output=True, text=True, timeout=120, check=False)

    assert again.returncode == 0, again.stderr
    with instance_of(loaded.home) as instance:
        run = instance.get_run_by_id(dead.run_id)
        assert run
        assert run.status is dg.DagsterRunStatus.FAILURE
        assert not list((loaded.home.dagster / "running").iterdir())


@pytest.mark.slow
def test_a_run_that_lives_is_left_alone(loaded: Place) -> None:
    words = [*CLI, "materialize", "--from", str(FIRST), "--to", str(FIRST + timedelta(days=3))]
    with subprocess.Popen(words, env=environment(loaded), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith("facts/user_day"):
                break
        process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(0.2)
            with instance_of(loaded.home) as instance:
                assert end_dead_runs(loaded.home, instance) == []
        finally:
            process.send_signal(signal.SIGCONT)
        process.stderr.read()
        assert process.wait(120) == 0
