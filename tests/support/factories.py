"""Builders of messages and domain objects with plausible defaults; a test names only what it is about."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from executor.domain.money import Side
from executor.domain.order import BetState, Order, order_ids
from executor.domain.risk import RiskInputs, Rules
from executor.domain.signal import Leg, Signal, SignalKind, parse_signal

NOW: Final = 1_700_000_000_000
LIMITS: Final = {
    "Bankroll": "10000",
    "MaxExposurePerMarket": "500",
    "MaxExposurePerSelection": "200",
    "MaxStakePerOrder": "100",
    "MaxDailyLoss": "500",
    "MaxRiskPerTradePercent": "0.02",
}
# The reference's two examples, to the letter.
SUREBET: Final = """{
  "marketId": "1.200000000",
  "strategy": "surebet",
  "backSelectionId": "123456",
  "backOdds": 2.5,
  "stakeBack": 50.0,
  "laySelectionId": "654321",
  "layOdds": 2.6,
  "stakeLay": 48.0,
  "expectedROI": 1.5,
  "confidence": 0.9
}"""
STRATEGY: Final = """{
  "signalId": "abc-123",
  "marketId": "1.200000000",
  "strategy": "ScalpingStrategy",
  "signalType": "SCALP_LONG",
  "confidence": 0.75,
  "expectedROI": 2.3,
  "risk": "Medium",
  "primarySelection": {
    "selectionId": "123456",
    "selectionName": "Horse A",
    "recommendedOdds": 3.5,
    "stake": 50.0,
    "betType": "Back"
  },
  "validityWindow": 30
}"""
EXAMPLE: Final = {SignalKind.SUREBET: SUREBET, SignalKind.STRATEGY: STRATEGY}
GONE: Final = object()
_ORDER: Final = Order(
    order_id=order_ids("signal-1", 1)[0],
    signal_id="signal-1",
    leg=1,
    market_id="1.200000000",
    selection_id=123456,
    side=Side.BACK,
    price=Decimal("3.00"),
    size=Decimal("10.00"),
    strategy="test",
    created_at=NOW,
    received_at=NOW,
    timeout_s=30,
)


def make_order(**overrides: Any) -> Order:
    """Return a freshly reserved back of 10 at 3."""
    return replace(_ORDER, **overrides)


def make_bet(order: Order, **overrides: Any) -> BetState:
    """Return what the exchange says of an order just placed: live, nothing matched."""
    state = BetState(
        bet_id="300000000001",
        order_id=order.order_id,
        market_id=order.market_id,
        selection_id=order.selection_id,
        side=order.side,
        price=order.price,
        size=order.size,
        executable=True,
        placed_at=NOW,
    )
    return replace(state, **overrides)


def make_leg(**overrides: Any) -> Leg:
    """Return a back of 50 at 3."""
    return replace(Leg(123456, Side.BACK, Decimal("3.00"), Decimal("50.00")), **overrides)


def make_signal(*legs: Leg, **overrides: Any) -> Signal:
    """Return a strategy signal with these legs, or one default leg."""
    signal = Signal("signal-1", SignalKind.STRATEGY, "1.200000000", "test", legs or (make_leg(),))
    return replace(signal, **overrides)


def make_limits(**overrides: str) -> dict[str, str]:
    """Return the hash `risk:limits` with the reference's defaults."""
    return {**LIMITS, **overrides}


def make_rules(**overrides: Any) -> Rules:
    """Return the settings' defaults."""
    rules = Rules(
        enabled=True,
        breaker_enabled=True,
        min_odds=Decimal("1.01"),
        max_odds=Decimal(1000),
        min_stake=Decimal("2.0"),
    )
    return replace(rules, **overrides)


def make_risk_inputs(**overrides: Any) -> RiskInputs:
    """Return a healthy system without orders, 30 s before the deadline."""
    inputs = RiskInputs(
        now=NOW,
        deadline=NOW + 30_000,
        reconciled=True,
        trading_enabled=True,
        breaker_open=False,
        limits=LIMITS,
        daily_pnl=None,
        orders=(),
    )
    return replace(inputs, **overrides)


def reserving(signal: Signal) -> Callable[[Leg, int], Order]:
    """Return the function that makes the order of a leg of `signal`."""

    def reserve(leg: Leg, at: int) -> Order:
        return make_order(
            order_id=order_ids(signal.signal_id, at)[-1],
            signal_id=signal.signal_id,
            leg=at,
            market_id=signal.market_id,
            selection_id=leg.selection_id,
            side=leg.side,
            price=leg.price,
            size=leg.size,
        )

    return reserve


def changed(kind: SignalKind, path: str, value: object) -> dict[str, Any]:
    """Return the reference's example with one field (a dotted path) set, or removed."""
    message: dict[str, Any] = json.loads(EXAMPLE[kind])
    *parents, name = path.split(".")
    target = message
    for parent in parents:
        target = target.setdefault(parent, {})
    if value is GONE:
        del target[name]
    else:
        target[name] = value
    return message


def read(kind: SignalKind, message: object) -> Signal:
    """Parse a message given as a Python value."""
    return parse_signal(kind, json.dumps(message).encode())
