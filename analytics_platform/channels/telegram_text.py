"""Cuts texts into pieces that Telegram takes, without losing a character or breaking markup.

Belongs here: measuring and splitting of text. Does not: sending (`telegram.py`), the markup's definition
(`messages.py`).
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from analytics_platform.messages import ALLOWED_TAGS

# Telegram counts UTF-16 units of what is left after the markup is taken out.
TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
ENTITY_LIMIT = 100
# A Bot API server reads no text of more bytes than this, and here the markup counts.
MARKUP_LIMIT = 32_768

_TAG = re.compile(rf"<(?P<end>/?)(?P<name>{'|'.join(ALLOWED_TAGS)})(?:\s[^<>]*)?>")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# What Telegram takes for blank or takes out: of these alone it makes no message.
_UNSEEN = re.compile(
    "[\\s\x00-\x1f\u030a\u0333\u033f\u180e\u200b-\u200f\u202a-\u202e\u2800\ufeff\ufffc\U000e0000-\U000e007f]*"
)
# Every piece needs a tag that spans it: one that long would leave no room for the text, and holds no address.
_LONGEST_TAG = 4096
_ESCAPED = {sign: len(html.escape(sign, quote=False)) for sign in "&<>"}


@dataclass(frozen=True)
class Chunk:
    """One message's worth of a text: well-formed HTML, and the same without markup."""

    html: str
    plain: str


def width(text: str) -> int:
    """Length in UTF-16 units: one for most characters, two for emoji and the like."""
    return len(text) + sum(character > "\uffff" for character in text)


def is_blank(text: str) -> bool:
    """Whether Telegram takes it for empty, having taken out what nobody sees."""
    return _UNSEEN.fullmatch(text) is not None


def split_html(
    source: str, *, limit: int = TEXT_LIMIT, entities: int = ENTITY_LIMIT, size: int = MARKUP_LIMIT
) -> list[Chunk]:
    """The text of `Text.html` in pieces of at most `limit` UTF-16 units, `entities` pieces of markup and `size` bytes.

    Cuts after a blank line, else after a line, else between words of an over-long line, else anywhere; tags that
    span a cut are closed and opened again. The plain pieces put together are exactly the plain text. Markup that is
    not well-formed is mended, and `<`, `>`, `&` that are not markup are shown as they are. Tags of more than 4 KB are
    left out.
    """
    runs = _runs(_LONE_SURROGATE.sub("\ufffd", source))
    plain = "".join(run.text for run in runs)
    cuts = _cuts(runs, plain, _Room(limit, entities, size))
    return [Chunk(_render(runs, start, stop), plain[start:stop]) for start, stop in cuts]


def split_plain(text: str, *, limit: int) -> list[str]:
    """A text without markup in pieces of at most `limit` UTF-16 units, cut in the same places."""
    runs = [_Run(_LONE_SURROGATE.sub("\ufffd", text), 0, ())]
    room = _Room(limit, ENTITY_LIMIT, MARKUP_LIMIT)
    return [runs[0].text[start:stop] for start, stop in _cuts(runs, runs[0].text, room)]


@dataclass(frozen=True)
class _Room:
    """What one piece may have: UTF-16 units of text, pieces of markup, bytes of both."""

    limit: int
    entities: int
    size: int


@dataclass(frozen=True)
class _Tag:
    # The serial tells two neighbouring <pre> apart, which would otherwise melt into one block.
    serial: int
    name: str
    source: str


@dataclass(frozen=True)
class _Run:
    """Text under the same tags, outermost first; `start` is its place in the plain text."""

    text: str
    start: int
    tags: tuple[_Tag, ...]


def _runs(source: str) -> list[_Run]:
    runs: list[_Run] = []
    open_tags: list[_Tag] = []
    place = 0

    def add(escaped: str) -> None:
        text = html.unescape(escaped)
        if text:
            start = runs[-1].start + len(runs[-1].text) if runs else 0
            runs.append(_Run(text, start, tuple(tag for tag in open_tags if tag.source)))

    for match in _TAG.finditer(source):
        add(source[place : match.start()])
        place = match.end()
        if not match["end"]:
            fits = len(match[0].encode()) <= _LONGEST_TAG
            open_tags.append(_Tag(match.start(), match["name"], match[0] if fits else ""))
            continue
        for index in range(len(open_tags) - 1, -1, -1):
            if open_tags[index].name == match["name"]:
                del open_tags[index]
                break
    add(source[place:])
    return runs


def _render(runs: list[_Run], start: int, stop: int) -> str:
    out: list[str] = []
    current: tuple[_Tag, ...] = ()
    for run in runs:
        text = run.text[max(start - run.start, 0) : max(stop - run.start, 0)]
        if not text:
            continue
        kept = _shared(current, run.tags)
        out.extend(f"</{tag.name}>" for tag in reversed(current[kept:]))
        out.extend(tag.source for tag in run.tags[kept:])
        out.append(html.escape(text, quote=False))
        current = run.tags
    out.extend(f"</{tag.name}>" for tag in reversed(current))
    return "".join(out)


def _shared(left: tuple[_Tag, ...], right: tuple[_Tag, ...]) -> int:
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


def _cuts(runs: list[_Run], plain: str, room: _Room) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(plain):
        # At least one character, so that even senseless limits come to an end.
        stop = max(_reach(runs, start, room), start + 1)
        if stop < len(plain):
            stop = _nice_cut(plain, start, stop)
        yield start, stop
        start = stop


def _reach(runs: list[_Run], start: int, room: _Room) -> int:
    """How far a piece that begins at `start` may go at most."""
    used = opened = size = 0
    current: tuple[_Tag, ...] = ()
    stop = start
    for run in runs:
        text = run.text[max(start - run.start, 0) :]
        if not text:
            continue
        fresh = run.tags[_shared(current, run.tags) :]
        opened += len(fresh)
        size += sum(len(f"{tag.source}</{tag.name}>".encode()) for tag in fresh)
        if opened > room.entities:
            return stop
        current = run.tags
        for character in text:
            used += 2 if character > "\uffff" else 1
            size += _ESCAPED.get(character) or len(character.encode())
            if used > room.limit or size > room.size:
                return stop
            stop += 1
    return stop


def _nice_cut(plain: str, start: int, stop: int) -> int:
    # In the second half first, so that a heading followed by one long block does not travel alone.
    half = (start + stop) // 2
    for separator, floor in (("\n\n", half), ("\n", half), ("\n", start), (" ", start)):
        # The separator may also begin exactly where the piece is full.
        found = plain.rfind(separator, start, stop + len(separator))
        cut = min(found + len(separator), stop)
        if found >= 0 and cut > floor:
            return cut
    return stop
