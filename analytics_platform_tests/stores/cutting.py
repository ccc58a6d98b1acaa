"""A server in between that cuts connections while a transaction passes.

Belongs here: passing bytes on, and when not to. Does not: what is expected of who is cut off.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

When = Literal["during", "after"]
_EXEC = b"*1\r\n$4\r\nEXEC\r\n"


@dataclass
class Cutting:
    """Cuts the next `times` connections that carry an EXEC: `during` the request, half of it passed on, or `after` the
    server carried it out, its answer kept back. 0 times: none.
    """

    port: int
    when: When = "after"
    times: int = 0
    connections: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def url(self) -> str:
        """To be used in place of the server's."""
        return f"redis://127.0.0.1:{self.port}/0"

    def cuts(self) -> bool:
        """Whether this one is cut."""
        with self._lock:
            self.times -= (cut := self.times > 0)
            return cut


@contextmanager
def cutting(server: int) -> Iterator[Cutting]:
    """In front of the port of a server on this machine, from now to the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Cutting(listener.getsockname()[1])

        def accept() -> None:
            with suppress(OSError):  # the listener is closed at the end
                while True:
                    client = listener.accept()[0]
                    found.connections += 1
                    threading.Thread(target=_serve, args=(client, server, found), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield found
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _serve(client: socket.socket, server: int, found: Cutting) -> None:
    with client, socket.create_connection(("127.0.0.1", server)) as behind, suppress(OSError):
        collected = b""
        while data := client.recv(1 << 16):
            collected += data
            if collected.startswith(b"*1\r\n$5\r\nMULTI") and not collected.endswith(_EXEC):
                continue  # a transaction passes as a whole, or we could not cut it where we want
            cut = collected.endswith(_EXEC) and found.cuts()
            behind.sendall(collected[: len(collected) // 2] if cut and found.when == "during" else collected)
            if cut:
                if found.when == "after":
                    behind.recv(1 << 16)
                # A reset and no goodbye.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            collected = b""
            client.sendall(behind.recv(1 << 16))
