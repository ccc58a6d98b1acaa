"""How much work something is, counted and not timed: the same on every machine, however busy.

Belongs here: counting. Does not: figures of time and memory, which are the benchmarks'.
"""

import sys
from collections.abc import Callable


def calls_of(work: Callable[[], object]) -> int:
    """How many functions, of Python and of C, are called by it in this thread."""
    count = 0

    def counted(_frame: object, kind: str, _of: object) -> None:
        nonlocal count
        count += kind in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
