"""What a row costs as data grows: the platform's own work at several sizes in one run, against a linear cost.

Belongs here: which cases, the table, its aim. Does not: running cases (`__main__.py`).
"""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.cases import CASES, Case
from benchmarks.measure import Measured
from benchmarks.table import Aim

SIZES = (1.0, 10.0, 50.0, 100.0)
# Below this size a fixed cost for each statement shows, so a row's cost is compared with that here.
_FROM, _TO, _LIMIT = 10.0, 100.0, 1.2
_SCANS = {"ours": "f_max", "c_ours": "c_max", "ours60": "f60_max", "c_ours60": "c60_max"}
_LINE = "{:<12}{:>8}{:>16}{:>14}{:>16}{:>14}{:>12}{:>14}"

# By feed rows in millions, then by case.
Grown = Mapping[float, Mapping[str, Measured]]


def growth_cases(only: Sequence[str] | None) -> tuple[Case, ...]:
    """What is measured at each size: the platform and its scans, or those of them that are named."""
    wanted = {name for pair in _SCANS.items() for name in pair}
    return tuple(case for case in CASES if case.name in wanted and (not only or case.name in only))


def growth_lines(grown: Grown, days: int) -> Iterator[str]:
    """The table and the aims. Rows are feed and message rows, of a day or of all days."""
    yield _LINE.format("case", "M feed", "rows", "CPU ms", "ns CPU a row", "x linear", "MiB", "x scan")
    for name, scan in _SCANS.items():
        base = _cost(grown, name, _FROM, days)
        for size in grown:
            if name not in grown[size]:
                continue
            m, cost = grown[size][name], _cost(grown, name, size, days)
            scanned = f"{m.cpu / grown[size][scan].cpu:.1f}" if scan in grown[size] else ""
            yield _LINE.format(
                name,
                f"{size:g}",
                f"{_rows(grown, name, size, days):,}",
                f"{m.cpu * 1000:,.1f}",
                f"{cost * 1e9:,.0f}",
                f"{cost / base:.2f}" if base else "",
                f"{m.peak:,.0f}",
                scanned,
            ).rstrip()
    yield ""
    yield from (str(aim) for aim in growth_aims(grown, days))


def growth_aims(grown: Grown, days: int) -> list[Aim]:
    """Of each case that was measured at both sizes."""
    found = []
    for name in _SCANS:
        small, large = (_cost(grown, name, size, days) for size in (_FROM, _TO))
        if small and large:
            text = f"{name}: a row costs at {_TO:g}M at most {_LIMIT} x what it costs at {_FROM:g}M"
            found.append(Aim(text, large / small, large / small <= _LIMIT))
    return found


def _cost(grown: Grown, name: str, size: float, days: int) -> float:
    """CPU seconds a row; 0 where it was not measured."""
    measured = grown.get(size, {}).get(name)
    return measured.cpu / _rows(grown, name, size, days) if measured else 0.0


def _rows(grown: Grown, name: str, size: float, days: int) -> int:
    """Feed and message rows that the case reads for itself: as its scan counted them, else reckoned."""
    scan = grown[size].get(_SCANS[name])
    if scan:
        counted = [scan.facts[table] for table in ("feed_actions", "message_actions")]
        return sum(n for n in counted if isinstance(n, int))
    return round(size * 1.2e6 / (1 if "60" in name else days))
