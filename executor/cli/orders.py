"""Orders and trades for people: `orders`, `cancel`, `trades`, `paper clear`.

Invariants: only a live order is asked to be cancelled, and it counts as cancelled when the exchange says so; JSON
shapes are the contract's. Amounts in account currency, times UTC.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import structlog
import typer
from rich.text import Text

from executor import wiring
from executor.cli.output import (
    REFUSED,
    AsJson,
    Column,
    complain,
    moment,
    money,
    refuse,
    say,
    show_json,
    show_table,
    warn,
    when,
    words,
)
from executor.cli.session import engine, note_identity, person, settings_to_act, settings_to_read
from executor.cli.watching import Watch, show
from executor.domain.order import CancelReason, Order, OrderStatus
from executor.engine.cancel_until_clear import Outstanding, cancel_until_clear
from executor.engine.settlement import end_paper_positions
from executor.settings.load import Settings
from executor.settings.urls import mask_url

log = structlog.get_logger(__name__)

_ALL_RECENT: Final = 5000  # the store remembers no more
_PATIENCE_S: Final = 20.0  # two calls at the exchange, and again if one gets no answer
_LIVE: Final = frozenset({OrderStatus.RESERVED, OrderStatus.SUBMITTED, OrderStatus.PENDING})
# Over without a cancel of ours: nothing of it is unmatched, but it was matched before.
_TOO_LATE: Final = frozenset({OrderStatus.MATCHED, OrderStatus.SETTLED})

Limit = Annotated[int, typer.Option("--limit", min=1, max=_ALL_RECENT, help="At most this many, the newest.")]


def as_json(order: Order) -> dict[str, Any]:
    """Return an order in the contract's shape: amounts as decimal text, times ISO 8601 or null."""
    return {
        "order_id": order.order_id,
        "signal_id": order.signal_id,
        "leg": order.leg,
        "strategy": order.strategy,
        "market_id": order.market_id,
        "selection_id": order.selection_id,
        "side": order.side,
        "price": order.price,
        "size": order.size,
        "size_matched": order.size_matched,
        "average_price_matched": order.average_price_matched,
        "size_cancelled": order.size_cancelled,
        "size_lapsed": order.size_lapsed,
        "size_voided": order.size_voided,
        "status": order.status,
        "reason": order.reason,
        "detail": order.detail,
        "cancel_reason": order.cancel_reason,
        "bet_id": order.bet_id,
        "paper": order.paper,
        "attempt": order.attempt,
        "profit": order.profit if order.settled_at else None,
        "commission": order.commission if order.settled_at else None,
        "created_at": moment(order.created_at),
        "submitted_at": moment(order.submitted_at),
        "placed_at": moment(order.placed_at),
        "matched_at": moment(order.matched_at),
        "finished_at": moment(order.finished_at),
        "settled_at": moment(order.settled_at),
    }


def orders(
    *,
    active: Annotated[bool, typer.Option("--active", help="Only submitted and live ones.")] = False,
    market: Annotated[str, typer.Option(metavar="MARKET", help="Only of this market.")] = "",
    limit: Limit = 100,
    as_json_: AsJson = False,
    watch: Watch = False,
) -> None:
    """List orders, newest first."""
    given = settings_to_read()
    note_identity(given)
    show(lambda: _show(_find(given, market, limit, active=active), as_json_=as_json_), watch=watch, as_json=as_json_)


def _show(found: Sequence[Order], *, as_json_: bool) -> None:
    if as_json_:
        show_json([as_json(order) for order in found])
        return
    if not found:
        say("no orders")
        return
    columns = [Column("order"), Column("side"), Column("price", "right"), Column("size", "right")]
    columns += [Column("matched", "right"), Column("status")]
    show_table("Orders, newest first (UTC)", columns, map(_row, found))


def _find(given: Settings, market: str, limit: int, *, active: bool) -> list[Order]:
    store = wiring.store(given)
    if active:
        found = store.active_orders()
    elif market:  # a live one may be older than what is remembered as recent
        found = [*store.unsettled_orders(), *store.recent_orders(_ALL_RECENT)]
    else:
        found = store.recent_orders(limit)
    unique = {order.order_id: order for order in found if market in {"", order.market_id}}
    return sorted(unique.values(), key=lambda order: (-order.created_at, order.order_id))[:limit]


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
    given = settings_to_act()
    mine = engine(given)
    asked = list(dict.fromkeys(order_ids or ()))
    found = mine.store.active_orders() if everything else mine.store.orders(asked)
    live = [order.order_id for order in found if order.status is OrderStatus.PENDING]
    bad = [f"{one}: no such order" for one in asked if one not in {order.order_id for order in found}]
    bad += [f"{order.order_id}: {_no_cancel(order)}" for order in found if order.status is not OrderStatus.PENDING]
    if live:
        cancel_until_clear(
            mine, CancelReason.MANUAL, who=person(), patience_s=_PATIENCE_S, only=live, progress=_warn_of_problems
        )
    for order in mine.store.orders(live):
        text = f"{order.order_id}: {order.status}, {money(order.size_matched)} of {money(order.size)} matched"
        if order.status in _LIVE | _TOO_LATE:
            bad.append(text)
        else:
            say(text)
    for line in bad:
        complain(line)
    if bad:
        raise typer.Exit(REFUSED)
    if not live:
        say("nothing to cancel")


def _warn_of_problems(left: Outstanding) -> None:
    for problem in left.problems:
        warn(problem)


def _no_cancel(order: Order) -> str:
    if order.status is OrderStatus.SUBMITTED:
        return "SUBMITTED, the exchange has not answered yet; try again in a moment"
    if order.status is OrderStatus.RESERVED:
        return "RESERVED, not at the exchange yet; executor halt keeps it from there"
    return f"{order.status}, nothing left to cancel"


def trades(*, limit: Limit = 50, as_json_: AsJson = False) -> None:
    """List what was matched and voided, newest first, from the ledger."""
    given = settings_to_read()
    ledger = wiring.ledger(given)
    rows = ledger.entries(limit) if ledger.exists() else []
    if as_json_:
        show_json([_trade_json(row) for row in rows])
        return
    if not rows:
        say(f"no trades in {mask_url(given.ledger.url)}")
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


def _trade_json(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name not in {"id", "entry"}}
    return {**shown, "paper": bool(row["paper"]), "selection_id": int(row["selection_id"])}


paper = typer.Typer(no_args_is_help=True, help="Paper trading.")


@paper.callback()
def _paper() -> None:
    """Look after positions that exist on paper only."""


@paper.command(epilog="Example: executor paper clear 1.200000000")
def clear(market: Annotated[str | None, typer.Argument(metavar="MARKET")] = None) -> None:
    """End paper positions now, with profit 0; by themselves they end after a day."""
    given = settings_to_act()
    if not given.trading.enable_paper_trading:
        refuse("the settings say live trading: there are no paper positions here")
    ended = end_paper_positions(engine(given), older_than_ms=0, market_id=market)
    log.info("paper_cleared", market_id=market or "all", orders=ended, by=person())
    say(f"{ended} paper positions ended")


def register(app: typer.Typer) -> None:
    """Give the commands to the program."""
    app.command(epilog="Example: executor orders --active --market 1.200000000")(orders)
    app.command(epilog="Example: executor cancel --all")(cancel)
    app.command(epilog="Example: executor trades --limit 10 --json")(trades)
    app.add_typer(paper, name="paper")
