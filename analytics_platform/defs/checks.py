"""What must hold before a number goes out, as results of asset checks.

Belongs here: turning rules of `metrics/` and measured totals into check results. Does not: the rules themselves.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import dagster as dg

FACTS_MATCH = "counts_match_events"
RECEIVED_IS_SENT = "messages_received_equal_sent"
SLICES_ADD_UP = "slices_sum_to_total"
NO_NULLS = "no_missing_values"
USUAL_VOLUME = "volume_as_usual"

Problems = Mapping[date, Sequence[str]]


def result(name: str, key: dg.AssetKey, days: Sequence[date], problems: Problems) -> dg.AssetCheckResult:
    """Red when a day has a problem; downstream assets do not run then."""
    return _result(name, key, days, problems, dg.AssetCheckSeverity.ERROR)


def warning(name: str, key: dg.AssetKey, days: Sequence[date], problems: Problems) -> dg.AssetCheckResult:
    """A warning when a day has a problem; downstream assets run all the same."""
    return _result(name, key, days, problems, dg.AssetCheckSeverity.WARN)


def _result(
    name: str, key: dg.AssetKey, days: Sequence[date], problems: Problems, severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    wrong = {day: sentences for day, sentences in problems.items() if sentences}
    lines = [f"{day}: {sentence}" for day, sentences in sorted(wrong.items()) for sentence in sentences]
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=key,
        passed=not wrong,
        severity=severity,
        description="; ".join(lines[:10]) + (f"; and {len(lines) - 10} more" if len(lines) > 10 else "") or None,
        metadata={"days_checked": len(days), "days_wrong": len(wrong)},
    )
