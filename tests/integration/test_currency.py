"""A EUR account with limits in pounds through a day: what is refused, and that P&L, ledger and balance agree."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import redis
from support.engine_rig import make_policy
from support.sandbox_client import RunningSandbox, start_process
from support.trading_rig import TradingRig, trading

from executor import keys
from executor.domain.risk import Rules
from executor.engine.account import refresh_account
from executor.engine.accounting import write_ledger
from executor.engine.reconciliation import poll
from executor.engine.settlement import settle
from executor.engine.watchdog import watch
from executor.operations.pnl import RatesUnknown, converted, currency_of, totals

D = Decimal
MARKETS = [f"1.{800_000_000 + number}" for number in range(6)]


def in_pounds() -> Rules:
    rules = make_policy().rules
    return Rules(
        enabled=True,
        breaker_enabled=True,
        min_odds=rules.min_odds,
        max_odds=rules.max_odds,
        min_stake=rules.min_stake,
        currency="GBP",
        check_funds=True,
    )


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[RunningSandbox]:
    process = start_process(tmp_path / "sandbox", currency="EUR")
    assert process.stdout is not None
    assert "ready" in process.stdout.readline()
    running = RunningSandbox.at(tmp_path / "sandbox")
    running.log_in()
    yield running
    running.session.close()
    process.terminate()
    process.communicate(timeout=10)


@pytest.fixture
def rig(redis_client: "redis.Redis", sandbox: RunningSandbox, tmp_path: Path) -> Iterator[TradingRig]:
    limits = {"Bankroll": "10000", "MaxExposurePerMarket": "900", "MaxExposurePerSelection": "900",
              "MaxStakePerOrder": "100", "MaxDailyLoss": "5000", "MaxRiskPerTradePercent": "0.1"}  # fmt: skip
    for field, value in limits.items():
        redis_client.hset(keys.LIMITS, field, value)
    with trading(redis_client, sandbox, tmp_path, rules=in_pounds()) as found:
        yield found


def balance(sandbox: RunningSandbox) -> Decimal:
    [account] = sandbox.get("accounts")["accounts"]
    return D(account["balance"])


def leg(size: str, side: str = "Back", odds: str = "3") -> dict[str, str]:
    return {"selectionId": "1", "betType": side, "recommendedOdds": odds, "stake": size}


def test_a_euro_account_with_limits_in_pounds(
    rig: TradingRig, sandbox: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    engine, started_with = rig.engine, balance(sandbox)
    for market_id in MARKETS:
        sandbox.market(market_id, to_back=[[3, 5000]], to_lay=[[3.05, 5000]])
    refused = rig.trade("too-early", MARKETS[0], primarySelection=leg("10"))
    assert (refused.reason, refused.detail) == (
        "RATES_UNKNOWN",
        "No rate of the last day from GBP to a currency that is not known yet",
    )
    assert "rates_unknown" in watch(engine)
    told = json.loads(str(redis_client.hget(keys.ALERTS, "rates_unknown")))
    assert told["detail"].startswith("the account's currency has not been read: nothing is placed")
    refresh_account(engine)
    assert "rates_unknown" not in watch(engine)
    over = rig.trade("too-much", MARKETS[0], primarySelection=leg("115.01"))
    assert over.detail == "Stake 115.01 exceeds max per order 115 (1 GBP is 1.15 EUR)"
    for number, market_id in enumerate(MARKETS):
        size, side, odds = ("115", "Back", "3") if number % 2 else ("33.33", "Lay", "3.05")
        assert rig.trade(f"signal-{number}", market_id, primarySelection=leg(size, side, odds)).verdict == "COMPLETED"
    poll(engine)
    for number, market_id in enumerate(MARKETS):
        sandbox.control("settle", marketId=market_id, winners=[1 + number // 3 % 2])
    settle(engine)
    write_ledger(engine)
    earned = balance(sandbox) - started_with
    assert earned != 0
    assert D(str(redis_client.get(keys.PNL_TOTAL))) == earned
    rows = rig.ledger.settled(engine.policy.identity)
    assert (sum(row["net_profit"] for row in rows), {row["currency"] for row in rows}) == (earned, {"EUR"})
    assert {row["currency"] for row in rig.ledger.entries(100)} == {"EUR"}

    account = rig.state.read().account
    assert currency_of(rows, account) == "EUR"
    pounds = converted(rows, account, "GBP")
    assert [row["net_profit"] for row in pounds] == [
        (row["net_profit"] / D("1.15")).quantize(D("0.01")) for row in rows
    ]
    assert totals(converted(pounds, account, "GBP")) == totals(pounds)
    assert totals(converted([{**row, "currency": ""} for row in rows], account, "EUR")) == totals(rows)
    with pytest.raises(RatesUnknown, match="from EUR to CHF"):
        converted(rows, account, "CHF")

    assert rig.trade("above", MARKETS[0][:-1] + "9", primarySelection=leg("115")).verdict == "COMPLETED"
    redis_client.hset(keys.LIMITS, "MaxExposurePerMarket", "99")
    watch(engine)
    told = json.loads(str(redis_client.hget(keys.ALERTS, "market_above_limit")))
    assert told["detail"] == f"{MARKETS[0][:-1]}9 100.00 GBP: above 99 GBP"
    redis_client.hset(keys.LIMITS, "MaxExposurePerMarket", "900")

    redis_client.hset(keys.ACCOUNT, "rates_at", str(engine.store.now() - 86_400_001))
    assert rig.trade("stale", MARKETS[0], primarySelection=leg("10")).reason == "RATES_UNKNOWN"
    assert "rates_unknown" in watch(engine)
    refresh_account(engine)
    assert engine.store.now() - engine.accounts.account().rates_at < 60_000
