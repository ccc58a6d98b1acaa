"""The benchmark command at a tiny size: every case runs, and the ways that compute the same figures agree.

Belongs here: behaviour. Does not: any figure of time or memory, which belong to a quiet machine.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from analytics_platform.metrics.catalog import METRICS, Ratio
from analytics_platform.metrics.dimensions import DIMENSIONS, TOTAL
from benchmarks import cells
from benchmarks.cases import CASES, chosen
from benchmarks.measure import Measured
from benchmarks.table import agreements, aims

ROOT = Path(__file__).resolve().parent.parent


def run(folder: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    written = folder / "results.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "--days",
        "3",
        "--data",
        str(folder / "data"),
        "--json",
        str(written),
    ]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    return done, json.loads(written.read_text("utf-8")) if written.exists() else {}


def measured(cpu: float, checksum: str = "") -> Measured:
    return Measured(cpu, cpu, 1.0, 100.0, facts={"checksum": checksum} if checksum else {})


@pytest.mark.slow
def test_every_case_runs_and_all_ways_agree(tmp_path: Path) -> None:
    done, results = run(tmp_path, "--rows", "0.02", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert list(results["cases"]) == [case.name for case in CASES]
    for name, case in results["cases"].items():
        assert case["cpu"] > 0, name
        assert name in done.stdout
    facts = {name: case["facts"] for name, case in results["cases"].items()}
    assert facts["ours"]["checksum"] == facts["pandas"]["checksum"] == facts["pandas_text"]["checksum"]
    assert facts["ours60"]["checksum"] == facts["pandas_text60"]["checksum"] != facts["ours"]["checksum"]
    assert facts["ours60"]["user_days"] > facts["ours"]["user_days"] > 0
    assert facts["loader"]["rows"] == facts["csv_count"]["rows"] == facts["csv_table"]["rows"] == 4_000
    assert facts["generator"]["rows"] > 0
    # The split is of the real warehouse: nothing of it may fall out of the sum.
    for name in ("ours", "ours60"):
        parts = results["cases"][name]["parts"]
        assert set(parts) == {"facts, computed", "facts, written", "slices"}
        assert min(parts.values()) > 0
        assert sum(parts.values()) <= results["cases"][name]["cpu"] * 1.05
    assert not (tmp_path / "data" / "home-run").exists()


@pytest.mark.slow
def test_the_product_shape_agrees_too_and_its_users_do_more(tmp_path: Path) -> None:
    done, results = run(
        tmp_path, "--rows", "0.1", "--rounds", "1", "--shape", "product", "--only", "f", "ours", "pandas"
    )
    assert done.returncode == 0, done.stderr
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
    results = {"f": measured(1), "ours": measured(5, "a"), "pandas_text": measured(30, "b")}
    assert agreements(results) == {("ours", "pandas_text"): False}
    assert [(round(a.value, 1), a.met) for a in aims(results)] == [(5.0, True), (6.0, False)]


def test_the_cheaper_measurement_counts_with_the_higher_memory() -> None:
    slow, fast = Measured(2, 3, 50, 90), Measured(1, 4, 20, 60)
    assert slow.better(fast) == fast.better(slow) == Measured(1, 4, 50, 90)


def test_an_unknown_case_is_named() -> None:
    with pytest.raises(ValueError, match=r"no case 'fast'.*ours60"):
        chosen(["fast"])
