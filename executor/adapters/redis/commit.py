"""What one commit compares and writes, as the commands that `commit.lua` runs.

Owns the indexes and projections: which sets an order is in, what `risk:exposure`, `executor:market_exposure`,
`exposure` and `positions` hold after the change. The order of writes matters: Redis takes back nothing of a script that
fails, so what may fail (a key of a wrong type) comes first and the records, which are plain SETs, come last: the truth
changes wholly or not at all.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from executor import keys
from executor.adapters.redis.notices import MOST, notice_args
from executor.adapters.redis.records import encode, order_fields, position_fields
from executor.domain.exposure import exposure_key, exposures, matched_exposure_key, positions, results, worst
from executor.domain.foreign import ForeignBet, foreign_exposure, with_foreign
from executor.domain.ledger_entry import encode_entry, of_signal, of_trade
from executor.domain.money import ZERO
from executor.domain.netting import net_of
from executor.domain.notice import BREAKER_KEY, Kind, Level, Notice
from executor.domain.order import ACTIVE, UNPLACED, Order, OrderStatus, TradeKind
from executor.domain.risk import LIMIT_FIELDS
from executor.domain.signal_record import TERMINAL, SignalRecord, SignalStatus
from executor.domain.times import iso
from executor.ports import Change, Gate, MarketView

Command = list[str | int]

_PROJECTION_S: Final = 24 * 3600  # contract section 4
_REVISION_S: Final = 7 * 24 * 3600  # only a fence: no step takes that long
_HOURS_S: Final = 2 * 3600  # of a clock hour's count: it is over by then
_RECENT: Final = 5000  # what a person looks through; older ones are in the ledger
_FAILED: Final = 1000  # signals: more than a person will look through
_FAILURES: Final = 1000  # contract section 4
_FAILURES_S: Final = 24 * 3600
_FOREIGN_S: Final = 100 * 24 * 3600  # a bet that is none of ours is still not ours when its market is settled
FOREIGN: Final = "foreign"  # in the place of an order id


@dataclass
class Request:
    """The arguments of `commit.lua`; `key` holds `value` once it has run, by the last of the records."""

    key: str
    value: str
    checks: list[list[object]] = field(default_factory=list)
    writes: list[Command] = field(default_factory=list)
    records: list[Command] = field(default_factory=list)  # written after all else
    before: int | None = None  # Redis TIME in ms
    cap: tuple[str, int] | None = None  # key of a number, and the most it may be
    funds: tuple[str, str, str, int] | None = None  # `commit.lua` says what
    marked: str | None = None  # key that must hold a mark of this run of the server
    signals: dict[str, SignalRecord] = field(default_factory=dict)  # as written, and as text
    signals_raw: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return it in the script's shape."""
        body: dict[str, object] = {"checks": self.checks, "writes": [*self.writes, *self.records]}
        limits = {"before": self.before, "marked": self.marked, "cap": self.cap, "funds": self.funds}
        return {**body, **{name: value for name, value in limits.items() if value is not None}}

    def signal(self, record: SignalRecord, keep_s: int) -> None:
        """Write a signal's record and its place among the open ones."""
        key, text = keys.signal(record.signal_id), encode(record)
        self.signals[record.signal_id], self.signals_raw[record.signal_id] = record, text
        if record.status in TERMINAL:
            self.writes.append(["ZREM", keys.SIGNALS_OPEN, record.signal_id])
            self.records.append(["SET", key, text, "EX", keep_s])
        else:
            self.writes.append(["ZADD", keys.SIGNALS_OPEN, record.updated_at, record.signal_id])
            self.records.append(["SET", key, text])


def _checks(view: MarketView, change: Change, identity: str, request: Request) -> None:
    if _moves_market(change):
        request.checks.append([view.revision, "GET", keys.market_revision(view.market_id)])
        request.checks.append([view.lock_token or None, "GET", keys.market_lock(view.market_id)])
    for signal in change.signals:
        request.checks.append([view.signals_raw.get(signal.signal_id), "GET", keys.signal(signal.signal_id)])
    gates = change.gates
    if Gate.TRADING in gates or change.reset_breaker:
        request.checks.append([view.trading, "GET", keys.TRADING_ENABLED])
    if Gate.LIMITS in gates:
        request.checks.append([[view.limits.get(name) for name in LIMIT_FIELDS], "HMGET", keys.LIMITS, *LIMIT_FIELDS])
    if Gate.PNL in gates:
        request.checks.append([view.daily_pnl, "GET", view.pnl_key])
    if Gate.BREAKER in gates or change.trip or change.reset_breaker:
        request.checks.append([int(bool(view.breaker)), "EXISTS", keys.BREAKER])
    if change.failure is not None:
        request.checks.append([view.failures, "ZCOUNT", keys.FAILED_ORDERS, view.failures_since, "+inf"])
    _bounds(view, change, identity, request)


def _bounds(view: MarketView, change: Change, identity: str, request: Request) -> None:
    if Gate.RECONCILED in change.gates:
        request.marked = keys.RECONCILED
        request.checks.append([identity, "GET", keys.IDENTITY])
        request.checks.append([view.stop_reason or None, "HGET", keys.MARKETS_STOPPED, view.market_id])
    if Gate.DEADLINE in change.gates:
        request.before = min(signal.deadline for signal in view.signals.values())
    if change.held_elsewhere_max is not None:
        most = int(change.held_elsewhere_max * 100)
        request.funds = (keys.HELD_TOTAL, keys.MARKET_HELD, view.market_id, most)
    if change.transactions_max is not None:
        request.cap = (view.transactions_key, change.transactions_max - change.transactions)


def _projections(view: MarketView, change: Change, identity: str, request: Request) -> None:
    """Write anew, from all orders of the market, what the change alters of them; marking as sent alters nothing."""

    def alters(of: Callable[[Order | None], object]) -> bool:
        return any(of(order) != of(view.orders.get(order.order_id)) for order in change.orders)

    market = view.market_id
    # Of a market with a record that is none, nothing can be computed: what is shown stays as it was.
    if view.unreadable or not (alters(exposure_key) or change.foreign or change.foreign_gone or change.recount):
        return
    everything = list({**view.orders, **{order.order_id: order for order in change.orders}}.values())
    foreign = foreign_exposure(_foreign_after(view, change).values())
    found = results(everything)
    held = with_foreign({selection: worst(*result) for selection, result in found.items()}, foreign)
    counted = {str(selection): f"{amount:f}" for selection, amount in held.items()}
    _projection(keys.risk_exposure(market), counted, 0, request)
    net = net_of(found, foreign, view.market)
    of_rules = net if view.netting else sum(held.values(), ZERO)
    written: Command = ["HSET", keys.MARKET_EXPOSURE, market, f"{of_rules:f}"]
    request.writes.append(written if counted else ["HDEL", keys.MARKET_EXPOSURE, market])
    request.writes.append(["=HELD", keys.MARKET_HELD, keys.HELD_TOTAL, market, f"{net:f}" if counted else ""])
    if alters(matched_exposure_key):
        matched, shown_of = exposures(everything, matched_only=True), positions(everything)
        lost = {str(selection): f"{amount:f}" for selection, amount in matched.items()}
        _projection(keys.matched_exposure(market), lost, _PROJECTION_S, request)
        shown = {str(selection): position_fields(shown_of[selection]) for selection in shown_of}
        _projection(keys.positions(market), shown, _PROJECTION_S, request)
    if not (counted and change.gates):  # it is there already
        request.writes.append(["SADD" if counted else "SREM", keys.MARKETS, market])
    message = {"market_id": market, "exposure": counted, "identity": identity}
    request.writes.append(["PUBLISH", keys.EXPOSURE_UPDATES, json.dumps(message)])


def _projection(key: str, values: Mapping[str, str], ttl: int, request: Request) -> None:
    request.writes.append(["DEL", key])
    if values:
        request.writes.append(["HSET", key, *[text for pair in values.items() for text in pair]])
    if values and ttl:
        request.writes.append(["EXPIRE", key, ttl])


def _moves_market(change: Change) -> bool:
    return bool(change.orders or change.foreign or change.foreign_gone or change.recount)


def _foreign_after(view: MarketView, change: Change) -> dict[str, ForeignBet]:
    after_ = {**view.foreign, **{bet.bet_id: bet for bet in change.foreign}}
    return {bet_id: bet for bet_id, bet in after_.items() if bet_id not in change.foreign_gone}


def _foreign(view: MarketView, change: Change, request: Request) -> None:
    if not (change.foreign or change.foreign_gone):
        return
    key = keys.foreign(view.market_id)
    for bet_id in change.foreign_gone:
        request.writes.append(["HDEL", key, bet_id])
    for bet in change.foreign:
        request.writes.append(["HSET", key, bet.bet_id, encode(bet)])
        request.writes.append(["SET", keys.bet(bet.bet_id), FOREIGN, "EX", _FOREIGN_S])
    kept = bool(_foreign_after(view, change))
    request.writes.append(["SADD" if kept else "SREM", keys.FOREIGN_MARKETS, view.market_id])


def _order(order: Order, before: Order | None, identity: str, keep_s: int, request: Request) -> None:
    name = order.order_id
    add = request.writes.append
    member = keys.market_orders(order.market_id)
    add(["SADD", member, name] if order.counts else ["SREM", member, name])
    for index, belongs in (
        (keys.ORDERS_ACTIVE, order.status in ACTIVE),
        (keys.ORDERS_UNSETTLED, not order.is_over),
    ):
        add(["ZADD", index, order.created_at, name] if belongs else ["ZREM", index, name])
    add(["ZADD", keys.ORDERS_RECENT, order.created_at, name])
    for shown in _passed_through(order, before):
        add(["PUBLISH", keys.ORDER_UPDATES, order_fields(shown, identity)])
    record: Command = ["SET", keys.order(name), encode(order)]
    request.records.append([*record, "EX", keep_s] if order.is_over else record)
    if order.bet_id:
        owner: Command = ["SET", keys.bet(order.bet_id), name]
        request.records.append([*owner, "EX", keep_s] if order.is_over else owner)


def _passed_through(order: Order, before: Order | None) -> Sequence[Order]:
    """Return the order in each status that a commit gives it: what it decides and marks as sent is reserved, too."""
    if order.status is OrderStatus.SUBMITTED and (before is None or before.status in UNPLACED):
        return replace(order, status=OrderStatus.RESERVED), order
    return (order,)


def _losses(change: Change, request: Request) -> None:
    """Add to what the account has lost: what its last reading says that it has may not know of it yet."""
    settled = [trade.order.net_profit for trade in change.trades if trade.kind is TradeKind.SETTLEMENT]
    lost = -sum((net for net in settled if net < ZERO), ZERO)
    if lost:
        request.writes.append(["HINCRBY", keys.ACCOUNT, "lost", int(lost * 100)])


def _breaker(view: MarketView, change: Change, identity: str, request: Request) -> None:
    add = request.writes.append
    now = f"{view.now / 1000:.3f}"
    if change.failure is not None:
        failure = change.failure
        member = {"OrderId": failure.order_id, "Reason": failure.reason, "Timestamp": iso(failure.at)}
        add(["ZADD", keys.FAILED_ORDERS, f"{failure.at / 1000:.3f}", json.dumps(member, separators=(",", ":"))])
        add(["ZREMRANGEBYSCORE", keys.FAILED_ORDERS, "-inf", f"{view.now / 1000 - _FAILURES_S:.3f}"])
        add(["ZREMRANGEBYRANK", keys.FAILED_ORDERS, 0, -_FAILURES - 1])
    if change.success_at:
        add(["=MAX", keys.BREAKER_SINCE, f"{change.success_at / 1000:.3f}"])
    if change.reset_breaker:
        add(["DEL", keys.BREAKER])
        add(["SET", keys.BREAKER_SINCE, now])
    if change.trip:
        add(["HSET", keys.BREAKER, "time", iso(view.now), "failures", view.failures + 1, "reason", change.trip])
        add(["SET", keys.BREAKER_SINCE, now])
        add(["SET", keys.TRADING_ENABLED, "false"])
        message = {"event": "circuit_breaker_tripped", "reason": change.trip, "identity": identity, "at": iso(view.now)}
        add(["PUBLISH", keys.KILL_SWITCH, json.dumps(message)])
        add(["=NOTICE", keys.NOTICES, "MAXLEN", "~", MOST, "*", *notice_args(_trip(change.trip, view.now), identity)])


def _trip(why: str, at: int) -> Notice:
    return Notice(kind=Kind.BREAKER, level=Level.CRITICAL, text=why, at=at, key=BREAKER_KEY)


def _ended(view: MarketView, signals: Sequence[SignalRecord]) -> list[SignalRecord]:
    """Return the signals that a change gives a terminal state, or another one."""
    return [
        record
        for record in signals
        if record.status in TERMINAL and _status(view, record.signal_id) is not record.status
    ]


def _failed(view: MarketView, signals: Sequence[SignalRecord], request: Request) -> None:
    """Keep those that failed for a person to look at, until they are tried again or a bet turned up after all."""
    for signal in signals:
        if signal.status is SignalStatus.FAILED:
            request.writes.append(["ZADD", keys.FAILED_SIGNALS, view.now, signal.signal_id])
            request.writes.append(["ZREMRANGEBYRANK", keys.FAILED_SIGNALS, 0, -_FAILED - 1])
        elif _status(view, signal.signal_id) is SignalStatus.FAILED:
            request.writes.append(["ZREM", keys.FAILED_SIGNALS, signal.signal_id])


def _status(view: MarketView, signal_id: str) -> SignalStatus | None:
    before = view.signals.get(signal_id)
    return None if before is None else before.status


def _feed(view: MarketView, change: Change, signals: Sequence[SignalRecord], identity: str, request: Request) -> None:
    for ended in _ended(view, signals):
        entry = encode_entry(of_signal(ended, identity))
        request.writes.append(["XADD", keys.TRADES, "*", *[text for pair in entry.items() for text in pair]])
    for trade in change.trades:  # an entry cannot be taken back: the last of what may fail
        entry = encode_entry(of_trade(trade, identity, view.account.currency))
        request.writes.append(["XADD", keys.TRADES, "*", *[text for pair in entry.items() for text in pair]])
        request.writes.append(["PUBLISH", keys.TRADE_UPDATES, json.dumps(entry, separators=(",", ":"))])


def after(view: MarketView, change: Change, request: Request, now: int, token: str) -> MarketView:
    """Return the view as it is once this request with this token has written the change."""
    return replace(
        view,
        now=now,
        revision=token if _moves_market(change) else view.revision,
        foreign=_foreign_after(view, change),
        lock_token="",
        transactions=view.transactions + change.transactions,
        orders={**view.orders, **{order.order_id: order for order in change.orders}},
        signals={**view.signals, **request.signals},
        signals_raw={**view.signals_raw, **request.signals_raw},
    )


def request_for(view: MarketView, change: Change, identity: str, token: str, signal_s: int, order_s: int) -> Request:
    """Say what a commit compares and writes; `token` is unique to it."""
    signals = [replace(signal, token=token) for signal in change.signals]
    if _moves_market(change):
        request = Request(keys.market_revision(view.market_id), token)
    else:
        request = Request(keys.signal(signals[0].signal_id), encode(signals[0]))
    _checks(view, change, identity, request)
    if _moves_market(change):
        # A Redis without memory refuses a script whose first write needs some, and lets one go on that has begun to
        # write: what would bring a new bet begins with SADD, what the exchange answered with one that frees.
        request.writes += [["SADD", keys.MARKETS, view.market_id]] if change.gates else []
        request.writes.append(["ZREMRANGEBYRANK", keys.ORDERS_RECENT, 0, -_RECENT - 1])
        _projections(view, change, identity, request)
        _foreign(view, change, request)
    _losses(change, request)
    _breaker(view, change, identity, request)
    if change.orders:
        for order in change.orders:
            _order(order, view.orders.get(order.order_id), identity, order_s, request)
        request.writes.append(["=ZCARD", keys.ACTIVE_COUNT, keys.ORDERS_ACTIVE])
    if change.transactions:
        request.writes.append(["INCRBY", view.transactions_key, change.transactions])
        request.writes.append(["EXPIRE", view.transactions_key, _HOURS_S])
    for signal in reversed(signals):
        request.signal(signal, signal_s)
    _failed(view, signals, request)
    _feed(view, change, signals, identity, request)
    if _moves_market(change):
        if view.lock_token:
            request.writes.append(["DEL", keys.market_lock(view.market_id)])
        request.records.append(["SET", request.key, token, "EX", _REVISION_S])
    return request
