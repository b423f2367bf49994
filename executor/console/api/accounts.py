"""`/api/markets`, `/api/trades`, `/api/pnl`, `/api/paper`: positions and money."""

from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import BeforeValidator

from executor.console.api.models import ClearBody, MarketModel, OrderModel, Page, SelectionModel, Status, TradeModel
from executor.console.api.paging import WITHOUT_NUL, After, Limit, cursor, read_cursor, read_number
from executor.console.api.status import plain
from executor.console.context import Console, Here, Operator, Viewer
from executor.console.problems import NotFound
from executor.domain.exposure import exposures, positions
from executor.domain.money import ONE, ZERO, Side, round_down
from executor.domain.order import Order
from executor.errors import LedgerUnavailable, StoreUnavailable
from executor.operations.orders import clear_paper, find_orders, order_json, trade_json
from executor.operations.pnl import By, pnl_csv, pnl_json, settled, totals
from executor.ports.system_snapshot import SystemSnapshot

router = APIRouter(tags=["accounts"])

Market = Annotated[str, Query(max_length=32, pattern=WITHOUT_NUL)]
Day = Annotated[date | None, BeforeValidator(lambda text: text or None)]  # a form's empty field is none
_PNL_S: Final = 5.0  # every settlement is read: pages share it
_ORDERS: Final = 500


def results(orders: list[Order]) -> tuple[dict[int, Decimal], Decimal]:
    """Return what matched bets pay when each selection wins, and when another does: one winner, before commission."""
    selections = {order.selection_id for order in orders}
    nobody = ZERO
    swing = dict.fromkeys(selections, ZERO)  # what a selection's win adds to that
    for order in orders:
        if not order.counts or not order.size_matched:
            continue
        sign = ONE if order.side is Side.BACK else -ONE
        nobody -= sign * order.size_matched
        swing[order.selection_id] += sign * order.size_matched * order.average_price_matched
    return {selection: round_down(nobody + won) for selection, won in swing.items()}, round_down(nobody)


def market_of(console: Console, market_id: str) -> MarketModel:
    """Return a market of ours.

    Raises:
        NotFound: we have no order there.
    """
    orders = find_orders(console.access, market=market_id[:40])[:_ORDERS]
    if not orders and all(bet.market_id != market_id for bet in console.state().foreign):
        raise NotFound("there is no order of ours in that market")
    held, limit = positions(orders), console.state().account_limits.get("MaxExposurePerMarket")
    pays, nobody = results(orders)
    worst = exposures(orders)
    selections = []
    for selection in sorted(pays):
        own = held.get(selection)
        still_open = sum((order.size_open for order in orders if order.selection_id == selection), ZERO)
        selections.append(
            SelectionModel(
                selection_id=selection,
                back_size=own.back.size if own else ZERO,
                back_price=own.back.price if own else ZERO,
                lay_size=own.lay.size if own else ZERO,
                lay_price=own.lay.price if own else ZERO,
                open_size=still_open,
                exposure=worst.get(selection, ZERO),
                if_it_wins=pays[selection],
            )
        )
    return MarketModel(
        market_id=market_id,
        exposure=console.state().market_exposure.get(market_id, sum(worst.values(), ZERO)),
        limit=limit,
        selections=selections,
        if_none_wins=nobody,
        orders=[OrderModel(**order_json(order)) for order in orders],
    )


@router.get("/markets/{market_id}")
def market(who: Viewer, console: Here, market_id: str) -> MarketModel:
    """Return what we hold in a market, and what each result pays."""
    del who
    return market_of(console, market_id)


def trades_of(console: Console, limit: int, after: str, market: str = "") -> Page[TradeModel]:
    """Return fills and voids, newest first."""
    place = read_cursor(after)
    ledger = console.access.ledger
    before = None if place is None else read_number(place)
    rows = ledger.entries(limit + 1, market=market, before=before) if ledger.exists() else []
    following = cursor(str(rows[limit - 1]["id"]), "") if len(rows) > limit else None
    return Page(items=[TradeModel(**trade_json(row)) for row in rows[:limit]], next=following)


@router.get("/trades")
def trades(who: Viewer, console: Here, market: Market = "", limit: Limit = 50, after: After = "") -> Page[TradeModel]:
    """List what was matched and voided, newest first, from the ledger."""
    del who
    return trades_of(console, limit, after, market)


def settlements_of(console: Console, since: str = "") -> list[dict[str, Any]]:
    """Return the settlements since a day, oldest first; anew whenever the P&L in Redis has changed."""
    try:
        state = console.state()
        sums = (state.daily_pnl, state.total_pnl)
    except StoreUnavailable:  # the ledger tells without it
        sums = None
    rows = console.cache.get("settled", lambda: settled(console.access), fresh_s=_PNL_S, of=sums)
    return [row for row in rows if row["at"] >= since]


def state_with_settlements(console: Console) -> SystemSnapshot:
    """Return a look at the system that is no older than the settlements which are shown beside it.

    Raises:
        StoreUnavailable: Redis is away.
    """
    state = console.state()
    with suppress(LedgerUnavailable):
        if totals(settlements_of(console))["net_profit"] != state.total_pnl:
            return console.cache.get("state", console.access.state.read, fresh_s=0.0)
    return state


@router.get("/pnl", responses={200: {"content": {"text/csv": {}}}}, response_model=Status)
def pnl(
    who: Viewer,
    console: Here,
    request: Request,
    by: By = By.DAY,
    since: Annotated[Day, Query(description="First day, UTC.", examples=["2026-01-31"])] = None,
    output: Annotated[str, Query(alias="format", pattern="^(json|csv)$")] = "json",
) -> Response | Status:
    """Return settled profit and loss: JSON with every grouping, or CSV (`format=csv`, or Accept) of one."""
    del who
    rows = settlements_of(console, since.isoformat() if since else "")
    if output == "csv" or request.headers.get("accept", "").startswith("text/csv"):
        name = f"pnl-by-{by}-{datetime.now().astimezone():%Y%m%d}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return PlainTextResponse(pnl_csv(rows, by), headers=headers, media_type="text/csv")
    return plain(pnl_json(console.settings.identity, rows))


@router.post("/paper/clear")
def paper_clear(who: Operator, console: Here, body: ClearBody | None = None) -> dict[str, int]:
    """End paper positions now, with profit 0."""
    return {"ended": clear_paper(console.access, who.actor, body.market if body else None)}
