"""Settings of single capabilities: rankings and Redis, visitor reports and DynamoDB, e-mail funnels and Brevo.

Belongs here: fields with their checks, as groups that `settings.Settings` is made of. Does not: reading the environment
(`settings.py`), anything that acts on a setting.
"""

from collections.abc import Mapping
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from analytics_platform import setting_values as values
from analytics_platform.funnels.plan import FunnelPlan, FunnelType
from analytics_platform.rankings.plan import Mode, Plan, parse_weights

_DOCUMENTED = Plan()
_FUNNELS = FunnelPlan()


class RankingSettings(BaseSettings):
    """Popularity and trending of videos, and the Redis that other programs read them from."""

    ranking_mode: Mode = Field(
        default=Mode.NORMALISED, description="normalised: rates per day; compat: the formulas of the replaced worker"
    )
    ranking_weights: Annotated[str, AfterValidator(values.weights)] = Field(
        default="", description="weights of event types that differ from the default: video_share=5,video_skip=-1"
    )
    ranking_decay_days: float = Field(
        default=_DOCUMENTED.decay_days, gt=0, le=365, description="days after which an event counts 1/e of a fresh one"
    )
    ranking_recent_hours: int = Field(default=24, ge=1, le=24 * 7, description="the window that is ranked")
    ranking_previous_hours: int = Field(
        default=48, ge=1, le=24 * 28, description="the window before it, a multiple of RANKING_RECENT_HOURS"
    )
    ranking_smoothing: float = Field(
        default=_DOCUMENTED.smoothing,
        gt=0,
        allow_inf_nan=False,
        description="score a day that is added to the base of a velocity",
    )
    ranking_min_audience: int = Field(
        default=_DOCUMENTED.min_audience, ge=1, description="visits of persons, one a day, below which nothing trends"
    )
    ranking_significance: float = Field(
        default=_DOCUMENTED.significance, gt=0, lt=1, description="share of false trends among those that are told"
    )
    ranking_time: Annotated[time, AfterValidator(values.wall_clock)] = Field(
        default=time(2, 0), description="when the day's ranking is made, in TIMEZONE"
    )
    redis_url: SecretStr | None = Field(
        default=None, description="where rankings are published: redis://user:password@host:6379/0 or rediss://..."
    )
    redis_prefix: str = Field(default="", description="what the keys in Redis begin with")
    redis_ca_file: Path | None = Field(
        default=None, description="certificates to trust for rediss:// instead of the system's"
    )

    @field_validator("redis_url", "redis_ca_file", mode="before")
    @classmethod
    def _blank_of_rankings(cls, value: object) -> object:
        return values.blank(value)

    @field_validator("ranking_previous_hours")
    @classmethod
    def _whole_multiple(cls, hours: int, info: ValidationInfo) -> int:
        recent = int(info.data.get("ranking_recent_hours", 24))
        if hours % recent:
            raise ValueError(f"{hours} is not a multiple of RANKING_RECENT_HOURS ({recent})")
        return hours

    @model_validator(mode="after")
    def _a_plan(self) -> Self:
        _ = self.ranking_plan  # raises ValueError in one sentence for what cannot be ranked by
        return self

    @property
    def ranking_plan(self) -> Plan:
        """How videos are ranked."""
        return Plan(
            weights=parse_weights(self.ranking_weights),
            decay_days=self.ranking_decay_days,
            recent=timedelta(hours=self.ranking_recent_hours),
            previous=timedelta(hours=self.ranking_previous_hours),
            mode=self.ranking_mode,
            smoothing=self.ranking_smoothing,
            min_audience=self.ranking_min_audience,
            significance=self.ranking_significance,
        )


class VisitSettings(BaseSettings):
    """Visitor reports, and the DynamoDB tables that visits may be kept in."""

    visits_source: Literal["warehouse", "dynamodb"] = Field(
        default="warehouse", description="where page events are: warehouse (page_events) or dynamodb"
    )
    visitor_schedules: Annotated[str, AfterValidator(values.schedules)] = Field(
        default="10=10", description="schedules to be switched on in the UI: every so many minutes=the last so many"
    )
    visitor_schedules_deliver: bool = Field(
        default=True, description="whether reports of these schedules are sent; if not, they are stored alone"
    )
    visitor_delay_minutes: int = Field(
        default=2, ge=0, le=24 * 60, description="scheduled windows end so long before, as events come late"
    )
    visitor_window: Annotated[str, AfterValidator(values.window)] = Field(
        default="2019-06-22T00:00+09:00..2019-06-25T00:00+09:00",
        description="the window of the saved job visitor_report_window",
    )
    dynamodb_table: str | None = Field(default=None, description="table of page events, such as chatbook-events")
    dynamodb_access: Literal["scan", "index", "export"] = Field(
        default="scan", description="how they are read: the whole table, an index by day and time, or an export in S3"
    )
    dynamodb_region: str = Field(default="us-east-1", description="AWS region of the tables")
    dynamodb_on_error: Literal["stop", "skip"] = Field(
        default="stop", description="an item that is no event: stop, or leave it out and say so"
    )
    dynamodb_endpoint_url: Annotated[str, AfterValidator(values.endpoint)] | None = Field(
        default=None, description="another endpoint, such as a local DynamoDB"
    )
    dynamodb_index: str | None = Field(
        default=None, description="index (GSI) keyed by DYNAMODB_BUCKET_ATTRIBUTE and DYNAMODB_RANGE_ATTRIBUTE"
    )
    dynamodb_bucket_attribute: str = Field(default="bucket", description="attribute with YYYY-MM-DD#shard (UTC)")
    dynamodb_range_attribute: str = Field(default="ts", description="attribute with the time as ISO 8601 text in UTC")
    dynamodb_time_attribute: str = Field(default="created", description="attribute with the time of an event")
    dynamodb_shards: int = Field(default=4, ge=1, le=1000, description="shards of a day in the index")
    dynamodb_segments: int = Field(default=4, ge=1, le=64, description="parts of a table that are scanned at once")
    dynamodb_export: str | None = Field(
        default=None, description="the export: s3://bucket/prefix, or a folder with its files"
    )
    dynamodb_visitor_reports: str | None = Field(
        default=None, description="table that visitor reports are written back to, such as chatbook-visitor-reports"
    )
    dynamodb_event_reports: str | None = Field(
        default=None, description="table that event reports are written back to, such as chatbook-events-reports"
    )

    @field_validator(
        "dynamodb_table",
        "dynamodb_endpoint_url",
        "dynamodb_index",
        "dynamodb_export",
        "dynamodb_visitor_reports",
        "dynamodb_event_reports",
        mode="before",
    )
    @classmethod
    def _blank_of_visits(cls, value: object) -> object:
        return values.blank(value)

    @property
    def visitor_pace(self) -> Mapping[int, int]:
        """Minutes between the runs of a schedule, and how many minutes each looks back."""
        return values.parse_schedules(self.visitor_schedules)


class FunnelSettings(BaseSettings):
    """E-mail funnels: the MODX site that people come from, and the lists in Brevo that they go to."""

    app_dry_run: bool = Field(
        default=True, description="true: funnels read and report what they would do; false: they do it"
    )
    modx_url: SecretStr | None = Field(
        default=None, description="the site's MySQL or MariaDB: mysql://reader:password@host:3306/database"
    )
    modx_prefix: Annotated[str, AfterValidator(values.prefix)] = Field(
        default="modx_", description="what the names of the certificates' tables begin with"
    )
    modx_mapping: Annotated[dict[str, str], NoDecode] = Field(
        default={}, description="how tables and columns are called there: simpletest_users.Datep=taken_on, ..."
    )
    modx_timezone: Annotated[str, AfterValidator(values.zone)] = Field(
        default="UTC", description="zone of the times in the site's tables"
    )
    modx_test_statuses: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="values of a test's Status that count as taken, separated by commas; default: any"
    )
    funnel_database_url: SecretStr | None = Field(
        default=None,
        description="where funnels keep their own tables: mysql://user:password@host/database; default: with the state",
    )
    funnel_every_minutes: Annotated[int, AfterValidator(values.pace)] = Field(
        default=15, description="pace of the schedule of funnels, which is switched on in the UI"
    )
    funnel_window_days: float = Field(
        default=_FUNNELS.window / timedelta(days=1), gt=0, le=3660, description="tests of so many days are looked at"
    )
    funnel_batch: int = Field(
        default=_FUNNELS.batch, ge=0, description="how many people enter a funnel in one sync, newest first; 0: all"
    )
    funnel_attribution_days: float = Field(
        default=_FUNNELS.attribution / timedelta(days=1),
        gt=0,
        le=3660,
        description="a purchase counts from entry until so many days after it",
    )
    brevo_api_key: SecretStr | None = Field(default=None, description="API key of Brevo")
    brevo_base_url: Annotated[str, AfterValidator(values.endpoint)] = Field(
        default="https://api.brevo.com/v3", description="address of Brevo's API"
    )
    brevo_language_list_id: int = Field(
        default=0, description="list that people of the language funnel are added to; 0: nobody enters it"
    )
    brevo_non_language_list_id: int = Field(
        default=0, description="list that people of the other funnel are added to; 0: nobody enters it"
    )
    brevo_import_from: int = Field(
        default=500, ge=1, description="more new contacts of a list than so many are handed over as one import"
    )
    brevo_timeout_seconds: float = Field(default=10, gt=0, le=300, description="how long to wait for Brevo's answer")

    @field_validator("modx_url", "funnel_database_url", "brevo_api_key", mode="before")
    @classmethod
    def _blank_of_funnels(cls, value: object) -> object:
        return values.blank(value)

    @field_validator("modx_mapping", mode="before")
    @classmethod
    def _modx_pairs(cls, value: object) -> object:
        shape = "ours=theirs pairs, such as simpletest_users=quiz_results,simpletest_users.Datep=taken_on"
        return values.pairs(value, shape) if isinstance(value, str) else value

    @field_validator("modx_test_statuses", mode="before")
    @classmethod
    def _statuses(cls, value: object) -> object:
        return tuple(c.strip() for c in value.split(",") if c.strip()) if isinstance(value, str) else value

    @property
    def modx_zone(self) -> ZoneInfo:
        """The zone of the site's times."""
        return ZoneInfo(self.modx_timezone)

    @property
    def funnel_plan(self) -> FunnelPlan:
        """The rules of both funnels."""
        return FunnelPlan(
            lists={
                FunnelType.LANGUAGE: self.brevo_language_list_id,
                FunnelType.NON_LANGUAGE: self.brevo_non_language_list_id,
            },
            window=timedelta(days=self.funnel_window_days),
            batch=self.funnel_batch,
            attribution=timedelta(days=self.funnel_attribution_days),
            statuses=frozenset(self.modx_test_statuses),
        )
