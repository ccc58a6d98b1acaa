"""What was measured, as text: one table, and what was aimed at beside what was reached.

Belongs here: formatting, ratios, aims. Does not: measuring.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cases import CHATS, DAY_TICKS, MEASURES, Case, Group
from benchmarks.measure import Measured

Results = Mapping[str, Measured]
_LINE = "{:<16}{:<42}{:>10}{:>10}{:>8}{:>8}{:>9}{:>9}"


_DAY = ("ours", "hand", "hand_facts", "polars", "pandas", "pandas_text")
_SERVER_DAY = ("c_ours", "c_hand", "c_hand_facts", "c_pandas_text")
_BACKFILL = ("ours60", "hand60", "hand_facts60", "polars60", "pandas_text60")
_SERVER_BACKFILL = ("c_ours60", "c_hand60", "c_pandas_text60")
# Cases of a line compute the same figures, on whichever engine.
_ALIKE = ((*_DAY, *_SERVER_DAY), (*_BACKFILL, *_SERVER_BACKFILL), ("audience", "c_audience"))


@dataclass(frozen=True)
class Aim:
    """What a figure should be, and what it is."""

    text: str
    value: float
    met: bool

    def __str__(self) -> str:
        return f"{'met   ' if self.met else 'missed'}  {self.text}: {self.value:.3g}"


def aims(results: Results) -> list[Aim]:
    """Those for which all cases were run."""

    def cpu(name: str) -> float | None:
        return results[name].cpu if name in results else None

    found = []

    def at_most(text: str, top: float | None, bottom: float | None, limit: float) -> None:
        if top and bottom:
            found.append(Aim(text, top / bottom, top / bottom <= limit))

    at_most("a day on DuckDB costs at most 5 x f_max", cpu("ours"), cpu("f_max"), 5)
    at_most("a day on ClickHouse costs at most 8 x c_max", cpu("c_ours"), cpu("c_max"), 8)
    if (ours := cpu("ours")) and (old := cpu("pandas_text")):
        found.append(Aim("a day costs at least 8 times less than pandas over text", old / ours, old / ours >= 8))
    at_most("all days on DuckDB cost at most 8 x f60_max", cpu("ours60"), cpu("f60_max"), 8)
    at_most("all days on ClickHouse cost at most 8 x c60_max", cpu("c_ours60"), cpu("c60_max"), 8)
    if "ours60" in results:
        total = results["ours60"].total
        found.append(Aim("all days on DuckDB in less than 600 MiB, the whole process", total, total < 600))
    if "c_ours60" in results:
        # The engine alone is 300 MiB of a process that has it inside; with a server it is not in ours.
        peak = results["c_ours60"].peak
        found.append(Aim("all days on ClickHouse in less than 600 MiB, what the work added", peak, peak < 600))
    at_most("metrics across days cost at most 2 x a scan of user_day", cpu("audience"), cpu("u"), 2)
    at_most("the same on ClickHouse", cpu("c_audience"), cpu("c_u"), 2)
    at_most("the daily job takes less than 6 s of CPU", cpu("job"), 1, 6)
    at_most("the app report takes less than 8 s of CPU", cpu("job_app"), 1, 8)
    if "ticks" in results:
        facts = results["ticks"].facts
        # A part of a day says what a tick costs, not what a day does.
        if facts.get("ticks") == DAY_TICKS:
            at_most("a day of ticks takes less than 10 s of CPU", cpu("ticks"), 1, 10)
        worst, spent = max(_each_tick(facts).items(), key=lambda each: each[1][0])
        at_most(f"a tick takes less than 50 ms of CPU ({worst})", spent[0], 1, 50)
    found.extend(_delivery_aims(results))
    return found


def _delivery_aims(results: Results) -> Iterator[Aim]:
    """Of full size alone: few chats take as long as one chat's own pace."""
    for name, limit in (("delivery", 1.1), ("delivery_two", None)):
        facts = results[name].facts if name in results else {}
        if facts.get("chats") != CHATS[name]:
            continue
        pace, floods = facts.get("pace"), facts.get("floods")
        if limit and isinstance(pace, float):
            yield Aim("500 chats take at most 1.1 x what Telegram's limits allow", pace, pace <= limit)
        if isinstance(floods, int):
            yield Aim(f"no answer 429 ({name})", floods, not floods)


def agreements(results: Results) -> dict[tuple[str, ...], bool]:
    """The cases that compute the same thing, and whether every cell of theirs is equal."""
    found = {}
    for alike in _ALIKE:
        sums = {name: results[name].facts["checksum"] for name in alike if name in results}
        if len(sums) > 1:
            found[tuple(sums)] = len(set(sums.values())) == 1
    return found


def lines(cases: Sequence[Case], results: Results) -> Iterator[str]:
    """The table and the aims."""
    yield _LINE.format("case", "", "CPU ms", "wall ms", "MiB", "total", "x first", "x max")
    for group in Group:
        members = [case for case in cases if case.group is group]
        if not members:
            continue
        yield f"\n{group}{_rows(members, results)}"
        first = results[members[0].name].cpu
        measure = MEASURES.get(group, "")
        top = results[measure].cpu if measure in results else 0.0
        for case in members:
            yield from _case(case, results[case.name], first, top)
    yield ""
    yield from (str(aim) for aim in aims(results))
    for names, same in agreements(results).items():
        yield f"{'same' if same else 'DIFFERENT'} numbers in every cell: {', '.join(names)}"


def _case(case: Case, measured: Measured, first: float, top: float) -> Iterator[str]:
    def row(name: str, about: str, cpu: float, *others: str) -> str:
        wall, peak, total = others or ("", "", "")
        ratios = [f"{cpu / of:.1f}" if of else "" for of in (first, top)]
        return _LINE.format(name, about, f"{cpu * 1000:,.1f}", wall, peak, total, *ratios).rstrip()

    m = measured
    yield row(case.name, case.about, m.cpu, f"{m.wall * 1000:,.1f}", f"{m.peak:,.0f}", f"{m.total:,.0f}")
    for part, cpu in m.parts.items():
        yield row("", f"  {part}", cpu)
    if isinstance(checks := m.facts.get("checks_cpu"), float):
        yield row("", "  on top: what the checks read", checks)
    for kind, (mean, most) in _each_tick(m.facts).items():
        yield (
            _LINE.format("", f"  {kind}", "", "", "", "", "", "").rstrip() + f": a tick {mean:.1f}, at most {most:.1f}"
        )
    if isinstance(dearest := m.facts.get("dearest_day_cpu"), float):
        yield row("", "  reckoned: data never comes", dearest)
    if "floods" in m.facts:
        yield _LINE.format("", f"  {_delivery(m.facts)}", "", "", "", "", "", "").rstrip()
    if isinstance(rows := m.facts.get("rows"), int) and m.cpu:
        yield _LINE.format("", f"  {rows / m.cpu:,.0f} rows per CPU second", "", "", "", "", "", "").rstrip()


def _delivery(facts: Mapping[str, Any]) -> str:
    seconds, allowed, pace = facts["seconds"], facts["allowed"], facts["pace"]
    told = [
        f"{facts['chats']} chats in {seconds:.1f} s, {pace:.2f} x the {allowed:.1f} s allowed",
        f"{facts['requests']:,} requests, {facts['floods']} x 429, {facts['uploads']} files uploaded",
    ]
    if "writes_a_second" in facts:
        told.append(f"{facts['writes_a_second']:.0f} transactions a second of {facts['write_ms']:.1f} ms")
    return "; ".join(told)


def _each_tick(facts: Mapping[str, object]) -> Mapping[str, Sequence[float]]:
    """Mean and most CPU of a tick by kind, in ms; none for a case without ticks."""
    found = facts.get("tick_ms")
    return found if isinstance(found, Mapping) else {}


def _rows(members: Sequence[Case], results: Results) -> str:
    told = {}
    for case in members:
        for name, value in results[case.name].facts.items():
            if name in ("feed_actions", "message_actions", "user_days", "rows") and isinstance(value, int):
                told[name] = f"{value:,} {name}"
    return f": {', '.join(told.values())}" if told else ""
