"""What must not be in the repository: secrets, addresses to download from, paths of a machine, generated files."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT_LIMIT = 400
# A bot token, an AWS key, a private key, a Brevo key: the shapes, so that the test names none.
SECRETS = (
    re.compile(r"\b\d{8,10}:[A-Za-z0-9_-]{35}\b"),
    re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    re.compile(r"\bxkeysib-[0-9a-f]{64}\b"),
)
# Addresses that packages are fetched from, by their form: the test names no host either.
DOWNLOADS = re.compile(
    r"https?://\S+\.(?:whl|tar\.gz|tgz|zip)\b|https?://\S+/simple\b|--(?:extra-)?index-url|\bfile:/{2}"
)


def tracked() -> list[Path]:
    """Every file that git tracks, as it is in the working tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def text(path: Path) -> str:
    """The file's text; nothing for pictures."""
    return "" if path.suffix in (".png", ".pdf") else path.read_text("utf-8")


def test_no_secret_is_in_the_repository() -> None:
    found = [p.name for p in tracked() for pattern in SECRETS if pattern.search(text(p))]
    assert found == []


def test_no_download_address_and_no_path_of_a_machine_is_in_the_repository() -> None:
    own = {f"{folder}/" for folder in (Path.home(), ROOT) if len(folder.parts) > 1}
    found = [
        path.name
        for path in tracked()
        if path != Path(__file__) and (DOWNLOADS.search(text(path)) or any(mark in text(path) for mark in own))
    ]
    assert found == []


def test_files_stay_readable_in_one_sitting() -> None:
    assert [p.name for p in tracked() if p.suffix == ".py" and len(text(p).splitlines()) > TEXT_LIMIT] == []


def test_nothing_generated_and_nothing_large_is_tracked() -> None:
    suffixes = {".duckdb", ".parquet", ".pyc", ".mo", ".db", ".sqlite", ".whl", ".so"}
    assert [p.name for p in tracked() if p.suffix in suffixes] == []
    assert [p.name for p in tracked() if p.stat().st_size > 300_000] == []


def test_everything_installed_is_pinned_by_name_and_version() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[0-9][^\s]*", line) for line in lines)
