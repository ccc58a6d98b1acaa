"""Homes with simulated events and computed days, for the daily jobs and the scheduler's ticks.

Belongs here: their sizes, making them once a day. Does not: what is done in them (`__main__.py`, `ticks.py`).
"""

import hashlib
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import analytics_platform
from benchmarks.data import Place

# What `analytics-platform demo` makes by itself; fewer users in a run of fewer rows, but enough for a report.
DEMO_USERS, _DEMO_ROWS, _LEAST_USERS = 14_000, 50, 200
_SMALL_USERS, _SMALL_DAYS = 1_000, 9
# The packages that decide what is in a home: when one changes, the homes are made anew.
_MAKERS = ("defs", "metrics", "queries", "simulate", "sources", "state", "warehouses")


@dataclass(frozen=True)
class Kept:
    """A home whose events end on `last`, the day (UTC) before it was made; all days but that one are computed."""

    path: Path
    last: date


def make_home(place: Place, name: str) -> None:
    """Make the home `small` or `demo`, unless today's is there; those of another day or of other code are removed.

    Through the command line's own verbs, in this process: each start of one costs a second and a half.
    """
    users, days = _size(place, name)
    last = datetime.now(UTC).date() - timedelta(days=1)
    wanted = place.root / f"home-{users}x{days}-{last}-{_made_by()}"
    for path in place.root.glob("home-*x*-*"):
        # One of another size, made in this run, stays.
        if path != wanted and (f"-{last}-" not in path.name or path.name.startswith(f"home-{users}x{days}-")):
            shutil.rmtree(path, ignore_errors=True)
    if wanted.exists():
        return
    from analytics_platform.cli.main import app

    draft, events = place.root / "home-draft", place.root / "home-events"
    for folder in (draft, events):
        shutil.rmtree(folder, ignore_errors=True)
    size = ("--days", str(days), "--users", str(users))
    tables = ("--feed", str(events / "feed_actions"), "--messages", str(events / "message_actions"))
    computed = ("--from", str(last - timedelta(days=days - 1)), "--to", str(last - timedelta(days=1)))
    for verb in (("generate", *size, "--out", str(events)), ("load", *tables), ("materialize", *computed)):
        app([*verb, "--home", str(draft)], standalone_mode=False)
    shutil.rmtree(events)
    draft.rename(wanted)


def home_of(place: Place, name: str) -> Kept:
    """That home as it was made. RuntimeError when it was not."""
    users, days = _size(place, name)
    made = sorted(place.root.glob(f"home-{users}x{days}-*"))
    if not made:
        raise RuntimeError(f"the home {name!r} has not been made in {place.root}")
    return Kept(made[-1], date.fromisoformat("-".join(made[-1].name.split("-")[2:5])))


def _size(place: Place, name: str) -> tuple[int, int]:
    """Users and days. ValueError for another name."""
    demo_users = max(_LEAST_USERS, round(DEMO_USERS * min(1.0, place.rows / _DEMO_ROWS)))
    sizes = {"small": (min(_SMALL_USERS, demo_users), _SMALL_DAYS), "demo": (demo_users, max(_SMALL_DAYS, place.days))}
    if name not in sizes:
        raise ValueError(f"there is no home {name!r}; there are {', '.join(sizes)}")
    return sizes[name]


def _made_by() -> str:
    package = Path(analytics_platform.__file__).parent
    files = sorted(path for name in _MAKERS for path in (package / name).rglob("*") if path.suffix in (".py", ".sql"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]
