"""Keeps secrets out of logs and tracebacks.

Belongs here: what a secret looks like, and the hook that removes it from every log record of the process.
Does not: holding secrets (`settings.py`, as pydantic's SecretStr), what is logged.
"""

import json
import logging
import re
import traceback
from collections.abc import Callable
from urllib.parse import quote, quote_plus

BOT_TOKEN = "<bot-token>"  # noqa: S105  (what stands in a token's place)
SECRET = "<secret>"  # noqa: S105
PASSWORD = "<password>"  # noqa: S105

# Once or twice URL-quoted, too: that is how a token stands in an address inside an address.
_BOT_TOKEN = re.compile(r"(?<!\d)\d{6,}(?::|%(?:25)?3A)[A-Za-z0-9_-]{30,}", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*://[^\s:/?#@]*):[^\s/?#]*@", re.IGNORECASE)
# Shorter values are words and numbers of ordinary text; removing them would make logs unreadable and hide nothing.
_SHORTEST_SECRET = 4
_TALKATIVE = ("httpx", "httpcore")

_registered: set[str] = set()


def register_secret(value: str) -> None:
    """From now on `redact` removes this value, also where it is URL-quoted or inside JSON.

    For secrets without a shape of their own (API keys, passwords). Values under four characters are left alone.
    """
    if len(value) >= _SHORTEST_SECRET:
        _registered.update({value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]})


def redact(text: str) -> str:
    """The text without bot tokens, passwords in addresses (`scheme://user:password@`) and registered secrets."""
    text = _BOT_TOKEN.sub(BOT_TOKEN, text)
    # Longest first: a secret may contain another one.
    for secret in sorted(_registered, key=len, reverse=True):
        text = text.replace(secret, SECRET)
    return _URL_PASSWORD.sub(rf"\1:{PASSWORD}@", text)


def install_redaction() -> None:
    """Redact every log record made in this process from now on: message, arguments, traceback and stack.

    Also raises httpx and httpcore to WARNING: they log each request's address, and a Telegram address holds the
    token. Calling it again changes nothing. Values passed as `extra=` are set after a record is made and are not
    covered.
    """
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    current = logging.getLogRecordFactory()
    if not isinstance(current, _RedactingFactory):
        logging.setLogRecordFactory(_RedactingFactory(current))


class _RedactingFactory:
    # A factory and not a filter or formatter: it is the one place that every logger and every handler, also those
    # that Dagster adds inside a run, have behind them.
    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: object, **kwargs: object) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        _clean(record)
        return record


def _clean(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001
        # A message that does not fit its arguments must not break the caller, and logging's own report of it would
        # print the arguments as they are.
        record.msg, record.args = redact(f"(arguments do not fit the log message) {record.msg!r}"), ()
    else:
        # Untouched where there is nothing to hide: some formatters (uvicorn's access log) want the arguments.
        cleaned = redact(message)
        if cleaned != message:
            record.msg, record.args = cleaned, ()
    if record.exc_info and record.exc_info[0] is not None:
        shown = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        cleaned = redact(shown)
        if cleaned != shown:
            # Without exc_info no handler can format the traceback anew; formatters print exc_text as it stands.
            record.exc_text, record.exc_info = cleaned, None
    if record.stack_info:
        record.stack_info = redact(record.stack_info)
