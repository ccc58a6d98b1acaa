"""The demo's scoreboard: what alerts make of the incidents that were planted into its events.

Belongs here: printing it. Does not: how incidents are matched (`alerts/scoreboard.py` says it), the replay.
"""

from datetime import UTC, date, timedelta

from analytics_platform.cli.alerts_lab import explainer, lab, truth
from analytics_platform.cli.console import out, show_table
from analytics_platform.cli.context import Context
from analytics_platform.metrics.windows import day_start

WARM_UP = 14  # days from which detectors learn what is usual before anything is planted


def show_scoreboard(context: Context, first: date, last: date) -> None:
    """Replay the local days first..last but the first two weeks, and print found, blamed and false."""
    since = first + timedelta(days=WARM_UP)
    if since > last:
        out.print(f"\nno alerts are judged: they learn from {WARM_UP} days, and there are {(last - first).days + 1}")
        return
    history = lab(context, since, last)
    from analytics_platform.alerts.scoreboard import rows, score, summary
    from analytics_platform.language import Language

    zone = context.settings.zone
    begin = day_start(since, zone).replace(tzinfo=UTC)
    board = score(truth(context), history.replayed(), explainer(context), begin)
    out.print()
    show_table(list(rows(board, zone, Language("en"))), title="alerts: planted incidents, and what was made of them")
    for sentence in summary(board, zone):
        out.print(sentence, markup=False)
