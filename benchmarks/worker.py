"""One case in a process of its own: `python -m benchmarks.worker CASE REPEATS ROOT SHAPE ROWS DAYS`; prints JSON.

Belongs here: which function a name means. `prepare_*` makes files instead, `home_*` a home. Does not: choosing or
printing.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from benchmarks.cases import CHATS
from benchmarks.data import Place, make_before, make_csv, make_events, make_parquet
from benchmarks.measure import Job, measure


def job_of(name: str, place: Place) -> Job:
    """The work of that case, with its imports done."""
    if name.startswith("ticks"):
        return _ticks(name, place)
    if name.startswith("delivery"):
        return _delivery(name, place)
    plain, each = name.replace("60", ""), "60" not in name
    days = place.last_days if each else place.dates
    if plain == "c" or plain.startswith("c_"):
        return _server(plain, place, days, each=each)
    from benchmarks import audience, by_hand, daily, files

    makers: dict[str, Callable[[], Job]] = {
        "f": lambda: daily.scan(place, days, each=each),
        "f_max": lambda: daily.scan(place, days, text="max", each=each),
        "ours": lambda: daily.platform(place, days, each=each),
        "hand": lambda: by_hand.by_hand(place, days, facts=False, each=each),
        "hand_facts": lambda: by_hand.by_hand(place, days, facts=True, each=each),
        "u": lambda: audience.scan(place),
        "audience": lambda: audience.ours(place),
        "csv_count": lambda: files.csv_count(place),
        "csv_table": lambda: files.csv_table(place),
        "loader": lambda: files.loader(place),
        "generator": lambda: files.generator(place),
    }
    if plain == "polars":
        # Read when it is imported. A day is small: a second thread costs a fifth more CPU.
        os.environ["POLARS_MAX_THREADS"] = "1"
        from benchmarks import polars_way

        return polars_way.polars_way(place, days, each=each)
    if plain.startswith("pandas"):
        from benchmarks import pandas_way

        return pandas_way.pandas_way(place, days, text=plain == "pandas_text", each=each)
    return makers[plain]()


def _server(name: str, place: Place, days: Sequence[date], *, each: bool) -> Job:
    from benchmarks import audience, by_hand_server, server

    if name == "c_pandas_text":
        from benchmarks import pandas_way

        return pandas_way.server_way(place, days, each=each)
    makers: dict[str, Callable[[], Job]] = {
        "c": lambda: server.scan(place, days, look=False, each=each),
        "c_max": lambda: server.scan(place, days, look=True, each=each),
        "c_ours": lambda: server.platform(place, days, each=each),
        "c_hand": lambda: by_hand_server.by_hand(place, days, facts=False, each=each),
        "c_hand_facts": lambda: by_hand_server.by_hand(place, days, facts=True, each=each),
        "c_u": lambda: audience.scan(place, "clickhouse"),
        "c_audience": lambda: audience.ours(place, "clickhouse"),
    }
    return makers[name]()


def _prepare(name: str, place: Place) -> None:
    """The files of that name; nothing when they are there."""
    if name == "server":
        from benchmarks.server import make_server

        make_server(place)
        return
    {"events": make_events, "before": make_before, "csv": make_csv, "parquet": make_parquet}[name](place)


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
    if name.startswith("prepare_"):
        _prepare(name.removeprefix("prepare_"), place)
        return
    if name.startswith("home_"):
        from benchmarks.homes import make_home

        make_home(place, name.removeprefix("home_"))
        return
    place.scratch.mkdir(parents=True, exist_ok=True)
    print(json.dumps(measure(job_of(name, place), int(repeats)).to_json()))


if __name__ == "__main__":
    main(sys.argv[1:])
