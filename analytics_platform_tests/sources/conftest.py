"""What tests of visits share."""

from pathlib import Path

import pytest

from analytics_platform_tests.sources.visits_written import Write, writer


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files of visits."""
    return writer(tmp_path)
