"""One case in a process of its own: `python -m benchmarks.worker CASE REPEATS ROOT SHAPE ROWS DAYS`; prints JSON.

Belongs here: which function a name means. `prepare` makes the files instead, `home_*` a home. Does not: choosing or
printing.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.cases import CHATS
from benchmarks.data import Place, make_before, make_csv, make_events
from benchmarks.measure import Job, measure


def job_of(name: str, place: Place) -> Job:
    """The work of that case, with its imports done."""
    if name.startswith("ticks"):
        return _ticks(name, place)
    if name.startswith("delivery"):
        return _delivery(name, place)
    from benchmarks import daily, files

    few, every = place.last_days, place.dates
    makers: dict[str, Callable[[], Job]] = {
        "f": lambda: daily.scan(place, few, each=True),
        "f_max": lambda: daily.scan(place, few, text="max", each=True),
        "ours": lambda: daily.platform(place, few, each=True),
        "f60": lambda: daily.scan(place, every, each=False),
        "f60_max": lambda: daily.scan(place, every, text="max", each=False),
        "ours60": lambda: daily.platform(place, every, each=False),
        "csv_count": lambda: files.csv_count(place),
        "csv_table": lambda: files.csv_table(place),
        "loader": lambda: files.loader(place),
        "generator": lambda: files.generator(place),
    }
    if name not in makers:
        from benchmarks import pandas_way

        makers |= {
            "pandas": lambda: pandas_way.pandas_way(place, few, text=False, each=True),
            "pandas_text": lambda: pandas_way.pandas_way(place, few, text=True, each=True),
            "pandas_text60": lambda: pandas_way.pandas_way(place, every, text=True, each=False),
        }
    return makers[name]()


def _ticks(name: str, place: Place) -> Job:
    from benchmarks import ticks

    return {"ticks_reads": ticks.reads, "ticks": ticks.simulated, "ticks_sensor": ticks.evaluated}[name](place)


def _delivery(name: str, place: Place) -> Job:
    from benchmarks import delivery

    chats = CHATS[name]
    if name == "delivery_loop":
        return delivery.loop(place, chats)
    return delivery.ours(place, chats, processes=2 if name == "delivery_two" else 1)


def main(arguments: list[str]) -> None:
    """Measure the case and print it, or make the files."""
    name, repeats, root, shape, rows, days = arguments
    place = Place(Path(root), shape, float(rows), int(days))
    place.root.mkdir(parents=True, exist_ok=True)
    # Settings of whoever runs this, in a `.env` where it was started, are not to be found.
    os.chdir(place.root)
    if name == "prepare":
        for make in (make_events, make_before, make_csv):
            make(place)
        return
    if name.startswith("home_"):
        from benchmarks.homes import make_home

        make_home(place, name.removeprefix("home_"))
        return
    place.scratch.mkdir(parents=True, exist_ok=True)
    print(json.dumps(measure(job_of(name, place), int(repeats)).to_json()))


if __name__ == "__main__":
    main(sys.argv[1:])
