"""The watchdog: what must not last, found every 30 s, told when it begins and when it ends.

Invariants: each alert is a line in the log, a gauge and a message once at its start and once at its end, however many
ticks it lasts; a look that fails changes no alert; amounts are told in the currency of the limits. A beat that is dead
cannot report itself: that is seen by `task_last_success_timestamp_seconds`. Times in milliseconds.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import structlog

from executor.domain.account import Unit, convert, rates_problem, unit_of
from executor.domain.order import OrderStatus
from executor.engine import hedging
from executor.engine.day_summary import sum_up_day
from executor.engine.engine import Engine
from executor.engine.lookup import is_due
from executor.ports import Alert, HealthSnapshot

log = structlog.get_logger(__name__)

_MOST_EXPOSURE: Final = Decimal("0.5")  # of the bankroll; reference: Alert Triggers, as the next two
_MOST_LOSS: Final = Decimal("0.8")  # of MaxDailyLoss
_MOST_FAILURES: Final = Decimal("0.7")  # of the breaker's threshold
_MOST_TRANSACTIONS: Final = Decimal("0.8")  # of the hour's cap
_LEDGER_MS: Final = 60_000  # twelve ticks of write_ledger
_SIGNALS_MS: Final = 30_000  # twice what it takes to take over from a dead bridge
_MOST_SIGNALS: Final = 10_000  # a bound that tells, and drops nothing: at a few hundred bytes some MB
_MISUSE_MS: Final = 3_600_000  # it happens at a moment; a person should see it
_UNKNOWN_MS: Final = 30_000  # six polls after the exchange must have known: it does not answer, or not clearly
_SKEW_MS: Final = 5000  # contract section 3
_DIFFERENCE_MS: Final = 180_000  # three reads of the account: what was under way at one is over at the next
_REFUSALS: Final = 3  # in a row, half a minute: no passing state of a market
_KEPT_ALIVE: Final = 3  # intervals; well inside the life of a session
_STREAM_MS: Final = 60_000  # a connection anew takes seconds, and the poll has it all meanwhile
_FIRED_MS: Final = 3_600_000  # as misuse
_NAMED: Final = 20  # orders in a message

_HINTS: Final = {
    Alert.CIRCUIT_BREAKER: "after fixing the cause: executor resume",
    Alert.BRIDGE_DEAD: "start one: executor bridge; signals published meanwhile are lost",
    Alert.SESSION_EXPIRING: "executor check",
    Alert.UNKNOWN_ORDERS: "executor orders --active; look at the exchange; executor resolve",
    Alert.EXPOSURE_HIGH: "executor status",
    Alert.RATES_UNKNOWN: "executor check (login, rates); the log of refresh_account; or EXECUTOR_RISK__CURRENCY",
    Alert.HEDGE_WAITING: "executor hedge --dry-run; EXECUTOR_HEDGE__MODE",
    Alert.MARKET_ABOVE_LIMIT: "executor status; executor orders --market; only what lowers it is placed there",
    Alert.DAILY_LOSS_NEAR_LIMIT: "executor pnl",
    Alert.FAILURES_NEAR_BREAKER: "executor orders; the failures have their codes",
    Alert.TRANSACTIONS_NEAR_CAP: "Betfair charges for more; EXECUTOR_TRADING__MAX_TRANSACTIONS_PER_HOUR",
    Alert.SIGNALS_WAITING: "executor check (bridges); what waits past its deadline is not executed",
    Alert.SIGNAL_STREAM_MISUSED: "SECURITY.md, The durable door: find the publisher; no MAXLEN, no MINID, ids by *",
    Alert.LEDGER_LAG: "is the database up? The entries wait in the stream",
    Alert.DISK_FULL: "make room; orders go on by themselves then",
    Alert.CLOCK_SKEW: "synchronise this machine's clock",
    Alert.SET_ASIDE: "the log names each once (row_set_aside, record_not_readable); repair or delete what is ours",
    Alert.FOREIGN_BETS: "executor orders lists them; who uses our strategy ref? End them on the website",
    Alert.CANCELS_REFUSED: "executor orders --active; look at the exchange; executor cancel tries at once",
    Alert.STREAM_SILENT: "executor check (stream); the log of executor stream; orders go on, fills come by the poll",
    Alert.HEARTBEAT_MISSING: "executor check (login, beat, workers); the exchange has taken back what was unmatched",
    Alert.CANCELLED_BY_EXCHANGE: "executor orders; why were beat and workers silent? Their logs of that moment",
    Alert.EXPOSURE_DIFFERENCE: "bets of somebody else on the account, or orders that we do not know: executor orders",
}


def watch(engine: Engine) -> list[str]:
    """Look for what must not last; returns the alerts that stand."""
    if engine.policy.breaker_enabled:
        why = engine.controls.trip_breaker(engine.policy.breaker_failures, engine.policy.breaker_window_s)
        if why:
            log.critical("circuit_breaker_tripped", why=why, hint=_HINTS[Alert.CIRCUIT_BREAKER])
    alerts = dict(_alerts(engine, engine.alerts.snapshot()))
    started, cleared = engine.alerts.raise_alerts(alerts)
    sum_up_day(engine, sorted(alerts))
    for alert in started:
        log.error("alert_started", alert=alert, detail=alerts[alert], hint=_HINTS[alert])
    for alert in cleared:
        log.warning("alert_cleared", alert=alert)
    return sorted(alerts)


def _alerts(engine: Engine, health: HealthSnapshot) -> Iterator[tuple[Alert, str]]:
    if health.tripped and not health.trading:
        yield Alert.CIRCUIT_BREAKER, "the circuit breaker has tripped"
    if not health.bridges:
        yield Alert.BRIDGE_DEAD, "no bridge is alive"
    yield from _of_signals(health)
    if health.ledger_age > _LEDGER_MS:
        age_s = health.ledger_age // 1000
        yield Alert.LEDGER_LAG, f"{health.ledger_lag} entries wait, the oldest for {age_s} s"
    if problems := engine.controls.storage_problems():
        said = "; ".join(f"{process}: {problem}" for process, problem in problems.items())
        yield Alert.DISK_FULL, f"no new orders: {said}"
    if abs(health.clock_ahead) > _SKEW_MS:
        yield Alert.CLOCK_SKEW, f"this machine's clock is {health.clock_ahead} ms ahead of Redis's"
    account, currency = engine.accounts.account(), engine.policy.rules.currency
    unit = unit_of(account, currency)
    if problem := rates_problem(account, currency, engine.store.now()):
        yield Alert.RATES_UNKNOWN, problem
    yield from _of_limits(engine, health, unit)
    yield from _of_orders(engine)
    if engine.policy.hedge.mode != "off" and (waiting := hedging.standing(engine)):
        yield Alert.HEDGE_WAITING, "; ".join(waiting[:_NAMED])
    yield from _set_aside(engine)
    if not engine.policy.paper:
        yield from _of_exchange(engine, health, unit or Unit())


def _of_signals(health: HealthSnapshot) -> Iterator[tuple[Alert, str]]:
    if health.signals_age > _SIGNALS_MS or health.signals_waiting > _MOST_SIGNALS:
        age_s = health.signals_age // 1000
        yield Alert.SIGNALS_WAITING, f"{health.signals_waiting} signals wait to be recorded, the oldest for {age_s} s"
    if health.misuse_age is not None and health.misuse_age < _MISUSE_MS:
        age_s = health.misuse_age // 1000
        yield (
            Alert.SIGNAL_STREAM_MISUSED,
            f"entries of stream:signals were dropped or had ids of their own, {age_s} s ago",
        )


def _of_limits(engine: Engine, health: HealthSnapshot, unit: Unit | None) -> Iterator[tuple[Alert, str]]:
    if unit is not None:  # without any rate nothing is placed, and nothing can be compared
        yield from _of_money(health, unit)
    failures = engine.policy.breaker_failures
    if engine.policy.breaker_enabled and not health.tripped and health.failures > failures * _MOST_FAILURES:
        yield Alert.FAILURES_NEAR_BREAKER, f"{health.failures} failed order calls, {failures} trip the breaker"
    cap = engine.policy.max_transactions_per_hour
    if health.transactions > cap * _MOST_TRANSACTIONS:
        yield Alert.TRANSACTIONS_NEAR_CAP, f"{health.transactions} of {cap} transactions of this hour are used"


def _of_money(health: HealthSnapshot, unit: Unit) -> Iterator[tuple[Alert, str]]:
    """Compare what is at risk, and what was lost, in account currency, with the limits as a decision converts them."""
    names = ("Bankroll", "MaxExposurePerMarket", "MaxDailyLoss")
    bankroll, most, loss = (
        None if (limit := health.limits.get(name)) is None else convert(limit, unit.rate) for name in names
    )
    given = {name: unit.limit(health.limits[name]) for name in names if name in health.limits}
    if bankroll is not None and health.exposure > bankroll * _MOST_EXPOSURE:
        held = unit.said(health.exposure)
        yield Alert.EXPOSURE_HIGH, f"{held} at risk, above half of the bankroll of {given['Bankroll']}"
    above = {market_id: held for market_id, held in health.market_exposure.items() if most is not None and held > most}
    if above:
        named = ", ".join(f"{market_id} {unit.said(held)}" for market_id, held in list(above.items())[:_NAMED])
        yield Alert.MARKET_ABOVE_LIMIT, f"{named}: above {given['MaxExposurePerMarket']}"
    if loss is not None and health.daily_pnl is not None and health.daily_pnl < -loss * _MOST_LOSS:
        today = unit.said(health.daily_pnl)
        yield Alert.DAILY_LOSS_NEAR_LIMIT, f"{today} today, the limit is -{given['MaxDailyLoss']}"


def _of_orders(engine: Engine) -> Iterator[tuple[Alert, str]]:
    now = engine.store.now()
    unknown = [order for order in engine.store.active_orders() if order.status is OrderStatus.SUBMITTED]
    lost = [order.order_id for order in unknown if is_due(engine, order, now - _UNKNOWN_MS)]
    if lost:
        yield Alert.UNKNOWN_ORDERS, f"{len(lost)} orders: {', '.join(lost[:_NAMED])}"


def _set_aside(engine: Engine) -> Iterator[tuple[Alert, str]]:
    if standing := engine.set_aside.standing():
        named = "; ".join(f"{name}: {problem}" for name, problem in list(standing.items())[:_NAMED])
        yield Alert.SET_ASIDE, f"{len(standing)} cannot be read: {named}"
    if foreign := engine.store.foreign_bets():
        named = ", ".join(f"{bet.bet_id} in {bet.market_id} ({bet.problem})" for bet in foreign[:_NAMED])
        yield Alert.FOREIGN_BETS, f"{len(foreign)} bets: {named}"
    refused = [attempt for attempt in engine.cancel_attempts.standing() if attempt.times >= _REFUSALS]
    if refused:
        named = ", ".join(f"bet {attempt.bet_id} {attempt.times} times, {attempt.code}" for attempt in refused[:_NAMED])
        yield Alert.CANCELS_REFUSED, f"{len(refused)} cancels: {named}"


def _of_exchange(engine: Engine, health: HealthSnapshot, unit: Unit) -> Iterator[tuple[Alert, str]]:
    interval_s = engine.policy.keep_alive_interval_s
    if health.session_age is None:
        refused = f": the login was refused with {health.login_refused}" if health.login_refused else ""
        yield Alert.SESSION_EXPIRING, f"there is no session{refused}"
    elif health.session_age > _KEPT_ALIVE * interval_s * 1000:
        age_s = health.session_age // 1000
        yield Alert.SESSION_EXPIRING, f"last kept alive {age_s} s ago, should be every {interval_s} s"
    yield from _of_liveness(engine, health)
    if health.difference and health.difference_age >= _DIFFERENCE_MS:
        off = f"{unit.said(abs(health.difference))} {'more' if health.difference > 0 else 'less'}"
        age_s = health.difference_age // 1000
        yield Alert.EXPOSURE_DIFFERENCE, f"the exchange holds {off} than our orders explain, for {age_s} s"


def _of_liveness(engine: Engine, health: HealthSnapshot) -> Iterator[tuple[Alert, str]]:
    if engine.policy.order_stream and health.stream_silent >= _STREAM_MS:
        what = "its data are late, says the exchange" if health.stream_behind else "nobody hears it"
        yield Alert.STREAM_SILENT, f"order stream: {what}, for {health.stream_silent // 1000} s"
    wait_s = engine.policy.heartbeat_s
    if not wait_s:
        return
    if health.heartbeat_age is None and health.watched:
        yield Alert.HEARTBEAT_MISSING, "the exchange has never taken one: it would not cancel if we were dead"
    elif health.heartbeat_age is not None and health.heartbeat_age > wait_s * 1000:
        age_s = health.heartbeat_age // 1000
        yield Alert.HEARTBEAT_MISSING, f"none reached the exchange for {age_s} s, and it waits {wait_s} s"
    if health.switch_fired and health.switch_fired_age < _FIRED_MS:
        age_s = health.switch_fired_age // 1000
        yield Alert.CANCELLED_BY_EXCHANGE, f"{health.switch_fired} for want of heartbeats, told {age_s} s ago"
