"""poll_orders: compare our orders with the exchange's, correct, adopt; the reconciliation *is* the poll.

Invariants: an order that dropped out of the list is asked for by name (`lookup`) and never assumed matched; only a
complete cycle sets `executor:reconciled`, without which nothing is placed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from executor.domain.order import BetState, CancelReason, Order
from executor.engine.cancellation import cancel_orders
from executor.engine.engine import Engine
from executor.engine.foreign_bets import keep_foreign
from executor.engine.limits import apply_limits
from executor.engine.lookup import CLEARED, CURRENT, LOOKUP, look_up
from executor.engine.merging import merge_listed
from executor.engine.reports import cleared_state, merge_reports
from executor.engine.set_back import halt_if_set_back
from executor.engine.setting_aside import each_market, set_aside, without_odd
from executor.engine.settlement import rebuild_pnl
from executor.errors import IdentityMismatch
from executor.ports import ClearedBet, ClearedKind, Listing

log = structlog.get_logger(__name__)

_FULL_READ_S: Final = 60  # contract section 6: voids and price changes
_NEVER_S: Final = 10**9  # as the age of a full read: only one of other data is due
_ENDED_MS: Final = 300_000  # what ended this long ago: a restart of Redis and several failed polls
_RECONCILED_INTERVALS: Final = 4
_RECONCILED_MIN_S: Final = 20


@dataclass(frozen=True, slots=True)
class PollReport:
    """What a cycle saw: orders watched, bets listed, orders changed, bets adopted."""

    active: int
    listed: int
    changed: int
    adopted: int
    stopped: int = 0  # markets in which nothing is placed until a later cycle


def poll(engine: Engine) -> PollReport:
    """Run one complete cycle and say so.

    Raises:
        IdentityMismatch: this Redis db became another account's.
        ExecutorError: the exchange or Redis did not answer; the next cycle tries again.
    """
    _claim(engine)
    engine.store.repair_keys()
    apply_limits(engine, missing_only=True)
    reading = _start(engine)
    listed = _list(engine, reading)
    compared = not reading.fresh or halt_if_set_back(engine, listed)
    stopped: dict[str, str] = {}  # markets that are not reconciled though all others are, and why
    changed, adopted, foreign, _ = merge_listed(engine, reading.active, listed, stopped, reading.started_at)
    keep_foreign(engine, [*listed.odd, *foreign], complete=reading.full, stopped=stopped)
    changed += _look_up_dropped(engine, _dropped(reading.active, listed), reading.started_at, stopped)
    if changed:
        _cancel_late_legs(engine, reading.active)
    if reading.full:
        adopted += _adopt_ended(engine, reading.started_at, stopped)
        if reading.fresh or engine.accounts.settled_at() is None:
            rebuild_pnl(engine)
        if compared:  # else the next one is as fresh: what the ledger knows better is not known yet
            engine.controls.full_read_done(reading.mark)
    if reading.first:
        _first_start(engine, listed)
    _confirm(engine, reading, stopped)
    return PollReport(len(reading.active), len(listed), changed, adopted, len(stopped))


def _cancel_late_legs(engine: Engine, before: Sequence[Order]) -> None:
    """Take back at once a leg that turned up late and alone; the next tick of `cancel_unmatched` does it again."""
    seen = {order.order_id for order in before}
    marked = [
        order
        for order in engine.store.active_orders()
        if order.cancel_reason == CancelReason.HALF_PLACED and order.order_id not in seen
    ]
    cancel_orders(engine, marked, CancelReason.HALF_PLACED)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A cycle's start: the data that it began with, the orders watched, and how much is read.

    `fresh`: nobody has read everything into these data yet; what they were before may be lost.
    """

    mark: str
    active: Sequence[Order]
    started_at: int
    first: bool
    full: bool
    fresh: bool


def _claim(engine: Engine) -> None:
    owner = engine.controls.claim_identity()
    if owner != engine.policy.identity:
        raise IdentityMismatch(f"this Redis db belongs to {owner!r}, not to {engine.policy.identity!r}")


def _start(engine: Engine) -> _Reading:
    mark = engine.controls.data_generation()  # before anything is read
    active = engine.store.active_orders()
    now = engine.store.now()
    first = not engine.controls.is_started()
    full = first or engine.controls.full_read_due(_FULL_READ_S, mark)
    fresh = full and engine.controls.full_read_due(_NEVER_S, mark)
    return _Reading(mark, active, now, first, full, fresh)


def _list(engine: Engine, reading: _Reading) -> Listing[BetState]:
    listed = engine.exchange.current_orders() if reading.full else engine.exchange.executable_orders()
    set_aside(engine, CURRENT, listed.odd)
    return listed


def _confirm(engine: Engine, reading: _Reading, stopped: Mapping[str, str]) -> None:
    """Say that this cycle was complete, unless what it has read is too old or of data that are gone."""
    ttl_s = max(_RECONCILED_MIN_S, _RECONCILED_INTERVALS * engine.policy.poll_interval_s)
    if stopped:
        log.warning("markets_held", markets=dict(stopped), why="nothing is placed there; all others are reconciled")
    if engine.store.now() - reading.started_at > ttl_s * 1000:
        log.warning("poll_not_counted", why="it took longer than its mark would hold: what it has read is too old")
    elif engine.controls.storage_problems():
        log.debug("poll_not_counted", why="a worker cannot write its data folder; the watchdog's alert says which")
    elif not engine.controls.confirm_reconciled(ttl_s, reading.mark, stopped):
        log.warning("poll_not_counted", why="Redis was restarted or emptied meanwhile; the next one reads everything")


def _first_start(engine: Engine, listed: Listing[BetState]) -> None:
    """Decide on a first start from a read of every order; one that only read the live ones would overlook the rest."""
    ours = bool(listed) or bool(listed.odd) or bool(engine.store.recent_orders(1))
    ours = ours or not engine.ledger.is_empty(engine.policy.identity)
    if engine.controls.first_start(anything_of_ours=ours):
        log.warning("trading_enabled", why="first start: no order of ours in Redis, the ledger or at the exchange")


def _dropped(active: Sequence[Order], listed: Listing[BetState]) -> list[Order]:
    bets, references = {bet.bet_id for bet in listed}, {bet.order_id for bet in listed}
    # By its bet, once known: another bet with the same reference must not hide that this one is over.
    return [
        order for order in active if (order.bet_id not in bets if order.bet_id else order.order_id not in references)
    ]


def _adopt_ended(engine: Engine, now: int, stopped: dict[str, str]) -> int:
    """Adopt what ended unmatched and is in no record: Redis lost it, and only live and matched bets are listed."""
    lost: dict[str, dict[tuple[ClearedKind, str], ClearedBet]] = {}
    for kind in (ClearedKind.CANCELLED, ClearedKind.LAPSED):
        for page in engine.exchange.settled_since(now - _ENDED_MS, kind):
            rows = [row for row in without_odd(engine, f"{CLEARED} {kind}", page) if row.order_id and not row.foreign]
            names = list(dict.fromkeys(row.order_id for row in rows))
            known = {order.order_id for order in engine.store.orders(names)} | set(engine.store.unreadable(names))
            for row in rows:
                if row.order_id not in known:
                    lost.setdefault(row.order_id, {})[kind, row.bet_id] = row
    names = list(lost)
    matched = {row.order_id for at in range(0, len(names), LOOKUP) for row in _settled(engine, names[at : at + LOOKUP])}
    ended = [cleared_state([*lost[name].values()]) for name in names if name not in matched]  # settlement's otherwise
    for bet in ended:
        log.error("bet_adopted", order_id=bet.order_id, bet_id=bet.bet_id, market_id=bet.market_id, ended=True)
    work = {
        market_id: partial(merge_reports, engine, market_id, [bet for bet in ended if bet.market_id == market_id], {})
        for market_id in dict.fromkeys(bet.market_id for bet in ended)
    }
    each_market(engine, work, stopped)
    return len(ended)


def _settled(engine: Engine, names: Sequence[str]) -> list[ClearedBet]:
    return [
        row for kind in (ClearedKind.SETTLED, ClearedKind.VOIDED) for row in engine.exchange.find_cleared(names, kind)
    ]


def _look_up_dropped(engine: Engine, dropped: Sequence[Order], now: int, stopped: dict[str, str]) -> int:
    changed = 0
    budget = engine.policy.max_lookups
    for at in range(0, len(dropped), LOOKUP):
        if budget <= 0:
            log.warning("lookups_postponed", orders=len(dropped) - at, why="MaxOrdersPerCheck calls were made")
            break
        budget -= 1
        changed += look_up(engine, dropped[at : at + LOOKUP], now, stopped)
    return changed
