"""sweep_signals: what the message queue lost is found again here.

Invariant: every recorded signal ends. A signal that nothing moved for ten seconds has its chain started again, at most
twice and not into a crowded queue; past its deadline it is closed and what it reserved is given back. A backlog of
expired ones is closed by the hundred, oldest first, and taken off the queue: a fresh one does not wait for them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from executor.domain.order import MAX_LEGS, OrderStatus, move, order_ids
from executor.domain.risk import Reason
from executor.domain.signal_record import CLOCK_WENT_BACK, SignalRecord, SignalStatus, advance, is_from_the_future
from executor.engine.engine import Engine
from executor.engine.placement import release
from executor.engine.reports import conclude
from executor.engine.submitting import as_sent
from executor.errors import Contended, RecordUnreadable
from executor.ports import Change, MarketView

log = structlog.get_logger(__name__)

_STILL_MS: Final = 10_000
_DISPATCHES: Final = 2
_CROWDED: Final = 100
_PART: Final = 500  # keeps one reply, and Redis's pause for it, small
_AT_ONCE: Final = 1000  # signals looked at per run; the next run takes the rest

Dispatch = Callable[[SignalRecord], None]


def sweep(engine: Engine, dispatch: Dispatch, queue: str) -> int:
    """Look at the signals that stand still; returns how many were moved."""
    now = engine.store.now()
    closed = _close_backlog(engine, now)
    if closed:
        log.warning("backlog_closed", signals=closed, messages=engine.locks.drop_expired(queue, now))
    still = engine.store.open_signals(now - _STILL_MS, _AT_ONCE)
    still += engine.store.signals_ahead(now, _AT_ONCE)  # none, unless Redis's clock has gone back
    crowded = bool(still) and engine.locks.queue_length(queue) > _CROWDED
    closed += _close_unreadable(engine, now)
    return closed + sum(_moved(engine, record, now, dispatch, crowded=crowded) for record in still)


def _moved(engine: Engine, record: SignalRecord, now: int, dispatch: Dispatch, *, crowded: bool) -> bool:
    """Move a signal, if its market lets it: one that cannot be read, or is contended, holds up no other signal."""
    try:
        return _move(engine, record, now, dispatch, crowded=crowded)
    except (Contended, RecordUnreadable) as error:
        log.warning("signal_left_alone", signal_id=record.signal_id, market_id=record.market_id, error=str(error))
    except ValueError as error:  # what our rules say cannot be
        if engine.set_aside.note({f"signal {record.signal_id}": str(error)}):
            log.exception("signal_left_alone", signal_id=record.signal_id, market_id=record.market_id)
    return False


def _close_unreadable(engine: Engine, now: int) -> int:
    """Close signals whose record is none, once their longest validity is over, and give back what they reserved."""
    lost = engine.store.unreadable_signals(now - engine.policy.max_validity_s * 1000 - _STILL_MS)
    for signal_id, moved_at in lost.items():
        record = SignalRecord(
            signal_id=signal_id,
            kind="",
            status=SignalStatus.RECEIVED,
            payload="",
            market_id="",
            strategy="",
            received_at=moved_at,
            deadline=moved_at,
            updated_at=moved_at,
            bridge="",
            token="",
        )
        detail = "Its record in Redis cannot be read, and its time is over"
        ended = advance(record, SignalStatus.EXPIRED, now, Reason.SIGNAL_EXPIRED, detail)
        engine.store.replace_unreadable(ended)
        _tell_expired(engine, ended)
        _give_back(engine, signal_id)
    return len(lost)


def _give_back(engine: Engine, signal_id: str) -> None:
    own = engine.store.orders(order_ids(signal_id, MAX_LEGS))
    for order in own:
        if order.status is not OrderStatus.RESERVED:
            continue
        view = engine.store.view(order.market_id, leave_out_unreadable=True, order_ids=(order.order_id,))
        held = view.orders.get(order.order_id)
        if held is not None and held.status is OrderStatus.RESERVED:
            expired = move(held, OrderStatus.EXPIRED, Reason.SIGNAL_EXPIRED, "its signal's record cannot be read")
            engine.store.commit(view, Change(orders=(replace(expired, finished_at=view.now),)))


def _close_backlog(engine: Engine, now: int) -> int:
    """Close what expired before anybody validated it; what is still being worked on, or is unclear, is `_close`'s."""
    closed = 0
    while True:
        still = engine.store.open_signals(now, _PART)
        expired = [record for record in still if record.status is SignalStatus.RECEIVED and now >= record.deadline]
        ends = [(record, _expired(record, now)) for record in expired]
        won = [after for (_, after), done in zip(ends, engine.store.close(ends), strict=True) if done]
        for record in won:
            _tell_expired(engine, record)
        closed += len(won)
        if not won or len(still) < _PART:  # the others are looked at one by one
            return closed


def _expired(record: SignalRecord, now: int) -> SignalRecord:
    detail = f"Signal expired {now - record.deadline} ms ago, before it was {_next_step(record)}"
    return advance(record, SignalStatus.EXPIRED, now, Reason.SIGNAL_EXPIRED, detail)


def _tell_expired(engine: Engine, record: SignalRecord) -> None:
    engine.telemetry.signal_rejected(Reason.SIGNAL_EXPIRED)
    log.warning("signal_rejected", signal_id=record.signal_id, reason=Reason.SIGNAL_EXPIRED, detail=record.detail)


def _move(engine: Engine, record: SignalRecord, now: int, dispatch: Dispatch, *, crowded: bool) -> bool:
    if now >= record.deadline or is_from_the_future(record, now):
        return _close(engine, record)
    if record.updated_at > now - _STILL_MS:
        return False
    if crowded or record.dispatches >= _DISPATCHES:
        return False
    return _dispatch(engine, record, dispatch)


def _dispatch(engine: Engine, seen: SignalRecord, dispatch: Dispatch) -> bool:
    view = engine.store.view(seen.market_id, signal_ids=(seen.signal_id,))
    record = view.signals.get(seen.signal_id)
    if record is None or record.updated_at != seen.updated_at:
        return False
    own = [order for order in view.orders.values() if order.order_id in record.order_ids]
    if any(order.status is not OrderStatus.RESERVED for order in own):
        return _ask_for_the_rest(engine, view, record)  # at the exchange: the poll's matter
    record = replace(record, dispatches=record.dispatches + 1, updated_at=view.now)
    if not engine.store.commit(view, Change(signals=(record,))):
        return False
    dispatch(record)
    log.warning("signal_dispatched_again", signal_id=record.signal_id, status=record.status, times=record.dispatches)
    return True


def _close(engine: Engine, seen: SignalRecord) -> bool:
    view = engine.store.view(
        seen.market_id,
        signal_ids=(seen.signal_id,),
        order_ids=order_ids(seen.signal_id, MAX_LEGS),
        leave_out_unreadable=True,  # a record that is none in this market must not keep its signals from ending
    )
    record = view.signals.get(seen.signal_id)
    if record is None:
        return False
    detail = f"Signal expired {view.now - record.deadline} ms ago, before it was {_next_step(record)}"
    if is_from_the_future(record, view.now):
        detail = CLOCK_WENT_BACK
    elif view.now < record.deadline:  # a person gave it a new one
        return False
    if record.status is SignalStatus.RECEIVED:
        closed = advance(record, SignalStatus.EXPIRED, view.now, Reason.SIGNAL_EXPIRED, detail)
        if not engine.store.commit(view, Change(signals=(closed,))):
            return False
        engine.telemetry.signal_rejected(Reason.SIGNAL_EXPIRED)
        log.warning("signal_rejected", signal_id=record.signal_id, reason=Reason.SIGNAL_EXPIRED, detail=detail)
        return True
    if release(engine, record.signal_id, record.market_id, Reason.SIGNAL_EXPIRED, detail) is not None:
        return True
    if _ask_for_the_rest(engine, view, record):
        return True
    concluded = conclude(record, list(view.orders.values()), view.now)
    return concluded is not record and bool(engine.store.commit(view, Change(signals=(concluded,))))


def _ask_for_the_rest(engine: Engine, view: MarketView, record: SignalRecord) -> bool:
    """Take a reserved leg as sent where another one was: all go in one call, so Redis has lost the submit step."""
    own = [view.orders[order_id] for order_id in record.order_ids if order_id in view.orders]
    reserved = [order for order in own if order.status is OrderStatus.RESERVED]
    if not reserved or len(reserved) == len(own):
        return False
    sent = [as_sent(order, view.now) for order in reserved]
    log.error("submission_was_lost", signal_id=record.signal_id, order_ids=[order.order_id for order in sent])
    return bool(engine.store.commit(view, Change(orders=sent)))


def _next_step(record: SignalRecord) -> str:
    return "validated" if record.status is SignalStatus.RECEIVED else "sent"
