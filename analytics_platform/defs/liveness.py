"""Runs whose process is gone: found out by a file lock, and ended, so that nothing waits for them.

Belongs here: telling a dead run from a slow one. Does not: retrying it; whoever wants its days runs them again.

A killed process (out of memory, power) leaves its run "started" and its place in the pools taken, and every later run
would wait for ever. So each run holds a lock on a file of its own while its process lives; the kernel lets go of it
when the process ends, however it ends.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from filelock import FileLock, Timeout

from analytics_platform.defs.instances import instance_of
from analytics_platform.settings import Home
from analytics_platform.state.runs import Owner

# A run holds its lock from before its first step; imports on a busy machine take seconds, not minutes.
_NO_LOCK_FOR = timedelta(minutes=5)


def this_host() -> str:
    """How this machine is called in the ledger: a lock file proves something only on the machine that holds it."""
    return socket.gethostname()


@dataclass(frozen=True)
class Alive:
    """Held by every asset of a run: while it exists, the run's process lives. `owner` is the run as state knows it."""

    owner: Owner


@contextmanager
def alive(home: Home, name: str) -> Iterator[Owner]:
    """This process as an owner of that name: while it lives, its lock file proves it."""
    folder = home.dagster / "running"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.lock"
    with FileLock(path):
        try:
            yield Owner(name, this_host(), os.getpid(), str(path))
        finally:
            path.unlink(missing_ok=True)


def alive_resource(home: Home) -> dg.ResourceDefinition:
    """Held by a run from before its first step to its end, in whatever process it runs."""

    @contextmanager
    def hold(context: dg.InitResourceContext) -> Iterator[Alive]:
        if context.run is None:  # outside a run there is nothing to hold
            yield Alive(Owner("none", this_host(), os.getpid(), ""))
            return
        with alive(home, context.run.run_id) as owner:
            yield Alive(owner)

    return dg.ResourceDefinition(hold, description="proves that the process of a run is alive")


def end_dead_runs(home: Home, instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process is gone and give back their places in the pools; their ids."""
    ended = []
    for path in sorted((home.dagster / "running").glob("*.lock")):
        try:
            with FileLock(path, timeout=0):
                run = instance.get_run_by_id(path.stem)
                if run and not run.is_finished:
                    instance.report_run_failed(run, "The process of this run ended without a word (killed?).")
                    ended.append(run.run_id)
                instance.event_log_storage.free_concurrency_slots_for_run(path.stem)
                path.unlink(missing_ok=True)
        except Timeout:
            continue  # its process lives
    return [*ended, *_orphans(home, instance)]


def _orphans(home: Home, instance: dg.DagsterInstance) -> list[str]:
    """Runs that were begun and never came to hold a lock: killed in between. Fails them; their ids."""
    quiet = datetime.now(UTC) - _NO_LOCK_FOR
    where = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED], updated_before=quiet)
    ended = []
    for run in instance.get_runs(where):
        if not (home.dagster / "running" / f"{run.run_id}.lock").exists():
            instance.report_run_failed(run, "The process of this run ended before its first step (killed?).")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            ended.append(run.run_id)
    return ended


def dead_runs_sensor(home: Home) -> dg.SensorDefinition:
    """Every minute: end the runs whose process is gone."""

    @dg.sensor(
        name="end_dead_runs",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fails runs whose process was killed, so that later ones do not wait for them.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        ended = end_dead_runs(home, instance_of(context))
        return dg.SkipReason(f"ended {', '.join(ended)}" if ended else "every run's process is alive")

    return sensor
