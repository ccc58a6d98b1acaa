"""What Brevo is asked and what its answers mean, compared with what Brevo's own client asks and reads."""

import json
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from analytics_platform.contacts import brevo as module
from analytics_platform.contacts.base import (
    Contact,
    ContactRefusedError,
    ContactsBusyError,
    ContactsClosedError,
    ImportState,
)
from analytics_platform.contacts.brevo import Brevo
from analytics_platform_tests.brevo_faults import Fault, FaultKind
from analytics_platform_tests.brevo_server import BrevoServer, brevo_server
from analytics_platform_tests.contacts.conftest import HandClock

if TYPE_CHECKING:
    from brevo import Brevo as Official

ANNA = "anna@example.com"
BOUGHT = {
    "FUNNEL_TYPE": "language",
    "CERTIFICATE_PURCHASED": 1,
    "CERTIFICATE_PURCHASED_AT": "2026-03-01T09:00:00+00:00",
}


@pytest.fixture
def official(server: BrevoServer) -> Iterator["Official"]:
    """Brevo's own client, at the same server."""
    import httpx
    from brevo import Brevo as Official

    with httpx.Client() as connections:
        yield Official(
            api_key=server.api_key.get_secret_value(), base_url=server.url, max_retries=0, httpx_client=connections
        )


def same_requests(server: BrevoServer) -> bool:
    """Whether the last two requests are alike, the order of names aside."""
    ours, theirs = server.requests[-2:]
    return (ours.method, ours.path, ours.body, ours.key) == (theirs.method, theirs.path, theirs.body, theirs.key)


def test_a_contact_is_added_and_put_on_its_list(server: BrevoServer, brevo: Brevo, official: "Official") -> None:
    brevo.upsert(Contact(ANNA, (7,), {"FUNNEL_TYPE": "language"}))
    kept = server.contacts[ANNA]
    assert (kept.lists, kept.attributes) == ({7}, {"FUNNEL_TYPE": "language"})

    official.contacts.create_contact(
        email=ANNA, update_enabled=True, list_ids=[7], attributes={"FUNNEL_TYPE": "language"}
    )
    assert same_requests(server)
    assert kept.added == {7: 1}
    assert (kept.told, kept.id) == (2, 1)


def test_an_update_names_no_list_and_leaves_what_it_does_not_name(
    server: BrevoServer, brevo: Brevo, official: "Official"
) -> None:
    brevo.upsert(Contact(ANNA, (7,), {"FIRSTNAME": "Anna"}))
    brevo.upsert(Contact(ANNA, attributes=BOUGHT))
    official.contacts.create_contact(email=ANNA, update_enabled=True, attributes=BOUGHT)
    assert same_requests(server)
    assert server.requests[1].body == {"email": ANNA, "updateEnabled": True, "attributes": BOUGHT}
    assert server.contacts[ANNA].attributes == {"FIRSTNAME": "Anna", **BOUGHT}
    assert server.on(7) == [ANNA]


def test_nothing_empty_is_sent(server: BrevoServer, brevo: Brevo) -> None:
    brevo.upsert(Contact(ANNA))
    assert server.requests[0].body == {"email": ANNA, "updateEnabled": True}


def test_letters_of_all_scripts_arrive(server: BrevoServer, brevo: Brevo, official: "Official") -> None:
    for email in ("анна@пример.рф", "müller@bücher.example", "名前@例え.jp"):
        contact = Contact(email, (7,), {"FIRSTNAME": "Анна 🎓 'é\"\\", "FUNNEL_TYPE": "language"})
        brevo.upsert(contact)
        assert server.contacts[email].attributes == contact.attributes
        official.contacts.create_contact(
            email=email, update_enabled=True, list_ids=[7], attributes=server.contacts[email].attributes
        )
        assert same_requests(server)


def test_an_import_is_handed_over_and_asked_after(server: BrevoServer, brevo: Brevo, official: "Official") -> None:
    from brevo.contacts.types.import_contacts_request_json_body_item import ImportContactsRequestJsonBodyItem as Item

    server.polls = 3
    people = [Contact(f"имя{number}@example.com", (7,), {"FUNNEL_TYPE": "language"}) for number in range(3)]
    number = brevo.start_import([*people, Contact(ANNA)], [7])
    items = [Item(email=one.email, attributes=dict(one.attributes)) for one in people]
    theirs = official.contacts.import_contacts(
        json_body=[*items, Item(email=ANNA)],
        list_ids=[7],
        update_existing_contacts=True,
        empty_contacts_attributes=False,
        disable_notification=True,
    )
    assert same_requests(server)
    assert theirs.process_id != number

    states = [brevo.import_state(number) for _ in range(3)]
    assert states == [
        ImportState(done=False, about="Brevo's import is queued"),
        ImportState(done=False, about="Brevo's import is in_process"),
        ImportState(done=True, about="Brevo's import is completed"),
    ]
    read = official.process.get_process(number)
    assert same_requests(server)
    assert (read.status, read.name) == ("completed", "IMPORTUSER")
    assert server.on(7) == [*(one.email for one in people), ANNA]


def test_an_import_takes_as_long_as_it_takes(server: BrevoServer, brevo: Brevo, clock: HandClock) -> None:
    server.seconds = 30
    number = brevo.start_import([Contact(ANNA)], [7])
    assert not brevo.import_state(number).done
    clock.now += 30
    assert brevo.import_state(number).done


def test_an_import_told_twice_adds_nobody_twice(server: BrevoServer, brevo: Brevo) -> None:
    for number in [brevo.start_import([Contact(ANNA)], [7, 8]) for _ in range(2)]:
        assert brevo.import_state(number).done
    assert server.contacts[ANNA].added == {7: 1, 8: 1}


def test_an_import_says_which_addresses_brevo_refused(
    server: BrevoServer, brevo: Brevo, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "httpx")
    server.unwelcome = {"почта@example.com", "b@example.com"}
    number = brevo.start_import([Contact(ANNA), *map(Contact, sorted(server.unwelcome))], [7])
    state = brevo.import_state(number)

    assert (state.done, state.failed) == (True, False)
    assert sorted(state.refused) == sorted(server.unwelcome)
    assert state.about == "Brevo's import is completed, with reports of invalid_emails; 2 refused addresses"
    assert "example.com" not in repr(state)
    report = server.requests[-1]
    assert (report.path, report.key) == (f"/reports/{number}/invalid_emails.csv", "")
    assert list(server.contacts) == [ANNA]
    assert "/reports/" not in caplog.text  # whoever has the link has the addresses


@pytest.mark.parametrize("kind", ["forbidden", "server_error", "drop", "unauthorized"])
def test_with_a_report_that_cannot_be_read_an_import_has_failed(
    server: BrevoServer, brevo: Brevo, kind: FaultKind, caplog: pytest.LogCaptureFixture
) -> None:
    server.unwelcome = {"b@example.com"}
    number = brevo.start_import([Contact(ANNA), Contact("b@example.com")], [7])
    server.finish_imports()
    server.faults.append(Fault(kind, "/reports/*", times=0))
    state = brevo.import_state(number)
    assert (state.done, state.failed, state.refused) == (True, True, ())
    assert state.about.endswith("cannot be read, so which contacts arrived is not known")
    assert "b@example.com" not in caplog.text


def test_a_report_elsewhere_is_read_over_tls_alone(server: BrevoServer, brevo: Brevo) -> None:
    server.unwelcome = {"b@example.com"}
    number = brevo.start_import([Contact("b@example.com")], [7])
    with brevo_server() as elsewhere:
        server.reports_at = elsewhere.url
        assert brevo.import_state(number).failed
        assert elsewhere.requests == []
    server.reports_at = "https://[of nobody"
    assert "not known" in brevo.import_state(number).about


def test_an_import_is_asked_after_once(server: BrevoServer, brevo: Brevo, clock: HandClock) -> None:
    number = brevo.start_import([Contact(ANNA)], [7])
    server.faults.append(Fault("server_error", "/processes/*"))
    with pytest.raises(ContactsBusyError):
        brevo.import_state(number)
    assert len(server.asked("GET")) == 1
    assert brevo.import_state(number).done


@pytest.mark.parametrize("known", [True, False], ids=["failed", "unknown"])
def test_an_import_that_failed_or_is_not_known_has_failed(server: BrevoServer, brevo: Brevo, known: bool) -> None:
    server.faults.append(Fault("import_failed"))
    number = brevo.start_import([Contact(ANNA)], [7])
    if not known:
        server.processes.clear()
    state = brevo.import_state(number)
    assert (state.done, state.failed) == (True, True)
    assert ("ended as failed" if known else "does not know the import (404 document_not_found") in state.about
    assert server.contacts == {}


def test_parts_of_an_import_stay_below_the_limit(
    server: BrevoServer, brevo: Brevo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IMPORT_BYTES", 20_000)
    people = [
        Contact(f"имя{number}@example.com", attributes={"FIRSTNAME": "Ж" * (number % 90)}) for number in range(300)
    ]
    parts = list(brevo.import_chunks(people))

    assert [one for part in parts for one in part] == people
    assert len(parts) > 2
    server.lists = dict.fromkeys(range(1, 500), "one of many")
    for part in parts:
        brevo.start_import(part, list(server.lists))
    sizes = [len(json.dumps(one.body, ensure_ascii=False, separators=(",", ":")).encode()) for one in server.requests]
    assert max(sizes) <= 20_000
    assert min(sizes[:-1]) > 9_500
    assert list(brevo.import_chunks([])) == []


def test_a_contact_that_is_too_big_is_a_part_by_itself_and_refused(
    server: BrevoServer, brevo: Brevo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IMPORT_BYTES", 20_000)
    people = [Contact("a@example.com"), Contact("b@example.com", attributes={"FIRSTNAME": "x" * 30_000}), Contact(ANNA)]
    parts = list(brevo.import_chunks(people))
    assert [len(part) for part in parts] == [1, 1, 1]
    with pytest.raises(ContactRefusedError, match="cut it into parts"):
        brevo.start_import(parts[1], [7])
    assert server.requests == []


@pytest.mark.parametrize(("contacts", "lists"), [([], [7]), ([Contact(ANNA)], [])])
def test_an_import_of_nobody_or_for_no_list_is_no_import(
    brevo: Brevo, contacts: list[Contact], lists: list[int]
) -> None:
    with pytest.raises(ValueError, match="needs contacts and lists"):
        brevo.start_import(contacts, lists)


@pytest.mark.parametrize("value", [float("nan"), object(), "\ud83d"], ids=["nan", "object", "half a pair"])
def test_what_cannot_be_written_is_refused_before_it_is_sent(server: BrevoServer, brevo: Brevo, value: object) -> None:
    with pytest.raises(ContactRefusedError, match="cannot be written as JSON") as caught:
        brevo.upsert(Contact(ANNA, attributes={"FIRSTNAME": value}))
    assert ANNA not in str(caught.value)
    assert caught.value.__context__ is None
    assert server.requests == []


def test_list_attributes_and_account_are_read(server: BrevoServer, brevo: Brevo, official: "Official") -> None:
    assert brevo.list_name(7) == official.contacts.get_list(7).name == "Language tests"
    assert same_requests(server)
    assert brevo.attributes() == {one.name for one in official.contacts.get_attributes().attributes}
    assert same_requests(server)
    assert brevo.account() == official.account.get_account().company_name == "Stand-in Ltd"
    assert same_requests(server)


def test_a_list_that_is_not_there_closes(server: BrevoServer, brevo: Brevo) -> None:
    said = r"does not know a list \(number 9, 404 document_not_found: List ID does not exist\): check BREVO_LANGUAGE"
    with pytest.raises(ContactsClosedError, match=said):
        brevo.list_name(9)
    with pytest.raises(ContactsClosedError, match="does not know a list"):
        brevo.upsert(Contact(ANNA, (7, 9)))
    with pytest.raises(ContactsClosedError, match="does not know a list"):
        brevo.start_import([Contact(ANNA)], [9])
    assert server.contacts == {}


def test_one_connection_serves_all_calls_until_it_is_closed(server: BrevoServer, brevo: Brevo) -> None:
    for _ in range(3):
        brevo.upsert(Contact(ANNA, (7,)))
    brevo.account()
    assert {one.connection for one in server.requests} == {1}

    brevo.close()
    brevo.close()
    brevo.account()
    assert server.requests[-1].connection == 2


@pytest.mark.parametrize("key", ["", "  ", "two words", "line\nbreak", "ключ"])
def test_a_key_that_is_none_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ContactsClosedError, match="BREVO_API_KEY is not a key") as caught:
        Brevo(SecretStr(key), "https://host.example/v3")
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host.example/v3",
        "ftp://host.example",
        "https://",
        "https://u:p@host.example",
        "http://host:99999",
        "https://api..brevo.com/v3",
        f"https://{'x' * 64}.com/v3",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ContactsClosedError, match="BREVO_BASE_URL is not an address"):
        Brevo(SecretStr("key-of-nobody"), url)


def test_the_servers_own_rules_are_those_of_the_models(server: BrevoServer, official: "Official") -> None:
    from brevo.core.api_error import ApiError

    for wrong in ({"email": 7}, {"email": ANNA, "list_ids": ["7"]}, {"email": ANNA, "attributes": {"A": {"b": 1}}}):
        with pytest.raises(ApiError) as caught:
            official.contacts.create_contact(**wrong)
        assert (caught.value.status_code, caught.value.body["code"]) == (400, "invalid_parameter")
    official.contacts.create_contact(email=ANNA, attributes={"NEW": "x", "CERTIFICATE_PURCHASED": "yes"})
    assert server.ignored == [("NEW", "unknown"), ("CERTIFICATE_PURCHASED", "no float")]
    with pytest.raises(ApiError) as caught:
        official.contacts.create_contact(email=ANNA)
    assert caught.value.body["code"] == "duplicate_parameter"
