"""DETECTORS: what judges a series, by name. To add one, add a file and its entry here.

Belongs here: the names and where each detector is. Does not: any detector; numpy and scikit-learn are imported only
when one is asked for.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from analytics_platform.detectors.base import Detector

DEFAULT = "seasonal"

# Name to module; each has a factory `make()`. One whose thresholds depend on the metric has `make_for(metrics)` too.
# `fitted` is none of them: it judges again what the default found, and only with a model of its own.
_MODULES: Mapping[str, str] = {
    "seasonal": "seasonal",
    "lof": "lof",
    "corridor": "corridor",
}
DETECTORS = tuple(_MODULES)


def detector(name: str, metrics: Sequence[str] = ()) -> "Detector":
    """The detector of that name, with its documented parameters. ValueError names the ones there are.

    `metrics`: names in the catalogue of what the series of its blocks count, in their order. A detector that knows
    thresholds for single metrics uses them then.
    """
    if name not in _MODULES:
        raise ValueError(f"no detector is called {name!r}: use one of {', '.join(DETECTORS)}")
    module = import_module(f"analytics_platform.detectors.{_MODULES[name]}")
    if metrics and hasattr(module, "make_for"):
        return cast("Detector", module.make_for(metrics))
    return cast("Detector", module.make())
