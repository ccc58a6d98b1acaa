"""What Brevo answers and how connections to it fail, each as one sentence with its remedy.

Belongs here: reading answers, the words, and which of the three errors it is. Does not: asking (`brevo.py`).
"""

import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analytics_platform.contacts.base import (
    ContactRefusedError,
    ContactsBusyError,
    ContactsClosedError,
    ContactsError,
    ImportState,
)
from analytics_platform.funnels.person import masked
from analytics_platform.redaction import redact

_LONGEST = 300
# Brevo is at work on the very same contact.
_IN_WORK = "account_in_process"
# Brevo's word under whatever status it comes.
_KEY = ("unauthorized", "permission_denied", "account_under_validation")
_CREDITS = ("not_enough_credits",)
# Not part of another word, as of "blacklisted".
_LIST = re.compile(r"\b(list_?ids?|lists?)\b", re.IGNORECASE)
_RUNNING = ("queued", "in_process", "processing")
_INVALID = "invalid_emails"
# No address that was sent has one of these in it.
_BETWEEN_CELLS = re.compile(r"[,;\t\r\n\"]+")


@dataclass(frozen=True)
class Answer:
    """A status with its headers (names in lower case) and its body, as it came."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def told(self) -> dict[str, Any]:
        """The JSON object in the body; empty where there is none."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):  # no JSON, or a thousand brackets deep
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def fine(self) -> bool:
        """Whether the status says so."""
        return 200 <= self.status < 300

    @property
    def saying(self) -> str:
        """Status, Brevo's code and message: without key and addresses, in one line."""
        words = [str(self.told.get(name) or "") for name in ("code", "message")]
        return _short(f"{self.status} {': '.join(filter(None, words))}")


class ListDoubtedError(ContactsClosedError):
    """A refusal that speaks of a list: that is missing, or, where the lists that were named are there, one that has
    to do with this contact alone (an exclusion list): `refused` is what it is then. Whoever named them looks.
    """

    def __init__(self, closed: ContactsClosedError, refused: ContactRefusedError) -> None:
        super().__init__(str(closed))
        self.refused = refused


def error_of(answer: Answer, seconds: float | None, host: str, about: str) -> ContactsError:
    """What an answer other than success means. `seconds`: how long Brevo wants to be left alone; `about`: the request,
    as the sentence names it.
    """
    status, said = answer.status, answer.saying
    code = str(answer.told.get("code") or "")
    if status == 429:
        wait = f" within {seconds:g} s" if seconds else ""
        return ContactsBusyError(f"Brevo wants no more requests{wait} ({said})", seconds)
    if status in (408, 425) or status >= 500 or code == _IN_WORK:
        return ContactsBusyError(f"Brevo cannot do it at the moment ({said}): try again later", seconds)
    if answer.fine:
        return ContactsBusyError(
            f"{host} answers {status}, but not in Brevo's way: something on the way there may have"
        )
    if status == 401 or code in _KEY[:1]:
        return ContactsClosedError(
            f"Brevo does not accept BREVO_API_KEY ({said}): copy the key anew, and let this machine's address in where "
            "Brevo lets in known ones alone"
        )
    if status == 402 or code in _CREDITS:
        return ContactsClosedError(f"Brevo does no more under this plan ({said}): look at the plan and its credits")
    if status == 403 or code in _KEY:
        return ContactsClosedError(f"Brevo does not let the key of BREVO_API_KEY do it ({said}): see its rights")
    if status in (404, 405) or 300 <= status < 400:
        return ContactsClosedError(f"{host} has no {about} ({said}): check BREVO_BASE_URL")
    refused = ContactRefusedError(f"Brevo refuses the {about} ({said})")
    if status == 400 and _LIST.search(masked(str(answer.told.get("message") or ""))):
        return ListDoubtedError(no_list(said), refused)
    return refused


def no_list(said: str) -> ContactsClosedError:
    """A list is not there, or is none that contacts are added to."""
    return ContactsClosedError(
        f"Brevo does not know a list ({said}): check BREVO_LANGUAGE_LIST_ID and BREVO_NON_LANGUAGE_LIST_ID"
    )


def lost(error: BaseException, host: str, seconds: float) -> ContactsError:
    """No connection, or one that broke off. `seconds`: how long each step of it was waited for."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            return ContactsClosedError(
                f"{host} shows a certificate that cannot be trusted ({_short(below.verify_message)}): check "
                "BREVO_BASE_URL and this machine's certificates and clock"
            )
        below = below.__cause__ or below.__context__
    kind = type(error).__name__
    if kind in ("ConnectTimeout", "ConnectError"):
        return ContactsBusyError(f"{host} cannot be reached ({kind}): check the network, and BREVO_BASE_URL")
    if "Timeout" in kind:
        return ContactsBusyError(f"{host} does not answer within {seconds:g} s: try again later")
    return ContactsBusyError(f"the connection to {host} broke off ({kind}): try again later")


def state_of(told: Mapping[str, Any]) -> tuple[ImportState, str | None] | None:
    """What `GET /processes/{id}` says, and where the addresses that Brevo refused are listed; None: no state at all."""
    status = str(told.get("status") or "")
    if not status:
        return None
    if status in _RUNNING:
        return ImportState(done=False, about=f"Brevo's import is {status}"), None
    if status != "completed":
        return ImportState(done=True, failed=True, about=f"Brevo's import ended as {_short(status)}"), None
    info = told.get("info")
    reports = info.get("import") if isinstance(info, dict) else None
    named = {str(name): str(link) for name, link in reports.items() if link} if isinstance(reports, dict) else {}
    also = f", with reports of {_short(', '.join(sorted(named)))}" if named else ""
    return ImportState(done=True, about=f"Brevo's import is completed{also}"), named.get(_INVALID)


def addresses(report: bytes) -> tuple[str, ...]:
    """Whatever looks like an address in a report of Brevo's (CSV with commas or semicolons), lower-cased, each once."""
    cells = (cell.strip().lower() for cell in _BETWEEN_CELLS.split(report.decode("utf-8-sig", "replace")))
    return tuple(dict.fromkeys(cell for cell in cells if "@" in cell))


def _short(text: str) -> str:
    # Cut last: half an address would no longer be known as one.
    return " ".join(masked(redact(text)).split()).rstrip(".")[:_LONGEST]
