"""Planted incidents: what our detectors and two simple ones find, and how often they cry wolf.

    python -m benchmarks.detection.planted [--series 30] [--trials 4] [--detector NAME ...]

Belongs here: the table. Does not: the series (`simulated.py`), the published series (`adapter.py` under their bench).
A notification is the first bucket of a run of alerts, runs being at least five buckets apart; false ones are counted on
the clean days. A column is the share of incidents with an alert while they last.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from analytics_platform.detectors import detector
from analytics_platform.detectors.base import PER_DAY, Block, Bools, Floats
from benchmarks.detection import simulated
from benchmarks.detection.simulated import HISTORY, Case

Alerts = Callable[[Block, int], Bools]
GAP = 4  # silent buckets that do not end a run


def ours(name: str) -> Alerts:
    """A detector of the product at its own threshold."""

    def alerts(block: Block, first: int) -> Bools:
        score: Floats = np.nan_to_num(detector(name).judge(block, first).score)
        return score >= 1.0

    return alerts


def same_slot(block: Block, first: int) -> Bools:
    """Median and MAD of the same time of day +-1 bucket in 14 days; alerts at 6 scales (a common home-made rule)."""
    past = np.stack([_back(block.values, d * PER_DAY + w) for d in range(1, 15) for w in (-1, 0, 1)])[:, :, first:]
    middle = np.nanmedian(past, axis=0)
    mad = 1.4826 * np.nanmedian(np.abs(past - middle), axis=0)
    found: Bools = np.abs(block.values[:, first:] - middle) > 6 * np.maximum(mad, 1e-9)
    return found


def rolling_sigma(block: Block, first: int) -> Bools:
    """Mean and standard deviation of the day before; alerts at 3 (the rule of most tutorials)."""
    windows = np.lib.stride_tricks.sliding_window_view(block.values, PER_DAY, axis=1)[:, first - PER_DAY : -1]
    mean, deviation = np.nanmean(windows, axis=2), np.nanstd(windows, axis=2)
    found: Bools = np.abs(block.values[:, first:] - mean) > 3 * np.maximum(deviation, 1e-9)
    return found


def _back(values: Floats, lag: int) -> Floats:
    moved = np.full_like(values, np.nan)
    moved[:, lag:] = values[:, :-lag]
    return moved


def notifications(alerts: Bools) -> int:
    """How many messages the alerts of one series make."""
    on = np.flatnonzero(alerts)
    return int(len(on) > 0) + int((np.diff(on) > GAP).sum())


def columns(series: int, trials: int) -> dict[str, list[Case]]:
    """The cases of each column of the table."""
    scaled, planted = simulated.scaled, simulated.planted
    kinds: dict[str, Callable[[int], Case]] = {
        "zero 1 h": lambda s: planted(scaled(0.0, 4), series, s, 5),
        "-50 % 1 h": lambda s: planted(scaled(0.5, 4), series, s, 5),
        "-30 % 2 h": lambda s: planted(scaled(0.7, 8), series, s, 9),
        "x2 one point": lambda s: planted(scaled(2.0, 1), series, s, 2),
        "-50 % at night": lambda s: planted(scaled(0.5, 4), series, s, 5, night=True),
        "slide to -40 % in 12 h": lambda s: planted(simulated.sliding(0.6, 48, 48), series, s, 96),
        "freeze 6 h": lambda s: simulated.frozen(series, s, 24),
        "low counts, zero 6 h": lambda s: simulated.low_counts(series, s),
        "outage on a holiday": lambda s: simulated.holiday(series, s, outage=True),
        "-50 %, polluted past": lambda s: simulated.polluted(series, s),
        "ratio -30 % 2 h": lambda s: simulated.ratio_drop(series, s, 0.7),
    }
    return {name: [make(1000 + trial) for trial in range(trials)] for name, make in kinds.items()}


def quiet(series: int, trials: int) -> dict[str, list[Case]]:
    """Cases in which nothing should be said."""

    def clean(low: float, high: float, seed: int, missing: float = 0.0, history: int = HISTORY) -> Case:
        block = simulated.counts(series, 60, seed, low, high)
        block.values[np.random.default_rng(seed).random(block.values.shape) < missing] = np.nan
        return Case(block, history, block.buckets, clean=True)

    kinds: dict[str, Callable[[int], Case]] = {
        "clean": lambda s: clean(100, 5000, s),
        "low counts": lambda s: clean(0.3, 20, s),
        "5 % missing": lambda s: clean(100, 5000, s, 0.05),
        "from the 4th day": lambda s: clean(100, 5000, s, history=3 * PER_DAY),
        "marked holiday": lambda s: simulated.holiday(series, s, outage=False),
        "ratio": lambda s: simulated.ratio_drop(series, s, 1.0),
        "new level, day 4 on": lambda s: simulated.new_normal(series, s, accepted=False),
        "new level accepted": lambda s: simulated.new_normal(series, s, accepted=True),
    }
    few = {"clean", "low counts", "5 % missing", "from the 4th day"}
    return {name: [make(2000 + trial) for trial in range(1 if name in few else trials)] for name, make in kinds.items()}


def hit_rate(alerts: Alerts, cases: list[Case]) -> float:
    """Share of incidents with an alert while they last."""
    hits: list[float] = []
    for case in cases:
        found = alerts(case.block, case.start)
        hits += [float(row.any()) for row in found[:, : case.stop - case.start]]
    return float(np.mean(hits))


def false_rate(alerts: Alerts, cases: list[Case]) -> float:
    """False notifications per series and day."""
    said, days = 0, 0.0
    for case in cases:
        found = alerts(case.block, case.start)
        said += sum(notifications(row) for row in found)
        days += found.size / PER_DAY
    return said / days


def table(detectors: dict[str, Alerts], series: int, trials: int) -> str:
    """Markdown: false notifications per metric and day, then the hit rates in percent."""
    lines = []
    for title, cases, rate, form in (
        ("false alerts per metric and day", quiet(series, trials), false_rate, "{:.3f}"),
        ("incidents found, %", columns(series, trials), hit_rate, "{:.0%}"),
    ):
        lines += [f"| {title} | " + " | ".join(detectors) + " |", "|---" * (len(detectors) + 1) + "|"]
        for name, some in cases.items():
            cells = [form.format(rate(alerts, some)).rstrip("%") for alerts in detectors.values()]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=30)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--detector", nargs="*", default=["seasonal"])
    parser.add_argument("--alone", action="store_true", help="without the two simple rules")
    given = parser.parse_args()
    began = time.process_time()
    detectors: dict[str, Alerts] = {name: ours(name) for name in given.detector}
    if not given.alone:
        detectors |= {"same slot, median/MAD > 6": same_slot, "rolling 3 sigma, a day": rolling_sigma}
    print(table(detectors, given.series, given.trials))
    print(f"{time.process_time() - began:.0f} s of CPU")


if __name__ == "__main__":
    main()
