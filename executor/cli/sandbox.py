"""`executor sandbox`: the test exchange, in the foreground until SIGTERM; the same as `betfair-sandbox`."""

from pathlib import Path

import typer

from betfair_sandbox.cli import make_app
from executor import wiring


def _sandbox_folder() -> Path:
    return wiring.get_settings().data_dir / "sandbox"


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.add_typer(make_app("executor sandbox", _sandbox_folder), name="sandbox")
