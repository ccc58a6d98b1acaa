"""A home with e-mail funnels: a generated site in MariaDB, settings that lead there and to Brevo, runs of a sync.

Belongs here: making them, what came of a run; fixtures of these, which a module of tests takes by name (`brevo =
funnel_home.brevo`). Does not: assertions, a ledger on a clock of its own (`funnel_world.py`).
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from analytics_platform.definitions import build_definitions
from analytics_platform.defs.claims import gone, now
from analytics_platform.defs.funnel_syncs import Stage, Syncing
from analytics_platform.defs.funnels import JOB, STEP
from analytics_platform.defs.liveness import alive
from analytics_platform.defs.owner import collect_failures
from analytics_platform.defs.resources import ledgers_of, warehouse_at
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Entry, Job, JobStatus
from analytics_platform.metrics.tables import FUNNEL_CONVERSIONS
from analytics_platform.settings import Home, Settings
from analytics_platform.simulate.modx import add_payments, write_site
from analytics_platform.simulate.modx_site import Paid, Site
from analytics_platform.sources.modx_names import parse_names
from analytics_platform.state.funnels import FunnelLedger
from analytics_platform.state.held import Held, held
from analytics_platform.warehouses.base import Warehouse
from analytics_platform_tests.brevo_server import BrevoServer, brevo_server
from analytics_platform_tests.mysql_service import MariaDB

LANGUAGE, OTHER = FunnelType.LANGUAGE, FunnelType.NON_LANGUAGE
NOWHERE = "mysql://reader:of-the-site@127.0.0.1:1/site"
_GROWING = ("modx_cert_payment", "modx_cert_result", "modx_cert_users")


@dataclass(frozen=True)
class GeneratedSite:
    """A site of this moment in a database of its own. `url`: of an account that only reads."""

    server: MariaDB = field(repr=False)
    name: str
    truth: Site

    @property
    def url(self) -> str:
        return self.server.url(self.name, "reader")

    def pay(self, *payments: Paid) -> None:
        """They are in the site from now on."""
        add_payments(SecretStr(self.server.url(self.name)), parse_names(), payments, self.truth.zone)

    @contextmanager
    def kept(self) -> Iterator["GeneratedSite"]:
        """What is paid inside was never paid afterwards."""
        with self.server.connect(self.name) as con, con.cursor() as ask:
            last = {}
            for table in _GROWING:
                ask.execute(f"SELECT MAX(id) FROM {table}")
                last[table] = ask.fetchone()
            yield self
            for table, number in last.items():
                ask.execute(f"DELETE FROM {table} WHERE id > %s", number)


def generated_site(
    server: MariaDB, name: str, *, people: int = 60, results: int = 160, payments: int = 40
) -> GeneratedSite:
    """One in an emptied database of that name."""
    until = datetime.now(UTC).replace(microsecond=0)
    truth = Site(people=people, results=results, payments=payments, until=until)
    write_site(SecretStr(server.empty_database(name)), truth, parse_names())
    return GeneratedSite(server, name, truth)


def connected(site: GeneratedSite | None, brevo: BrevoServer | None, **others: object) -> dict[str, str]:
    """The settings of a home that syncs, as they stand in the environment."""
    found: dict[str, object] = {"APP_DRY_RUN": "false", "RETRY_PAUSE_SECONDS": 0}
    if site:
        found |= {"MODX_URL": site.url}
    if brevo:
        found |= {"BREVO_API_KEY": brevo.api_key.get_secret_value(), "BREVO_BASE_URL": brevo.url}
        found |= {"BREVO_LANGUAGE_LIST_ID": 7, "BREVO_NON_LANGUAGE_LIST_ID": 8, "BREVO_IMPORT_FROM": 1}
    return {name: str(value) for name, value in (found | others).items()}


@dataclass(frozen=True)
class Synced:
    """One run. `logs`: what it told its log; `made`, `seen`: metadata by asset, of materialisations and observations;
    `told`: every word of it that is kept or shown."""

    success: bool
    logs: tuple[str, ...]
    made: Mapping[str, Mapping[str, Any]]
    seen: Mapping[str, Mapping[str, Any]]
    failures: tuple[str, ...]
    told: str = field(repr=False)
    retries: int = 0


@dataclass
class FunnelHome:
    """A home, its settings (as in the environment) and what is in it."""

    path: Path
    environment: Mapping[str, str]

    @property
    def home(self) -> Home:
        return Home(self.path)

    @property
    def settings(self) -> Settings:
        values: dict[str, Any] = {name.lower(): value for name, value in self.environment.items()}
        return Settings(**values)

    @property
    def warehouse(self) -> Warehouse:
        return warehouse_at(self.home, self.settings)

    @property
    def ledger(self) -> FunnelLedger:
        return ledgers_of(self.home, self.settings).funnels

    def but(self, **changes: object) -> "FunnelHome":
        """The same home with other settings; None: without that one."""
        changed = {**self.environment, **{name: value for name, value in changes.items() if value is not None}}
        return FunnelHome(self.path, {n: str(v) for n, v in changed.items() if changes.get(n, "") is not None})

    def prepared(self) -> "FunnelHome":
        """Itself, with all its tables and nothing in them: to be copied, as making them costs more than most tests."""
        ledgers = ledgers_of(self.home, self.settings)
        assert not any(ledgers.funnels.counts().values())
        assert not ledgers.problems.open()
        self.warehouse.prepare()
        return self

    def copied(self, path: Path, **changes: object) -> "FunnelHome":
        """The same elsewhere, with other settings; None: without that one."""
        return FunnelHome(shutil.copytree(self.path, path), self.environment).but(**changes)

    def settled(self) -> "FunnelHome":
        """Itself, with its settings in its file, where the command line finds them."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.home.settings_file.write_text("".join(f"{name}={value}\n" for name, value in self.environment.items()))
        return self

    def sync(
        self,
        *,
        dry_run: bool = False,
        tags: Mapping[str, str] | None = None,
        owners: bool = False,
        warehouse: Warehouse | None = None,
    ) -> Synced:
        """One run of the job. `owners`: what failed is made a problem, as the sensor does it."""
        settings, warehouse = self.settings, warehouse or self.warehouse
        definitions = build_definitions(self.home, settings, warehouse=warehouse)
        config = {
            "ops": {STEP: {"config": {"dry_run": dry_run}}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        }
        began = datetime.now(UTC)
        with dg.DagsterInstance.ephemeral() as instance:
            result = definitions.resolve_job_def(JOB).execute_in_process(
                instance=instance, run_config=config, raise_on_error=False, tags=dict(tags or {})
            )
            entries = instance.all_logs(result.run_id)
            if owners:
                collect_failures(instance, settings, ledgers_of(self.home, settings), began)
        events = [entry.dagster_event for entry in entries if entry.dagster_event]
        return Synced(
            success=result.success,
            logs=tuple(entry.user_message for entry in entries if not entry.dagster_event),
            made={
                event.asset_key.to_user_string(): _plain(event.materialization.metadata)
                for event in events
                if event.is_step_materialization and event.asset_key
            },
            seen={
                event.asset_key.to_user_string(): _plain(event.asset_observation_data.asset_observation.metadata)
                for event in events
                if event.is_asset_observation and event.asset_key
            },
            failures=tuple(
                event.step_failure_data.user_failure_data.description or ""
                for event in events
                if event.is_step_failure and event.step_failure_data.user_failure_data
            ),
            told="\n".join(dg.serialize_value(entry) for entry in entries),
            retries=sum(event.is_step_up_for_retry for event in events),
        )

    @contextmanager
    def lease(self) -> Iterator[Held]:
        """The funnels' lease, held by this process as if a terminal had it."""
        with alive(self.home, "terminal-of-a-test") as owner, held(self.ledger, owner, now, gone) as kept:
            yield kept

    def publish(self, warehouse: Warehouse | None = None) -> Stage:
        """The part of a sync that writes to the warehouse."""
        chosen = warehouse or self.warehouse
        chosen.prepare()
        syncing = Syncing(self.settings, ledgers_of(self.home, self.settings), lambda: chosen, lambda *_: None)
        with self.lease() as kept:
            return syncing.published(kept, complete=True)

    # ------------------------------------------------------------ what is there

    def entries(self) -> list[Entry]:
        """All of them, by id."""
        return list(self.ledger.rows(None, None))

    def jobs(self, *statuses: JobStatus) -> list[Job]:
        """Those of a status, or all, by id."""
        return self.ledger.jobs(statuses or tuple(JobStatus), 10_000)

    def stored(self) -> list[dict[str, Any]]:
        """The rows in the warehouse, by entry."""
        warehouse = self.warehouse
        found: list[dict[str, Any]] = []
        for day in self.days():
            found += warehouse.stored_rows(FUNNEL_CONVERSIONS, day).to_pylist()
        return sorted(found, key=lambda row: int(row["entry_id"]))

    def days(self) -> list[date]:
        """The days that the warehouse has."""
        return sorted(self.warehouse.computed_days(FUNNEL_CONVERSIONS, date(2020, 1, 1), date(2199, 1, 1)))

    def files(self) -> set[str]:
        """What lies in the home, besides what Dagster itself keeps."""
        return {
            str(path.relative_to(self.path))
            for path in self.path.rglob("*")
            if path.is_file() and not path.is_relative_to(self.home.dagster)
        }


def _plain(metadata: Mapping[str, dg.MetadataValue[Any]]) -> dict[str, Any]:
    return {name: value.value for name, value in metadata.items()}


def written(brevo: BrevoServer) -> list[Any]:
    """The requests that were to change something."""
    return [one for one in brevo.requests if one.method != "GET"]


# ---------------------------------------------------------------------- fixtures


@pytest.fixture(scope="module")
def site(mariadb: MariaDB, request: pytest.FixtureRequest) -> GeneratedSite:
    """Sixty people, 160 tests, 40 orders, in a database of the module's own."""
    return generated_site(mariadb, request.path.stem)


@pytest.fixture
def brevo() -> Iterator[BrevoServer]:
    """A Brevo that knows nobody."""
    with brevo_server() as server:
        yield server


@pytest.fixture
def place(site: GeneratedSite, brevo: BrevoServer, tmp_path: Path) -> FunnelHome:
    """A home that never synced; two people a funnel enter at a time, each told of alone."""
    return FunnelHome(tmp_path / "home", few_at_a_time(site, brevo)).settled()


def few_at_a_time(site: GeneratedSite, brevo: BrevoServer) -> dict[str, str]:
    """The settings by which two people a funnel enter at a time, and each is told of alone."""
    return connected(site, brevo, FUNNEL_BATCH=2, BREVO_IMPORT_FROM=500)
