"""The mail server: where it is, how it is trusted, and what its answers and its silence prove.

Belongs here: the connection's settings, certificates, outcomes and the sentences people get about them. Does not: the
conversation itself (`email.py`), what a mail looks like (`email_letter.py`).
"""

import base64
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from socket import gaierror
from typing import Literal

from pydantic import SecretStr

from analytics_platform.channels.base import ChannelError, Outcome
from analytics_platform.channels.email_address import one_line
from analytics_platform.redaction import redact

NO_ANSWER = "got the whole mail but gave no answer, so it may or may not have arrived: look into the mailbox first"

_HOSTNAME_MISMATCH = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH
_NOT_NOW = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED

# Of RFC 3463 and 7505: no such mailbox, it moved and left no address, its domain takes no mail. Nothing else stops a
# subscription: X.1.2 is what a server without name servers says of everybody, X.2.1 also what it says of a mailbox that
# gets too much at once, X.7.x is policy, and a bare 550 may be anything.
_NOBODY = ("5.1.1", "5.1.6", "5.1.10")
_NOBODY_WORDS = re.compile(
    r"no such (?:user|mailbox|recipient)|(?:user|mailbox|recipient) (?:unknown|not found)"
    r"|unknown (?:user|mailbox|recipient)"
)
# Servers that judge the sender only when they hear of a recipient, and those that do not send on at all.
_NOT_ABOUT_THE_RECIPIENT = re.compile(r"sender|relay")
_TOO_LARGE = ("5.2.3", "5.3.4")
_MAILBOX_FULL = "5.2.2"
_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?!\S)")


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed over, and as whom. `timeout_seconds` is for connecting and for each answer.

    `sender` may have a display name: `Reports <reports@example.org>`. `ca_file` (PEM) replaces the system's trusted
    certificates.
    """

    host: str
    port: int = 587
    security: Literal["none", "starttls", "ssl"] = "starttls"
    user: str | None = None
    password: SecretStr | None = field(default=None, repr=False)
    sender: str = ""
    timeout_seconds: float = 20.0
    ca_file: Path | None = None

    @property
    def place(self) -> str:
        """`host:port`, for sentences."""
        return f"{self.host}:{self.port}"


class TroubleError(Exception):
    """Why a mail is not known to have been accepted.

    `lost`: the connection is of no more use. `too_large`: a smaller mail may be taken. `gone`: why this recipient can
    get no mail at all, a sentence; empty when that is not sure.
    """

    def __init__(
        self, outcome: Outcome, detail: str, *, lost: bool = False, too_large: bool = False, gone: str = ""
    ) -> None:
        super().__init__(detail)
        self.outcome, self.detail = outcome, detail
        self.lost, self.too_large, self.gone = lost, too_large, gone


def accepted(code: int) -> bool:
    """Whether a reply's code means yes."""
    return 200 <= code < 300


def refusal(server: MailServer, what: str, code: int, text: bytes | str) -> TroubleError:
    """What any other reply to `what` proves. The server's own words are part of the sentence, without the password."""
    said = _words(text)
    answer = f"{server.place} did not accept {what}: {code} {said}".rstrip()
    if code // 100 != 5:
        # 421 announces that the server hangs up; after what is no refusal at all the two sides are out of step.
        return TroubleError(Outcome.NOT_SENT, f"{answer}. Send it again later.", lost=code == 421 or code // 100 != 4)
    remedy = " Set SMTP_USER and SMTP_PASSWORD." if code == 530 and not server.user else ""
    # A bare 552 speaks of size, of a mailbox that is full, or of files that are not welcome.
    enhanced = _enhanced(said)
    too_large = enhanced in _TOO_LARGE or (code == 552 and enhanced != _MAILBOX_FULL)
    return TroubleError(Outcome.REFUSED, f"{answer}.{remedy}", too_large=too_large)


def refusal_of_recipient(server: MailServer, recipient: str, code: int, text: bytes | str) -> TroubleError:
    """The same for the answer to RCPT, which may say that there is no such mailbox."""
    trouble = refusal(server, f"the recipient {recipient}", code, text)
    said = _words(text)
    enhanced, words = _enhanced(said), said.lower()
    unknown = enhanced in _NOBODY or (code == 550 and not enhanced and _NOBODY_WORDS.search(words))
    # That there is no such user may also be said of the sender.
    if trouble.outcome is Outcome.REFUSED and unknown and not _NOT_ABOUT_THE_RECIPIENT.search(words):
        trouble.gone = f"{server.place} knows no mailbox {recipient}: {code} {said}."
    trouble.too_large = enhanced in _TOO_LARGE
    return trouble


def _words(text: bytes | str) -> str:
    return one_line(redact(text.decode("utf-8", "replace") if isinstance(text, bytes) else text), 300).rstrip(".")


def _enhanced(said: str) -> str:
    """The status code of RFC 3463 that an answer begins with; empty without one."""
    found = _ENHANCED.match(said)
    return found[1] if found else ""


def no_connection(server: MailServer, error: OSError) -> TroubleError:
    """What kept the connection from being made or encrypted."""
    place, wait = server.place, f"{server.timeout_seconds:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        detail = f"The certificate of {place} is not trusted ({error.verify_message.rstrip('.')}): {_remedy(error)}."
    elif isinstance(error, ssl.SSLError):
        detail = f"TLS with {place} failed ({str(error.reason or 'no reason given').replace('_', ' ').lower()})"
        if server.security == "ssl":
            detail += ": if its encryption begins later, as on port 587, set SMTP_SECURITY to starttls"
        detail += "."
    elif isinstance(error, gaierror):
        detail = f"SMTP_HOST {server.host} is not found by the name servers: check how it is written."
    elif isinstance(error, ConnectionRefusedError):
        detail = f"Nothing accepts connections at {place}: check SMTP_HOST and SMTP_PORT."
    elif isinstance(error, TimeoutError):
        detail = f"{place} cannot be reached within {wait}: check SMTP_HOST, SMTP_PORT and the firewall."
    else:
        detail = f"{place} cannot be reached ({error.strerror or type(error).__name__})."
    return TroubleError(Outcome.NOT_SENT, detail)


def silence(server: MailServer, when: str, *, timed_out: bool) -> TroubleError:
    """The server hung up or kept silent, at a moment at which it cannot have accepted anything."""
    how = f"gave no answer within {server.timeout_seconds:g} s" if timed_out else "closed the connection"
    return TroubleError(Outcome.NOT_SENT, f"{server.place} {how} {when}. Send it again later.", lost=True)


def _remedy(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _HOSTNAME_MISMATCH:
        return "write SMTP_HOST as the name that the certificate is for"
    if error.verify_code in _NOT_NOW:
        return "check the clock of this machine, or have the server's certificate renewed"
    return "set SMTP_CA_FILE to the PEM file of the authority that issued it"


def tls_context(server: MailServer) -> ssl.SSLContext | None:
    """What the server's certificate is checked against; None without encryption. ChannelError for a wrong file."""
    if server.security == "none":
        return None
    try:
        return ssl.create_default_context(cafile=server.ca_file)
    except OSError as error:  # ssl.SSLError is one
        reason = "holds no certificates in PEM form" if isinstance(error, ssl.SSLError) else f"({error.strerror})"
        raise ChannelError(f"SMTP_CA_FILE {server.ca_file} cannot be used: {reason}") from None


def spellings(server: MailServer) -> Iterator[str]:
    """The password as it stands and as it crosses the wire: some servers repeat what they refuse."""
    if server.user and server.password:
        user, password = server.user.encode(), server.password.get_secret_value().encode()
        yield from (password.decode(), as_base64(password), as_base64(b"\0" + user + b"\0" + password))


def as_base64(value: bytes) -> str:
    """As logins cross the wire."""
    return base64.b64encode(value).decode("ascii")
