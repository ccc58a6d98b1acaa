"""The ledgers that warehouses keep beside events and results, as tables that both engines of the contract can make.

Belongs here: their shape. Does not: when they are written (`warehouses/`).
"""

from analytics_platform.metrics.tables import ResultTable, Type


def _ledger(name: str, moment: str) -> ResultTable:
    columns = (("table_name", Type.TEXT), ("event_date", Type.DATE), ("rows", Type.TOTAL), (moment, Type.TIME))
    basis = (("basis", Type.TEXT),) if name == "computed_days" else ()
    return ResultTable(name, (*columns, *basis))


# loaded_days stands beside the events, computed_days beside the results.
LEDGERS = {
    "loaded_days": _ledger("loaded_days", "loaded_at"),
    "computed_days": _ledger("computed_days", "computed_at"),
}
