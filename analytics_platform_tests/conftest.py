"""What all tests share: settings of the person who runs them do not reach the tests.

Belongs here: pytest-wide fixtures and filters. Does not: fakes and servers of one subject.
"""

import pytest

from analytics_platform.settings import HOME_VARIABLE, Settings


def pytest_configure(config: pytest.Config) -> None:
    """Dagster's backfill policies are "beta"; the version is pinned, so the notice tells nothing new."""
    config.addinivalue_line("filterwarnings", "ignore::dagster.BetaWarning")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (HOME_VARIABLE, "DAGSTER_HOME", *(field.upper() for field in Settings.model_fields)):
        monkeypatch.delenv(name, raising=False)
