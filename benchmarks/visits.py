"""Items a second from DynamoDB into Arrow: `python -m benchmarks.visits [--items 100000] [--rounds 3]`.

Each way of reading, a scan whose pages are thrown away, and the naive way (boto3's resources into pandas), in turn,
each in a process of its own, against one dynalite that holds the items. CPU is that of the reading process, without the
server's; the cheapest round counts. Belongs here: this measurement. Does not: what is right
(`test_dynamodb_volume.py`).
"""

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

from analytics_platform.metrics.events import PAGE_EVENTS, arrow_schema
from analytics_platform.sources.dynamodb import Access, DynamoSource
from benchmarks.measure import Job, Measured, measure

_TABLE, _SHARDS, _FILES = "visits", 4, 4
_START, _STEP = datetime(2026, 11, 18, tzinfo=UTC), timedelta(seconds=2.5, microseconds=1)
_HOUR = (_START + timedelta(hours=10), _START + timedelta(hours=11))
_TOKYO = timezone(timedelta(hours=9))
_AGENT = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_5) AppleWebKit/537.36 Chrome/75.0.3770.100 Safari/537.36"
_CASES = {
    "bare": "scan, pages thrown away, one segment",
    "scan": "ours by scan, one segment",
    "scan4": "ours by scan, four segments",
    "index": "ours by index, everything",
    "export": "ours from an export of four files",
    "naive": "boto3's resource, pandas, Arrow",
    "scan_hour": "ours by scan, one hour",
    "index_hour": "ours by index, the same hour",
}


def item(k: int) -> dict[str, dict[str, Any]]:
    """One event as sites write it, with the keys of the index."""
    moment = _START + k * _STEP
    return {
        "request_id": {"S": f"7d6c8a4e-9a1f-4f0b-8d37-{k:012x}"},
        "visitor": {"S": f"{k % 9973:032x}"},
        "created": {"S": moment.astimezone(_TOKYO).isoformat(timespec="microseconds")},
        "pathname": {"S": ("/en/", "/", "/en/about", "/jp/")[k % 4]},
        "type": {"S": "website"},
        "language": {"S": ("en-US", "ja")[k % 2]},
        "adblock": {"BOOL": k % 3 == 0},
        "ip_address": {"S": f"10.{k % 250}.{k % 251}.{k % 241}"},
        "user_agent": {"S": _AGENT},
        "bucket": {"S": f"{moment:%Y-%m-%d}#{k % _SHARDS}"},
        "ts": {"S": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"},
    }


def job_of(name: str, address: str, export: str, count: int) -> Job:
    """The work of that case, with its imports done."""
    sources = "analytics_platform.sources"
    for module in ("boto3", "duckdb", "pyarrow.compute", f"{sources}.dynamodb_export", f"{sources}.dynamodb_items"):
        import_module(module)
    found = 0

    def run() -> Mapping[str, float]:
        nonlocal found
        found = read()
        return {}

    read: Callable[[], int] = {"bare": lambda: _bare(address), "naive": lambda: _naive(address)}.get(
        name, lambda: _ours(name, address, export, count)
    )
    return Job(run, facts=lambda: {"rows": found})


def _ours(name: str, address: str, export: str, count: int) -> int:
    import pyarrow as pa

    from analytics_platform_tests.dynamodb_service import INDEX, REGION

    access, _, window = name.partition("_")
    start, end = _HOUR if window else (_START, _START + count * _STEP)
    source = DynamoSource(
        _TABLE,
        region=REGION,
        endpoint_url=address,
        access=Access(access.rstrip("4")),
        index=INDEX,
        shards=_SHARDS,
        segments=1 if access == "scan" else 4,
        export=export,
    )
    table = pa.Table.from_batches(source.events(start, end), arrow_schema(PAGE_EVENTS))
    return int(table.num_rows)


def _bare(address: str) -> int:
    import boto3

    from analytics_platform_tests.dynamodb_service import REGION

    client = boto3.session.Session().client("dynamodb", region_name=REGION, endpoint_url=address)
    pages = client.get_paginator("scan").paginate(TableName=_TABLE)
    return sum(len(page["Items"]) for page in pages)


def _naive(address: str) -> int:
    import boto3
    import pandas as pd
    import pyarrow as pa

    from analytics_platform_tests.dynamodb_service import REGION

    table = boto3.session.Session().resource("dynamodb", region_name=REGION, endpoint_url=address).Table(_TABLE)
    items: list[dict[str, Any]] = []
    answer = table.scan()
    items += answer["Items"]
    while "LastEvaluatedKey" in answer:
        answer = table.scan(ExclusiveStartKey=answer["LastEvaluatedKey"])
        items += answer["Items"]
    frame = pd.DataFrame(items)
    frame["time"] = pd.to_datetime(frame["created"], utc=True)
    return int(pa.Table.from_pandas(frame).num_rows)


def write_export(folder: Path, count: int) -> None:
    """The items as a full export without a manifest."""
    folder.mkdir(parents=True)
    for part in range(_FILES):
        with gzip.open(folder / f"part{part}.json.gz", "wt", compresslevel=4, encoding="utf-8") as stream:
            for k in range(part, count, _FILES):
                stream.write(json.dumps({"Item": item(k)}) + "\n")


def lines(results: Mapping[str, Measured]) -> list[str]:
    """The table in Markdown, with what it is measured by."""
    bare = results["bare"]
    shown = ["| | items a CPU second | CPU s | wall s | x bare | memory |", "|---|---|---|---|---|---|"]
    for name, found in results.items():
        rows = int(str(found.facts["rows"]))
        ratio = f"{found.cpu / bare.cpu:.2f}"
        memory = f"{found.peak:.0f} / {found.total:.0f}"
        speed = f"{rows / found.cpu:,.0f}"
        shown.append(
            f"| `{name}`: {_CASES[name]} | {speed} | {found.cpu:.2f} | {found.wall:.1f} | {ratio} | {memory} |"
        )
    return shown


def main() -> None:
    """The command; with a case's name and where the items are, that case alone, as JSON."""
    if len(sys.argv) == 5 and sys.argv[1] in _CASES:
        name, address, export, count = sys.argv[1:]
        print(json.dumps(measure(job_of(name, address, export, int(count)), 1).to_json()))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.visits", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--items", type=int, default=100_000, help="items in the table (default 100000)")
    parser.add_argument("--rounds", type=int, default=3, help="processes a case (default 3)")
    options = parser.parse_args()
    from analytics_platform_tests.dynamodb_service import (
        CREDENTIALS,
        ISOLATED,
        PROGRAM_VARIABLE,
        dynalite,
        make_table,
        put,
    )

    if not (shutil.which("dynalite") or os.environ.get(PROGRAM_VARIABLE)):
        sys.exit(f"dynalite is not installed (npm install dynalite; {PROGRAM_VARIABLE} names its program)")
    results: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory(prefix="visits-") as folder, dynalite() as address:
        data = Path(folder) / "export"
        write_export(data, options.items)
        make_table(address, _TABLE)
        put(address, _TABLE, [item(k) for k in range(options.items)])
        for number in range(options.rounds):
            for name in _CASES:
                print(f"round {number + 1}: {name}", file=sys.stderr, flush=True)
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.visits", name, address, str(data), str(options.items)],
                    env={**os.environ, **CREDENTIALS, **ISOLATED},
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                results[name] = Measured(**json.loads(done.stdout)).better(results.get(name))
    print("\n".join(lines(results)))
    whole = {name: found.facts["rows"] for name, found in results.items() if not name.endswith("_hour")}
    if (
        set(whole.values()) != {options.items}
        or len({results[n].facts["rows"] for n in ("scan_hour", "index_hour")}) > 1
    ):
        sys.exit("not every way read the same items, so their costs cannot be compared")


if __name__ == "__main__":
    main()
