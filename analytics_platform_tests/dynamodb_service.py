"""DynamoDB and S3 for tests: moto behind HTTP for what they mean, dynalite for many items, and faults between.

Belongs here: starting them, tables, items, requests that go wrong. Does not: what is tested with them.

Neither throttles as AWS does, so refusals come from a proxy of ours. Credentials of both are whatever the client says.
"""

import http.client
import importlib.util
import json
import logging
import os
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from analytics_platform_tests.services import absent, free_port, running, short_folder

REGION = "eu-central-1"
INDEX = "by-time"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
# Keeps profiles and roles of whoever runs the tests out of them.
ISOLATED = {
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_EC2_METADATA_DISABLED": "true",
}
PROGRAM_VARIABLE = "DYNALITE"

Item = dict[str, dict[str, Any]]


def only_test_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's own chain finds the tests' credentials and no others."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {**CREDENTIALS, **ISOLATED}.items():
        monkeypatch.setenv(name, value)


@contextmanager
def moto() -> Iterator[str]:
    """The address of DynamoDB and S3, empty, gone at the end."""
    for module, package in (("moto", "moto[dynamodb,s3]"), ("flask_cors", "flask flask-cors")):
        if importlib.util.find_spec(module) is None:
            absent(f"moto's server not installed (pip install {package})")
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def dynalite() -> Iterator[str]:
    """The address of a DynamoDB that is quick with many items, empty, in memory."""
    found = os.environ.get(PROGRAM_VARIABLE) or shutil.which("dynalite")
    if not found or not Path(found).exists():
        absent(f"dynalite not installed (npm install dynalite; {PROGRAM_VARIABLE} names its program)")
    port = free_port()
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    with (
        short_folder() as folder,
        running([found, "--port", str(port), "--createTableMs", "0", "--updateTableMs", "0"], folder / "log", answers),
    ):
        yield address


@contextmanager
def s3(address: str) -> Iterator[Any]:
    """An ordinary client of the objects there, with the tests' credentials in the environment."""
    import boto3

    made = boto3.session.Session().client("s3", region_name=REGION, endpoint_url=address)
    try:
        yield made
    finally:
        made.close()


def make_table(address: str, name: str, key: str = "request_id", *, index: bool = True, **options: object) -> None:
    """A table of events with their index, or of reports by another key without one; an older one of the name goes."""
    attributes = {key: "S"} | ({"bucket": "S", "ts": "S"} if index else {})
    keys = [{"AttributeName": "bucket", "KeyType": "HASH"}, {"AttributeName": "ts", "KeyType": "RANGE"}]
    by_time = {"IndexName": INDEX, "KeySchema": keys, "Projection": {"ProjectionType": "ALL"}}
    request = {
        "TableName": name,
        "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": a, "AttributeType": t} for a, t in attributes.items()],
        "BillingMode": "PAY_PER_REQUEST",
        **({"GlobalSecondaryIndexes": [by_time]} if index else {}),
    }
    if name in requested(address, "ListTables", {})["TableNames"]:
        requested(address, "DeleteTable", {"TableName": name})
    requested(address, "CreateTable", {**request, **options})
    while requested(address, "DescribeTable", {"TableName": name})["Table"]["TableStatus"] != "ACTIVE":
        time.sleep(0.02)


def stored(address: str, table: str, key: str) -> dict[str, Item]:
    """All items of a small table by their key."""
    items = requested(address, "Scan", {"TableName": table})["Items"]
    return {item[key]["S"]: item for item in items}


def put(address: str, table: str, items: Iterable[Item]) -> None:
    """Write the items, 25 at a time over one connection, without boto3, which would take longer than the server.

    Their binary values are Base64 already.
    """
    left = iter(items)
    with _connection(address) as connection:
        while batch := [{"PutRequest": {"Item": item}} for item in islice(left, 25)]:
            answer = _asked(connection, "BatchWriteItem", {"RequestItems": {table: batch}})
            assert not answer["UnprocessedItems"]


def requested(address: str, operation: str, content: Mapping[str, Any]) -> Any:
    """The answer to a request that names credentials and is not signed: neither server looks."""
    with _connection(address) as connection:
        return _asked(connection, operation, content)


def _connection(address: str) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection(urlsplit(address).netloc, timeout=60))


def _asked(connection: http.client.HTTPConnection, operation: str, content: Mapping[str, Any]) -> Any:
    head = {
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Date": "20261120T000000Z",
        "Authorization": f"AWS4-HMAC-SHA256 Credential=tests/20261120/{REGION}/dynamodb/aws4_request, "
        "SignedHeaders=host, Signature=0",
    }
    connection.request("POST", "/", json.dumps(content), head)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    return json.loads(body)


@dataclass
class Between:
    """A proxy before a DynamoDB that refuses what it is told to.

    `refuse` requests are answered by the error `code`; of batches, `leave_over` writes but the first half; after
    `dropping_after` batches every connection ends without an answer. In answers, the first of `instead` is replaced by
    the second. `seen` are the operations, in order.
    """

    address: str = ""
    refuse: int = 0
    code: str = "ProvisionedThroughputExceededException"
    leave_over: int = 0
    dropping_after: int | None = None
    instead: tuple[bytes, bytes] = (b"", b"")
    seen: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def between(address: str) -> Iterator[Between]:
    """A proxy before that address."""
    state = Between()
    target = urlsplit(address)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name it has there)
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            operation = self.headers["X-Amz-Target"].partition(".")[2]
            with state.lock:
                state.seen.append(operation)
                batch = operation == "BatchWriteItem"
                if state.dropping_after is not None and batch and state.seen.count(operation) > state.dropping_after:
                    self.close_connection = True
                    return
                refuse, state.refuse = state.refuse > 0, max(0, state.refuse - 1)
                over = batch and not refuse and state.leave_over > 0
                state.leave_over -= over
            if refuse:
                words = {"__type": f"com.amazonaws.dynamodb.v20120810#{state.code}", "message": "too much"}
                self.answer(400, json.dumps(words).encode())
                return
            left: dict[str, Any] = {}
            if over:
                content = json.loads(body)
                ((table, requests),) = content["RequestItems"].items()
                half = len(requests) // 2
                left = {table: requests[half:]}
                body = json.dumps({"RequestItems": {table: requests[:half]}}).encode()
            connection = http.client.HTTPConnection(target.netloc, timeout=60)
            wanted = ("X-Amz-Target", "Content-Type", "X-Amz-Date", "Authorization")
            if over and half == 0:
                self.answer(200, json.dumps({"UnprocessedItems": left}).encode())
                return
            connection.request("POST", "/", body, {name: self.headers[name] for name in wanted})
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            if over and answer.status == 200:
                content = json.dumps({**json.loads(content), "UnprocessedItems": left}).encode()
            self.answer(answer.status, content.replace(*state.instead) if state.instead[0] else content)

        def answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
