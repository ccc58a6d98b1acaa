"""What funnels are made of: tests taken, payments, entries, jobs for the mailing service.

Belongs here: the words that source, ledger and mailing service share. Does not: rules, SQL, requests.

All moments are aware, UTC. Addresses stand in these records as they are sent; whoever logs one logs `person.hashed`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from analytics_platform.funnels.plan import FunnelType


@dataclass(frozen=True, slots=True)
class Taken:
    """A test that somebody took: a row of the site. `email`: as it stands there."""

    result_id: int
    email: str = field(repr=False)
    test_id: int
    taken_at: datetime
    funnel: FunnelType


@dataclass(frozen=True, slots=True)
class Payment:
    """A certificate that was paid for, whose kind is the funnel's. `email`: as it stands in the site."""

    email: str = field(repr=False)
    funnel: FunnelType
    paid_at: datetime


@dataclass(frozen=True, slots=True)
class NewEntry:
    """Somebody who is to enter a funnel. `email`: normalised. `customer_since`: bought before, so is not written to.

    `user_id`: the row of the site that led here; `list_id`: where the contact is to be added.
    """

    email: str = field(repr=False)
    funnel: FunnelType
    user_id: int
    test_id: int
    list_id: int
    customer_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody in a funnel. At most one of `purchased_at` (at or after entry, in time) and `customer_since` is set."""

    id: int
    email: str = field(repr=False)
    funnel: FunnelType
    user_id: int | None
    test_id: int | None
    entered_at: datetime
    purchased_at: datetime | None = None
    customer_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a payment makes of an open entry: a purchase, or the news that it was a customer's all along."""

    entry_id: int
    funnel: FunnelType
    purchased_at: datetime | None = None
    customer_since: datetime | None = None


class Operation(StrEnum):
    """What the mailing service is to be told."""

    UPSERT_CONTACT = "upsert_contact"
    UPDATE_AFTER_PURCHASE = "update_after_purchase"


class JobStatus(StrEnum):
    """What became of a job."""

    PENDING = "pending"
    IMPORTING = "importing"  # handed over with others; the mailing service works on it
    SUCCESS = "success"
    FAILED = "failed"
    DROPPED = "dropped"  # a person gave it up


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the outbox, with its entry's address. `payload`: funnel_type, user_id, test_id, list_ids, attributes.

    The lists are those of the entry, for the record: a contact goes to where its funnel leads when it is told.
    `process_id`: the import that it is part of. `retries`: how many times it was tried again.
    """

    id: int
    entry_id: int
    operation: Operation
    email: str = field(repr=False)
    payload: Mapping[str, Any] = field(repr=False)
    status: JobStatus
    retries: int
    last_error: str
    next_attempt_at: datetime
    created_at: datetime
    updated_at: datetime
    process_id: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a try of a job came to. `error`: without addresses. `next_attempt_at`: of one that is still pending."""

    job_id: int
    status: JobStatus
    retries: int
    error: str = ""
    next_attempt_at: datetime | None = None
    process_id: int | None = None
