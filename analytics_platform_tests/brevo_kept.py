"""What the stand-in for Brevo keeps: contacts, imports, requests, and an account to begin with.

Belongs here: its records, and which values an attribute takes. Does not: what is done with them (`brevo_server.py`).
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

API_KEY = "xkeysib-of-the-stand-in"
LISTS = {7: "Language tests", 8: "Other tests"}
# What becomes of a value of another type: it is left out, as is an attribute that is not there.
ATTRIBUTES = {
    "FIRSTNAME": "text",
    "LASTNAME": "text",
    "FUNNEL_TYPE": "text",
    "CERTIFICATE_PURCHASED": "float",
    "CERTIFICATE_PURCHASED_AT": "date",
}
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
ACCOUNT = {
    "organization_id": "1",
    "user_id": 1,
    "enterprise": False,
    "companyName": "Stand-in Ltd",
    "email": "owner@stand-in.example",
    "firstName": "Stand",
    "lastName": "In",
    "address": {"city": "Here", "country": "Nowhere", "street": "Main", "zipCode": "1"},
    "plan": [{"type": "free", "credits": 300, "creditsType": "sendLimit"}],
    "relay": {"enabled": False, "data": {"port": 587, "relay": "relay.example", "userName": "owner"}},
}


@dataclass(frozen=True)
class Limit:
    """So many requests in windows of so many seconds, for each group of paths (the first word of a path)."""

    requests: int = 36_000
    seconds: float = 3600


@dataclass(frozen=True)
class Request:
    """One request, refused ones included. `path`: without `/v3`; `at`: monotonic seconds; `connection`: its number."""

    number: int
    method: str
    path: str
    body: Any = field(repr=False)
    at: float
    key: str = field(repr=False)
    connection: int


@dataclass
class Kept:
    """A contact as Brevo has it. `added`: how many times it was newly put on each list."""

    id: int
    email: str = field(repr=False)
    attributes: dict[str, Any] = field(default_factory=dict)
    lists: set[int] = field(default_factory=set)
    added: "Counter[int]" = field(default_factory=Counter)
    told: int = 0


@dataclass
class Process:
    """An import. `polls`: how often it was asked after."""

    id: int
    items: Sequence[Mapping[str, Any]] = field(repr=False)
    list_ids: Sequence[int]
    begun: float
    fails: bool = False
    polls: int = 0
    status: str = "queued"
    refused: list[str] = field(default_factory=list, repr=False)


def fits(value: Any, kind: str) -> bool:
    """Whether an attribute of that kind takes the value."""
    match kind:
        case "text":
            return isinstance(value, str)
        case "float":
            return isinstance(value, int | float)
        case "boolean":
            return isinstance(value, bool)
        case "date":
            return isinstance(value, str) and bool(_DAY.match(value))
    return False
