"""What is kept of a report comes back as it was, whole or not at all."""

import threading
from datetime import date
from pathlib import Path

import pytest

from analytics_platform.artifacts import ArtifactError, Artifacts
from analytics_platform.messages import Album, Document, Message, Picture, Text

DAY = date(2026, 11, 20)
MESSAGES: tuple[Message, ...] = (
    Text('<b>Лента</b> &amp; \u2028 "quotes"\n'),
    Album((Picture("a.png", b"\x89PNG", "first\nline"), Picture("a.png", b"", ""))),
    Document("отчёт 1.csv", bytes(range(256)), "подпись"),
    Document("отчёт 1.csv", b"another of the same name"),
)


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


def test_messages_come_back_as_they_were(artifacts: Artifacts) -> None:
    artifacts.save_messages("feed", DAY, MESSAGES, "en")
    assert artifacts.load_messages("feed", DAY, "en") == MESSAGES


def test_saving_again_replaces_everything(artifacts: Artifacts) -> None:
    folder = artifacts.save_messages("feed", DAY, MESSAGES, "en")
    artifacts.save_messages("feed", DAY, MESSAGES[:1], "en")
    assert artifacts.load_messages("feed", DAY, "en") == MESSAGES[:1]
    assert [path.name for path in folder.iterdir()] == ["index.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["messages"]


def test_files_are_kept_apart_by_report_and_day(artifacts: Artifacts) -> None:
    path = artifacts.save("feed", DAY, "chart.png", b"one")
    artifacts.save("feed", date(2026, 11, 21), "chart.png", b"two")
    artifacts.save("app", DAY, "chart.png", b"three")
    assert path == artifacts.root / "feed" / "2026-11-20" / "chart.png"
    assert artifacts.load("feed", DAY, "chart.png") == b"one"
    artifacts.save("feed", DAY, "chart.png", b"")
    assert artifacts.load("feed", DAY, "chart.png") == b""
    assert [p.name for p in path.parent.iterdir()] == ["chart.png"]


def test_each_language_has_its_own(artifacts: Artifacts) -> None:
    artifacts.save_messages("feed", DAY, (Text("a"),), "en")
    artifacts.save_messages("feed", "2026-11-20 #2", (Text("b"),), "ru")
    artifacts.save_drawn("feed", DAY, {"chart.png": b"1"}, "ru")
    assert artifacts.load_messages("feed", DAY, "en") == (Text("a"),)
    assert artifacts.languages("feed", DAY) == ("en",)
    assert artifacts.languages("feed", "2026-11-20 #2") == ("ru",)
    assert artifacts.load_drawn("feed", DAY, "ru") == {"chart.png": b"1"}
    for strange in ("../x", "", ".hidden"):
        with pytest.raises(ValueError, match="do not name a folder"):
            artifacts.folder("feed", strange)


def test_what_was_never_made_names_what_to_do(artifacts: Artifacts) -> None:
    with pytest.raises(ArtifactError, match=r"feed of 2026-11-20 has no chart\.png; materialise its chart first"):
        artifacts.load("feed", DAY, "chart.png")
    with pytest.raises(ArtifactError, match="has not been built; materialise reports/feed first"):
        artifacts.load_messages("feed", DAY, "en")


@pytest.mark.parametrize(
    "index", ["", "{", "[{}]", '[{"kind": "album"}]', '[{"kind": "document", "file": "gone.csv"}]', '{"kind": "text"}']
)
def test_a_damaged_index_is_said(artifacts: Artifacts, index: str) -> None:
    folder = artifacts.save_messages("feed", DAY, MESSAGES, "en")
    (folder / "index.json").write_text(index)
    with pytest.raises(ArtifactError, match="is damaged; build the report again"):
        artifacts.load_messages("feed", DAY, "en")


def test_file_names_cannot_leave_the_folder(artifacts: Artifacts) -> None:
    messages = (Document("../../x/escaped.csv", b"1"), Album((Picture("/etc/p.png", b"2"),)))
    folder = artifacts.save_messages("feed", DAY, messages, "en")
    assert artifacts.load_messages("feed", DAY, "en") == messages
    assert all(path.is_relative_to(folder) for path in artifacts.root.rglob("*") if path.is_file())


def test_two_writers_at_once_leave_one_whole_set(artifacts: Artifacts) -> None:
    failures: list[BaseException] = []

    def save(number: int) -> None:
        try:
            for _ in range(30):
                artifacts.save_messages("feed", DAY, (Text(str(number)), Document("d", str(number).encode())), "en")
        except BaseException as error:  # noqa: BLE001 - carried to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    text, document = artifacts.load_messages("feed", DAY, "en")
    assert isinstance(text, Text)
    assert isinstance(document, Document)
    assert document.content.decode() == text.html
    assert [path.name for path in artifacts.folder("feed", DAY, "en").iterdir()] == ["messages"]
