"""The processes that are started by name: the signal bridge and the sandbox exchange.

Both run in the foreground until SIGTERM or Ctrl-C.
"""

from pathlib import Path

import typer

from betfair_sandbox.cli import make_app
from executor import wiring
from executor.observability.logs import configure_logging


def bridge() -> None:
    """Listen for signals and start their chains; run two of these. Metrics on port 5004."""
    settings = wiring.get_settings()
    configure_logging(settings, process="bridge")
    from executor import bridge as process  # noqa: PLC0415 - brings Celery, which reads the settings for itself

    raise typer.Exit(process.main())


def _sandbox_folder() -> Path:
    return wiring.get_settings().data_dir / "sandbox"


def register(app: typer.Typer) -> None:
    """Give the commands to the program."""
    app.command(epilog="Metrics and health: EXECUTOR_METRICS__BRIDGE_PORT, 0 for none.")(bridge)
    app.add_typer(make_app("executor sandbox", _sandbox_folder), name="sandbox")
