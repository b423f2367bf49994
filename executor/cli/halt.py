"""`executor halt`: the kill switch, by hand.

Invariant: the switch is thrown before anything else is tried.
"""

from typing import Annotated

import typer

from executor.cli.output import complain, refuse, say, warn
from executor.cli.session import actor, engine, settings_to_act
from executor.domain.order import OrderStatus
from executor.engine.cancel_until_clear import Outstanding
from executor.operations import trading
from executor.operations.access import Access


def halt(
    *,
    reason: Annotated[str, typer.Option(help="Why; goes to the log and to `channel:kill-switch`.")] = "",
    cancel: Annotated[bool, typer.Option("--cancel", help="Also take back every unmatched bet of ours.")] = False,
) -> None:
    """Stop trading: from now on no order is sent. Polls, cancels and settlement go on."""
    access = Access(settings_to_act(), engine)
    kept = trading.halt(access, actor(), reason)
    if kept:
        say("trading is off; executor resume switches it on again")
    else:
        complain(trading.NOT_KEPT)
    if cancel:
        _cancel_all(access)
    else:
        _tell_active(access)
    if not kept:
        raise typer.Exit(1)


def _tell_active(access: Access) -> None:
    state = access.state.read()
    if active := state.count(OrderStatus.PENDING, OrderStatus.SUBMITTED):
        warn(f"{active} orders are still active at the exchange: executor halt --cancel takes them back")


def _cancel_all(access: Access) -> None:
    def progress(left: Outstanding) -> None:
        for problem in left.problems:
            warn(problem)
        if left:
            say(f"cancelling: {left.summary()}")

    left = trading.cancel_everything(access, actor(), progress=progress)
    for order in left.behind:
        warn(f"{order.order_id}: bet {order.bet_id} is not live any more, and its record does not know yet")
    if not left:
        say("nothing of ours is unmatched")
        return
    for line in left.lines():
        complain(line)
    refuse(f"not everything could be cancelled within {trading.HALT_S:.0f} s: run it again, or use the website")


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(epilog='Example: executor halt --cancel --reason "prices look wrong"')(halt)
