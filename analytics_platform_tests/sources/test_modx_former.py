"""The replaced script's tables, read from a real MariaDB: what their columns may hold, and by whose clock."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from analytics_platform.funnels.adoption import FormerEntry, FormerJob
from analytics_platform.sources.modx_client import SiteError
from analytics_platform.sources.modx_former import FormerTables
from analytics_platform_tests.former_script import FormerScript
from analytics_platform_tests.mysql_service import MariaDB

DATABASE = "modx_former"
TOKYO, UTC_ZONE = ZoneInfo("Asia/Tokyo"), ZoneInfo("UTC")
HOUR = timedelta(hours=1)


def test_times_are_of_the_clock_that_wrote_them(mariadb: MariaDB) -> None:
    mariadb.empty_database(DATABASE, "latin1")
    former = FormerTables(SecretStr(mariadb.url(DATABASE, "reader")), TOKYO, UTC_ZONE)
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    with mariadb.connect(DATABASE) as con:
        script = FormerScript(con).create()
        first = script.entered(
            "Ann@people.example", "2026-11-20 21:00:00", bought="2026-11-20 13:00:00", updated="failed"
        )
        second = script.entered("bob@people.example", "0000-00-00 00:00:00", bought="2026-02-31 10:00:00", added=None)
        script.run(f"UPDATE {script.entries} SET user_id = 5, test_id = 6 WHERE id = %s", second)
        expected = [
            FormerEntry(first, "Ann@people.example", "language", None, None, noon, True, noon + HOUR),
            FormerEntry(second, "bob@people.example", "language", 5, 6, None, True, None),
        ]
        with former.reading():
            former.check()
            assert former.sizes() == (2, 2)
            assert former.newest(noon) == noon
            assert former.newest(noon - HOUR) is None
            with closing(former.entries()) as rows:
                assert list(rows) == expected
            with closing(former.jobs()) as rows_of_jobs:
                assert list(rows_of_jobs) == [
                    FormerJob(first, "upsert_contact", "success"),
                    FormerJob(first, "update_after_purchase", "failed"),
                ]
        # A TIMESTAMP is a moment, whatever zone is said; an ENUM is a text.
        script.run(
            f"ALTER TABLE {script.entries} MODIFY entered_at TIMESTAMP NULL, MODIFY funnel_type ENUM('language')"
        )
        with former.reading():
            former.check()
            assert [entry.entered_at for entry in former.entries()] == [noon, None]
        script.run(f"ALTER TABLE {script.entries} MODIFY email VARBINARY(255)")
        with former.reading(), pytest.raises(SiteError, match=r"funnel_entries\.email \(varbinary\) .* is not text"):
            former.check()
