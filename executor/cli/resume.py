"""`executor resume`: the kill switch on again, and the breaker reset."""

import typer

from executor.cli.output import say, warn
from executor.cli.session import actor, settings_to_act
from executor.operations import trading
from executor.operations.access import Access


def resume() -> None:
    """Switch trading on and reset the circuit breaker; warns of what still stands in the way."""
    problems = trading.resume(Access(settings_to_act()), actor())
    say("trading is on")
    for problem in problems:
        warn(f"but {problem}")


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(epilog="Look first: executor check")(resume)
