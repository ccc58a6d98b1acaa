"""Messages as files in a folder: the dry run, and a way out that needs no network.

Belongs here: file names and the one-step replacement of a delivery's folder. Does not: what the messages say.
"""

import asyncio
import html
import re
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from analytics_platform.channels.base import Outcome, Piece, Recipient, Sent
from analytics_platform.channels.contents import digest
from analytics_platform.language import Language
from analytics_platform.messages import Album, Document, Message, Picture, Text, original, spread

_UNSAFE = re.compile(r"[^\w.\- ]+")
# File systems allow 255 bytes a name; the number, the kind and ".txt" are added to this.
_LONGEST_NAME = 180
_PAGE = """<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }}
main {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<main>{body}</main>
</body>
</html>
"""


class FolderChannel:
    """Writes each delivery into `<the recipient's address>/<key>/`, numbered in the order of the messages.

    A text becomes `01-text.html` (a whole page) and `01-text.txt`; an album `02-album-1-<file name>` and so on; a
    document `03-<file name>`. A caption lies beside its file as `<file>.txt`. A later delivery with the same key
    replaces the folder as a whole, so nothing of the earlier one stays, and so does a revision of it (`17 r2` that of
    `17`). A card is written as its text and its picture. Keys must not lie inside one another.
    """

    name = "folder"

    def pieces(
        self,
        messages: Sequence[Message],
        *,
        key: str,
        language: Language,  # noqa: ARG002  (the port's)
    ) -> Sequence[Piece]:
        """All messages as one piece, which is written whole or not at all. ValueError if `key` names no folder."""
        if not _folders(key):
            raise ValueError("a delivery's key must not be empty")
        found = spread(messages, notices=False)
        return (Piece("files", digest(found), (key, found), repeatable=True),) if found else ()

    @asynccontextmanager
    async def sender(self, files: Mapping[str, tuple[str, ...]]) -> AsyncIterator["FolderSender"]:  # noqa: ARG002
        """Nothing has to be opened, and nothing is there already that another folder could be given."""
        yield FolderSender()


class FolderSender:
    """Writes pieces; see `FolderChannel`."""

    @asynccontextmanager
    async def turn(self, recipient: Recipient, piece: Piece) -> AsyncIterator[None]:  # noqa: ARG002
        """At any time."""
        yield

    async def send(self, recipient: Recipient, piece: Piece, *, repeat: bool, silent: bool) -> Sent:  # noqa: ARG002
        """Write all files, or none of them; the references are their paths.

        A folder that cannot be written gives NOT_SENT with the reason, an address that is no absolute path REFUSED.
        A repeat replaces what is there, so nobody has to be told of it.
        """
        key, messages = piece.body
        root = Path(recipient.address)
        if not root.is_absolute():
            return Sent(Outcome.REFUSED, f"The folder {root} is no absolute path: name it from the root on.")
        folder = root.joinpath(*_folders(key))
        try:
            written = await asyncio.to_thread(write, folder, messages, title=key)
        except OSError as error:
            return Sent(Outcome.NOT_SENT, f"The folder {folder} cannot be written: {error.strerror or error}.")
        except ValueError:  # NUL, or half a surrogate pair
            return Sent(
                Outcome.REFUSED, f"The folder {recipient.address!r} has signs that no path may have: rename it."
            )
        return Sent(Outcome.SENT, references=tuple(str(folder / name) for name in written))


def _folders(key: str) -> list[str]:
    # What is sent once more ("2026-11-20 #2"), or as it is now ("17 r2"), takes the place of what was there.
    key = re.sub(r" #\d+$", "", original(key))
    return [safe_name(part) for part in key.split("/") if part.strip()]


def write(folder: Path, messages: Sequence[Message], *, title: str) -> list[str]:
    """Write all messages into the folder in place of what is there, or nothing; the files' names. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists() and not folder.is_dir():
        raise OSError("there is a file of that name")
    if folder.exists() and any(entry.is_dir() for entry in folder.iterdir()):
        # What this channel writes is flat: a folder inside belongs to somebody else.
        raise OSError("it holds other folders and is therefore not replaced")
    # Beside the target, not in the system's temporary folder: only within one file system is a rename one step.
    fresh = folder.with_name(f".{folder.name}.{uuid4().hex}.new")
    fresh.mkdir()
    written: list[str] = []
    try:
        for place, message in enumerate(spread(messages, notices=False), start=1):
            written += _write(fresh, place, message, title=title)
        _swap(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return written


def safe_name(name: str) -> str:
    """A file or folder name without separators, control signs or leading dots, short enough for any file system."""
    cleaned = _UNSAFE.sub("_", name).strip(" .") or "_"
    stem, dot, suffix = cleaned.rpartition(".")
    if not dot or len(suffix) > 10:
        stem, dot, suffix = cleaned, "", ""
    room = _LONGEST_NAME - len((dot + suffix).encode())
    return stem.encode(errors="replace")[:room].decode(errors="ignore") + dot + suffix


def _write(folder: Path, place: int, message: Text | Album | Document, *, title: str) -> list[str]:
    match message:
        case Text():
            page = _PAGE.format(title=html.escape(title), body=message.html)
            files = {f"{place:02d}-text.html": _bytes(page), f"{place:02d}-text.txt": _bytes(f"{message.plain}\n")}
        case Album():
            files = {}
            for number, picture in enumerate(message.pictures, start=1):
                files |= _with_caption(f"{place:02d}-album-{number}-{safe_name(picture.filename)}", picture)
        case Document():
            files = _with_caption(f"{place:02d}-{safe_name(message.filename)}", message)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return list(files)


def _with_caption(name: str, file: Picture | Document) -> dict[str, bytes]:
    files = {name: file.content}
    if file.caption:
        files[f"{name}.txt"] = _bytes(f"{file.caption}\n")
    return files


def _bytes(text: str) -> bytes:
    # Half a surrogate pair, as broken names have it, must not lose a report.
    return text.encode(errors="replace")


def _swap(fresh: Path, folder: Path) -> None:
    # A directory cannot be renamed onto a filled one, so the old one steps aside first. Should another process put
    # its own version there in between, the next round moves that one aside: the last writer wins, whole.
    rounds = 5
    for attempt in range(rounds):
        old = folder.with_name(f".{folder.name}.{uuid4().hex}.old")
        try:
            folder.rename(old)
        except FileNotFoundError:
            moved = False
        else:
            moved = True
        try:
            fresh.rename(folder)
        except OSError:
            if moved and not folder.exists():
                old.rename(folder)
            if attempt == rounds - 1 or not folder.exists():
                raise
        else:
            return
        finally:
            shutil.rmtree(old, ignore_errors=True)
