"""What `doctor` says of one thing that it looked at."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing looked at: how it is, and the remedy when it is not well."""

    state: Literal["ok", "note", "problem"]
    what: str
    remedy: str = ""
