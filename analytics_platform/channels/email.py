"""E-mail: one mail per recipient and delivery, over SMTP.

Belongs here: the channel, and the conversation with the mail server. Does not: what its answers prove
(`email_server.py`), what a mail looks like (`email_letter.py`), who is told and when again (`delivery.py`).
"""

import asyncio
import re
import smtplib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock

from analytics_platform.channels.base import ChannelError, Outcome, Piece, Recipient, Sent
from analytics_platform.channels.contents import digest
from analytics_platform.channels.email_address import Mailbox, one_line
from analytics_platform.channels.email_letter import Letter, left_out, letter, smaller
from analytics_platform.channels.email_server import (
    NO_ANSWER,
    MailServer,
    TroubleError,
    accepted,
    as_base64,
    no_connection,
    refusal,
    refusal_of_recipient,
    silence,
    spellings,
    tls_context,
)
from analytics_platform.language import Language
from analytics_platform.messages import Card, Message, revision, spread
from analytics_platform.redaction import register_secret

__all__ = ["EmailChannel", "MailServer"]

# So that the timeout is one of silence and not of slow lines: a large mail may take long, a piece of it may not.
_PIECE = 1 << 16
_GOODBYE_SECONDS = 2.0
# What kept one mail from a connection is believed for as long as it took to find out, and at least so many seconds:
# a server that is not there costs one timeout a round and not one a recipient.
_BELIEVED_SECONDS = 0.5


class EmailChannel:
    """Sends each recipient a mail of their own, so that nobody sees the others and none depends on another.

    A mail holds all messages of the delivery. A repeat has the same Message-ID, by which mail programs and people
    recognise it, so one of unknown fate is sent again.
    """

    name = "email"

    def __init__(self, server: MailServer, *, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since 1970, for the Date header. ChannelError for a sender, login or file of certificates
        that cannot be used."""
        try:
            self._sender = Mailbox.parse(server.sender)
        except ValueError as error:
            raise ChannelError(f"SMTP_FROM: {error}") from None
        if bool(server.user) != bool(server.password):
            raise ChannelError("SMTP_USER and SMTP_PASSWORD belong together: set both, or none to send without login")
        self._server = server
        self._context = tls_context(server)
        self._clock = clock
        for secret in spellings(server):
            register_secret(secret)

    def __repr__(self) -> str:
        return f"EmailChannel({self._server.place})"

    def pieces(
        self,
        messages: Sequence[Message],
        *,
        key: str,
        language: Language,  # noqa: ARG002  (the port's)
    ) -> Sequence[Piece]:
        """All messages as one piece: a mail arrives as a whole.

        What was sent cannot be edited: a revision of a card is a mail of its own if it has a notice, and without one
        goes to those alone who have none yet.
        """
        found = spread(messages, notices=True)
        cards = [message for message in messages if isinstance(message, Card)]
        piece = Piece(
            "mail",
            digest(found),
            (key, found),
            repeatable=True,
            living="mail" if cards else "",
            first_only=revision(key) > 1 and bool(cards) and not any(card.notice for card in cards),
        )
        return (piece,) if found else ()

    @asynccontextmanager
    async def sender(self, files: Mapping[str, tuple[str, ...]]) -> AsyncIterator["EmailSender"]:  # noqa: ARG002
        """One connection for all recipients, made when the first mail is sent. A mail server keeps no files for us."""
        session = _Session(self._server, self._context, self._clock)
        try:
            yield EmailSender(session, self._sender, self._clock)
        finally:
            await asyncio.to_thread(session.close)

    def check(self) -> str:
        """Connect, encrypt, log in, NOOP; nothing is sent. A sentence on success; ChannelError says what is wrong."""
        session = _Session(self._server, self._context, self._clock)
        try:
            return session.describe()
        except TroubleError as trouble:
            found = trouble.detail
        finally:
            session.close()
        # Raised here and not where the library's error is at hand, so that no traceback can lead to that one.
        raise ChannelError(found)


class EmailSender:
    """Sends mails over one connection, one at a time."""

    def __init__(self, session: "_Session", sender: Mailbox, clock: Callable[[], float]) -> None:
        self._session, self._sender, self._clock = session, sender, clock
        self._free = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, recipient: Recipient, piece: Piece) -> AsyncIterator[None]:  # noqa: ARG002
        """When no other mail is on its way, so that waiting for the connection does not count as being sent."""
        async with self._free:
            yield

    async def send(self, recipient: Recipient, piece: Piece, *, repeat: bool, silent: bool) -> Sent:  # noqa: ARG002
        """One mail; the reference is its Message-ID. Mail makes no sound, so `silent` changes nothing.

        One that is too large for the server goes at once without its documents, then without its pictures too.
        """
        return await asyncio.to_thread(self._send, recipient, piece, repeat)

    def _send(self, recipient: Recipient, piece: Piece, repeat: bool) -> Sent:
        key, messages = piece.body
        language = Language(recipient.language)
        moment = datetime.fromtimestamp(self._clock(), UTC)
        try:
            mailbox = Mailbox.parse(recipient.address)
        except ValueError as error:
            return Sent(Outcome.REFUSED, f"{error}.")
        too_large = ""
        for without in smaller(messages):
            mail = letter(
                messages,
                self._sender,
                mailbox,
                key=key,
                moment=moment,
                language=language,
                repeat=repeat,
                unsubscribe=recipient.unsubscribe,
                subscribed=recipient.subscribed,
                without=without,
            )
            try:
                self._session.post(mail, self._sender.address, mailbox.address)
            except TroubleError as trouble:
                if not trouble.too_large:
                    return Sent(trouble.outcome, trouble.detail, gone=trouble.gone)
                too_large = too_large or trouble.detail
                continue
            names = one_line(", ".join(left_out(messages, without)), 300)
            detail = f"It went without {names}: {too_large}" if without else ""
            return Sent(Outcome.SENT, detail, (mail.message_id,))
        return Sent(Outcome.REFUSED, too_large)


@dataclass
class _Session:
    """A connection for one delivery, opened when first needed and once more when the server has closed it.

    Used by one thread at a time: a try that was cancelled goes on to its end, and the next one waits for it.
    """

    server: MailServer
    context: ssl.SSLContext | None
    clock: Callable[[], float]
    smtp: smtplib.SMTP | None = None
    hopeless: tuple[TroubleError, float] | None = None
    free: Lock = field(default_factory=Lock)

    def post(self, mail: Letter, sender: str, recipient: str) -> None:
        """Hand one mail over. Raises TroubleError unless the server has accepted it."""
        with self.free:
            reused = self.smtp is not None
            try:
                self._try(mail, sender, recipient, reused=reused)
            except TroubleError as trouble:
                # Servers close idle or long-used connections: a new one is worth a try, once, as nothing was accepted.
                if not (trouble.lost and reused and trouble.outcome is Outcome.NOT_SENT):
                    raise
                self._try(mail, sender, recipient, reused=False)

    def describe(self) -> str:
        """What a connection is like, by making one."""
        smtp = self._open()
        with _nothing_accepted(self.server, "on NOOP"):
            code, text = smtp.noop()
        if not accepted(code):
            raise refusal(self.server, "NOOP", code, text)
        version = smtp.sock.version() if isinstance(smtp.sock, ssl.SSLSocket) else None
        how = f"{version or 'TLS'}, certificate trusted" if self.context else "not encrypted"
        who = f"logged in as {self.server.user}" if self.server.user else "without login"
        warning = ", so the password crosses the network readably" if self.server.user and not self.context else ""
        return f"{self.server.place} answers: {how}, {who}{warning}."

    def close(self) -> None:
        """Say goodbye, or just leave when nobody listens."""
        with self.free:
            self._leave()

    def _leave(self) -> None:
        if self.smtp is not None:
            smtp, self.smtp = self.smtp, None
            with suppress(OSError):
                if smtp.sock is not None:
                    smtp.sock.settimeout(min(self.server.timeout_seconds, _GOODBYE_SECONDS))
                    smtp.docmd("QUIT")
            smtp.close()

    def _try(self, mail: Letter, sender: str, recipient: str, *, reused: bool) -> None:
        try:
            self._transact(self._open(), mail, sender, recipient, reused=reused)
        except TroubleError as trouble:
            if trouble.lost:
                self._leave()
            raise

    def _open(self) -> smtplib.SMTP:
        # What keeps one recipient's mail from a connection keeps everybody's; a login that was refused is never tried
        # again, as wrong passwords lock accounts.
        if self.smtp is not None:
            return self.smtp
        begun = self.clock()
        if self.hopeless is not None:
            trouble, until = self.hopeless
            if trouble.outcome is Outcome.REFUSED or begun < until:
                raise trouble
        try:
            self.smtp = _connect(self.server, self.context)
        except TroubleError as trouble:
            now = self.clock()
            self.hopeless = trouble, now + max(now - begun, _BELIEVED_SECONDS)
            raise
        return self.smtp

    def _transact(self, smtp: smtplib.SMTP, mail: Letter, sender: str, recipient: str, *, reused: bool) -> None:
        options = _options(self.server, smtp, mail)
        with _nothing_accepted(self.server, "before it was given the mail"):
            if reused:
                smtp.rset()
            code, text = smtp.mail(sender, options)
            if not accepted(code):
                raise refusal(self.server, f"the sender {sender} (SMTP_FROM)", code, text)
            code, text = smtp.rcpt(recipient)
            if not accepted(code):
                raise refusal_of_recipient(self.server, recipient, code, text)
            code, text = smtp.docmd("DATA")
            if code // 100 != 3:
                raise refusal(self.server, "the mail", code, text)
        # By hand and not by smtplib's data(), which does not tell a mail that broke off from one without an answer.
        content = re.sub(rb"(?m)^\.", b"..", mail.payload) + (
            b".\r\n" if mail.payload.endswith(b"\r\n") else b"\r\n.\r\n"
        )
        with _nothing_accepted(self.server, "while the mail was on its way, whose end it cannot have"):
            for start in range(0, len(content), _PIECE):
                smtp.send(content[start : start + _PIECE])
        try:
            code, text = smtp.getreply()
        except OSError:
            code, text = -1, b""
        if code // 100 in (4, 5):
            raise refusal(self.server, "the mail", code, text)
        if not accepted(code):
            raise TroubleError(Outcome.UNCERTAIN, f"{self.server.place} {NO_ANSWER}.", lost=True)


def _connect(server: MailServer, context: ssl.SSLContext | None) -> smtplib.SMTP:
    """A connection that is encrypted as asked and logged in. Raises TroubleError."""
    smtp: smtplib.SMTP | None = None
    # A local name is given because smtplib would otherwise ask the name servers for one, without a timeout.
    name, wait = "localhost", server.timeout_seconds
    try:
        if server.security == "ssl":
            smtp = smtplib.SMTP_SSL(server.host, server.port, name, timeout=wait, context=context)
        else:
            smtp = smtplib.SMTP(server.host, server.port, name, timeout=wait)
        _greet(server, smtp)
        if server.security == "starttls":
            _encrypt(server, smtp, context)
        _login(server, smtp)
    except TroubleError as error:
        trouble = error
    except smtplib.SMTPResponseException as error:
        trouble = refusal(server, "the connection", error.smtp_code, error.smtp_error)
    except smtplib.SMTPException as error:
        hint = "" if server.security == "ssl" else " (a port that is encrypted from the start needs SMTP_SECURITY=ssl)"
        when = f"before a mail could be given to it: check SMTP_HOST and SMTP_PORT{hint}"
        trouble = silence(server, when, timed_out=isinstance(error.__context__, TimeoutError))
    except OSError as error:
        trouble = no_connection(server, error)
    else:
        return smtp
    if smtp is not None:
        smtp.close()
    raise trouble


def _greet(server: MailServer, smtp: smtplib.SMTP) -> None:
    # The address in brackets is a name that every server takes and that nobody has to look up.
    own = str(smtp.sock.getsockname()[0]) if smtp.sock else "127.0.0.1"
    smtp.local_hostname = f"[IPv6:{own.partition('%')[0]}]" if ":" in own else f"[{own}]"
    code, text = smtp.ehlo()
    if not accepted(code):
        code, text = smtp.helo()
    if not accepted(code):
        raise refusal(server, "EHLO", code, text)


def _encrypt(server: MailServer, smtp: smtplib.SMTP, context: ssl.SSLContext | None) -> None:
    if not smtp.has_extn("starttls"):
        raise TroubleError(
            Outcome.NOT_SENT,
            f"SMTP_SECURITY is starttls, but the server at {server.place} does not offer it: check SMTP_PORT, or set "
            "SMTP_SECURITY to ssl (often port 465), or to none where no encryption is wanted.",
        )
    smtp.starttls(context=context)
    _greet(server, smtp)


def _login(server: MailServer, smtp: smtplib.SMTP) -> None:
    # Not smtplib's login(): it tries every mechanism in turn, three wrong passwords for one, and knows ASCII only.
    if not server.user or server.password is None:
        return
    user, password = server.user.encode(), server.password.get_secret_value().encode()
    offered = smtp.esmtp_features.get("auth", "").upper().split()
    if "PLAIN" in offered:
        code, text = smtp.docmd("AUTH", "PLAIN " + as_base64(b"\0" + user + b"\0" + password))
    elif "LOGIN" in offered:
        code, text = smtp.docmd("AUTH", "LOGIN")
        for answer in (user, password):
            if code == 334:
                code, text = smtp.docmd(as_base64(answer))
    else:
        offers = f"only the logins {' '.join(offered)}, not PLAIN or LOGIN" if offered else "no login"
        if not offered and server.security == "none":
            offers += " without encryption: set SMTP_SECURITY to starttls or ssl"
        raise TroubleError(Outcome.NOT_SENT, f"SMTP_USER is set, but {server.place} offers {offers}.")
    if not accepted(code):
        raise refusal(server, "the login (SMTP_USER, SMTP_PASSWORD)", code, text)


def _options(server: MailServer, smtp: smtplib.SMTP, mail: Letter) -> list[str]:
    if mail.needs_utf8 and not smtp.has_extn("smtputf8"):
        raise TroubleError(
            Outcome.REFUSED,
            f"The address has other letters than a-z before its @, and {server.place} does not take such addresses "
            "(SMTPUTF8): use an address without them, or another mail server.",
        )
    options = ["SMTPUTF8", "BODY=8BITMIME"] if mail.needs_utf8 else []
    if smtp.has_extn("size"):
        most = smtp.esmtp_features["size"].strip()
        if most.isdecimal() and 0 < int(most) < len(mail.payload):
            raise TroubleError(
                Outcome.REFUSED,
                f"The mail has {len(mail.payload) / 1e6:.1f} MB, {server.place} takes up to {int(most) / 1e6:.1f} MB.",
                too_large=True,
            )
        options.append(f"SIZE={len(mail.payload)}")
    return options


@contextmanager
def _nothing_accepted(server: MailServer, when: str) -> Iterator[None]:
    """Whatever breaks in here leaves the mail not accepted: its end has not been sent."""
    try:
        yield
    except OSError as error:
        trouble = silence(server, when, timed_out=isinstance(error.__context__, TimeoutError))
    else:
        return
    raise trouble
