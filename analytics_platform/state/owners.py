"""Whose a claim is, and whether that process has provably ended.

Belongs here: the owner of a claim and the proof of its end. Does not: leases (`runs.py`), holding the lock (whoever
does the work holds it while it lives; the kernel lets go of it however the process ends).
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process that does a run's work. `lock`: the file it keeps locked while it lives; empty when there is none."""

    run_id: str
    host: str
    pid: int
    lock: str = ""


def is_gone(owner: Owner, *, host: str) -> bool:
    """Whether the owner's process has provably ended: it was on this `host`, and its lock is free or removed.

    False whenever that cannot be proved: another host, no lock, a lock that may not be opened. Never removes the file.
    """
    from filelock import FileLock, Timeout

    if owner.host != host or not owner.lock:
        return False
    # Looked for first: taking the lock would create the file.
    if not Path(owner.lock).exists():
        # Two machines may have one name: the missing file proves something only where its folder is.
        return Path(owner.lock).parent.is_dir()
    try:
        with FileLock(owner.lock, timeout=0):
            return True
    except (Timeout, OSError):
        return False
