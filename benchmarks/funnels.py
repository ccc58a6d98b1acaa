"""Funnels of a large site: `python -m benchmarks.funnels [--results 1000000 --entries 200000 --payments 50000]`.

Belongs here: the ways of syncing, what they are measured against, the table. Does not: the site's rows and the ledgers
(`funnel_site.py`), clocks and counters (`measure.py`), what is right (`test_funnel_sync.py`).

One MariaDB holds the site and, in one of two ways, the funnels' own tables; the other way has them in SQLite. Each case
runs in a process of its own; CPU is that of this process, and what the server took meanwhile is shown beside.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.funnel_site import AS_OF, BATCH, NEW_BUYERS, PLAN, Place, Site, enter_everybody
from benchmarks.measure import Job, Measured, Moment, measure

_SYNCS = {
    "first": "nobody is in a funnel yet: two batches of 1,000 enter",
    "settling": "all are in, no payment was looked at yet",
    "steady": "nothing new",
    "bought": "2,000 of them have paid since",
}
_PLACES = {"sqlite": "SQLite", "mariadb": "MariaDB"}
_OUTBOXES = {"single": "the outbox, 200 contacts one by one", "import": "the outbox, the other 1,800 imported"}
# What a request by request way costs is told from so many of them.
_SAMPLE, _FEW = 2_000, 200
_NAIVE = {"naive": "the site has a key of e-mails", "keyless": "it has none"}
_SINGLE = 200
_AIMS = {"CPU s": 20.0, "MiB": 300.0}
_TOLD_OF_SERVER = "server"

_TESTS = "SELECT Id, Email, TestId, Datep, Status FROM simpletest_users"
_PAYMENTS = """
SELECT u.email, t.type, p.datetime_payment FROM modx_cert_payment p JOIN modx_cert_result r ON r.id = p.id_result
JOIN modx_cert_users u ON u.id = r.id_user JOIN modx_cert_test t ON t.id = r.id_test
WHERE p.id_status = 2 AND p.datetime_payment IS NOT NULL
"""
_ONE_PAYMENT = f"{_PAYMENTS} AND u.email = %s AND t.type = %s ORDER BY p.datetime_payment LIMIT 1"
_ONE_ENTRY = "SELECT NOT EXISTS (SELECT 1 FROM funnels.funnel_entries WHERE email = %s AND funnel_type = %s)"


# ------------------------------------------------------------------- cases


def _sync(site: Site, place: Place) -> Job:
    """One sync as the assets do it: who enters, then who bought."""
    from analytics_platform.funnel_sync import FunnelSync
    from analytics_platform.state.held import held

    ledger, owner = place.ledger(), place.owner()
    source = site.source()
    counted: dict[str, object] = {}

    def run() -> Mapping[str, float]:
        sync = FunnelSync(source, ledger, PLAN, lambda: AS_OF, lambda *_: None)
        with held(ledger, owner, lambda: AS_OF, lambda _owner: False) as lease:
            start = Moment.now()
            entered = sync.enter(lease)
            middle = Moment.now()
            bought = sync.purchases(lease)
        came, settled = entered.by_funnel.values(), bought.by_funnel.values()
        counted["looked_at"] = sum(one.looked_at for one in came)
        counted["entered"] = sum(one.entered + one.customers for one in came)
        counted["settled"] = sum(one.purchased + one.customers for one in settled)
        counted["open"] = sum(one.open for one in settled)
        return {"entries": middle.cpu - start.cpu, "purchases": Moment.now().cpu - middle.cpu}

    # Once unmeasured: libraries are imported, the tables are there.
    ledger.counts()
    list(source.taken(AS_OF, PLAN.active))
    return Job(run, facts=lambda: counted)


def _scan(site: Site, _place: Place) -> Job:
    """The driver's own cursor: every test and payment, fetched and thrown away."""
    from pymysql.cursors import SSCursor

    connection = site.connect()
    counted: dict[str, object] = {}

    def run() -> Mapping[str, float]:
        for name, text in (("tests", _TESTS), ("payments", _PAYMENTS)):
            with connection.cursor(SSCursor) as ask:
                ask.execute(text)
                counted[name] = 0
                while rows := ask.fetchmany(5_000):
                    counted[name] = int(str(counted[name])) + len(rows)
        return {}

    return Job(run, facts=lambda: counted)


def _naive(site: Site, sample: int) -> Job:
    """A statement an entry and a statement a test, as the replaced script asked; of the first so many of both."""
    from pymysql.cursors import DictCursor

    connection = site.connect()
    counted: dict[str, object] = {}

    def run() -> Mapping[str, float]:
        with connection.cursor(DictCursor) as ask:
            start, took = Moment.now(), {}
            ask.execute("SELECT email, funnel_type FROM funnels.funnel_entries ORDER BY id LIMIT %s", [sample])
            entries = list(ask.fetchall())
            for entry in entries:
                ask.execute(_ONE_PAYMENT, [entry["email"], 1 if entry["funnel_type"] == "language" else 2])
                ask.fetchall()
            took["entries"] = _since(start)
            start = Moment.now()
            ask.execute(f"{_TESTS} ORDER BY Id DESC LIMIT %s", [sample])
            for test in list(ask.fetchall()):
                ask.execute(_ONE_ENTRY, [test["Email"].strip().lower(), site.funnel_of(test["TestId"])])
                ask.fetchall()
            took["tests"] = _since(start)
        counted.update({f"{name} {what}": one for name, both in took.items() for what, one in both.items()})
        counted["sample"] = sample
        return {}

    return Job(run, facts=lambda: counted)


def _since(start: Moment) -> Mapping[str, float]:
    end = Moment.now()
    return {"cpu": end.cpu - start.cpu, "wall": end.wall - start.wall}


def _outbox(place: Place, address: str, key: str, most: int | None) -> Job:
    """The outbox against the stand-in for the mailing service; with `most`, so many jobs and none imported."""
    from datetime import UTC, datetime, timedelta

    from pydantic import SecretStr

    from analytics_platform.contacts.brevo import Brevo
    from analytics_platform.funnel_outbox import Outbox
    from analytics_platform.state.held import held

    ledger, owner = place.ledger(), place.owner()
    counted: dict[str, object] = {}

    def clock() -> datetime:
        return datetime.now(UTC)

    def run() -> Mapping[str, float]:
        brevo = Brevo(SecretStr(key), address)
        box = Outbox(ledger, brevo, 500 if most is None else 10**9, clock, lambda *_: None, PLAN.lists)
        with held(ledger, owner, clock, lambda _owner: False) as lease:
            length = timedelta(minutes=14) if most is None else timedelta(seconds=most / 10)
            worked = box.work(lease, clock() + length)
        brevo.close()
        counted.update(sent=worked.sent, imported=worked.imported, failed=worked.failed, left=worked.left)
        return {}

    ledger.counts()
    return Job(run, facts=lambda: counted)


_CASES: Mapping[str, Callable[[Site, Place], Job]] = {**dict.fromkeys(_SYNCS, _sync), "scan": _scan}


def _child(asked: Mapping[str, Any]) -> None:
    """One case, measured here; what it came to, as JSON."""
    place, case = Place(asked["ledger"]), str(asked["case"])
    site = Site(asked["site"])
    if case == "fill":
        enter_everybody(place.ledger(), place.owner(), int(asked["entries"]))
        return
    if case in _OUTBOXES:
        job = _outbox(place, asked["address"], asked["key"], _SINGLE if case == "single" else None)
    elif case in _NAIVE:
        job = _naive(site, int(asked["sample"]))
    else:
        job = _CASES[case](site, place)
    before = site.server_cpu()
    found = measure(job, 1)
    found = replace(found, facts={**found.facts, _TOLD_OF_SERVER: site.server_cpu() - before})
    print(json.dumps(found.to_json()))


# --------------------------------------------------------------- the command


def main() -> None:
    """The command; with `--child`, one case, told what to do on its standard input."""
    if sys.argv[1:] == ["--child"]:
        _child(json.loads(sys.stdin.read()))
        return
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.funnels", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--results", type=int, default=1_000_000, help="tests within the window (default 1000000)")
    parser.add_argument("--entries", type=int, default=200_000, help="people who took them (default 200000)")
    parser.add_argument("--payments", type=int, default=50_000, help="certificates paid for (default 50000)")
    parser.add_argument("--rounds", type=int, default=1, help="processes a case, the cheapest counts (default 1)")
    parser.add_argument("--only", nargs="*", choices=[*_PLACES], default=[*_PLACES], help="where the tables are")
    options = parser.parse_args()
    if options.payments + options.rounds * NEW_BUYERS > options.entries:
        parser.error(f"of the entries, {NEW_BUYERS:,} have to be left for each round that have not paid")
    if not (shutil.which("mariadbd") or Path("/usr/sbin/mariadbd").exists()):
        sys.exit("MariaDB is not installed (apt-get install mariadb-server)")
    from analytics_platform_tests.mysql_service import mariadb

    with tempfile.TemporaryDirectory(prefix="funnels-") as folder, mariadb() as server:
        site = Site(server.url("site"))
        _told("the site is written")
        site.make(options.results, options.entries, options.payments)
        run = _Run(site, Path(folder), options)
        run.everything()
    print("\n".join(run.lines()))
    if wrong := run.wrong():
        sys.exit(wrong)


def _told(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


class _Run:
    """The cases of one command and what they came to."""

    def __init__(self, site: Site, folder: Path, options: argparse.Namespace) -> None:
        self._site, self._folder, self._options = site, folder, options
        self._results: dict[str, Measured] = {}
        self._bought = options.payments  # the first person without a payment

    def everything(self) -> None:
        """Every case; a round has all of them once."""
        ledgers = {place: self._begun(place) for place in self._options.only}
        for _ in range(self._options.rounds):
            for place, ledger in ledgers.items():
                self._measured("steady", place, ledger)
            self._site.pay(self._bought, NEW_BUYERS)
            self._bought += NEW_BUYERS
            for place, ledger in ledgers.items():
                self._measured("bought", place, ledger)
            self._measured("scan", "", "")
        if "mariadb" in ledgers:
            self._measured("naive", "", "", sample=_SAMPLE)
            self._site.without_key()
            self._measured("keyless", "", "", sample=_FEW)

    def _begun(self, place: str) -> str:
        """The first syncs with the tables in that place, and on SQLite the outbox; where everybody is in a funnel."""
        for number in range(self._options.rounds):
            ledger = self._empty(place, f"first{number}")
            self._measured("first", place, ledger)
            if place == "sqlite" and number == 0:
                self._outboxes(ledger)
        ledger = self._empty(place, "funnels")
        _told(f"{place}: {self._options.entries:,} people enter")
        self._started("fill", ledger, entries=self._options.entries)
        self._measured("settling", place, ledger)
        return ledger

    def _outboxes(self, ledger: str) -> None:
        from analytics_platform_tests.brevo_server import brevo_server

        with brevo_server() as brevo:
            for case in ("single", "import"):
                self._measured(case, "", ledger, address=brevo.url, key=brevo.api_key.get_secret_value())

    def _empty(self, place: str, name: str) -> str:
        if place == "mariadb":
            return self._site.empty_database(name)
        return f"sqlite:///{self._folder / name}.db"

    def _measured(self, case: str, place: str, ledger: str, **more: object) -> None:
        key = f"{case}_{place}" if place else case
        _told(key)
        found = Measured(**json.loads(self._started(case, ledger, **more)))
        self._results[key] = found.better(self._results.get(key))

    def _started(self, case: str, ledger: str, **more: object) -> str:
        """On its standard input, since the address holds a password."""
        asked = {"case": case, "site": self._site.url, "ledger": ledger, **more}
        command = [sys.executable, "-m", "benchmarks.funnels", "--child"]
        return subprocess.run(command, check=True, input=json.dumps(asked), stdout=subprocess.PIPE, text=True).stdout

    # ----------------------------------------------------------------- words

    def lines(self) -> list[str]:
        """The tables in Markdown."""
        scan = self._results["scan"]
        shown = [
            "| | CPU s | entries / purchases | x scan | wall s | server's CPU s | MiB added / whole |",
            "|---|---|---|---|---|---|---|",
        ]
        for name, found in self._results.items():
            case, _, place = name.partition("_")
            said = f"{_PLACES[place]}: {_SYNCS[case]}" if place else _OUTBOXES.get(case, "every row, thrown away")
            if case in _NAIVE:
                continue
            parts = " / ".join(f"{found.parts[part]:.1f}" for part in found.parts)
            shown.append(
                f"| `{name}`: {said} | {found.cpu:.2f} | {parts} | {found.cpu / scan.cpu:.1f} | {found.wall:.1f} "
                f"| {float(str(found.facts[_TOLD_OF_SERVER])):.1f} | {found.peak:.0f} / {found.total:.0f} |"
            )
        return [*shown, "", *self._naive_lines(), *self._aims()]

    def _naive_lines(self) -> list[str]:
        """One by one, the sample and what it would be of all."""
        shown = [
            "| one statement each | of them | CPU s | wall s | of all | CPU s | wall s |",
            "|---|---|---|---|---|---|---|",
        ]
        every = {"entries": self._options.entries, "tests": self._options.results}
        for case, said in _NAIVE.items():
            if case not in self._results:
                return []
            facts = {name: float(str(value)) for name, value in self._results[case].facts.items()}
            for name, number in every.items():
                cpu, wall, sample = facts[f"{name} cpu"], facts[f"{name} wall"], facts["sample"]
                some = f"{sample:,.0f} {name} | {cpu:.2f} | {wall:.1f}"
                whole = f"{number:,} | {cpu * number / sample:.0f} | {wall * number / sample:.0f}"
                shown.append(f"| `{case}`: {said} | {some} | {whole} |")
        return [*shown, ""]

    def _aims(self) -> list[str]:
        syncs = [found for name, found in self._results.items() if name.partition("_")[0] in _SYNCS]
        most = {"CPU s": max(found.cpu for found in syncs), "MiB": max(found.total for found in syncs)}
        return [
            f"aim: every sync under {aim:g} {unit}: {'met' if most[unit] < aim else 'missed'}, {most[unit]:.1f}"
            for unit, aim in _AIMS.items()
        ]

    def wrong(self) -> str:
        """In what a case did not do what it is called by; else costs mean nothing."""
        options = self._options
        wanted: dict[str, dict[str, object]] = {
            "first": {"entered": min(2 * BATCH, options.entries)},
            "settling": {"entered": 0, "looked_at": options.results, "settled": options.payments},
            "steady": {"entered": 0, "looked_at": options.results, "settled": 0},
            "bought": {"entered": 0, "settled": NEW_BUYERS},
            "scan": {"tests": options.results},
        }
        for name, found in self._results.items():
            for fact, value in wanted.get(name.partition("_")[0], {}).items():
                if found.facts.get(fact) != value:
                    return f"{name}: {fact} is {found.facts.get(fact)}, not {value}: these costs cannot be compared"
        return ""


if __name__ == "__main__":
    main()
