"""What people said of incidents, as it was said: the memory of thresholds and baselines.

Belongs here: reading judgements. Does not: giving one (`incidents.py`, together with the incident it is about), what
follows from them (`alerts/feedback.py`, `alerts/baseline.py`).
"""

from datetime import datetime
from typing import TYPE_CHECKING

from analytics_platform.alerts.feedback import Judgement, Verdict
from analytics_platform.alerts.incident_json import series_words
from analytics_platform.metrics.series import SeriesKey
from analytics_platform.state.database import Database
from analytics_platform.state.entries import utc

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Feedback:
    """The judgements of one database. Moments are aware. Methods raise StateError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def judgements(self, since: datetime | None = None) -> list[Judgement]:
        """All of them, also those that were changed later, oldest first; from `since` on."""
        from sqlalchemy import select

        from analytics_platform.state.models import INCIDENT_FEEDBACK

        query = select(INCIDENT_FEEDBACK).order_by(INCIDENT_FEEDBACK.c.moment, INCIDENT_FEEDBACK.c.id)
        if since is not None:
            query = query.where(INCIDENT_FEEDBACK.c.moment >= utc(since))
        with self._database.read() as con:
            return [
                Judgement(
                    row["incident"],
                    Verdict(row["verdict"]),
                    row["moment"],
                    row["by"],
                    {SeriesKey(*words): float(score) for *words, score in row["scores"]},
                )
                for row in con.execute(query).mappings()
            ]

    def forget(self, before: datetime) -> int:
        """Delete those from before that moment; how many. Thresholds remember 60 days, baselines as far as they go."""
        from sqlalchemy import delete

        from analytics_platform.state.models import INCIDENT_FEEDBACK

        with self._database.write() as con:
            return con.execute(delete(INCIDENT_FEEDBACK).where(INCIDENT_FEEDBACK.c.moment < utc(before))).rowcount


def add_judgement(con: "Connection", judgement: Judgement) -> None:
    """Within the transaction that changes its incident."""
    from sqlalchemy import insert

    from analytics_platform.state.models import INCIDENT_FEEDBACK

    con.execute(
        insert(INCIDENT_FEEDBACK).values(
            incident=judgement.incident,
            verdict=judgement.verdict.value,
            moment=judgement.moment,
            by=judgement.by,
            # A score without a bound is no JSON; as a text, it is read back the same.
            scores=[[*series_words(series), str(score)] for series, score in judgement.scores.items()],
        )
    )
