"""The console on the real sandbox exchange, without a browser: what a person does there and sees of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support.cli_rig import MARKET, message
from support.console_rig import ConsoleRig, console_rig
from support.sandbox_client import RunningSandbox, limit

from betfair_sandbox.options import sandbox_env
from executor import keys
from executor.console.principal import Role
from executor.devstack.redis_server import PrivateRedis
from executor.domain.signal import SignalKind
from executor.engine import placement, reconciliation, settlement, validation
from executor.engine.intake import receive


@pytest.fixture
def rig(
    tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis", sandbox: RunningSandbox
) -> Iterator[ConsoleRig]:
    del redis_client
    sandbox.market(MARKET, [{"price": 3, "size": 4}], [])
    with console_rig(tmp_path, private_redis, sandbox_env(sandbox.directory)) as made:
        yield made


def place(rig: ConsoleRig, signal_id: str) -> None:
    """Carry a signal to the exchange, whatever that makes of it."""
    raw = json.dumps(message(signal_id)).encode()
    intake = rig.console.access.intake
    record = receive(intake, SignalKind.STRATEGY, raw, rig.engine.store.now(), "test:1:bridge")
    assert record is not None
    assert validation.validate(rig.engine, signal_id, MARKET).orders
    placement.place(rig.engine, signal_id, MARKET)


def test_a_refused_signal_is_listed_run_again_and_placed_once(
    rig: ConsoleRig, sandbox: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    sandbox.control("faults", method="placeOrders", kind="error:INSUFFICIENT_FUNDS")
    place(rig, "refused-1")
    operator = rig.bearer(Role.OPERATOR)
    (failed,) = operator.get("/api/failed").json()
    assert failed["task_id"] == failed["fields"]["signal_id"] == "refused-1"
    assert "INSUFFICIENT_FUNDS" in failed["fields"]["error"]
    assert "INSUFFICIENT_FUNDS" in rig.program.run("failed").out
    page = rig.person("anna").get("/failed").text
    assert "refused-1" in page
    assert "Run again" in page
    again = operator.post("/api/failed/refused-1/retry")
    assert again.status_code == 202, again.text
    assert [(record.signal_id, record.attempt) for record in rig.dispatched] == [("refused-1", 2)]
    assert operator.get("/api/failed").json() == []
    assert operator.post("/api/failed/refused-1/retry").status_code == 404
    assert validation.validate(rig.engine, "refused-1", MARKET).orders
    placement.place(rig.engine, "refused-1", MARKET)
    rig.console.cache.clear()
    assert operator.get("/api/signals/refused-1").json()["status"] == "COMPLETED"
    (bet,) = sandbox.get("orders")
    assert bet["sizeMatched"] == 4
    assert redis_client.zcard(keys.FAILED_SIGNALS) == 0


def test_a_refused_signal_is_dropped(rig: ConsoleRig, sandbox: RunningSandbox) -> None:
    sandbox.control("faults", method="placeOrders", kind="error:INSUFFICIENT_FUNDS")
    place(rig, "refused-1")
    operator = rig.bearer(Role.OPERATOR)
    assert rig.program.run("failed", "discard", "refused-1").code == 0
    assert operator.get("/api/failed").json() == []
    assert rig.program.run("failed", "discard", "refused-1").code == 1
    assert operator.get("/api/signals/refused-1").json()["status"] == "FAILED"


def test_an_order_is_cancelled_at_the_exchange_and_its_result_is_read(rig: ConsoleRig, sandbox: RunningSandbox) -> None:
    order_id = rig.program.trade(rig.engine, "signal-1")
    operator = rig.bearer(Role.OPERATOR)
    done = operator.post(f"/api/orders/{order_id}/cancel")
    assert (done.status_code, done.json()["state"]) == (200, "done"), done.text
    order = operator.get(f"/api/orders/{order_id}").json()
    assert (order["status"], order["size_matched"], order["size_cancelled"]) == ("CANCELLED", "4.00", "6.00")
    assert [bet["status"] for bet in sandbox.get("orders")] == ["EXECUTION_COMPLETE"]
    sandbox.control("settle", marketId=MARKET, winners=[1])
    settlement.settle(rig.engine)
    rig.book()
    pnl = operator.get("/api/pnl").json()
    assert pnl["total"]["net_profit"] == "7.60", "4 at 3 wins 8, 5 % of it are commission"
    assert "7.60" in rig.person("anna").get("/pnl").text
    csv = operator.get("/api/pnl", params={"format": "csv"}).text
    assert "7.60" in csv


def test_bets_that_are_not_ours_to_hold_are_shown(rig: ConsoleRig, sandbox: RunningSandbox) -> None:
    at_starting_price = {
        "selectionId": 2, "handicap": 0, "side": "BACK", "orderType": "MARKET_ON_CLOSE",
        "marketOnCloseOrder": {"liability": 10},
    }  # fmt: skip
    sandbox.market("1.200000077", [{"price": 3, "size": 4}], [], bspMarket=True)
    sandbox.place("1.200000077", at_starting_price, customerStrategyRef="aibetting")
    sandbox.place(MARKET, limit(2, "BACK", 9, 5))
    reconciliation.poll(rig.engine)
    rig.console.cache.clear()
    anna = rig.person("anna")
    (foreign,) = anna.get("/api/status").json()["foreign_bets"]
    for path in ("/orders", "/markets/1.200000077"):
        assert foreign["bet_id"] in anna.get(path).text, path
    missing = anna.get("/markets/1.999")
    assert (missing.status_code, "no order of ours" in missing.text) == (404, True)
