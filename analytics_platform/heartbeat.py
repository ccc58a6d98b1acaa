"""The sign of life: a file with the time, and a call to a watcher that alarms when it no longer comes.

Belongs here: giving the sign and saying why it could not be given. Does not: when it is given (`defs/owner.py`), who
watches.
"""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from analytics_platform.redaction import install_redaction, register_secret


def beat(file: Path | None, url: str | None, now: datetime, timeout_seconds: float = 5) -> str | None:
    """Write `now` (aware) into the file and GET the URL; None, or one sentence for each sign that failed.

    The file always holds one whole line, in UTC as ISO 8601. The URL often is a secret: of it only the host is ever
    said. ValueError for a `now` without a zone; nothing is raised for files and networks.
    """
    if now.utcoffset() is None:
        raise ValueError("the heartbeat's time needs a zone")
    troubles = (_write(file, now) if file else None, _call(url, timeout_seconds) if url else None)
    return " ".join(trouble for trouble in troubles if trouble) or None


def _write(file: Path, now: datetime) -> str | None:
    if not file.name:
        return f"HEARTBEAT_FILE {file} is not a file's name."
    # Whoever reads the file never meets a half-written one, and its time is old when the disk is full.
    draft = file.with_name(f".{file.name}.{uuid4().hex}.new")
    try:
        draft.write_text(f"{now.astimezone(UTC).isoformat(timespec='seconds')}\n", "utf-8")
        draft.replace(file)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        return f"HEARTBEAT_FILE {file} cannot be written: {error.strerror or type(error).__name__}."
    return None


def _call(url: str, timeout_seconds: float) -> str | None:
    import httpx

    # httpx logs the addresses it calls.
    install_redaction()
    register_secret(url)
    host = _host(url)
    if host is None:
        return "HEARTBEAT_URL is not an address: it begins with http:// or https:// and names a host."
    try:
        # The answer's body is not read: a watcher's page may be long, or never end.
        with httpx.stream("GET", url, timeout=timeout_seconds) as answer:
            code = answer.status_code
    except httpx.TimeoutException:
        return f"HEARTBEAT_URL: {host} gave no answer within {timeout_seconds:g} s."
    except httpx.InvalidURL:
        return f"HEARTBEAT_URL: what follows {host} is not an address."
    except (httpx.HTTPError, OSError) as error:
        # The kind of the error only: its text may repeat the address.
        return f"HEARTBEAT_URL: {host} cannot be reached ({type(error).__name__})."
    if 200 <= code < 300:
        return None
    remedy = "; write the address that it leads to" if 300 <= code < 400 else ""
    return f"HEARTBEAT_URL: {host} answered with status {code}{remedy}."


def _host(url: str) -> str | None:
    """Scheme, host and port, without login, path and query."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.scheme in ("http", "https") and parts.hostname else None
