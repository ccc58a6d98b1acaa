"""Detectors fitted on this product's labels: every version that was trained, and the metrics each is used for.

Belongs here: storing and finding them. Does not: training (`detectors/fitted_training.py`), what a model
is: plain JSON.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from analytics_platform.state.database import Database, StateError
from analytics_platform.state.entries import utc

if TYPE_CHECKING:
    from sqlalchemy import RowMapping


@dataclass(frozen=True)
class DetectorModel:
    """A trained detector. `trained_at`: aware, UTC. `body`: the model as JSON. `used_for`: names of metrics."""

    version: int
    name: str
    trained_at: datetime
    body: Mapping[str, Any]
    used_for: tuple[str, ...] = ()


class DetectorModels:
    """The models of one database. Moments are aware. Methods raise StateError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, body: Mapping[str, Any], now: datetime, used_for: Collection[str] = ()) -> DetectorModel:
        """Store a new version; metrics it is used for leave the versions that had them."""
        from sqlalchemy import insert

        from analytics_platform.state.models import DETECTOR_MODELS

        values = {"name": name, "trained_at": utc(now), "body": dict(body), "used_for": []}
        with self._database.write() as con:
            added = insert(DETECTOR_MODELS).values(**values).returning(DETECTOR_MODELS.c.version)
            version = int(con.execute(added).scalar_one())
        return self.use(version, used_for)

    def use(self, version: int, metrics: Collection[str]) -> DetectorModel:
        """That version, and no other, is used for these metrics and for no further ones.

        StateError for an unknown version.
        """
        from sqlalchemy import select, update

        from analytics_platform.state.models import DETECTOR_MODELS

        wanted, found = sorted(set(metrics)), None
        with self._database.write() as con:
            query = select(DETECTOR_MODELS).order_by(DETECTOR_MODELS.c.version).with_for_update()
            for row in con.execute(query).mappings().all():
                mine = row["version"] == version
                used = wanted if mine else [metric for metric in row["used_for"] if metric not in wanted]
                if mine:
                    found = _model({**row, "used_for": used})
                if used != row["used_for"]:
                    this = DETECTOR_MODELS.c.version == row["version"]
                    con.execute(update(DETECTOR_MODELS).where(this).values(used_for=used))
            if found is None:
                raise StateError(f"there is no fitted detector of version {version}")
        return found

    def all(self) -> list[DetectorModel]:
        """Every version, the newest first."""
        from sqlalchemy import select

        from analytics_platform.state.models import DETECTOR_MODELS

        query = select(DETECTOR_MODELS).order_by(DETECTOR_MODELS.c.version.desc())
        with self._database.read() as con:
            return [_model(row) for row in con.execute(query).mappings()]

    def used(self) -> dict[str, DetectorModel]:
        """The model in use, by metric."""
        return {metric: model for model in self.all() for metric in model.used_for}


def _model(row: "RowMapping | Mapping[str, Any]") -> DetectorModel:
    return DetectorModel(row["version"], row["name"], row["trained_at"], row["body"], tuple(row["used_for"]))
