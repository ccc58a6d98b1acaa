"""The folder channel: readable files, replaced as a whole."""

import asyncio
import resource
from collections.abc import Sequence
from pathlib import Path

import pytest

from analytics_platform.channels.base import Channel, Outcome, Recipient, Sent
from analytics_platform.channels.folder import FolderChannel, safe_name
from analytics_platform.language import Language
from analytics_platform.messages import Album, Document, Message, Picture, Text

REPORT = (
    Text("<b>Лента</b> 1 &lt; 2\nsecond line"),
    Album((Picture("dau.png", b"1", "users"), Picture("../ctr.png", b"2"))),
    Document("feed.csv", b"day\n", "the figures"),
)
KEY = "feed_daily/2026-11-20"


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def send(root: Path | str, messages: Sequence[Message], *, key: str = KEY, times: int = 1) -> Sent:
    channel: Channel = FolderChannel()
    (piece,) = channel.pieces(messages, key=key, language=Language("en"))
    assert (piece.label, piece.weight, piece.repeatable) == ("files", 1, True)
    recipient = Recipient("folder", str(root))

    async def deliver() -> list[Sent]:
        async with channel.sender({}) as sender, sender.turn(recipient, piece):
            tries = [sender.send(recipient, piece, repeat=time > 0, silent=False) for time in range(times)]
            return await asyncio.gather(*tries)

    return asyncio.run(deliver())[-1]


def test_every_part_becomes_files_that_the_references_name(tmp_path: Path) -> None:
    sent = send(tmp_path, REPORT)

    folder = tmp_path / "feed_daily" / "2026-11-20"
    assert files(folder) == [
        "01-text.html",
        "01-text.txt",
        "02-album-1-dau.png",
        "02-album-1-dau.png.txt",
        "02-album-2-_ctr.png",
        "03-feed.csv",
        "03-feed.csv.txt",
    ]
    assert (sent.outcome, sent.detail) == (Outcome.SENT, "")
    assert list(sent.references) == [str(folder / name) for name in files(folder)]
    page = (folder / "01-text.html").read_text(encoding="utf-8")
    assert '<meta charset="utf-8">' in page
    assert "<b>Лента</b> 1 &lt; 2\nsecond line" in page
    assert (folder / "01-text.txt").read_text(encoding="utf-8") == "Лента 1 < 2\nsecond line\n"
    assert (folder / "02-album-1-dau.png.txt").read_text(encoding="utf-8") == "users\n"
    assert (folder / "03-feed.csv").read_bytes() == b"day\n"


def test_a_rerun_leaves_nothing_of_the_earlier_one(tmp_path: Path) -> None:
    send(tmp_path, REPORT)
    send(tmp_path, [Text("no data")])

    assert files(tmp_path) == [
        "feed_daily",
        "feed_daily/2026-11-20",
        "feed_daily/2026-11-20/01-text.html",
        "feed_daily/2026-11-20/01-text.txt",
    ]


def test_writers_at_the_same_time_leave_one_whole_delivery(tmp_path: Path) -> None:
    assert send(tmp_path, REPORT, times=4).outcome is Outcome.SENT
    assert len(files(tmp_path / KEY)) == 7
    assert files(tmp_path / "feed_daily")[0] == "2026-11-20"


def test_no_messages_are_no_piece(tmp_path: Path) -> None:
    assert not FolderChannel().pieces([], key=KEY, language=Language("en"))


def test_nothing_is_written_outside_the_root(tmp_path: Path) -> None:
    sent = send(tmp_path / "out", [Document("../../x", b"1")], key="../../etc//a")
    assert sent.references == (str(tmp_path / "out" / "_" / "_" / "etc" / "a" / "01-_.._x"),)
    assert all(path.is_relative_to(tmp_path / "out") for path in tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="must not be empty"):
        FolderChannel().pieces([Text("a")], key=" / ", language=Language("en"))


@pytest.mark.parametrize("address", ["", "outbox", "../outbox"])
def test_a_folder_that_depends_on_where_one_stands_is_refused(address: str) -> None:
    sent = send(address, REPORT)
    assert (sent.outcome, sent.gone) == (Outcome.REFUSED, "")
    assert "is no absolute path" in sent.detail
    assert not Path("outbox").exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "feed_daily").write_text("in the way")
    sent = send(tmp_path, REPORT)

    assert sent.outcome is Outcome.NOT_SENT
    assert str(tmp_path / "feed_daily") in sent.detail
    assert "cannot be written" in sent.detail
    assert files(tmp_path) == ["feed_daily"]


def test_what_somebody_else_keeps_there_stays(tmp_path: Path) -> None:
    send(tmp_path, [Text("a")])
    sent = send(tmp_path, [Text("b")], key="feed_daily")
    (tmp_path / "notes").write_text("mine")
    other = send(tmp_path, [Text("c")], key="notes")

    assert (sent.outcome, other.outcome) == (Outcome.NOT_SENT, Outcome.NOT_SENT)
    assert "holds other folders" in sent.detail
    assert (tmp_path / KEY / "01-text.txt").read_text() == "a\n"
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_failed_rerun_keeps_the_earlier_delivery(tmp_path: Path) -> None:
    send(tmp_path, [Text("a")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))  # a disk that is full, also for root
    try:
        sent = send(tmp_path, [Text("b"), Document("big.csv", bytes(10_000))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sent.outcome is Outcome.NOT_SENT
    assert "File too large" in sent.detail
    assert files(tmp_path / "feed_daily") == ["2026-11-20", "2026-11-20/01-text.html", "2026-11-20/01-text.txt"]
    assert (tmp_path / KEY / "01-text.txt").read_text() == "a\n"


def test_broken_characters_do_not_lose_a_report(tmp_path: Path) -> None:
    assert send(tmp_path, [Text("a\ud800")]).outcome is Outcome.SENT
    assert (tmp_path / KEY / "01-text.txt").read_text() == "a?\n"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("feed.csv", "feed.csv"),
        ("../a/b.png", "_a_b.png"),
        ("...", "_"),
        ("отчёт 20.pdf", "отчёт 20.pdf"),
        ("a\nb\x00.txt", "a_b_.txt"),
    ],
)
def test_names_are_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_long_names_keep_their_suffix() -> None:
    name = safe_name("я" * 300 + ".csv")
    assert name.endswith("я.csv")
    assert len(name.encode()) <= 180
