"""Letters: what a delivery looks like as one e-mail to one recipient.

Belongs here: addresses, headers, the plain and the HTML version, inline pictures, attachments. Does not: the mail
server and what its answers prove (`email.py`).
"""

import hashlib
import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from pathlib import PurePosixPath

from analytics_platform.messages import Album, Document, Message, Picture, Text

# Bodies as 7-bit text: not every server on the way takes eight bits.
_ENCODING = "7bit"
_LONGEST_SUBJECT = 150
_LONGEST_NAME = 100
_LOCAL_PART = re.compile(r'[^\s@<>()\[\]\\,;:".]+(?:\.[^\s@<>()\[\]\\,;:".]+)*')
# A name may hold a comma without being quoted: there is only ever one address.
_NAMED = re.compile(r"(?:(?P<name>[^<>]*)<(?P<address>[^<>]+)>)|(?P<bare>[^<>]+)")
_DOMAIN = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")
_LINK = re.compile(r'<a\s[^<>]*?href="(?P<to>[^"<>]*)"[^<>]*>(?P<label>.*?)</a>', re.DOTALL)
_PRE = re.compile(r"(<pre(?:\s[^<>]*)?>.*?</pre>)", re.DOTALL)
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
# Our own list: the system's differs from machine to machine.
_TYPES = {
    ".csv": "text/csv",
    ".gz": "application/gzip",
    ".html": "text/html",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".txt": "text/plain",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".zip": "application/zip",
}
_PICTURES = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))
# Outlook knows neither `white-space: pre-wrap` nor `max-width`: lines are broken by hand, pictures have a width.
_PAGE = """<!doctype html>
<html>
<head><meta charset="utf-8"></head>
<body style="font: 16px/1.5 sans-serif">
{body}
</body>
</html>
"""


@dataclass(frozen=True)
class Mailbox:
    """One address, as headers and envelope need it; `domain` is ASCII (IDNA)."""

    name: str
    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> "Mailbox":
        """From `ann@example.org` or `Ann <ann@example.org>`. ValueError with one sentence for anything else."""
        text = text.strip()
        # Line ends and other invisible signs could become headers of their own.
        found = _NAMED.fullmatch(text) if text.isprintable() else None
        if found:
            local, _, domain = (found["address"] or found["bare"]).rpartition("@")
            try:
                domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
            except UnicodeError:
                domain = ""
            fits = len(local.encode()) <= 64 and len(local.encode()) + len(domain) < 254
            if fits and _LOCAL_PART.fullmatch(local) and "=?" not in local and _DOMAIN.fullmatch(domain):
                return cls(_header((found["name"] or "").strip().strip('"'), 100), local, domain)
        raise ValueError(f"{one_line(text, 80)!r} is not an e-mail address; write one such as ann@example.org")

    @property
    def address(self) -> str:
        """`local@domain`, for the envelope."""
        return f"{self.local}@{self.domain}"

    @property
    def needs_utf8(self) -> bool:
        """Whether only servers with SMTPUTF8 can take it."""
        return not self.local.isascii()

    @property
    def header(self) -> Address:
        """For From and To."""
        return Address(self.name, self.local, self.domain)


@dataclass(frozen=True)
class Letter:
    """One mail, ready to be handed over: `payload` has CRLF line ends and no line over 998 bytes."""

    payload: bytes
    message_id: str
    needs_utf8: bool


def letter(messages: Sequence[Message], sender: Mailbox, recipient: Mailbox, *, key: str, moment: datetime) -> Letter:
    """All messages of the delivery `key` as one mail, dated `moment` (aware).

    The Message-ID depends on key, recipient and the sender's domain only: a repeat has the same one, by which mail
    programs and people recognise it.
    """
    mail = compose(messages, sender, recipient, key=key, moment=moment)
    return Letter(mail.as_bytes(), str(mail["Message-ID"]), sender.needs_utf8 or recipient.needs_utf8)


def compose(
    messages: Sequence[Message], sender: Mailbox, recipient: Mailbox, *, key: str, moment: datetime
) -> EmailMessage:
    """The same, not yet as bytes."""
    policy = SMTPUTF8 if sender.needs_utf8 or recipient.needs_utf8 else SMTP
    mail = EmailMessage(policy=policy.clone(cte_type=_ENCODING))
    serial = hashlib.sha256(f"{key}\0{recipient.address}".encode("utf-8", "replace")).hexdigest()[:32]
    mail["From"], mail["To"] = sender.header, recipient.header
    mail["Subject"] = subject(messages) or _header(key, _LONGEST_SUBJECT) or sender.address
    mail["Date"] = format_datetime(moment)
    mail["Message-ID"] = f"<{serial}@{sender.domain}>"
    # No answers of absence to a machine, while reports of failed delivery stay welcome.
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "OOF, AutoReply"

    mail.set_content(_plain(messages))
    mail.add_alternative(_page(messages, serial), subtype="html")
    _, page = mail.iter_parts()
    for place, message in enumerate(messages, start=1):
        if isinstance(message, Album):
            for number, picture in enumerate(message.pictures, start=1):
                if kind := _picture_type(picture):
                    cid, name = _content_id(place, number, serial), file_name(picture.filename)
                    page.add_related(
                        picture.content, *kind.split("/"), cid=f"<{cid}>", filename=name, disposition="inline"
                    )
    for message in messages:
        if isinstance(message, Document):
            _attach(mail, message)
        elif isinstance(message, Album):
            for picture in message.pictures:
                if not _picture_type(picture):
                    _attach(mail, picture)
    return mail


def subject(messages: Sequence[Message]) -> str:
    """The first line of the first text, without markup and whatever could end a header; empty without a text."""
    for message in messages:
        if isinstance(message, Text):
            lines = message.plain.strip().splitlines()
            return _header(lines[0], _LONGEST_SUBJECT) if lines else ""
    return ""


def one_line(text: str, limit: int) -> str:
    """At most `limit` characters on one line: runs of blanks, line ends and invisible signs become one blank."""
    visible = "".join(c if unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") else " " for c in text[: 4 * limit])
    line = " ".join(visible.split())
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def _header(text: str, limit: int) -> str:
    # Python's email package takes "=?...?=" in a value for words already encoded and decodes them, line ends included
    # (3.11 writes these into the mail as they are: a header of somebody else's making).
    return one_line(text.replace("=?", "= ?"), limit)


def file_name(name: str) -> str:
    """A file name that no mail program takes for a path, at most 100 characters with its suffix."""
    path = PurePosixPath(re.sub(r'[/\\:*?"<>|]', "_", _header(name, 1000)).strip(" .") or "file")
    suffix = path.suffix if len(path.suffix) <= 10 else ""
    return path.name.removesuffix(suffix)[: _LONGEST_NAME - len(suffix)] + suffix


def _plain(messages: Sequence[Message]) -> str:
    parts: list[str] = []
    for message in messages:
        if isinstance(message, Text):
            parts.append(Text(_LINK.sub(_with_address, message.html)).plain)
            continue
        files = message.pictures if isinstance(message, Album) else (message,)
        parts += [f"[{file_name(file.filename)}] {file.caption}".strip() for file in files]
    return _NOT_IN_XML.sub("\ufffd", "\n\n".join(parts)) + "\n"


def _with_address(link: re.Match[str]) -> str:
    # Plain text loses where a link leads, unless it says so.
    label = Text(link["label"]).plain
    return link["label"] if label.strip() == html.unescape(link["to"]) else f"{link['label']} ({link['to']})"


def _page(messages: Sequence[Message], serial: str) -> str:
    blocks: list[str] = []
    for place, message in enumerate(messages, start=1):
        if isinstance(message, Text):
            blocks.append(f"<div>{_lines(message.html)}</div>")
        elif isinstance(message, Album):
            blocks += [
                _figure(picture, _content_id(place, number, serial))
                for number, picture in enumerate(message.pictures, start=1)
                if _picture_type(picture)
            ]
        elif message.caption:
            blocks.append(
                f"<p><b>{html.escape(file_name(message.filename))}</b>: {_lines(_escape(message.caption))}</p>"
            )
    return _PAGE.format(body=_NOT_IN_XML.sub("\ufffd", "\n<br>\n".join(blocks)))


def _content_id(place: int, number: int, serial: str) -> str:
    return f"{place}.{number}.{serial}@pictures"


def _figure(picture: Picture, cid: str) -> str:
    shown = html.escape(one_line(picture.caption or picture.filename, 200))
    caption = f"<br>{_lines(_escape(picture.caption))}" if picture.caption else ""
    return f'<p><img src="cid:{cid}" alt="{shown}" width="720" style="max-width: 100%; height: auto">{caption}</p>'


def _escape(text: str) -> str:
    return html.escape(text, quote=False)


def _lines(markup: str) -> str:
    """Line ends and indentation that HTML would swallow, made visible; inside <pre> they are already."""
    pieces = _PRE.split(markup)
    for place in range(0, len(pieces), 2):
        indented = re.sub(r"(?m)^ +", lambda blanks: "&nbsp;" * len(blanks[0]), pieces[place])
        pieces[place] = indented.replace("\n", "<br>\n")
    return "".join(pieces)


def _picture_type(picture: Picture) -> str:
    """What mail programs show in the text; empty for what is attached instead."""
    return next((kind for start, kind in _PICTURES if picture.content.startswith(start)), "")


def _attach(mail: EmailMessage, file: Picture | Document) -> None:
    name = file_name(file.filename)
    kind = _TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")
    maintype, subtype = kind.split("/")
    params = {"charset": "utf-8"} if maintype == "text" and _is_utf8(file.content) else None
    mail.add_attachment(file.content, maintype, subtype, filename=name, params=params)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
