"""Files of the event tables with columns of many kinds: videos and pages."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from analytics_platform.metrics.events import PAGE_EVENTS, USER_EVENTS, EventTable
from analytics_platform.sources.files import BadRowError, EventReader


def write(path: Path, *lines: str) -> Path:
    """A file of those lines."""
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def read(path: Path, table: EventTable) -> list[dict[str, Any]]:
    """Its rows."""
    return [row for batch in EventReader(table, [path]).batches() for row in batch.to_pylist()]


def test_video_events_with_the_names_of_their_program(tmp_path: Path) -> None:
    path = write(
        tmp_path / "videos.csv",
        "event_id,event_type,timestamp,pays,id_categorie,user_id,session_id,watch_duration,file_size,raw_data,x",
        '18446744073709551615,video_view,2026-11-20T10:00:00.123Z,Mali,,42,,1.5e1,-1,"{""a"": ""b, c""}",1',
        "1,Video_Skip,1763632800, Cameroun ,sport,\\N,s-1,,,,",
    )
    first, second = read(path, USER_EVENTS)
    given = {"event_id", "event_type", "time", "category", "country", "user_id", "session_id", "watch_duration"}
    assert {name: first[name] for name in given} == {
        "event_id": 2**64 - 1,
        "event_type": "video_view",
        "time": datetime(2026, 11, 20, 10, 0, 0, 123_000),  # noqa: DTZ001
        "category": "unknown",
        "country": "Mali",
        "user_id": "42",
        "session_id": None,
        "watch_duration": 15.0,
    }
    assert (first["file_size"], first["raw_data"], first["video_id"]) == (-1, '{"a": "b, c"}', None)
    assert {name: second[name] for name in ("event_type", "country", "category", "user_id", "session_id")} == {
        "event_type": "Video_Skip",
        "country": "Cameroun",
        "category": "sport",
        "user_id": None,
        "session_id": "s-1",
    }
    assert second["inserted_at"] is None


def test_page_events_one_row_bad(tmp_path: Path) -> None:
    head = "request_id,created,visitor,adblock,pathname"
    good = "r-1,2026-11-20 10:00:00,v-1,TRUE,/a"
    path = write(tmp_path / "pages.csv", head, good, "r-2,2026-11-20 10:00:00,v-1,maybe,/a")
    with pytest.raises(BadRowError) as caught:
        read(path, PAGE_EVENTS)
    wanted = "column adblock: 'maybe' is neither true (t, yes, 1) nor false (f, no, 0) or empty"
    assert str(caught.value) == f"{path}, line 3, {wanted}"
    [row] = read(write(tmp_path / "good.csv", head, good), PAGE_EVENTS)
    assert (row["adblock"], row["visitor"], row["pathname"], row["domain"]) == (True, "v-1", "/a", None)
