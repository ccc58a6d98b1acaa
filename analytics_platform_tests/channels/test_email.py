"""E-mail over real SMTP: what arrives, and what each answer or silence is taken to prove."""

import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from analytics_platform.channels.base import Channel, ChannelError, Outcome, Sent
from analytics_platform.channels.email import EmailChannel, MailServer
from analytics_platform.language import Language
from analytics_platform.messages import Album, Document, Picture, Text
from analytics_platform.redaction import redact
from analytics_platform_tests.mail_server import (
    DROP,
    HANG,
    KEY,
    NOW,
    MailStandIn,
    Security,
    mail_server,
    scripted_server,
    send_mail,
)

PASSWORD = "кот-и-пёс 42"
USER = "ann"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def channel(server: MailServer) -> EmailChannel:
    return EmailChannel(server, clock=NOW.timestamp)


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
        (sent,) = send_mail(server.server)

    (mail,) = server.accepted
    assert sent == Sent(Outcome.SENT, references=(mail.message["Message-ID"],))
    assert mail.recipients == ("ann@example.org",)
    assert (mail.encrypted, mail.user) == (security != "none", USER if login else "")
    assert server.greeted_as[-1] == "[127.0.0.1]"
    assert sentence.startswith(f"localhost:{server.server.port} answers: ")
    assert ("TLSv1.3, certificate trusted" in sentence) == (security != "none")
    assert ("logged in as ann" in sentence) == login
    assert ("crosses the network readably" in sentence) == (login and security == "none")


def test_a_server_that_only_knows_the_login_mechanism() -> None:
    with mail_server("starttls", user=USER, password=PASSWORD, without=("PLAIN",)) as server:
        (sent,) = send_mail(server.server)
    assert (sent.outcome, server.accepted[0].user) == (Outcome.SENT, USER)


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
    first, second = send_mail(server.server, recipient, "ann@example.org")
    assert (first.outcome, second.outcome) == (Outcome.REFUSED, Outcome.SENT)
    assert "is not an e-mail address" in first.detail
    assert "\n" not in first.detail
    assert not first.gone
    assert [mail.recipients for mail in server.accepted] == [("ann@example.org",)]


def test_no_messages_are_no_mail(server: MailStandIn) -> None:
    assert send_mail(server.server, messages=()) == []
    assert not server.greeted_as


def test_a_delivery_is_one_piece_known_by_its_content(server: MailStandIn) -> None:
    mail: Channel = channel(server.server)

    def digest(*messages: Text | Document | Album, key: str = KEY) -> str:
        (piece,) = mail.pieces(messages, key=key, language=Language("ru"))
        assert (piece.label, piece.weight, piece.repeatable) == ("mail", 1, True)
        return piece.digest

    text, picture = Text("a"), Picture("a.png", PNG, "b")
    assert digest(text) == digest(Text("a"), key="another/day")
    other: list[tuple[Text | Document | Album, ...]] = [(text, text), (Text("aa"),), (Document("a.png", PNG, "b"),)]
    other += [(Album((picture,)),), (Album((picture, picture)),), (Album((picture,)), Album((picture,)))]
    other.append((Document("a.pngb", PNG),))
    assert len({digest(*messages) for messages in [(text,), *other]}) == 8


def test_one_refused_recipient_does_not_hurt_the_others(server: MailStandIn) -> None:
    server.faults["RCPT", "bob@example.org"] = "550 5.1.1 No such user"
    sent = send_mail(server.server, "ann@example.org", "bob@example.org", "eve@example.org")

    assert [one.outcome for one in sent] == [Outcome.SENT, Outcome.REFUSED, Outcome.SENT]
    assert "the recipient bob@example.org: 550 5.1.1 No such user" in sent[1].detail
    place = server.server.place
    assert [one.gone for one in sent] == ["", f"{place} knows no mailbox bob@example.org: 550 5.1.1 No such user.", ""]
    assert [mail.recipients for mail in server.accepted] == [("ann@example.org",), ("eve@example.org",)]
    assert len({mail.connection for mail in server.accepted}) == 1


@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        ("550 5.1.1 <ann@example.org>: Recipient address rejected: User unknown in local recipient table", True),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", True),
        ("556 5.1.10 Domain does not accept mail (null MX)", True),
        ("551 5.1.6 Gone away", True),
        ("550 No such user here", True),
        ("550 ann@example.org... User unknown", True),
        ("550 5.1.0 <reports@example.org>: Sender address rejected: User unknown in local recipient table", False),
        ("550 5.1.1 Sender unknown", False),
        ("554 5.7.1 <ann@example.org>: Relay access denied", False),
        ("550 relay not permitted", False),
        ("550 5.7.1 Message refused by policy", False),
        ("550 5.4.1 Recipient address rejected: Access denied", False),
        ("550 5.1.2 Host unknown", False),
        ("550 5.2.1 Receives mail at a rate that prevents more", False),
        ("552 5.2.2 Mailbox full", False),
        ("550 Mailbox unavailable", False),
        ("550 5.7.1 User unknown or not allowed", False),
        ("530 5.7.0 Authentication required", False),
        ("450 4.1.1 User unknown for now", False),
    ],
)
def test_only_a_mailbox_that_is_not_there_ends_a_subscription(server: MailStandIn, answer: str, gone: bool) -> None:
    server.faults["RCPT", "ann@example.org"] = answer
    (sent,) = send_mail(server.server)
    assert sent.outcome is (Outcome.NOT_SENT if answer.startswith("4") else Outcome.REFUSED)
    assert answer in sent.detail
    assert (answer in sent.gone) == gone
    assert bool(sent.gone) == gone


@pytest.mark.parametrize(("verb", "answer"), [("MAIL", "550 5.1.1 User unknown"), ("DATA", "550 5.1.1 User unknown")])
def test_what_is_not_said_of_the_recipient_ends_no_subscription(server: MailStandIn, verb: str, answer: str) -> None:
    server.faults[verb, "" if verb == "MAIL" else "ann@example.org"] = answer
    (sent,) = send_mail(server.server)
    assert (sent.outcome, sent.gone) == (Outcome.REFUSED, "")


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
    (sent,) = send_mail(server.server)
    assert sent.outcome is outcome
    assert (answer in sent.detail) == (outcome in (Outcome.NOT_SENT, Outcome.REFUSED))
    assert ("Send it again later" in sent.detail) == (outcome is Outcome.NOT_SENT)


def test_a_greylisted_mail_goes_through_the_next_time(server: MailStandIn) -> None:
    server.faults["RCPT", "ann@example.org"] = "451 4.7.1 Greylisted"
    server.fault_times["RCPT", "ann@example.org"] = 1
    assert [send_mail(server.server)[0].outcome for _ in range(2)] == [Outcome.NOT_SENT, Outcome.SENT]


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
    sent = send_mail(server.server, "ann@example.org", "bob@example.org", "eve@example.org")

    assert [one.outcome for one in sent] == [Outcome.SENT, outcome, Outcome.SENT]
    assert ("may or may not have arrived" in sent[1].detail) == (outcome is Outcome.UNCERTAIN)
    # What may have arrived is not given a second time.
    assert len(server.to("bob@example.org")) == (outcome is Outcome.UNCERTAIN)


def test_a_server_that_takes_few_mails_over_a_connection_gets_another_connection(server: MailStandIn) -> None:
    server.mails_per_connection = 2
    recipients = [f"p{n}@example.org" for n in range(5)]
    assert {one.outcome for one in send_mail(server.server, *recipients)} == {Outcome.SENT}
    assert [mail.recipients[0] for mail in server.accepted] == recipients
    assert len({mail.connection for mail in server.accepted}) == 3


def test_a_mail_that_breaks_off_has_not_arrived() -> None:
    with scripted_server("220 hi", "250 hi", "250 ok", "250 ok", "354 go", DROP) as server:
        big = Document("big.bin", bytes(8_000_000))
        (sent,) = send_mail(server, messages=(big,))
    assert sent.outcome is Outcome.NOT_SENT
    assert "whose end it cannot have" in sent.detail


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
        (("220 hi", "502 what", "250 hi", "250 ok", HANG), Outcome.NOT_SENT, "gave no answer within 60 s"),
        (("220 hi", "502 what", "502 what"), Outcome.REFUSED, "did not accept EHLO: 502"),
    ],
)
def test_servers_that_speak_oddly(answers: tuple[str, ...], outcome: Outcome, words: str) -> None:
    with scripted_server(*answers) as server:
        (sent,) = send_mail(server)
    assert sent.outcome is outcome
    assert words in sent.detail


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = MailServer("127.0.0.1", port, "none", sender="reports@example.org", timeout_seconds=2)
    both = send_mail(server, "ann@example.org", "bob@example.org")
    assert {one.outcome for one in both} == {Outcome.NOT_SENT}
    assert f"Nothing accepts connections at 127.0.0.1:{port}: check SMTP_HOST and SMTP_PORT." in both[0].detail
    (sent,) = send_mail(replace(server, host="mail.invalid"))
    assert sent.outcome is Outcome.NOT_SENT
    assert "SMTP_HOST mail.invalid is not found" in sent.detail
    with pytest.raises(ChannelError, match="Nothing accepts connections"):
        channel(server).check()


def test_an_untrusted_certificate_is_not_spoken_to(tmp_path: Path) -> None:
    for security in ("starttls", "ssl"):
        with mail_server(security, user=USER, password=PASSWORD) as server:
            strange = replace(server.server, ca_file=None)
            (sent,) = send_mail(strange)
            with pytest.raises(ChannelError, match="set SMTP_CA_FILE to the PEM file"):
                channel(strange).check()
        assert sent.outcome is Outcome.NOT_SENT
        assert "is not trusted" in sent.detail
        assert not server.commands


def test_a_certificate_for_another_name_is_not_trusted() -> None:
    with mail_server("starttls", names=("mail.example.org",)) as server:
        (sent,) = send_mail(server.server)
    assert sent.outcome is Outcome.NOT_SENT
    assert "write SMTP_HOST as the name that the certificate is for" in sent.detail


def test_starttls_is_never_done_without() -> None:
    with mail_server("starttls", starttls_offered=False) as server:
        (sent,) = send_mail(server.server)
        place = server.server.place
        with pytest.raises(ChannelError, match="does not offer it"):
            channel(server.server).check()
    assert sent.outcome is Outcome.NOT_SENT
    assert f"SMTP_SECURITY is starttls, but the server at {place} does not offer it: " in sent.detail
    assert not server.commands


def test_the_other_kind_of_encryption_is_named() -> None:
    with mail_server("none") as server:
        (sent,) = send_mail(replace(server.server, security="ssl"))
    assert sent.outcome is Outcome.NOT_SENT
    assert "set SMTP_SECURITY to starttls" in sent.detail
    with mail_server("ssl") as server:
        (sent,) = send_mail(replace(server.server, security="starttls", timeout_seconds=0.5))
    assert sent.outcome is Outcome.NOT_SENT
    assert "needs SMTP_SECURITY=ssl" in sent.detail


def test_a_wrong_password_is_tried_once_and_told_without_it(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong_one = "w/ro ng+1"
    caplog.set_level(logging.DEBUG)
    with mail_server("starttls", user=USER, password="right") as server:
        wrong = replace(server.server, password=SecretStr(wrong_one))
        mail = channel(wrong)
        both = send_mail(wrong, "ann@example.org", "bob@example.org")
        assert server.commands == {"AUTH": 1}
        with pytest.raises(ChannelError) as raised:
            mail.check()

    assert {one.outcome for one in both} == {Outcome.REFUSED}
    assert {one.gone for one in both} == {""}
    assert "the login (SMTP_USER, SMTP_PASSWORD): 535 5.7.8 No such user: ann <secret>" in both[0].detail
    own = [record.getMessage() for record in caplog.records if not record.name.startswith("mail.")]
    said = [*own, *capfd.readouterr(), repr(both), repr(mail), repr(wrong), repr(raised.value), str(raised.value)]
    assert not [text for text in said if wrong_one in text]
    chain: BaseException | None = raised.value
    while chain is not None:
        assert wrong_one not in f"{chain!r} {vars(chain)}"
        chain = chain.__cause__ or chain.__context__
    # Also as the login puts it on the wire.
    assert redact("334 dy9ybyBuZysx AGFubgB3L3JvIG5nKzE=") == "334 <secret> <secret>"


def test_logins_that_cannot_be(server: MailStandIn) -> None:
    with_login = replace(server.server, user=USER, password=SecretStr(PASSWORD))
    (sent,) = send_mail(with_login)
    assert sent.outcome is Outcome.NOT_SENT
    assert "offers no login without encryption: set SMTP_SECURITY to starttls or ssl" in sent.detail
    server.extensions.append("AUTH CRAM-MD5 XOAUTH2")
    (sent,) = send_mail(with_login)
    assert "offers only the logins CRAM-MD5 XOAUTH2, not PLAIN or LOGIN" in sent.detail
    for half in (replace(with_login, password=None), replace(with_login, user=None)):
        with pytest.raises(ChannelError, match="SMTP_USER and SMTP_PASSWORD belong together"):
            channel(half)


def test_a_server_that_wants_a_login_says_so() -> None:
    with mail_server("none", user=USER, password=PASSWORD) as server:
        (sent,) = send_mail(replace(server.server, user=None, password=None))
    assert sent.outcome is Outcome.REFUSED
    assert sent.detail.endswith("530 5.7.0 Authentication required. Set SMTP_USER and SMTP_PASSWORD.")


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
        sent = send_mail(server.server, "ann@пример.рф", "Анна <анна@пример.рф>", "bob@example.org")
    assert {one.outcome for one in sent} == {Outcome.SENT}
    assert [mail.recipients[0] for mail in server.accepted] == [
        "ann@xn--e1afmkfd.xn--p1ai",
        "анна@xn--e1afmkfd.xn--p1ai",
        "bob@example.org",
    ]
    assert "\r\nTo: Анна <анна@xn--e1afmkfd.xn--p1ai>\r\n".encode() in server.accepted[1].raw
    with mail_server() as server:
        sent = send_mail(server.server, "ann@пример.рф", "анна@пример.рф", "bob@example.org")
    assert [one.outcome for one in sent] == [Outcome.SENT, Outcome.REFUSED, Outcome.SENT]
    assert "does not take such addresses (SMTPUTF8)" in sent[1].detail
