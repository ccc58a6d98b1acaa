"""What counts as delivered, and how a failure reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from analytics_platform.channels.base import Channel, Outcome, Receipt
from analytics_platform.channels.folder import FolderChannel
from analytics_platform.delivery import DeliveryError, deliver
from analytics_platform.messages import Document, Message, Text

MESSAGES = (Text("<b>Feed</b>"), Document("feed.csv", b"day\n"))


@dataclass
class Scripted:
    """A channel that answers with prepared receipts, and notes what it was given."""

    outcomes: Sequence[tuple[str, Outcome, str]]
    name: str = "scripted"
    repeatable = False
    got: list[tuple[Sequence[Message], str]] = field(default_factory=list)

    def send(self, messages: Sequence[Message], *, key: str) -> list[Receipt]:
        self.got.append((messages, key))
        return [Receipt(self.name, who, f"{n} text", what, why) for n, (who, what, why) in enumerate(self.outcomes, 1)]


def test_every_channel_gets_the_messages_once_and_its_receipts_come_back(tmp_path: Path) -> None:
    scripted = Scripted([("42", Outcome.SENT, "")])
    channels: list[Channel] = [scripted, FolderChannel(tmp_path)]
    receipts = deliver(MESSAGES, channels, key="feed_daily/2026-11-20")
    assert [(r.channel, r.outcome) for r in receipts] == [
        ("scripted", Outcome.SENT),
        ("folder", Outcome.SENT),
        ("folder", Outcome.SENT),
    ]
    assert scripted.got == [(MESSAGES, "feed_daily/2026-11-20")]
    assert (tmp_path / "feed_daily" / "2026-11-20" / "01-text.txt").exists()


@pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.REFUSED, Outcome.UNCERTAIN])
def test_one_part_that_is_not_certain_is_a_failure_after_all_channels_were_tried(outcome: Outcome) -> None:
    broken = Scripted([("42", Outcome.SENT, ""), ("43", outcome, "The bot was blocked.")], "first")
    other = Scripted([("44", Outcome.SENT, "")], "second")

    with pytest.raises(DeliveryError) as failed:
        deliver(MESSAGES, [broken, other], key="k")

    assert (len(broken.got), len(other.got)) == (1, 1)
    assert [r.recipient for r in failed.value.receipts] == ["42", "43", "44"]
    said = str(failed.value).splitlines()
    assert said[0] == "1 of 3 parts were not delivered for certain:"
    assert said[1] == f"first 43, 2 text: {outcome.value.replace('_', ' ')}. The bot was blocked."
    assert any("look at the chat before sending again" in line for line in said) == (outcome is Outcome.UNCERTAIN)
    assert "44" not in str(failed.value)


@pytest.mark.parametrize("channels", [[], [Scripted([])]])
def test_telling_nobody_is_a_failure(channels: list[Channel]) -> None:
    with pytest.raises(DeliveryError, match="nobody was told: no channel has a recipient; set TELEGRAM_CHAT_IDS"):
        deliver(MESSAGES, channels, key="k")


def test_a_defect_in_a_channel_is_not_taken_for_an_outcome() -> None:
    class Defect:
        name = "defect"
        repeatable = False

        def send(self, messages: Sequence[Message], *, key: str) -> list[Receipt]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        deliver(MESSAGES, [Defect()], key="k")
