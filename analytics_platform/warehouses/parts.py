"""A part of a day: the rows of one window or moment, known by columns that say so.

Belongs here: which rows are of a part. Does not: storing them (each engine's own).
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from analytics_platform.metrics.tables import ResultTable, Type
from analytics_platform.warehouses.base import WarehouseError

if TYPE_CHECKING:
    import pyarrow as pa

Part = Mapping[str, datetime]


def naive(table: ResultTable, part: Part) -> Part:
    """The part with its moments as the table has them, naive UTC. ValueError for a column that is no moment of it."""
    moments = [name for name, kind in table.columns if kind is Type.TIME]
    for name in part:
        if name not in moments:
            raise ValueError(f"{table.name} has no moment {name!r}; it has {', '.join(moments) or 'none'}")
    return {name: at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at for name, at in part.items()}


def refuse_others(table: ResultTable, day: date, part: Part, rows: "pa.Table") -> None:
    """Raises WarehouseError when some of the rows are of another day or part."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not rows.num_rows:
        return
    fits = pa.chunked_array([pa.array([True] * rows.num_rows)])
    for name, value in {"event_date": day, **part}.items():
        column = rows[name]
        fits = pc.and_(fits, pc.fill_null(pc.equal(column, pa.scalar(value, column.type)), fill_value=False))
    strange = rows.num_rows - (pc.sum(fits).as_py() or 0)
    if strange:
        of = ", ".join(f"{name} {moment}" for name, moment in part.items())
        what = f"another day or part than {of}" if part else "another day"
        raise WarehouseError(f"{table.name} of {day}: {strange} of {rows.num_rows} rows are of {what}")
