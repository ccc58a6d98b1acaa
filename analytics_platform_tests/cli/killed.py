"""A verb whose process is killed right before a given call; in a fork of `forked.py`.

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


def killed_before(call: str, *words: str) -> None:
    """`analytics-platform WORDS` until it calls `module:Class.method`: not a word more, as no handler runs."""
    module, _, name = call.partition(":")
    of, _, method = name.partition(".")
    owner = getattr(importlib.import_module(module), of)
    setattr(owner, method, _deadly(getattr(owner, method)))
    verb(*words)


def _deadly(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    return die
