"""`executor cancel`: take back what is unmatched of live orders.

Invariant: only a live order is asked to be cancelled, and it counts as cancelled when the exchange says so.
"""

from typing import Annotated

import typer

from executor.cli.exit_codes import REFUSED
from executor.cli.output import complain, say, warn
from executor.cli.session import actor, engine, settings_to_act
from executor.engine.cancel_until_clear import Outstanding
from executor.operations.access import Access
from executor.operations.orders import cancel_by_hand


def cancel(
    order_ids: Annotated[list[str] | None, typer.Argument(metavar="ORDER_ID")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every live order.")] = False,
) -> None:
    """Take back the unmatched part of live orders; what is matched stays a position."""
    if bool(order_ids) == everything:
        raise typer.BadParameter("name orders, or give --all")
    access = Access(settings_to_act(), engine)
    done = cancel_by_hand(access, actor(), None if everything else order_ids, progress=_warn_of_problems)
    for line in done.gone:
        say(line)
    for line in done.kept:
        complain(line)
    if done.kept:
        raise typer.Exit(REFUSED)
    if not done.gone:
        say("nothing to cancel")


def _warn_of_problems(left: Outstanding) -> None:
    for problem in left.problems:
        warn(problem)


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(epilog="Example: executor cancel --all")(cancel)
