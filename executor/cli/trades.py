"""`executor trades`: what was matched and voided, from the ledger.

Invariant: JSON shapes are the contract's. Amounts in account currency, times UTC.
"""

from typing import Annotated

import typer

from executor import wiring
from executor.cli.output import AsJson, Column, say, show_json, show_table
from executor.cli.session import settings_to_read
from executor.operations.orders import ALL_RECENT, trade_json
from executor.operations.status import mode_in
from executor.operations.wording import money
from executor.settings.urls import mask_url

Limit = Annotated[int, typer.Option("--limit", min=1, max=ALL_RECENT, help="At most this many, the newest.")]


def trades(*, limit: Limit = 50, as_json_: AsJson = False) -> None:
    """List what was matched and voided, newest first, from the ledger."""
    settings = settings_to_read()
    ledger = wiring.ledger(settings)
    rows = ledger.entries(limit) if ledger.exists() else []
    if as_json_:
        show_json([trade_json(row) for row in rows])
        return
    if not rows:
        say(f"no trades in {mask_url(settings.ledger.url)}")
        return
    columns = [Column("at (UTC)"), Column("kind"), Column("order, bet, strategy, signal"), Column("side")]
    show_table(
        "Trades, newest first",
        [*columns, Column("size", "right"), Column("price", "right")],
        (
            (
                row["at"][:19].replace("T", "\n"),
                f"{row['kind']}\n{mode_in(settings, row['identity'])}",
                f"{row['order_id']}\n{row['bet_id']}\n{row['market_id']} / {row['selection_id']}\n"
                f"{row['strategy']} {row['signal_id']}".rstrip(),
                row["side"],
                money(row["size"]),
                money(row["price"]),
            )
            for row in rows
        ),
    )


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(epilog="Example: executor trades --limit 10 --json")(trades)
