"""`executor orders`: our orders, and the bets of others that count.

Invariant: JSON shapes are the contract's. Amounts in account currency, times UTC.
"""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from executor.cli.output import AsJson, Column, say, show_json, show_table
from executor.cli.session import note_identity, settings_to_read
from executor.cli.watching import Watch, show
from executor.domain.foreign import ForeignBet
from executor.domain.order import Order
from executor.operations.access import Access
from executor.operations.orders import ALL_RECENT, ORDER_FIELDS, find_foreign, find_orders, foreign_json, order_json
from executor.operations.wording import moment, money, when, words

Limit = Annotated[int, typer.Option("--limit", min=1, max=ALL_RECENT, help="At most this many, the newest.")]


def orders(
    *,
    active: Annotated[bool, typer.Option("--active", help="Only submitted and live ones.")] = False,
    market: Annotated[str, typer.Option(metavar="MARKET", help="Only of this market.")] = "",
    limit: Limit = 100,
    as_json_: AsJson = False,
    watch: Watch = False,
) -> None:
    """List orders, newest first."""
    access = Access(settings_to_read())
    note_identity(access.settings)

    def look() -> None:
        found = find_orders(access, market=market, active=active, limit=limit)
        _show(found, find_foreign(access, market=market), as_json_=as_json_)

    show(look, watch=watch, as_json=as_json_)


def _show(found: Sequence[Order], foreign: Sequence[ForeignBet], *, as_json_: bool) -> None:
    if as_json_:
        show_json([*(order_json(order) for order in found), *(_as_order(bet) for bet in foreign)])
        return
    if foreign:
        columns = [Column("bet"), Column("market"), Column("why"), Column("can lose", "right")]
        show_table("Foreign bets: counted, never cancelled or settled by us", columns, map(_foreign_row, foreign))
    if not found:
        say("no orders")
        return
    columns = [Column("order, strategy, signal"), Column("side"), Column("price", "right"), Column("size", "right")]
    columns += [Column("matched", "right"), Column("status")]
    show_table("Orders, newest first (UTC)", columns, map(_row, found))


def _as_order(bet: ForeignBet) -> dict[str, object]:
    """Return a foreign bet under an order's names, so that whoever reads orders meets nothing else."""
    return {**dict.fromkeys(ORDER_FIELDS), **foreign_json(bet), "order_id": "", "signal_id": ""}


def _foreign_row(bet: ForeignBet) -> Sequence[str]:
    return bet.bet_id, bet.market_id, bet.problem, money(bet.worst) if bet.worst_known else "cannot be told"


def _row(order: Order) -> Sequence[str | Text]:
    at = when(moment(order.created_at))
    matched = money(order.size_matched)
    if order.size_matched:
        matched += f"\n@ {money(order.average_price_matched)}"
    reason = words(order.reason or order.cancel_reason)
    status = Text(order.status, "red" if order.reason else "green" if order.size_matched else "")
    if reason:
        status.append(f"\n{reason}", "dim")
    paper = " paper" if order.paper else ""
    whose = " ".join(filter(None, (order.strategy, order.signal_id)))
    name = f"{order.order_id}\n{order.market_id} / {order.selection_id}\n{whose}\n{at}{paper}"
    return name, order.side, money(order.price), money(order.size), matched, status


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(epilog="Example: executor orders --active --market 1.200000000")(orders)
