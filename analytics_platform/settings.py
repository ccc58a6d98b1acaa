"""Every setting: its environment variable, its default, its check.

Belongs here: reading the environment, `.env` in the current folder and `settings.env` in the home folder (in that order
of precedence). Does not: anything that acts on a setting.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from analytics_platform.language import LANGUAGES
from analytics_platform.metrics.dimensions import Labels

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


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not an IANA time zone; write one such as Europe/Moscow") from None
    return name


def _language(code: str) -> str:
    code = code.lower()
    if code not in LANGUAGES:
        raise ValueError(f"{code!r} is not a language of this platform; write one of {', '.join(LANGUAGES)}")
    return code


def _duckdb_size(text: str) -> str:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)? ?[KMGT]i?B", text):
        raise ValueError(f"{text!r} is not a size; write one such as 768MB or 2GB")
    return text


class Settings(BaseSettings):
    """All settings. Secrets are `SecretStr`: they never show in a repr, a log or an error."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, populate_by_name=True)

    timezone: Annotated[str, AfterValidator(_zone)] = Field(default="UTC", description="zone of the reporting day")
    locale: Annotated[str, AfterValidator(_language)] = Field(default="en", description="language of reports: en or ru")
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

    duckdb_memory_limit: Annotated[str, AfterValidator(_duckdb_size)] = Field(
        default="768MB", description="memory of the embedded engine; beyond it, it spills to the home folder"
    )
    duckdb_threads: int = Field(default=0, ge=0, le=256, description="threads of the embedded engine; 0: one per core")
    lock_timeout_seconds: float = Field(
        default=120.0, gt=0, le=86_400, description="how long to wait while another process has the warehouse file open"
    )

    retry_pause_seconds: int = Field(
        default=300, ge=0, description="how long a run waits before trying again what only waiting can mend"
    )

    delivery_channel: Literal["auto", "folder", "telegram"] = Field(
        default="auto", description="where reports go; auto: Telegram when token and chats are set, else the folder"
    )
    telegram_bot_token: SecretStr | None = Field(default=None, description="token from @BotFather")
    telegram_chat_ids: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="chats, separated by commas; chat/topic for a forum topic"
    )
    telegram_api_url: str | None = Field(default=None, description="another Bot API server, such as a local one")

    @field_validator("gender_labels", mode="before")
    @classmethod
    def _labels(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        if any(not (code.strip() and sign and label.strip()) for code, sign, label in pairs):
            raise ValueError("write code=label pairs, such as 1=male,0=female")
        return {code.strip(): label.strip() for code, _, label in pairs}

    @field_validator("telegram_chat_ids", mode="before")
    @classmethod
    def _chats(cls, value: object) -> object:
        return tuple(c.strip() for c in value.split(",") if c.strip()) if isinstance(value, str) else value

    @field_validator("telegram_bot_token", "telegram_api_url", mode="before")
    @classmethod
    def _blank(cls, value: object) -> object:
        return None if isinstance(value, str) and not value.strip() else value

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
    def delivers_to(self) -> Literal["folder", "telegram"]:
        """The channel that reports really go to."""
        if self.delivery_channel == "auto":
            return "telegram" if self.telegram_bot_token and self.telegram_chat_ids else "folder"
        return self.delivery_channel


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
    return f"{name}: {str(error['msg']).removeprefix('Value error, ')}."


def misspelt(home: Home) -> list[tuple[str, str, Path]]:
    """(name, the setting it resembles, file) for lines of `.env` and the home's settings that set nothing."""
    known = [*(name.upper() for name in Settings.model_fields), HOME_VARIABLE]
    found = []
    for path in (Path(".env"), home.settings_file):
        lines = path.read_text("utf-8").splitlines() if path.is_file() else []
        for name in (line.partition("=")[0].strip().upper() for line in lines if not line.lstrip().startswith("#")):
            close = get_close_matches(name, known, n=1, cutoff=0.8)
            if close and name not in known:
                found.append((name, close[0], path))
    return found


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
