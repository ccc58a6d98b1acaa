"""What goes wrong between here and Brevo, over real HTTP: what is tried again, what is given up, and what is told."""

import logging
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr

from analytics_platform.contacts.base import (
    Contact,
    ContactRefusedError,
    ContactsBusyError,
    ContactsClosedError,
    ContactsError,
)
from analytics_platform.contacts.brevo import Brevo
from analytics_platform.funnels.person import hashed
from analytics_platform_tests.brevo_faults import Fault, FaultKind
from analytics_platform_tests.brevo_server import BrevoServer
from analytics_platform_tests.contacts.conftest import HandClock

ANNA = "anna.secret@example.com"
CONTACT = Contact(ANNA, (7,), {"FUNNEL_TYPE": "language"})
# Only waiting helps; the last ones after Brevo accepted it.
PASSING: list[FaultKind] = [
    "too_many", "limit_reached", "retry_after",
    "server_error", "bad_gateway", "unavailable", "timed_out", "page", "drop", "in_process", "too_early",
    "accepted_drop", "accepted_bad_gateway",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_told(
    server: BrevoServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """Whatever happens in these tests, neither the key nor an address is logged or printed, at any level."""
    caplog.set_level(logging.DEBUG)
    yield
    streams = capfd.readouterr()
    for told in (caplog.text, streams.out, streams.err):
        assert server.api_key.get_secret_value() not in told
        assert ANNA not in told
        assert "anna" not in told.lower()


def failing(job: Callable[[], object]) -> ContactsError:
    """The error, in whose traceback neither the key nor an address is found."""
    with pytest.raises(ContactsError) as caught:
        job()
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert ANNA not in shown
    assert "xkeysib" not in shown
    assert caught.value.__context__ is None  # nothing of httpx, which holds the request with its key
    return caught.value


@pytest.mark.parametrize("kind", PASSING)
def test_what_passes_is_tried_again_and_the_contact_is_added_once(
    server: BrevoServer, brevo: Brevo, kind: FaultKind
) -> None:
    server.faults.append(Fault(kind, times=3, value=2 if kind in ("limit_reached", "retry_after") else None))
    brevo.upsert(CONTACT)
    assert len(server.requests) == 4
    assert server.contacts[ANNA].added == {7: 1}
    assert server.contacts[ANNA].told == (4 if kind.startswith("accepted") else 1)


@pytest.mark.parametrize("kind", PASSING)
def test_what_does_not_pass_is_given_up_after_three_more_tries(
    server: BrevoServer, brevo: Brevo, clock: HandClock, kind: FaultKind
) -> None:
    asked = 20 if kind in ("limit_reached", "retry_after") else None
    server.faults.append(Fault(kind, times=0, value=asked))
    error = failing(lambda: brevo.upsert(CONTACT))
    assert isinstance(error, ContactsBusyError)
    assert error.retry_after_seconds == asked
    assert len(server.requests) == 4
    assert clock.now - 1000 == pytest.approx(3 * asked if asked else 1.25 + 2.25 + 4.25)


@pytest.mark.parametrize("kind", ["drop", "accepted_drop", "accepted_bad_gateway", "broken_json"])
def test_an_import_of_uncertain_fate_is_handed_over_again(server: BrevoServer, brevo: Brevo, kind: FaultKind) -> None:
    server.faults.append(Fault(kind, "/contacts/import"))
    number = brevo.start_import([CONTACT], [7])
    assert brevo.import_state(number).done
    server.finish_imports()
    assert len(server.processes) == (1 if kind == "drop" else 2)
    assert server.contacts[ANNA].added == {7: 1}


@pytest.mark.parametrize(
    ("kind", "error", "sentence"),
    [
        ("unauthorized", ContactsClosedError, "does not accept BREVO_API_KEY (401 unauthorized: Key not found)"),
        ("no_credits", ContactsClosedError, "under this plan (402 not_enough_credits: Not enough credits)"),
        ("forbidden", ContactsClosedError, "does not let the key of BREVO_API_KEY do it (403 permission_denied"),
        ("not_found", ContactsClosedError, "has no contact (404 document_not_found: It does not exist)"),
        ("no_route", ContactsClosedError, "no Route matched with those values): check BREVO_BASE_URL"),
        ("moved", ContactsClosedError, "has no contact (301): check BREVO_BASE_URL"),
        ("invalid", ContactRefusedError, "refuses the contact (400 invalid_parameter: Invalid email address)"),
        ("duplicate", ContactRefusedError, "refuses the contact (400 duplicate_parameter: Contact already exist)"),
    ],
)
def test_what_does_not_pass_by_itself_is_tried_once(
    server: BrevoServer, brevo: Brevo, clock: HandClock, *, kind: FaultKind, error: type[ContactsError], sentence: str
) -> None:
    server.faults.append(Fault(kind, times=0))
    found = failing(lambda: brevo.upsert(CONTACT))
    assert type(found) is error
    assert sentence in str(found)
    assert len(server.requests) == 1
    assert clock.slept == []


@pytest.mark.parametrize(
    ("message", "looked_at"),
    [
        ("The contact is in an exclusion list", True),
        ("listIds: List ID does not exist", True),
        ("list_id is of another folder", True),
        ("The contact is blacklisted", False),
        ("Invalid phone number", False),
        (f"{ANNA} is not valid", False),
        ("list@example.com is not valid", False),
    ],
)
def test_a_refusal_is_about_the_contact_where_its_lists_are_there(
    server: BrevoServer, brevo: Brevo, message: str, looked_at: bool
) -> None:
    for job in (lambda: brevo.upsert(CONTACT), lambda: brevo.start_import([CONTACT], [7])):
        server.requests.clear()
        server.faults.append(Fault("invalid", value=message))
        assert type(failing(job)) is ContactRefusedError
        assert [one.path for one in server.requests[1:]] == ["/contacts/lists/7"] * looked_at
    server.faults.append(Fault("invalid", value=message))
    assert type(failing(lambda: brevo.upsert(Contact(ANNA)))) is ContactRefusedError

    del server.lists[7]
    server.faults.append(Fault("invalid", value=message))
    assert type(failing(lambda: brevo.upsert(CONTACT))) is (ContactsClosedError if looked_at else ContactRefusedError)


def test_whether_a_list_is_there_is_not_known_while_brevo_does_not_answer(server: BrevoServer, brevo: Brevo) -> None:
    server.faults += [Fault("unknown_list", "/contacts"), Fault("unavailable", "/contacts/lists/*", times=0)]
    assert type(failing(lambda: brevo.upsert(CONTACT))) is ContactsBusyError


def test_brevos_words_are_told_without_the_address(server: BrevoServer, brevo: Brevo) -> None:
    server.unwelcome.add(ANNA)
    error = failing(lambda: brevo.upsert(CONTACT))
    assert f"400 invalid_parameter: Invalid email address <address {hashed(ANNA)}>" in str(error)


def test_a_long_message_is_cut_and_the_key_in_it_hidden(server: BrevoServer, brevo: Brevo) -> None:
    key = server.api_key.get_secret_value()
    server.faults.append(Fault("invalid", value=f"Bad\nkey {key} of {ANNA} " + "x" * 5000))
    error = str(failing(lambda: brevo.upsert(CONTACT)))
    assert "Bad key <secret> of <address " in error
    assert len(error) < 400


def test_another_key_closes(server: BrevoServer, clock: HandClock) -> None:
    client = Brevo(SecretStr("xkeysib-of-somebody-else"), server.url, sleep=clock.sleep, clock=clock)
    assert isinstance(failing(client.account), ContactsClosedError)
    client.close()
    assert repr(client) == f"Brevo({server.url.removeprefix('http://').removesuffix('/v3')})"


@pytest.mark.parametrize("kind", ["stall", "accepted_stall", "slow"])
def test_silence_is_waited_for_as_long_as_was_said(server: BrevoServer, clock: HandClock, kind: FaultKind) -> None:
    server.faults.append(Fault(kind, value=5))
    client = Brevo(server.api_key, server.url, timeout_seconds=0.2, retries=0, sleep=clock.sleep, clock=clock)
    error = failing(lambda: client.upsert(CONTACT))
    assert isinstance(error, ContactsBusyError)
    assert "does not answer within 0.2 s" in str(error)

    client.upsert(CONTACT)
    client.close()
    assert server.contacts[ANNA].added == {7: 1}


def test_a_slow_answer_within_the_time_is_an_answer(server: BrevoServer, brevo: Brevo) -> None:
    server.faults.append(Fault("slow", value=0.05))
    brevo.upsert(CONTACT)
    assert len(server.requests) == 1


def test_an_answer_that_does_not_end_is_given_up(server: BrevoServer, clock: HandClock) -> None:
    def passing() -> float:
        clock.now += 20
        return clock.now

    client = Brevo(server.api_key, server.url, timeout_seconds=5, retries=0, sleep=clock.sleep, clock=passing)
    error = failing(client.account)
    client.close()
    assert isinstance(error, ContactsBusyError)
    assert "does not end" in str(error)


def test_a_page_of_another_server_is_no_answer_of_brevos(server: BrevoServer, brevo: Brevo) -> None:
    for path, job in {
        "/contacts": lambda: brevo.upsert(CONTACT),
        "/contacts/import": lambda: brevo.start_import([CONTACT], [7]),
        "/processes/1": lambda: brevo.import_state(1),
        "/contacts/lists/7": lambda: brevo.list_name(7),
        "/contacts/attributes": brevo.attributes,
        "/account": brevo.account,
    }.items():
        server.faults[:] = [Fault("page", path, times=0)]
        error = failing(job)
        assert isinstance(error, ContactsBusyError)
        assert "answers 200, but not in Brevo's way" in str(error)


@pytest.mark.parametrize(
    ("told", "job"),
    [
        ('{"processId": 99999999999999999999999}', lambda brevo: brevo.start_import([CONTACT], [7])),
        ('{"processId": true}', lambda brevo: brevo.start_import([CONTACT], [7])),
        ('{"processId": -5}', lambda brevo: brevo.start_import([CONTACT], [7])),
        ('{"attributes": [1, 2]}', lambda brevo: brevo.attributes()),
        ('{"name": ["Language tests"]}', lambda brevo: brevo.list_name(7)),
        ('{"error": "log in to this network"}', lambda brevo: brevo.upsert(CONTACT)),
        ("[" * 100_000, lambda brevo: brevo.upsert(CONTACT)),
    ],
    ids=["too big a number", "no number", "below nothing", "no names", "no text", "not taken", "brackets"],
)
def test_an_answer_of_another_shape_is_no_answer_of_brevos(
    server: BrevoServer, brevo: Brevo, told: str, job: Callable[[Brevo], object]
) -> None:
    server.faults.append(Fault("page", times=0, value=told))
    error = failing(lambda: job(brevo))
    assert isinstance(error, ContactsBusyError)
    assert "answers 200, but not in Brevo's way" in str(error)


def test_an_attribute_without_a_name_is_left_out(server: BrevoServer, brevo: Brevo) -> None:
    server.faults.append(Fault("page", value='{"attributes": [{"name": "FUNNEL_TYPE"}, {"category": "normal"}]}'))
    assert brevo.attributes() == {"FUNNEL_TYPE"}


@pytest.mark.parametrize("kind", ["broken_json"])
def test_a_broken_answer_is_asked_for_again(server: BrevoServer, brevo: Brevo, kind: FaultKind) -> None:
    server.faults.append(Fault(kind, "/contacts/lists/*"))
    assert brevo.list_name(7) == "Language tests"
    assert len(server.requests) == 2


def test_a_contact_that_was_created_needs_no_words_with_it(server: BrevoServer, brevo: Brevo) -> None:
    server.faults.append(Fault("broken_json", "/contacts"))
    brevo.upsert(CONTACT)
    assert len(server.requests) == 1


def test_nobody_there_is_busy(clock: HandClock) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        client = Brevo(SecretStr("key-of-nobody"), f"http://127.0.0.1:{port}/v3", sleep=clock.sleep, clock=clock)
        error = failing(lambda: client.upsert(CONTACT))
    client.close()
    assert isinstance(error, ContactsBusyError)
    assert str(error).startswith(f"127.0.0.1:{port} cannot be reached (ConnectError)")
    assert len(clock.slept) == 3


@contextmanager
def untrusted() -> Iterator[str]:
    """The address of a server whose certificate nobody trusts."""
    import ssl
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    import trustme

    class Quiet(HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """The client turns away during the handshake."""

    listener = Quiet(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.server_port}"
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def test_a_certificate_that_cannot_be_trusted_closes(clock: HandClock) -> None:
    with untrusted() as url:
        client = Brevo(SecretStr("key-of-nobody"), f"{url}/v3", sleep=clock.sleep, clock=clock)
        error = failing(client.account)
        client.close()
    assert isinstance(error, ContactsClosedError)
    assert "certificate that cannot be trusted" in str(error)
    assert clock.slept == []


def test_a_report_behind_a_certificate_that_cannot_be_trusted_leaves_open_who_arrived(
    server: BrevoServer, brevo: Brevo
) -> None:
    server.unwelcome = {ANNA}
    number = brevo.start_import([CONTACT], [7])
    server.finish_imports()
    with untrusted() as server.reports_at:
        state = brevo.import_state(number)
    assert (state.done, state.failed, state.refused) == (True, True, ())
    assert "which contacts arrived is not known" in state.about


def test_a_connection_that_brevo_closed_meanwhile_is_replaced(server: BrevoServer, brevo: Brevo) -> None:
    server.faults.append(Fault("accepted_drop"))
    brevo.upsert(CONTACT)
    brevo.upsert(CONTACT)
    assert [one.connection for one in server.requests] == [1, 2, 2]


def test_a_process_may_be_stopped_at_any_request(server: BrevoServer, brevo: Brevo) -> None:
    seen: list[str] = []
    server.hook = lambda request: seen.append(f"{request.number} {len(server.contacts)}")
    server.accepted_hook = lambda request: seen.append(f"{request.number} accepted {len(server.contacts)}")
    brevo.upsert(CONTACT)
    brevo.upsert(Contact("b@example.com"))
    assert seen == ["1 0", "1 accepted 1", "2 1", "2 accepted 2"]


def test_contacts_and_requests_show_no_address() -> None:
    assert "anna" not in repr(CONTACT)
