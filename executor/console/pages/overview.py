"""The overview, and the processes behind it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from executor.console.api.accounts import settlements_of, state_with_settlements
from executor.console.api.orders import page_of_orders
from executor.console.api.status import alerts_of, findings
from executor.console.context import Console
from executor.console.pages import charts
from executor.domain.signal_record import SignalStatus
from executor.domain.times import day, iso
from executor.errors import LedgerUnavailable
from executor.operations.status import beat_lives, exposure_by_market, poll_age, processes
from executor.operations.trading import obstacles
from executor.ports.system_snapshot import SystemSnapshot

_MINUTES: Final = 30
_KINDS: Final = {
    SignalStatus.COMPLETED.value: "executed",
    SignalStatus.REJECTED.value: "rejected",
    SignalStatus.EXPIRED.value: "expired",
    SignalStatus.FAILED.value: "failed",
}
_LATENCIES: Final = 200  # newest orders


def overview(console: Console) -> Mapping[str, Any]:
    """Return all at one glance."""
    state = state_with_settlements(console)
    active, _ = page_of_orders(console, limit=8, active=True)
    limit = state.account_limits.get("MaxExposurePerMarket")
    exposure = sorted(exposure_by_market(state).items(), key=lambda item: -item[1])
    return {
        "state": state,
        "settings": console.settings,
        "obstacles": obstacles(console.settings, state) if state.trading_enabled else [],
        "alerts": alerts_of(console),
        "exposure": [(market, held, charts.share(held, limit)) for market, held in exposure[:8]],
        "more_markets": max(0, len(exposure) - 8),
        "limit": limit,
        "active": active,
        "processes": processes(state),
        "beat": beat_lives(console.settings, state),
        "poll_age": poll_age(state),
        "latency": _latency(console),
        **_today(console, state),
        **_signals(console, state),
    }


def _today(console: Console, state: SystemSnapshot) -> dict[str, Any]:
    try:
        rows = settlements_of(console, day(int(state.now * 1000)))
    except LedgerUnavailable as error:
        return {"today": None, "bets_today": 0, "ledger_problem": str(error)}
    nets: list[Decimal] = [row["net_profit"] for row in rows]
    return {"today": charts.curve(nets), "bets_today": len(nets), "ledger_problem": ""}


def _signals(console: Console, state: SystemSnapshot) -> dict[str, Any]:
    now = datetime.fromtimestamp(state.now, UTC)
    minutes = [f"{now - timedelta(minutes=_MINUTES - 1 - at):%Y-%m-%dT%H:%M}" for at in range(_MINUTES)]
    ledger = console.access.ledger

    def read() -> list[tuple[str, str, int]]:
        return ledger.ended_per_minute(f"{minutes[0]}:00.000Z") if ledger.exists() else []

    try:
        rows = console.cache.get("signals per minute", read, fresh_s=1.8)
    except LedgerUnavailable:
        rows = []
    counts = {(minute, _KINDS.get(status, "failed")): number for minute, status, number in rows}
    series = [(kind, [counts.get((minute, kind), 0) for minute in minutes]) for kind in _KINDS.values()]
    bars, most = charts.columns([minute[11:] for minute in minutes], series)
    return {"bars": bars, "most": most, "kinds": [(kind, sum(numbers)) for kind, numbers in series]}


def _latency(console: Console) -> dict[str, int | None]:
    def read() -> list[int]:
        orders = console.access.store.recent_orders(_LATENCIES)
        return [order.submitted_at - order.received_at for order in orders if order.submitted_at and order.attempt == 1]

    found = [ms for ms in console.cache.get("latency", read, fresh_s=1.8) if ms >= 0]
    return {"p50": charts.percentile(found, 50), "p99": charts.percentile(found, 99), "orders": len(found)}


def health(console: Console) -> Mapping[str, Any]:
    """Return the doctor's lines, the processes, the queues."""
    found = findings(console)
    state = console.state()
    return {
        "findings": found,
        "state": state,
        "processes": processes(state),
        "beat": beat_lives(console.settings, state),
        "last_success": sorted((task, iso(int(at * 1000))) for task, at in state.last_success.items()),
    }
