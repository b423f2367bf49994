"""`executor bridge`: the process that hears signals and starts their chains, in the foreground until SIGTERM."""

import typer

from executor import wiring
from executor.observability.logs import configure_logging


def bridge() -> None:
    """Listen for signals and start their chains; run two of these. Metrics on port 5004."""
    settings = wiring.get_settings()
    configure_logging(settings, process="bridge")
    from executor import bridge as process  # noqa: PLC0415 - brings Celery, which reads the settings for itself

    raise typer.Exit(process.main())


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(epilog="Metrics and health: EXECUTOR_METRICS__BRIDGE_PORT, 0 for none.")(bridge)
