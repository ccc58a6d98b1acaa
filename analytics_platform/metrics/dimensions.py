"""DIMENSIONS: what metrics are sliced by. To add a slice, add one entry; every table, check and export follows.

Belongs here: definitions only. Does not: metrics (`catalog.py`), SQL statements (`queries/`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from analytics_platform.metrics.events import METRIC_TABLES, Kind


@dataclass(frozen=True)
class Dimension:
    """One way to slice.

    `attributes` are columns of both event tables, taken from a user's last event of the day. `expression` is SQL over
    them that gives text or NULL; NULL and the loader's `unknown` read `unknown`. Without it the one attribute is used.
    `labelled` dimensions have their codes replaced by the labels of the settings.
    """

    name: str
    attributes: tuple[str, ...]
    about: str
    expression: str = ""
    labelled: bool = False

    @property
    def value(self) -> str:
        """The SQL expression that gives this dimension's value, or NULL."""
        return self.expression or f"CAST({self.attributes[0]} AS VARCHAR)"


TOTAL = "total"

DIMENSIONS: tuple[Dimension, ...] = (
    Dimension("gender", ("gender",), "gender, as the GENDER_LABELS setting names its codes", labelled=True),
    Dimension("age", ("age",), "age in whole years"),
    Dimension("os", ("os",), "operating system"),
    Dimension(
        "age_group",
        ("age",),
        "age in the bands of the dashboards",
        "CASE WHEN age < 0 THEN NULL WHEN age < 20 THEN '0-19' WHEN age < 30 THEN '20-29' WHEN age < 40 THEN '30-39' "
        "WHEN age < 50 THEN '40-49' WHEN age < 60 THEN '50-59' WHEN age >= 60 THEN '60+' END",
    ),
    Dimension("country", ("country",), "country"),
    Dimension("source", ("source",), "where the user came from: ads or organic"),
)


@dataclass(frozen=True)
class Attribute:
    """A column of facts/user_day that dimensions read, with the type the events give it."""

    name: str
    kind: Kind


def attributes(dimensions: Iterable[Dimension] = DIMENSIONS) -> tuple[Attribute, ...]:
    """The attributes that the dimensions need, each once, in order of first use."""
    shared = {c.name: c.kind for c in METRIC_TABLES[0].columns if not c.required}
    names = dict.fromkeys(name for d in dimensions for name in d.attributes)
    return tuple(Attribute(name, shared[name]) for name in names)


@dataclass(frozen=True)
class Labels:
    """Readable labels of coded attributes by dimension: `{"gender": {"1": "male", "0": "female"}}`."""

    by_dimension: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, dimension: str) -> Mapping[str, str]:
        """Code to label for that dimension; empty when its values are shown as they are."""
        return self.by_dimension.get(dimension, {})


_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check(dimensions: Iterable[Dimension]) -> tuple[Dimension, ...]:
    """The same dimensions, when they are consistent. ValueError names the entry otherwise."""
    dimensions = tuple(dimensions)
    known = {c.name for c in METRIC_TABLES[0].columns if not c.required}
    seen = {TOTAL}
    for dimension in dimensions:
        if not _NAME.fullmatch(dimension.name) or dimension.name in seen:
            raise ValueError(f"dimension {dimension.name!r}: the name is not usable or in the list twice")
        seen.add(dimension.name)
        missing = [a for a in dimension.attributes if a not in known]
        if missing or not dimension.attributes:
            raise ValueError(f"dimension {dimension.name!r}: no such attribute of the events: {missing or '(none)'}")
        if not dimension.expression and len(dimension.attributes) != 1:
            raise ValueError(f"dimension {dimension.name!r}: several attributes need an expression")
    return dimensions
