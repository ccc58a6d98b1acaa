"""HTTP servers on this machine that tests talk to: how each listens, and how it ends.

Belongs here: the listener, its thread, what all handlers have in common. Does not: what is answered (`brevo_server.py`,
`clickhouse_server.py`, `telegram_server.py`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from threading import Thread


class Quiet:
    """For handlers: connections are kept, and nothing is said of requests: addresses hold tokens and passwords."""

    protocol_version = "HTTP/1.1"
    # Head and body are two writes: held back, the second would wait 40 ms for a word of the other side.
    disable_nagle_algorithm = True

    def log_message(self, *_words: object) -> None:
        """Silence."""


class Listener(ThreadingHTTPServer):
    """A thread a connection."""

    # Five by default: who comes sixth at the same moment would wait a second.
    request_queue_size = 128


@contextmanager
def listening(listener: Listener, let_go: Callable[[], None]) -> Iterator[None]:
    """It answers; at the end `let_go` tells handlers that wait to wait no longer."""
    thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        let_go()
        listener.shutdown()
        listener.server_close()
        thread.join()
