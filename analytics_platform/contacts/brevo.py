"""Brevo: contacts added and changed through its API, one by one or as an import.

Belongs here: the requests, and what is tried again. Does not: the pace (`brevo_pace.py`), what answers mean
(`brevo_answers.py`), leaving a service alone that keeps failing (`breaker.py`), which contacts (`funnel_outbox.py`).

Every request may be repeated, after an uncertain end too: Brevo knows a contact by its address and adds it to a list
once, so the second telling changes nothing, while a contact that nobody told is lost. That goes for an import as well:
it leaves what it does not name, and sends no notification.
"""

import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt

from analytics_platform.contacts.base import (
    Contact,
    ContactRefusedError,
    ContactsBusyError,
    ContactsClosedError,
    ContactsError,
    ImportState,
)
from analytics_platform.contacts.brevo_answers import (
    Answer,
    ListDoubtedError,
    addresses,
    error_of,
    lost,
    no_list,
    state_of,
)
from analytics_platform.contacts.brevo_pace import Pace
from analytics_platform.redaction import install_redaction, register_secret

if TYPE_CHECKING:
    import httpx

# Brevo takes 10 MB and recommends to stay under 8.
IMPORT_BYTES = 8_000_000
# Whoever asks to be left alone for longer is asked again in another run.
LONGEST_WAIT_SECONDS = 60.0
_JITTER_SECONDS = 0.5
# Of an answer: a report of all addresses of an import that are none is no longer than the import.
_LONGEST_ANSWER = 2 * IMPORT_BYTES
_LARGEST = 2**63 - 1
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Brevo:
    """An account at Brevo, by its API key. Connections are kept between calls until `close`. One thread at a time."""

    def __init__(
        self,
        api_key: SecretStr,
        base_url: str,
        *,
        timeout_seconds: float = 10,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        retries: int = 3,
    ) -> None:
        """Connects to nothing yet. ContactsClosedError for a key or an address that cannot be one.

        `base_url`: with the version (`.../v3`). `timeout_seconds`: for connecting, and for each part of an answer.
        `sleep` and `clock`: seconds; `jitter`: from 0 to 1, so that many who failed together do not come together.
        `retries`: after 1, 2, 4, ... s, and not before Brevo wants it; beyond 60 s it is left to the caller.
        """
        key = api_key.get_secret_value().strip()
        # Anything else would fail as a header, with an error that shows it.
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ContactsClosedError("BREVO_API_KEY is not a key: copy it from Brevo's settings, under API keys")
        self._base, self._host = _parsed(base_url)
        register_secret(key)
        self._key = SecretStr(key)
        self._timeout, self._retries = timeout_seconds, retries
        self._sleep, self._clock, self._jitter = sleep, clock, jitter
        self._pace = Pace()
        self._client: httpx.Client | None = None

    def __repr__(self) -> str:
        return f"Brevo({self._host})"

    def upsert(self, contact: Contact) -> None:
        """See `base.Contacts`. Attributes that Brevo does not know are left out by it without a word."""
        body: dict[str, object] = {"email": contact.email, "updateEnabled": True}
        if contact.list_ids:
            body["listIds"] = list(contact.list_ids)
        if contact.attributes:
            body["attributes"] = dict(contact.attributes)
        data = _json(body)
        self._to_lists(contact.list_ids, lambda: self._ask("POST", "/contacts", "contact", _told, data))

    def import_chunks(self, contacts: Sequence[Contact]) -> Iterator[Sequence[Contact]]:
        """See `base.Contacts`. A contact that is too big by itself is a part by itself."""
        begun = size = len(_import_body([], ()))
        start = 0
        for place, contact in enumerate(contacts):
            added = _size(contact) + 1  # with its comma
            # The numbers of the lists come on top; nobody has a thousand.
            if place > start and size + added > IMPORT_BYTES - 10_000:
                yield contacts[start:place]
                start, size = place, begun
            size += added
        if contacts:
            yield contacts[start:]

    def start_import(self, contacts: Sequence[Contact], list_ids: Sequence[int]) -> int:
        """See `base.Contacts`. ContactRefusedError, before anything is sent, for more than 8 MB.

        ValueError for no contacts or no lists.
        """
        if not contacts or not list_ids:
            raise ValueError("an import needs contacts and lists")
        body = _import_body([_item(contact) for contact in contacts], list_ids)
        if len(body) > IMPORT_BYTES:
            said = f"an import of {len(body)} bytes is above {IMPORT_BYTES}: cut it into parts"
            raise ContactRefusedError(said, asked=False)

        def read(answer: Answer) -> int | None:
            return _number(answer.told, "processId")

        return self._to_lists(list_ids, lambda: self._ask("POST", "/contacts/import", "import", read, body))

    def import_state(self, process_id: int) -> ImportState:
        """See `base.Contacts`. An import that Brevo does not know (any more) has failed, and so has one whose refused
        addresses cannot be read: telling everybody again is better than taking the refused ones for told.

        Asked once: it is not tried again.
        """

        def read(answer: Answer) -> tuple[ImportState, str | None] | None:
            if answer.status == 404 and answer.told.get("code"):
                about = f"Brevo does not know the import ({answer.saying})"
                return ImportState(done=True, failed=True, about=about), None
            return state_of(answer.told) if answer.fine else None

        state, report = self._ask("GET", f"/processes/{int(process_id)}", "import", read, retries=0)
        return state if report is None else self._with_report(state, report)

    def list_name(self, list_id: int) -> str:
        """What the list is called. ContactsClosedError when there is none of that number."""

        def read(answer: Answer) -> str | ContactsError | None:
            if answer.status in (400, 404) and answer.told.get("code"):
                return no_list(f"number {int(list_id)}, {answer.saying}")
            return _text(answer.told, "name") if answer.fine else None

        return self._ask("GET", f"/contacts/lists/{int(list_id)}", "list", read)

    def attributes(self) -> set[str]:
        """The names of the attributes that contacts may have; values for others would be left out."""

        def read(answer: Answer) -> set[str] | None:
            found = answer.told.get("attributes") if answer.fine else None
            if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
                return None
            return {str(one["name"]) for one in found if "name" in one}

        return self._ask("GET", "/contacts/attributes", "list of attributes", read)

    def account(self) -> str:
        """The company's name as Brevo has it. Who logs in there is not told."""
        return self._ask("GET", "/account", "account", lambda answer: _text(answer.told, "companyName"))

    def close(self) -> None:
        """Close the connections. Another call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _with_report(self, state: ImportState, link: str) -> ImportState:
        """With the addresses listed there. The link carries its own right to be read: the key stays here."""
        ours = urlsplit(self._base)
        try:
            scheme, place = urlsplit(link)[:2]
        except ValueError:
            scheme = place = ""
        refused: tuple[str, ...] | None = None
        if scheme == "https" or (scheme, place) == (ours.scheme, ours.netloc):
            try:
                refused = self._repeated(lambda: self._read_report(link))
            except ContactsError as error:
                # No reason to stop or to ask after the import for ever: its files are elsewhere, out of reach perhaps.
                _log.warning("the list of refused addresses cannot be read: %s", error)
        if refused is None:
            about = "the list of refused addresses cannot be read, so which contacts arrived is not known"
            return ImportState(state.done, failed=True, about=f"{state.about}; {about}")
        return ImportState(state.done, state.failed, f"{state.about}; {len(refused)} refused addresses", refused)

    def _read_report(self, link: str) -> "tuple[str, ...] | ContactsError | None":
        answer = self._exchange("GET", link, None, {})
        if isinstance(answer, ContactsError):
            return answer
        if answer.status == 429 or answer.status >= 500:
            return ContactsBusyError(f"its server answers {answer.status}")
        return addresses(answer.body) if answer.fine else None

    def _to_lists(self, list_ids: Sequence[int], told: Callable[[], _T]) -> _T:
        """Told, or refused for a reason that speaks of a list: only a list that is not there concerns everybody."""
        try:
            return told()
        except ListDoubtedError as error:
            refused = error.refused
        for number in list_ids:
            self.list_name(number)
        raise refused

    def _ask(
        self,
        method: str,
        path: str,
        about: str,
        read: Callable[[Answer], "_T | ContactsError | None"],
        body: bytes | None = None,
        *,
        retries: int | None = None,
    ) -> _T:
        """What `read` makes of the answer, which is asked for until only waiting no longer helps.

        `read` gives None for an answer that it cannot use, which then means what its status says.
        """

        def ask() -> "_T | ContactsError":
            group = path.split("/")[1]
            wait = self._pace.wait(group, self._clock())
            if wait > LONGEST_WAIT_SECONDS:
                return ContactsBusyError(f"Brevo wants no more requests within {wait:.0f} s", wait)
            if wait > 0:
                self._sleep(wait)
            self._pace.sent(self._clock())
            headers = {"api-key": self._key.get_secret_value(), "accept": "application/json"}
            if body is not None:
                headers["content-type"] = "application/json"
            answer = self._exchange(method, self._base + path, body, headers)
            if isinstance(answer, ContactsError):
                return answer
            seconds = self._pace.told(group, answer.status, answer.headers, self._clock())
            found = read(answer)
            return error_of(answer, seconds, self._host, about) if found is None else found

        return self._repeated(ask, retries)

    def _repeated(self, job: Callable[[], "_T | ContactsError"], retries: int | None = None) -> _T:
        repeats = self._retries if retries is None else retries
        tries = Retrying(
            sleep=self._sleep,
            stop=lambda state: stop_after_attempt(repeats + 1)(state) or _asked(state) > LONGEST_WAIT_SECONDS,
            wait=lambda state: 2.0 ** (state.attempt_number - 1) + _JITTER_SECONDS * self._jitter(),
            retry=retry_if_result(lambda found: isinstance(found, ContactsBusyError)),
            before_sleep=_tell,
            retry_error_callback=_outcome,
        )
        found: _T | ContactsError = tries(job)
        if isinstance(found, ContactsError):
            # Raised here and not where the library's error is at hand, so that no traceback can lead to that one, and
            # from there to the request with its key.
            raise found
        return found

    def _exchange(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer | ContactsError:
        import httpx

        if self._client is None:
            # httpx logs the addresses it calls.
            install_redaction()
            self._client = httpx.Client(timeout=self._timeout, follow_redirects=False)
        received = bytearray()
        begun = self._clock()
        try:
            with self._client.stream(method, url, content=body, headers=dict(headers)) as response:
                for part in response.iter_bytes():
                    received += part
                    # A trickle would keep each single wait short.
                    if len(received) > _LONGEST_ANSWER or self._clock() - begun > 3 * self._timeout:
                        return ContactsBusyError(f"the answer of {self._host} does not end: try again later")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return lost(error, self._host, self._timeout)
        return Answer(response.status_code, response.headers, bytes(received))


def _parsed(base_url: str) -> tuple[str, str]:
    """The address without its last slash, and its host."""
    try:
        parts = urlsplit(base_url.strip())
        host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
        (parts.hostname or "").encode("idna")  # with empty or endless parts it would fail at the first request
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https") or parts.username or parts.query:
        raise ContactsClosedError("BREVO_BASE_URL is not an address: write one such as https://host/v3")
    return base_url.strip().rstrip("/"), host


def _item(contact: Contact) -> dict[str, object]:
    return {"email": contact.email, **({"attributes": dict(contact.attributes)} if contact.attributes else {})}


def _size(contact: Contact) -> int:
    """In bytes. What cannot be written at all is a part by itself, and its import will say why."""
    try:
        return len(_json(_item(contact)))
    except ContactRefusedError:
        return IMPORT_BYTES


def _import_body(items: list[dict[str, object]], list_ids: Sequence[int]) -> bytes:
    return _json(
        {
            "jsonBody": items,
            "listIds": list(list_ids),
            "updateExistingContacts": True,
            "emptyContactsAttributes": False,
            "disableNotification": True,
        }
    )


def _json(body: object) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        # Its kind alone: the text may repeat a value.
        reason = type(error).__name__
    raise ContactRefusedError(f"the contact has attributes that cannot be written as JSON ({reason})", asked=False)


def _told(answer: Answer) -> bool | None:
    """Whether Brevo took it: 201 created, 204 changed. A page of somebody else's is a 200, and may be JSON as well."""
    return True if answer.status in (201, 204) or (answer.fine and "id" in answer.told) else None


def _number(told: Mapping[str, Any], name: str) -> int | None:
    found = told.get(name)
    # What else is an int could neither be kept nor asked after.
    return found if type(found) is int and 0 < found <= _LARGEST else None


def _text(told: Mapping[str, Any], name: str) -> str | None:
    found = told.get(name)
    return found if isinstance(found, str) else None


def _outcome(state: RetryCallState) -> Any:
    return state.outcome.result() if state.outcome else None


def _asked(state: RetryCallState) -> float:
    found = _outcome(state)
    return found.retry_after_seconds or 0.0 if isinstance(found, ContactsBusyError) else 0.0


def _tell(state: RetryCallState) -> None:
    _log.info("%s; tried again in %g s", _outcome(state), state.upcoming_sleep)
