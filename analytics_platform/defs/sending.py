"""The two jobs that send what the first go left: what is due, and what a person wants sent again.

Belongs here: jobs, their configuration, receipts of a further go. Does not: which parts those are, and each go
(`defs/deliveries.py`).
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from analytics_platform.defs.claims import now
from analytics_platform.defs.deliveries import (
    AGAIN_JOB,
    DUE_JOB,
    Gone,
    carried_by,
    chosen,
    go_on,
    held,
    send_again,
    send_due,
)
from analytics_platform.defs.liveness import Alive
from analytics_platform.defs.office import Office
from analytics_platform.defs.partitions import key_of
from analytics_platform.defs.reports import delivery_key
from analytics_platform.defs.shown import receipts_table
from analytics_platform.reports.base import Report

Reports = Mapping[str, Report[Any]]


def receipts_of(office: Office, found: Gone) -> list[dg.AssetMaterialization]:
    """The delivery asset's receipts, as they are after another go."""
    made = []
    for topic, period, delivered in found.touched:
        entry = carried_by(office, topic, period)
        if entry:
            report = office.reports[topic]
            made.append(
                dg.AssetMaterialization(
                    delivery_key(report),
                    partition=key_of(report, entry.period),
                    metadata=receipts_table(delivered.parts),
                )
            )
    return made


def jobs(reports: Reports) -> dict[str, dg.JobDefinition]:
    """The two jobs by name."""
    later, again = _due_op(), _again_op(reports)

    @dg.job(name=DUE_JOB, description="Sends what could not be sent before, the oldest delivery first.")
    def due_job() -> None:
        later()

    @dg.job(
        name=AGAIN_JOB, description="Sends parts of a delivery again: what is uncertain, failed, or wanted once more."
    )
    def again_job() -> None:
        again()

    return {job.name: job for job in (due_job, again_job)}


def _due_op() -> dg.OpDefinition:
    schema = {
        "topic": dg.Field(str, default_value="", description="a report or kind of message; empty: all that is due"),
        "period": dg.Field(str, default_value="", description="what of it, sent at once, due or not"),
    }

    @dg.op(name="send_what_is_due", config_schema=schema, pool="delivery", required_resource_keys={"office", "alive"})
    def send_what_is_due(context: dg.OpExecutionContext) -> None:
        """Send what is due, and end the periods that have arrived."""
        office: Office = context.resources.office
        alive: Alive = context.resources.alive
        topic, period = context.op_config["topic"], context.op_config["period"]
        found = Gone()
        if topic:
            go_on(office, topic, period, alive.owner, found)
        else:
            found = send_due(office, alive.owner, now())
        _tell(context, office, found)

    return send_what_is_due


def _again_op(reports: Reports) -> dg.OpDefinition:
    topics = ", ".join(reports)
    schema = {
        "topic": dg.Field(
            str,
            default_value="",
            description=f"a report ({topics}) or kind of message; empty: all that is held",
        ),
        "period": dg.Field(str, default_value="", description="as `deliveries list` shows it, such as 2026-11-20"),
        "recipient": dg.Field(str, default_value="", description="an address, or address/topic; empty: everybody"),
        "part": dg.Field(str, default_value="", description="such as `2 album`; empty: all that did not arrive"),
    }

    @dg.op(name="send_parts_again", config_schema=schema, pool="delivery", required_resource_keys={"office", "alive"})
    def send_parts_again(context: dg.OpExecutionContext) -> None:
        """Send again all that is held; of a delivery that is named, what did not arrive, or the part that is named."""
        office: Office = context.resources.office
        alive: Alive = context.resources.alive
        wanted: Mapping[str, str] = context.op_config
        if wanted["topic"]:
            parts = chosen(office, wanted["topic"], wanted["period"], wanted["recipient"], wanted["part"])
        else:
            parts = held(office, now())
        if not parts:
            what = f"nothing of {wanted['topic']} {wanted['period']}" if wanted["topic"] else "nothing is held that"
            raise dg.Failure(
                f"{what} is to be sent again: see analytics-platform deliveries list --troubled", allow_retries=False
            )
        _tell(context, office, send_again(office, parts, alive.owner, now()))

    return send_parts_again


def _tell(context: dg.OpExecutionContext, office: Office, found: Gone) -> None:
    for line in found.lines:
        context.log.info(line)
    for receipt in receipts_of(office, found):
        # Recorded at once: what a step logs before it fails is dropped with it.
        context.instance.report_runless_asset_event(receipt)
    if found.troubled:
        raise dg.Failure("\n".join(found.troubled), allow_retries=False)
