"""Which commands there are, and how each is loaded: when it is called, and not before.

Invariant: the list of commands costs no import but Typer's; a command's module is named as the command, and its
`register` gives it to a program.
"""

from importlib import import_module
from typing import Any, Final

import typer
import typer.core
import typer.main

# In the order of the list; each line is the first of the command's own help, which a test compares.
COMMANDS: Final = {
    "status": "Show at one glance whether and what the system trades.",
    "check": "Examine everything that trading needs; says what to do. Exit code 1 when something fails.",
    "halt": "Stop trading: from now on no order is sent. Polls, cancels and settlement go on.",
    "resume": "Switch trading on and reset the circuit breaker; warns of what still stands in the way.",
    "limits": "Show the limits in force; `limits set` changes them.",
    "signals": "List how signals ended and why, newest first; by id also one that is under way.",
    "orders": "List orders, newest first.",
    "cancel": "Take back the unmatched part of live orders; what is matched stays a position.",
    "resolve": "Say what became of an order whose outcome stays unknown; the exchange is asked once more before.",
    "trades": "List what was matched and voided, newest first, from the ledger.",
    "pnl": "Show settled profit and loss by day, strategy or market.",
    "ledger": "The accounts beside Redis: what differs, and telling them again.",
    "failed": "Chain tasks that failed, signals of which no order was placed: list, run again, drop.",
    "hedge": "Say which positions are due for a hedge, and what would be done about each.",
    "paper": "Paper trading.",
    "send": "Publish trading signals, after validating all of them.",
    "bridge": "Listen for signals and start their chains; run two of these. Metrics on port 5004.",
    "stream": "Listen to the exchange's order stream; run two of these, one is connected. Metrics on port 5006.",
    "notify": "Tell people by Telegram, e-mail, Slack, webhook ...",
    "console": "The web console and HTTP API, on port 8080.",
    "token": "Programs that use the HTTP API.",
    "sandbox": "Run a test exchange that speaks Betfair's wire.",
    "up": "Run everything here, with a Redis and a sandbox exchange of its own, until Ctrl-C.",
    "demo": "Watch good and bad signals become orders, on a sandbox exchange of its own; takes a minute and can never "
    "bet.",
}


class LazyGroup(typer.core.TyperGroup):
    """The program: knows every command by name and first line, and loads the one that is called."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - Typer's own
        super().__init__(**attributes)
        self.commands.update({name: typer.core.TyperCommand(name, help=line) for name, line in COMMANDS.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - Typer hides its Context
        """Load the command that is called, in place of its line."""
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = load(args[0])
        return super().resolve_command(ctx, args)


def load(name: str) -> Any:  # noqa: ANN401 - Typer's own command
    """Import a command's module and return the command."""
    program = typer.Typer(pretty_exceptions_enable=False)
    program.callback()(_program)
    import_module(f"executor.cli.{name}").register(program)
    return typer.main.get_group(program).commands[name]


def _program() -> None:
    """Hold one command: without it, Typer takes a single command for the whole program."""
