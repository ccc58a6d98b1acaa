"""Mail servers on this machine, for tests: `with mail_server("starttls") as server: ...`.

Belongs here: a real SMTP server (aiosmtpd) with certificates of its own authority (trustme), faults on demand, and a
scripted one for what no real server would say; and sending over the channel as a delivery does. Does not: what a mail
should hold (`channels/test_email.py`).
"""

import asyncio
import select
import smtplib
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any, Literal, cast

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from pydantic import SecretStr

from analytics_platform.channels.base import Recipient, Sent
from analytics_platform.channels.email import EmailChannel, MailServer
from analytics_platform.language import Language
from analytics_platform.messages import Message, Text

Security = Literal["none", "starttls", "ssl"]

HANG, HOLD, DROP = "hang", "hold", "drop"
KEY = "feed_daily/2026-11-20"
NOW = datetime(2026, 11, 21, 8, 0, 5, tzinfo=UTC)


# By the client's port, the connections on which nothing will be said any more.
_silent: set[int] = set()
_LOOKS_EVERY_SECONDS = 0.005


class _Line(socket.socket):
    """A client's end: it times out when the server has fallen silent, and not because the machine is busy."""

    def recv_into(self, *arguments: Any) -> int:
        while True:
            silent = self.getsockname()[1] in _silent  # first: what was said before that is there by then
            if select.select([self], [], [], _LOOKS_EVERY_SECONDS)[0]:
                return super().recv_into(*arguments)
            if silent:
                raise TimeoutError("timed out")


@contextmanager
def _silence_is_heard_at_once() -> Iterator[None]:
    connect = vars(smtplib.SMTP)["_get_socket"]

    def connected(smtp: smtplib.SMTP, host: str, port: int, timeout: float) -> socket.socket:
        made: socket.socket = connect(smtp, host, port, timeout)
        _silent.discard(made.getsockname()[1])  # it was another connection's
        if timeout < 60 or type(made) is not socket.socket:
            return made
        line = _Line(fileno=made.detach())
        line.settimeout(timeout)
        return line

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smtplib.SMTP, "_get_socket", connected)
        yield


def send_mail(
    server: MailServer,
    *recipients: str | Recipient,
    messages: Sequence[Message] = (Text("hello"),),
    key: str = KEY,
    repeat: bool = False,
    clock: Callable[[], float] = NOW.timestamp,
) -> list[Sent]:
    """The delivery `key` to each recipient, over one line: what each try came to. One recipient without any named."""
    channel = EmailChannel(server, clock=clock)
    chosen = [Recipient("email", one) if isinstance(one, str) else one for one in (recipients or ("ann@example.org",))]

    async def deliver() -> list[Sent]:
        pieces = channel.pieces(messages, key=key, language=Language("en"))
        found = []
        async with channel.sender({}) as sender:
            for recipient in chosen:
                for piece in pieces:
                    async with sender.turn(recipient, piece):
                        found.append(await sender.send(recipient, piece, repeat=repeat, silent=False))
        return found

    with _silence_is_heard_at_once():
        return asyncio.run(deliver())


@dataclass(frozen=True)
class Mail:
    """One mail as accepted, with its envelope; `connection` tells mails of different connections apart."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    encrypted: bool
    user: str
    connection: int

    @property
    def message(self) -> EmailMessage:
        """The mail, parsed by the standard library."""
        return message_from_bytes(self.raw, policy=default)


@dataclass
class MailStandIn:
    """What the server accepted, how often each command came, and the faults it shall have.

    `faults`: the answer to a command, by (verb, the address it names or ""); HANG keeps silent, HOLD keeps silent until
    it is `released` and hangs up then, DROP hangs up. A
    number in `fault_times` ends a fault after so many times. `extensions`: more lines of the answer to EHLO.
    """

    server: MailServer
    login: tuple[str, str] | None = None
    accepted: list[Mail] = field(default_factory=list)
    commands: Counter[str] = field(default_factory=Counter)
    greeted_as: list[str] = field(default_factory=list)
    faults: dict[tuple[str, str], str] = field(default_factory=dict)
    fault_times: dict[tuple[str, str], int] = field(default_factory=dict)
    extensions: list[str] = field(default_factory=list)
    mails_per_connection: int | None = None
    released: Event = field(default_factory=Event)

    def to(self, recipient: str) -> list[Mail]:
        """What this address got."""
        return [mail for mail in self.accepted if recipient in mail.recipients]

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.greeted_as.append(hostname)
        return [*responses[:-1], *(f"250-{line}" for line in self.extensions), responses[-1]]

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.commands["MAIL"] += 1
        if self.login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        taken = sum(mail.connection == _port(session) for mail in self.accepted)
        if self.mails_per_connection and taken >= self.mails_per_connection:
            return "421 4.7.0 Too many mails over this connection"
        if fault := await self._fault(server, "MAIL", ""):
            return fault
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.commands["RCPT"] += 1
        if fault := await self._fault(server, "RCPT", address):
            return fault
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.commands["DATA"] += 1
        fault = await self._fault(
            server, "DATA", envelope.rcpt_tos[0], before_hanging=lambda: self._take(session, envelope)
        )
        if fault:
            return fault
        self._take(session, envelope)
        return "250 OK queued"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        """The login; a refusal repeats what was sent, as careless servers do."""
        self.commands["AUTH"] += 1
        login = (data.login.decode(), data.password.decode())
        if login == self.login:
            return AuthResult(success=True, auth_data=data)
        message = self.faults.get(("AUTH", ""), f"535 5.7.8 No such user: {login[0]} {login[1]}")
        return AuthResult(success=False, handled=False, message=message)

    def _take(self, session: Session, envelope: Envelope) -> None:
        assert isinstance(envelope.original_content, bytes)
        user = cast(LoginPassword, session.auth_data).login.decode() if session.authenticated else ""
        encrypted = session.ssl is not None or self.server.security == "ssl"
        self.accepted.append(
            Mail(
                envelope.mail_from or "",
                tuple(envelope.rcpt_tos),
                envelope.original_content,
                encrypted,
                user,
                _port(session),
            )
        )

    async def _fault(self, server: SMTP, verb: str, address: str, before_hanging: Any = None) -> str:
        key = (verb, address)
        fault = self.faults.get(key, "")
        if fault and key in self.fault_times:
            self.fault_times[key] -= 1
            if not self.fault_times[key]:
                del self.faults[key], self.fault_times[key]
        if fault in (HANG, DROP) and before_hanging:
            before_hanging()
        if fault == HANG:
            assert server.session
            _silent.add(_port(server.session))
            await asyncio.Event().wait()  # cancelled when the server stops
        if fault == HOLD:
            await asyncio.to_thread(self.released.wait, 60)
        if fault in (HOLD, DROP) and server.transport:
            server.transport.close()
            return "250 too late"
        return fault


def _port(session: Session) -> int:
    return cast(tuple[str, int], session.peer)[1]


class _Controller(Controller):
    """On a free port, which is known once the server listens."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def mail_server(
    security: Security = "none",
    *,
    user: str = "",
    password: str = "",
    utf8: bool = False,
    size: int | None = 10_000_000,
    without: tuple[str, ...] = (),
    names: tuple[str, ...] = ("localhost", "127.0.0.1"),
    starttls_offered: bool = True,
    port: int = 0,
) -> Iterator[MailStandIn]:
    """A running server; `.server` is how to reach it. `names`: what its certificate is for; `without`: login
    mechanisms it does not have."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    with TemporaryDirectory() as folder:
        trusted = Path(folder) / "ca.pem"
        authority.cert_pem.write_to_path(str(trusted))
        stand_in = MailStandIn(
            MailServer(
                host="localhost",
                port=0,
                security=security,
                user=user or None,
                password=SecretStr(password) if password else None,
                sender="Отчёты, ООО <reports@example.org>",
                timeout_seconds=60.0,
                ca_file=None if security == "none" else trusted,
            ),
            (user, password) if user else None,
        )
        controller = _Controller(
            stand_in,
            hostname="127.0.0.1",
            port=port,
            ready_timeout=60,
            server_hostname="localhost",
            ssl_context=context if security == "ssl" else None,
            tls_context=context if security == "starttls" and starttls_offered else None,
            require_starttls=security == "starttls" and starttls_offered,
            authenticator=stand_in.authenticate if user else None,
            auth_require_tls=security == "starttls",
            auth_exclude_mechanism=without if user else ("PLAIN", "LOGIN"),
            enable_SMTPUTF8=utf8,
            data_size_limit=size,
        )
        controller.start()
        stand_in.server = replace(stand_in.server, port=controller.port)
        try:
            yield stand_in
        finally:
            controller.stop()


@contextmanager
def scripted_server(*answers: str, met: list[int] | None = None) -> Iterator[MailServer]:
    """A server that says the answers one after the other, whatever it hears; HANG keeps silent, DROP hangs up.

    The first answer is the greeting. The script is played for each connection anew; `met` gets the port of each. One
    that does not even greet is waited for in real time, half a second.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            if met is not None:
                met.append(connection.getpeername()[1])
            _play(connection, answers)

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield MailServer(
            host="127.0.0.1",
            port=listener.getsockname()[1],
            security="none",
            sender="reports@example.org",
            timeout_seconds=0.5 if answers[0] == HANG else 60.0,
        )
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in connections:
            connection.close()


def _play(connection: socket.socket, answers: tuple[str, ...]) -> None:
    reader = connection.makefile("rb")
    try:
        for place, answer in enumerate(answers):
            if place and not reader.readline():
                return
            if answer == HANG:
                break  # open until the test is over
            if answer == DROP:
                connection.shutdown(socket.SHUT_RDWR)
                return
            connection.sendall(answer.encode() + b"\r\n")
        _silent.add(connection.getpeername()[1])
    except OSError:
        return
    finally:
        reader.close()
