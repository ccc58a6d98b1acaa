"""How the stand-in says no, in Brevo's words, and how it falls silent.

Belongs here: statuses, codes and messages, and which request a fault is for. Does not: when (`brevo_server.py`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

# The lines: not before a while; the server or the way to it is at fault; no answer; the request is; whoever asks is;
# accepted before it goes wrong.
FaultKind = Literal[
    "limit_reached", "retry_after", "too_many",
    "server_error", "bad_gateway", "unavailable", "timed_out", "page", "moved", "no_route",
    "drop", "stall",
    "invalid", "duplicate", "unknown_list", "in_process", "too_early", "not_found",
    "unauthorized", "no_credits", "forbidden",
    "accepted_drop", "accepted_stall", "accepted_bad_gateway", "broken_json", "slow", "import_failed",
]  # fmt: skip
AFTER_ACCEPTING = ("accepted_drop", "accepted_stall", "accepted_bad_gateway", "broken_json", "slow", "import_failed")
SILENT = ("accepted_drop", "accepted_stall", "slow")
_LONG = 30.0
_GATEWAY = b"<html><h1>502 Bad Gateway</h1></html>"

_ERRORS = {
    "too_many": (429, "too_many_requests", "API rate limit exceeded"),
    "limit_reached": (429, "too_many_requests", "API rate limit exceeded"),
    "retry_after": (429, "too_many_requests", "API rate limit exceeded"),
    "server_error": (500, "internal_error", "Something went wrong"),
    "unavailable": (503, "unavailable", "Service unavailable"),
    "timed_out": (408, "timeout", "Request timed out"),
    "invalid": (400, "invalid_parameter", "Invalid email address"),
    "duplicate": (400, "duplicate_parameter", "Contact already exist"),
    "unknown_list": (400, "invalid_parameter", "Invalid list ids: List ID does not exist"),
    "in_process": (400, "account_in_process", "Contact is being processed"),
    "too_early": (425, "too_early", "Contact is being processed"),
    "not_found": (404, "document_not_found", "It does not exist"),
    "unauthorized": (401, "unauthorized", "Key not found"),
    "no_credits": (402, "not_enough_credits", "Not enough credits"),
    "forbidden": (403, "permission_denied", "Permission denied"),
}


@dataclass(frozen=True)
class Reply:
    """What goes back after `delay` seconds; nothing, and the connection is closed, for a status of 0."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0


@dataclass
class Fault:
    """What goes wrong, for the next `times` requests that match; None matches all, 0 times is for ever.

    `path`: without `/v3`, `*` for any part of it; `email`: of the contact. `value`: seconds for limit_reached,
    retry_after (also a date), unavailable, stall and slow; the message for those that have a code; the body of a page.
    """

    kind: FaultKind
    path: str | None = None
    method: str | None = None
    email: str | None = None
    times: int = 1
    value: float | str | None = None

    def matches(self, method: str, path: str, told: Any) -> bool:
        """Whether it happens to this request."""
        here = self.method in (None, method) and (self.path is None or fnmatchcase(path, self.path))
        return here and (self.email is None or (isinstance(told, dict) and told.get("email") == self.email))


def error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    """A refusal in Brevo's form."""
    return Reply(status, json.dumps({"code": code, "message": message}).encode(), headers or {})


def reply(fault: Fault, limits: Mapping[str, str], answer: Reply | None = None) -> Reply:
    """What is answered for a fault: in place of `answer` once it was accepted. `limits`: the usual headers."""
    seconds = fault.value if isinstance(fault.value, int | float) else _LONG
    match fault.kind:
        case "drop" | "accepted_drop":
            return Reply(0)
        case "stall" | "accepted_stall":
            return Reply(0, delay=seconds)
        case "bad_gateway" | "accepted_bad_gateway":
            return Reply(502, _GATEWAY, {"Content-Type": "text/html"})
        case "page":
            page = fault.value if isinstance(fault.value, str) else "<html>Welcome to this network</html>"
            return Reply(200, page.encode(), {"Content-Type": "text/html"})
        case "moved":
            return Reply(301, b"", {"Location": "/elsewhere"})
        case "no_route":
            return Reply(404, b'{"message": "no Route matched with those values"}')
        case "broken_json":
            return Reply(answer.status if answer else 200, b'{"id": 1, "na', limits)
        case "slow" if answer:
            return Reply(answer.status, answer.body, limits, delay=seconds)
    status, code, message = _ERRORS[fault.kind]
    headers = dict(limits)
    if fault.kind == "limit_reached":
        headers |= {"x-sib-ratelimit-remaining": "0"}
        headers |= {} if fault.value is None else {"x-sib-ratelimit-reset": str(fault.value)}
    if fault.kind == "retry_after" or (fault.kind == "unavailable" and fault.value is not None):
        headers |= {"Retry-After": str(fault.value)}
    if status == 429 and fault.kind == "too_many":
        headers = {}
    said = fault.value if isinstance(fault.value, str) and status < 429 else message
    return error(status, code, said, headers)
