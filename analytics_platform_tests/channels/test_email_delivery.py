"""One connection for all recipients of a delivery, and mails that are too large for the server."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from analytics_platform.channels.base import Outcome, Recipient, Sent
from analytics_platform.channels.email import EmailChannel
from analytics_platform.language import Language
from analytics_platform.messages import Album, Document, Picture, Text
from analytics_platform_tests.mail_server import (
    HANG,
    HOLD,
    KEY,
    NOW,
    MailStandIn,
    mail_server,
    scripted_server,
    send_mail,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
REPORT = (
    Text("<b>Сбой</b>"),
    Document("a.csv", bytes(60_000), "все цифры"),
    Album((Picture("dau.png", PNG + bytes(60_000), "по дням"), Picture("ctr.svg", b"<svg/>"))),
)


@pytest.fixture
def server() -> Iterator[MailStandIn]:
    with mail_server() as running:
        yield running


def names(mail: MailStandIn) -> list[str]:
    return [name for part in mail.accepted[-1].message.walk() if (name := part.get_filename())]


def bodies(mail: MailStandIn) -> list[str]:
    found = [mail.accepted[-1].message.get_body((kind,)) for kind in ("plain", "html")]
    return [part.get_content().replace("\r\n", "\n") for part in found if part is not None]


@pytest.mark.parametrize(
    ("limit", "left"),
    [
        (250_000, ["dau.png", "a.csv", "ctr.svg"]),
        (120_000, ["dau.png", "ctr.svg"]),
        (20_000, []),
    ],
)
def test_a_mail_above_the_servers_limit_goes_without_files(limit: int, left: list[str]) -> None:
    with mail_server(size=limit) as server:
        (sent,) = send_mail(server.server, Recipient("email", "ann@example.org", language="ru"), messages=REPORT)
        assert server.commands["DATA"] == 1
    assert sent.outcome is Outcome.SENT
    assert names(server) == left
    missing = [name for name in ("a.csv", "dau.png", "ctr.svg") if name not in left]
    for body in bodies(server):
        assert "Сбой" in body
        assert "все цифры" in body
        assert "по дням" in body
        assert (f"не приложены: {', '.join(missing)}" in body) == bool(missing)
        assert body.count("cid:") == ("<html" in body and "dau.png" in left)
    assert sent.detail.startswith(f"It went without {', '.join(missing)}: The mail has 0.2 MB" if missing else "")
    assert bool(sent.detail) == bool(missing)


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
def test_a_mail_that_the_server_finds_too_large_goes_without_files(server: MailStandIn, verb: str) -> None:
    key = (verb, "" if verb == "MAIL" else "ann@example.org")
    server.faults[key], server.fault_times[key] = "552 5.3.4 Message too big", 2
    ann, bob = send_mail(server.server, "ann@example.org", "bob@example.org", messages=REPORT)
    assert (ann.outcome, bob.outcome, bob.detail) == (Outcome.SENT, Outcome.SENT, "")
    assert ann.detail.startswith("It went without a.csv, dau.png, ctr.svg: ")
    assert ann.detail.endswith("552 5.3.4 Message too big.")
    assert len(server.accepted) == 2
    assert len({mail.connection for mail in server.accepted}) == 1
    assert ann.references == (server.accepted[0].message["Message-ID"],)


@pytest.mark.parametrize(
    ("answer", "tries"),
    [("552 Too much mail data", 3), ("552 5.7.0 Blocked: dangerous file", 3), ("552 5.2.2 Over quota", 1)],
)
def test_what_no_form_of_a_mail_helps_against_is_refused(server: MailStandIn, answer: str, tries: int) -> None:
    server.faults["DATA", "ann@example.org"] = answer
    (sent,) = send_mail(server.server, messages=REPORT)
    assert (sent.outcome, sent.gone, server.commands["DATA"]) == (Outcome.REFUSED, "", tries)
    assert answer in sent.detail


def test_a_text_that_is_too_large_is_refused_by_size() -> None:
    with mail_server(size=100_000) as server:
        (sent,) = send_mail(server.server, messages=(Text("x" * 120_000),))
        assert sent.outcome is Outcome.REFUSED
        assert "The mail has 0.3 MB" in sent.detail
        assert not server.commands
        assert send_mail(server.server)[0].outcome is Outcome.SENT


def test_a_smaller_mail_without_an_answer_is_uncertain() -> None:
    begin = ("220 hi", "250 hi", "552 5.3.4 Message too big")
    with scripted_server(*begin, "250 reset", "250 ok", "250 ok", "354 go", HANG) as server:
        (sent,) = send_mail(server, messages=REPORT)
    assert sent.outcome is Outcome.UNCERTAIN


def test_mails_go_one_at_a_time_over_one_connection(server: MailStandIn) -> None:
    async def deliver() -> list[Sent]:
        mail = EmailChannel(server.server)
        (piece,) = mail.pieces([Text("hello")], key=KEY, language=Language("en"))
        async with mail.sender({}) as sender:
            sending: list[str] = []

            async def one(recipient: Recipient) -> Sent:
                async with sender.turn(recipient, piece):
                    sending.append(recipient.address)
                    assert len(sending) == 1
                    sent = await sender.send(recipient, piece, repeat=False, silent=True)
                    sending.remove(recipient.address)
                return sent

            everybody = [Recipient("email", f"p{n}@example.org") for n in range(8)]
            return await asyncio.gather(*map(one, everybody))

    assert {one.outcome for one in asyncio.run(deliver())} == {Outcome.SENT}
    assert len(server.accepted) == 8
    assert len({mail.connection for mail in server.accepted}) == 1


def test_a_cancelled_mail_does_not_run_into_the_next_one(server: MailStandIn) -> None:
    server.faults["RCPT", "ann@example.org"] = HOLD

    async def deliver() -> Sent:
        mail = EmailChannel(server.server)
        (piece,) = mail.pieces([Text("hello")], key=KEY, language=Language("en"))
        async with mail.sender({}) as sender:

            def send(address: str) -> asyncio.Task[Sent]:
                return asyncio.create_task(sender.send(Recipient("email", address), piece, repeat=False, silent=False))

            ann = send("ann@example.org")
            while not server.commands["RCPT"]:
                await asyncio.sleep(0.005)
                assert not ann.done()
            ann.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ann
            bob = send("bob@example.org")
            await asyncio.sleep(0.05)
            assert (server.commands["MAIL"], bob.done()) == (1, False), "the cancelled one goes on to its end first"
            server.released.set()
            return await bob

    assert asyncio.run(deliver()).outcome is Outcome.SENT
    assert [mail.recipients for mail in server.accepted] == [("bob@example.org",)]


def test_a_server_that_is_not_there_costs_one_timeout_a_round() -> None:
    met: list[int] = []
    looked: list[None] = []

    def clock() -> float:
        """Finding out takes half a minute, giving up on a recipient a tenth of a second."""
        looked.append(None)
        return NOW.timestamp() + 30 * len(met) + 0.1 * len(looked)

    with scripted_server(HANG, met=met) as server:
        sent = send_mail(server, *(f"p{n}@example.org" for n in range(20)), clock=clock)
    assert {one.outcome for one in sent} == {Outcome.NOT_SENT}
    assert (len(sent), len(met)) == (20, 1)


def test_a_server_that_comes_back_is_found_by_the_next_try(server: MailStandIn) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    seconds = [0.0]
    mail = EmailChannel(replace(server.server, port=port), clock=lambda: NOW.timestamp() + seconds[0])
    (piece,) = mail.pieces([Text("hello")], key=KEY, language=Language("en"))
    ann = Recipient("email", "ann@example.org")

    async def deliver() -> list[Outcome]:
        async with mail.sender({}) as sender:
            outcomes = [(await sender.send(ann, piece, repeat=False, silent=False)).outcome]
            with mail_server(port=port) as back:
                for wait in (0.0, 1.0):
                    seconds[0] += wait
                    outcomes.append((await sender.send(ann, piece, repeat=True, silent=False)).outcome)
                assert len(back.accepted) == 1
        return outcomes

    assert asyncio.run(deliver()) == [Outcome.NOT_SENT, Outcome.NOT_SENT, Outcome.SENT]
