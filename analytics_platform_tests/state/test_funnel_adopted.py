"""People of the replaced script in the ledger: at their own times, once, told of only where that is owed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analytics_platform.funnels.adoption import Adopted
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import JobStatus, NewEntry, Operation
from analytics_platform.state.funnels import FunnelLedger
from analytics_platform.state.leases import LeaseLostError
from analytics_platform.state.owners import Owner

NOW = datetime(2026, 11, 21, 11, 0, 0, 123456, tzinfo=UTC)
DAY = timedelta(days=1)
LANGUAGE, OTHER = FunnelType.LANGUAGE, FunnelType.NON_LANGUAGE
UPSERT, UPDATE = Operation.UPSERT_CONTACT, Operation.UPDATE_AFTER_PURCHASE


def adopted(name: str, funnel: FunnelType = LANGUAGE, **more: Any) -> Adopted:
    """Somebody who entered nine days ago."""
    values: dict[str, Any] = {"user_id": None, "test_id": None, "list_id": 7, "purchased_at": None}
    values |= {"customer_since": None, "to_add": False, "to_update": False, "doubt": None, "rows": 1}
    return Adopted(f"{name}@example.com", funnel, **{"entered_at": NOW - 9 * DAY, **values, **more})


def test_they_are_as_they_were_and_only_what_is_owed_is_told(funnels: FunnelLedger) -> None:
    lease = funnels.take(Owner("me", "here", 1), NOW, timedelta(hours=1), lambda _: False)
    assert funnels.enter(lease, [NewEntry("there@example.com", LANGUAGE, 1, 2, 7)], NOW) == 1
    bought = NOW - 3 * DAY
    people = [
        adopted("there", to_add=True),
        adopted("there", OTHER),
        adopted("told", purchased_at=bought),
        adopted("owed", to_add=True, purchased_at=bought, to_update=True),
        adopted("customer", customer_since=NOW - 10 * DAY),
        adopted("numbered", user_id=5, test_id=6, to_add=True),
    ]
    assert funnels.adopt(lease, people, NOW) == 5
    found = {(entry.email.partition("@")[0], entry.funnel): entry for entry in funnels.rows(None, None)}
    assert len(found) == 6
    assert found["there", LANGUAGE].entered_at == NOW
    assert {entry.entered_at for key, entry in found.items() if key != ("there", LANGUAGE)} == {NOW - 9 * DAY}
    assert found["told", LANGUAGE].purchased_at == found["owed", LANGUAGE].purchased_at == bought
    assert found["customer", LANGUAGE].customer_since == NOW - 10 * DAY
    assert (found["numbered", LANGUAGE].user_id, found["numbered", LANGUAGE].test_id) == (5, 6)
    assert len(funnels.unpublished(9)) == 6
    assert {entry.email for entry in funnels.open_entries(0, 9)} == {
        f"{name}@example.com" for name in ("there", "numbered")
    }

    ordinary, *jobs = funnels.jobs(list(JobStatus), 9)
    assert [(job.email.partition("@")[0], job.operation) for job in jobs] == [
        ("owed", UPSERT),
        ("numbered", UPSERT),
        ("owed", UPDATE),
    ]
    assert jobs[1].payload == {**ordinary.payload, "user_id": 5, "test_id": 6}
    for job in jobs:
        assert (job.status, job.retries, job.last_error, job.process_id) == (JobStatus.PENDING, 0, "", None)
        assert job.next_attempt_at == job.created_at == job.updated_at == NOW
    assert [job.operation for job in funnels.due(NOW, 9)] == [UPSERT] * 3, "an update waits for its contact"

    assert funnels.adopt(lease, people, NOW + DAY) == 0
    assert len(funnels.jobs(list(JobStatus), 9)) == 4
    funnels.release(lease)
    with pytest.raises(LeaseLostError):
        funnels.adopt(lease, [adopted("late")], NOW)
    assert len(list(funnels.rows(None, None))) == 6
