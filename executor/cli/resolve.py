"""`executor resolve`: what became of an order whose outcome stays unknown, by a person's word.

Invariant: it is confirmed, logged with who said it, and published.
"""

from typing import Annotated

import typer

from executor import wiring
from executor.cli.output import refuse, say
from executor.cli.session import actor, engine, settings_to_act
from executor.errors import Contended
from executor.operations.access import Access
from executor.operations.failed import resolve_order


def resolve(
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID")],
    *,
    bet_id: Annotated[str, typer.Option("--bet-id", metavar="BET", help="It is this bet at the exchange.")] = "",
    not_placed: Annotated[bool, typer.Option("--not-placed", help="The exchange does not have it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Say what became of an order whose outcome stays unknown; the exchange is asked once more before."""
    if bool(bet_id) == not_placed:
        raise typer.BadParameter("give --bet-id BET or --not-placed")
    settings = settings_to_act()
    if not wiring.store(settings).orders([order_id]):
        refuse(f"{order_id}: no such order; executor orders --active lists those at the exchange")
    verdict = f"is bet {bet_id}" if bet_id else "was not placed, and its exposure is released"
    if not yes and not typer.confirm(f"order {order_id} {verdict}?", err=True):
        refuse("nothing changed")
    try:
        order = resolve_order(Access(settings, engine), actor(), order_id, bet_id)
    except Contended as error:
        refuse(str(error))
    say(f"{order.order_id}: {order.status}")


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(epilog="Unknown orders:  executor orders --active")(resolve)
