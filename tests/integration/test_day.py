"""A scripted day against the sandbox: 300 signals on 20 markets, and at the end four books that agree to the penny.

The books: `pnl:total` in Redis, the ledger in SQL, the account's balance at the exchange, and a reckoning of our own
from the exchange's orders and journal, which shares no code with the product.
"""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from support.engine_rig import make_policy
from support.sandbox_client import Json, RunningSandbox
from support.trading_rig import TradingRig, trading

from executor import keys
from executor.domain.money import Side
from executor.domain.order import Order, OrderStatus
from executor.domain.risk import Rules
from executor.engine.account import refresh_account
from executor.engine.accounting import write_ledger
from executor.engine.cancellation import cancel_unmatched
from executor.engine.reconciliation import poll
from executor.engine.settlement import settle

D = Decimal
MARKETS: Final = tuple(f"1.{400_000_000 + at}" for at in range(20))
SELECTIONS: Final = (11, 12, 13)
SIGNALS: Final = 300
_PENNY: Final = D("0.01")


def no_limits() -> Rules:
    rules = make_policy().rules
    return Rules(False, rules.breaker_enabled, rules.min_odds, rules.max_odds, rules.min_stake)


@dataclass
class Day:
    """What the script did, for the reckoning."""

    rig: TradingRig
    sandbox: RunningSandbox
    client: "redis.Redis"
    winners: dict[str, int] = field(default_factory=dict)
    void_markets: set[str] = field(default_factory=set)
    void_runners: set[tuple[str, int]] = field(default_factory=set)

    def tick(self) -> None:
        """Do what beat does."""
        poll(self.rig.engine)
        cancel_unmatched(self.rig.engine)

    def settle(self, market_id: str, winner: int) -> None:
        self.sandbox.control("settle", marketId=market_id, winners=[winner])
        self.winners[market_id] = winner

    def void(self, market_id: str, selection_id: int | None = None) -> None:
        if selection_id is None:
            self.sandbox.control("void", marketId=market_id)
            self.void_markets.add(market_id)
        else:
            self.sandbox.control("void", marketId=market_id, selectionId=selection_id)
            self.void_runners.add((market_id, selection_id))

    def bets(self) -> list[Json]:
        return list(self.sandbox.get("orders"))

    def balance(self) -> Decimal:
        [account] = self.sandbox.get("accounts")["accounts"]
        return D(account["balance"])


def leg(dice: random.Random) -> dict[str, str]:
    return {
        "selectionId": str(dice.choice(SELECTIONS)),
        "betType": dice.choice(["Back", "Lay"]),
        "recommendedOdds": dice.choice(["1.85", "2.5", "3", "3.45"]),
        "stake": dice.choice(["2", "5.55", "7.01", "12.34"]),
    }


def trade_all_day(day: Day) -> Counter[str]:
    """Send the signals; half-way through somebody else cancels two of our bets, and a runner is withdrawn."""
    dice = random.Random(20)  # noqa: S311 - a script
    verdicts: Counter[str] = Counter()
    for at in range(SIGNALS):
        message: dict[str, Any] = {"primarySelection": leg(dice)}
        if dice.random() < 0.25:
            message["secondarySelection"] = leg(dice)
        step = day.rig.trade(f"signal-{at}", MARKETS[at % 20], unmatchedTimeoutSeconds=2, **message)
        verdicts[step.verdict] += 1
        if at % 25 == 0:
            day.tick()
        if at == SIGNALS // 2:
            cancel_at_the_website(day)
            day.void(MARKETS[0], SELECTIONS[0])
    return verdicts


def cancel_at_the_website(day: Day) -> None:
    live = [bet for bet in day.bets() if bet["status"] == "EXECUTABLE"]
    for bet in live[:2]:
        report = day.sandbox.call("cancelOrders", marketId=bet["marketId"], instructions=[{"betId": bet["betId"]}])
        assert report["status"] == "SUCCESS"


def follow_up(day: Day) -> None:
    """Tick until nothing is live or unknown any more."""
    ends = time.monotonic() + 30
    while day.rig.engine.store.active_orders():
        assert time.monotonic() < ends
        day.tick()
        time.sleep(0.2)


def settle_everything(day: Day) -> None:
    """Settle all markets, some of them twice, one never to any result, and void after the fact."""
    dice = random.Random(21)  # noqa: S311 - a script
    day.void(MARKETS[1])
    for market in MARKETS[2:12]:
        day.settle(market, dice.choice(SELECTIONS))
    settle(day.rig.engine)
    for market in MARKETS[12:]:
        day.settle(market, dice.choice(SELECTIONS))
    day.settle(MARKETS[0], SELECTIONS[1])
    settle(day.rig.engine)
    day.settle(MARKETS[5], SELECTIONS[SELECTIONS.index(day.winners[MARKETS[5]]) - 1])  # another winner after all
    loser = next(selection for selection in SELECTIONS if selection != day.winners[MARKETS[6]])
    day.void(MARKETS[6], loser)  # withdrawn after the settlement
    for _ in range(2):
        settle(day.rig.engine)


# --- the reckoning ----------------------------------------------------------------------------------------------------


def profit(bet: Json, *, won: bool) -> Decimal:
    size, price = D(bet["sizeMatched"]), D(bet["averagePriceMatched"])
    backer = size * (price - 1) if won else -size
    return (backer if bet["side"] == "BACK" else -backer).quantize(_PENNY, ROUND_HALF_UP)


def reckon(day: Day) -> Decimal:
    """Work out from the exchange's orders what the day must have brought."""
    markets: defaultdict[str, Decimal] = defaultdict(Decimal)
    for bet in day.bets():
        market = bet["marketId"]
        if market not in day.void_markets and (market, bet["selectionId"]) not in day.void_runners:
            markets[market] += profit(bet, won=bet["selectionId"] == day.winners[market])
    commission = sum(((max(net, D(0)) * 5 / 100).quantize(_PENNY, ROUND_HALF_UP) for net in markets.values()), D(0))
    return sum(markets.values(), D(0)) - commission


def by_reference(day: Day) -> dict[str, Json]:
    bets = day.bets()
    found = {bet["customerOrderRef"]: bet for bet in bets}
    assert len(found) == len(bets), "one bet per reference"
    return found


def assert_orders_agree(day: Day) -> None:
    """Compare every order's record with the exchange's; matched, cancelled, lapsed and void sizes."""
    bets = by_reference(day)
    orders = {order.order_id: order for order in day.rig.engine.store.recent_orders(5000) if order.bet_id}
    assert set(orders) == set(bets)
    for name, bet in bets.items():
        order = orders[name]
        assert (order.size_matched, order.size_voided) == (bet["sizeMatched"], bet["sizeVoided"]), (order, bet)
        assert order.is_over, order
        if order.size_matched:
            assert abs(order.average_price_matched - bet["averagePriceMatched"]) < D("0.00001")  # of its many digits
    instructions = [
        instruction["customerOrderRef"]
        for call in day.sandbox.journal("placeOrders")
        if call["status"] == "SUCCESS"
        for instruction in call["params"]["instructions"]
    ]
    assert sorted(instructions) == sorted(bets)


def kinds(orders: list[Order]) -> Counter[str]:
    """Count what the day must have had in it to prove anything."""
    return Counter(
        {
            "partly matched": sum(0 < order.size_matched < order.size for order in orders),
            "cancelled": sum(order.size_cancelled > 0 for order in orders),
            "by others": sum(order.cancel_reason == "EXCHANGE" for order in orders),
            "void": sum(order.size_voided > 0 for order in orders),
            "lays": sum(order.side is Side.LAY for order in orders),
            "settled": sum(order.status is OrderStatus.SETTLED for order in orders),
        }
    )


@pytest.fixture
def day(redis_client: "redis.Redis", sandbox: RunningSandbox, tmp_path: Path) -> Iterator[Day]:
    with trading(redis_client, sandbox, tmp_path, rules=no_limits(), max_transactions_per_hour=10_000) as rig:
        yield Day(rig, sandbox, redis_client)


@pytest.mark.slow
def test_four_books_of_a_day_agree_to_the_penny(day: Day) -> None:
    started_with = day.balance()
    verdicts = trade_all_day(day)
    follow_up(day)
    refresh_account(day.rig.engine)
    assert day.client.hget(keys.ACCOUNT, "difference") == "0"
    settle_everything(day)
    write_ledger(day.rig.engine)

    earned = reckon(day)
    assert earned != 0
    assert day.balance() - started_with == earned
    assert D(str(day.client.get(keys.PNL_TOTAL))) == earned
    settled = day.rig.ledger.settled(day.rig.engine.policy.identity)
    assert sum(row["net_profit"] for row in settled) == earned
    assert sum(row["net_profit"] for row in settled) == sum(
        net for bets in day.rig.ledger.profits(day.rig.engine.policy.identity).values() for net in bets.values()
    )
    assert_orders_agree(day)
    assert_accounts_agree(day, verdicts)
    state = day.rig.state.read()
    assert state.total_exposure == 0
    assert (state.ledger_lag, len(state.orders)) == (0, 0)
    [account] = day.sandbox.get("accounts")["accounts"]
    assert account["exposure"] == 0


def assert_accounts_agree(day: Day, verdicts: Counter[str]) -> None:
    orders = [order for order in day.rig.engine.store.recent_orders(5000) if order.bet_id]
    seen = kinds(orders)
    assert all(seen[kind] >= 2 for kind in seen), seen
    matched: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in day.rig.ledger.entries(5000):
        matched[row["order_id"]] += row["size"] if row["kind"] == "fill" else -row["size"]
    bets = by_reference(day)
    assert {name: size for name, size in matched.items() if size} == {
        name: bet["sizeMatched"] for name, bet in bets.items() if bet["sizeMatched"]
    }
    ends = Counter(row["status"] for row in day.rig.ledger.ended(5000))
    assert sum(ends.values()) == sum(verdicts.values()) == SIGNALS
    assert ends["COMPLETED"] == verdicts["COMPLETED"] > SIGNALS * 0.9
