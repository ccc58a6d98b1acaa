"""The daily report on the whole app: what stands out, 17 figures, the audience, four pages of charts, the full table.

Belongs here: what the report reads, draws and sends. Does not: wording of figures (`app_figures.py`), the table's form
(`app_csv.py`), drawing (`charts/app_daily.py`), SQL (`metrics/app_queries.py`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar
from zoneinfo import ZoneInfo

from analytics_platform.cadence import Cadence, Frequency, Period
from analytics_platform.language import Language
from analytics_platform.messages import Album, Document, Message, Picture
from analytics_platform.metrics.app import SHARES, AppFrame, Service, Slice
from analytics_platform.metrics.dimensions import TOTAL
from analytics_platform.metrics.moves import moves, stands_out
from analytics_platform.queries import Query
from analytics_platform.reports import app_csv, app_figures
from analytics_platform.reports.base import NothingToReportError, Number, Reader, Rendering, Report, Row, fill

# Em dashes join to one line on a phone and are half as wide as its screen; 50 hyphens would break into two.
RULE = "—" * 14

TABLE, CHARTS = "table.csv", "charts.pdf"
_EVER = date(1970, 1, 1)  # before any event: the table begins with the first day there is
_HEADLINES: tuple[tuple[Service, str], ...] = (
    (Service.APP, "dau"),
    (Service.APP, "actions"),
    (Service.FEED, "dau"),
    (Service.FEED, "views"),
    (Service.FEED, "likes"),
    (Service.FEED, "ctr"),
    (Service.FEED, "new_users"),
    (Service.MESSAGE, "dau"),
    (Service.MESSAGE, "actions"),
)


@dataclass(frozen=True)
class AppInputs:
    """What the report says of a day: `frame` for text and charts, `table_rows` for the table since the first day.

    `table_rows` may be gone through more than once, and is read only when it is: years of rows are not needed to
    compare a few figures. Its rows have event_date, service, dimension, dimension_value and the counts of `Figures`.
    """

    frame: AppFrame
    table_rows: Iterable[Row]


@dataclass(frozen=True)
class _Stored:
    """The rows of a query, read when they are gone through."""

    reader: Reader
    query: Query

    def __iter__(self) -> Iterator[Row]:
        return iter(self.reader.rows(self.query))


class AppDaily(Report[AppInputs]):
    """Feed, messenger and both together, for one day against the day before and the week before."""

    name: ClassVar[str] = "app_daily"
    verb: ClassVar[str] = "app"
    title: ClassVar[str] = "The app"
    about: ClassVar[str] = "Feed, chat and both together: what stands out, 17 figures, the audience, charts, the table."
    cadence: ClassVar[Cadence] = Cadence(Frequency.DAILY)
    sources: ClassVar[tuple[str, ...]] = ("feed_actions", "message_actions")
    tables: ClassVar[tuple[str, ...]] = ("app_daily", "post_day", "first_seen", "user_day", "daily_slices")
    lookback_days: ClassVar[int] = 30
    whole_history: ClassVar[bool] = True  # first days and all-time totals

    def read(self, reader: Reader, period: Period, zone: ZoneInfo) -> AppInputs:  # noqa: ARG002 - days are local already
        """The day and the 30 before it. Raises NothingToReportError when it has no figures or no events."""
        from analytics_platform.metrics.app_queries import app_table
        from analytics_platform.metrics.app_reading import read_app_frame

        day = period.last
        frame = read_app_frame(reader, day)
        dau = frame.at(Slice(Service.APP), day).dau
        if dau is None:
            raise NothingToReportError(f"{day} has not been computed: materialise frames/app_daily for it.")
        if not dau:
            raise NothingToReportError(
                f"{day} has neither feed nor message events, so there is nothing to report: load them, then "
                "materialise facts/user_day and what follows for that day."
            )
        return AppInputs(frame, _Stored(reader, app_table(_EVER, day)))

    def numbers(self, frame: AppInputs) -> tuple[Number, ...]:
        """The main ones of the 17 figures."""
        english, of = Language("en"), frame.frame
        return tuple(
            Number(
                app_figures.figure_name(service, metric, english),
                of.at(Slice(service), of.day).value(metric),
                share=metric in SHARES,
            )
            for service, metric in _HEADLINES
        )

    def draw(self, frame: AppInputs, rendering: Rendering) -> Mapping[str, bytes]:
        """Four pages as `<name>.png` in the order of reading, all of them as `charts.pdf`, and `table.csv`."""
        from analytics_platform.charts import app_daily as charts

        of = frame.frame
        drawn = charts.draw(of, moves(of) if rendering.complete else (), rendering.language)
        return {
            **{f"{panel.name}.png": panel.png for panel in drawn.panels},
            CHARTS: drawn.pdf,
            TABLE: app_csv.write(frame.table_rows, rendering.language, bom=rendering.csv_bom),
        }

    def compose(self, frame: AppInputs, drawn: Mapping[str, bytes], rendering: Rendering) -> Sequence[Message]:
        """Text, the pages as an album, the table, the pages as PDF."""
        from analytics_platform.charts.app_charts import group_name

        of, language = frame.frame, rendering.language
        found = moves(of) if rendering.complete else ()
        most = stands_out(of, found)
        yesterday, week_ago = language.day(of.yesterday), language.day(of.week_ago)
        blocks = app_figures.blocks(of, found, language)
        text = fill(
            self.name,
            language,
            frame=of,
            stands_out=app_figures.stands_out_sentence(of, most, language) if most else "",
            odd_slices=len({move.where for move in found if move.unusual}),
            complete=rendering.complete,
            told_apart=any(move.where.dimension == TOTAL for move in found),
            format=language.say(
                "Format: figure = value (% vs {yesterday}; % vs {week_ago})", yesterday=yesterday, week_ago=week_ago
            ),
            blocks=blocks,
            marks=sorted({figure.mark for block in blocks for figure in block.figures if figure.mark}),
            audience_heading=language.say("Audience (% vs {day})", day=week_ago),
            audience=app_figures.audience(of, language),
            rule=RULE,
        )
        period = language.period(of.days[0], of.day)
        pages = tuple(
            Picture(
                f"{self.name}_{of.day}_{name}", content, f"{group_name(name.removesuffix('.png'), language)}, {period}"
            )
            for name, content in drawn.items()
            if name.endswith(".png")
        )
        first = app_csv.first_day(drawn[TABLE]) or of.day
        table = language.say("Every figure by slice and day, {period}", period=language.period(first, of.day))
        return (
            text,
            *((Album(pages),) if pages else ()),
            Document(f"{self.name}_{first}_{of.day}.csv", drawn[TABLE], table),
            Document(f"{self.name}_{of.day}.pdf", drawn[CHARTS], language.say("The same charts to print or zoom")),
        )


REPORT = AppDaily()
