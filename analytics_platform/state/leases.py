"""One process at a time: who holds the funnels, since when, until when, and whether it still does.

Belongs here: taking, renewing and giving back a lease; the fence: its token, checked in the transaction of every write
(`stop`: of one that needs no lease). Does not: what is written (`funnels.py`), when to renew (`held.py`).

A lease ends at its time, or when its process has provably ended. Hosts that share a database therefore need clocks that
agree to within its length; the fence needs none.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from analytics_platform.state.database import StateError, add_if_absent
from analytics_platform.state.owners import Owner

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

Gone = Callable[[Owner], bool]
_WHEN = "%Y-%m-%d %H:%M:%S UTC"


@dataclass(frozen=True)
class Lease:
    """`token`: what every write shows. `until`: aware, UTC; from then on another may take it."""

    name: str
    token: str = field(repr=False)
    owner: Owner
    until: datetime


class LeaseTakenError(StateError):
    """Another process holds it."""

    def __init__(self, name: str, owner: Owner, since: datetime, until: datetime) -> None:
        super().__init__(
            f"{name}: {_who(owner)} has been at it since {since:{_WHEN}}, until {until:{_WHEN}} unless it goes on; "
            "wait until it is done"
        )
        self.owner = owner
        self.since = since
        self.until = until


class LeaseLostError(StateError):
    """It was not renewed in time and is another's, or was given back. Nothing was written."""

    def __init__(self, lease: Lease, now_with: Owner | None) -> None:
        now = f"{_who(now_with)} has it" if now_with else "nobody has it"
        super().__init__(f"{lease.name}: {_who(lease.owner)} lost its turn, now {now}; nothing was written")


def take(con: "Connection", name: str, owner: Owner, now: datetime, *, length: timedelta, gone: Gone) -> Lease:
    """Within a transaction: the lease, the owner's until `now + length`. Raises LeaseTakenError."""
    free = {"name": name, "token": "", "since": now, "until": now, **_columns(Owner("", "", 0))}
    stored = _stored(con, name)
    while stored is None:
        from analytics_platform.state.funnel_models import LEASES

        add_if_absent(con, LEASES, free)
        stored = _stored(con, name)
    holder = _owner(stored)
    if holder is not None and stored["until"] > now and not gone(holder):
        raise LeaseTakenError(name, holder, stored["since"], stored["until"])
    lease = Lease(name, secrets.token_hex(16), owner, now + length)
    _store(con, name, {"token": lease.token, "since": now, "until": lease.until, **_columns(owner)})
    return lease


def check(con: "Connection", lease: Lease) -> None:
    """Within the transaction of a write, before it: nobody takes the lease before that ends. Raises LeaseLostError.

    A lease whose time is over, and which nobody took, is still its holder's.
    """
    stored = _stored(con, lease.name)
    if stored is None or stored["token"] != lease.token:
        raise LeaseLostError(lease, None if stored is None else _owner(stored))


def stop(con: "Connection", name: str) -> None:
    """Within a transaction: whoever has the lease writes nothing until that ends. For writes that need no lease."""
    _stored(con, name)


def renew(con: "Connection", lease: Lease, now: datetime, length: timedelta) -> Lease:
    """Within a transaction: it until `now + length`. Raises LeaseLostError."""
    check(con, lease)
    _store(con, lease.name, {"until": now + length})
    return Lease(lease.name, lease.token, lease.owner, now + length)


def release(con: "Connection", lease: Lease) -> None:
    """Within a transaction: nobody's. What is another's by now is left alone."""
    stored = _stored(con, lease.name)
    if stored is not None and stored["token"] == lease.token:
        _store(con, lease.name, {"token": ""})


def _stored(con: "Connection", name: str) -> "RowMapping | None":
    from sqlalchemy import select

    from analytics_platform.state.funnel_models import LEASES

    return con.execute(select(LEASES).where(LEASES.c.name == name).with_for_update()).mappings().first()


def _store(con: "Connection", name: str, values: dict[str, object]) -> None:
    from sqlalchemy import update

    from analytics_platform.state.funnel_models import LEASES

    con.execute(update(LEASES).where(LEASES.c.name == name).values(**values))


def _columns(owner: Owner) -> dict[str, object]:
    return {"run_id": owner.run_id, "host": owner.host, "pid": owner.pid, "lock": owner.lock}


def _owner(row: "RowMapping") -> Owner | None:
    return Owner(row["run_id"], row["host"], row["pid"], row["lock"]) if row["token"] else None


def _who(owner: Owner) -> str:
    return f"run {owner.run_id} (process {owner.pid} on {owner.host})"
