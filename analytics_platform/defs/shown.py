"""What the Dagster UI shows of a materialisation: row counts, windows, the SQL, previews, pictures.

Belongs here: turning results into Dagster metadata. Does not: computing any of it.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from analytics_platform.delivery import name as recipient_name
from analytics_platform.metrics.catalog import Metric
from analytics_platform.metrics.dimensions import Dimension
from analytics_platform.metrics.tables import ResultTable
from analytics_platform.queries import Query
from analytics_platform.state.parts import Part, State

# The UI shows Markdown in the page up to here, and behind a click beyond.
_INLINE_CHARACTERS = 1000
_KEYS = {
    "event_date": "the local reporting day",
    "user_id": "the user",
    "dimension": "what the metrics are sliced by, or total",
    "dimension_value": "the slice",
    "as_of": "the moment (UTC) up to which events were ranked",
    "mode": "normalised or compat (RANKING_MODE)",
    "ranked_by": "country or category",
    "video_id": "a video at the top of the group; empty in the group's own row",
    "position": "the place among groups, or among the group's videos",
    "score": "weights of events, less with age; normalised: per day",
    "completion_rate": "mean share that was watched, of views that have one",
    "velocity_percent": "change of the rate against the window before",
    "trend_direction": "up, down or stable",
    "p_value": "how probable such a change is by chance; empty where it was not tested",
    "window_start": "first moment of the window (UTC)",
    "window_end": "its end (UTC), not included",
    "uuid": "of visitor and window: the same at every run",
    "n_interactions": "events in the window",
    "timestamp": "when the report was made (UTC)",
    "entry_id": "who entered; the address stays in the funnels' own tables",
    "funnel_type": "language or non_language",
    "entered_at": "moment of entry (UTC)",
    "seconds_to_purchase": "from the entry; empty without a purchase that counts",
    "already_customer": "had bought before the entry, so was not written to",
    "attributes_time": "time (UTC) of the user's own last event of the day; none for users who only received",
}


def column_schema(
    table: ResultTable, metrics: Iterable[Metric] = (), dimensions: Iterable[Dimension] = ()
) -> dict[str, dg.TableSchema]:
    """The table's columns and what they mean, for the asset's page."""
    about = {**_KEYS, **{d.name: d.about for d in dimensions}, **{m.name: m.about for m in metrics}}
    columns = [dg.TableColumn(name, kind.value, about.get(name)) for name, kind in table.columns]
    return {"dagster/column_schema": dg.TableSchema(columns)}


def day_metadata(rows: int, query: Query, engine: str) -> dict[str, dg.MetadataValue]:
    """Rows written for a day, the UTC window they cover, and the statement by which that engine made them."""
    text = (query.clickhouse if engine == "clickhouse" else None) or query.sql
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(rows),
        "query": dg.MetadataValue.md(f"```sql\n{text.strip()}\n```"),
    }
    for name in ("day_start", "day_end"):
        moment = query.params.get(name)
        if isinstance(moment, datetime):
            metadata[f"window_{name.removeprefix('day_')}"] = dg.MetadataValue.timestamp(moment.replace(tzinfo=UTC))
    return metadata


def markdown(rows: Sequence[Mapping[str, object]], limit: int = 500) -> str:
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
    """As many of the first rows as the UI shows without a click."""
    count = len(rows)
    while count > 1 and len(markdown(rows[:count])) >= _INLINE_CHARACTERS:
        count -= 1
    return dg.MetadataValue.md(markdown(rows[:count]))


def picture(png: bytes, alternative: str) -> dg.MetadataValue:
    """A picture inside the asset's page."""
    encoded = base64.b64encode(png).decode("ascii")
    return dg.MetadataValue.md(f"![{alternative}](data:image/png;base64,{encoded})")


def receipts_table(parts: Sequence[Part]) -> dict[str, dg.MetadataValue]:
    """Who got what when, a line a recipient: what has not arrived comes first."""
    lines: dict[tuple[str, str, str], list[Part]] = {}
    for part in parts:
        lines.setdefault(part.recipient, []).append(part)
    rows = []
    for found in lines.values():
        sent = [part for part in found if part.state is State.SENT]
        rest = _not_arrived([part for part in found if part not in sent])
        notes = [f"{part.part}: {part.error}" for part in sent if part.error]
        last = max((part.sent_at for part in sent if part.sent_at), default=None)
        rows.append(
            {
                "recipient": recipient_name(found[0]),
                "language": found[0].language,
                "arrived": f"{len(sent)} of {len(found)}",
                "last at (UTC)": f"{last:%Y-%m-%d %H:%M:%S}" if last else "",
                "tries": max(part.attempts for part in found),
                "not arrived": rest,
                "remarks": "; ".join(notes),
            }
        )
    rows.sort(key=lambda row: not row["not arrived"])
    return {
        "delivery": dg.MetadataValue.text(parts[0].period if parts else ""),
        "receipts": dg.MetadataValue.md(markdown(rows)),
        "recipients": dg.MetadataValue.int(len(lines)),
        "parts": dg.MetadataValue.int(len(parts)),
        "parts_arrived": dg.MetadataValue.int(sum(part.state is State.SENT for part in parts)),
    }


def _not_arrived(parts: Sequence[Part]) -> str:
    """`2 album, 3 document: failed. Why.`: what shares a fate is said together."""
    alike: dict[tuple[str, str], list[str]] = {}
    for part in parts:
        alike.setdefault((part.state.value, part.error), []).append(part.part)
    return "; ".join(f"{', '.join(names)}: {state}. {why}".rstrip(". ") for (state, why), names in alike.items())


def _cell(value: object) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value).replace("|", "\\|")
