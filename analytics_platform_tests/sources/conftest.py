"""What tests of visits share: files of them, and a DynamoDB and S3 of the tests' own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_platform_tests.dynamodb_service import moto, only_test_credentials
from analytics_platform_tests.sources.visits_written import Write, writer


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files of visits."""
    return writer(tmp_path)


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the tests, and no others."""
    only_test_credentials(monkeypatch)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where DynamoDB and S3 are, with nothing in them."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        only_test_credentials(monkeypatch)
        with moto() as found:
            yield found
