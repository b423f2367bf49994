"""Hedging: a selection whose matched exposure nears its limit is brought down by an opposite order.

Invariants: a hedge is a signal like any other, recorded and dispatched once, by an id made of the position and the
attempt; the next attempt is made only when the former has ended and nothing of a hedge is live on the selection; what
is about to be done is noted first, so that the next tick explains an attempt whose process died before it could; what
keeps one from being made is said, alerted, and looked at again at the next tick. Nothing here sends an order.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from executor.domain.account import rate_of, unit_of
from executor.domain.hedge import HEDGE, SAME, HedgePlan, due, plan
from executor.domain.limits import InvalidLimits, Limits, in_currency, parse_limits
from executor.domain.order import Order, OrderStatus
from executor.domain.risk import is_true
from executor.domain.signal import SignalKind
from executor.domain.signal_record import TERMINAL, SignalRecord, SignalStatus
from executor.engine.engine import Engine
from executor.engine.intake import Intake, receive
from executor.errors import ExecutorError, RecordUnreadable
from executor.ports import HedgeNote, MarketView

log = structlog.get_logger(__name__)

Dispatch = Callable[[SignalRecord], None]

_LIVE: Final = (OrderStatus.RESERVED, OrderStatus.SUBMITTED, OrderStatus.PENDING)
_VALID_S: Final = 20  # less than a tick: the next look makes a new plan
_UNMATCHED_S: Final = 20  # a price that has moved away is not waited for
_FORGOTTEN_MS: Final = 40 * 24 * 3_600_000  # longer than any record of a signal is kept
STANDS_MS: Final = 90_000  # three ticks: a note that is older is of a position that nobody looks at any more


def hedge(engine: Engine, dispatch: Dispatch) -> str:
    """Look at every position, and act on those that are due; returns what was done."""
    policy = engine.policy.hedge
    plans = plans_now(engine)
    notes = {position: _caught_up(engine, position, note) for position, note in engine.hedges.notes().items()}
    now = engine.store.now()
    for position, note in notes.items():
        if position in {found.position for found in plans}:
            continue
        if note.waits:
            log.info("hedge_not_needed", position=position)
            engine.hedges.note(position, replace(note, waits=False, said="", at=now))
        elif now - note.at > _FORGOTTEN_MS:
            engine.hedges.forget(position)
    sent = 0
    for found in plans:
        note = notes.get(found.position, HedgeNote())
        if policy.mode != "trade" or found.problem:
            _wait(engine, found, note)
            continue
        sent += _act(engine, dispatch, found, note)
    return f"{len(plans)} due, {sent} sent"


def standing(engine: Engine) -> list[str]:
    """Return what is said of the positions that wait."""
    now = engine.store.now()
    return [note.said for note in engine.hedges.notes().values() if note.waits and now - note.at <= STANDS_MS]


def plans_now(engine: Engine) -> list[HedgePlan]:
    """Return what would be done now about every position that is due."""
    markets: dict[str, list[Order]] = {}
    for order in engine.store.unsettled_orders():
        if order.size_matched:
            markets.setdefault(order.market_id, []).append(order)
    views: list[tuple[MarketView, Limits]] = []
    for market_id in sorted(markets):
        try:
            view = engine.store.view(market_id)
            limits = _limits(engine, view)
        except (RecordUnreadable, InvalidLimits) as error:
            log.warning("hedge_not_looked_at", market_id=market_id, error=str(error))
            continue
        if limits is not None and due(view.orders.values(), limits.max_exposure_per_selection, engine.policy.hedge):
            views.append((view, limits))
    return _plans(engine, views) if views else []


def _limits(engine: Engine, view: MarketView) -> Limits | None:
    limits, rate = parse_limits(view.limits), rate_of(view.account, engine.policy.rules.currency, view.now)
    return None if rate is None else in_currency(limits, rate)


def _plans(engine: Engine, views: list[tuple[MarketView, Limits]]) -> list[HedgePlan]:
    try:
        quotes = engine.exchange.quotes([view.market_id for view, _ in views])
    except ExecutorError as error:
        log.warning("hedge_prices_not_read", error=str(error))
        quotes = {}
    policy, found = engine.policy.hedge, list[HedgePlan]()
    for view, limits in views:
        unit = unit_of(view.account, engine.policy.rules.currency) or SAME
        orders, minimum = list(view.orders.values()), engine.policy.rules.minimum(view.account.currency)
        for selection_id in sorted(due(orders, limits.max_exposure_per_selection, policy)):
            made = plan(view.market_id, selection_id, orders, quotes.get(view.market_id), limits, policy, minimum)
            found.append(_unless(replace(made, unit=unit, currency=view.account.currency), view, orders))
    return found


def _unless(made: HedgePlan, view: MarketView, orders: list[Order]) -> HedgePlan:
    """Return the plan with what else keeps it from being done."""
    live = [o for o in orders if o.selection_id == made.selection_id and o.strategy == HEDGE and o.status in _LIVE]
    if live:
        return replace(made, problem=f"the last hedge, {live[0].order_id}, is live")
    if view.breaker and not is_true(view.trading):
        return replace(made, problem="the circuit breaker is open")
    if not is_true(view.trading):
        return replace(made, problem="trading is halted")
    return made


def _wait(engine: Engine, found: HedgePlan, note: HedgeNote) -> None:
    said = str(found) if found.problem else f"it would hedge: {found}"
    if said != note.said:
        log.warning("hedge_waits" if found.problem else "hedge_due", position=found.position, detail=said)
    engine.hedges.note(found.position, replace(note, said=said, waits=True, at=engine.store.now()))


def _act(engine: Engine, dispatch: Dispatch, found: HedgePlan, note: HedgeNote) -> bool:
    """Publish the next attempt, unless the former has not ended."""
    position, attempt = found.position, note.attempt
    former = engine.store.signal(_signal_id(position, attempt)) if attempt else None
    while (later := engine.store.signal(_signal_id(position, attempt + 1))) is not None:
        attempt, former = attempt + 1, later  # the notes were lost
    if former is not None and not _has_ended(engine, former):
        _wait(engine, replace(found, problem=f"attempt {attempt} has not ended"), replace(note, attempt=attempt))
        return False
    note = replace(note, attempt=attempt, said=str(found), waits=False, at=engine.store.now())
    engine.hedges.note(position, note)
    record = _publish(engine, found, attempt + 1)
    if record is None:  # somebody else did at this moment
        return False
    _explain(engine, position, note)
    dispatch(record)
    return True


def _caught_up(engine: Engine, position: str, note: HedgeNote) -> HedgeNote:
    """Return the note with the attempts that were recorded by who died before he explained them."""
    while engine.store.signal(_signal_id(position, note.attempt + 1)) is not None:
        note = _explain(engine, position, note)
    return note


def _explain(engine: Engine, position: str, note: HedgeNote) -> HedgeNote:
    """Say of the next attempt, which has been recorded, what it does and why; then it is noted."""
    done = replace(note, attempt=note.attempt + 1, waits=False, at=engine.store.now(), done=note.said)
    signal_id = _signal_id(position, done.attempt)
    log.warning("hedge_sent", signal_id=signal_id, position=position, attempt=done.attempt, detail=note.said)
    engine.hedges.explain(position, signal_id, note.said)
    engine.hedges.note(position, done)
    return done


def _has_ended(engine: Engine, former: SignalRecord) -> bool:
    if former.status is SignalStatus.ACCEPTED or former.status not in TERMINAL:
        return False
    return not any(order.status in _LIVE for order in engine.store.orders(former.order_ids))


def _signal_id(position: str, attempt: int) -> str:
    return f"{HEDGE}-{position}-{attempt}"


def _publish(engine: Engine, found: HedgePlan, attempt: int) -> SignalRecord | None:
    """Record the signal as the bridge does; None where it is known already."""
    leg = {
        "selectionId": str(found.selection_id),
        "betType": found.side.capitalize(),
        "recommendedOdds": f"{found.price:f}",
        "stake": f"{found.size:f}",
    }
    message = {
        "signalId": _signal_id(found.position, attempt),
        "marketId": found.market_id,
        "strategy": HEDGE,
        "confidence": 1,
        "validityWindow": _VALID_S,
        "unmatchedTimeoutSeconds": _UNMATCHED_S,
        "explanation": str(found),
        "primarySelection": leg,
    }
    intake = Intake(engine.store, engine.telemetry, engine.policy)
    return receive(intake, SignalKind.STRATEGY, json.dumps(message).encode(), engine.store.now(), HEDGE)
