"""Paper trading against a real book: the sandbox's, over HTTPS, with a real Redis; nothing is ever sent there."""

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import redis
from support.cli_rig import MARKET, Console, console
from support.sandbox_client import RunningSandbox

from betfair_sandbox.options import sandbox_env
from executor import keys
from executor.devstack.redis_server import PrivateRedis
from executor.domain.order import CancelReason, Order
from executor.engine.accounting import write_ledger
from executor.engine.cancellation import cancel_orders
from executor.engine.engine import Engine
from executor.engine.reconciliation import poll
from executor.engine.settlement import end_paper_positions
from executor.settings.load import SettingsError, load_settings

D = Decimal


@pytest.fixture
def program(
    tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis", sandbox: RunningSandbox
) -> Console:
    del redis_client  # empties the db
    paper = {"EXECUTOR_TRADING__ENABLE_PAPER_TRADING": "true", "EXECUTOR_TRADING__PAPER_FILLS": "book"}
    return console(tmp_path, private_redis, {**sandbox_env(sandbox.directory), **paper})


@pytest.fixture
def engine(program: Console, sandbox: RunningSandbox) -> Iterator[Engine]:
    with program.engine() as engine:
        yield engine
    sent = {call["method"].rpartition("/")[2] for call in sandbox.journal()}
    assert not {name for name in sent if "Orders" in name and not name.startswith("list")}, sent
    assert sandbox.get("orders") == []


def offer(sandbox: RunningSandbox, *to_back: tuple[object, object], **facts: object) -> None:
    sandbox.market(MARKET, to_back=[list(level) for level in to_back], to_lay=[[5, 500]], **facts)


def again(engine: Engine, order_id: str) -> Order:
    poll(engine)
    [order] = engine.store.orders([order_id])
    return order


def test_an_order_gets_what_is_there_and_its_own_price_later(
    program: Console, engine: Engine, sandbox: RunningSandbox
) -> None:
    offer(sandbox, (3, 4), (3.1, 2))
    order_id = program.trade(engine, "signal-1")
    [order] = engine.store.orders([order_id])
    assert (order.status, order.size_matched, order.paper) == ("PENDING", D(6), True)
    assert order.average_price_matched == D("3.0333")
    assert again(engine, order_id) == order, "what it took is not there a second time"
    offer(sandbox, (3, 1), (3.5, 8))
    order = again(engine, order_id)
    assert (order.status, order.size_matched) == ("PENDING", D(9))
    assert order.average_price_matched == D("3.0222"), "three more at 3, whatever is offered"
    offer(sandbox, (3, 500))
    assert again(engine, order_id).status == "MATCHED"
    write_ledger(engine)
    fills = engine.ledger.entries(10)  # type: ignore[attr-defined]
    assert sorted((fill["size"], fill["paper"]) for fill in fills) == [(D(1), True), (D(3), True), (D(6), True)]


def test_two_orders_share_what_is_there(program: Console, engine: Engine, sandbox: RunningSandbox) -> None:
    offer(sandbox, (3, 12))
    names = [program.trade(engine, f"signal-{number}") for number in (1, 2)]
    assert [again(engine, name).size_matched for name in names] == [D(10), D(2)]


def test_what_is_not_matched_in_time_is_taken_back_and_ends_as_a_position_does(
    program: Console, engine: Engine, sandbox: RunningSandbox
) -> None:
    offer(sandbox, (3, 4))
    part, nothing = program.trade(engine, "signal-1"), program.trade(engine, "signal-2", price=4)
    cancel_orders(engine, engine.store.active_orders(), CancelReason.UNMATCHED_TIMEOUT)
    orders = {order.order_id: order for order in engine.store.orders([part, nothing])}
    assert {name: (o.status, o.size_matched, o.size_cancelled) for name, o in orders.items()} == {
        part: ("CANCELLED", D(4), D(6)),
        nothing: ("CANCELLED", D(0), D(10)),
    }
    poll(engine)
    assert engine.store.active_orders() == []
    assert end_paper_positions(engine, older_than_ms=0) == 1
    assert [order.status for order in engine.store.orders([part])] == ["SETTLED"]


@pytest.mark.parametrize(
    ("facts", "selection", "code"),
    [({"status": "SUSPENDED"}, 1, "MARKET_SUSPENDED"), ({}, 77, "INVALID_RUNNER")],
)
def test_what_the_exchange_would_refuse_is_refused(
    program: Console, engine: Engine, sandbox: RunningSandbox, facts: dict[str, str], selection: int, code: str
) -> None:
    offer(sandbox, (3, 500))
    if facts:
        sandbox.control("markets", marketId=MARKET, **facts)
    [order] = engine.store.orders([program.trade(engine, "signal-1", selection=selection)])
    assert (order.status, order.reason) == ("FAILED", code)


def test_in_play_nothing_is_matched_before_the_next_look(
    program: Console, engine: Engine, sandbox: RunningSandbox
) -> None:
    offer(sandbox, (3, 500), inplay=True, betDelay=5)
    order_id = program.trade(engine, "signal-1")
    assert engine.store.orders([order_id])[0].size_matched == 0
    assert again(engine, order_id).status == "MATCHED"


def test_a_book_that_cannot_be_read_changes_nothing(program: Console, engine: Engine, sandbox: RunningSandbox) -> None:
    offer(sandbox, (3, 4))
    order_id = program.trade(engine, "signal-1")
    sandbox.control("faults", method="listMarketBook", kind="http_503", count=50)
    order = again(engine, order_id)
    assert (order.status, order.size_matched) == ("PENDING", D(4))
    assert engine.store.view(MARKET).reconciled
    sandbox.disarm()
    sandbox.control("markets", marketId=MARKET, status="SUSPENDED")
    assert again(engine, order_id).size_matched == 4
    cancel_orders(engine, engine.store.active_orders(), CancelReason.MANUAL)
    assert engine.store.orders([order_id])[0].status == "CANCELLED"


@pytest.mark.parametrize("seed", range(3))
def test_together_they_never_get_more_than_was_there_at_one_moment(
    program: Console, engine: Engine, sandbox: RunningSandbox, seed: int
) -> None:
    pick = random.Random(seed)  # noqa: S311 - a seeded script
    most, names = D(0), list[str]()
    for number in range(12):
        levels = {D(price): D(pick.randrange(0, 2000)) / 100 for price in ("2.9", "3", "3.05", "3.5")}
        offer(sandbox, *((float(price), float(size)) for price, size in levels.items() if size))
        most = max(most, sum((size for price, size in levels.items() if price >= 3), D(0)))
        names.append(program.trade(engine, f"signal-{number}", size=pick.choice([2, 5, 9])))
        poll(engine)
        orders = engine.store.orders(names)
        assert sum((order.size_matched for order in orders), D(0)) <= most
        assert all(order.average_price_matched >= 3 for order in orders if order.size_matched)


def test_where_fills_come_from_is_said_and_whether_there_is_a_session(
    program: Console, engine: Engine, redis_client: "redis.Redis"
) -> None:
    engine.exchange.prepare()  # as a worker's start does
    ran = program.run_all(("status", "status --json", "check"))
    assert "orders get what the real book at localhost" in " ".join(ran["status"].out.split())
    found = ran["status --json"].json
    assert (found["mode"], found["paper_fills"], found["session"]) == ("paper", "book", True)
    assert "paper trading, filled from the real book" in ran["check"].out
    redis_client.delete(keys.session("paper"))
    out = program.run("status").out
    assert "none: paper orders get no prices; executor check tries to log in" in " ".join(out.split())
    instant = program.but(EXECUTOR_TRADING__PAPER_FILLS="instant").run_all(("status", "status --json"))
    assert "orders fill at once" in " ".join(instant["status"].out.split())
    assert (instant["status --json"].json["paper_fills"], instant["status --json"].json["session"]) == ("instant", None)


def test_it_needs_the_account_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"PAPER_FILLS=book reads real prices and needs .*APP_KEY"):
        load_settings({"EXECUTOR_TRADING__PAPER_FILLS": "book"}, tmp_path)
    assert load_settings({"EXECUTOR_TRADING__PAPER_FILLS": "Instant"}, tmp_path).trading.paper_fills == "instant"
