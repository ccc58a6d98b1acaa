"""What the Dagster UI shows of a materialisation: row counts, windows, the SQL, previews, pictures.

Belongs here: turning results into Dagster metadata. Does not: computing any of it.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from analytics_platform.metrics.tables import ResultTable
from analytics_platform.queries import Query

PREVIEW_ROWS = 40


def column_schema(table: ResultTable) -> dict[str, dg.TableSchema]:
    """The table's columns, for the asset's page."""
    return {"dagster/column_schema": dg.TableSchema([dg.TableColumn(n, t.value) for n, t in table.columns])}


def day_metadata(rows: int, query: Query) -> dict[str, dg.MetadataValue]:
    """Rows written for a day, the UTC window they cover, and the statement that made them."""
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(rows),
        "query": dg.MetadataValue.md(f"```sql\n{query.sql.strip()}\n```"),
    }
    for name in ("day_start", "day_end"):
        moment = query.params.get(name)
        if isinstance(moment, datetime):
            metadata[f"window_{name.removeprefix('day_')}"] = dg.MetadataValue.timestamp(moment.replace(tzinfo=UTC))
    return metadata


def markdown(rows: Sequence[Mapping[str, object]], limit: int = PREVIEW_ROWS) -> str:
    """The first rows as a Markdown table, numbers readable, missing values `n/a`."""
    if not rows:
        return "no rows"
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows[:limit]]
    if len(rows) > limit:
        lines.append(f"\n{len(rows) - limit} more rows")
    return "\n".join(lines)


def preview(rows: Sequence[Mapping[str, object]]) -> dg.MetadataValue:
    """The first rows, for the asset's page."""
    return dg.MetadataValue.md(markdown(rows))


def picture(png: bytes, alternative: str) -> dg.MetadataValue:
    """A picture inside the asset's page."""
    encoded = base64.b64encode(png).decode("ascii")
    return dg.MetadataValue.md(f"![{alternative}](data:image/png;base64,{encoded})")


def _cell(value: object) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value).replace("|", "\\|")
