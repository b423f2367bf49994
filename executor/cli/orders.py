"""Orders and trades for people: `orders`, `cancel`, `trades`, `paper clear`.

Invariants: only a live order is asked to be cancelled, and it counts as cancelled when the exchange says so; JSON
shapes are the contract's. Amounts in account currency, times UTC.
"""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from executor import wiring
from executor.cli.output import REFUSED, AsJson, Column, complain, refuse, say, show_json, show_table, warn
from executor.cli.session import actor, engine, note_identity, settings_to_act, settings_to_read
from executor.cli.watching import Watch, show
from executor.domain.foreign import ForeignBet
from executor.domain.order import Order
from executor.engine.cancel_until_clear import Outstanding
from executor.errors import NotAllowed
from executor.operations.access import Access
from executor.operations.orders import (
    ALL_RECENT,
    ORDER_FIELDS,
    cancel_by_hand,
    clear_paper,
    find_foreign,
    find_orders,
    foreign_json,
    order_json,
    trade_json,
)
from executor.operations.wording import moment, money, when, words
from executor.settings.urls import mask_url

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
    columns = [Column("order"), Column("side"), Column("price", "right"), Column("size", "right")]
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
    name = f"{order.order_id}\n{order.market_id} / {order.selection_id}\n{at}{paper}"
    return name, order.side, money(order.price), money(order.size), matched, status


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
    columns = [Column("at (UTC)"), Column("kind"), Column("order, bet"), Column("side")]
    show_table(
        "Trades, newest first",
        [*columns, Column("size", "right"), Column("price", "right")],
        (
            (
                row["at"][:19].replace("T", "\n"),
                f"{row['kind']}\npaper" if row["paper"] else row["kind"],
                f"{row['order_id']}\n{row['bet_id']}\n{row['market_id']} / {row['selection_id']}",
                row["side"],
                money(row["size"]),
                money(row["price"]),
            )
            for row in rows
        ),
    )


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
    app.command(epilog="Example: executor orders --active --market 1.200000000")(orders)
    app.command(epilog="Example: executor cancel --all")(cancel)
    app.command(epilog="Example: executor trades --limit 10 --json")(trades)
    app.add_typer(paper, name="paper")
