"""Letters: what a delivery looks like as one e-mail to one recipient.

Belongs here: headers, the plain and the HTML version, inline pictures, attachments, the way to unsubscribe. Does not:
addresses (`email_address.py`), the mail server and what its answers prove (`email.py`).
"""

import hashlib
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from analytics_platform.channels.email_address import Mailbox, header_text, one_line
from analytics_platform.language import Language
from analytics_platform.messages import Album, Document, Picture, Text, original

_LONGEST_SUBJECT = 150
_LONGEST_NAME = 100
_LINK = re.compile(r'<a\s[^<>]*?href="(?P<to>[^"<>]*)"[^<>]*>(?P<label>.*?)</a>', re.DOTALL)
_PRE = re.compile(r"(<pre(?:\s[^<>]*)?>.*?</pre>)", re.DOTALL)
# Printable signs of ASCII but for those that end an address in a header or in HTML.
_WEB_ADDRESS = re.compile(r"[!#-;=?-\[\]_a-z~]{1,900}")
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
<html lang="{language}">
<head><meta charset="utf-8"></head>
<body style="font: 16px/1.5 sans-serif">
{body}
</body>
</html>
"""


@dataclass(frozen=True)
class Letter:
    """One mail, ready to be handed over: `payload` has CRLF line ends and no line over 998 bytes."""

    payload: bytes
    message_id: str
    needs_utf8: bool


Sendable = Text | Album | Document
# What a mail goes without when the server does not take it whole.
Without = tuple[type[Album] | type[Document], ...]


def smaller(messages: Sequence[Sendable]) -> Iterator[Without]:
    """The forms of a mail, each smaller than the one before: whole, without documents, without pictures too."""
    kinds = [kind for kind in (Document, Album) if any(isinstance(message, kind) for message in messages)]
    yield from (tuple(kinds[:count]) for count in range(len(kinds) + 1))


def left_out(messages: Sequence[Sendable], without: Without) -> list[str]:
    """The names of the files that such a mail goes without."""
    return [
        file_name(file.filename) for message in messages if isinstance(message, without) for file in _files(message)
    ]


def letter(
    messages: Sequence[Sendable],
    sender: Mailbox,
    recipient: Mailbox,
    *,
    key: str,
    moment: datetime,
    language: Language,
    repeat: bool = False,
    unsubscribe: str = "",
    subscribed: bool = True,
    without: Without = (),
) -> Letter:
    """All messages of the delivery `key` as one mail, dated `moment` (aware).

    The Message-ID depends on key, recipient and the sender's domain only: a `repeat`, which says so in its first line,
    has the same one, and a revision (`alerts/17 r2`) names that of the first mail as the one that it answers.
    `language` is that of the words which are no report's; `unsubscribe`: the address (https, http or mailto) that ends
    the subscription, empty for none; `subscribed`: whether there is one. The text names the files that the mail goes
    `without`.
    """
    utf8 = sender.needs_utf8 or recipient.needs_utf8
    # Bodies as 7-bit text: not every server on the way takes eight bits.
    mail = EmailMessage(policy=_OnTheWire(linesep="\r\n", cte_type="7bit", utf8=utf8))
    serial = _serial(key, recipient)
    mail["From"], mail["To"] = sender.header, recipient.header
    mail["Subject"] = subject(messages) or header_text(key, _LONGEST_SUBJECT) or sender.address
    mail["Date"] = format_datetime(moment)
    mail["Message-ID"] = f"<{serial}@{sender.domain}>"
    if (first := original(key)) != key:
        # Mail programs show both as one conversation.
        mail["In-Reply-To"] = mail["References"] = f"<{_serial(first, recipient)}@{sender.domain}>"
    # No answers of absence to a machine, while reports of failed delivery stay welcome.
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    mail["List-ID"] = f"<{_list_name(key)}.{sender.domain}>"
    way_out = unsubscribe if _scheme(unsubscribe) else ""
    # Over plain http anybody on the way could read the token, and RFC 8058 asks for https.
    if way_out and _scheme(way_out) != "http":
        mail["List-Unsubscribe"] = f"<{way_out}>"
        if _scheme(way_out) == "https":
            mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"

    files = ", ".join(left_out(messages, without))
    said = _Said(
        tuple(messages),
        without,
        language.say("Sent again: it is not known whether this arrived before.") if repeat else "",
        language.say("The mail server takes no mail with these files, so they are left out: {files}", files=files)
        if without
        else "",
        language.say("You get this because {address} subscribes to it.", address=recipient.address)
        if subscribed
        else "",
        language.say("Unsubscribe"),
        way_out,
    )
    mail.set_content(_plain(said))
    mail.add_alternative(_page(said, serial, language.code), subtype="html")
    _add_files(mail, said, serial)
    # Last, because whatever is called Content- moves into the first part as soon as there is a second one.
    mail["Content-Language"] = language.code
    return Letter(mail.as_bytes(), str(mail["Message-ID"]), utf8)


def _serial(key: str, recipient: Mailbox) -> str:
    return hashlib.sha256(f"{key}\0{recipient.address}".encode("utf-8", "replace")).hexdigest()[:32]


def _add_files(mail: EmailMessage, said: "_Said", serial: str) -> None:
    _, page = mail.iter_parts()
    taken = [(place, message) for place, message in enumerate(said.messages, start=1) if said.takes(message)]
    for place, message in taken:
        if isinstance(message, Album):
            for number, picture in enumerate(message.pictures, start=1):
                if kind := _picture_type(picture):
                    cid, name = _content_id(place, number, serial), file_name(picture.filename)
                    page.add_related(
                        picture.content, *kind.split("/"), cid=f"<{cid}>", filename=name, disposition="inline"
                    )
    for _, message in taken:
        if isinstance(message, Document):
            _attach(mail, message)
        elif isinstance(message, Album):
            for picture in message.pictures:
                if not _picture_type(picture):
                    _attach(mail, picture)


def subject(messages: Sequence[Sendable]) -> str:
    """The first line of the first text, without markup and whatever could end a header; empty without a text."""
    for message in messages:
        if isinstance(message, Text):
            lines = message.plain.strip().splitlines()
            return header_text(lines[0], _LONGEST_SUBJECT) if lines else ""
    return ""


def file_name(name: str) -> str:
    """A file name that no mail program takes for a path, at most 100 characters with its suffix."""
    # Whole, as its suffix is at its end.
    path = PurePosixPath(re.sub(r'[/\\:*?"<>|]', "_", one_line(name, len(name) + 1)).strip(" .") or "file")
    suffix = path.suffix if len(path.suffix) <= 10 else ""
    return path.name.removesuffix(suffix)[: _LONGEST_NAME - len(suffix)].rstrip(" .") + suffix


@dataclass(frozen=True)
class _Said:
    """What both versions of a mail say; what is empty is not said."""

    messages: tuple[Sendable, ...]
    without: Without
    sent_again: str
    left_out: str
    reason: str
    unsubscribe: str
    way_out: str

    def takes(self, message: Sendable) -> bool:
        """Whether its files travel with the mail."""
        return not isinstance(message, self.without)


def _plain(said: _Said) -> str:
    parts: list[str] = [said.sent_again] if said.sent_again else []
    for message in said.messages:
        if isinstance(message, Text):
            parts.append(Text(_LINK.sub(_with_address, message.html)).plain)
        else:
            parts += [f"[{file_name(file.filename)}] {file.caption}".strip() for file in _files(message)]
    if said.left_out:
        parts.append(said.left_out)
    if said.reason:
        parts.append(f"{said.reason}\n{said.unsubscribe}: {said.way_out}" if said.way_out else said.reason)
    return _NOT_IN_XML.sub("\ufffd", "\n\n".join(parts)) + "\n"


def _files(message: Sendable) -> Sequence[Picture | Document]:
    if isinstance(message, Text):
        return ()
    return message.pictures if isinstance(message, Album) else (message,)


def _with_address(link: re.Match[str]) -> str:
    # Plain text loses where a link leads, unless it says so.
    label = Text(link["label"]).plain
    return link["label"] if label.strip() == html.unescape(link["to"]).strip() else f"{link['label']} ({link['to']})"


def _page(said: _Said, serial: str, language: str) -> str:
    blocks: list[str] = [f"<p><i>{_escape(said.sent_again)}</i></p>"] if said.sent_again else []
    for place, message in enumerate(said.messages, start=1):
        if isinstance(message, Text):
            blocks.append(f"<div>{_lines(message.html)}</div>")
        elif isinstance(message, Album) and said.takes(message):
            blocks += [
                _figure(picture, _content_id(place, number, serial))
                for number, picture in enumerate(message.pictures, start=1)
                if _picture_type(picture)
            ]
        else:
            blocks += [
                f"<p><b>{_escape(file_name(file.filename))}</b>: {_lines(_escape(file.caption))}</p>"
                for file in _files(message)
                if file.caption
            ]
    if said.left_out:
        blocks.append(f"<p>{_escape(said.left_out)}</p>")
    reason = _escape(said.reason)
    if said.way_out:
        reason += f' <a href="{html.escape(said.way_out)}" style="color: #555">{_escape(said.unsubscribe)}</a>'
    if reason:
        blocks.append(f'<p style="font-size: 13px; color: #555">{reason}</p>')
    return _PAGE.format(language=language, body=_NOT_IN_XML.sub("\ufffd", "\n<br>\n".join(blocks)))


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


class _OnTheWire(EmailPolicy):
    """Headers that are an address stay as they are: Python would encode what is longer than a line, and nobody decodes
    it there."""

    def fold_binary(self, name: str, value: str) -> bytes:
        """On the line of its name, or whole on the next one."""
        if name not in ("List-ID", "List-Unsubscribe"):
            return super().fold_binary(name, value)
        blank = " " if len(name) + len(value) + 2 <= 78 else f"{self.linesep} "
        return f"{name}:{blank}{value}{self.linesep}".encode("ascii")


def _scheme(address: str) -> str:
    """`https`, `http` or `mailto`; empty for what is not an address that may stand in a mail.

    This machine counts as https: nobody is on the way.
    """
    # "=?" begins a word that Python decodes; see `header_text`.
    if not _WEB_ADDRESS.fullmatch(address) or "=?" in address:
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    if parts.scheme in ("http", "https"):
        here = parts.hostname in ("localhost", "127.0.0.1", "::1")
        return ("https" if here else parts.scheme) if parts.hostname else ""
    return parts.scheme if parts.scheme == "mailto" and "@" in parts.path else ""


def _list_name(key: str) -> str:
    # What the delivery is of, without the day; as a domain name has it (RFC 2919).
    topic = re.sub(r"[^A-Za-z0-9_-]+", "-", key.partition("/")[0]).strip("-")
    return topic[:63] or "reports"
