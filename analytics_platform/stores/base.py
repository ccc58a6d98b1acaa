"""The store port: documents that other programs look up by key, put there together and for a limited time.

Belongs here: the port and its errors. Does not: any server's client, what the documents say (`rankings/`).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol


class StoreError(Exception):
    """The store cannot do it. The message says in one sentence what and what to do; it holds no secret."""


class StoreBusyError(StoreError):
    """Only waiting helps: the server does not answer, is starting, or the connection was lost again and again.

    Whether what was to be published is there is not known. It is there whole or not at all, and publishing the same
    again does no harm.
    """


class Store(Protocol):
    """Where other programs look for documents. Keys are given without the store's prefix. Safe in several threads."""

    @property
    def place(self) -> str:
        """Where it is, in words that hold no secret: server, port, database and prefix."""
        ...

    def publish(self, documents: Mapping[str, object], expires_seconds: int) -> None:
        """Put all documents in place at one moment: a reader sees all of them, or all that was there before.

        Whatever a key held is replaced, of whatever type; keys not named stay. Each is gone after `expires_seconds`.
        Raises ValueError, before anything is sent, for what JSON cannot say (NaN, infinity, half a surrogate pair), for
        no documents and for a time of no seconds; StoreError or StoreBusyError when the server does not take them.
        """
        ...

    def read(self, key: str) -> object | None:
        """The document under that key; None where there is none, expired ones included. Raises StoreError."""
        ...

    def remaining_seconds(self, key: str) -> int | None:
        """Whole seconds until the document is gone; None where there is none, or it never goes. Raises StoreError."""
        ...

    def check(self, keys: Collection[str] = ()) -> Sequence[str]:
        """What is wrong, one sentence each with its remedy; empty when nothing is. Changes nothing, raises nothing of
        its own.

        `keys`: those that will be published, so that rights to them are tried as well.
        """
        ...
