"""DETECTORS: what judges a series, by name. To add one, add a file and its entry here.

Belongs here: the names and where each detector is. Does not: any detector; numpy and scikit-learn are imported only
when one is asked for.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from analytics_platform.detectors.base import Detector

DEFAULT = "seasonal"

# Name to module; each has a factory `make()`.
_MODULES: Mapping[str, str] = {
    "seasonal": "seasonal",
    "lof": "lof",
    "corridor": "corridor",
}
DETECTORS = tuple(_MODULES)


def detector(name: str) -> "Detector":
    """The detector of that name, with its documented parameters. ValueError names the ones there are."""
    if name not in _MODULES:
        raise ValueError(f"no detector is called {name!r}: use one of {', '.join(DETECTORS)}")
    return cast("Detector", import_module(f"analytics_platform.detectors.{_MODULES[name]}").make())
