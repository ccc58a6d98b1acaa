"""The document's sample day, 2023-10-20, from raw events to the numbered lines of the text."""

import re
from pathlib import Path

from analytics_platform.cadence import Period
from analytics_platform.language import Language
from analytics_platform.messages import Text
from analytics_platform.reports.app_daily import REPORT
from analytics_platform.reports.base import Rendering
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests import golden

VALUES = {
    1: "20,200",
    2: "764,882",
    3: "38",
    4: "18,379",
    5: "623,236",
    6: "128,754",
    7: "20.66%",
    8: "220",
    9: "751,990",
    10: "41",
    11: "3,418",
    12: "1,064",
    13: "90",
    14: "2,060",
    15: "12,892",
    16: "6",
    17: "417",
}


def test_the_sample_days_figures_come_out_of_its_events(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "events.duckdb", tmp_path / "results.duckdb", tmp_path / "tmp")
    golden.load(warehouse)
    golden.compute(warehouse, golden.DAY)
    frame = REPORT.read(warehouse, Period(golden.DAY, golden.DAY), golden.ZONE)
    rendering = Rendering(Language("en"), golden.ZONE)
    [text] = [m for m in REPORT.compose(frame, REPORT.draw(frame, rendering), rendering) if isinstance(m, Text)]
    lines = text.plain.splitlines()
    assert "All-time users = 140,061" in lines
    assert "All-time actions = 52,578,384" in lines
    numbered = dict(re.findall(r"^(\d+)\. [^=]+ = (\S+)", text.plain, re.MULTILINE))
    assert numbered == {str(place): value for place, value in VALUES.items()}
    assert any(line.startswith("Both feed and chat = 239 ") for line in lines)
