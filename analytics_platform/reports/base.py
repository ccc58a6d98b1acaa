"""What a report is: its name, cadence and needs, and how its figures become messages.

Belongs here: the Report type, and the template environment that reports share. Does not: any report's content, any
channel's limits, running (`defs/`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar
from zoneinfo import ZoneInfo

from analytics_platform import wording
from analytics_platform.cadence import Cadence, Period
from analytics_platform.language import Language
from analytics_platform.messages import Message, Text
from analytics_platform.queries import Query

Row = dict[str, object]
FrameT = TypeVar("FrameT")


class Reader(Protocol):
    """What a report may ask for: the rows of a query. Every warehouse is one."""

    def rows(self, query: Query) -> list[Row]:
        """The rows of a query whose answer is small."""
        ...


class NothingToReportError(Exception):
    """The period has no data to report. One sentence: what is missing and what to do."""


@dataclass(frozen=True)
class Rendering:
    """How a report is to read: language, time zone of its days, and the form of its tables."""

    language: Language
    zone: ZoneInfo
    complete: bool = True  # whether all data is there; if not, nothing is concluded from what moved
    csv_bom: bool = True  # a byte order mark before CSV, without which Excel takes UTF-8 for something else


@dataclass(frozen=True)
class Number:
    """A headline figure, kept when the report is delivered: later data is compared with it.

    `name` is English, as in the report's text; `share` is shown as percent.
    """

    name: str
    value: float | None
    share: bool = False


class Report(ABC, Generic[FrameT]):
    """One report. An instance per file in this folder, named REPORT, is all there is to add.

    `name` is the identifier in ledger, asset keys and files; `verb` what the command line calls it. `sources` are the
    event tables whose data must be complete; `tables` the result tables it reads, `lookback_days` how many days before
    its period it also reads (`whole_history`: all of them, since START_DATE). `syncs` are the asset keys outside the
    warehouse's days that must have been brought up to date after the period's end.
    """

    name: ClassVar[str]
    verb: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str]
    cadence: ClassVar[Cadence]
    sources: ClassVar[tuple[str, ...]]
    tables: ClassVar[tuple[str, ...]]
    syncs: ClassVar[tuple[str, ...]] = ()
    lookback_days: ClassVar[int] = 0
    whole_history: ClassVar[bool] = False

    @abstractmethod
    def read(self, reader: Reader, period: Period, zone: ZoneInfo) -> FrameT:
        """The figures of the period. Raises NothingToReportError when there is nothing to say."""

    @abstractmethod
    def numbers(self, frame: FrameT) -> tuple[Number, ...]:
        """The headline figures, in the order of the text."""

    def draw(self, frame: FrameT, rendering: Rendering) -> Mapping[str, bytes]:  # noqa: ARG002
        """Charts and tables by file name; none by default."""
        return {}

    @abstractmethod
    def compose(self, frame: FrameT, drawn: Mapping[str, bytes], rendering: Rendering) -> Sequence[Message]:
        """The messages, the text first. `drawn` is what `draw` gave."""


def fill(template: str, language: Language, **values: object) -> Text:
    """The text of `templates/<template>.html.j2`, with `language` at hand and every value escaped."""
    return wording.fill("reports/templates", template, language, **values)
