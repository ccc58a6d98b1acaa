"""Processes of a test's own whose imports are paid for once: forks of a process that has imported what they use.

Belongs here: starting one, talking to it, waiting, signals. Does not: what it does.

A start costs milliseconds instead of a second or more of CPU. Each fork is a real process in a group of its own, with
its own locks, files and outputs, and can be stopped or killed at any point. What is imported beforehand must start no
thread, because a fork has only the one that forks.
"""

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TextIO

_LOOKS_EVERY_SECONDS = 0.005
_MOST_BYTES = 1 << 16  # of one message


@dataclass
class Process:
    """A fork, with the names that `subprocess.Popen` has for the same."""

    parent: "Parent" = field(repr=False)
    pid: int
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    returncode: int | None = None

    def wait(self, seconds: float = 120) -> int:
        """Its exit code, negative for a signal. It is killed, and TimeoutError, when it takes longer."""
        if self.returncode is None:
            self.returncode = self.parent.ask({"wait": self.pid, "seconds": seconds})
            if self.returncode is None:
                self.returncode = -signal.SIGKILL
                raise TimeoutError(f"not over after {seconds:g} s")
        return self.returncode

    def send_signal(self, sent: signal.Signals) -> None:
        """To it and to whatever it started."""
        os.killpg(self.pid, sent)

    def end(self) -> None:
        """Nothing of it is left."""
        if self.returncode is None:
            self.send_signal(signal.SIGKILL)
            self.wait()
        for stream in (self.stdin, self.stdout, self.stderr):
            stream.close()


@dataclass(frozen=True)
class Parent:
    """The process that forks, at the other end of the socket."""

    socket: socket.socket

    def ask(self, job: Mapping[str, Any], files: Sequence[int] = ()) -> Any:
        """Its answer."""
        socket.send_fds(self.socket, [json.dumps(job).encode()], files)
        said = self.socket.recv(_MOST_BYTES)
        assert said, "the process that forks has ended"
        return json.loads(said)

    def start(
        self,
        function: str,
        *arguments: str,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        said_in: Path | None = None,
    ) -> Process:
        """A fork that calls `module:function` and ends with what it returns, in that folder with that environment (as
        here without them). Both its outputs go into the file `said_in`, or else to `stdout` and `stderr`."""
        job = {
            "function": function,
            "arguments": arguments,
            "folder": folder and str(folder),
            "environment": None if environment is None else dict(environment),
        }
        with ExitStack() as theirs:
            read, stdin = os.pipe()
            theirs.callback(os.close, read)
            files, said = [read], []
            for _ in ("stdout", "stderr"):
                if said_in:
                    write = os.open(said_in, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                    said.append(said_in.open())
                else:
                    ours, write = os.pipe()
                    said.append(os.fdopen(ours))
                theirs.callback(os.close, write)
                files.append(write)
            out, err = said
            return Process(self, self.ask(job, files), os.fdopen(stdin, "w"), out, err)


@contextmanager
def parent(*modules: str, warnings: str = "error") -> Iterator[Parent]:
    """One that has imported these; `warnings` as for `python -W`."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        number = theirs.fileno()
        words = [sys.executable, "-W", warnings, "-m", "analytics_platform_tests.forked", str(number), *modules]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, pass_fds=[number]) as process:
            theirs.close()
            try:
                assert ours.recv(_MOST_BYTES) == b"ready", "it could not import what was asked for"
                yield Parent(ours)
            finally:
                process.kill()


def tell(process: "Process | subprocess.Popen[str]", line: str) -> None:
    """A line to it."""
    assert process.stdin
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def answer(process: "Process | subprocess.Popen[str]") -> Any:
    """Its next line."""
    assert process.stdout
    assert process.stderr
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return json.loads(line)


# ------------------------------------------------------------------------------------------------- the other process


def _fork(asked: socket.socket, job: Mapping[str, Any], files: Sequence[int]) -> int:
    child = os.fork()
    if not child:
        asked.close()
        _be(job, files)
    # Before anybody hears of it, so that it can be killed at once.
    os.setpgid(child, child)
    for file in files:
        os.close(file)
    return child


def _be(job: Mapping[str, Any], files: Sequence[int]) -> NoReturn:
    """It never goes on as the process that it was."""
    code: object = 1
    try:
        for place, file in enumerate(files):
            os.dup2(file, place)
            os.close(file)
        if job["folder"]:
            os.chdir(job["folder"])
        if job["environment"] is not None:
            os.environ.clear()
            os.environ.update(job["environment"])
        module, _, name = job["function"].partition(":")
        code = getattr(importlib.import_module(module), name)(*job["arguments"])
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - said, and then it ends
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def _wait(child: int, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(_LOOKS_EVERY_SECONDS)


def main(number: str, *modules: str) -> None:
    """One fork or one wait a message, until the other end is closed."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # what is there is not looked through, and so not copied, in each fork
    gc.set_threshold(50_000, 20, 20)  # as in the tests themselves
    with socket.socket(fileno=int(number)) as asked:
        asked.send(b"ready")
        while True:
            said, files, *_ = socket.recv_fds(asked, _MOST_BYTES, 3)
            if not said:
                return
            job = json.loads(said)
            found = _wait(job["wait"], job["seconds"]) if "wait" in job else _fork(asked, job, files)
            asked.send(json.dumps(found).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
