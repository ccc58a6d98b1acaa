"""Several real processes, and several threads, on the same files at once."""

import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from analytics_platform.metrics.tables import FEED_DAILY
from analytics_platform.queries import Query
from analytics_platform_tests.forked import Parent, Process, answer
from analytics_platform_tests.warehouses import worker
from analytics_platform_tests.warehouses.rows import DAY, UTC, feed, figures, hours, open_in, stored, times_of
from analytics_platform_tests.warehouses.worker import (
    DAYS,
    PER_DAY,
    ROWS,
    STOP,
    day_of,
    read,
    write_events,
    write_results,
)


def start(processes: Parent, job: str, folder: Path, *numbers: float) -> Process:
    process = processes.start(f"{worker.__name__}:work", job, str(folder), *map(str, numbers))
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process


def is_at_work(process: Process) -> bool:
    """It has neither said what came of it nor ended."""
    return not select.select([process.stdout], [], [], 0)[0]


def outcome(process: Process) -> Any:
    found = answer(process)
    assert (process.wait(), process.stderr.read()) == (0, "")
    return found


@contextmanager
def stopped_after(*processes: Process) -> Iterator[None]:
    """Whatever happens, nothing is left running."""
    try:
        yield
    finally:
        for process in processes:
            process.end()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Each day in whole, before anybody starts."""
    write_results(tmp_path, DAYS, 1)
    write_events(tmp_path, DAYS, 1)
    return tmp_path


@pytest.mark.slow
def test_writers_and_readers_at_once_lose_nothing_and_see_whole_days(folder: Path, processes: Parent) -> None:
    # Two writers of the same results, two of the same events, three who look until all is written.
    readers = [start(processes, "read", folder, 60) for _ in range(3)]
    writers = [start(processes, "results", folder, 16, 1000), start(processes, "results", folder, 16, 2000)]
    writers += [start(processes, "events", folder, 8, 1000), start(processes, "events", folder, 8, 2000)]
    with stopped_after(*readers, *writers):
        assert [outcome(writer) for writer in writers] == [16, 16, 8, 8]
        (folder / STOP).touch()
        looks = [outcome(reader) for reader in readers]

    assert [look["torn"] for look in looks] == [[], [], []]
    assert all(look["looks"] > 2 for look in looks), looks
    warehouse = open_in(folder)
    last = {versions.pop() for day in range(DAYS) if (versions := set(map(str, stored(warehouse, day_of(day)))))}
    assert last <= {str(first + turn) for first in (1000, 2000) for turn in range(16 - DAYS, 16)}
    assert len(times_of(warehouse)) == DAYS * PER_DAY
    assert warehouse.computed_days(FEED_DAILY, DAY, day_of(DAYS - 1)) == {day_of(k) for k in range(DAYS)}


@pytest.mark.slow
def test_a_stream_of_readers_does_not_starve_a_writer(folder: Path, processes: Parent) -> None:
    readers = [start(processes, "read", folder, 60) for _ in range(3)]
    warehouse = open_in(folder)
    with stopped_after(*readers):
        # Without the gate a writer meets an unlocked file only by luck: it is told that the file is busy before it is
        # through with so many.
        for version in range(12):
            warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, version, ROWS))
        assert all(is_at_work(reader) for reader in readers)
        (folder / STOP).touch()
        assert [outcome(reader)["torn"] for reader in readers] == [[], [], []]


@pytest.mark.parametrize("job", ["results", "events"])
def test_a_killed_writer_leaves_whole_days_and_no_lock(folder: Path, processes: Parent, job: str) -> None:
    for pause in (0.11, 0.23, 0.37):
        writer = start(processes, job, folder, 100_000, 5000)
        with stopped_after(writer):
            time.sleep(pause)
            assert is_at_work(writer)
            writer.send_signal(signal.SIGKILL)
            writer.wait()

        assert read(folder, 0.0)["torn"] == []
        hasty = open_in(folder, lock_timeout_seconds=2)
        look = read_once(hasty)
        assert look == [PER_DAY] * DAYS
        hasty.replace_day(FEED_DAILY, DAY, figures(DAY, 7, ROWS))
        hasty.load([feed(hours(DAY, range(PER_DAY)), user_id=7)], UTC)
        assert stored(hasty, DAY) == [7] * ROWS
        assert read_once(hasty) == [PER_DAY] * DAYS


def read_once(warehouse: Any) -> list[object]:
    query = Query("n", "SELECT CAST(time AS DATE) AS d, count(*) AS n FROM events.feed_actions GROUP BY d ORDER BY d")
    return [row["n"] for row in warehouse.rows(query)]


def test_threads_with_warehouses_of_their_own(folder: Path) -> None:
    failures: list[BaseException] = []
    torn: list[object] = []

    def run(job: Any, *numbers: Any) -> None:
        try:
            done = job(folder, *numbers)
            torn.extend(done["torn"] if isinstance(done, dict) else [])
        except BaseException as error:  # noqa: BLE001 - carried to the test's own thread
            failures.append(error)

    jobs: list[tuple[Any, ...]] = [(write_results, 15, 1000), (write_events, 10, 1000), (read, 1.0), (read, 1.0)]
    threads = [threading.Thread(target=run, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert (failures, torn) == ([], [])
    assert stored(open_in(folder), day_of(14)) == [1014] * ROWS


def test_one_warehouse_shared_by_threads(folder: Path) -> None:
    warehouse = open_in(folder)
    failures: list[BaseException] = []

    def run(version: int) -> None:
        try:
            for turn in range(8):
                warehouse.replace_day(FEED_DAILY, day_of(turn), figures(day_of(turn), version, ROWS))
                stored(warehouse, day_of(turn))
        except BaseException as error:  # noqa: BLE001 - carried to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(version,)) for version in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert [len(set(stored(warehouse, day_of(k)))) for k in range(DAYS)] == [1] * DAYS


def test_a_reader_keeps_its_lock_when_another_of_its_process_finishes(folder: Path, processes: Parent) -> None:
    # POSIX gives up every lock a process has on a file when it closes the file once.
    slow, quick = open_in(folder), open_in(folder)
    reading, go_on = threading.Event(), threading.Event()

    def read_slowly() -> None:
        with slow._open():
            reading.set()
            go_on.wait(60)

    other = threading.Thread(target=read_slowly)
    other.start()
    assert reading.wait(60)
    second = threading.Thread(target=lambda: stored(quick, DAY))
    second.start()
    second.join(0.5)
    writer = start(processes, "results", folder, 1, 9000)
    with stopped_after(writer):
        time.sleep(0.7)
        assert is_at_work(writer), "the writer got the file while somebody read it"
        go_on.set()
        assert outcome(writer) == 1
    other.join(60)
    second.join(60)
    assert stored(quick, DAY) == [9000] * ROWS
