"""validate_risk: read a snapshot, decide, commit the reservations or the rejection.

Invariant: reservations are written only if everything the decision read is still so; losing a race is never a
rejection, the step reads again. Where the next step follows in this process, the same commit marks the orders as sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import structlog

from executor.domain.foreign import foreign_exposure
from executor.domain.market import unsupported
from executor.domain.order import ADOPTED, MAX_LEGS, UNPLACED, Order, order_ids
from executor.domain.risk import Reason, RiskInputs, Verdict, decide, is_true
from executor.domain.signal import Leg, Signal, SignalKind, parse_signal
from executor.domain.signal_record import CLOCK_WENT_BACK, SignalRecord, SignalStatus, advance, is_from_the_future
from executor.engine.adopted_signal import claim_adopted_bets, new_order
from executor.engine.breaker import is_reset, with_rejection
from executor.engine.engine import Engine, Policy, Step, Submission, repeated, step, unknown_signal
from executor.engine.markets import ask_for_facts
from executor.engine.optimistic import until_committed
from executor.engine.reports import announce
from executor.engine.submitting import has_room, marked_as_sent
from executor.engine.waiting import wait_for_poll
from executor.errors import InvalidSignal
from executor.ports import Change, Gate, MarketView

log = structlog.get_logger(__name__)

_GATES = frozenset({Gate.TRADING, Gate.RECONCILED, Gate.LIMITS, Gate.PNL, Gate.BREAKER, Gate.DEADLINE})


def validate(engine: Engine, signal_id: str, market_id: str, *, patience_ms: int = 0, submit: bool = False) -> Step:
    """Decide on a signal; a signal decided before keeps its decision.

    `patience_ms`: how long it waits for orders to be reconciled. `submit`: accepted orders are marked as sent at once,
    and the step says so with a `submission`; the caller sends it, or puts it back.

    Raises:
        Contended: others kept changing what was read.
        NotYet: it waits for orders to be reconciled.
        StoreUnavailable: what was decided, if anything, is in the record; where orders were marked as sent and nobody
            knows, a poll finds out that they were not.
    """
    started = engine.clock.monotonic()

    def attempt(lock_token: str) -> Step | None:
        nonlocal market_id
        read = engine.clock.monotonic()
        view = engine.store.view(market_id, signal_ids=(signal_id,), order_ids=order_ids(signal_id, MAX_LEGS))
        view = replace(view, lock_token=lock_token)
        record = view.signals.get(signal_id)
        if record is None:
            return unknown_signal(engine, signal_id, market_id)
        if record.market_id != market_id:
            market_id = record.market_id
            return None
        if record.status is not SignalStatus.RECEIVED:
            return repeated(engine, record, "validate_risk")
        if (found := _adopted_already(engine.policy, view, record)) is not None:
            if not engine.store.commit(view, found):
                return None
            announce(engine, view, found)
            return step(found.signals[0])
        verdict, orders = _decide(engine.policy, view, record)
        if verdict.reason is Reason.NOT_RECONCILED:
            wait_for_poll(engine, view, record, patience_ms)
        after, change = _change(engine.policy, view, record, verdict, orders, submit=submit)
        return _committed(engine, view, after, change, verdict, _Times(started, read))

    return until_committed(engine, market_id, f"signal {signal_id}: market {market_id}", attempt)


@lru_cache(maxsize=2)  # a decision asks twice
def _parsed(kind: str, payload: str) -> Signal:
    return parse_signal(SignalKind(kind), payload.encode())


def _adopted_already(policy: Policy, view: MarketView, record: SignalRecord) -> Change | None:
    try:
        signal = _parsed(record.kind, record.payload)
    except (InvalidSignal, ValueError):  # what becomes of it is decided below
        return None
    return claim_adopted_bets(policy, view, record, signal)


def _decide(policy: Policy, view: MarketView, record: SignalRecord) -> tuple[Verdict, tuple[Order, ...]]:
    if is_from_the_future(record, view.now):
        return Verdict(Reason.SIGNAL_EXPIRED, CLOCK_WENT_BACK), ()
    try:
        signal = _parsed(record.kind, record.payload)
    except (InvalidSignal, ValueError) as error:  # it was a signal when it came: somebody changed the record
        return Verdict(Reason.MALFORMED_SIGNAL, f"The record's payload is no signal: {error!s:.200}"), ()
    ids = order_ids(record.signal_id, len(signal.legs))
    if any(order_id in view.orders and view.orders[order_id].status not in UNPLACED for order_id in ids):
        return Verdict(Reason.DUPLICATE_SIGNAL, "Orders of a signal with this id exist already"), ()
    if signal.kind is SignalKind.SUREBET and _has_twin(policy, view, record, signal):
        return Verdict(Reason.DUPLICATE_SIGNAL, "This surebet has orders already, under an arrival that Redis lost"), ()

    def reserve(_leg: Leg, number: int) -> Order:
        return new_order(policy, view, record, signal, number)

    inputs = RiskInputs(
        now=view.now,
        deadline=record.deadline,
        reconciled=view.reconciled and view.identity == policy.identity,
        trading_enabled=is_true(view.trading),
        breaker_open=bool(view.breaker) and not is_true(view.trading),
        limits=view.limits,
        daily_pnl=view.daily_pnl,
        orders=tuple(view.orders.values()),
        stop_reason=view.stop_reason,
        unsupported=unsupported(view.market, signal.market_type),
        foreign=foreign_exposure(view.foreign.values()),
        market=view.market,
        account=view.account,
        held_elsewhere=view.held_elsewhere,
    )
    return decide(signal, inputs, policy.rules, reserve)


def _has_twin(policy: Policy, view: MarketView, record: SignalRecord, signal: Signal) -> bool:
    """Tell whether a surebet has orders under the id of another arrival, or adopted ones just like its own.

    Its content keeps it from being recorded twice; a Redis that lost a second has lost that too, while the first one's
    call was under way.
    """
    near_ms = policy.max_age_s * 1000
    legs = {(leg.selection_id, leg.side, leg.price, leg.size) for leg in signal.legs}
    return any(
        order.signal_id.startswith(f"{signal.signal_id}-")
        or (order.strategy == ADOPTED and (order.selection_id, order.side, order.price, order.size) in legs)
        for order in view.orders.values()
        if order.signal_id != record.signal_id and abs(order.received_at - record.received_at) < near_ms
    )


@dataclass(frozen=True, slots=True)
class _Times:
    """Monotonic seconds."""

    started: float  # the step
    read: float  # just before the view was


def _committed(
    engine: Engine, view: MarketView, after: SignalRecord, change: Change, verdict: Verdict, times: _Times
) -> Step | None:
    view_after = engine.store.commit(view, change)
    if not view_after:
        return None
    now = engine.clock.monotonic()

    def announce_decision() -> None:
        _announce(engine, view, after, verdict, change, now - times.started)

    if change.transactions:
        sent = Submission(after, change.orders, view_after, times.read, now, announce_decision)
        return replace(step(after), submission=sent)
    announce_decision()
    return step(after)


def _change(
    policy: Policy, view: MarketView, record: SignalRecord, verdict: Verdict, orders: Sequence[Order], *, submit: bool
) -> tuple[SignalRecord, Change]:
    if verdict.reason is None:
        ids = tuple(order.order_id for order in orders)
        after = replace(advance(record, SignalStatus.ACCEPTED, view.now), order_ids=ids)
        if submit and has_room(policy, view, len(orders)):
            change = marked_as_sent(policy, view, orders)
        else:
            change = Change(orders=orders, reset_breaker=is_reset(view))
        return after, replace(change, signals=(after,), gates=_GATES, held_elsewhere_max=verdict.held_elsewhere_max)
    status = SignalStatus.EXPIRED if verdict.reason is Reason.SIGNAL_EXPIRED else SignalStatus.REJECTED
    detail = f"{verdict.detail} (leg {verdict.leg})" if verdict.leg > 1 else verdict.detail
    after = advance(record, status, view.now, verdict.reason, detail)
    change = Change(signals=(after,), reset_breaker=is_reset(view))
    return after, with_rejection(policy, view, change, record.signal_id, verdict.reason)


def _announce(
    engine: Engine, view: MarketView, after: SignalRecord, verdict: Verdict, change: Change, seconds: float
) -> None:
    ask_for_facts(engine, view)
    engine.telemetry.risk_validated(seconds)
    engine.telemetry.signal_age(max(0, view.now - after.received_at) / 1000)
    bound = log.bind(signal_id=after.signal_id, market_id=after.market_id, elapsed_ms=round(seconds * 1000, 1))
    if change.reset_breaker:
        bound.warning("circuit_breaker_reset", tripped=view.breaker.get("time"))
    if change.trip:
        bound.critical("circuit_breaker_tripped", why=change.trip)
    if verdict.reason is None:
        bound.info("signal_accepted", orders=after.order_ids)
        return
    engine.telemetry.signal_rejected(verdict.reason)
    bound.warning("signal_rejected", reason=verdict.reason, detail=after.detail)
