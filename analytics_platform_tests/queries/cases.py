"""What each query file is asked in the contract between the engines: one entry a file, several questions an entry.

Belongs here: events and stored rows to ask about, and the questions. Does not: engines, comparison, right answers
(the tests of each subject know those). To add a query file, add its entry to CASES.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from analytics_platform.alerts.leaves import EXPLAINED, leaves, reference_windows
from analytics_platform.availability import hourly_counts, last_event
from analytics_platform.metrics import app_queries, facts, lineage, series, slices
from analytics_platform.metrics.app import Service
from analytics_platform.metrics.audience import Questions as AudienceQuestions
from analytics_platform.metrics.catalog import METRICS, Count, Distinct, DistinctPerUser, Ratio, Source
from analytics_platform.metrics.dimensions import DIMENSIONS, Dimension, Labels
from analytics_platform.metrics.events import EVENT_TABLES
from analytics_platform.metrics.tables import (
    APP_DAILY,
    EVENT_REPORTS,
    FEED_DAILY,
    FIRST_SEEN,
    POST_DAY,
    RANKINGS_POPULAR,
    RANKINGS_TRENDING,
    SERIES,
    VISITOR_REPORTS,
    daily_slices_table,
    user_day_table,
)
from analytics_platform.metrics.windows import Gap, Window, day_start, day_window
from analytics_platform.queries import Query, compose
from analytics_platform.rankings import plan as ranking
from analytics_platform.rankings.counting import ranking_query
from analytics_platform.simulate.scenario import Scenario
from analytics_platform.visitors.reporting import event_query, stored_query, visitor_query
from analytics_platform.visitors.window import VisitWindow, between
from analytics_platform.warehouses.copying import event_fingerprint, result_fingerprint
from analytics_platform_tests.metrics.product import Events, dates, feed, message, simulated
from analytics_platform_tests.queries import cases_funnels
from analytics_platform_tests.queries.duck import DuckDB
from analytics_platform_tests.rankings import crooked
from analytics_platform_tests.visitors import sample as visits

ZONE, UTC = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
DAY = date(2026, 3, 29)  # 23 hours
FIRST = DAY - timedelta(days=3)
DAYS = dates(FIRST, 5)
EMPTY = DAY + timedelta(days=9)
LABELS = Labels({"gender": {"1": "мужчины", "0": "women's; $x {a:String}"}})

# More of everything than the product's own catalogue has, so that every branch of a template is asked.
MORE_METRICS = (
    *METRICS,
    Count("shares", Source.FEED, "", "action = 'share'"),
    Count("ads_sent", Source.SENT, "", "source = 'ads'"),
    Count("upward", Source.RECEIVED, "", "user_id < receiver_id"),
    DistinctPerUser("posts", Source.FEED, "post_id", ""),
    DistinctPerUser("liked_posts", Source.FEED, "post_id", "", "action = 'like'"),
    DistinctPerUser("ads_partners", Source.SENT, "receiver_id", "", "source = 'ads' OR age > 30"),
    Distinct("of_both", "", "feed_actions > 0 AND messages_sent + messages_received > 0"),
    Ratio("posts_per_user", "posts", "feed_users", ""),
    Count("shared", Source.FEED, "", "action = 'share'", watched=True),
    Count("ads_received", Source.RECEIVED, "", "source = 'ads'", watched=True),
    Distinct("likers", "", "likes > 1 OR (likes > 0 AND shared > 0)", Source.FEED, watched=True),
    Ratio("shares_per_like", "shared", "likes", "", watched=True),
)
MORE_DIMENSIONS = (
    *DIMENSIONS,
    Dimension("city", ("city",), ""),
    Dimension("exp_group", ("exp_group",), ""),
    Dimension("city_os", ("city", "os"), "", "CASE WHEN os <> 'unknown' THEN city || '/' || os END"),
)
APP = (POST_DAY, FIRST_SEEN, APP_DAILY)
WIDE = (user_day_table(MORE_METRICS, MORE_DIMENSIONS), daily_slices_table(MORE_METRICS))
RANKED = (RANKINGS_POPULAR, RANKINGS_TRENDING)
REPORTS = (VISITOR_REPORTS, EVENT_REPORTS)  # of the windows in _VISITS, in another year
BY_DAY = (*WIDE, FEED_DAILY, *APP, SERIES, *RANKED, cases_funnels.TABLE)
TABLES = (*BY_DAY, *REPORTS)

Questions = Callable[[], list[Query]]


def _user_day() -> list[Query]:
    every = set(dates(DAY - timedelta(days=40), 60))
    asked = [facts.user_day(day, ZONE, known) for day in (*DAYS, EMPTY) for known in (every, set[date]())]
    scattered = every - {DAY - timedelta(days=k) for k in (1, 2, 7, 30)}
    return [
        *asked,
        facts.user_day(DAY, ZONE, scattered, MORE_METRICS, MORE_DIMENSIONS),
        facts.user_day(DAY, ZONE, every, METRICS[:2], DIMENSIONS[2:3]),  # feed alone
        facts.user_day(DAY, ZONE, every, METRICS[2:6], DIMENSIONS[:1]),  # messages alone
    ]


def _daily_slices() -> list[Query]:
    return [
        *(slices.daily_slices(day, labels) for day in (*DAYS, EMPTY) for labels in (LABELS, Labels())),
        slices.daily_slices(DAY, LABELS, MORE_METRICS, MORE_DIMENSIONS),
        slices.daily_slices(DAY, LABELS, METRICS[:2], DIMENSIONS[:1]),
    ]


def _series() -> list[Query]:
    noon = datetime.fromisoformat("2026-03-29 10:00")
    part = {"feed": series.Span(noon - timedelta(hours=2), noon), "messenger": series.Span(noon, noon)}
    ways = ("gender", "age_group", "city_os", "exp_group")
    return [
        *(series.series_day(day, ZONE, LABELS) for day in (*DAYS, EMPTY)),
        *(series.series_day(DAY, ZoneInfo(zone), LABELS, sliced_by=()) for zone in _CLOCKS),
        series.series_day(DAY, ZONE, LABELS, part),
        # Beside rows that were stored as the day of another zone.
        *(series.series_day(DAY, ZoneInfo(zone), LABELS, part) for zone in _CLOCKS),
        series.series_day(DAY, ZONE, LABELS, {"feed": part["feed"]}),
        *(
            series.series_day(
                DAY, ZONE, LABELS, spans, metrics=MORE_METRICS, sliced_by=ways, dimensions=MORE_DIMENSIONS
            )
            for spans in (None, part)
        ),
        series.series_day(DAY, ZONE, Labels(), sliced_by=("country",), metrics=METRICS[:2]),
        series.series_day(DAY, ZONE, Labels(), metrics=METRICS[2:3]),
    ]


def _slices() -> list[Query]:
    spans = ((DAYS[0], DAYS[-1]), (DAY, DAY), (EMPTY, EMPTY), (DAYS[-1], DAYS[0]))
    return [slices.slices_between(a, b, d, MORE_METRICS) for a, b in spans for d in ("", "country", "total", "x' OR 1")]


def _ledger(query: str, *more: str) -> list[Query]:
    return [
        compose(query, {"table_name": name, "first_day": a, "last_day": b})
        for name in (*(t.name for t in BY_DAY), *more)
        for a, b in ((DAYS[0], DAYS[-1]), (DAY, DAY), (EMPTY, EMPTY))
    ]


def _current() -> list[Query]:
    return [
        lineage.current_days(table.name, a, b, "UTC")
        for table in BY_DAY
        for a, b in ((DAYS[0], DAYS[-1]), (DAY, DAY), (EMPTY, EMPTY))
    ]


def _spans() -> list[tuple[date, date]]:
    return [(DAYS[0], DAYS[-1]), (DAYS[1], DAYS[2]), (DAY, DAY), (EMPTY, EMPTY)]


def _first_seen() -> list[Query]:
    return [ask(day) for ask in (app_queries.first_seen, app_queries.first_seen_left) for day in (*DAYS, EMPTY)]


def _audience() -> list[AudienceQuestions]:
    spans = (*_spans(), (DAYS[0], DAY + timedelta(days=35)), (FIRST - timedelta(days=9), FIRST - timedelta(days=9)))
    return [AudienceQuestions(a, b, service) for a, b in spans for service in Service]


def _audience_bits() -> list[Query]:
    bounds = ((0, 1_023), (896, 959), (4_294_967_232, 4_294_967_295))
    return [asked.bits(*between) for asked in _audience()[::2] for between in bounds]


# Days of 23 and of 24 hours, hours that begin at half and at a quarter to, and half an hour set back.
_CLOCKS = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe")


def _hourly_counts() -> list[Query]:
    days = (*DAYS, DAY + timedelta(days=7), EMPTY)
    windows = [*(day_window(day, ZoneInfo(zone)) for zone in _CLOCKS for day in days), Gap(FIRST, EMPTY).window(ZONE)]
    return [hourly_counts(table.name, window) for table in EVENT_TABLES for window in windows]


def _fingerprint() -> list[Query]:
    windows = [*(day_window(day, ZONE) for day in (*DAYS, EMPTY)), Gap(FIRST, EMPTY).window(ZONE)]
    return [
        *(event_fingerprint(table, window) for table in EVENT_TABLES for window in windows),
        *(result_fingerprint(table, *span) for table in BY_DAY for span in _spans()),
        *(result_fingerprint(table, *2 * [between(*_VISITS[1], UTC).day(UTC)]) for table in REPORTS),
    ]


def _leaves() -> list[Query]:
    noon = datetime.fromisoformat("2026-03-29 10:00")
    hour = Window(noon, noon + timedelta(hours=1))
    windows = [hour, *reference_windows(hour, ZONE), *(day_window(day, ZONE) for day in (*DAYS, EMPTY))]
    return [
        leaves("feed_actions", windows, ("views", "likes"), LABELS),
        leaves("feed_actions", windows[:1], (), Labels()),
        leaves("feed_actions", windows[:2], ("shares",), LABELS, metrics=MORE_METRICS, dimensions=MORE_DIMENSIONS),
        leaves("message_actions", windows, ("messages_sent",), LABELS),
        leaves("message_actions", windows[-1:], ("messages_sent",), LABELS, dimensions=EXPLAINED[:1]),
    ]


def _last_event() -> list[Query]:
    moments = (datetime(1970, 1, 1), *(day_start(day, ZONE) for day in (DAY, EMPTY)))  # noqa: DTZ001 - naive UTC
    ends = (datetime.fromisoformat("2026-03-29 10:00"), datetime.fromisoformat("2999-01-01"))
    return [last_event(t.name, moment, end) for t in EVENT_TABLES for moment in moments for end in ends]


def _arrivals() -> list[Query]:
    windows = (day_window(DAY, ZONE), day_window(EMPTY, ZONE), Gap(FIRST, EMPTY).window(ZONE))
    names = [t.name for t in EVENT_TABLES]
    return [series.arrivals(w, tables) for w in windows for tables in (names, names[:1])]


def _ranking() -> list[Query]:
    plans = [ranking.Plan(min_audience=n, mode=mode) for n in (2, 20) for mode in ranking.Mode]
    plans.append(ranking.Plan(min_audience=2, recent=timedelta(hours=2), previous=timedelta(hours=60)))
    return [ranking_query(plan, day_start(day, UTC)) for plan in plans for day in (DAY, EMPTY)]


# All of visits.random_events, parts of them whose ends are its moments, and nothing.
_VISITS = (
    *(("2019-06-22", "2019-06-23"), ("2019-06-22T00:30", "2019-06-22T05:00"), ("2019-06-23", "2019-06-24")),
    ("2019-06-22T00:30:00.000001", "2019-06-22T05:00:00.000001"),
)


def _visits(ask: Callable[[VisitWindow], Query]) -> list[Query]:
    return [ask(between(start, end, UTC)) for start, end in _VISITS]


def _stored_reports() -> list[Query]:
    windows = [between(start, end, UTC) for start, end in _VISITS]
    days = [window.day(UTC) for window in windows]
    return [
        stored_query(table, window, day)
        for table in REPORTS
        for window, day in zip((*windows, windows[0]), (*days, EMPTY), strict=True)
    ]


def _reported(engine: DuckDB) -> None:
    """Two windows of one day, whose orders hang on their last columns, in another order than they are read."""
    for start, end in _VISITS[1::-1]:
        window = between(start, end, UTC)
        common = {"event_date": window.day(UTC), **window.bounds, "timestamp": window.bounds["window_end"]}
        names = ("z", "Ё", "a", "😀", "日本", "=1+1")
        rows = [
            {**common, "visitor": name, "request_id": f"{name} {k}", "n_interactions": k % 2, "distinct_pages": 1}
            | {"first_seen": window.bounds["window_start"] + timedelta(microseconds=k % 3), "action": "action"}
            | {"created": window.bounds["window_start"] + timedelta(microseconds=k % 2), "adblock": (None, True)[k % 2]}
            for k, name in enumerate(names * 2)
        ]
        for table in REPORTS:
            columns = [name for name, _ in table.columns]
            engine.put(f"results.{table.name}", [{name: row.get(name) for name in columns} for row in rows])


CASES: Mapping[str, Questions] = {
    "app_audience": lambda: [app_queries.audience(day + timedelta(days=k)) for day in DAYS for k in (0, 1, 7, 13, 29)],
    "app_daily": lambda: [app_queries.app_daily(day) for day in (*DAYS, EMPTY)],
    "app_other_posts": lambda: [
        app_queries.other_posts(a, b, countries)
        for a, b in _spans()
        for countries in ((), ("Russia",), ("O'Brien; -- $x", "Украина", "日本"))
    ],
    "app_retention": lambda: [app_queries.retention(day + timedelta(days=k)) for day in DAYS for k in (0, 5)],
    "app_table": lambda: [app_queries.app_table(a, b) for a, b in _spans()],
    "app_totals": lambda: [app_queries.totals(day) for day in (*DAYS, EMPTY, FIRST - timedelta(days=9))],
    "arrivals": _arrivals,
    "audience": lambda: [asked.figures() for asked in _audience()],
    "audience_bits": _audience_bits,
    "audience_ids": lambda: [asked.ids() for asked in _audience()],
    "computed_at": lambda: _ledger("computed_at", ""),
    "computed_days": lambda: _ledger("computed_days"),
    "current_days": _current,
    "daily_slices": _daily_slices,
    "event_reports": lambda: _visits(event_query),
    "event_span": lambda: [compose("event_span", table=t.name) for t in EVENT_TABLES],
    "event_totals": lambda: [
        facts.event_totals(day, ZONE, m) for day in (*DAYS, EMPTY) for m in (METRICS, MORE_METRICS)
    ],
    "feed_daily": lambda: [compose("feed_daily", {"event_date": day}) for day in (*DAYS, EMPTY)],
    "feed_frame": lambda: [
        compose("feed_frame", {"first_day": a, "last_day": b}) for a, b in ((DAYS[0], DAYS[-1]), (EMPTY, EMPTY))
    ],
    "fingerprint": _fingerprint,
    "first_seen": _first_seen,
    "funnel_conversions": lambda: cases_funnels.questions(_spans()),
    "post_day": lambda: [app_queries.post_day(day, ZONE, m) for day in (*DAYS, EMPTY) for m in (METRICS, MORE_METRICS)],
    "hourly_counts": _hourly_counts,
    "last_event": _last_event,
    "last_changes": lambda: [compose("last_changes")],
    "leaves": _leaves,
    "ranking": _ranking,
    "rankings_as_of": lambda: [compose("rankings_as_of")],
    "series_day": _series,
    "series_extent": lambda: [series.extent(a, b) for a, b in _spans()],
    "series_rows": lambda: [
        series.series_rows(Gap(a, b).window(ZONE), totals=totals) for a, b in _spans() for totals in (True, False)
    ],
    "slices": _slices,
    "stored_report": _stored_reports,
    "stored_totals": lambda: [facts.stored_totals(day, m) for day in (*DAYS, EMPTY) for m in (METRICS, MORE_METRICS)],
    "user_day": _user_day,
    "visitor_reports": lambda: _visits(visitor_query),
}

# Queries whose rows come in an order that readers rely on.
ORDERED = frozenset(
    {"app_table", "audience", "event_reports", "feed_frame", "slices", "stored_report", "visitor_reports"}
) | {"funnel_conversions"}


def events() -> Events:
    """Simulated days and the rows on which engines differ most easily."""
    found = simulated(Scenario(FIRST, 5, 100, 8, ZONE, messages_only_days=frozenset({DAY - timedelta(days=1)})))
    noon = datetime.fromisoformat("2026-03-29 10:00")
    moment, week = timedelta(microseconds=1), timedelta(days=7)
    found.feed.extend(
        (
            feed(900, noon, os="Android", age=None),
            feed(900, noon, os="Android", age=7),
            feed(901, noon, gender=None, age=None, country="unknown"),
            feed(902, noon + moment, country="日本"),
            feed(902, noon, country="😀"),
            feed(903, noon, "share", gender=7, age=-1, country="Côte d’Ivoire"),
            feed(904, noon - week, age=None, os="unknown"),
            feed(905, noon - week, gender=None),
            feed(905, noon - week, gender=0, country="Åland"),
            feed(906, noon - timedelta(days=31)),
            feed(4_294_967_295, noon, post=4_294_967_295, age=32767),
            *(feed(910 + n, datetime.fromisoformat("2026-03-28 23:00") + n * moment) for n in (-1, 0)),
            *(feed(920 + n, datetime.fromisoformat("2026-03-29 22:00") + n * moment) for n in (-1, 0)),
        )
    )
    found.messages.extend(
        (
            *(message(900, n, noon, os="iOS") for n in range(900, 908)),
            *(message(903, 4_294_967_295, noon + n * moment, source="unknown") for n in range(3)),
            message(907, 904, noon - week, age=50),
        )
    )
    found.pages.extend(visits.random_events(Random(1), 600))
    found.videos.extend(crooked.as_loaded(crooked.events(1, day_start(DAY, UTC))))
    return found


def stored(engine: DuckDB) -> dict[str, list[dict[str, Any]]]:
    """Rows of result tables and ledgers by table: DAYS, computed on an engine that holds the events, and reloads."""
    known: set[date] = set()
    for day in DAYS:
        engine.write(TABLES[0], facts.user_day(day, ZONE, known, MORE_METRICS, MORE_DIMENSIONS))
        engine.write(TABLES[1], slices.daily_slices(day, LABELS, MORE_METRICS, MORE_DIMENSIONS))
        engine.write(FEED_DAILY, compose("feed_daily", {"event_date": day}))
        engine.write(POST_DAY, app_queries.post_day(day, ZONE))
        engine.write(APP_DAILY, app_queries.app_daily(day))
        engine.write(SERIES, series.series_day(day, ZONE, LABELS, sliced_by=("os", "country")))
        known.add(day)
    for day in (DAYS[3], DAYS[1], DAYS[0], DAYS[4], DAYS[2]):
        engine.write(FIRST_SEEN, app_queries.first_seen(day))
    # Some that are not active on the first day: a reload has removed them.
    left = {"event_date": DAYS[0], "source": "ads", "os": "iOS", "country": "unknown"}
    rows = [{"kind": kind, "id": n, **left} for kind in ("feed", "message", "post") for n in range(1, 20)]
    engine.put(f"results.{FIRST_SEEN.name}", [*rows, *({**row, "event_date": DAYS[1]} for row in rows[::7])])
    ranked = {"mode": "compat", "ranked_by": "country", "position": 1, "score": 1.5, "users": 1, "events": 1}
    moments = (datetime.fromisoformat("2026-03-28 23:00:00.000001"), datetime.fromisoformat("2026-03-27 02:00"))
    engine.put(
        f"results.{RANKINGS_POPULAR.name}",
        [{"event_date": day, "as_of": at, **ranked} for day, at in zip(DAYS, moments, strict=False)],
    )
    moved = {"mode": "compat", "ranked_by": "country", "position": 1, "trend_direction": "up"}
    moved |= dict.fromkeys(("users_recent", "users_previous", "events_recent", "events_previous"), 1)
    engine.put(f"results.{RANKINGS_TRENDING.name}", [{"event_date": DAYS[1], "as_of": moments[1], **moved}])
    _reported(engine)
    cases_funnels.put(engine, DAYS[:3])
    found: dict[str, list[dict[str, Any]]] = {}
    for table in TABLES:
        name = f"results.{table.name}"
        found[name] = engine.rows(Query("stored", f"SELECT * FROM {name}"))
    noon = datetime.fromisoformat("2026-04-01 12:00")

    def ledger(moment: str, names: tuple[str, ...], days: list[date], late: int) -> list[dict[str, Any]]:
        return [
            {"table_name": name, "event_date": day, "rows": 5, moment: noon + timedelta(microseconds=k - late)}
            for name in names
            for k, day in enumerate(days)
        ]

    found["results.computed_days"] = [
        *ledger("computed_at", ("user_day", "daily_slices"), DAYS, 0),
        *ledger("computed_at", ("post_day", "first_seen"), DAYS[:4], -1),
        *ledger("computed_at", ("app_daily",), DAYS[1:3], -2),
    ]
    for row in found["results.computed_days"]:
        row["basis"] = "Asia/Tokyo" if row["event_date"] == DAYS[-1] else "UTC"
    # Before, at and after the moment of computing; and only half of the days known as loaded.
    found["events.loaded_days"] = [
        *ledger("loaded_at", ("feed_actions",), DAYS[:3], 1),
        *ledger("loaded_at", ("message_actions",), DAYS[1:3], -2),
    ]
    return found
