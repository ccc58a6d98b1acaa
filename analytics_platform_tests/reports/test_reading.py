"""What the reports read from a real warehouse of simulated events, and what they say when there is nothing."""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, date, timedelta

import pytest

from analytics_platform.cadence import Frequency, Period
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.messages import Text
from analytics_platform.metrics import app_queries, facts, slices
from analytics_platform.metrics.app import Service, Slice
from analytics_platform.metrics.dimensions import Labels
from analytics_platform.metrics.tables import (
    APP_DAILY,
    FEED_DAILY,
    FIRST_SEEN,
    POST_DAY,
    daily_slices_table,
    user_day_table,
)
from analytics_platform.queries import compose
from analytics_platform.reports import app_csv
from analytics_platform.reports.app_daily import REPORT as APP
from analytics_platform.reports.base import NothingToReportError, Number, Rendering
from analytics_platform.reports.feed_daily import REPORT as FEED
from analytics_platform.reports.likes_by_os_weekly import REPORT as LIKES
from analytics_platform.simulate.scenario import Scenario
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.metrics.product import Events, Row, load, simulated
from analytics_platform_tests.simulate.history import MOSCOW

FIRST = date(2026, 11, 2)  # a Monday
DAYS = [FIRST + timedelta(days=k) for k in range(16)]
ONLY_CHAT, EMPTY, LAST = DAYS[11], DAYS[14], DAYS[15]
NEVER = LAST + timedelta(days=1)
WEEK = Period(DAYS[7], DAYS[13])


@dataclass(frozen=True)
class Stored:
    """A computed warehouse and the events it was computed from."""

    warehouse: DuckDBWarehouse
    events: Events

    def feed(self, period: Period) -> list[Row]:
        """Feed events of those local days."""
        return [r for r in self.events.feed if _day(r) in set(period.days)]

    def messages(self, period: Period) -> list[Row]:
        """Messages of those local days."""
        return [r for r in self.events.messages if _day(r) in set(period.days)]


def _day(row: Row) -> date:
    found: date = row["time"].replace(tzinfo=UTC).astimezone(MOSCOW).date()
    return found


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    folder = tmp_path_factory.mktemp("reading")
    files = (folder / "events.duckdb", folder / "results.duckdb", folder / "scratch")
    warehouse = DuckDBWarehouse(*files, {"threads": "1"})
    scenario = Scenario(
        FIRST, len(DAYS), 200, 3, MOSCOW, empty_days=frozenset([EMPTY]), messages_only_days=frozenset([ONLY_CHAT])
    )
    events = simulated(scenario)
    load(warehouse, events, MOSCOW)
    for day in DAYS:
        current = warehouse.current_days(user_day_table(), *facts.lookback(day))
        warehouse.replace_day(user_day_table(), day, facts.user_day(day, MOSCOW, current))
        warehouse.replace_day(daily_slices_table(), day, slices.daily_slices(day, Labels()))
        warehouse.replace_day(FEED_DAILY, day, compose("feed_daily", {"event_date": day}))
        warehouse.replace_day(POST_DAY, day, app_queries.post_day(day, MOSCOW))
        warehouse.replace_day(FIRST_SEEN, day, app_queries.first_seen(day))
        warehouse.replace_day(APP_DAILY, day, app_queries.app_daily(day))
    return Stored(warehouse, events)


def test_the_app_report_reads_its_day(stored: Stored) -> None:
    period = Period(LAST, LAST)
    found = APP.read(stored.warehouse, period, MOSCOW)
    feed, messages = stored.feed(period), stored.messages(period)
    readers, writers = {r["user_id"] for r in feed}, {r["user_id"] for r in messages}
    likes = sum(r["action"] == "like" for r in feed)
    numbers = {n.name: n.value for n in APP.numbers(found)}
    assert numbers["App DAU"] == len(readers | writers)
    assert numbers["App actions"] == len(feed) + len(messages)
    assert numbers["Feed DAU"] == len(readers)
    assert numbers["Feed likes"] == likes
    assert numbers["Feed CTR"] == pytest.approx(likes / (len(feed) - likes))
    assert (numbers["Chat DAU"], numbers["Chat messages"]) == (len(writers), len(messages))
    assert found.frame.at(Slice(Service.FEED), DAYS[0]).dau
    for code in LANGUAGES:
        [text] = [m for m in APP.compose(found, _drawn(Language(code)), _rendering(code)) if isinstance(m, Text)]
        assert Language(code).count(len(feed) + len(messages)) in text.plain


def test_the_apps_table_has_every_day_since_the_first(stored: Stored) -> None:
    found = APP.read(stored.warehouse, Period(LAST, LAST), MOSCOW)
    content = app_csv.write(found.table_rows, Language("en"), bom=True)
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    totals = [r for r in rows if (r["service"], r["dimension"]) == ("app", "total")]
    assert [r["date"] for r in totals] == [day.isoformat() for day in DAYS]
    assert app_csv.first_day(content) == FIRST
    assert {r["dimension"] for r in rows} == {"total", "source", "os", "country"}
    for name in ("dau", "actions"):
        for dimension in ("source", "os", "country"):
            for service in Service:
                of = [r for r in rows if (r["service"], r["dimension"]) == (service, dimension)]
                total = [r for r in rows if (r["service"], r["dimension"]) == (service, "total")]
                assert sum(int(r[name]) for r in of) == sum(int(r[name]) for r in total)
    assert sum(int(r["likes"]) for r in rows if r["dimension"] == "os" and r["service"] == "feed") == sum(
        r["action"] == "like" for r in stored.events.feed
    )
    # Rows are read when they are gone through, and may be again.
    assert app_csv.write(found.table_rows, Language("en"), bom=True) == content


@pytest.mark.parametrize(
    ("day", "sentence"),
    [
        (NEVER, f"{NEVER} has not been computed: materialise frames/app_daily for it."),
        (EMPTY, f"{EMPTY} has neither feed nor message events, so there is nothing to report: load them, then"),
    ],
)
def test_the_app_report_of_a_day_without_data(stored: Stored, day: date, sentence: str) -> None:
    with pytest.raises(NothingToReportError) as error:
        APP.read(stored.warehouse, Period(day, day), MOSCOW)
    assert str(error.value).startswith(sentence)


def test_a_day_of_messages_alone_is_reported(stored: Stored) -> None:
    found = APP.read(stored.warehouse, Period(ONLY_CHAT, ONLY_CHAT), MOSCOW)
    assert {n.name: n.value for n in APP.numbers(found)}["Feed DAU"] == 0
    [text] = [m for m in APP.compose(found, _drawn(Language("en")), _rendering("en")) if isinstance(m, Text)]
    assert "7. CTR = n/a (n/a, n/a)" in text.plain.replace("\xa0", " ")


def test_the_feed_report_reads_its_day(stored: Stored) -> None:
    day = DAYS[10]
    frame = FEED.read(stored.warehouse, Period(day, day), MOSCOW)
    events = stored.feed(Period(day, day))
    likes = sum(r["action"] == "like" for r in events)
    today = frame.today
    assert (today.dau, today.views, today.likes) == (len({r["user_id"] for r in events}), len(events) - likes, likes)
    assert frame.week_ago.day == DAYS[3]
    assert frame.week_ago.views
    early = FEED.read(stored.warehouse, Period(FIRST, FIRST), MOSCOW)
    assert [d.dau for d in early.days[:-1]] == [None] * 7


@pytest.mark.parametrize(
    ("day", "sentence"),
    [
        (NEVER, f"{NEVER} has not been computed: materialise frames/feed_daily for it."),
        (
            ONLY_CHAT,
            f"{ONLY_CHAT} has no feed events, so there is nothing to report: load them, then materialise "
            "facts/user_day and what follows for that day.",
        ),
    ],
)
def test_the_feed_report_of_a_day_without_data(stored: Stored, day: date, sentence: str) -> None:
    with pytest.raises(NothingToReportError) as error:
        FEED.read(stored.warehouse, Period(day, day), MOSCOW)
    assert str(error.value) == sentence


def test_a_weeks_likes_by_os_against_the_week_before(stored: Stored) -> None:
    assert (LIKES.cadence.frequency, LIKES.cadence.weekday) == (Frequency.WEEKLY, 0)
    found = LIKES.read(stored.warehouse, WEEK, MOSCOW)
    before = Period(DAYS[0], DAYS[6])
    now, earlier = (sum(r["action"] == "like" for r in stored.feed(week)) for week in (WEEK, before))
    assert sum(n for n, _ in found.likes.values()) == now
    assert sum(b or 0 for _, b in found.likes.values()) == earlier
    assert set(found.likes) == {"iOS", "Android"}
    assert LIKES.numbers(found) == (Number("Likes", now),)
    (text,) = LIKES.compose(found, {}, _rendering("ru"))
    assert isinstance(text, Text)
    heading, *lines = text.plain.replace("\xa0", " ").replace("\u202f", " ").splitlines()
    assert heading == "Лайки по ОС, 9 нояб. 2026 г. – 15 нояб. 2026 г."
    (largest, (count, base)), _ = found.likes.items()
    change = Language("ru").change(count / (base or 1) - 1)
    assert lines[0] == f"{largest} = {Language('ru').count(count)} ({change})".replace("\xa0", " ")
    assert count == max(n for n, _ in found.likes.values())


def test_the_first_week_has_nothing_to_compare_with(stored: Stored) -> None:
    found = LIKES.read(stored.warehouse, Period(DAYS[0], DAYS[6]), MOSCOW)
    (text,) = LIKES.compose(found, {}, _rendering("en"))
    assert isinstance(text, Text)
    assert text.plain.count("(n/a)") == 2


def test_a_week_without_data_has_nothing_to_report(stored: Stored) -> None:
    with pytest.raises(NothingToReportError, match=f"{NEVER} has not been computed: materialise metrics/daily_slices"):
        LIKES.read(stored.warehouse, Period(LAST, LAST + timedelta(days=6)), MOSCOW)
    with pytest.raises(NothingToReportError, match="has no likes, so there is nothing to report"):
        LIKES.read(stored.warehouse, Period(EMPTY, EMPTY), MOSCOW)


def _rendering(code: str) -> Rendering:
    return Rendering(Language(code), MOSCOW)


def _drawn(language: Language) -> dict[str, bytes]:
    return {"app.png": b"1", "charts.pdf": b"2", "table.csv": app_csv.write([], language, bom=False)}
