"""A verb whose process is killed, or stopped, right before a given call; in a fork of `forked.py`.

Belongs here: the fork's side. Does not: assertions, what is left then.
"""

import functools
import importlib
import os
import signal
from collections.abc import Callable
from typing import Any

from analytics_platform_tests.cli.commands import verb

BEFORE = f"{__name__}:killed_before"
STOPPED = f"{__name__}:stopped_before"


def killed_before(call: str, *words: str) -> None:
    """`analytics-platform WORDS` until it calls `module:Class.method`: not a word more, as no handler runs."""
    _before(call, signal.SIGKILL)
    verb(*words)


def stopped_before(call: str, *words: str) -> None:
    """The same until it is told to go on (SIGCONT), once."""
    _before(call, signal.SIGSTOP)
    verb(*words)


def _before(call: str, sent: signal.Signals) -> None:
    module, _, name = call.partition(":")
    of, _, method = name.partition(".")
    owner = getattr(importlib.import_module(module), of)
    called: Callable[..., Any] = getattr(owner, method)

    @functools.wraps(called)
    def halted(*given: Any, **named: Any) -> Any:
        setattr(owner, method, called)
        os.kill(os.getpid(), sent)
        return called(*given, **named)

    setattr(owner, method, halted)
