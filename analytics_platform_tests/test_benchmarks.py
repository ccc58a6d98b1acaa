"""The benchmark command at a tiny size: every case runs, and the ways that compute the same figures agree.

Belongs here: behaviour. Does not: any figure of time or memory, which belong to a quiet machine.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from analytics_platform.metrics.catalog import METRICS, Ratio
from analytics_platform.metrics.dimensions import DIMENSIONS, TOTAL
from analytics_platform_tests.benchmarking import MODULES
from analytics_platform_tests.forked import Parent, Process, parent
from benchmarks import cells
from benchmarks.cases import CASES, CHATS, DAY_TICKS, Group, chosen
from benchmarks.data import plain_environment
from benchmarks.growth import growth_aims, growth_lines
from benchmarks.measure import Measured
from benchmarks.table import agreements, aims

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def forks() -> Iterator[Parent]:
    """A process that has imported what most cases use. Their warnings are nobody's errors, as in the command itself."""
    with parent("analytics_platform_tests.benchmarking", *MODULES, warnings="default") as found:
        yield found


def words(folder: Path, *options: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    return ["--days", "3", "--data", str(folder / "data"), "--json", str(folder / "results.json"), *options]


def begin(forks: Parent, folder: Path, *options: str) -> Process:
    """The command, its workers being forks."""
    return forks.start(
        "analytics_platform_tests.benchmarking:command",
        *words(folder, *options),
        folder=ROOT,
        environment=plain_environment(),
    )


def outcome(process: Process, folder: Path) -> tuple[str, dict[str, Any]]:
    """What it printed and wrote."""
    try:
        printed = process.stdout.read()
        assert process.wait() == 0, process.stderr.read()
    finally:
        process.end()
    return printed, json.loads((folder / "results.json").read_text("utf-8"))


def measured(cpu: float, checksum: str = "") -> Measured:
    return Measured(cpu, cpu, 1.0, 100.0, facts={"checksum": checksum} if checksum else {})


DELIVERIES = [case.name for case in CASES if case.group is Group.DELIVERY]
ON_SERVER = [case.name for case in CASES if case.name.startswith("c_")]
# What differs from others in the number of days or chats alone is left out, for it takes a process of a second and more
# each, and of those that deliver a server besides.
SAME_CODE = ["f60", "f60_max", "hand60", "hand_facts60", "polars60", "c", "c60", "c60_max", "c_hand60", "c_u"]
SAME_CODE += ["c_hand", "c_pandas_text60", "delivery_25", "delivery_100"]
OF_HOMES = [case.name for case in CASES if case.group in (Group.JOB, Group.TICKS) and case.name not in SAME_CODE]
OF_FILES = [case.name for case in CASES if case.name not in OF_HOMES + DELIVERIES + ON_SERVER + SAME_CODE]
OF_DELIVERY = [name for name in DELIVERIES if name not in SAME_CODE]


ALL = ("--rows", "0.02", "--rounds", "1", "--only")


def every(forks: Parent, folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """The facts of these cases by name; all are measured and printed."""
    return facts_of(begin(forks, folder, *ALL, *names), folder, names)


def facts_of(process: Process, folder: Path, names: Sequence[str]) -> dict[str, Any]:
    printed, results = outcome(process, folder)
    assert list(results["cases"]) == list(names)
    for name, case in results["cases"].items():
        assert case["cpu"] > 0, name
        assert name in printed
        # Parts are of what was measured: they may leave something out of the sum, but not exceed it.
        assert sum(case["parts"].values()) <= case["cpu"] * 1.05, name
    return {name: case["facts"] | {"parts": case["parts"]} for name, case in results["cases"].items()}


@pytest.mark.slow
def test_every_case_of_files_runs_and_all_ways_agree(forks: Parent, tmp_path: Path) -> None:
    facts = every(forks, tmp_path, OF_FILES)
    ways = ("ours", "hand", "hand_facts", "polars", "pandas", "pandas_text")
    assert len({facts[way]["checksum"] for way in ways}) == 1
    assert facts["ours60"]["checksum"] == facts["pandas_text60"]["checksum"] != facts["ours"]["checksum"]
    assert facts["ours60"]["user_days"] > facts["ours"]["user_days"] > 0
    assert facts["loader"]["rows"] == facts["csv_count"]["rows"] == facts["csv_table"]["rows"] == 4_000
    assert facts["generator"]["rows"] > 0
    # The split is of the real warehouse: nothing of it may fall out of the sum.
    for name in ("ours", "ours60"):
        assert set(facts[name]["parts"]) == {"facts, computed", "facts, written", "slices"}
        assert min(facts[name]["parts"].values()) > 0


@pytest.mark.slow
def test_every_way_on_clickhouse_agrees_with_duckdb(forks: Parent, tmp_path: Path) -> None:
    names = ["ours", *(name for name in ON_SERVER if name not in SAME_CODE), "ours60", "audience"]
    facts = every(forks, tmp_path, [case.name for case in CASES if case.name in names])
    ways = ("ours", "c_ours", "c_hand_facts", "c_pandas_text")
    assert len({facts[way]["checksum"] for way in ways}) == 1
    assert facts["c_ours60"]["checksum"] == facts["ours60"]["checksum"]
    assert facts["c_ours60"]["user_days"] == facts["ours60"]["user_days"]
    assert facts["c_audience"]["checksum"] == facts["audience"]["checksum"]
    assert facts["c_max"]["feed_actions"] > facts["c_max"]["message_actions"] > 0
    for name in ("c_ours", "c_ours60"):
        assert min(facts[name]["parts"].values()) > 0


@pytest.mark.slow
def test_growth_leaves_no_files_that_were_not_there(forks: Parent, tmp_path: Path) -> None:
    process = begin(forks, tmp_path, "--growth", "0.01", "0.02", "--rounds", "1", "--only", "f_max", "ours")
    printed, results = outcome(process, tmp_path)
    assert set(results["sizes"]) == {"0.01", "0.02"}
    assert printed.count("\nours ") == 2
    assert not any((tmp_path / "data").iterdir())


@pytest.mark.slow
def test_every_case_of_homes_runs_and_a_day_of_ticks_has_all_kinds(forks: Parent, tmp_path: Path) -> None:
    facts = every(forks, tmp_path, OF_HOMES)
    ticks, evaluated = facts["ticks"], facts["ticks_sensor"]
    assert facts["ticks_reads"]["ticks"] == ticks["ticks"] == evaluated["ticks"] < DAY_TICKS
    assert ticks["requests"] == 2
    kinds = {"nothing is due", "waiting for data", "ready, running", "delivered periods are looked at again"}
    assert set(ticks["parts"]) == kinds
    assert set(ticks["tick_ms"]) == {*kinds, "waiting, the day has no event at all"}
    assert set(evaluated["tick_ms"]) == kinds - {"ready, running"}
    for mean, most in (*ticks["tick_ms"].values(), *evaluated["tick_ms"].values()):
        assert 0 < mean <= most
    assert ticks["dearest_day_cpu"] > 0
    # Both homes are of one size here. It is kept for the next run of the day, and nothing else of homes is.
    [kept] = [path.name for path in (tmp_path / "data").iterdir() if path.name.startswith("home")]
    assert kept.startswith("home-200x9-20")


@pytest.mark.slow
def test_every_case_of_delivery_sends_all_of_it_once_to_every_chat(forks: Parent, tmp_path: Path) -> None:
    # That each chat got the whole report once and in order is checked by the cases themselves. Side by side, because
    # they mostly wait: a chat takes one message a second.
    begun = {name: begin(forks, tmp_path / name, *ALL, name) for name in OF_DELIVERY}
    facts = {name: facts_of(process, tmp_path / name, [name])[name] for name, process in begun.items()}
    assert {name: one["chats"] for name, one in facts.items()} == {"delivery_loop": 2, "delivery": 5, "delivery_two": 2}
    assert set(CHATS) == set(DELIVERIES)
    assert facts["delivery_loop"]["uploads"] == 12  # six files to each of two chats
    assert facts["delivery"]["uploads"] == 6
    assert facts["delivery_two"]["uploads"] == 12  # two reports
    assert facts["delivery_loop"]["floods"] > 0
    for name in ("delivery", "delivery_two"):
        assert facts[name]["writes_a_second"] > 0
        assert facts[name]["seconds"] > facts[name]["allowed"] * 0.9
    # What is kept between runs has nothing of deliveries.
    assert not any(tmp_path.rglob("state.db"))


@pytest.mark.slow
def test_the_product_shape_agrees_too_and_its_users_do_more(tmp_path: Path) -> None:
    # As a person starts it: each worker is a process that imports what it needs.
    options = words(tmp_path, "--rows", "0.1", "--rounds", "1", "--shape", "product", "--only", "f", "ours", "pandas")
    command = [sys.executable, "-m", "benchmarks", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    facts = {name: case["facts"] for name, case in results["cases"].items()}
    assert facts["ours"]["checksum"] == facts["pandas"]["checksum"]
    assert 20 <= facts["f"]["feed_actions"] / facts["ours"]["user_days"] <= 50


def test_the_pandas_way_computes_all_that_the_platform_computes() -> None:
    assert {m.name for m in METRICS if not isinstance(m, Ratio)} == set(cells.COUNTS)
    assert [m.name for m in METRICS if isinstance(m, Ratio)] == ["ctr"]
    assert set(cells.DIMENSIONS) == {TOTAL, *(d.name for d in DIMENSIONS)}


def test_one_cell_changes_the_checksum_and_order_does_not() -> None:
    row = {"event_date": "2026-08-01", "dimension": "os", "dimension_value": "iOS", "ctr": 0.25}
    row |= dict.fromkeys(cells.COUNTS, 4)
    other = row | {"dimension_value": "Android", "ctr": None}
    assert cells.checksum([row, other]) == cells.checksum([other | {"ctr": float("nan")}, row])
    assert cells.checksum([row, other]) != cells.checksum([row, other | {"senders": 5}])
    assert cells.checksum([row]) != cells.checksum([row | {"ctr": 0.26}])


def test_disagreement_is_seen_and_aims_compare_cases_of_the_same_run() -> None:
    results = {"f_max": measured(1), "ours": measured(5, "a"), "pandas_text": measured(30, "b")}
    assert agreements(results) == {("ours", "pandas_text"): False}
    assert [(round(a.value, 1), a.met) for a in aims(results)] == [(5.0, True), (6.0, False)]
    both = {"ours": measured(5, "a"), "c_max": measured(1), "c_ours": measured(9, "a")}
    assert agreements(both) == {("ours", "c_ours"): True}
    assert [(a.value, a.met) for a in aims(both)] == [(9.0, False)]


def test_a_row_that_costs_more_as_data_grows_is_seen() -> None:
    def day(cpu: float, rows: int) -> dict[str, Measured]:
        counted = Measured(cpu / 4, 1, 1, 1, facts={"feed_actions": rows, "message_actions": 0})
        return {"f_max": counted, "ours": measured(cpu)}

    linear = {10.0: day(1, 1_000), 100.0: day(11, 10_000)}
    assert [(round(a.value, 2), a.met) for a in growth_aims(linear, 60)] == [(1.1, True)]
    assert [(round(a.value, 2), a.met) for a in growth_aims({**linear, 100.0: day(15, 10_000)}, 60)] == [(1.5, False)]
    assert growth_aims({10.0: day(1, 1_000)}, 60) == []
    # Without the scan rows are those asked for: 10M of the feed and 2M messages over 60 days.
    assert any(" 200,000 " in line for line in growth_lines({10.0: {"ours": measured(1)}}, 60))


def test_a_part_of_a_day_of_ticks_says_nothing_of_the_day() -> None:
    ticks = {"quiet": [2.0, 60.0], "waiting": [60.0, 90.0]}
    part = Measured(1, 1, 1, 1, facts={"ticks": 60, "tick_ms": ticks})
    assert [(a.value, a.met) for a in aims({"ticks": part})] == [(60, False)]
    whole = Measured(9, 9, 1, 1, facts={"ticks": DAY_TICKS, "tick_ms": {"quiet": [2.0, 60.0]}})
    assert [(a.value, a.met) for a in aims({"ticks": whole})] == [(9, True), (2, True)]


def test_the_pace_of_few_chats_says_nothing_of_many() -> None:
    def sent(chats: int, pace: float, floods: int) -> Measured:
        return Measured(1, 1, 1, 1, facts={"chats": chats, "pace": pace, "floods": floods})

    assert aims({"delivery": sent(5, 1.8, 0)}) == []
    whole = aims({"delivery": sent(CHATS["delivery"], 1.08, 0), "delivery_two": sent(CHATS["delivery_two"], 1.3, 2)})
    assert [(a.value, a.met) for a in whole] == [(1.08, True), (0, True), (2, False)]


def test_the_cheaper_measurement_counts_with_the_higher_memory() -> None:
    slow, fast = Measured(2, 3, 50, 90), Measured(1, 4, 20, 60)
    assert slow.better(fast) == fast.better(slow) == Measured(1, 4, 50, 90)


def test_an_unknown_case_is_named() -> None:
    with pytest.raises(ValueError, match=r"no case 'fast'.*ours60"):
        chosen(["fast"])
