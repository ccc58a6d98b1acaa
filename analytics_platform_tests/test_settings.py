"""Where settings come from, what is refused, and that no value of a secret is ever shown."""

from datetime import date, time
from pathlib import Path

import pytest

from analytics_platform.settings import Home, Settings, SettingsError, home_folder, load_settings, remember

SECRET = "1234567890:" + "AAF_never_to_be_seen_0123456789abcdef"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty home, and a current folder of its own without a `.env`."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return Home(tmp_path / "home")


def test_defaults(home: Home) -> None:
    settings = load_settings(home)
    assert (settings.timezone, settings.locale, settings.start_date) == ("UTC", "en", date(2025, 1, 1))
    assert (settings.report_time, settings.delivers) == (time(11, 0), False)
    assert settings.labels.of("gender") == {"1": "male", "0": "female"}
    assert not home.path.exists(), "reading settings makes nothing"


def test_precedence(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(home, "LOCALE", "ru")
    remember(home, "TIMEZONE", "Asia/Tokyo")
    remember(home, "START_DATE", "2020-01-01")
    Path(".env").write_text("LOCALE=en\nTIMEZONE=Europe/Berlin\n")
    monkeypatch.setenv("TIMEZONE", "Europe/Moscow")
    settings = load_settings(home)
    assert (settings.timezone, settings.locale, settings.start_date) == ("Europe/Moscow", "en", date(2020, 1, 1))
    assert load_settings(home, timezone="UTC").timezone == "UTC"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TIMEZONE", "Mars/Base", "'Mars/Base' is not an IANA time zone; write one such as Europe/Moscow"),
        ("TIMEZONE", "../../etc/passwd", "is not an IANA time zone"),
        ("TIMEZONE", "", "is not an IANA time zone"),
        ("LOCALE", "fr", "'fr' is not a language of this platform; write one of en, ru"),
        ("START_DATE", "1.3.2024", "valid date"),
        ("REPORT_TIME", "25:00", "time"),
        ("GENDER_LABELS", "1=male,0", "write code=label pairs, such as 1=male,0=female"),
        ("GENDER_LABELS", "=x", "write code=label pairs"),
        ("VOLUME_TOLERANCE", "2", "less than or equal to 1"),
        ("VOLUME_TOLERANCE", "nan", ""),
        ("DUCKDB_MEMORY_LIMIT", "much", "'much' is not a size; write one such as 768MB or 2GB"),
        ("DUCKDB_MEMORY_LIMIT", "1", "is not a size"),
        ("DUCKDB_MEMORY_LIMIT", "B", "is not a size"),
        ("DUCKDB_MEMORY_LIMIT", "1MMB", "is not a size"),
        ("DUCKDB_THREADS", "-1", "greater than or equal to 0"),
        ("DUCKDB_THREADS", "many", "write a whole number"),
        ("APP_DRY_RUN", "treu", "write true or false"),
        ("LOCK_TIMEOUT_SECONDS", "0", "greater than 0"),
        ("RANKING_MODE", "fast", "'compat' or 'normalised'"),
        ("RANKING_WEIGHTS", "video_view", "'video_view' is not a weight; write entries such as"),
        ("RANKING_PREVIOUS_HOURS", "30", "30 is not a multiple of RANKING_RECENT_HOURS (24)"),
        ("RANKING_SIGNIFICANCE", "1", "less than 1"),
        ("VISITOR_SCHEDULES", "7=10", "every 7 minutes is no pace"),
        ("VISITOR_SCHEDULES", "10", "write EVERY=LAST pairs of minutes"),
        ("VISITOR_WINDOW", "2019-06-22", "write START..END"),
        ("VISITOR_WINDOW", "2019-06-22..2019-06-21", "not after its start"),
        ("VISITOR_WINDOW", "2019-06-22..2019-06-25T00:00Z", "give both moments their offset"),
        ("DYNAMODB_ENDPOINT_URL", "http://user:word@localhost", "no user or password"),
        ("RANKING_TIME", "02:00Z", "write a time without an offset"),
        ("RANKING_SMOOTHING", "inf", "finite"),
        ("DYNAMODB_ACCESS", "query", "'scan', 'index' or 'export'"),
        ("LOCK_TIMEOUT_SECONDS", "inf", ""),
        ("DELIVERY_CHANNEL", "pigeon", "'auto', 'folder' or 'subscribers'"),
    ],
)
def test_a_wrong_value_is_one_sentence_naming_the_variable(
    home: Home, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as wrong:
        load_settings(home)
    sentence = str(wrong.value)
    assert sentence.startswith(f"{name}: ")
    assert said in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert wrong.value.__cause__ is None
    assert wrong.value.__suppress_context__


def test_several_wrong_values_are_a_sentence_each(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALE", "fr")
    monkeypatch.setenv("DUCKDB_THREADS", "many")
    with pytest.raises(SettingsError) as wrong:
        load_settings(home)
    assert sorted(line.split(":")[0] for line in str(wrong.value).splitlines()) == ["DUCKDB_THREADS", "LOCALE"]


@pytest.mark.parametrize("value", ["500MB", "2GB", "1.5GiB", "900000KB"])
def test_sizes_that_the_engine_understands(home: Home, value: str) -> None:
    import duckdb

    assert load_settings(home, duckdb_memory_limit=value).duckdb_memory_limit == value
    duckdb.connect(":memory:", config={"memory_limit": value}).close()


def test_a_secret_is_never_shown(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", SECRET)
    monkeypatch.setenv("TELEGRAM_CHAT_IDS", " 42 ,, -100777/5,@news ")
    settings = load_settings(home)
    assert settings.telegram_chat_ids == ("42", "-100777/5", "@news")
    assert settings.delivers
    assert settings.telegram_bot_token is not None
    assert settings.telegram_bot_token.get_secret_value() == SECRET
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "never_to_be_seen" not in shown

    monkeypatch.setenv("LOCALE", "fr")
    with pytest.raises(SettingsError) as wrong:
        load_settings(home)
    assert "never_to_be_seen" not in str(wrong.value)
    with pytest.raises(SettingsError) as wrong:
        load_settings(home, telegram_bot_token=[SECRET])
    assert "TELEGRAM_BOT_TOKEN" in str(wrong.value)
    assert "never_to_be_seen" not in str(wrong.value) + repr(wrong.value)


@pytest.mark.parametrize(
    ("settings", "delivers"),
    [
        ({}, False),
        ({"TELEGRAM_CHAT_IDS": "42"}, False),
        ({"TELEGRAM_BOT_TOKEN": "  "}, False),
        ({"TELEGRAM_BOT_TOKEN": SECRET}, True),
        ({"SMTP_HOST": "mail.example.org"}, False),
        ({"SMTP_HOST": "mail.example.org", "SMTP_FROM": "reports@example.org"}, True),
        ({"TELEGRAM_BOT_TOKEN": SECRET, "DELIVERY_CHANNEL": "folder"}, False),
        ({"DELIVERY_CHANNEL": "subscribers"}, True),
        ({"DELIVERY_CHANNEL": "telegram"}, True),
    ],
)
def test_whether_reports_go_to_anybody(
    home: Home, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], delivers: bool
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert load_settings(home).delivers is delivers


def test_labels(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENDER_LABELS", " 1 = женщины , 0 = a=b ,")
    assert load_settings(home).gender_labels == {"1": "женщины", "0": "a=b"}
    monkeypatch.setenv("GENDER_LABELS", "")
    assert load_settings(home).gender_labels == {}


def test_remember_keeps_other_lines_as_they_are(home: Home) -> None:
    home.path.mkdir()
    home.settings_file.write_text("# мои\n\nLOCALE=ru\nstart_date = 2020-01-01\nTIMEZONE=UTC", "utf-8")
    remember(home, "START_DATE", "2019-05-05")
    assert home.settings_file.read_text("utf-8") == "# мои\n\nLOCALE=ru\nTIMEZONE=UTC\nSTART_DATE=2019-05-05\n"
    assert load_settings(home).start_date == date(2019, 5, 5)
    assert [path.name for path in home.path.iterdir()] == ["settings.env"]


def test_which_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert home_folder().path == tmp_path / ".analytics_platform"
    monkeypatch.setenv("ANALYTICS_PLATFORM_HOME", "named")
    assert home_folder().path == tmp_path / "named"
    assert home_folder(Path("chosen")).path == tmp_path / "chosen"
    monkeypatch.setenv("ANALYTICS_PLATFORM_HOME", "")
    assert home_folder().path == tmp_path / ".analytics_platform"


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
