"""Rendered charts and reports, kept by report, period and language: a delivery is repeated without rendering again.

Belongs here: where files lie and how a set of messages is written and read back. Does not: rendering, sending.
"""

import errno
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import uuid4

from analytics_platform.messages import Album, Card, Document, Message, Picture, Text

_DRAWN = "drawn.json"


class ArtifactError(Exception):
    """Something that should have been rendered is not there. The message says what to run."""


@dataclass(frozen=True)
class Artifacts:
    """A folder `root/<report>/<period>/<language>/` each. Every write replaces whole files or folders.

    `period` is a day or another name without separators; without a `language`: what is the same in all of them.
    """

    root: Path

    def folder(self, report: str, period: date | str, language: str = "") -> Path:
        """Where those files are. ValueError for names that would lead elsewhere."""
        names = (report, str(period), language)
        if any("/" in name or name.startswith(".") for name in names) or not all(names[:2]):
            raise ValueError(f"{names} do not name a folder")
        return self.root.joinpath(*filter(None, names))

    def save(self, report: str, period: date | str, filename: str, content: bytes, language: str = "") -> Path:
        """Write one file, replacing it in one step; its path."""
        path = self.folder(report, period, language) / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{filename}.{uuid4().hex[:8]}")
        draft.write_bytes(content)
        draft.replace(path)
        return path

    def load(self, report: str, period: date | str, filename: str, language: str = "") -> bytes:
        """The content of one file. Raises ArtifactError when it was never rendered."""
        path = self.folder(report, period, language) / filename
        if not path.is_file():
            raise ArtifactError(f"{report} of {period} has no {filename}; materialise its chart first")
        return path.read_bytes()

    def save_drawn(self, report: str, period: date | str, drawn: Mapping[str, bytes], language: str) -> dict[str, Path]:
        """Write charts and tables, each in one step, and their order; the paths by name."""
        paths = {name: self.save(report, period, name, content, language) for name, content in drawn.items()}
        self.save(report, period, _DRAWN, json.dumps(list(drawn), ensure_ascii=False).encode(), language)
        return paths

    def load_drawn(self, report: str, period: date | str, language: str) -> dict[str, bytes]:
        """What `save_drawn` wrote, in the same order. Raises ArtifactError when it was never rendered."""
        names = json.loads(self.load(report, period, _DRAWN, language))
        return {name: self.load(report, period, name, language) for name in names}

    def save_messages(self, report: str, period: date | str, messages: Sequence[Message], language: str) -> Path:
        """Write a report's messages as `messages/`, replacing the earlier ones; the folder's path."""
        folder = self.folder(report, period, language) / "messages"
        draft = folder.with_name(f".messages.{uuid4().hex[:8]}")
        draft.mkdir(parents=True)
        index: list[dict[str, object]] = []
        for place, message in enumerate(messages, start=1):
            match message:
                case Text():
                    index.append({"kind": "text", "html": message.html})
                case Album():
                    files = [_store(draft, f"{place}-{k}", p) for k, p in enumerate(message.pictures, start=1)]
                    index.append({"kind": "album", "pictures": files})
                case Document():
                    index.append({"kind": "document", **_store(draft, str(place), message)})
                case Card():
                    picture = _store(draft, str(place), message.picture) if message.picture else None
                    notice = message.notice.html if message.notice else None
                    index.append({"kind": "card", "html": message.text.html, "notice": notice, "picture": picture})
        (draft / "index.json").write_text(json.dumps(index, ensure_ascii=False, indent=1), "utf-8")
        while True:
            old = folder.with_name(f".messages.{uuid4().hex[:8]}")
            with suppress(FileNotFoundError):
                folder.rename(old)
            try:
                draft.rename(folder)
            except OSError as error:
                # Another writer was quicker; what it wrote is replaced in turn.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                return folder
            finally:
                shutil.rmtree(old, ignore_errors=True)

    def languages(self, report: str, period: date | str) -> tuple[str, ...]:
        """In which languages there are messages."""
        found = self.folder(report, period).glob("*/messages/index.json")
        return tuple(sorted(path.parent.parent.name for path in found))

    def load_messages(self, report: str, period: date | str, language: str) -> tuple[Message, ...]:
        """A report's messages as they were saved. Raises ArtifactError when it was not built or is damaged."""
        folder = self.folder(report, period, language) / "messages"
        if not (folder / "index.json").is_file():
            raise ArtifactError(f"{report} of {period} has not been built; materialise reports/{report} first")
        try:
            return tuple(_restore(folder, entry) for entry in json.loads((folder / "index.json").read_text("utf-8")))
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
            raise ArtifactError(f"{folder / 'index.json'} is damaged; build the report again") from error


def _store(folder: Path, place: str, part: Picture | Document) -> dict[str, object]:
    name = f"{place}-{Path(part.filename).name}"
    (folder / name).write_bytes(part.content)
    return {"file": name, "filename": part.filename, "caption": part.caption}


def _restore(folder: Path, entry: dict[str, object]) -> Message:
    if entry["kind"] == "text":
        return Text(str(entry["html"]))
    if entry["kind"] == "card":
        picture, notice = entry["picture"], entry["notice"]
        drawn = _picture(folder, picture) if isinstance(picture, dict) else None
        return Card(Text(str(entry["html"])), drawn, None if notice is None else Text(str(notice)))
    if entry["kind"] == "document":
        return Document(str(entry["filename"]), (folder / str(entry["file"])).read_bytes(), str(entry["caption"]))
    pictures = entry["pictures"]
    if not isinstance(pictures, list):
        raise TypeError("pictures are not a list")
    return Album(tuple(_picture(folder, p) for p in pictures))


def _picture(folder: Path, entry: Mapping[str, str]) -> Picture:
    return Picture(entry["filename"], (folder / entry["file"]).read_bytes(), entry["caption"])
