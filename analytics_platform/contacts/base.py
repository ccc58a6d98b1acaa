"""The contacts port: somebody is put on the lists of a service that writes to them, with what is known of them.

Belongs here: the port, its words and its errors. Does not: any service's requests, who is a contact (`funnels/`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody as the service is to know them. `email`: normalised (`funnels.person.normal`); not in the repr.

    `list_ids`: the lists to be added to; `attributes`: values by the name they have there. Both only add: what the
    service knows besides stays.
    """

    email: str = field(repr=False)
    list_ids: tuple[int, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportState:
    """How far an import is. `failed`: it ended, and which of its contacts arrived is not known; telling the service
    again does no harm.

    `about`: a sentence, without addresses; `refused`: the addresses that the service does not take, lower-cased.
    """

    done: bool
    failed: bool = False
    about: str = ""
    refused: tuple[str, ...] = field(default=(), repr=False)


class ContactsError(Exception):
    """The service did not do it. One sentence with the remedy; it holds no key, and `<address HASH>` for addresses."""


class ContactRefusedError(ContactsError):
    """The service does not take this contact, or this import: the same again would be refused again.

    `asked`: it said so; otherwise nothing was sent, as it could not have taken it.
    """

    def __init__(self, message: str, *, asked: bool = True) -> None:
        super().__init__(message)
        self.asked = asked


class ContactsBusyError(ContactsError):
    """Only waiting helps: too many requests, the service is down, or the connection broke.

    Whether it was done is not always known. `retry_after_seconds`: how long the service wants to be left alone, from
    now on; None where it did not say.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ContactsClosedError(ContactsError):
    """Nobody can be told anything: the key, the plan, a list or the address of the service is wrong. A person helps."""


class Contacts(Protocol):
    """A service that keeps contacts by e-mail, so that telling it the same twice leaves the same. One thread at a time.

    All calls raise ContactsBusyError, ContactsClosedError and ContactRefusedError; of a call that changes nothing, the
    last one says that the service answered, and will not answer otherwise.
    """

    def upsert(self, contact: Contact) -> None:
        """Add the contact or change it, and put it on its lists."""
        ...

    def import_chunks(self, contacts: Sequence[Contact]) -> Iterator[Sequence[Contact]]:
        """The contacts in order, cut so that `start_import` takes each part. Sends nothing, raises nothing: a contact
        that no import takes is a part by itself.
        """
        ...

    def start_import(self, contacts: Sequence[Contact], list_ids: Sequence[int]) -> int:
        """Hand all of them over for these lists (their own `list_ids` are not looked at); the number of the import."""
        ...

    def import_state(self, process_id: int) -> ImportState:
        """How far that import is. One request, so that whoever may ask so often an hour can count."""
        ...
