"""What is told: one file a report, frames in, messages out. Texts are templates in `templates/`.

To add a report, add a file here that defines `REPORT`; graph, command line, schedule and UI find it.
"""

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any

from analytics_platform.reports.base import Report


@lru_cache(maxsize=1)
def all_reports() -> Mapping[str, Report[Any]]:
    """Every report of this folder by name. ValueError when two share a name or a verb."""
    found: dict[str, Report[Any]] = {}
    for module in sorted(m.name for m in iter_modules(__path__)):
        report = getattr(import_module(f"{__name__}.{module}"), "REPORT", None)
        if report is None:
            continue
        if report.name in found or report.verb in {r.verb for r in found.values()}:
            raise ValueError(f"reports/{module}.py: there is another report {report.name!r} (or verb {report.verb!r})")
        found[report.name] = report
    return MappingProxyType(found)
