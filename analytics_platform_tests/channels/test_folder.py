"""The folder channel: readable files, replaced as a whole."""

import resource
from pathlib import Path

import pytest

from analytics_platform.channels.base import Outcome
from analytics_platform.channels.folder import FolderChannel, safe_name
from analytics_platform.messages import Album, Document, Picture, Text

REPORT = (
    Text("<b>Лента</b> 1 &lt; 2\nsecond line"),
    Album((Picture("dau.png", b"1", "users"), Picture("../ctr.png", b"2"))),
    Document("feed.csv", b"day\n", "the figures"),
)
KEY = "feed_daily/2026-11-20"


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_every_part_becomes_files_that_the_receipt_names(tmp_path: Path) -> None:
    receipts = FolderChannel(tmp_path).send(REPORT, key=KEY)

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
    assert [(r.part, r.outcome, r.recipient) for r in receipts] == [
        (part, Outcome.SENT, str(folder)) for part in ("1 text", "2 album", "3 document feed.csv")
    ]
    assert sorted(path for r in receipts for path in r.references) == sorted(
        str(folder / name) for name in files(folder)
    )
    page = (folder / "01-text.html").read_text(encoding="utf-8")
    assert '<meta charset="utf-8">' in page
    assert "<b>Лента</b> 1 &lt; 2\nsecond line" in page
    assert (folder / "01-text.txt").read_text(encoding="utf-8") == "Лента 1 < 2\nsecond line\n"
    assert (folder / "02-album-1-dau.png.txt").read_text(encoding="utf-8") == "users\n"
    assert (folder / "03-feed.csv").read_bytes() == b"day\n"


def test_a_rerun_leaves_nothing_of_the_earlier_one(tmp_path: Path) -> None:
    channel = FolderChannel(tmp_path)
    channel.send(REPORT, key=KEY)
    channel.send([Text("no data")], key=KEY)

    assert files(tmp_path) == [
        "feed_daily",
        "feed_daily/2026-11-20",
        "feed_daily/2026-11-20/01-text.html",
        "feed_daily/2026-11-20/01-text.txt",
    ]


def test_nothing_is_written_outside_the_root(tmp_path: Path) -> None:
    (receipt,) = FolderChannel(tmp_path / "out").send([Document("../../x", b"1")], key="../../etc//a")
    assert receipt.recipient == str(tmp_path / "out" / "_" / "_" / "etc" / "a")
    assert all(path.is_relative_to(tmp_path / "out") for path in tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="must not be empty"):
        FolderChannel(tmp_path).send([Text("a")], key=" / ")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "feed_daily").write_text("in the way")
    receipts = FolderChannel(tmp_path).send(REPORT, key=KEY)

    assert {receipt.outcome for receipt in receipts} == {Outcome.NOT_SENT}
    assert str(tmp_path / "feed_daily") in receipts[0].detail
    assert "cannot be written" in receipts[0].detail
    assert files(tmp_path) == ["feed_daily"]


def test_what_somebody_else_keeps_there_stays(tmp_path: Path) -> None:
    channel = FolderChannel(tmp_path)
    channel.send([Text("a")], key=KEY)
    (receipt,) = channel.send([Text("b")], key="feed_daily")
    (tmp_path / "notes").write_text("mine")
    (other,) = channel.send([Text("c")], key="notes")

    assert (receipt.outcome, other.outcome) == (Outcome.NOT_SENT, Outcome.NOT_SENT)
    assert "holds other folders" in receipt.detail
    assert (tmp_path / KEY / "01-text.txt").read_text() == "a\n"
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_failed_rerun_keeps_the_earlier_delivery(tmp_path: Path) -> None:
    channel = FolderChannel(tmp_path)
    channel.send([Text("a")], key=KEY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))  # a disk that is full, also for root
    try:
        receipts = channel.send([Text("b"), Document("big.csv", bytes(10_000))], key=KEY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {receipt.outcome for receipt in receipts} == {Outcome.NOT_SENT}
    assert "File too large" in receipts[0].detail
    assert files(tmp_path / "feed_daily") == ["2026-11-20", "2026-11-20/01-text.html", "2026-11-20/01-text.txt"]
    assert (tmp_path / KEY / "01-text.txt").read_text() == "a\n"


def test_broken_characters_do_not_lose_a_report(tmp_path: Path) -> None:
    (receipt,) = FolderChannel(tmp_path).send([Text("a\ud800")], key=KEY)
    assert receipt.outcome is Outcome.SENT
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
