"""The fakes of the ports that Redis serves, held to the same contract tests as the real ones.

`Memory` is what a Redis db is to the store and the ports beside it: one state that all read and write, with its clock.
Times in milliseconds since the epoch, money as Decimal. `away` names the methods that find Redis gone; `before_commit`
is what somebody else does between a step's read and its write.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal

from executor.adapters.redis.records import encode
from executor.domain.account import UNKNOWN, Account, rate_between
from executor.domain.exposure import exposures
from executor.domain.foreign import ForeignBet, foreign_exposure
from executor.domain.ledger_entry import SIGNAL, LedgerEntry, decode_entry, encode_entry, of_signal, of_trade
from executor.domain.market import Market, allows_as
from executor.domain.money import ZERO
from executor.domain.netting import counted_exposure
from executor.domain.order import ACTIVE, Order, Trade, TradeKind
from executor.domain.risk import LIMIT_FIELDS, Reason, is_true
from executor.domain.signal_record import TERMINAL, SignalRecord
from executor.domain.times import day, hour, iso
from executor.errors import RecordUnreadable, StoreUnavailable
from executor.ports import (
    Alert,
    Arrival,
    Change,
    Counted,
    Funds,
    Gate,
    HealthSnapshot,
    HedgeNote,
    Hold,
    MarketView,
    Reading,
    Recorded,
    RefusedCancel,
    SendState,
)
from support.fakes import FrozenClock

_KEEP_TRADES_MS = 7 * 86_400_000


def _entry(name: str) -> tuple[int, int]:
    milliseconds, _, number = name.partition("-")
    return int(milliseconds or 0), int(number or 0)


@dataclass
class Memory:
    """The state of one Redis db."""

    clock: FrozenClock = field(default_factory=FrozenClock)
    identity: str | None = None
    trading: str | None = None
    started: bool = False
    generation: str = "generation"  # of the data
    run: int = 1  # of the server
    full_read_of: str | None = "1 generation"  # the data that were read wholly
    reconciled_until: int = 0
    full_read_at: int | None = None
    limits: dict[str, str] = field(default_factory=dict)
    applied: dict[str, str] = field(default_factory=dict)
    succeeded: dict[str, int] = field(default_factory=dict)
    pnl: dict[str, str] = field(default_factory=dict)  # UTC day -> net
    settlements: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    settled_at: int | None = None
    breaker: dict[str, str] = field(default_factory=dict)
    since: float | None = None
    failures: dict[str, float] = field(default_factory=dict)
    signals: dict[str, SignalRecord] = field(default_factory=dict)
    seen: dict[str, tuple[str, str, str, int]] = field(default_factory=dict)  # bridge, token, signal id, until
    orders: dict[str, Order] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)  # order id -> when
    revisions: dict[str, int] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)  # UTC hour -> instructions
    feed: dict[str, Mapping[str, str]] = field(default_factory=dict)
    entered: int = 0
    acknowledged: set[str] = field(default_factory=set)
    market_types: dict[str, str] = field(default_factory=dict)
    account: Funds | None = None
    difference: Decimal = ZERO
    difference_since: int | None = None
    bridges: int = 1
    session_at: int | None = 0  # when it was last kept alive; None: there is none
    clock_ahead: int = 0
    signals_waiting: int = 0
    signals_age: int = 0
    misuse_age: int | None = None
    replicated: bool = True  # what a commit that is to be durable says
    waiting: dict[str, int] = field(default_factory=dict)
    stream_silent: int = 0
    heartbeat_age: int | None = 0
    switch_fired: str = ""
    switch_fired_age: int = 0
    alerts: dict[str, str] = field(default_factory=dict)
    locks: set[str] = field(default_factory=set)
    queues: Counter[str] = field(default_factory=Counter)
    messages: list[dict[str, str]] = field(default_factory=list)
    facts: dict[str, Market | None] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)
    currency: str = ""
    money: Account = UNKNOWN
    lost: int = 0  # pennies
    lost_before: int = 0
    hedges: dict[str, HedgeNote] = field(default_factory=dict)
    netting: bool = False
    storage: dict[str, tuple[str, int]] = field(default_factory=dict)  # process -> problem, until
    cooldowns: dict[str, int] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    unreadable: str = ""  # a market one of whose records is none
    stopped_markets: dict[str, str] = field(default_factory=dict)  # market -> why nothing is placed there
    foreign: dict[str, ForeignBet] = field(default_factory=dict)
    were_foreign: set[str] = field(default_factory=set)
    market_locks: dict[str, str] = field(default_factory=dict)  # market -> its lock's token
    set_aside: dict[str, tuple[str, int]] = field(default_factory=dict)  # name -> problem, last met
    refused: dict[str, RefusedCancel] = field(default_factory=dict)
    told_days: dict[str, str] = field(default_factory=dict)
    acts: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def held_in(self, market_id: str) -> Decimal:
        orders = [order for order in self.orders.values() if order.market_id == market_id]
        foreign = foreign_exposure(bet for bet in self.foreign.values() if bet.market_id == market_id)
        return counted_exposure(orders, foreign, self.facts.get(market_id), netting=True)

    def held_total(self) -> Decimal:
        return sum((self.held_in(market_id) for market_id in {o.market_id for o in self.orders.values()}), ZERO)

    @property
    def account_known(self) -> Account:
        known = replace(self.money, currency=self.currency)
        return replace(known, lost=Decimal(self.lost - self.lost_before) / 100)

    def reach(self, method: str) -> None:
        if method in self.away or "*" in self.away:
            raise StoreUnavailable(f"Redis is away: {method}")

    def enter(self, fields: Mapping[str, str]) -> None:
        self.entered += 1
        self.feed[f"{self.clock.now}-{self.entered}"] = fields

    @property
    def entries(self) -> list[tuple[str, LedgerEntry]]:
        """The feed as the ledger is given it."""
        return [(entry_id, decode_entry(fields)) for entry_id, fields in self.feed.items()]

    @property
    def trades(self) -> list[Mapping[str, str]]:
        """The feed without what it says of signals."""
        return [entry for entry in self.feed.values() if entry["type"] != SIGNAL]

    def failed_since(self, window_s: int) -> tuple[int, float]:
        lower = self.clock.now / 1000 - window_s
        if self.since is not None and self.since >= lower:
            return sum(at > self.since for at in self.failures.values()), self.since
        return sum(at >= lower for at in self.failures.values()), lower


class MemoryStore:
    """`OrderStore` in a dictionary."""

    def __init__(self, memory: Memory, *, window_s: int = 600, identity: str = "paper") -> None:
        self._m = memory
        self._window_s = window_s
        self._identity = identity
        self.before_commit: list[Callable[[], object]] = []
        self.commits: list[Change] = []

    def now(self) -> int:
        self._m.reach("now")
        return self._m.clock.now

    def record(self, arrivals: Sequence[Arrival]) -> list[tuple[Recorded, str] | StoreUnavailable]:
        self._m.reach("record")
        return [self._record(arrival, arrival.record) for arrival in arrivals]

    def _record(self, arrival: Arrival, record: SignalRecord) -> tuple[Recorded, str]:
        dedup_id, dedup_s, renew = arrival.dedup_id, arrival.dedup_s, arrival.renew
        until = self._m.clock.now + dedup_s * 1000
        bridge, token, known, ends = self._m.seen.get(dedup_id, ("", "", "", 0))
        if ends > self._m.clock.now:
            if token == record.token:
                ours = bridge == record.bridge
                return (Recorded.NEW, record.signal_id) if ours else (Recorded.TAKEN_OVER, known)
            if renew:
                self._m.seen[dedup_id] = (bridge, token, known, max(ends, until))
            return (Recorded.REPEAT if bridge == record.bridge else Recorded.ELSEWHERE), known
        held = self._m.signals.get(record.signal_id)
        if held is not None and arrival.otherwise is not None and record is not arrival.otherwise:
            return self._record(arrival, arrival.otherwise)
        if held is not None and held.reason != Reason.MALFORMED_SIGNAL:
            self._m.seen[dedup_id] = (record.bridge, "-", record.signal_id, until)
            return Recorded.REPEAT, record.signal_id
        self._m.signals[record.signal_id] = record
        if record.status in TERMINAL:
            self._m.enter(encode_entry(of_signal(record, self._identity)))
        self._m.seen[dedup_id] = (record.bridge, record.token, record.signal_id, until)
        return (Recorded.STARTED if arrival.first_message else Recorded.NEW), record.signal_id

    def close(self, ends: Sequence[tuple[SignalRecord, SignalRecord]]) -> list[bool]:
        self._m.reach("close")
        return [self._close(before, after) for before, after in ends]

    def _close(self, before: SignalRecord, after: SignalRecord) -> bool:
        if self._m.signals.get(before.signal_id) != before:
            return False
        self._m.signals[before.signal_id] = after
        self._m.enter(encode_entry(of_signal(after, self._identity)))
        return True

    def signal(self, signal_id: str) -> SignalRecord | None:
        self._m.reach("signal")
        return self._m.signals.get(signal_id)

    def view(
        self,
        market_id: str,
        *,
        signal_ids: Sequence[str] = (),
        order_ids: Sequence[str] = (),
        leave_out_unreadable: bool = False,
    ) -> MarketView:
        m = self._m
        m.reach("view")
        if market_id == m.unreadable and not leave_out_unreadable:
            raise RecordUnreadable("an order's record in Redis is not readable")
        today = day(m.clock.now)
        signals = {signal_id: m.signals[signal_id] for signal_id in signal_ids if signal_id in m.signals}
        failures, lower = m.failed_since(self._window_s)
        revision = m.revisions.get(market_id)
        return MarketView(
            market_id=market_id,
            revision=None if revision is None else str(revision),
            now=m.clock.now,
            identity=m.identity,
            trading=m.trading,
            reconciled=m.reconciled_until > m.clock.now,
            limits=dict(m.limits),
            pnl_key=today,
            daily_pnl=m.pnl.get(today),
            transactions=m.sent[hour(m.clock.now)],
            transactions_key=hour(m.clock.now),
            breaker=dict(m.breaker),
            failures=failures,
            failures_since=str(lower),
            orders={
                order_id: order
                for order_id, order in m.orders.items()
                if order_id in order_ids or (order.market_id == market_id and order.counts)
            },
            market=m.facts.get(market_id),
            market_asked=market_id in m.facts,
            account=m.account_known,
            held_elsewhere=m.held_total() - m.held_in(market_id),
            netting=m.netting,
            signals=signals,
            signals_raw={signal_id: encode(record) for signal_id, record in signals.items()},
            stop_reason=m.stopped_markets.get(market_id, ""),
            foreign={bet_id: bet for bet_id, bet in m.foreign.items() if bet.market_id == market_id},
            unreadable=["an order"] if market_id == m.unreadable else [],
        )

    def send_state(self, market_id: str, order_ids: Sequence[str]) -> SendState:
        m = self._m
        m.reach("send_state")
        return SendState(
            now=m.clock.now,
            trading=m.trading,
            reconciled=m.reconciled_until > m.clock.now,
            stop_reason=m.stopped_markets.get(market_id, ""),
            orders={order_id: m.orders[order_id] for order_id in order_ids if order_id in m.orders},
        )

    def lock_market(self, market_id: str) -> str:
        if market_id in self._m.market_locks:
            return ""
        self._m.market_locks[market_id] = "mine"
        return "mine"

    def unlock_market(self, market_id: str, lock_token: str) -> None:
        if self._m.market_locks.get(market_id) == lock_token:
            del self._m.market_locks[market_id]

    def _holds(self, view: MarketView, change: Change) -> bool:
        m, now = self._m, self.view(view.market_id, signal_ids=[signal.signal_id for signal in change.signals])
        gates = change.gates
        moves = bool(change.orders or change.foreign or change.foreign_gone or change.recount)
        checks = (
            (moves, view.revision == now.revision),
            (moves, view.lock_token == m.market_locks.get(view.market_id, "")),
            (
                bool(change.signals),
                all(view.signals_raw.get(s.signal_id) == now.signals_raw.get(s.signal_id) for s in change.signals),
            ),
            (Gate.TRADING in gates or change.reset_breaker, view.trading == now.trading),
            (
                Gate.RECONCILED in gates,
                now.reconciled and now.identity == self._identity and view.stop_reason == now.stop_reason,
            ),
            (
                Gate.LIMITS in gates,
                all(view.limits.get(name) == now.limits.get(name) for name in LIMIT_FIELDS),
            ),
            (Gate.PNL in gates, view.daily_pnl == m.pnl.get(view.pnl_key)),
            (
                Gate.BREAKER in gates or bool(change.trip) or change.reset_breaker,
                bool(view.breaker) == bool(now.breaker),
            ),
            (change.failure is not None, view.failures == now.failures),
            (
                Gate.DEADLINE in gates,
                bool(view.signals) and m.clock.now < min((s.deadline for s in view.signals.values()), default=0),
            ),
        )
        most = change.held_elsewhere_max
        if most is not None and now.held_elsewhere > most:
            return False
        cap = change.transactions_max
        return all(held for asked, held in checks if asked) and (
            cap is None or m.sent[view.transactions_key] + change.transactions <= cap
        )

    def commit(self, view: MarketView, change: Change) -> MarketView | None:
        m = self._m
        m.reach("commit")
        if self.before_commit:
            self.before_commit.pop(0)()
        if not self._holds(view, change):
            return None
        self.commits.append(change)
        self._breaker(view, change)
        m.sent[view.transactions_key] += change.transactions
        for order in change.orders:
            m.orders[order.order_id] = order
            m.written[order.order_id] = m.clock.now
        m.foreign |= {bet.bet_id: bet for bet in change.foreign}
        m.were_foreign |= {bet.bet_id for bet in change.foreign}
        for bet_id in change.foreign_gone:
            m.foreign.pop(bet_id, None)
        if change.orders or change.foreign or change.foreign_gone or change.recount:
            m.revisions[view.market_id] = m.revisions.get(view.market_id, 0) + 1
        for trade in change.trades:
            if trade.kind is TradeKind.SETTLEMENT and trade.order.net_profit < ZERO:
                m.lost -= int(trade.order.net_profit * 100)
            m.enter(encode_entry(of_trade(trade, self._identity, view.account.currency)))
        for signal in change.signals:
            before = view.signals.get(signal.signal_id)
            if signal.status in TERMINAL and (before is None or before.status is not signal.status):
                m.enter(encode_entry(of_signal(signal, self._identity)))
            # A token of its own, as each write has in Redis: who read before this compares unequal after it.
            m.signals[signal.signal_id] = replace(signal, token=f"commit {len(self.commits)}")
        after = self.view(view.market_id, signal_ids=list(view.signals), order_ids=list(view.orders))
        return replace(after, replicated=m.replicated or not change.durable)

    def _breaker(self, view: MarketView, change: Change) -> None:
        m = self._m
        now = view.now / 1000
        if change.failure is not None:
            m.failures[json.dumps([change.failure.order_id, change.failure.reason])] = change.failure.at / 1000
        if change.success_at:
            m.since = max(m.since or 0, change.success_at / 1000)
        if change.reset_breaker:
            m.breaker, m.since = {}, now
        if change.trip:
            m.breaker = {"time": iso(view.now), "failures": str(view.failures + 1), "reason": change.trip}
            m.since, m.trading = now, "false"
            m.messages.append({"event": "circuit_breaker_tripped", "reason": change.trip})

    def owners(self, bet_ids: Iterable[str]) -> dict[str, str]:
        wanted = set(bet_ids)
        return {order.bet_id: order.order_id for order in self._m.orders.values() if order.bet_id in wanted}

    def ever_foreign(self, bet_ids: Iterable[str]) -> set[str]:
        return set(bet_ids) & self._m.were_foreign

    def foreign_bets(self) -> list[ForeignBet]:
        return sorted(self._m.foreign.values(), key=lambda bet: bet.market_id)

    def unreadable(self, order_ids: Iterable[str]) -> dict[str, str]:
        del order_ids
        return {}

    def unreadable_signals(self, moved_before: int) -> dict[str, int]:
        del moved_before
        return {}

    def replace_unreadable(self, record: SignalRecord) -> None:
        raise AssertionError(f"nothing here is unreadable: {record.signal_id}")

    def repair_keys(self) -> list[str]:
        self._m.reach("repair_keys")
        return []

    def orders(self, order_ids: Iterable[str]) -> list[Order]:
        self._m.reach("orders")
        return [self._m.orders[order_id] for order_id in order_ids if order_id in self._m.orders]

    def active_orders(self) -> list[Order]:
        self._m.reach("active_orders")
        return self._sorted(order for order in self._m.orders.values() if order.status in ACTIVE)

    def unsettled_orders(self) -> list[Order]:
        self._m.reach("unsettled_orders")
        return self._sorted(order for order in self._m.orders.values() if not order.is_over)

    def recent_orders(self, limit: int) -> list[Order]:
        self._m.reach("recent_orders")
        return self._sorted(self._m.orders.values())[::-1][:limit]

    @staticmethod
    def _sorted(orders: Iterable[Order]) -> list[Order]:
        return sorted(orders, key=lambda order: (order.created_at, order.order_id))

    def open_signals(self, moved_before: int, limit: int) -> list[SignalRecord]:
        self._m.reach("open_signals")
        found = [s for s in self._m.signals.values() if s.status not in TERMINAL and s.updated_at <= moved_before]
        return sorted(found, key=lambda signal: signal.updated_at)[:limit]

    def signals_ahead(self, now: int, limit: int) -> list[SignalRecord]:
        return [s for s in self._m.signals.values() if s.status not in TERMINAL and s.updated_at > now][:limit]


class MemoryControls:
    """`Controls` on the same memory."""

    def __init__(self, memory: Memory, *, identity: str = "paper") -> None:
        self._m = memory
        self._identity = identity

    def claim_identity(self) -> str:
        self._m.reach("claim_identity")
        self._m.identity = self._m.identity or self._identity
        return self._m.identity

    def waiting_since(self, signal_id: str) -> int:
        return self._m.waiting.setdefault(signal_id, self._m.clock.now)

    def is_started(self) -> bool:
        return self._m.started

    def first_start(self, *, anything_of_ours: bool) -> bool:
        if self._m.started:
            return False
        self._m.started = True
        if anything_of_ours or self._m.trading is not None:
            return False
        self._m.trading = "true"
        return True

    def data_generation(self) -> str:
        return f"{self._m.run} {self._m.generation}"

    def confirm_reconciled(self, ttl_s: int, mark: str, stopped: Mapping[str, str]) -> bool:
        self._m.reach("confirm_reconciled")
        if mark != self.data_generation():
            return False
        self._m.reconciled_until = self._m.clock.now + ttl_s * 1000
        self._m.stopped_markets = dict(stopped)
        return True

    def apply_limits(self, limits: Mapping[str, Decimal], *, missing_only: bool) -> dict[str, tuple[str | None, str]]:
        self._m.reach("apply_limits")
        held = self._m.limits
        wanted = {name: f"{limits[attribute]:f}" for name, attribute in LIMIT_FIELDS.items()}
        changed = {
            name: (held.get(name), value)
            for name, value in wanted.items()
            if name not in held or (not missing_only and self._m.applied.get(name) != value)
        }
        news = {name: new for name, (_, new) in changed.items()}
        held.update(news)
        self._m.applied = {**self._m.applied, **news}
        return {name: values for name, values in changed.items() if values[0] != values[1]}

    def report_storage(self, process: str, problem: str, ttl_s: int) -> None:
        self._m.reach("report_storage")
        if problem:
            self._m.storage[process] = problem, self._m.clock.now + ttl_s * 1000
            self._m.reconciled_until = 0
        else:
            self._m.storage.pop(process, None)

    def storage_problems(self) -> dict[str, str]:
        self._m.reach("storage_problems")
        return {process: said for process, (said, until) in self._m.storage.items() if until > self._m.clock.now}

    def full_read_due(self, every_s: int, mark: str) -> bool:
        if self._m.full_read_at is None or self._m.full_read_of != mark:
            return True
        return self._m.clock.now - self._m.full_read_at > every_s * 1000

    def require_full_read(self) -> None:
        self._m.full_read_at = None

    def full_read_done(self, mark: str) -> None:
        self._m.full_read_at, self._m.full_read_of = self._m.clock.now, mark

    def trip_breaker(self, threshold: int, window_s: int) -> str:
        count, _ = self._m.failed_since(window_s)
        if self._m.breaker or count < threshold:
            return ""
        now = self._m.clock.now
        self._m.breaker = {"time": iso(now), "failures": str(count), "reason": "found by the watchdog"}
        self._m.since, self._m.trading = now / 1000, "false"
        self._m.messages.append({"event": "circuit_breaker_tripped"})
        return f"{count} failed order calls within {window_s} s"

    def set_trading(self, *, enabled: bool, reason: str, by: str = "") -> bool:
        self._m.trading = "true" if enabled else "false"
        self._m.messages.append({"event": "trading_disabled", "reason": f"{reason} ({by})"})
        return True

    def alert(self, event: str, fields: Mapping[str, str]) -> None:
        self._m.messages.append({"event": event, **fields})


class MemoryLocks:
    """`Locks` on the same memory."""

    def __init__(self, memory: Memory) -> None:
        self._m = memory

    @contextmanager
    def single_flight(self, task: str) -> Iterator[Hold]:
        self._m.reach("single_flight")
        ours = task not in self._m.locks
        self._m.locks |= {task}
        try:
            yield Hold(ours)
        finally:
            self._m.locks -= {task} if ours else set()

    def acquire_cooldown(self, task: str, pause_ms: int) -> bool:
        if self._m.cooldowns.get(task, 0) > self._m.clock.now:
            return False
        self._m.cooldowns[task] = self._m.clock.now + pause_ms
        return True

    def succeeded(self, task: str) -> None:
        self._m.succeeded[task] = self._m.clock.now

    def last_success(self, task: str) -> int:
        return self._m.succeeded.get(task, 0)

    def queue_length(self, queue: str) -> int:
        return self._m.queues[queue]

    def drop_expired(self, queue: str, now: int) -> int:
        del now
        dropped, self._m.queues[queue] = self._m.queues[queue], 0
        return dropped


class MemoryAccounts:
    """`Accounts` on the same memory."""

    def __init__(self, memory: Memory) -> None:
        self._m = memory

    def settled_at(self) -> int | None:
        return self._m.settled_at

    def book_profits(self, days: Mapping[str, Mapping[str, Decimal]], *, settled_at: int | None = None) -> None:
        self._m.reach("book_profits")
        for date, bets in days.items():
            held = self._m.settlements.setdefault(date, {})
            held.update(bets)
            self._m.pnl[date] = f"{sum(held.values(), ZERO):f}"
        self._m.settled_at = self._m.settled_at if settled_at is None else settled_at

    def unbooked(self, days: Mapping[str, Mapping[str, Decimal]]) -> dict[str, dict[str, Decimal]]:
        self._m.reach("unbooked")
        held = self._m.settlements
        lacking = {
            date: {bet: net for bet, net in bets.items() if held.get(date, {}).get(bet) != net}
            for date, bets in days.items()
        }
        return {date: bets for date, bets in lacking.items() if bets}

    def booked(self) -> dict[str, dict[str, Decimal]]:
        return {date: dict(bets) for date, bets in self._m.settlements.items()}

    def booked_days(self, bets: Collection[str], since: str) -> dict[str, set[str]]:
        days = {date: held for date, held in self._m.settlements.items() if date >= since}
        found = {date: {bet for bet in bets if held.get(bet)} for date, held in days.items()}
        return {date: own for date, own in found.items() if own}

    def lost_days(self, since: str) -> set[str]:
        return {date for date in self._m.pnl if date >= since and date not in self._m.settlements}

    def restore_pnl(self, days: Mapping[str, Mapping[str, Decimal]]) -> None:
        for date, bets in days.items():
            if bets and date not in self._m.settlements:
                self._m.settlements[date] = dict(bets)
                self._m.pnl[date] = f"{sum(bets.values(), ZERO):f}"

    def save_currency(self, currency: str) -> None:
        self._m.currency = currency or self._m.currency

    def currency(self) -> str:
        self._m.reach("currency")
        return self._m.currency

    def before_reading(self) -> Reading:
        return Reading(self._m.clock.now, self._m.held_total(), self._m.lost)

    def account(self) -> Account:
        return self._m.account_known

    def save_rates(self, rates: Mapping[str, Decimal], currency: str) -> None:
        rate = rate_between(rates, currency, self._m.currency)
        self._m.money = replace(self._m.money, rate_from=currency, rate=rate, rates_at=self._m.clock.now)

    def save_account(self, funds: Funds, difference: Decimal, reading: Reading | None = None) -> None:
        before = reading or self.before_reading()
        self._m.lost_before = before.lost
        self._m.money = replace(
            self._m.money,
            available=funds.available,
            exposure=funds.exposure,
            exposure_limit=funds.exposure_limit,
            others=max(ZERO, funds.exposure - max(before.held, self._m.held_total())),
            read_at=before.at,
        )
        self._m.account = funds
        self._m.difference = difference
        self._m.difference_since = (self._m.difference_since or self._m.clock.now) if difference else None


class MemoryTradeFeed:
    """`TradeFeed` on the same memory."""

    def __init__(self, memory: Memory) -> None:
        self._m = memory

    def read_trades(self, count: int) -> list[tuple[str, LedgerEntry]]:
        self._m.reach("read_trades")
        waiting = [entry_id for entry_id in self._m.feed if entry_id not in self._m.acknowledged][:count]
        return [(entry_id, decode_entry(self._m.feed[entry_id])) for entry_id in waiting]

    def acknowledge_trades(self, ids: Sequence[str]) -> None:
        self._m.reach("acknowledge_trades")
        self._m.acknowledged.update(ids)

    def generation(self) -> str:
        return self._m.generation

    def rewind_trades(self, reached: str) -> bool:
        last = _entry(reached)
        again = {entry for entry in self._m.acknowledged if _entry(entry) > last}
        self._m.acknowledged -= again
        return bool(again)

    def read_acts(self, count: int) -> list[tuple[str, LedgerEntry]]:
        self._m.reach("read_acts")
        return [(entry_id, decode_entry(fields)) for entry_id, fields in self._m.acts.items()][:count]

    def acknowledge_acts(self, ids: Sequence[str]) -> None:
        self._m.reach("acknowledge_acts")
        for entry in ids:
            self._m.acts.pop(entry, None)

    def delivered_trades(self) -> str:
        return max(self._m.feed, key=_entry, default="")

    def delivered_acts(self) -> str:
        return max(self._m.acts, key=_entry, default="")

    def rewind_acts(self, reached: str) -> bool:
        del reached
        return False

    def append(self, trades: Sequence[Trade], identity: str) -> None:
        for trade in trades:
            self._m.enter(encode_entry(of_trade(trade, identity)))

    def trim_trades(self) -> None:
        self._m.reach("trim_trades")
        kept = self._m.clock.now - _KEEP_TRADES_MS
        for entry in [
            entry_id for entry_id in self._m.feed if entry_id in self._m.acknowledged and _entry(entry_id)[0] < kept
        ]:
            del self._m.feed[entry]


class MemoryMarketFacts:
    """`MarketFacts` on the same memory."""

    def __init__(self, memory: Memory) -> None:
        self._m = memory

    def request(self, market_id: str) -> None:
        self._m.reach("want")
        self._m.wanted.add(market_id)

    def has_requested(self) -> bool:
        return bool(self._m.wanted)

    def take_requested(self, most: int) -> list[str]:
        self._m.reach("wanted")
        taken = sorted(self._m.wanted)[:most]
        self._m.wanted -= set(taken)
        return taken

    def save_facts(self, markets: Sequence[Market], unknown: Sequence[str]) -> dict[str, Market | None]:
        self._m.reach("save_facts")
        before = {market.market_id: self._m.facts.get(market.market_id) for market in markets}
        now = {market.market_id: market for market in markets}
        changed = {market_id: known for market_id, known in before.items() if not allows_as(known, now[market_id])}
        self._m.revisions |= {market_id: self._m.revisions.get(market_id, 0) + 1 for market_id in changed}
        self._m.facts |= {market.market_id: market for market in markets}
        self._m.facts |= dict.fromkeys(unknown)
        return changed

    def counted(self, market_ids: Sequence[str]) -> dict[str, Counted]:
        found: dict[str, Counted] = {}
        for market_id in market_ids:
            market, m = self._m.facts.get(market_id), self._m
            orders = [order for order in m.orders.values() if order.market_id == market_id]
            foreign = foreign_exposure(bet for bet in m.foreign.values() if bet.market_id == market_id)
            sums = (counted_exposure(orders, foreign, market, netting=netting) for netting in (m.netting, True))
            found[market_id] = Counted(market, *(f"{amount:f}" for amount in sums))
        return found

    def exposed_besides(self, known: Collection[str]) -> list[str]:
        del known  # what is derived here is derived at each look
        return []

    def sum_up_held(self) -> tuple[str, str] | None:
        return None

    def unknown_markets(self) -> list[str]:
        markets = {order.market_id for order in self._m.orders.values()}
        held = {
            market_id
            for market_id in markets
            if exposures(o for o in self._m.orders.values() if o.market_id == market_id)
        }
        return sorted(held - set(self._m.market_types))

    def save_market_types(self, types: Mapping[str, str]) -> None:
        self._m.market_types.update(types)


class MemoryHedges:
    """`Hedges` on the same memory."""

    def __init__(self, memory: Memory) -> None:
        self._m = memory
        self.explained: list[tuple[str, str, str]] = []

    def notes(self) -> dict[str, HedgeNote]:
        self._m.reach("notes")
        return dict(self._m.hedges)

    def note(self, position: str, note: HedgeNote) -> None:
        self._m.reach("note_hedge")
        self._m.hedges[position] = note

    def forget(self, position: str) -> None:
        self._m.hedges.pop(position, None)

    def explain(self, position: str, signal_id: str, said: str) -> None:
        self._m.reach("explain_hedge")
        self.explained.append((position, signal_id, said))


class MemorySetAside:
    """`SetAside` on the same memory."""

    def __init__(self, memory: Memory) -> None:
        self._m = memory

    def note(self, things: Mapping[str, str]) -> list[str]:
        self._m.reach("note")
        held = self._m.set_aside
        held_now = {name for name, (_, seen) in held.items() if self._m.clock.now - seen < 180_000}
        held.update({name: (problem, self._m.clock.now) for name, problem in things.items()})
        return [name for name in things if name not in held_now]

    def standing(self) -> dict[str, str]:
        now = self._m.clock.now
        return {name: problem for name, (problem, seen) in self._m.set_aside.items() if now - seen < 180_000}


class MemoryCancelAttempts:
    """`CancelAttempts` on the same memory."""

    def __init__(self, memory: Memory) -> None:
        self._m = memory

    def refused(self, codes: Mapping[str, str], *, failed: int) -> list[RefusedCancel]:
        self._m.reach("refused")
        now = self._m.clock.now
        self._m.sent[hour(now)] += failed
        for bet_id, code in codes.items():
            times = self._m.refused[bet_id].times + 1 if bet_id in self._m.refused else 1
            wait_ms = min(5_000 * 2 ** (times - 1), 300_000)
            self._m.refused[bet_id] = RefusedCancel(bet_id, code, times, now + wait_ms)
        return [self._m.refused[bet_id] for bet_id in codes]

    def standing(self) -> list[RefusedCancel]:
        return list(self._m.refused.values())

    def forget(self, bet_ids: Collection[str]) -> None:
        for bet_id in bet_ids:
            self._m.refused.pop(bet_id, None)


class MemoryAlerts:
    """`Alerts` on the same memory; the hour's session was kept alive just now unless a test says otherwise."""

    def __init__(self, memory: Memory, *, window_s: int = 600) -> None:
        self._m = memory
        self._window_s = window_s

    def snapshot(self) -> HealthSnapshot:
        m = self._m
        m.reach("snapshot")
        now = m.clock.now
        waiting = [int(entry_id.partition("-")[0]) for entry_id in m.feed if entry_id not in m.acknowledged]
        counted = {
            market_id: counted_exposure(
                [o for o in m.orders.values() if o.market_id == market_id],
                {},
                m.facts.get(market_id),
                netting=m.netting,
            )
            for market_id in self._markets()
        }
        failures, _ = m.failed_since(self._window_s)
        pnl = m.pnl.get(day(now))
        return HealthSnapshot(
            trading=is_true(m.trading),
            tripped=bool(m.breaker),
            failures=failures,
            limits={name: Decimal(value) for name, value in m.limits.items()},
            daily_pnl=ZERO if pnl is None else Decimal(pnl),
            exposure=sum(counted.values(), ZERO),
            market_exposure=counted,
            transactions=m.sent[hour(now)],
            bridges=m.bridges,
            ledger_lag=len(waiting),
            ledger_age=now - min(waiting, default=now),
            signals_waiting=m.signals_waiting,
            signals_age=m.signals_age,
            misuse_age=m.misuse_age,
            session_age=None if m.session_at is None else (now - m.session_at if m.session_at else 0),
            clock_ahead=m.clock_ahead,
            difference=m.difference,
            difference_age=now - m.difference_since if m.difference_since is not None else 0,
            stream_silent=m.stream_silent,
            heartbeat_age=m.heartbeat_age,
            watched=True,
            switch_fired=m.switch_fired,
            switch_fired_age=m.switch_fired_age,
        )

    def keep_switch_fired(self, action: str) -> None:
        self._m.switch_fired = action

    def _markets(self) -> set[str]:
        return {order.market_id for order in self._m.orders.values()}

    def tell_day(self, day: str, text: str) -> bool:
        self._m.reach("tell_day")
        new = day not in self._m.told_days
        self._m.told_days.setdefault(day, text)
        return new

    def is_tripped(self) -> bool:
        return bool(self._m.breaker) and not is_true(self._m.trading)

    def raise_alerts(self, alerts: Mapping[Alert, str]) -> tuple[list[Alert], list[Alert]]:
        self._m.reach("raise_alerts")
        started = [alert for alert in alerts if alert not in self._m.alerts]
        cleared = [alert for alert in Alert if alert in self._m.alerts and alert not in alerts]
        self._m.messages += [{"event": "alert_started", "alert": alert, "detail": alerts[alert]} for alert in started]
        self._m.messages += [{"event": "alert_cleared", "alert": alert} for alert in cleared]
        self._m.alerts = {str(alert): detail for alert, detail in alerts.items()}
        return started, cleared
