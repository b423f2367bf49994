"""`/api/signals`: what became of them, and handing them in.

Invariants: a signal that is handed in is recorded by the one intake before the answer is sent; a publisher sees only
what he handed in himself.
"""

import json
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool

from executor.console.api.models import OrderModel, Page, SignalJourney, SignalModel, StepModel, TradeModel
from executor.console.api.paging import After, Limit, Named, cursor, read_cursor
from executor.console.context import Anybody, Console, Here, Publisher, Viewer
from executor.console.principal import NotPermitted, Principal, Role
from executor.console.problems import NotFound
from executor.domain.order import Order
from executor.domain.signal_record import SignalRecord
from executor.domain.times import iso
from executor.operations.orders import order_json, trade_json
from executor.operations.publishing import hand_in, recorder
from executor.operations.signals import (
    SignalFilter,
    Step,
    ended_signals,
    journey,
    open_signals,
    signal_json,
)

router = APIRouter(prefix="/signals", tags=["signals"])

_EXAMPLE: Final = {
    "signalId": "test-123",
    "marketId": "1.999999",
    "strategy": "TestStrategy",
    "primarySelection": {"selectionId": "99999", "recommendedOdds": 2.0, "stake": 10.0, "betType": "Back"},
    "validityWindow": 60,
}


def page_of_signals(
    console: Console, *, limit: int, after: str = "", status: str = "", reason: str = "", strategy: str = ""
) -> Page[SignalModel]:
    """Return those under way, which come first, and how the others ended."""
    wanted = SignalFilter(status, reason, strategy, read_cursor(after))
    rows = ended_signals(console.access, limit + 1, wanted)
    first = [] if after or status or reason else open_signals(console.access)
    shown = [row for row in first if strategy in {"", row["strategy"]}]
    ids = {row["signal_id"] for row in shown}
    ended = [row for row in rows[:limit] if row["signal_id"] not in ids]
    more = len(rows) > limit
    following = cursor(rows[limit - 1]["finished_at"], rows[limit - 1]["signal_id"]) if more else None
    return Page(items=[SignalModel(**row) for row in (*shown, *ended)], next=following)


@router.get("")
def signals(
    who: Viewer, console: Here, *, status: Named = "", reason: Named = "", strategy: Named = "", limit: Limit = 50,
    after: After = "",
) -> Page[SignalModel]:  # fmt: skip
    """List signals, those under way first, then newest first."""
    del who
    return page_of_signals(console, limit=limit, after=after, status=status, reason=reason, strategy=strategy)


_SCHEMA: Final = {
    "requestBody": {
        "required": True,
        "description": "A strategy signal or a surebet, as on the channels; fields that are not known are ignored.",
        "content": {"application/json": {"schema": {"type": "object"}, "example": _EXAMPLE}},
    }
}


@router.post(
    "",
    status_code=202,
    openapi_extra=_SCHEMA,
    responses={200: {"model": SignalModel, "description": "Known already: the first one's record."}},
)
async def hand_in_signal(who: Publisher, console: Here, request: Request, response: Response) -> SignalModel:
    """Hand in a signal; it is recorded when this answers, whether anybody listens or not. Its id may be sent again."""
    raw = await request.body()
    return await run_in_threadpool(_hand_in, console, who, raw, response)


def _hand_in(console: Console, who: Principal, raw: bytes, response: Response) -> SignalModel:
    console.pace.take(who.name)
    receipt, record = hand_in(console.access, who.name, raw)
    if receipt.problem is not None:
        if receipt.problem.field == "message" and not _is_json(raw):  # of a signed one a field may be wrong, too
            raise HTTPException(400, f"the body is no JSON: {receipt.problem}")
        raise receipt.problem
    response.status_code = 202 if receipt.is_new else 200
    response.headers["Location"] = f"/api/signals/{quote(record.signal_id, safe='')}"
    return SignalModel(**signal_json(record))


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True


@router.get("/{signal_id:path}")
def signal(who: Anybody, console: Here, signal_id: str) -> SignalJourney:
    """Return one signal whole: payload, orders, fills, and every step with its time."""
    record, orders, fills, steps = journey_of(console, signal_id)
    _may_see(who, record)
    return SignalJourney(
        **signal_json(record),
        deadline=iso(record.deadline),
        attempt=record.attempt,
        payload=record.payload,
        steps=[StepModel(at=iso(s.at), what=s.what, detail=s.detail, leg=s.leg, bad=s.bad) for s in steps],
        orders=[OrderModel(**order_json(order)) for order in orders],
        trades=[TradeModel(**trade_json(row)) for row in fills],
    )


def _may_see(who: Principal, record: SignalRecord) -> None:
    own = who.may(Role.PUBLISHER) and record.bridge.startswith(recorder(who.name))
    if not (own or who.may(Role.VIEWER)):
        raise NotPermitted("a publisher sees the signals that it handed in itself")


def journey_of(
    console: Console, signal_id: str
) -> tuple[SignalRecord, list[Order], list[dict[str, object]], list[Step]]:
    """Return a signal's record, its orders, its fills and its steps.

    Raises:
        NotFound: there is none, or it is forgotten.
    """
    record = console.access.store.signal(signal_id[:200])
    if record is None:
        raise NotFound("there is no such signal, or it is so long ago that it is forgotten")
    orders = sorted(console.access.store.orders(record.order_ids), key=lambda order: order.leg)
    ledger = console.access.ledger
    fills = ledger.entries_of(record.signal_id) if ledger.exists() else []
    return record, orders, fills, journey(record, orders, fills)
