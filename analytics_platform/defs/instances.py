"""The Dagster instance of a sensor's tick.

Belongs here: keeping it. Does not: what ticks do with it. Dagster opens one anew for each tick that asks, which costs
36 ms of CPU, four times the rest of a quiet tick; its storages are safe to keep.
"""

import dagster as dg

_KEPT: dict[str, dg.DagsterInstance] = {}


def instance_of(context: dg.SensorEvaluationContext) -> dg.DagsterInstance:
    """The instance that the daemon ticks for, opened once a process; the given one where a test gives it."""
    ref = context.instance_ref
    if ref is None:
        return context.instance
    where = repr(ref)
    if where not in _KEPT:
        _KEPT[where] = dg.DagsterInstance.from_ref(ref)
    return _KEPT[where]
