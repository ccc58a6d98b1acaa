"""What `doctor` says of places outside: Redis for rankings, DynamoDB for visits.

Belongs here: asking each whether it can be used. Does not: warehouse, state, delivery (`doctor.py`).
"""

from collections.abc import Iterator

from analytics_platform.cli.context import Context
from analytics_platform.cli.finding import Finding
from analytics_platform.settings import Settings, SettingsError


def outside(context: Context) -> Iterator[Finding]:
    """Redis and DynamoDB, as far as the settings name them."""
    yield from _redis(context.settings)
    yield from _visits(context.settings)


def _redis(settings: Settings) -> Iterator[Finding]:
    from analytics_platform.defs.resources import store_of
    from analytics_platform.rankings.documents import KEYS
    from analytics_platform.stores.base import StoreError

    if settings.redis_url is None:
        return
    try:
        store = store_of(settings)
    except StoreError as error:
        yield Finding("problem", str(error), "docs/rankings.md")
        return
    if store is None:
        return
    wrong = store.check(KEYS)
    if not wrong:
        yield Finding("ok", f"rankings: {store.place}")
    for sentence in wrong:
        yield Finding("problem", f"rankings: {sentence}", "docs/rankings.md")


def _visits(settings: Settings) -> Iterator[Finding]:
    from analytics_platform.defs.resources import visits_of, write_back_of
    from analytics_platform.sources.dynamodb import DynamoError

    try:
        source, back = visits_of(settings), write_back_of(settings)
        if source is not None:
            yield Finding("ok", f"visits: {source.check()}")
        if back is not None:
            yield Finding("ok", f"visitor reports are written back: {back.check()}")
    except (SettingsError, DynamoError) as error:
        yield Finding("problem", f"visits: {error}", "docs/visitors.md")
