"""CPU, wall time and memory of a piece of work in this process, or of a command as a whole.

Belongs here: clocks and counters. Does not: what is measured (`cases.py`). Light: nothing heavy is imported.
"""

import gc
import os
import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Moment:
    """Seconds spent so far: CPU of all threads and ended children of this process, user and system; wall."""

    cpu: float
    wall: float

    @classmethod
    def now(cls) -> "Moment":
        """Of this process."""
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return cls(sum(u.ru_utime + u.ru_stime for u in both), time.perf_counter())


@dataclass
class Job:
    """What a worker measures. `before` runs ahead of each repetition and `facts` once at the end, both unmeasured.

    `run` returns the CPU seconds of its parts, if it has any. Times are divided by `shares`, the pieces a run consists
    of when the figures are those of one piece; below 1 when the run is a part of what they are to tell of.
    """

    run: Callable[[], Mapping[str, float]]
    before: Callable[[], None] = lambda: None
    facts: Callable[[], Mapping[str, object]] = dict
    shares: float = 1


@dataclass(frozen=True)
class Measured:
    """The repetition with the least CPU. Seconds; MiB.

    `peak` is what the work added to the memory of a process that has imported all it needs, at most, over all
    repetitions; `total` the whole process at that point. `facts` are rows, checksums and the like.
    """

    cpu: float
    wall: float
    peak: float
    total: float
    parts: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return asdict(self)

    def better(self, other: "Measured | None") -> "Measured":
        """The cheaper of two measurements of one case, with the higher memory of both."""
        if other is None:
            return self
        cheaper = self if self.cpu <= other.cpu else other
        peak, total = max(self.peak, other.peak), max(self.total, other.total)
        return Measured(cheaper.cpu, cheaper.wall, peak, total, cheaper.parts, cheaper.facts)


def measure(job: Job, repeats: int) -> Measured:
    """Run the job `repeats` times in this process."""
    gc.collect()
    _reset_peak()
    base = _memory("VmRSS")
    best: tuple[float, float, Mapping[str, float]] | None = None
    for _ in range(repeats):
        job.before()
        start = Moment.now()
        parts = job.run()
        end = Moment.now()
        each = {name: cpu / job.shares for name, cpu in parts.items()}
        spent = ((end.cpu - start.cpu) / job.shares, (end.wall - start.wall) / job.shares, each)
        if best is None or spent[0] < best[0]:
            best = spent
    total = _memory("VmHWM")
    if best is None:
        raise ValueError("repeats must be at least 1")
    return Measured(best[0], best[1], max(0.0, total - base), total, best[2], job.facts())


def measure_command(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> Measured:
    """A command from its start to its end, with its children. RuntimeError with what it said when it fails."""
    start = time.perf_counter()
    # A file, not a pipe: nobody has to read along, so that wait4 gives the usage of this child alone.
    said = folder / "said.txt"
    with said.open("wb") as sink:
        process = subprocess.Popen(command, cwd=folder, env=dict(environment), stdout=sink, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed: {said.read_text('utf-8', 'replace')}")
    total = usage.ru_maxrss / 1024
    return Measured(usage.ru_utime + usage.ru_stime, wall, total, total)


def _reset_peak() -> None:
    # Linux alone; elsewhere the imports' own peak, usually below that of the work, stays in the figure.
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5", "ascii")


def _memory(name: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process in MiB.

    Not ru_maxrss where it can be had: that one starts at the size of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text("ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB  # macOS, in bytes
