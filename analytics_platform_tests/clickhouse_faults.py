"""What a ClickHouse server for tests received, and what is to go wrong with the next of it.

Belongs here: faults and the log. Does not: how a fault reaches the client (`clickhouse_server.py`).
"""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal

FaultKind = Literal["drop", "delay", "fail"]
When = Literal["before", "during", "after"]
_KEPT = 10_000  # requests; it may run for weeks


@dataclass
class Received:
    """One request. `statement` is without the data of an INSERT; `code` is the error it was answered by, 0 for none.

    `admitted`: its id and session were free. `executed`: the engine ran it without an error, whatever the client got to
    know of that.
    """

    query_id: str
    statement: str
    settings: dict[str, str]
    params: dict[str, str]
    database: str
    user: str
    session: str = ""
    admitted: bool = False
    executed: bool = False
    code: int = 0


@dataclass
class Fault:
    """What goes wrong, for the next `times` requests whose statement matches; 0 times is for ever.

    drop: the connection ends `before` or `after` the statement is executed, or `during` the answer, half of it sent.
    fail: the error `code` in the same three places; `during` it stands in the answer, as the server writes it there.
    delay: `seconds` before the statement is executed, or until all are released; it counts as running meanwhile.
    `pattern` is a regular expression, searched in the statement without regard to case.
    """

    kind: FaultKind
    pattern: str = ""
    when: When = "before"
    times: int = 1
    seconds: float = 0
    code: int = 0

    def __post_init__(self) -> None:
        re.compile(self.pattern)


@dataclass
class Desk:
    """Everybody passes here: notes what comes, says what goes wrong. Safe to use from many threads."""

    log: deque[Received] = field(default_factory=lambda: deque(maxlen=_KEPT))
    faults: list[Fault] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def enter(self, received: Received) -> list[Fault]:
        """Note the request. Returns what happens to it: a delay and, after it, one other fault at most."""
        with self._lock:
            self.log.append(received)
            return [f for kinds in (("delay",), ("drop", "fail")) for f in self._take(kinds, received.statement)]

    def _take(self, kinds: tuple[str, ...], statement: str) -> list[Fault]:
        for fault in self.faults:
            if fault.kind in kinds and re.search(fault.pattern, statement, re.IGNORECASE | re.DOTALL):
                if fault.times == 1:
                    self.faults.remove(fault)
                fault.times -= bool(fault.times)
                return [fault]
        return []

    def add(self, faults: Iterable[Fault]) -> None:
        """More of what is to go wrong."""
        with self._lock:
            self.faults.extend(faults)

    def received(self) -> list[Received]:
        """What came, in order."""
        with self._lock:
            return list(self.log)

    def clear(self) -> None:
        """Nothing came, nothing goes wrong."""
        with self._lock:
            self.log.clear()
            self.faults.clear()
