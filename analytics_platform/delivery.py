"""The one way out: a report's messages go to the channels, and what is proven about each part comes back.

Belongs here: what counts as delivered, and how a failure reads. Does not: any client library (`channels/`), rendering.
Nothing here repeats a delivery: a channel repeats only what is proven not to have arrived.
"""

from collections.abc import Sequence

from analytics_platform.channels.base import Channel, Outcome, Receipt
from analytics_platform.messages import Message


class DeliveryError(Exception):
    """At least one part was not delivered for certain. `receipts` has every part's outcome."""

    def __init__(self, receipts: Sequence[Receipt]) -> None:
        self.receipts = tuple(receipts)
        # Whether a part may have got through: if not, sending all of it again is safe.
        self.arrived = any(r.outcome in (Outcome.SENT, Outcome.UNCERTAIN) for r in receipts)
        super().__init__(_summary(self.receipts))


def deliver(messages: Sequence[Message], channels: Sequence[Channel], *, key: str) -> tuple[Receipt, ...]:
    """Send the messages over every channel; the receipts, in order.

    All channels are tried before a failure is raised. Raises DeliveryError when a part was refused, not sent or
    uncertain, and when there is no recipient at all: silence is never a success.
    """
    receipts = tuple(receipt for channel in channels for receipt in channel.send(messages, key=key))
    if not receipts or any(r.outcome is not Outcome.SENT for r in receipts):
        raise DeliveryError(receipts)
    return receipts


def _summary(receipts: Sequence[Receipt]) -> str:
    if not receipts:
        return "nobody was told: no channel has a recipient; set TELEGRAM_CHAT_IDS or DELIVERY_CHANNEL=folder"
    failed = [r for r in receipts if r.outcome is not Outcome.SENT]
    lines = [f"{len(failed)} of {len(receipts)} parts were not delivered for certain:"]
    lines += [f"{r.channel} {r.recipient}, {r.part}: {r.outcome.value.replace('_', ' ')}. {r.detail}" for r in failed]
    if any(r.outcome is Outcome.UNCERTAIN for r in failed):
        lines.append("Uncertain parts may have arrived: look at the chat before sending again.")
    return "\n".join(lines)
