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
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases import Case, Group, chosen
from benchmarks.data import COMMAND, Place, plain_environment
from benchmarks.homes import home_of
from benchmarks.measure import Measured, measure_command
from benchmarks.table import agreements, lines

_SOURCES = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = _options(arguments)
    try:
        cases = chosen(options.only)
    except ValueError as error:
        sys.exit(str(error))
    place = Place(options.data, options.shape, options.rows, options.days)
    place.root.mkdir(parents=True, exist_ok=True)
    if any(case.group not in (Group.GENERATOR, Group.JOB, Group.TICKS, Group.DELIVERY) for case in cases):
        _say(f"files of {place.folder} ...")
        _worker(place, "prepare")
    results = _measure_all(place, cases, options.rounds)
    shutil.rmtree(place.scratch, ignore_errors=True)
    print(f"\n{options.shape}, {options.rows:g}M feed rows over {options.days} days; {_machine()}\n")
    for line in lines(cases, results):
        print(line)
    if options.json:
        whole = {
            "shape": options.shape,
            "rows": options.rows,
            "days": options.days,
            "machine": _machine(),
            "cases": {name: measured.to_json() for name, measured in results.items()},
        }
        options.json.write_text(json.dumps(whole, indent=2) + "\n", "utf-8")
    if not all(agreements(results).values()):
        sys.exit("two ways of computing the same figures disagree, so their costs cannot be compared")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=float, default=50, help="feed rows in millions over all days (default 50)")
    parser.add_argument("--days", type=int, default=60, help="days of events (default 60)")
    parser.add_argument("--shape", choices=("dense", "product"), default="dense", help="see benchmarks/README.md")
    folder = Path(tempfile.gettempdir()) / "analytics-platform-benchmarks"
    parser.add_argument("--data", type=Path, default=folder, help="folder for files, kept for the next run")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these cases alone")
    parser.add_argument("--rounds", type=int, default=3, help="processes a case, at most (default 3)")
    parser.add_argument("--json", type=Path, help="write the results to this file too")
    options = parser.parse_args(arguments)
    if options.rows <= 0 or options.days < 1 or options.rounds < 1:
        parser.error("--rows, --days and --rounds are positive")
    options.data = options.data.resolve()
    return options


def _measure_all(place: Place, cases: Sequence[Case], rounds: int) -> dict[str, Measured]:
    """Round after round through the cases of a group, so that a busy minute of the machine hits all of them."""
    results: dict[str, Measured] = {}
    homes: set[str] = set()
    for group in Group:
        members = [case for case in cases if case.group is group]
        for home in dict.fromkeys(case.home for case in members if case.home and case.home not in homes):
            _say(f"home {home} ...")
            _worker(place, f"home_{home}")
            homes.add(home)
        for turn in range(min(rounds, max((case.rounds for case in members), default=0))):
            for case in members:
                _say(f"{case.name} ({turn + 1})")
                if group is Group.JOB:
                    measured = _command(place, case)
                else:
                    measured = Measured(**json.loads(_worker(place, case.name, case.repeats).splitlines()[-1]))
                results[case.name] = measured.better(results.get(case.name))
    return results


def _worker(place: Place, name: str, repeats: int = 1) -> str:
    size = (str(place.root), place.shape, str(place.rows), str(place.days))
    command = [sys.executable, "-m", "benchmarks.worker", name, str(repeats), *size]
    done = subprocess.run(command, cwd=_SOURCES, env=plain_environment(), capture_output=True, text=True, check=False)
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
