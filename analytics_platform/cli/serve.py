"""`serve`: the Dagster UI and daemon over a home."""

import os
import socket
import sys
from typing import Annotated

import typer

from analytics_platform.cli.console import JobError, err
from analytics_platform.cli.context import HomeOption, begin


def serve(
    port: Annotated[int, typer.Option(help="Port of the UI.", min=1, max=65535)] = 3000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    home: HomeOption = None,
) -> None:
    """Run the Dagster UI and the daemon (schedules, sensors) over this home, until Ctrl-C.

    Example: `analytics-platform serve --port 3000`
    """
    from analytics_platform.defs.running import prepare_instance

    context = begin(home)
    prepare_instance(context.home)
    context.warehouse()
    _check_free(host, port)
    err.print(f"home {context.home.path}; UI on http://{host}:{port}", markup=False)
    environment = {**os.environ, "DAGSTER_HOME": str(context.home.dagster)}
    command = [sys.executable, "-m", "dagster", "dev", "-m", "analytics_platform.definitions"]
    # This process becomes Dagster: signals and the exit code are its own.
    os.execve(sys.executable, [*command, "-h", host, "-p", str(port)], environment)  # noqa: S606


def _check_free(host: str, port: int) -> None:
    """Raise JobError when the port is taken: Dagster would go on without its UI."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise JobError(f"{host}:{port} cannot be used ({error.strerror}); choose another: --port N") from None
