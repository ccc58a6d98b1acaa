"""Addresses of mail, and texts that may stand in a header.

Belongs here: what is an address, its parts, what keeps a text from becoming a header of its own. Does not: letters
(`email_letter.py`).
"""

import re
import unicodedata
from dataclasses import dataclass
from email.headerregistry import Address

_LOCAL_PART = re.compile(r'[^\s@<>()\[\]\\,;:".]+(?:\.[^\s@<>()\[\]\\,;:".]+)*')
# A name may hold a comma without being quoted: there is only ever one address.
_NAMED = re.compile(r"(?:(?P<name>[^<>]*)<(?P<address>[^<>]+)>)|(?P<bare>[^<>]+)")
_DOMAIN = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")


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
                return cls(header_text((found["name"] or "").strip().strip('"'), 100), local, domain)
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


def one_line(text: str, limit: int) -> str:
    """At most `limit` characters on one line: runs of blanks, line ends and invisible signs become one blank."""
    visible = "".join(c if unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") else " " for c in text[: 4 * limit])
    line = " ".join(visible.split())
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def header_text(text: str, limit: int) -> str:
    """The same, as a header may hold it."""
    # Python's email package takes "=?...?=" in a value for words already encoded and decodes them, line ends included
    # (3.11 writes these into the mail as they are: a header of somebody else's making).
    return one_line(text.replace("=?", "= ?"), limit)
