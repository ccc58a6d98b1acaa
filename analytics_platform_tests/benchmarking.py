"""`python -m benchmarks` whose workers are forks of it: what they import is imported once for all of them.

Belongs here: starting them. Does not: what they measure (`benchmarks/`), assertions. What `--json` says of memory and
CPU is then no figure of the work alone.
"""

import io
import multiprocessing
import subprocess
from collections.abc import Sequence
from contextlib import redirect_stdout
from multiprocessing.connection import Connection

from benchmarks import worker
from benchmarks.__main__ import main

# What the cases import, but for what has threads from its import on: Polars, chDB.
MODULES = (
    *("benchmarks.by_hand", "benchmarks.audience", "benchmarks.files", "benchmarks.pandas_way"),
    *("benchmarks.by_hand_server", "benchmarks.ticks", "benchmarks.delivery", "benchmarks.shapes"),
    *("analytics_platform.cli.main", "analytics_platform.simulate.generator", "pyarrow.parquet"),
)
_FORK = multiprocessing.get_context("fork")


def command(*words: str) -> None:
    """The command with these words."""
    main(words, _forked)


def _forked(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    read, write = _FORK.Pipe(duplex=False)
    with read, write:
        process = _FORK.Process(target=_work, args=(words, write))
        process.start()
        write.close()
        try:
            said = read.recv()
        except EOFError:
            said = ""  # it failed, and its traceback is in the errors of this process
        process.join()
    return subprocess.CompletedProcess(words, process.exitcode or 0, said, "see above")


def _work(words: Sequence[str], said: Connection) -> None:
    with redirect_stdout(io.StringIO()) as out:
        worker.main(list(words))
    said.send(out.getvalue())
