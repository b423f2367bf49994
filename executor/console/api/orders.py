"""`/api/orders`: which there are, and taking them back."""

from concurrent.futures import TimeoutError as NotYet
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response

from executor.console.api.models import CancelAnswer, CancelBody, OrderModel, Page, ResolveBody
from executor.console.api.paging import After, Limit, cursor, read_cursor, read_number
from executor.console.context import Console, Here, Operator, Viewer
from executor.console.principal import Principal
from executor.console.problems import NotFound
from executor.domain.order import Order
from executor.domain.risk import InvalidLimits
from executor.operations.failed import resolve_order
from executor.operations.orders import ALL_RECENT, cancel_by_hand, find_orders, order_json

router = APIRouter(prefix="/orders", tags=["orders"])

_WAIT_S: Final = 10.0
Market = Annotated[str, Query(max_length=32, description="Only of this market.")]
Status = Annotated[str, Query(max_length=16, description="Only in this state.")]
_SORTS: Final = {
    "created": lambda order: (order.created_at, order.order_id),
    "market": lambda order: (order.market_id, order.selection_id, order.created_at),
    "status": lambda order: (order.status, order.created_at),
    "price": lambda order: (order.price, order.created_at),
    "size": lambda order: (order.size, order.created_at),
    "matched": lambda order: (order.size_matched, order.created_at),
}
Sort = Annotated[str, Query(pattern="^-?(created|market|status|price|size|matched)$", description="- is descending.")]


def page_of_orders(
    console: Console, *, limit: int, after: str = "", market: str = "", status: str = "", active: bool = False,
    sort: str = "-created",
) -> tuple[list[Order], str | None]:  # fmt: skip
    """Return a page of orders, and where the next one begins."""
    place = read_cursor(after)
    plain = not (market or status or active or place) and sort == "-created"
    found = find_orders(console.access, market=market, active=active, limit=limit + 1 if plain else ALL_RECENT)
    if status:
        found = [order for order in found if order.status == status]
    if sort != "-created":
        found.sort(key=_SORTS[sort.lstrip("-")], reverse=sort.startswith("-"))
    if place is not None:  # after the order that was last seen, wherever it stands now
        since = read_number(place)
        at = next((at for at, order in enumerate(found, 1) if order.order_id == place[1]), None)
        older = (at for at, order in enumerate(found) if order.created_at < since)
        found = found[at if at is not None else next(older, len(found)) :]
    more = len(found) > limit
    last = found[limit - 1] if more else None
    return found[:limit], cursor(str(last.created_at), last.order_id) if last else None


@router.get("")
def orders(
    who: Viewer, console: Here, *, active: bool = False, market: Market = "", status: Status = "",
    sort: Sort = "-created", limit: Limit = 50, after: After = "",
) -> Page[OrderModel]:  # fmt: skip
    """List orders, newest first."""
    del who
    found, following = page_of_orders(
        console, limit=limit, after=after, market=market, status=status, active=active, sort=sort
    )
    return Page(items=[OrderModel(**order_json(order)) for order in found], next=following)


@router.get("/{order_id}")
def order(who: Viewer, console: Here, order_id: str) -> OrderModel:
    """Return one order."""
    del who
    return OrderModel(**order_json(_order(console, order_id)))


def _order(console: Console, order_id: str) -> Order:
    found = console.access.store.orders([order_id[:64]])
    if not found:
        raise NotFound("there is no such order")
    return found[0]


@router.post("/{order_id}/cancel", responses={202: {"description": "The exchange has not answered yet."}})
def cancel_one(who: Operator, console: Here, order_id: str, response: Response) -> CancelAnswer:
    """Take back the unmatched part of an order; what is matched stays a position."""
    _order(console, order_id)
    return cancel_now(console, who, [order_id], response)


@router.post("/cancel", responses={202: {"description": "The exchange has not answered yet."}})
def cancel(who: Operator, console: Here, body: CancelBody, response: Response) -> CancelAnswer:
    """Take back several live orders, or all."""
    if bool(body.ids) == body.all:
        raise InvalidLimits("ids: name orders, or set all")
    return cancel_now(console, who, None if body.all else body.ids, response)


def cancel_now(console: Console, who: Principal, ids: list[str] | None, response: Response) -> CancelAnswer:
    """Cancel, and wait for the exchange as long as a person would."""
    running = console.pool.submit(cancel_by_hand, console.access, who.actor, ids)
    try:
        done = running.result(_WAIT_S)
    except NotYet:
        response.status_code = 202
        return CancelAnswer(state="running")
    console.cache.clear()
    state = "not all" if done.kept else "done"
    return CancelAnswer(state=state, cancelled=list(done.gone), not_cancelled=list(done.kept))


@router.post("/{order_id}/resolve")
def resolve(who: Operator, console: Here, order_id: str, body: ResolveBody) -> OrderModel:
    """Say what became of an order whose outcome stays unknown; the exchange is asked once more before."""
    if bool(body.bet_id) == body.not_placed:
        raise InvalidLimits("bet_id: give it, or set not_placed")
    _order(console, order_id)
    return OrderModel(**order_json(resolve_order(console.access, who.actor, order_id, body.bet_id)))
