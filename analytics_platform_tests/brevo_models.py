"""What Brevo's own client (brevo-python) says a request and an answer look like.

Belongs here: models of the requests, made of that client's signatures, and its models of answers. Does not: what Brevo
makes of a request (`brevo_server.py`).

Imports that client's requests and pydantic's machinery (0.4 s): import this module inside the function that needs it.
"""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from brevo.account.types.get_account_response import GetAccountResponse
from brevo.contacts.raw_client import RawContactsClient
from brevo.contacts.types.create_contact_response import CreateContactResponse
from brevo.contacts.types.get_attributes_response import GetAttributesResponse
from brevo.contacts.types.get_list_response import GetListResponse
from brevo.contacts.types.import_contacts_response import ImportContactsResponse
from brevo.process.types.get_process_response import GetProcessResponse
from brevo.types.error_model import ErrorModel
from pydantic import BaseModel, ConfigDict, Field, create_model

_NOT_IN_THE_BODY = ("self", "request_options")
_AS_THEY_ARE = ("ext_id",)


def _request(method: Callable[..., Any]) -> type[BaseModel]:
    """A body with that method's arguments: as Brevo spells them, of no other types, and no others."""
    hints = get_type_hints(method)
    fields: dict[str, Any] = {
        name: (hints[name], Field(None, alias=_spelled(name)))
        for name in inspect.signature(method).parameters
        if name not in _NOT_IN_THE_BODY
    }
    return create_model(method.__name__, __config__=ConfigDict(extra="forbid", strict=True), **fields)


def _spelled(name: str) -> str:
    first, *others = name.split("_")
    return name if name in _AS_THEY_ARE else first + "".join(map(str.capitalize, others))


CREATE_CONTACT = _request(RawContactsClient.create_contact)
IMPORT_CONTACTS = _request(RawContactsClient.import_contacts)

ACCOUNT = GetAccountResponse
ATTRIBUTES = GetAttributesResponse
CREATED = CreateContactResponse
ERROR = ErrorModel
IMPORTED = ImportContactsResponse
LIST = GetListResponse
PROCESS = GetProcessResponse
