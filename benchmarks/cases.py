"""CASES: everything that is measured. To add a case, add one entry and one line in `worker.py`.

Belongs here: names, order, how often. Does not: the work itself (`daily.py`, `server.py`, `by_hand.py`, `files.py` and
so on, see `worker.py`), its data (`data.py`, `homes.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

DAY_TICKS = 1_440  # one a minute
# To how many chats each of these cases sends.
CHATS = {"delivery_loop": 25, "delivery_25": 25, "delivery_100": 100, "delivery": 500, "delivery_two": 100}


class Group(StrEnum):
    """What is compared with each other; the first case of a group is its measure. Cases of a group are interleaved."""

    DAY = "DuckDB, one day, the mean of the last few"
    SERVER_DAY = "ClickHouse, one day, the mean of the last few"
    BACKFILL = "DuckDB, all days"
    SERVER_BACKFILL = "ClickHouse, all days"
    AUDIENCE = "DuckDB, metrics across days, of all days"
    SERVER_AUDIENCE = "ClickHouse, metrics across days, of all days"
    LOADER = "loading a CSV file"
    GENERATOR = "simulated events"
    JOB = "a daily job from process start to end"
    TICKS = "a day of the scheduler's ticks"
    DELIVERY = "a report of seven messages to many chats, times of one chat"


# The files that the cases of a group read, by the name of what makes them; see `worker.py`.
_FILES = {
    Group.DAY: ("events", "before"),
    Group.SERVER_DAY: ("events", "before", "server"),
    Group.BACKFILL: ("events",),
    Group.SERVER_BACKFILL: ("events", "server"),
    Group.AUDIENCE: ("events",),
    Group.SERVER_AUDIENCE: ("events",),
    Group.LOADER: ("events", "csv"),
}
# The scan in which every value is looked at: what aims are held against. A text column that is only counted (`f`, `c`)
# is not looked at in either engine, and nothing can be computed of it so.
MEASURES = {
    Group.DAY: "f_max",
    Group.SERVER_DAY: "c_max",
    Group.BACKFILL: "f60_max",
    Group.SERVER_BACKFILL: "c60_max",
}


@dataclass(frozen=True)
class Case:
    """`repeats` inside one process, `rounds` processes at most; what counts is the repetition with the least CPU.

    `home`: the one of `homes.py` that it needs; `files`: what it reads beside the files of its group.
    """

    name: str
    group: Group
    about: str
    repeats: int = 1
    rounds: int = 3
    home: str = ""
    files: tuple[str, ...] = ()


CASES: tuple[Case, ...] = (
    Case("f", Group.DAY, "bare scan of the needed columns", repeats=5),
    Case("f_max", Group.DAY, "the same scan, texts compared", repeats=5),
    Case("ours", Group.DAY, "facts + slices, written", repeats=3),
    Case("hand", Group.DAY, "one statement by hand, nothing kept", repeats=3),
    Case("hand_facts", Group.DAY, "by hand, user_day kept as a table", repeats=3),
    Case("polars", Group.DAY, "Polars, lazy, over Parquet", repeats=3, files=("parquet",)),
    Case("pandas", Group.DAY, "per-user SQL, then pandas", repeats=2),
    Case("pandas_text", Group.DAY, "per-user SQL, text, then pandas", repeats=2),
    Case("c", Group.SERVER_DAY, "bare scan of the needed columns", repeats=5),
    Case("c_max", Group.SERVER_DAY, "the same scan, texts compared", repeats=5),
    Case("c_ours", Group.SERVER_DAY, "facts + slices, written", repeats=3),
    Case("c_hand", Group.SERVER_DAY, "one statement by hand, nothing kept", repeats=3),
    Case("c_hand_facts", Group.SERVER_DAY, "by hand, user_day kept as a table", repeats=3),
    Case("c_pandas_text", Group.SERVER_DAY, "per-user SQL, text, then pandas", repeats=2),
    Case("f60", Group.BACKFILL, "bare scan of the needed columns", repeats=3, rounds=2),
    Case("f60_max", Group.BACKFILL, "the same scan, texts compared", repeats=3, rounds=2),
    Case("ours60", Group.BACKFILL, "facts + slices, written", rounds=2),
    Case("hand60", Group.BACKFILL, "a statement a day by hand, nothing kept", rounds=2),
    Case("hand_facts60", Group.BACKFILL, "by hand, user_day kept as tables", rounds=2),
    Case("polars60", Group.BACKFILL, "Polars, lazy, over Parquet", rounds=2, files=("parquet",)),
    Case("pandas_text60", Group.BACKFILL, "per-user SQL, text, then pandas", rounds=2),
    Case("c60", Group.SERVER_BACKFILL, "bare scan of the needed columns", repeats=3, rounds=2),
    Case("c60_max", Group.SERVER_BACKFILL, "the same scan, texts compared", repeats=3, rounds=2),
    Case("c_ours60", Group.SERVER_BACKFILL, "facts + slices, written", rounds=2),
    Case("c_hand60", Group.SERVER_BACKFILL, "a statement a day by hand, nothing kept", rounds=2),
    Case("c_pandas_text60", Group.SERVER_BACKFILL, "per-user SQL, text, then pandas", rounds=2),
    Case("u", Group.AUDIENCE, "scan of user_day, one statement", repeats=3, rounds=2),
    Case("audience", Group.AUDIENCE, "DAU, WAU, MAU, retention of every day", repeats=3, rounds=2),
    Case("c_u", Group.SERVER_AUDIENCE, "scan of user_day, one statement", repeats=3, rounds=2),
    Case("c_audience", Group.SERVER_AUDIENCE, "DAU, WAU, MAU, retention of every day", repeats=3, rounds=2),
    Case("csv_count", Group.LOADER, "DuckDB counts the rows of the file", rounds=2),
    Case("csv_table", Group.LOADER, "DuckDB makes a sorted table of it", rounds=2),
    Case("loader", Group.LOADER, "validated and loaded, sorted", rounds=2),
    Case("generator", Group.GENERATOR, "three days generated", repeats=2, rounds=2),
    Case("import_dagster", Group.JOB, "python -c 'import dagster'"),
    Case("job", Group.JOB, "one day computed, feed report delivered", home="small"),
    Case("job_app", Group.JOB, "one day computed, app report delivered", home="demo"),
    Case("ticks_reads", Group.TICKS, "one read a tick of each ledger row", rounds=2, home="demo"),
    Case("ticks", Group.TICKS, "a look a minute, two hours of waiting", rounds=2, home="demo"),
    Case("ticks_sensor", Group.TICKS, "the same, evaluated by Dagster", rounds=2, home="demo"),
    Case("delivery_loop", Group.DELIVERY, "one after the other, all uploaded", rounds=1),
    Case("delivery_25", Group.DELIVERY, "ours, the same 25 chats", rounds=1),
    Case("delivery_100", Group.DELIVERY, "ours, 100 chats", rounds=1),
    Case("delivery", Group.DELIVERY, "ours, 500 chats", rounds=1),
    Case("delivery_two", Group.DELIVERY, "two processes, 100 chats, a report each", rounds=1),
)


def chosen(names: list[str] | None) -> tuple[Case, ...]:
    """The cases of those names, all without names. ValueError names an unknown one."""
    known = {case.name for case in CASES}
    for name in names or ():
        if name not in known:
            raise ValueError(f"there is no case {name!r}; choose of {', '.join(c.name for c in CASES)}")
    return tuple(case for case in CASES if not names or case.name in names)


def files_of(cases: Iterable[Case]) -> tuple[str, ...]:
    """What has to be made for these cases, each once, in the order in which one is made of another."""
    wanted = {name for case in cases for name in (*_FILES.get(case.group, ()), *case.files)}
    return tuple(name for name in ("events", "before", "csv", "parquet", "server") if name in wanted)
