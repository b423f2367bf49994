"""`executor stream`: the process that hears of fills from the exchange's order stream, within milliseconds."""

import typer

from executor import wiring
from executor.observability.logs import configure_logging


def stream() -> None:
    """Listen to the exchange's order stream; run two of these, one is connected. Metrics on port 5006.

    Without it fills are learned of by the next poll, and everything works the same.
    """
    configure_logging(wiring.get_settings(), process="stream")
    from executor import stream as process  # noqa: PLC0415 - brings Celery, which reads the settings for itself

    raise typer.Exit(process.main())


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(epilog="Metrics and health: EXECUTOR_METRICS__STREAM_PORT, 0 for none.")(stream)
