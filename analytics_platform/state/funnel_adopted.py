"""Rows of the funnel ledger for people whom a former script has let in, in one transaction.

Belongs here: SQL of that. Does not: whom they are (`funnels/adoption.py`), what ordinary entries are like
(`funnel_rows.py`), transactions (`funnels.py`). Imported only when the ledger is used: SQLAlchemy is heavy.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from analytics_platform.funnels.adoption import Adopted
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Entry, JobStatus, Operation
from analytics_platform.state.database import add_absent
from analytics_platform.state.entries import utc
from analytics_platform.state.funnel_jobs import FunnelJobs, chunks
from analytics_platform.state.funnel_models import ENTRIES, OUTBOX
from analytics_platform.state.funnel_rows import FunnelRows


def adopt(con: Connection, people: Sequence[Adopted], now: datetime) -> int:
    """Those who are not in their funnel yet, with the jobs of what is still to be told of them; how many."""
    rows = FunnelRows(con)
    wanted = {(one.funnel, one.email): one for one in people}
    for funnel in FunnelType:
        for email in rows.known(funnel, [email for kind, email in wanted if kind is funnel]):
            del wanted[funnel, email]
    if not wanted:
        return 0
    many = add_absent(con, ENTRIES, [_entry_row(one) for one in wanted.values()])
    added: list[tuple[Entry, Adopted]] = []
    for some in chunks(sorted({email for _, email in wanted})):
        found = rows.entries([ENTRIES.c.email.in_(some)], 0, len(some) * len(FunnelType))
        added += [(entry, wanted[place]) for entry in found if (place := (entry.funnel, entry.email)) in wanted]
    if welcome := [_job_row(entry, one, now) for entry, one in added if one.to_add]:
        add_absent(con, OUTBOX, welcome)
    bought = [(entry, one.purchased_at) for entry, one in added if one.to_update]
    FunnelJobs(con).bought([(entry, moment) for entry, moment in bought if moment is not None], now)
    return many


def _entry_row(one: Adopted) -> dict[str, Any]:
    return {
        "email": one.email,
        "funnel_type": one.funnel.value,
        "user_id": one.user_id,
        "test_id": one.test_id,
        "entered_at": utc(one.entered_at),
        "certificate_purchased": int(one.purchased_at is not None),
        "certificate_purchased_at": one.purchased_at and utc(one.purchased_at),
        "already_customer": int(one.customer_since is not None),
        "customer_since": one.customer_since and utc(one.customer_since),
        "published": 0,
    }


def _job_row(entry: Entry, one: Adopted, now: datetime) -> dict[str, Any]:
    payload = {
        "funnel_type": entry.funnel.value,
        "user_id": entry.user_id,
        "test_id": entry.test_id,
        "list_ids": [one.list_id],
        "attributes": {"FUNNEL_TYPE": entry.funnel.value},
    }
    return {
        "funnel_entry_id": entry.id,
        "operation_type": Operation.UPSERT_CONTACT.value,
        "payload": json.dumps(payload),
        "status": JobStatus.PENDING.value,
        "retry_count": 0,
        "last_error": "",
        "next_attempt_at": now,
        "created_at": now,
        "updated_at": now,
    }
