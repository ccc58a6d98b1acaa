"""How the site's tables and columns are called.

Belongs here: our names for them, and theirs after prefix and mapping. Does not: statements, settings.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

# Ours: the tables with the columns that are read.
TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "simpletest_users": ("Id", "Email", "TestId", "Datep", "Status"),
    "simpletest_test": ("Id", "LangId"),
    "simpletest_lang": ("Id",),
    "cert_payment": ("id", "id_result", "id_status", "datetime_payment"),
    "cert_result": ("id", "id_user", "id_test"),
    "cert_users": ("id", "email"),
    "cert_test": ("id", "type"),
}
STATUS: Final = "simpletest_users.Status"  # the one column that a site may lack
_PREFIXED: Final = frozenset(table for table in TABLES if table.startswith("cert_"))
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_EXAMPLES: Final = "simpletest_users=quiz_results or simpletest_users.Datep=taken_on"


@dataclass(frozen=True)
class Names:
    """The site's names by ours: `cert_payment`, `cert_payment.id_status`. Every one is letters, digits and _ only."""

    _theirs: Mapping[str, str] = field(default_factory=dict)

    def table(self, ours: str) -> str:
        """The name of a table. KeyError for one that is not ours."""
        return self._theirs[ours]

    def column(self, ours: str) -> str:
        """The name of a column, without its table's. KeyError for one that is not ours."""
        return self._theirs[ours]


def parse_names(prefix: str = "modx_", mapping: Mapping[str, str] | None = None) -> Names:
    """Names with `prefix` before those of the certificates' tables, and with those that `mapping` gives instead.

    Keys of `mapping` are ours, in any case, with or without the prefix; its values are whole names of the site.
    ValueError, in one sentence, for a key that is none of ours, for one given twice, and for what cannot be a name.
    """
    if prefix and not _IDENTIFIER.fullmatch(prefix):
        raise ValueError(
            f"the prefix of the site's tables is letters, digits and _ only, such as modx_, not {prefix!r}"
        )
    theirs = {}
    for table, columns in TABLES.items():
        theirs[table] = prefix + table if table in _PREFIXED else table
        theirs.update({f"{table}.{column}": column for column in columns})
    keys = {name.lower(): name for name in theirs}
    keys |= {(prefix + name).lower(): name for name in theirs if name.partition(".")[0] in _PREFIXED}
    given: dict[str, str] = {}
    for key, name in (mapping or {}).items():
        ours = keys.get(key.strip().lower())
        if ours is None:
            raise ValueError(f"{key!r} is no table or column that is read from the site; {_known(key)}")
        if ours in given:
            raise ValueError(f"{ours} is given two names, {given[ours]!r} and {name!r}; give it one")
        if not _IDENTIFIER.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot be the name of {ours}: letters, digits and _ only, at most 64; "
                f"write pairs such as {_EXAMPLES}"
            )
        given[ours] = name
    return Names(theirs | given)


def _known(key: str) -> str:
    """What might have been meant: the table's columns, or the tables."""
    table = key.strip().lower().partition(".")[0]
    for name, columns in TABLES.items():
        if table.endswith(name) and "." in key:
            return f"{name} has {', '.join(columns)}"
    return f"there are {', '.join(TABLES)}, and their columns such as {STATUS}"
