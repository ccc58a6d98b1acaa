"""Sends requests to DynamoDB and S3 and says what went wrong.

Belongs here: where requests go, timeouts, patience with throttling, errors as one sentence. Does not: what is asked
(`dynamodb_pages.py`, `dynamodb_export.py`, `dynamodb_reports.py`), what items mean (`dynamodb_items.py`).

Credentials come from AWS's own chain (environment, profile, role of the machine) and are never seen here. boto3 takes
half a second to import, so it is imported with the first request.
"""

import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from analytics_platform.redaction import redact
from analytics_platform.setting_values import endpoint

Answer = dict[str, Any]
Service = Literal["dynamodb", "s3"]

_THROTTLED: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
        "SlowDown",
        "LimitExceededException",
    }
)
_PASSING: Final = frozenset({"InternalServerError", "InternalError", "ServiceUnavailable", "500", "503"})
_NO_ENTRY: Final = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "IncompleteSignatureException",
        "IncompleteSignature",
        "SignatureDoesNotMatch",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidToken",
    }
)
_DENIED: Final = frozenset({"AccessDeniedException", "AccessDenied", "403"})
_OTHER_REGION: Final = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "301"})
_ABSENT: Final = frozenset({"ResourceNotFoundException", "NoSuchBucket", "NoSuchKey", "404"})
_RIGHTS: Final = {"list_objects_v2": "s3:ListBucket"}  # all others are called as what they allow
_LONGEST_PAUSE = 5.0  # seconds
PATIENCE: Final = timedelta(minutes=2)


class DynamoError(Exception):
    """DynamoDB cannot do it. The message says in one sentence what and what to do; it holds no secret."""


class DynamoBusyError(DynamoError):
    """Only waiting helps: it does not answer, or refuses more than the table's capacity."""


class DynamoUnmetError(DynamoError):
    """The item is not as the request's condition wants it, or not there; nothing was changed."""


_KINDS: Final[Mapping[str, type[DynamoError]]] = {"ConditionalCheckFailedException": DynamoUnmetError}


@dataclass(frozen=True)
class Account:
    """Where requests go and how long to try.

    A request is tried `attempts` times with growing pauses: a place that does not answer is given up after at most
    `attempts` x `connect_seconds` and 20 s of pauses. A throttled one is begun again for `patience`, counted from the
    last that was answered.
    """

    region: str
    endpoint_url: str | None = field(default=None, repr=False)
    attempts: int = 5
    patience: timedelta = PATIENCE
    connect_seconds: float = 5.0
    read_seconds: float = 30.0

    @property
    def place(self) -> str:
        """`eu-central-1`, with the endpoint's host where it is not AWS's own; nothing of what is no endpoint."""
        if self.endpoint_url is None:
            return self.region
        try:
            parts = urlsplit(endpoint(self.endpoint_url))
        except ValueError:
            return self.region
        return f"{self.region} ({parts.scheme}://{parts.netloc})"

    @contextmanager
    def client(self, service: Service = "dynamodb", connections: int = 10) -> "Iterator[Client]":
        """A client for a while, at most so many requests at once. Raises DynamoError."""
        client = Client(self, service, connections)
        try:
            yield client
        finally:
            client.close()


class Client:
    """One service of one account. Threads share it."""

    def __init__(self, account: Account, service: Service, connections: int) -> None:
        self.account, self.service = account, service
        self._closed = threading.Event()
        with said(account, service, "open", "its client"):
            self._client = _connect(account, service, connections)

    def call(self, operation: str, what: str, **arguments: object) -> Answer:
        """The answer to one request; `what` names what it is about, such as `table visits`. Raises DynamoError."""
        from botocore.exceptions import ClientError

        deadline = time.monotonic() + self.account.patience.total_seconds()
        pause = 0.2
        with said(self.account, self.service, operation, what):
            while True:
                try:
                    answer: Answer = getattr(self._client, operation)(**arguments)
                except ClientError as error:
                    late = time.monotonic() + pause > deadline
                    if late or self._closed.is_set() or _code(error) not in _THROTTLED:
                        raise
                    self.wait(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                else:
                    return answer

    def wait(self, seconds: float) -> None:
        """Half of it to all of it, so that those who were refused together do not come back together."""
        self._closed.wait(seconds * random.uniform(0.5, 1))

    def close(self) -> None:
        """Threads that still wait to try again give up."""
        self._closed.set()
        self._client.close()


def _connect(account: Account, service: Service, connections: int) -> Any:
    if account.endpoint_url is not None:
        try:
            endpoint(account.endpoint_url)
        except ValueError as error:
            raise DynamoError(f"DYNAMODB_ENDPOINT_URL is no endpoint: {error}") from None
    try:
        from boto3.session import Session
        from botocore.config import Config
    except ImportError:
        raise DynamoError("boto3 is not installed; install the extra: analytics-platform[dynamodb]") from None
    settings = Config(
        connect_timeout=account.connect_seconds,
        read_timeout=account.read_seconds,
        # Adaptive: after a refusal it sends no faster than what was answered before.
        retries={"mode": "adaptive", "total_max_attempts": account.attempts},
        max_pool_connections=connections,
    )
    # A session of its own: the one that boto3 shares is not for several threads.
    made = Session().client(
        service, region_name=account.region or None, endpoint_url=account.endpoint_url, config=settings
    )
    for operation in ("Scan", "Query") if service == "dynamodb" else ():
        made.meta.events.register(f"before-parse.dynamodb.{operation}", _items_as_sent)
    return made


def _items_as_sent(response_dict: Answer, customized_response_dict: Answer, **_others: object) -> None:
    """Takes the items out of an answer before botocore walks through every value of them, which is 5/6 of all work.

    They are the same but for binary values, which stay Base64. Should botocore no longer ask here, it parses them.
    """
    if response_dict["status_code"] != 200:
        return
    try:
        answer = json.loads(response_dict["body"])
        customized_response_dict["Items"] = answer.pop("Items")
    except (ValueError, KeyError):
        return  # botocore says what is wrong with it
    response_dict["body"] = json.dumps(answer).encode()


@contextmanager
def said(account: Account, service: Service, operation: str, what: str) -> Iterator[None]:
    """botocore's errors as ours, one sentence each, without secrets."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise DynamoError("boto3 is not installed; install the extra: analytics-platform[dynamodb]") from None
    try:
        yield
    except ClientError as error:
        raise _refused(account, service, operation, what, error) from None
    except (BotoCoreError, ValueError) as error:  # a host that botocore does not take is a ValueError
        raise _failed(account, service, what, error) from None


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _refused(account: Account, service: Service, operation: str, what: str, error: Any) -> DynamoError:
    code, name = _code(error), _name(service)
    text = _sentence(str(error.response.get("Error", {}).get("Message", ""))) or code
    right = _RIGHTS.get(operation) or f"{service}:{''.join(word.capitalize() for word in operation.split('_'))}"
    if code in _THROTTLED:
        patience = account.patience.total_seconds()
        return DynamoBusyError(
            f"{name} in {account.place} refused requests to {what} for {patience:g} s, as they exceed its capacity; "
            "raise the capacity, read fewer segments at once, or try later"
        )
    if code in _NO_ENTRY:
        return DynamoError(
            f"{name} in {account.place} refuses the AWS credentials ({code}); renew them, or check the clock"
        )
    if code in _DENIED:
        return DynamoError(f"the AWS credentials may not do it ({right} on {what}): {text}; grant them {right}")
    if code in _OTHER_REGION:
        return DynamoError(f"{what} is in another region than {account.region}; set the region it is in")
    if code in _ABSENT:
        return DynamoError(
            f"{name} in {account.place} has no {what}; check the name, the region and whose credentials are used"
        )
    if code == "ValidationException" and "specified index" in text:
        return DynamoError(f"{what} does not exist; create it, or read the table by scan")
    kind = _KINDS.get(code, DynamoBusyError if code in _PASSING else DynamoError)
    return kind(f"{name} in {account.place} refused {right} on {what}: {text}")


def _failed(account: Account, service: Service, what: str, error: Exception) -> DynamoError:
    from botocore import exceptions as of

    name = _name(service)
    if isinstance(error, (of.NoCredentialsError, of.PartialCredentialsError, of.CredentialRetrievalError)):
        return DynamoError(
            f"no AWS credentials were found for {what}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, "
            "or give the machine a role"
        )
    if isinstance(error, of.NoRegionError):
        return DynamoError("no AWS region is set; name the region of the table")
    if isinstance(error, (of.HTTPClientError, of.EndpointConnectionError)):
        # Its words hold the whole address with what was asked; the kind of failure is enough.
        return DynamoBusyError(
            f"{name} in {account.place} does not answer ({type(error).__name__}, {what}); check the region, the "
            "endpoint and the network"
        )
    text = str(error)
    if account.endpoint_url:
        text = text.replace(account.endpoint_url, account.place)
    return DynamoError(f"{name} in {account.place} cannot be asked about {what}: {_sentence(text)}")


def _name(service: Service) -> str:
    return {"dynamodb": "DynamoDB", "s3": "S3"}[service]


def _sentence(text: str) -> str:
    return " ".join(redact(text).split()).rstrip(".")[:400]
