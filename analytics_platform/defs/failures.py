"""Which failures are worth another try, and how a failure reads.

Belongs here: the one rule for retries. Does not: what goes wrong.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from analytics_platform.warehouses.base import WarehouseBusyError

RETRIES = 2
# Tag of a run that somebody waits for at a terminal.
FOREGROUND = "analytics_platform/foreground"


def later(context: dg.AssetExecutionContext, busy: Exception, pause_seconds: int) -> dg.RetryRequested | dg.Failure:
    """What to raise when only waiting can help: the run waits and tries again, unless somebody sits in front of it.

    The last try says what was wrong: of a request too many owners would hear that it was one too many.
    """
    if FOREGROUND in context.run.tags or context.retry_number >= RETRIES:
        return dg.Failure(str(busy), allow_retries=False)
    return dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=pause_seconds)


@contextmanager
def retried_when_transient(pause_seconds: int) -> Iterator[None]:
    """Ask Dagster for another try when only waiting can help; every other error is red at once.

    A wrong query or a missing column fails the same way later; a locked file does not.
    """
    try:
        yield
    except WarehouseBusyError as busy:
        raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=pause_seconds) from busy
