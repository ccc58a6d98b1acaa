"""`alerts train`: a detector fitted to what people said of incidents.

Belongs here: the verb. Does not: training (`defs/training.py`).
"""

from analytics_platform.cli.console import Bars, out
from analytics_platform.cli.context import HomeOption, begin


def train(home: HomeOption = None) -> None:
    """Learn from all verdicts so far which findings are worth an alert; used only where it beats the default.

    Example: `analytics-platform alerts train`
    """
    context = begin(home)
    with Bars() as bars:
        title = "judged incidents"
        bars.begin(title)
        from analytics_platform.defs.claims import now
        from analytics_platform.defs.resources import ledgers_of
        from analytics_platform.defs.training import train as fit

        ledgers = ledgers_of(context.home, context.settings)
        trained = fit(
            context.warehouse(),
            context.settings,
            ledgers,
            now(),
            lambda done, total: bars.step(title, done, total),
        )
        bars.finish(title)
    for line in trained.said:
        out.print(line, markup=False)
