"""`executor paper`: positions that exist on paper only."""

from typing import Annotated

import typer

from executor.cli.output import refuse, say
from executor.cli.session import actor, engine, settings_to_act
from executor.errors import NotAllowed
from executor.operations.access import Access
from executor.operations.orders import clear_paper

paper = typer.Typer(no_args_is_help=True, help="Paper trading.")


@paper.callback()
def _paper() -> None:
    """Look after positions that exist on paper only."""


@paper.command(epilog="Example: executor paper clear 1.200000000")
def clear(market: Annotated[str | None, typer.Argument(metavar="MARKET")] = None) -> None:
    """End paper positions now, with profit 0; by themselves they end after a day."""
    try:
        ended = clear_paper(Access(settings_to_act(), engine), actor(), market)
    except NotAllowed as error:
        refuse(str(error))
    say(f"{ended} paper positions ended")


def register(app: typer.Typer) -> None:
    """Give the commands to the program."""
    app.add_typer(paper, name="paper")
