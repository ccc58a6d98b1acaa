"""`python -m benchmarks`: measure side by side in one run and print one table of ratios.

Belongs here: options, order, starting workers. Does not: the work (`cases.py` says where it is), printing (`table.py`).
Light on purpose: a worker's memory must not start from this process's.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.cases import Case, Group, chosen, files_of
from benchmarks.data import COMMAND, Place, plain_environment
from benchmarks.growth import SIZES, growth_cases, growth_lines
from benchmarks.homes import home_of
from benchmarks.measure import Measured, measure_command
from benchmarks.table import agreements, lines

_SOURCES = Path(__file__).resolve().parent.parent

# Runs `worker.py` with these words, and gives what it printed and its exit code.
Start = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]


def _process(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.worker", *words]
    return subprocess.run(command, cwd=_SOURCES, env=plain_environment(), capture_output=True, text=True, check=False)


def main(arguments: Sequence[str] | None = None, start: Start = _process) -> None:
    """The command. `start`: how each case comes to a process of its own, by default a new one."""
    options = _options(arguments)
    if options.growth is not None:
        _grow(options, start)
        return
    try:
        cases = chosen(options.only)
    except ValueError as error:
        sys.exit(str(error))
    place = Place(options.data, options.shape, options.rows, options.days)
    _prepare(place, cases, start)
    results = _measure_all(place, cases, options.rounds, start)
    shutil.rmtree(place.scratch, ignore_errors=True)
    print(f"\n{options.shape}, {options.rows:g}M feed rows over {options.days} days; {_machine()}\n")
    for line in lines(cases, results):
        print(line)
    _write(options, {"rows": options.rows, "cases": _plain(results)})
    if not all(agreements(results).values()):
        sys.exit("two ways of computing the same figures disagree, so their costs cannot be compared")


def _grow(options: argparse.Namespace, start: Start) -> None:
    """Every size in turn in each round; files that were not there before are gone afterwards."""
    cases = growth_cases(options.only)
    if not cases:
        sys.exit(f"there is no case of growth among {', '.join(options.only)}")
    places = [Place(options.data, options.shape, size, options.days) for size in sorted(options.growth or SIZES)]
    passing = [place for place in places if not place.folder.exists()]
    try:
        for place in places:
            _prepare(place, cases, start)
        grown: dict[float, dict[str, Measured]] = {place.rows: {} for place in places}
        for _ in range(options.rounds):
            for case in cases:
                for place in places:
                    measured = _measured(place, case, start)
                    found = grown[place.rows]
                    found[case.name] = measured.better(found.get(case.name))
    finally:
        for place in places:
            shutil.rmtree(place.folder if place in passing else place.scratch, ignore_errors=True)
    print(f"\n{options.shape}, {options.days} days; {_machine()}\n")
    for line in growth_lines(grown, options.days):
        print(line)
    _write(options, {"sizes": {f"{size:g}": _plain(found) for size, found in grown.items()}})


def _write(options: argparse.Namespace, results: Mapping[str, object]) -> None:
    if options.json:
        whole = {"shape": options.shape, "days": options.days, "machine": _machine(), **results}
        options.json.write_text(json.dumps(whole, indent=2) + "\n", "utf-8")


def _plain(results: Mapping[str, Measured]) -> dict[str, object]:
    return {name: measured.to_json() for name, measured in results.items()}


def _prepare(place: Place, cases: Sequence[Case], start: Start) -> None:
    place.root.mkdir(parents=True, exist_ok=True)
    for name in files_of(cases):
        _say(f"{name} of {place.folder} ...")
        _worker(start, place, f"prepare_{name}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=float, default=50, help="feed rows in millions over all days (default 50)")
    parser.add_argument("--days", type=int, default=60, help="days of events (default 60)")
    parser.add_argument("--shape", choices=("dense", "product"), default="dense", help="see benchmarks/README.md")
    folder = Path(tempfile.gettempdir()) / "analytics-platform-benchmarks"
    parser.add_argument("--data", type=Path, default=folder, help="folder for files, kept for the next run")
    parser.add_argument(
        "--growth",
        type=float,
        nargs="*",
        metavar="M",
        help="our own work at these sizes instead, in millions of feed rows (default 1 10 50 100)",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these cases alone")
    parser.add_argument("--rounds", type=int, default=3, help="processes a case, at most (default 3)")
    parser.add_argument("--json", type=Path, help="write the results to this file too")
    options = parser.parse_args(arguments)
    if min(options.rows, options.days, options.rounds, *(options.growth or ())) <= 0:
        parser.error("--rows, --days, --rounds and the sizes of --growth are positive")
    options.data = options.data.resolve()
    return options


def _measure_all(place: Place, cases: Sequence[Case], rounds: int, start: Start) -> dict[str, Measured]:
    """Round after round through the cases of a group, so that a busy minute of the machine hits all of them."""
    results: dict[str, Measured] = {}
    homes: set[str] = set()
    for group in Group:
        members = [case for case in cases if case.group is group]
        for home in dict.fromkeys(case.home for case in members if case.home and case.home not in homes):
            _say(f"home {home} ...")
            _worker(start, place, f"home_{home}")
            homes.add(home)
        for _ in range(min(rounds, max((case.rounds for case in members), default=0))):
            for case in members:
                measured = _measured(place, case, start)
                results[case.name] = measured.better(results.get(case.name))
    return results


def _measured(place: Place, case: Case, start: Start) -> Measured:
    _say(f"{case.name} of {place.rows:g}M")
    if case.group is Group.JOB:
        return _command(place, case)
    return Measured(**json.loads(_worker(start, place, case.name, case.repeats).splitlines()[-1]))


def _worker(start: Start, place: Place, name: str, repeats: int = 1) -> str:
    done = start([name, str(repeats), str(place.root), place.shape, str(place.rows), str(place.days)])
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return done.stdout


def _command(place: Place, case: Case) -> Measured:
    if case.name == "import_dagster":
        return measure_command([sys.executable, "-c", "import dagster"], place.root, plain_environment())
    # Each time from the same state: the days before are computed, this one is not.
    kept, home = home_of(place, case.home), place.root / "home-run"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(kept.path, home)
    verb = {"job": "feed", "job_app": "app"}[case.name]
    command: list[str | Path] = [COMMAND, "report", verb, "--date", str(kept.last), "--dry-run", "--home", home]
    measured = measure_command(command, place.root, plain_environment())
    shutil.rmtree(home)
    return measured


def _machine() -> str:
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line.partition(":")[2].strip() for line in cpuinfo.read_text("utf-8").splitlines() if "model name" in line
        ]
        model = f"{len(models)} x {models[0]}" if models else model
    return f"{model}, {platform.system()}, Python {platform.python_version()}"


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
