"""Who is who: an address as people are told apart by it, and what stands for it where it must not be read.

Belongs here: normalising, hashing, masking addresses. Does not: whether anybody reads mail there.
"""

import re
import unicodedata
from hashlib import sha256
from urllib.parse import unquote

# As `str.isspace` knows no-break blanks, but not those without a width.
_WIDTHLESS = "\u00ad\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_LONGEST_LOCAL, _LONGEST = 64, 254
_BARRED = frozenset('"(),:;<>[\\]')
_PLAIN = re.compile(r"[!#-'*+\-./0-9=?^_`a-z{|}~]{1,64}@(?:[0-9a-z\-]+\.)+[0-9a-z\-]+")

# A run of signs that may be part of an address, in JSON's spelling as well.
_RUN = re.compile(r'(?:\\u[0-9a-fA-F]{4}|[^\s"(),:;<>\[\\\]])+')
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_ACCOUNT = re.compile(r"'[^'@]*'@'[^'@]*'")  # of MySQL: 'name'@'host'
_OPENING = "'`{|"
_MOST_IN_A_RUN = 20
_BEFORE = re.compile(r"[=/?&#]")  # may be part of an address, but mostly stands before one, in a link
_KEY = re.compile(r"-(?:non_)?language(?:-\w+)?(?![\w.\-])", re.IGNORECASE)  # follows it in a key of the ledger


def normal(email: str | None) -> str | None:
    """The address by which somebody is known: trimmed, composed (NFC), lower-cased; None when it is no address.

    An address has one @, up to 64 bytes before and a domain with a dot after it, 254 bytes in all, and nothing in it
    that is a blank, a control sign or a bracket. Normalising it again changes nothing.
    """
    if email is None:
        return None
    text = _trimmed(email)
    if text.isascii():
        text = text.lower()
        return text if len(text) <= _LONGEST and _PLAIN.fullmatch(text) else None
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    local, at, domain = text.partition("@")
    if not at or not local or not all(map(_in_local, local)) or not all(map(_in_domain, domain)):
        return None
    if len(local.encode()) > _LONGEST_LOCAL or len(text.encode()) > _LONGEST:
        return None
    labels = domain.split(".")
    return text if len(labels) > 1 and all(labels) else None


def hashed(normalised: str) -> str:
    """Twelve hex digits that stand for an address in logs and metadata. The same address gives the same ones.

    They keep an address from being read, not from being guessed by somebody who has it already.
    """
    return sha256(normalised.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def masked(text: str) -> str:
    """`text` with `<address HASH>` for every address, HASH being `hashed(normal(address))`.

    Addresses are found between quotes, in JSON, in links (%40) and in a database's words about a key; what has an @ but
    was cut short is masked as well. Where it is not clear what is part of an address, more is masked rather than less.
    """
    return _RUN.sub(lambda run: _masked_run(run.group()), text)


def _masked_run(run: str) -> str:
    if ("@" not in run and "%40" not in run) or _ACCOUNT.fullmatch(run.strip(".")):
        return run
    plain = _ESCAPE.sub(lambda escape: chr(int(escape.group(1), 16)), run)
    if "@" not in plain:
        plain = unquote(plain)
    local, _, rest = plain.partition("@")
    if not local or not rest:
        return run
    if rest.count("@") > _MOST_IN_A_RUN:  # nothing that anybody is to read
        return f"<address {hashed(plain)}>"
    key = _KEY.search(rest)
    end = key.start() if key else next((k for k, sign in enumerate(rest) if not _in_domain(sign)), len(rest))
    domain = rest[:end].rstrip(".-")
    rest = rest[len(domain) :] if domain and not rest.startswith("@", end) else ""
    opening = local[: len(local) - len(local.lstrip(_OPENING))]
    address = f"{_BEFORE.split(local[len(opening) :])[-1]}@{domain}"
    return f"{opening}<address {hashed(normal(address) or address.lower())}>{_masked_run(rest)}"


def _trimmed(text: str) -> str:
    """Without blanks at both ends, in whatever order those with and without a width stand there."""
    start, end = 0, len(text)
    while start < end and (text[start].isspace() or text[start] in _WIDTHLESS):
        start += 1
    while end > start and (text[end - 1].isspace() or text[end - 1] in _WIDTHLESS):
        end -= 1
    return text[start:end]


def _in_local(sign: str) -> bool:
    return sign not in _BARRED and sign != "@" and unicodedata.category(sign)[0] not in "CZ"


def _in_domain(sign: str) -> bool:
    return sign in "-." or sign.isalnum() or unicodedata.category(sign)[0] == "M"
