"""metrics/daily_slices: the catalogue's metrics by every dimension, and what must hold for them.

Belongs here: composing the statement, and the rules that its rows obey. Does not: running either.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from analytics_platform.metrics.catalog import METRICS, Count, Distinct, Metric, Ratio, Source, summed
from analytics_platform.metrics.dimensions import DIMENSIONS, TOTAL, Dimension, Labels, attributes
from analytics_platform.queries import Query, Value, compose

Row = Mapping[str, object]


def daily_slices(
    day: date,
    labels: Labels,
    metrics: Iterable[Metric] = METRICS,
    dimensions: Iterable[Dimension] = DIMENSIONS,
) -> Query:
    """The rows of metrics/daily_slices for one day: one per dimension and value, plus the total."""
    metrics, dimensions = tuple(metrics), tuple(dimensions)
    params: dict[str, Value] = {"event_date": day}

    return compose(
        "daily_slices",
        params,
        attributes=[a.name for a in attributes(dimensions)],
        dimensions=dimensions,
        metrics=metrics,
        additive=summed(metrics),
        distinct=[m for m in metrics if isinstance(m, Distinct)],
        labelled=lambda dimension: labelled(dimension, labels, params),
    )


def labelled(dimension: Dimension, labels: Labels, params: dict[str, Value]) -> str:
    """The dimension's value as SQL, with codes replaced by labels; both are added to the bound `params`."""
    pairs = labels.of(dimension.name) if dimension.labelled else {}
    if not pairs:
        return dimension.value
    branches = []
    for k, (code, label) in enumerate(sorted(pairs.items())):
        params[f"{dimension.name}_code_{k}"], params[f"{dimension.name}_label_{k}"] = code, label
        branches.append(f"WHEN ${dimension.name}_code_{k} THEN ${dimension.name}_label_{k}")
    return f"CASE {dimension.value} {' '.join(branches)} ELSE {dimension.value} END"


def slices_between(first: date, last: date, dimension: str = "", metrics: Iterable[Metric] = METRICS) -> Query:
    """Stored slices of the days first..last (both included), of one dimension or all."""
    return compose(
        "slices",
        {"first_day": first, "last_day": last, "dimension": dimension},
        metrics=tuple(metrics),
    )


def sum_violations(rows: Sequence[Row], metrics: Iterable[Metric] = METRICS) -> list[str]:
    """Where the slices of a dimension do not add up to the total, one sentence each; empty when all do.

    `rows` are the slices of one day.
    """
    metrics = summed(metrics)
    total = next((r for r in rows if r["dimension"] == TOTAL), None)
    if total is None:
        return ["the day has no total row"]
    sums: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys((m.name for m in metrics), 0))
    for row in rows:
        for metric in metrics:
            value = row[metric.name]
            sums[str(row["dimension"])][metric.name] += value if isinstance(value, int) else 0
    return [
        f"{dimension}: {name} adds up to {value}, the total is {total[name]}"
        for dimension, values in sorted(sums.items())
        for name, value in values.items()
        if value != total[name]
    ]


def null_violations(rows: Sequence[Row], metrics: Iterable[Metric] = METRICS) -> list[str]:
    """Rows with a dimension value or a summed metric that is missing, one sentence each."""
    wrong = []
    for row in rows:
        if row["dimension"] is None or row["dimension_value"] in (None, ""):
            wrong.append(f"{row['dimension']}: a row without a value")
        wrong += [
            f"{row['dimension']} {row['dimension_value']}: {m.name} is missing"
            for m in metrics
            if not isinstance(m, Ratio) and row[m.name] is None
        ]
    return wrong


def unusual_volumes(
    totals: Sequence[Row], days: Iterable[date], tolerance: float, metrics: Iterable[Metric] = METRICS
) -> dict[date, list[str]]:
    """Days whose number of events is far from the same weekday a week before, one sentence per count metric.

    `totals` are total rows (grain: day); a day without a week-ago row is not judged. `tolerance` is the share by which
    a count may differ: 0.5 allows from half to one and a half times.
    """
    by_day = {row["event_date"]: row for row in totals}
    # Every message is sent and received: one of the two is enough.
    counts = [m for m in metrics if isinstance(m, Count) and m.where == "true" and m.source is not Source.RECEIVED]
    found: dict[date, list[str]] = {}
    for day in days:
        now, before = by_day.get(day), by_day.get(day - timedelta(days=7))
        if now is None or before is None:
            continue
        found[day] = [
            f"{m.name} is {_number(now[m.name]):,}, a week before {_number(before[m.name]):,}"
            for m in counts
            if abs(_number(now[m.name]) - _number(before[m.name])) > tolerance * _number(before[m.name])
        ]
    return found


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
