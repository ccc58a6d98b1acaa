"""The documentation runs: every `$ analytics-platform ...` line of README and docs is executed, page by page.

Dates in the pages are shifted so that the last one of the examples is yesterday. `make` targets and long-running
commands (`serve`) are checked to exist, not started. What needs a bot or a mail server talks to stand-ins; the page on
delivery is read after an album of unknown fate.
"""

import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from analytics_platform.cli.main import app
from analytics_platform.settings import HOME_VARIABLE, Settings
from analytics_platform_tests.brevo_server import brevo_server
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.drawn_once import draw_once
from analytics_platform_tests.mail_server import mail_server
from analytics_platform_tests.mysql_service import MariaDB
from analytics_platform_tests.telegram_server import Fault, TelegramServer, telegram_server

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
EXAMPLE_DAY = date(2026, 11, 20)
NOT_STARTED = ("serve",)
WITH_STAND_INS = ("telegram.md", "delivery.md")
ON_CLICKHOUSE = ("clickhouse.md",)
WITH_A_SITE = ("funnels.md",)

FEED = """user_id,post_id,action,time,gender,age,country,city,os,source,exp_group
1,10,view,{day} 10:00:00,1,25,Russia,Moscow,iOS,ads,0
1,10,like,{day} 10:00:05,1,25,Russia,Moscow,iOS,ads,0
2,11,view,{day} 11:00:00,0,31,Russia,Kazan,Android,organic,1
"""
MESSAGES = """user_id,reciever_id,time,gender,age,country,city,os,source,exp_group
1,2,{day} 12:00:00,1,25,Russia,Moscow,iOS,ads,0
"""
VIDEOS = """event_id,event_type,timestamp,pays,id_categorie,video_id,user_id,completion_rate
1,video_view,{day} 10:00:00,Mali,school,7,ann,0.5
2,video_share,{day} 11:00:00,Mali,school,7,bob,
3,video_view,{before} 11:00:00,Togo,health,8,bob,0.9
"""
VISITS = """{{"id": "1", "name": "site", "properties": {{"p": {{"domain": "example.org", "provider": "fb",
"metadata": {{}}, "type": "website", "visitors": {{"v1": {{"events": [{{"created": "{day}T19:00:00.5+09:00",
"pathname": "/en/", "request_id": "r1", "type": "page", "adblock": false}}]}}}}}}}}}}
"""


def commands(page: Path) -> Iterator[str]:
    """The `$ analytics-platform` lines of the page's blocks, without what their output is piped through."""
    # Whole blocks of every kind: the end of one must not pass for the beginning of another.
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE):
        for line in block.splitlines() if kind in ("", "console") else ():
            if line.startswith("$ analytics-platform"):
                yield (
                    line.removeprefix("$ analytics-platform ")
                    .removeprefix("$ analytics-platform")
                    .split(" | ")[0]
                    .strip()
                )


def shifted(text: str, by: timedelta) -> str:
    """The text with every date moved."""
    return re.sub(r"\d{4}-\d\d-\d\d", lambda m: (date.fromisoformat(m[0]) + by).isoformat(), text)


def shows_an_error(page: Path, command: str) -> bool:
    """Whether the page shows that this command fails."""
    _, _, after = page.read_text("utf-8").partition(f"$ analytics-platform {command}\n")
    return after.startswith("Error:")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, date]:
    """A folder with the files that the examples speak of, and a home with a week of events, computed; its last day."""
    folder = tmp_path_factory.mktemp("docs") / "work"
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    feed, messages = FEED.format(day=yesterday), MESSAGES.format(day=yesterday)
    for name, content in {
        "feed.csv": feed,
        "messages.csv": messages,
        "exports/feed.csv": feed,
        "exports/messages.csv": messages,
        "exports/late/feed.csv": feed,
        "user_events.csv": VIDEOS.format(day=yesterday, before=yesterday - timedelta(days=1)),
        "visits.json": VISITS.format(day=yesterday),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, "utf-8")
    header, rows = FEED.split("\n", 1)
    weeks = header + "\n" + "".join(rows.format(day=yesterday - timedelta(days=k)) for k in range(22))
    (folder / "weeks.csv").write_text(weeks, "utf-8")
    home = ["--home", str(folder / "home")]
    for words in (
        ["load", "--feed", str(folder / "weeks.csv"), "--videos", str(folder / "user_events.csv")],
        ["materialize", "--from", str(yesterday - timedelta(days=21)), "--to", str(yesterday)],
    ):
        result = CliRunner().invoke(app, [*words, *home])
        assert result.exit_code == 0, result.output
    return folder, yesterday


@pytest.fixture(scope="module", autouse=True)
def _charts_drawn_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        draw_once(patch)
        yield


@pytest.fixture
def telegram(monkeypatch: pytest.MonkeyPatch) -> Iterator[TelegramServer]:
    """The bot and the mail server of the pages on them."""
    with telegram_server() as bot, mail_server() as mail:
        settings = {
            "TELEGRAM_API_URL": bot.url,
            "TELEGRAM_BOT_TOKEN": bot.token,
            "SMTP_HOST": mail.server.host,
            "SMTP_PORT": str(mail.server.port),
            "SMTP_SECURITY": "none",
            "SMTP_FROM": "reports@example.org",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield bot


@pytest.fixture
def site(mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database of a site, and Brevo, of the page on funnels, from where it switches them on."""
    with brevo_server() as brevo:
        language, other = brevo.lists
        settings = {
            "MODX_URL": mariadb.empty_database("docs"),
            "BREVO_BASE_URL": brevo.url,
            "BREVO_API_KEY": brevo.api_key.get_secret_value(),
            "BREVO_LANGUAGE_LIST_ID": str(language),
            "BREVO_NON_LANGUAGE_LIST_ID": str(other),
            "BREVO_IMPORT_FROM": "1",  # one by one, hundreds take a minute
            "APP_DRY_RUN": "false",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if list(commands(p))], ids=lambda p: p.name)
def test_every_command_of_the_page_runs(
    page: Path,
    prepared: tuple[Path, date],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    folder, (original, yesterday) = tmp_path / "work", prepared
    shutil.copytree(original, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv(HOME_VARIABLE, str(folder / "home"))
    if page.name in ON_CLICKHOUSE:
        monkeypatch.setenv("EVENTS_DATABASE", other_programs(request.getfixturevalue("clickhouse"), yesterday))
        monkeypatch.setenv("WAREHOUSE_URL", request.getfixturevalue("clickhouse").empty_database("docs"))
    if page.name in WITH_A_SITE:
        request.getfixturevalue("site")
    if page.name in WITH_STAND_INS:
        bot: TelegramServer = request.getfixturevalue("telegram")
    if page.name == "delivery.md":
        bot.faults.append(Fault("drop", method="sendPhoto"))
        for words in (["subscribers", "add", "-1001234567890/45", "--all"], ["report", "feed"]):
            CliRunner().invoke(app, words)
    for command in commands(page):
        words = shlex.split(shifted(command, yesterday - EXAMPLE_DAY))
        if not words or words[0] in NOT_STARTED:
            continue
        if words[0] in ("demo", "generate"):
            words = small(words)
        fails = shows_an_error(page, command)
        export = folder / "exports" / "feed.csv"
        whole = export.read_text("utf-8")
        if fails:
            export.write_text(whole.replace("\n1,10,like", "\nguest,10,like"), "utf-8")
        result = CliRunner().invoke(app, words)
        assert result.exit_code == int(fails), f"{command}\n{result.output}\n{result.exception}"
        export.write_text(whole, "utf-8")


def other_programs(server: ClickHouse, day: date) -> str:
    """A database with an event of each kind at noon of that day, as other programs keep them."""
    url = server.empty_database("docs_events")
    database = urlsplit(url).path.strip("/")
    attributes = "gender UInt8, age UInt8, country String, city String, os String, source String, exp_group Int8"
    for table, columns, values in (
        ("feed_actions", "post_id UInt32, action Enum('view' = 1, 'like' = 2)", "10, 'view'"),
        ("message_actions", "reciever_id UInt32", "2"),
    ):
        with closing(server.client()) as client:
            client.command(
                f"CREATE TABLE {database}.{table} (user_id UInt64, time DateTime('Europe/Moscow'), {columns}, "
                f"{attributes}) ENGINE = MergeTree ORDER BY (toDate(time), user_id)"
            )
            row = f"1, toDateTime('{day} 12:00:00', 'UTC'), {values}, 1, 25, 'Russia', 'Moscow', 'iOS', 'ads', 0"
            client.command(f"INSERT INTO {database}.{table} SELECT {row}")
    return database


def small(words: list[str]) -> list[str]:
    """The same command for few days and people."""
    kept = [w for k, w in enumerate(words) if not {w, words[k - 1]} & {"--days", "--users"}]
    return [*kept, "--days", "9", "--users", "60"]


def test_make_targets_in_the_docs_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        named = set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE))
        assert named <= targets, page.name


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md"]:
        prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#]+)\)", prose):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_example_of_a_report_is_the_one_that_ships() -> None:
    [shown] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "reports.md").read_text("utf-8"), re.DOTALL)
    shipped = ROOT / "analytics_platform" / "reports" / "likes_by_os_weekly.py"
    assert shown == shipped.read_text("utf-8")


def test_every_setting_is_documented_with_its_default() -> None:
    table = (ROOT / "docs" / "settings.md").read_text("utf-8")
    example = (ROOT / ".env.example").read_text("utf-8")
    for name in Settings.model_fields:
        assert f"`{name.upper()}`" in table, f"docs/settings.md lacks {name.upper()}"
        assert f"#{name.upper()}=" in example, f".env.example lacks {name.upper()}"
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)) - {HOME_VARIABLE}
    assert documented == {name.upper() for name in Settings.model_fields}
