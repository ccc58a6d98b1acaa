"""E-mail over real SMTP: what arrives, and what each answer or silence is taken to prove."""

import logging
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from analytics_platform.channels.base import ChannelError, Outcome, Receipt
from analytics_platform.channels.email import EmailChannel, MailServer
from analytics_platform.messages import Document, Message, Text
from analytics_platform.redaction import redact
from analytics_platform_tests.mail_server import DROP, HANG, MailStandIn, Security, mail_server, scripted_server

PASSWORD = "кот-и-пёс 42"
USER = "ann"
KEY = "feed_daily/2026-11-20"
NOW = datetime(2026, 11, 21, 8, 0, 5, tzinfo=UTC)


def channel(server: MailServer, *recipients: str) -> EmailChannel:
    return EmailChannel(server, recipients or ("ann@example.org",), clock=NOW.timestamp)


def send(server: MailServer, *recipients: str, messages: Sequence[Message] = (Text("hello"),)) -> list[Receipt]:
    return channel(server, *recipients).send(messages, key=KEY)


@pytest.fixture
def server() -> Iterator[MailStandIn]:
    with mail_server() as running:
        yield running


@pytest.mark.parametrize("security", ["none", "starttls", "ssl"])
@pytest.mark.parametrize("login", [True, False])
def test_every_way_in(security: Security, login: bool) -> None:
    with mail_server(security, user=USER if login else "", password=PASSWORD if login else "") as server:
        sentence = channel(server.server).check()
        assert server.accepted == []
        (receipt,) = send(server.server)

    (mail,) = server.accepted
    assert (receipt.outcome, receipt.recipient, receipt.detail) == (Outcome.SENT, "ann@example.org", "")
    assert (mail.encrypted, mail.user) == (security != "none", USER if login else "")
    assert server.greeted_as[-1] == "[127.0.0.1]"
    assert sentence.startswith(f"localhost:{server.server.port} answers: ")
    assert ("TLSv1.3, certificate trusted" in sentence) == (security != "none")
    assert ("logged in as ann" in sentence) == login
    assert ("crosses the network readably" in sentence) == (login and security == "none")


def test_a_server_that_only_knows_the_login_mechanism() -> None:
    with mail_server("starttls", user=USER, password=PASSWORD, without=("PLAIN",)) as server:
        (receipt,) = send(server.server)
    assert (receipt.outcome, server.accepted[0].user) == (Outcome.SENT, USER)


@pytest.mark.parametrize(
    "recipient",
    [
        "bob",
        "@example.org",
        "a b@example.org",
        "ann@example.org\r\nRCPT TO:<eve@example.org>",
        "a@b@c",
        "<>",
        "a@",
        "",
        "=?utf-8?q?a=0ABcc:?=@example.org",
    ],
)
def test_what_is_no_address_is_refused_and_the_others_are_told(server: MailStandIn, recipient: str) -> None:
    first, second = send(server.server, recipient, "ann@example.org")
    assert (first.outcome, second.outcome) == (Outcome.REFUSED, Outcome.SENT)
    assert "is not an e-mail address" in first.detail
    assert "\n" not in first.recipient + first.detail
    assert [mail.recipients for mail in server.accepted] == [("ann@example.org",)]


def test_a_recipient_named_twice_is_told_once(server: MailStandIn) -> None:
    assert len(send(server.server, "ann@example.org", " ann@example.org ", "Ann <bob@example.org>")) == 2
    assert [mail.recipients[0] for mail in server.accepted] == ["ann@example.org", "bob@example.org"]


def test_no_messages_are_no_mail(server: MailStandIn) -> None:
    assert send(server.server, messages=()) == []
    assert not server.greeted_as


def test_one_refused_recipient_does_not_hurt_the_others(server: MailStandIn) -> None:
    server.faults["RCPT", "bob@example.org"] = "550 5.1.1 No such user"
    receipts = send(server.server, "ann@example.org", "bob@example.org", "eve@example.org")

    assert [receipt.outcome for receipt in receipts] == [Outcome.SENT, Outcome.REFUSED, Outcome.SENT]
    assert "the recipient bob@example.org: 550 5.1.1 No such user" in receipts[1].detail
    assert [mail.recipients for mail in server.accepted] == [("ann@example.org",), ("eve@example.org",)]
    assert len({mail.connection for mail in server.accepted}) == 1


@pytest.mark.parametrize(
    ("verb", "answer", "outcome"),
    [
        ("MAIL", "451 4.3.0 Try later", Outcome.NOT_SENT),
        ("MAIL", "553 5.7.1 Sender not owned", Outcome.REFUSED),
        ("RCPT", "450 4.7.1 Greylisted", Outcome.NOT_SENT),
        ("RCPT", "421 4.7.0 Too busy", Outcome.NOT_SENT),
        ("DATA", "452 4.3.1 Disk full", Outcome.NOT_SENT),
        ("DATA", "554 5.6.0 Content refused", Outcome.REFUSED),
        ("DATA", "299 as you like", Outcome.SENT),
        ("DATA", "700 what", Outcome.UNCERTAIN),
    ],
)
def test_what_answers_prove(server: MailStandIn, verb: str, answer: str, outcome: Outcome) -> None:
    server.faults[verb, "" if verb == "MAIL" else "ann@example.org"] = answer
    (receipt,) = send(server.server)
    assert receipt.outcome is outcome
    assert (answer in receipt.detail) == (outcome in (Outcome.NOT_SENT, Outcome.REFUSED))
    assert ("Send it again later" in receipt.detail) == (outcome is Outcome.NOT_SENT)


def test_a_greylisted_mail_goes_through_the_next_time(server: MailStandIn) -> None:
    server.faults["RCPT", "ann@example.org"] = "451 4.7.1 Greylisted"
    server.fault_times["RCPT", "ann@example.org"] = 1
    assert [send(server.server)[0].outcome for _ in range(2)] == [Outcome.NOT_SENT, Outcome.SENT]


@pytest.mark.parametrize(
    ("verb", "fault", "outcome"),
    [
        ("RCPT", HANG, Outcome.NOT_SENT),
        ("RCPT", DROP, Outcome.NOT_SENT),
        ("DATA", HANG, Outcome.UNCERTAIN),
        ("DATA", DROP, Outcome.UNCERTAIN),
    ],
)
def test_what_silence_proves(server: MailStandIn, verb: str, fault: str, outcome: Outcome) -> None:
    server.faults[verb, "bob@example.org"] = fault
    mail_host = replace(server.server, timeout_seconds=0.6)
    receipts = send(mail_host, "ann@example.org", "bob@example.org", "eve@example.org")

    assert [receipt.outcome for receipt in receipts] == [Outcome.SENT, outcome, Outcome.SENT]
    assert ("may or may not have arrived" in receipts[1].detail) == (outcome is Outcome.UNCERTAIN)
    # What may have arrived is not given a second time.
    assert len(server.to("bob@example.org")) == (outcome is Outcome.UNCERTAIN)


def test_a_server_that_takes_few_mails_over_a_connection_gets_another_connection(server: MailStandIn) -> None:
    server.mails_per_connection = 2
    recipients = [f"p{n}@example.org" for n in range(5)]
    assert {receipt.outcome for receipt in send(server.server, *recipients)} == {Outcome.SENT}
    assert [mail.recipients[0] for mail in server.accepted] == recipients
    assert len({mail.connection for mail in server.accepted}) == 3


def test_a_mail_that_breaks_off_has_not_arrived() -> None:
    with scripted_server("220 hi", "250 hi", "250 ok", "250 ok", "354 go", DROP) as server:
        big = Document("big.bin", bytes(8_000_000))
        (receipt,) = send(server, messages=(big,))
    assert receipt.outcome is Outcome.NOT_SENT
    assert "whose end it cannot have" in receipt.detail


@pytest.mark.parametrize(
    ("answers", "outcome", "words"),
    [
        ((HANG,), Outcome.NOT_SENT, "gave no answer within 0.5 s before a mail could be given to it"),
        ((DROP,), Outcome.NOT_SENT, "closed the connection before a mail could be given to it"),
        (("554 5.7.1 Your address is on a list",), Outcome.REFUSED, "the connection: 554 5.7.1 Your address"),
        (("421 4.3.2 Shutting down",), Outcome.NOT_SENT, "the connection: 421 4.3.2 Shutting down"),
        (("SSH-2.0-OpenSSH_9.2",), Outcome.NOT_SENT, "did not accept the connection: -1"),
        (("220 hi", "250 hi", "250 ok", "250 ok", "250 what"), Outcome.NOT_SENT, "did not accept the mail: 250 what"),
        (("220 hi", "250 hi", "250 ok", "250 ok", "354 go", "x" * 9000), Outcome.UNCERTAIN, "may or may not"),
        (("220 hi", "502 what", "250 hi", "250 ok", HANG), Outcome.NOT_SENT, "gave no answer within 0.5 s"),
        (("220 hi", "502 what", "502 what"), Outcome.REFUSED, "did not accept EHLO: 502"),
    ],
)
def test_servers_that_speak_oddly(answers: tuple[str, ...], outcome: Outcome, words: str) -> None:
    with scripted_server(*answers) as server:
        (receipt,) = send(server)
    assert receipt.outcome is outcome
    assert words in receipt.detail


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = MailServer("127.0.0.1", port, "none", sender="reports@example.org", timeout_seconds=2)
    receipts = send(server, "ann@example.org", "bob@example.org")
    assert {receipt.outcome for receipt in receipts} == {Outcome.NOT_SENT}
    assert f"Nothing accepts connections at 127.0.0.1:{port}: check SMTP_HOST and SMTP_PORT." in receipts[0].detail
    (receipt,) = send(replace(server, host="mail.invalid"))
    assert receipt.outcome is Outcome.NOT_SENT
    assert "SMTP_HOST mail.invalid is not found" in receipt.detail
    with pytest.raises(ChannelError, match="Nothing accepts connections"):
        channel(server).check()


def test_an_untrusted_certificate_is_not_spoken_to(tmp_path: Path) -> None:
    for security in ("starttls", "ssl"):
        with mail_server(security, user=USER, password=PASSWORD) as server:
            strange = replace(server.server, ca_file=None)
            (receipt,) = send(strange)
            with pytest.raises(ChannelError, match="set SMTP_CA_FILE to the PEM file"):
                channel(strange).check()
        assert receipt.outcome is Outcome.NOT_SENT
        assert "is not trusted" in receipt.detail
        assert not server.commands


def test_a_certificate_for_another_name_is_not_trusted() -> None:
    with mail_server("starttls", names=("mail.example.org",)) as server:
        (receipt,) = send(server.server)
    assert receipt.outcome is Outcome.NOT_SENT
    assert "write SMTP_HOST as the name that the certificate is for" in receipt.detail


def test_starttls_is_never_done_without() -> None:
    with mail_server("starttls", starttls_offered=False) as server:
        (receipt,) = send(server.server)
        place = server.server.place
        with pytest.raises(ChannelError, match="does not offer it"):
            channel(server.server).check()
    assert receipt.outcome is Outcome.NOT_SENT
    assert f"SMTP_SECURITY is starttls, but the server at {place} does not offer it: " in receipt.detail
    assert not server.commands


def test_the_other_kind_of_encryption_is_named() -> None:
    with mail_server("none") as server:
        (receipt,) = send(replace(server.server, security="ssl"))
    assert receipt.outcome is Outcome.NOT_SENT
    assert "set SMTP_SECURITY to starttls" in receipt.detail
    with mail_server("ssl") as server:
        (receipt,) = send(replace(server.server, security="starttls", timeout_seconds=0.5))
    assert receipt.outcome is Outcome.NOT_SENT
    assert "needs SMTP_SECURITY=ssl" in receipt.detail


def test_a_wrong_password_is_tried_once_and_told_without_it(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong_one = "w/ro ng+1"
    caplog.set_level(logging.DEBUG)
    with mail_server("starttls", user=USER, password="right") as server:
        wrong = replace(server.server, password=SecretStr(wrong_one))
        mail = channel(wrong, "ann@example.org", "bob@example.org")
        receipts = mail.send([Text("hello")], key=KEY)
        assert server.commands == {"AUTH": 1}
        with pytest.raises(ChannelError) as raised:
            mail.check()

    assert {receipt.outcome for receipt in receipts} == {Outcome.REFUSED}
    assert "the login (SMTP_USER, SMTP_PASSWORD): 535 5.7.8 No such user: ann <secret>" in receipts[0].detail
    own = [record.getMessage() for record in caplog.records if not record.name.startswith("mail.")]
    said = [*own, *capfd.readouterr(), repr(receipts), repr(mail), repr(wrong), repr(raised.value), str(raised.value)]
    assert not [text for text in said if wrong_one in text]
    chain: BaseException | None = raised.value
    while chain is not None:
        assert wrong_one not in f"{chain!r} {vars(chain)}"
        chain = chain.__cause__ or chain.__context__
    # Also as the login puts it on the wire.
    assert redact("334 dy9ybyBuZysx AGFubgB3L3JvIG5nKzE=") == "334 <secret> <secret>"


def test_logins_that_cannot_be(server: MailStandIn) -> None:
    with_login = replace(server.server, user=USER, password=SecretStr(PASSWORD))
    (receipt,) = send(with_login)
    assert receipt.outcome is Outcome.NOT_SENT
    assert "offers no login without encryption: set SMTP_SECURITY to starttls or ssl" in receipt.detail
    server.extensions.append("AUTH CRAM-MD5 XOAUTH2")
    (receipt,) = send(with_login)
    assert "offers only the logins CRAM-MD5 XOAUTH2, not PLAIN or LOGIN" in receipt.detail
    for half in (replace(with_login, password=None), replace(with_login, user=None)):
        with pytest.raises(ChannelError, match="SMTP_USER and SMTP_PASSWORD belong together"):
            channel(half)


def test_a_server_that_wants_a_login_says_so() -> None:
    with mail_server("none", user=USER, password=PASSWORD) as server:
        (receipt,) = send(replace(server.server, user=None, password=None))
    assert receipt.outcome is Outcome.REFUSED
    assert receipt.detail.endswith("530 5.7.0 Authentication required. Set SMTP_USER and SMTP_PASSWORD.")


def test_settings_that_cannot_work_are_told_at_once(tmp_path: Path) -> None:
    server = MailServer("localhost", sender="reports")
    with pytest.raises(ChannelError, match="SMTP_FROM: 'reports' is not an e-mail address"):
        channel(server)
    with pytest.raises(ChannelError, match="SMTP_FROM"):
        channel(replace(server, sender="Reports\nBcc: eve@example.org <reports@example.org>"))
    server = replace(server, sender="reports@example.org")
    with pytest.raises(ChannelError, match=r"SMTP_CA_FILE .* cannot be used: \(No such file"):
        channel(replace(server, ca_file=tmp_path / "ca.pem"))
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ChannelError, match="holds no certificates in PEM form"):
        channel(replace(server, ca_file=tmp_path / "ca.pem"))


def test_addresses_in_other_letters() -> None:
    with mail_server(utf8=True) as server:
        receipts = send(server.server, "ann@пример.рф", "Анна <анна@пример.рф>", "bob@example.org")
    assert {receipt.outcome for receipt in receipts} == {Outcome.SENT}
    assert [mail.recipients[0] for mail in server.accepted] == [
        "ann@xn--e1afmkfd.xn--p1ai",
        "анна@xn--e1afmkfd.xn--p1ai",
        "bob@example.org",
    ]
    assert "\r\nTo: Анна <анна@xn--e1afmkfd.xn--p1ai>\r\n".encode() in server.accepted[1].raw
    with mail_server() as server:
        receipts = send(server.server, "ann@пример.рф", "анна@пример.рф", "bob@example.org")
    assert [receipt.outcome for receipt in receipts] == [Outcome.SENT, Outcome.REFUSED, Outcome.SENT]
    assert "does not take such addresses (SMTPUTF8)" in receipts[1].detail


def test_a_mail_above_the_servers_limit_is_refused_by_size() -> None:
    with mail_server(size=100_000) as server:
        receipts = send(server.server, messages=(Text("hello"), Document("a.bin", bytes(90_000))))
        assert "The mail has 0.1 MB" in receipts[0].detail
        assert {receipt.outcome for receipt in receipts} == {Outcome.REFUSED}
        assert not server.commands
        assert send(server.server)[0].outcome is Outcome.SENT
