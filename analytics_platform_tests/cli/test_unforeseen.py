"""An error that nobody expected keeps its traceback, and names neither people nor secrets."""

import sys

import pytest

from analytics_platform.cli.main import unforeseen
from analytics_platform.funnels.person import hashed
from analytics_platform_tests.cli.conftest import Run


def test_the_command_ends_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)  # put back afterwards
    assert run("--help").code == 0
    assert sys.excepthook is unforeseen


def test_its_words_name_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise RuntimeError("('anna@example.org', 'language') is not in mysql://site:sesame@db/modx")
    except RuntimeError as error:
        unforeseen(type(error), error, error.__traceback__)
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):\n")
    assert f"in {test_its_words_name_nobody.__name__}\n" in said
    assert f"<address {hashed('anna@example.org')}>" in said
    assert "anna@" not in said
    assert "sesame" not in said
