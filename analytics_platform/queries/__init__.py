"""The only SQL: one statement a file, standard SQL with bound parameters (`$name`), the same rows on both engines.

A file is a Jinja2 template only where the catalogue of metrics and dimensions shapes the statement; values never enter
the text, they are bound. Tables are written `events.<table>` and `results.<table>`; a warehouse knows where those live.

Where the standard text is slow on ClickHouse (it evaluates a CTE anew at each use), `<name>.clickhouse.sql` stands
beside it: the same parameters, the same rows, compared by the contract suite.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

Value = str | int | float | None | object


@dataclass(frozen=True)
class Query:
    """One statement and the values bound to its `$name` parameters. `name` is the file's, for logs and errors.

    `clickhouse` is its text for ClickHouse where that has one of its own.
    """

    name: str
    sql: str
    params: Mapping[str, Value] = field(default_factory=dict)
    clickhouse: str | None = None


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # autoescape is for HTML; SQL text is made of catalogue identifiers only, values are bound parameters.
    return Environment(
        loader=PackageLoader("analytics_platform", "queries"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701
    )


def compose(name: str, params: Mapping[str, Value] | None = None, **shape: object) -> Query:
    """The statement in `<name>.sql`, shaped by catalogue entries (`shape`) and with its values bound (`params`)."""
    environment = _environment()
    own = f"{name}.clickhouse.sql"
    return Query(
        name,
        environment.get_template(f"{name}.sql").render(**shape),
        dict(params or {}),
        environment.get_template(own).render(**shape) if own in _templates() else None,
    )


@lru_cache(maxsize=1)
def _templates() -> frozenset[str]:
    return frozenset(_environment().list_templates())
