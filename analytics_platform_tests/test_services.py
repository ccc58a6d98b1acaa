"""A server that is absent or does not start says so, and never silently where all are required."""

import sys
import time
from pathlib import Path

import pytest

from analytics_platform_tests.services import program, running, short_folder


def test_an_absent_program_skips_and_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no-such-server not installed \(apt-get install some-package\)"):
        program("no-such-server", "some-package")


def test_an_absent_program_fails_where_all_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match=r"apt-get install some-package"):
        program("no-such-server", "some-package")


def test_a_server_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('line\\n' * 50 + 'port is taken'); raise SystemExit(1)"]
    with (
        pytest.raises(pytest.fail.Exception, match=r"did not start; its log ends with\n(line\n)+.*port is taken"),
        running(command, tmp_path / "log", lambda: False),
    ):
        pass


def test_a_server_is_gone_afterwards(tmp_path: Path) -> None:
    marker = tmp_path / "beats"
    beat = f"import time, pathlib\nwhile True: pathlib.Path({str(marker)!r}).touch(); time.sleep(0.01)"
    with running([sys.executable, "-c", beat], tmp_path / "log", marker.exists):
        pass
    marker.unlink()
    time.sleep(0.1)
    assert not marker.exists()


def test_a_short_folder_is_short_and_goes() -> None:
    with short_folder() as folder:
        assert len(str(folder)) < 40
        (folder / "file").touch()
    assert not folder.exists()
