"""A signal published to a real bridge becomes a bet and an entry in the ledger: paper, and live against the sandbox."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal

import pytest
from celery import Celery
from celery.events.state import State
from support.process_rig import Stack, message, running, wait
from support.sandbox_client import RunningSandbox

from betfair_sandbox.options import sandbox_env
from executor import keys
from executor.domain.order import OrderStatus
from executor.domain.signal_record import SignalStatus

FAST = {"EXECUTOR_ORDER_MANAGER__STATUS_CHECK_INTERVAL_SECONDS": "1"}


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("paper"), **FAST) as stack:
        stack.beat()
        stack.bridge()
        stack.worker()
        stack.wait_until_reconciled()
        yield stack


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, sandbox_process: RunningSandbox) -> Iterator[Stack]:
    sandbox_process.control("reset")
    with running(tmp_path_factory.mktemp("live"), **FAST, **sandbox_env(sandbox_process.directory)) as stack:
        stack.beat()
        stack.bridge()
        stack.worker()
        stack.wait_until_reconciled()
        yield stack


def ledger(stack: Stack, order_id: str) -> list[tuple[object, ...]]:
    """Return what is booked for an order, waiting until something is."""
    path = stack.folder / "data" / "ledger.db"

    def rows() -> list[tuple[object, ...]]:
        if not path.exists():
            return []
        with closing(sqlite3.connect(path)) as connection:
            wanted = "select kind, size, paper, identity from trades where order_id = ?"
            return list(connection.execute(wanted, (order_id,)))

    return wait(rows)


def test_a_paper_signal_ends_as_a_fill_in_the_ledger(paper: Stack) -> None:
    assert paper.publish(message("signal-1")) == 1
    record = paper.ended("signal-1")
    assert (record.status, len(record.order_ids)) == (SignalStatus.COMPLETED, 1)
    (order,) = paper.orders("signal-1")
    assert (order.status, order.paper, order.size_matched) == (OrderStatus.MATCHED, True, Decimal(10))
    assert [tuple(map(str, row)) for row in ledger(paper, order.order_id)] == [("fill", "10.00", "1", "paper")]
    assert paper.state.hgetall(keys.matched_exposure("1.5")) == {"1": "10.00"}
    assert wait(lambda: paper.state.xpending(keys.TRADES, keys.TRADES_GROUP)["pending"] == 0)


def test_a_signal_waits_for_the_next_poll(paper: Stack) -> None:
    run = paper.state.info("replication")["master_replid"]
    wait(lambda: paper.state.set(keys.task_lock("poll_orders"), f"{run} a poll that takes long", nx=True, ex=60))
    paper.state.delete(keys.RECONCILED)
    paper.publish(message("waiting"))
    wait(lambda: paper.state.exists(keys.waiting("waiting")))
    paper.state.delete(keys.task_lock("poll_orders"))
    assert paper.ended("waiting").status is SignalStatus.COMPLETED


def test_a_surebet_goes_the_same_way_with_both_legs(paper: Stack) -> None:
    surebet = {
        "marketId": "1.6", "backSelectionId": "1", "backOdds": 2.5, "stakeBack": 10,
        "laySelectionId": "2", "layOdds": 2.6, "stakeLay": 9.5,
    }  # fmt: skip
    paper.publish(surebet, keys.SUREBET_SIGNALS)
    found = wait(
        lambda: [record for record in paper.signals() if record.signal_id.startswith("sure-") and record.finished_at]
    )
    assert [order.status for order in paper.orders(found[0].signal_id)] == [OrderStatus.MATCHED, OrderStatus.MATCHED]


def test_the_kill_switch_stops_the_next_signal_and_lets_the_one_after_it_through(paper: Stack) -> None:
    paper.state.set(keys.TRADING_ENABLED, "false")
    paper.publish(message("stopped"))
    assert paper.ended("stopped").reason == "TRADING_DISABLED"
    paper.state.set(keys.TRADING_ENABLED, "TRUE")
    paper.publish(message("let-through"))
    assert paper.ended("let-through").status is SignalStatus.COMPLETED


def test_a_limit_changed_by_hand_counts_for_the_next_signal(paper: Stack) -> None:
    before = paper.state.hget(keys.LIMITS, "MaxStakePerOrder")
    paper.state.hset(keys.LIMITS, "MaxStakePerOrder", "5")
    paper.publish(message("too-much"))
    assert paper.ended("too-much").detail == "Stake 10 exceeds max per order 5"
    paper.state.hset(keys.LIMITS, "MaxStakePerOrder", str(before))
    assert paper.orders("too-much") == []


def test_a_live_signal_is_one_bet_at_the_exchange_and_a_fill_in_the_ledger(
    live: Stack, sandbox_process: RunningSandbox
) -> None:
    sandbox_process.market("1.5", to_back=[[3.0, 500]])
    live.publish(message("signal-1"))
    assert live.ended("signal-1").status is SignalStatus.COMPLETED
    (order,) = wait(lambda: [order for order in live.orders("signal-1") if order.status is OrderStatus.MATCHED])
    (bet,) = [bet_row for bet_row in sandbox_process.get("orders") if bet_row["customerOrderRef"] == order.order_id]
    assert (bet["betId"], bet["sizeMatched"], bet["side"]) == (order.bet_id, Decimal(10), "BACK")
    assert ledger(live, order.order_id)[0][:2] == ("fill", "10.00")


def test_what_stays_unmatched_is_cancelled_and_its_exposure_given_back(
    live: Stack, sandbox_process: RunningSandbox
) -> None:
    sandbox_process.market("1.7")
    live.publish(message("waiting", "1.7", unmatchedTimeoutSeconds=1))
    assert live.ended("waiting").status is SignalStatus.COMPLETED
    wait(lambda: live.orders("waiting")[0].status is OrderStatus.CANCELLED)
    (order,) = live.orders("waiting")
    assert (order.cancel_reason, order.size_cancelled) == ("UNMATCHED_TIMEOUT", Decimal(10))
    assert not live.state.exists(keys.risk_exposure("1.7"))


def test_a_settled_market_becomes_profit(live: Stack, sandbox_process: RunningSandbox) -> None:
    sandbox_process.market("1.8", to_back=[[3.0, 500]])
    live.publish(message("winner", "1.8"))
    wait(lambda: [order for order in live.orders("winner") if order.status is OrderStatus.MATCHED])
    sandbox_process.control("settle", marketId="1.8", winners=[1])
    live.tick("settle_orders")
    (order,) = wait(lambda: [order for order in live.orders("winner") if order.status is OrderStatus.SETTLED])
    assert order.profit == Decimal(20)
    assert Decimal(str(live.state.get(keys.PNL_TOTAL))) == order.net_profit
    assert order.commission > 0


def test_flower_sees_three_tasks_of_a_chain_whose_steps_follow_in_one_process(paper: Stack) -> None:
    ids = ("risk-watched", "place-watched", "log-watched")
    state = State()
    with Celery("watcher", broker=paper.server.url(1)) as watcher, watcher.connection_for_read() as connection:
        receiver = watcher.events.Receiver(connection, handlers={"*": state.event})
        with receiver.consumer_context() as (line, _, _):
            paper.publish(message("watched", "1.9"))
            while not all(task_id in state.tasks and state.tasks[task_id].state == "SUCCESS" for task_id in ids):
                line.drain_events(timeout=60)
    risk, place, log = (state.tasks[task_id] for task_id in ids)
    assert (risk.name, place.name, log.name) == (
        "executor.validate_risk",
        "executor.place_order",
        "executor.log_trade",
    )
    assert [task.result.strip("'").split()[0] for task in (risk, place)] == ["ACCEPTED", "COMPLETED"]
    assert log.result.startswith("'COMPLETED, ")
    assert {place.worker.hostname, log.worker.hostname} == {risk.worker.hostname}
    assert risk.received <= place.received <= place.started <= place.succeeded <= log.started <= log.succeeded
    assert (place.root_id, place.parent_id, log.parent_id) == (risk.id, risk.id, place.id)
    assert place.args == log.args == "['watched', '1.9']"
