"""Domain metrics: counters and histograms counted where it happens, gauges read from Redis at scrape.

Invariants: names, labels and types are those of the reference; label values come from closed or capped sets; every
process counts into files of its own (Prometheus' multiprocess mode), so that the sum over children, restarts and
instances is right. Import this module only after the directory of those files is set: see `exporter.prepare`.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from executor.adapters.betfair.outcomes import EXCEPTION_CODES, LEG_CODES, REPORT_CODES, TRANSPORT_ERRORS
from executor.domain.money import Side
from executor.domain.order import CancelReason, Order, OrderStatus
from executor.domain.risk import SEVEN_RULES, Reason
from executor.errors import StoreUnavailable
from executor.ports import Alert, RefusedTask
from executor.ports.system_snapshot import SystemSnapshot, amount

log = structlog.get_logger(__name__)

PREFIX: Final = "aibetting_executor_"
_STRATEGIES: Final = 50  # contract section 7
_CODES: Final = 100  # Betfair knows about ninety; more than this is somebody's free text
_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30)  # 0.05, 0.2, 0.5: targets
_SLOW: Final = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)

_registry: Final = CollectorRegistry()


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(PREFIX + name, text, labels, registry=_registry)


def _histogram(name: str, text: str, buckets: tuple[float, ...] = _FAST) -> Histogram:
    return Histogram(PREFIX + name, text, buckets=buckets, registry=_registry)


PLACED: Final = _counter("orders_placed", "Orders that the exchange took", "side", "market_type")
MATCHED: Final = _counter("orders_matched", "Orders that became fully matched", "side")
CANCELLED: Final = _counter("orders_cancelled", "Orders that ended unmatched or partly matched", "reason")
FAILED: Final = _counter("orders_failed", "Orders that were certainly not placed", "reason")
RECEIVED: Final = _counter("signals_received", "Messages received on the signal channels", "strategy")
REJECTED: Final = _counter("signals_rejected", "Signals that were not executed", "reason")
VIOLATIONS: Final = _counter("risk_violations", "Rejections by one of the seven risk rules", "violation_type")
API_ERRORS: Final = _counter("betfair_api_errors", "Exchange calls that failed", "error_type")
SET_ASIDE: Final = _counter("rows_set_aside", "Rows of the exchange's lists that cannot be read", "source")
HALF_PLACED: Final = _counter("half_placed_signals", "Signals of which one leg was placed and another was not")
REFUSED_TASKS: Final = _counter("rejected_tasks", "Task messages for which nothing was done", "reason")
RECONNECTS: Final = _counter("bridge_reconnects", "Connections that a bridge lost: signals may have been missed")
STREAM_MISUSE: Final = _counter(
    "signal_stream_misuse", "Entries of stream:signals with ids of somebody's own, or removed by somebody", "kind"
)
NOTIFICATIONS: Final = _counter(
    "notifications_sent", "Messages to an address of EXECUTOR_NOTIFY__URLS", "service", "result"
)
NOTICES_DROPPED: Final = _counter("notices_dropped", "Notices that could not be told for a day", "service")
TELEGRAM: Final = _counter("telegram_messages", "Messages to the Telegram bot, by what became of them", "result")
EXECUTION: Final = _histogram("order_execution_latency_seconds", "Arrival of a signal to the moment before sending")
MATCHING: Final = _histogram("order_match_latency_seconds", "Placement of an order to its full match", _SLOW)
API: Final = _histogram("betfair_api_latency_seconds", "Exchange calls")
VALIDATION: Final = _histogram("risk_validation_seconds", "Decision step: snapshot, decide, commit")
AGE: Final = _histogram("signal_age_seconds", "Age of a signal at its decision")


class _Capped:
    """Lets the first so many label values through; the rest are one value."""

    def __init__(self, cap: int, other: str) -> None:
        self._cap = cap
        self._other = other
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._known and len(self._known) >= self._cap:
            return self._other
        self._known.add(value)
        return value


def _count_from_zero() -> None:
    """Show what may be counted before it is: a counter that appears with its first count shows no increase."""
    for side in Side:
        PLACED.labels(side, "unknown")
        MATCHED.labels(side)
    for cancelled in CancelReason:
        CANCELLED.labels(cancelled)
    for error in (*TRANSPORT_ERRORS, *EXCEPTION_CODES):
        API_ERRORS.labels(error)
    for code in (*REPORT_CODES, *LEG_CODES):
        FAILED.labels(code)


def count_misuse(kind: str, entries: int) -> None:
    """Count what somebody did to `stream:signals`: `own_id` or `removed`."""
    STREAM_MISUSE.labels(kind).inc(entries)


class PrometheusTelemetry:
    """`Telemetry` into Prometheus."""

    def __init__(self, market_type: Callable[[str], str]) -> None:
        self._market_type = market_type
        self._strategy = _Capped(_STRATEGIES, "other")
        self._code = _Capped(_CODES, "OTHER")
        self._type = _Capped(_CODES, "other")
        _count_from_zero()
        for reason in Reason:
            REJECTED.labels(reason)
        for rule in SEVEN_RULES:
            VIOLATIONS.labels(rule)
        for misuse in ("own_id", "removed"):
            STREAM_MISUSE.labels(misuse)
        for refusal in RefusedTask:
            REFUSED_TASKS.labels(refusal)

    def signal_received(self, strategy: str) -> None:
        """Count a signal that this process recorded."""
        RECEIVED.labels(self._strategy(strategy)).inc()

    def signal_rejected(self, reason: Reason) -> None:
        """Count a rejection, and a violation when one of the seven rules made it."""
        REJECTED.labels(reason).inc()
        if reason in SEVEN_RULES:
            VIOLATIONS.labels(reason).inc()

    def task_refused(self, reason: RefusedTask) -> None:
        """Count a message for a task that was not followed."""
        REFUSED_TASKS.labels(reason).inc()

    def order_placed(self, order: Order) -> None:
        """Count an order that the exchange took."""
        try:
            market_type = self._market_type(order.market_id)
        except StoreUnavailable:
            market_type = "unknown"
        PLACED.labels(order.side, self._type(market_type)).inc()

    def order_matched(self, order: Order) -> None:
        """Count an order that is now fully matched, with its match latency."""
        MATCHED.labels(order.side).inc()
        MATCHING.observe(max(order.matched_at - order.submitted_at, 0) / 1000)

    def order_cancelled(self, reason: str) -> None:
        """Count an order that is now cancelled or lapsed."""
        CANCELLED.labels(self._code(reason)).inc()

    def order_failed(self, reason: str) -> None:
        """Count an order that will not be placed."""
        FAILED.labels(self._code(reason)).inc()

    def row_set_aside(self, source: str) -> None:
        """Count a row of a list that cannot be read."""
        SET_ASIDE.labels(source).inc()

    def half_placed(self) -> None:
        """Count a signal of which one leg was placed and another was not."""
        HALF_PLACED.inc()

    def execution_latency(self, seconds: float) -> None:
        """Observe arrival of the signal to the last moment before sending."""
        EXECUTION.observe(seconds)

    def risk_validated(self, seconds: float) -> None:
        """Observe one decision step."""
        VALIDATION.observe(seconds)

    def signal_age(self, seconds: float) -> None:
        """Observe a signal's age at its decision."""
        AGE.observe(seconds)

    def api_call(self, method: str, seconds: float, error_type: str) -> None:
        """Observe one exchange call; `method` is in the logs, the reference's metrics have no label for it."""
        del method
        API.observe(seconds)
        if error_type:
            API_ERRORS.labels(self._code(error_type)).inc()


def _gauge(name: str, text: str, value: Decimal | float | None) -> Iterator[Metric]:
    if value is not None:
        yield GaugeMetricFamily(PREFIX + name, text, value=float(value))


def _labelled(name: str, text: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=[label])
    for value, number in sorted(values.items()):
        family.add_metric([value], number)
    return family


class StateCollector:
    """Gauges of the whole system, the same on every instance; left out while Redis is away."""

    def __init__(
        self,
        read: Callable[[], SystemSnapshot],
        *,
        paper: bool,
        settled_limits: Mapping[str, float],
        certificate_expiry: Callable[[], float | None],
        limits_currency: str = "",
    ) -> None:
        self._read = read
        self._limits_currency = limits_currency  # "": the account's
        self._paper = paper
        self._settled_limits = settled_limits  # those that are settings, not in Redis
        self._expiry = certificate_expiry

    def describe(self) -> list[Metric]:
        """Describe nothing: registering must not read Redis."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the state and turn it into gauges."""
        yield from _gauge("paper_trading", "1 when nothing is sent to the exchange", int(self._paper))
        yield from _gauge("certificate_expiry_timestamp_seconds", "When the client certificate expires", self._expiry())
        try:
            state = self._read()
        except StoreUnavailable:
            yield from _gauge("betfair_connection_status", "1 while orders are reconciled and a session exists", 0)
            return
        for part in (self._orders, self._money, self._controls):
            try:
                yield from part(state)
            except Exception:  # whatever is in Redis: it costs this part, not the others
                log.exception("state_not_shown", part=part.__name__.strip("_"))

    def _orders(self, state: SystemSnapshot) -> Iterator[Metric]:
        submitted = state.count(OrderStatus.SUBMITTED)
        active = submitted + state.count(OrderStatus.PENDING)
        late = sum(order.status is OrderStatus.SUBMITTED and bool(order.answered_at) for order in state.orders)
        yield from _gauge("active_orders", "Orders that are or may be live at the exchange", active)
        reserved = state.count(OrderStatus.RESERVED)
        yield from _gauge("open_reservations", "Orders that hold exposure and are not sent", reserved)
        yield from _gauge("unknown_orders", "Orders whose call ended without a known outcome", late)
        yield from _gauge("transactions_this_hour", "Instructions sent in this clock hour (UTC)", state.transactions)
        foreign = len(state.foreign)
        yield from _gauge("foreign_bets", "Bets under our strategy ref that our records cannot hold", foreign)
        yield from _gauge(
            "markets_held", "Markets in which nothing is placed, all others are reconciled", len(state.stopped_markets)
        )
        yield from _gauge("set_aside", "Rows and records that cannot be read", len(state.set_aside))
        yield from _gauge("active_markets", "Markets with exposure", len(state.exposure))
        yield from _gauge("failed_tasks", "Chain tasks that failed for good and wait for a person", state.failed_tasks)
        yield from _gauge("ledger_lag", "Accounting entries that are not in the ledger yet", state.ledger_lag)
        waiting = state.signals_waiting
        yield from _gauge("signals_waiting", "Signals in the durable door that are not recorded yet", waiting)
        queues = {name: float(length) for name, length in state.queues.items()}
        yield _labelled("queue_length", "Messages waiting", "queue", queues)
        yield _labelled(
            "task_last_success_timestamp_seconds", "Last success of a periodic task", "task", dict(state.last_success)
        )

    def _money(self, state: SystemSnapshot) -> Iterator[Metric]:
        account = {name: amount(state.account.get(name)) for name in ("balance", "available")}
        yield from _gauge("account_balance", "Available plus held by the exchange", account.get("balance"))
        if currency := state.account.get("currency"):  # of every amount here; no label of theirs
            yield _labelled("account_currency", "1, with the currency of the account", "currency", {currency: 1.0})
        yield from _gauge("available_balance", "Available to bet", account.get("available"))
        difference = amount(state.account.get("difference"))
        yield from _gauge("exposure_difference", "Exposure at the exchange that our orders do not explain", difference)
        yield from _gauge("current_exposure", "Exposure that the rules count, all markets", state.total_exposure)
        yield from _gauge("total_stake_deployed", "Matched and open size of unsettled orders", state.stake_deployed)
        yield from _gauge("daily_pnl", "Net settled P&L of this UTC day", state.daily_pnl)
        yield from _gauge("total_pnl", "Net settled P&L", state.total_pnl)
        limits = {**self._settled_limits, **{name: float(value) for name, value in state.account_limits.items()}}
        yield _labelled("risk_limit", "Limits in force", "name", limits)

    def _controls(self, state: SystemSnapshot) -> Iterator[Metric]:
        connected = state.reconciled and (self._paper or state.session)
        yield from _gauge(
            "betfair_connection_status", "1 while orders are reconciled and a session exists", int(connected)
        )
        # A person who enables trading resets it; the record of the trip stays until the next step sees that.
        tripped = bool(state.breaker) and not state.trading_enabled
        yield from _gauge("circuit_breaker_status", "1 when tripped", int(tripped))
        yield from _gauge("trading_enabled", "1 when the kill switch lets orders through", int(state.trading_enabled))
        yield from _gauge("stream_connected", "1 while a process hears the order stream", int(bool(state.stream)))
        age = "Seconds since the order stream was last heard"
        yield from _gauge("stream_message_age_seconds", age, state.stream_age_s)
        yield from _gauge("reconciled", "1 when the last poll is recent and complete", int(state.reconciled))
        alerts = {str(alert): float(alert in state.alerts) for alert in Alert}
        yield _labelled("alert", "1 while the watchdog's alert stands", "alert", alerts)
        waiting = sum(amount(one["waiting"]) or 0 for one in state.notify)
        failing = sum(bool(amount(one["failures"])) for one in state.notify)
        yield from _gauge("notices_waiting", "Notices that wait to be told, over all addresses", waiting)
        yield from _gauge("notification_addresses_failing", "Addresses that do not take their messages", failing)
        denied = CounterMetricFamily(
            PREFIX + "redis_denied", "Attempts that Redis refused by its users", labels=["kind"]
        )
        for kind, number in state.denied.items():
            denied.add_metric([kind], number)
        yield denied
        known = not state.rates_problem(self._limits_currency)
        yield from _gauge("limits_rate_known", "0 while no rate converts the limits: nothing is placed", int(known))
        yield from _gauge("recent_failures", "Failed calls that the breaker counts", state.recent_failures)
