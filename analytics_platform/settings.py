"""Every setting: its environment variable, its default, its check.

Belongs here: reading the environment, `.env` in the current folder and `settings.env` in the home folder (in that order
of precedence). Does not: anything that acts on a setting.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from analytics_platform import setting_values as values
from analytics_platform.alerts.watch import Watch, parse_rule, parse_rules
from analytics_platform.availability import Policy, parse_policy
from analytics_platform.metrics.dimensions import Labels
from analytics_platform.setting_groups import FunnelSettings, RankingSettings, VisitSettings

HOME_VARIABLE = "ANALYTICS_PLATFORM_HOME"
DEFAULT_HOME = ".analytics_platform"


class SettingsError(Exception):
    """A setting is wrong. The message has one sentence per variable: its name, what is wrong, what is expected."""


@dataclass(frozen=True)
class Home:
    """The folder that holds everything embedded. Several homes live side by side, sharing nothing."""

    path: Path

    @property
    def events(self) -> Path:
        """Raw events (DuckDB)."""
        return self.path / "events.duckdb"

    @property
    def results(self) -> Path:
        """Facts, slices and frames (DuckDB); small, opened for writing only for milliseconds."""
        return self.path / "results.duckdb"

    @property
    def artifacts(self) -> Path:
        """Rendered charts and reports by name and period."""
        return self.path / "artifacts"

    @property
    def outbox(self) -> Path:
        """What the folder channel delivered."""
        return self.path / "outbox"

    @property
    def preview(self) -> Path:
        """What dry runs made."""
        return self.path / "preview"

    @property
    def sent(self) -> Path:
        """What was handed over to be delivered, as long as it may have to be sent again."""
        return self.path / "sent"

    @property
    def state(self) -> Path:
        """Ledgers, subscribers and open problems (SQLite), unless STATE_URL names another database."""
        return self.path / "state.sqlite"

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME: runs, materialisations, schedules' ticks, logs."""
        return self.path / "dagster"

    @property
    def scratch(self) -> Path:
        """Spill files and half-done work; safe to delete when nothing runs."""
        return self.path / "tmp"

    @property
    def own_events(self) -> Path:
        """There once somebody has loaded events: from then on the demo leaves this home alone."""
        return self.path / "own_events"

    @property
    def settings_file(self) -> Path:
        """Settings of this home, as `NAME=value` lines."""
        return self.path / "settings.env"


_PAIRS = {
    "gender_labels": "code=label pairs, such as 1=male,0=female",
    "events_mapping": "ours=theirs pairs, such as feed_actions=feed_log,feed_actions.user_id=uid",
}
_Words = Annotated[tuple[str, ...], NoDecode]


class Settings(RankingSettings, VisitSettings, FunnelSettings):
    """All settings. Secrets are `SecretStr`: they never show in a repr, a log or an error."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, populate_by_name=True)

    timezone: Annotated[str, AfterValidator(values.zone)] = Field(
        default="UTC", description="zone of the reporting day"
    )
    locale: Annotated[str, AfterValidator(values.language)] = Field(
        default="en", description="language of reports: en or ru"
    )
    start_date: date = Field(
        default=date(2025, 1, 1), description="first daily partition; loading earlier events moves it"
    )
    report_time: time = Field(default=time(11, 0), description="when the daily report goes out, in TIMEZONE")
    gender_labels: Annotated[dict[str, str], NoDecode] = Field(
        default={"1": "male", "0": "female"}, description="what the codes in the gender column mean"
    )
    volume_tolerance: float = Field(
        default=0.5, gt=0, le=1, description="share by which a day may differ from the same weekday before a warning"
    )

    warehouse_url: SecretStr | None = Field(
        default=None,
        description="where events and results live: clickhouse://user:password@host:8123/database, or "
        "duckdb:///folder; default: two DuckDB files in the home",
    )
    events_database: str | None = Field(
        default=None, description="ClickHouse database of the events, when it is another than the one of WAREHOUSE_URL"
    )
    events_mapping: Annotated[dict[str, str], NoDecode] = Field(
        default={}, description="how tables and columns of the events are called there, ours=theirs, ..."
    )
    clickhouse_cluster: str | None = Field(
        default=None, description="cluster on which result tables are created, replicated"
    )
    clickhouse_memory_limit: Annotated[str, AfterValidator(values.size)] = Field(
        default="4GB", description="memory of one statement on ClickHouse"
    )
    clickhouse_time_limit_seconds: int = Field(
        default=900, ge=1, le=86_400, description="after which ClickHouse ends a statement"
    )
    clickhouse_connect_seconds: float = Field(
        default=10, gt=0, le=300, description="how long to wait for a connection to ClickHouse"
    )
    facts_keep_days: Annotated[int, AfterValidator(values.keep_days)] = Field(
        default=0, ge=0, description="after which ClickHouse drops rows of facts/user_day and facts/post_day; 0: never"
    )
    late_data_days: int = Field(
        default=30, ge=0, le=400, description="how many past days are watched for events that come late; 0: none"
    )
    duckdb_memory_limit: Annotated[str, AfterValidator(values.size)] = Field(
        default="768MB", description="memory of the embedded engine; beyond it, it spills to the home folder"
    )
    duckdb_threads: int = Field(
        default=0, ge=0, le=256, description="threads of the embedded engine; 0: as many as a day is worth"
    )
    lock_timeout_seconds: float = Field(
        default=120.0, gt=0, le=86_400, description="how long to wait while another process has the warehouse file open"
    )

    retry_pause_seconds: int = Field(
        default=300, ge=0, description="how long a run waits before trying again what only waiting can mend"
    )

    state_url: SecretStr | None = Field(
        default=None,
        description="database of the run ledger, such as postgresql://...; default: SQLite in the home",
    )
    reports: _Words = Field(
        default=("feed_daily", "app_daily"), description="reports that go out by themselves, separated by commas"
    )
    gate_feed_actions: Annotated[str, AfterValidator(values.policy)] = Field(
        default="", description="when feed_actions counts as complete"
    )
    gate_message_actions: Annotated[str, AfterValidator(values.policy)] = Field(
        default="", description="when message_actions counts as complete"
    )
    late_after_hours: float = Field(
        default=3, ge=0, description="hours after a report is due without its data until its owner is told"
    )
    report_attempts: int = Field(default=3, ge=1, description="how often a report that fails before delivery is tried")
    report_lease_minutes: float = Field(
        default=60, gt=0, description="after which a run on another machine that says nothing loses its report"
    )
    backlog_limit: int = Field(
        default=7, ge=1, description="more missed periods than this become one digest instead of a report each"
    )
    correction_tolerance: float = Field(
        default=0.01, ge=0, description="share by which a delivered figure may move before a correction is sent"
    )
    correction_days: int = Field(
        default=7, ge=0, description="for how many days after its period a delivered report is watched; 0: never"
    )
    csv_bom: bool = Field(default=True, description="begin CSV files with a byte order mark, as Excel needs it")

    owner_emails: _Words = Field(default=(), description="who is told of problems by e-mail, separated by commas")
    owner_telegram_chat_ids: _Words = Field(default=(), description="chats that are told of problems")
    report_owners: Annotated[dict[str, tuple[str, ...]], NoDecode] = Field(
        default={}, description="owners of single reports instead: app_daily=ann@example.org -1001234567890, ..."
    )
    problems_again_hours: float = Field(
        default=24, gt=0, description="after which the owner is told again of a problem that lasts"
    )
    smtp_host: str | None = Field(default=None, description="mail server")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="its port")
    smtp_security: Literal["none", "starttls", "ssl"] = Field(default="starttls", description="none, starttls or ssl")
    smtp_user: str | None = Field(default=None, description="login, when the server wants one")
    smtp_password: SecretStr | None = Field(default=None, description="its password")
    smtp_from: str | None = Field(default=None, description="sender, such as Reports <reports@example.org>")
    smtp_timeout_seconds: float = Field(default=20, gt=0, le=300, description="how long to wait for the mail server")
    smtp_ca_file: Path | None = Field(default=None, description="certificates to trust instead of the system's")
    ui_url: str | None = Field(default=None, description="address of the Dagster UI, for links in messages")
    heartbeat_file: Path | None = Field(default=None, description="written every minute while the daemon works")
    heartbeat_url: SecretStr | None = Field(default=None, description="called every minute while the daemon works")

    delivery_channel: Literal["auto", "folder", "subscribers"] = Field(
        default="auto", description="where reports go; auto: to subscribers, into a folder while there are none"
    )
    delivery_hours: float = Field(
        default=24, gt=0, le=24 * 14, description="for how long what could not be sent is tried again"
    )
    alerts: bool = Field(default=True, description="whether metrics are checked every 15 minutes")
    alert_rule: Annotated[str, AfterValidator(values.rule)] = Field(
        default="", description="how every metric is watched, such as sensitivity=1 min_change=0.1 quiet=23:00-07:00"
    )
    alert_rules: Annotated[str, AfterValidator(values.rules)] = Field(
        default="", description="how single metrics are watched: ctr: min_change=0.05; likes: direction=down"
    )
    alert_dimensions: Annotated[_Words, AfterValidator(values.dimensions)] = Field(
        default=("os", "source"), description="dimensions whose slices are watched, too, separated by commas"
    )
    alert_lateness_minutes: int | None = Field(
        default=None, ge=0, le=240, description="how late events come; default: learned from each source"
    )
    alert_catch_up_hours: int = Field(
        default=24, ge=1, le=24 * 28, description="how far back missed quarter hours are still judged"
    )
    alert_remind_hours: float = Field(
        default=6, ge=1, le=24 * 28, description="after which a lasting incident is told of again"
    )

    telegram_bot_token: SecretStr | None = Field(default=None, description="token from @BotFather")
    telegram_chat_ids: _Words = Field(
        default=(), description="chats that get every report, separated by commas; chat/topic for a forum topic"
    )
    telegram_api_url: str | None = Field(default=None, description="another Bot API server, such as a local one")
    unsubscribe_url: str | None = Field(
        default=None, description="public address of the page behind the link in mails, such as https://example.org"
    )

    @field_validator("gender_labels", "events_mapping", mode="before")
    @classmethod
    def _labels(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        return values.pairs(value, _PAIRS[info.field_name or ""])

    @field_validator("delivery_channel", mode="before")
    @classmethod
    def _telegram(cls, value: object) -> object:
        # What it was called while Telegram was the only channel.
        return "subscribers" if value == "telegram" else value

    @field_validator(
        "telegram_chat_ids", "reports", "owner_emails", "owner_telegram_chat_ids", "alert_dimensions", mode="before"
    )
    @classmethod
    def _words(cls, value: object) -> object:
        return tuple(c.strip() for c in value.split(",") if c.strip()) if isinstance(value, str) else value

    @field_validator("report_owners", mode="before")
    @classmethod
    def _owners(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        shape = "report=owner pairs, such as app_daily=ann@example.org,feed_daily=-1001234567890"
        return {report: tuple(who.split()) for report, who in values.pairs(value, shape).items()}

    @field_validator(
        "alert_lateness_minutes",
        "telegram_bot_token",
        "telegram_api_url",
        "unsubscribe_url",
        "state_url",
        "warehouse_url",
        "events_database",
        "clickhouse_cluster",
        "smtp_host",
        "smtp_user",
        "smtp_password",
        "smtp_from",
        "smtp_ca_file",
        "ui_url",
        "heartbeat_file",
        "heartbeat_url",
        mode="before",
    )
    @classmethod
    def _blank(cls, value: object) -> object:
        return values.blank(value)

    @property
    def zone(self) -> ZoneInfo:
        """The zone whose local days are reported."""
        return ZoneInfo(self.timezone)

    @property
    def labels(self) -> Labels:
        """Readable labels of coded dimensions."""
        return Labels({"gender": self.gender_labels})

    @property
    def basis(self) -> str:
        """The settings that results depend on: days computed under another zone or labels are not current."""
        return f"{self.timezone} " + ",".join(f"{code}={label}" for code, label in sorted(self.gender_labels.items()))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown: tokens, passwords, addresses that hold one, and the passwords in them."""
        every = (getattr(self, name) for name in type(self).model_fields)
        shown = [v.get_secret_value() for v in every if isinstance(v, SecretStr) and v.get_secret_value()]
        return (*shown, *(word for value in shown for word in values.passwords(value)))

    @property
    def clickhouse_memory_bytes(self) -> int:
        """CLICKHOUSE_MEMORY_LIMIT as a number of bytes."""
        return values.in_bytes(self.clickhouse_memory_limit)

    @property
    def gates(self) -> Mapping[str, Policy]:
        """When each event table counts as complete, by its name."""
        return {
            "feed_actions": parse_policy(self.gate_feed_actions),
            "message_actions": parse_policy(self.gate_message_actions),
        }

    @property
    def watch(self) -> Watch:
        """How each metric is watched."""
        default = parse_rule(self.alert_rule)
        return Watch(default, parse_rules(self.alert_rules, default))

    @property
    def owners(self) -> tuple[str, ...]:
        """Who is told of problems: e-mail addresses and Telegram chats."""
        return (*self.owner_emails, *self.owner_telegram_chat_ids)

    @property
    def delivers(self) -> bool:
        """Whether reports are meant for anybody beyond the folder: there is a way to subscribers."""
        if self.delivery_channel == "auto":
            return bool(self.telegram_bot_token or (self.smtp_host and self.smtp_from))
        return self.delivery_channel == "subscribers"


def home_folder(chosen: Path | None = None) -> Home:
    """The home folder: the one chosen (`--home`), else ANALYTICS_PLATFORM_HOME, else `.analytics_platform` here."""
    return Home(Path(chosen or os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).expanduser().resolve())


def load_settings(home: Home, **overrides: object) -> Settings:
    """The settings in force for that home. Raises SettingsError, naming each wrong variable without its value.

    Precedence: overrides, environment, `.env` in the current folder, `settings.env` in the home, defaults.
    """
    try:
        # pydantic-settings reads the later file over the earlier one.
        return Settings(_env_file=(home.settings_file, ".env"), **overrides)  # type: ignore[call-arg, arg-type]
    except (UnicodeDecodeError, OSError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"
        raise SettingsError(f"one of .env and {home.settings_file} {reason}.") from None
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(dict(e)) for e in error.errors(include_url=False))) from None


def _sentence(error: Mapping[str, object]) -> str:
    location = error["loc"]
    name = str(location[0] if isinstance(location, tuple) and location else "settings").upper()
    told = {"bool_parsing": "write true or false", "int_parsing": "write a whole number"}.get(str(error["type"]))
    return f"{name}: {told or str(error['msg']).removeprefix('Value error, ')}."


def remember(home: Home, name: str, value: str) -> None:
    """Set `NAME=value` in the home's own settings file, replacing an earlier line; other lines stay as they are."""
    lines = home.settings_file.read_text("utf-8").splitlines() if home.settings_file.exists() else []
    kept = [line for line in lines if line.partition("=")[0].strip().upper() != name]
    home.path.mkdir(parents=True, exist_ok=True)
    target = home.settings_file.resolve()
    draft = target.with_suffix(".env.new")
    # The file may hold a token: it is never readable by more people than before, and by its owner alone when new.
    draft.touch(mode=0o600)
    draft.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o600)
    draft.write_text("\n".join([*kept, f"{name}={value}"]) + "\n", "utf-8")
    draft.replace(target)
