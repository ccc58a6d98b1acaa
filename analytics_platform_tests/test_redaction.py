"""Secrets leave neither by a log message nor by a traceback."""

import io
import logging
from collections.abc import Iterator

import pytest

from analytics_platform.redaction import install_redaction, redact, register_secret

TOKEN = "1234567890:AAF-abcdefghijklmnopqrstuvwxyz012345"


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    install_redaction()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("redaction_test")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger, stream
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"POST https://host/bot{TOKEN}/getMe", "POST https://host/bot<bot-token>/getMe"),
        (TOKEN.replace(":", "%3A"), "<bot-token>"),
        (TOKEN.replace(":", "%253a"), "<bot-token>"),
        ("redis://user:p@ss:w0rd@host:6379/0", "redis://user:<password>@host:6379/0"),
        ("redis://:pw@host", "redis://:<password>@host"),
        ("a://u:p@h1,b://u:q@h2/x", "a://u:<password>@h1,b://u:<password>@h2/x"),
        ("http://host:8080/path?mail=a@b", "http://host:8080/path?mail=a@b"),
        ("at 12:30:45 row 1234567:1", "at 12:30:45 row 1234567:1"),
    ],
)
def test_secrets_are_found_by_their_shape(text: str, clean: str) -> None:
    assert redact(text) == clean


def test_registered_values_are_found_in_every_spelling() -> None:
    register_secret('k/e y"1')
    register_secret("abc")  # too short to be told from a word
    assert redact('k/e y"1 k%2Fe%20y%221 k%2Fe+y%221 k/e y\\"1 abc') == "<secret> <secret> <secret> <secret> abc"


def test_messages_arguments_and_tracebacks_are_redacted(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    logger.info("token %s and %d", TOKEN, 5)
    logger.info("split %s:%s", *TOKEN.split(":"))
    try:
        raise RuntimeError(f"no {TOKEN}")
    except RuntimeError:
        logger.exception("failed", stack_info=True)

    assert TOKEN not in stream.getvalue()
    assert "token <bot-token> and 5\nsplit <bot-token>\nfailed\nTraceback" in stream.getvalue()
    assert "RuntimeError: no <bot-token>" in stream.getvalue()


def test_a_message_that_does_not_fit_its_arguments_breaks_nothing(
    log: tuple[logging.Logger, io.StringIO], capsys: pytest.CaptureFixture[str]
) -> None:
    logger, stream = log
    logger.info("%d users", TOKEN)
    assert stream.getvalue() == "(arguments do not fit the log message) '%d users'\n"
    assert capsys.readouterr() == ("", "")


def test_what_holds_no_secret_is_left_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    install_redaction()
    with caplog.at_level(logging.INFO):
        logging.getLogger("other").info("%s rows", 5)
    assert caplog.records[0].args == (5,)


def test_installing_twice_changes_nothing() -> None:
    install_redaction()
    factory = logging.getLogRecordFactory()
    install_redaction()
    assert logging.getLogRecordFactory() is factory
    assert logging.getLogger("httpx").level == logging.WARNING
