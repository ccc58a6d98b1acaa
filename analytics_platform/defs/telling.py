"""Incidents reach their readers: one card an incident and chat, edited while it lives; and the note of the week.

Belongs here: which revisions are to be told, making their cards, handing them over. Does not: what a card says
(`alerts/telling.py`, `charts/alert.py`), sending (`delivery.py`), when there is something to tell (`defs/alerts.py`).

A revision is handed over to the delivery ledger before it is marked as said: a process that is killed in between hands
over the same again, which changes nothing. Text always goes: what breaks in an explanation or a picture becomes a
problem of the owner's, and the card goes without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from analytics_platform.alerts import telling
from analytics_platform.alerts.explanation import Explanation, sentences
from analytics_platform.alerts.feedback import precision, thresholds
from analytics_platform.alerts.incident import Incident, Kind, Status
from analytics_platform.alerts.telling_views import IncidentView, LateView, WeeklyView
from analytics_platform.channels.base import ChannelError, Recipient
from analytics_platform.defs.followed import rules_of
from analytics_platform.defs.incident_views import Desk, Scene
from analytics_platform.defs.office import ALERTS, Office, note
from analytics_platform.defs.series import Plan
from analytics_platform.delivery import Delivered, Parcel
from analytics_platform.language import Language
from analytics_platform.messages import Card, Picture, Text
from analytics_platform.state.owners import Owner
from analytics_platform.warehouses.base import Warehouse

if TYPE_CHECKING:
    from analytics_platform.charts.alert import AlertFrame

_WEEK = timedelta(weeks=1)
# What is told of an incident is told for so long; then it is history.
_WORTH_TELLING = timedelta(days=2)
T = TypeVar("T")
# Period of the delivery, and from when to when.
Week = tuple[str, datetime, datetime]


@dataclass
class Told:
    """What a round of telling came to. `delivered`: by period of the topic."""

    lines: list[str] = field(default_factory=list)
    troubled: list[str] = field(default_factory=list)
    delivered: dict[str, Delivered] = field(default_factory=dict)
    explanations: dict[int, Explanation] = field(default_factory=dict)
    pictures: dict[int, bytes] = field(default_factory=dict)


def to_tell(office: Office, moment: datetime) -> list[Incident]:
    """The incidents of which there is something new to tell, oldest first.

    What was never loud (muted, in quiet hours) is held back until it is; when it is over before, nobody hears of it.
    """
    ledger = office.ledgers.incidents
    found = []
    for incident in ledger.unsaid():
        if incident.id is None:
            continue
        silent = not incident.loud_revision
        old = incident.over and (incident.closed_at or incident.last_bad) < moment - _WORTH_TELLING
        if (silent and incident.over) or old:
            ledger.said(incident.id, incident.revision, moment)
        elif not silent:
            found.append(incident)
    return found


def week_to_tell(office: Office, moment: datetime) -> Week | None:
    """The period of the note, and the week it is about, when it is due: Mondays from REPORT_TIME on, if anything was.

    The week is the one before, Monday to Monday in TIMEZONE.
    """
    settings = office.settings
    local = moment.astimezone(settings.zone)
    monday = local.date() - timedelta(days=local.weekday())
    due = datetime.combine(monday, settings.report_time, tzinfo=settings.zone)
    if not due <= moment < due + timedelta(days=1):
        return None
    last = datetime.combine(monday, datetime.min.time(), tzinfo=settings.zone)
    first = datetime.combine(monday - timedelta(days=7), datetime.min.time(), tzinfo=settings.zone)
    period = f"week {first:%Y-%m-%d}"
    if office.ledgers.deliveries.parts(ALERTS, period):
        return None
    anything = any(one.loud_revision for one in office.ledgers.incidents.listing(first - _WEEK, last))
    return (period, first, last) if anything else None


@dataclass
class Teller:
    """Tells what there is to tell, in every language that is wanted."""

    office: Office
    warehouse: Warehouse
    owner: Owner

    def tell(self, moment: datetime, only: int | None = None) -> Told:
        """Everything new, each incident by its own card. `only`: that incident alone."""
        told = Told()
        wanted = [one for one in to_tell(self.office, moment) if only in (None, one.id)]
        week = week_to_tell(self.office, moment) if only is None else None
        if not wanted and week is None:
            return told
        try:
            recipients = self.office.recipients(ALERTS)
        except ChannelError as error:
            self.office.ledgers.problems.record("alerts", "delivery", str(error), moment)
            told.troubled.append(str(error))
            return told
        self.office.ledgers.problems.resolve("alerts", moment, "somebody gets them", kind="delivery")
        desk = self._desk(moment)
        for incident in wanted:
            try:
                self._incident(desk, incident, recipients, moment, told)
            except Exception as error:  # noqa: BLE001 - one incident's error never keeps another from being told
                text = f"{type(error).__name__}: {error}"
                self.office.ledgers.problems.record(f"alerts {incident.id}", "telling", text, moment)
                told.troubled.append(f"{incident.id}: {text}")
        if week is not None:
            self._week(week, recipients, moment, told)
        return told

    def _desk(self, moment: datetime) -> Desk:
        settings, ledgers = self.office.settings, self.office.ledgers
        late = [one for one in ledgers.incidents.open() if one.kind is Kind.LATE_DATA and one.status is Status.OPEN]
        rules = rules_of(settings, ledgers, moment)
        return Desk(self.warehouse, Plan.of(settings), settings, rules, moment, {one.source for one in late})

    def _incident(
        self, desk: Desk, incident: Incident, recipients: Sequence[Recipient], moment: datetime, told: Told
    ) -> None:
        if incident.id is None:
            return
        cards = self.cards(desk, incident, told)
        # Each revision has a name of its own, so that handing it over twice changes nothing. Whoever has no earlier one
        # gets it whole.
        first, period = str(incident.id), f"{incident.id} r{incident.revision}"
        if incident.revision == 1:
            parcel = Parcel(ALERTS, first, cards, self.office.patience)
        else:
            parcel = Parcel(ALERTS, period, cards, self.office.patience, edits=first, loud=incident.loud)
        self._send(parcel, recipients, moment, told, lambda: self._said(incident, moment))

    def _said(self, incident: Incident, moment: datetime) -> None:
        if incident.id is not None:
            self.office.ledgers.incidents.said(incident.id, incident.revision, moment)

    def cards(self, desk: Desk, incident: Incident, told: Told) -> dict[str, tuple[Card, ...]]:
        """The card in every language that is wanted."""
        scene = Scene(desk, incident)
        explanation = self._best_effort(incident, "explanation", desk.moment, scene.explanation)
        frame = self._best_effort(incident, "chart", desk.moment, scene.frame)
        if explanation is not None and incident.id is not None:
            told.explanations[incident.id] = explanation
        made: dict[str, tuple[Card, ...]] = {}
        for code in self.office.languages(ALERTS):
            language = Language(code)
            view = self._view(scene, language, explanation)
            png = self._drawn(incident, frame, language, desk.moment)
            picture = None if png is None else Picture(f"alert_{incident.id}.png", png)
            if png is not None:
                told.pictures.setdefault(incident.id or 0, png)
            zone = self.office.settings.zone
            made[code] = (Card(telling.text(view, language, zone), picture, telling.notice(view, language, zone)),)
            if len(made) == 1:  # in the home's own language
                told.lines.append(_line(view, made[code][0].text))
        return made

    def _drawn(
        self, incident: Incident, frame: "AlertFrame | None", language: Language, moment: datetime
    ) -> bytes | None:
        from analytics_platform.charts import alert

        if frame is None:
            return None
        return self._best_effort(incident, "chart", moment, lambda: alert.draw(frame, language))

    def _view(self, scene: Scene, language: Language, explanation: Explanation | None) -> IncidentView | LateView:
        def full() -> IncidentView | LateView:
            return scene.view(language, explanation)

        read = self._best_effort(scene.incident, "figures", scene.desk.moment, full)
        if read is not None:
            return read
        return scene.view(language, explanation, bare=True)

    def _best_effort(self, incident: Incident, what: str, moment: datetime, make: Callable[[], T]) -> T | None:
        subject = f"alerts {incident.id}"
        try:
            return make()
        except Exception as error:  # noqa: BLE001 - text always goes: an alert without its picture beats none
            text = f"the {what} could not be made, the alert went without it: {type(error).__name__}: {error}"
            self.office.ledgers.problems.record(subject, what, text, moment)
            return None

    def _week(self, week: Week, recipients: Sequence[Recipient], moment: datetime, told: Told) -> None:
        period, first, last = week
        ledgers, settings = self.office.ledgers, self.office.settings
        incidents = ledgers.incidents.listing(first - _WEEK, last)
        late = [one for one in incidents if one.kind is Kind.LATE_DATA and first <= one.started < last]
        factors = thresholds(ledgers.feedback.judgements(), moment)
        view = WeeklyView(precision(incidents, first, last), factors, len(late))
        texts: dict[str, tuple[Text, ...]] = {
            code: (telling.weekly(view, Language(code), settings.zone),) for code in self.office.languages(ALERTS)
        }
        self._send(Parcel(ALERTS, period, texts, self.office.patience), recipients, moment, told)

    def _send(
        self,
        parcel: Parcel,
        recipients: Sequence[Recipient],
        moment: datetime,
        told: Told,
        handed_over: Callable[[], None] | None = None,
    ) -> None:
        post = self.office.post
        post.hand_over(parcel, recipients)
        if handed_over:
            handed_over()
        delivered = post.send(parcel.topic, parcel.period, recipients, self.owner)
        note(self.office.ledgers, parcel.topic, parcel.period, delivered, moment)
        told.delivered[parcel.period] = delivered
        if summary := delivered.summary():
            told.troubled.append(f"{parcel.topic} {parcel.period}: {summary}")


def _line(view: IncidentView | LateView, text: Text) -> str:
    return f"{view.id}: {text.plain.splitlines()[0]}"


def said_in_words(explanation: Explanation) -> str:
    """For a log and the UI."""
    return " ".join(sentences(explanation, Language("en")))
