"""One odd row, record or key on a real Redis: it is told once, set aside, and stops nothing else."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs
from support.engine_rig import MARKET, make_cleared
from support.factories import make_bet, make_order
from support.recovery_rig import RecoveryRig

from executor import keys
from executor.domain.order import Order, OrderStatus
from executor.domain.signal_record import TERMINAL, SignalStatus
from executor.domain.times import day
from executor.engine.accounting import write_ledger
from executor.engine.cancellation import cancel_unmatched
from executor.engine.placement import place
from executor.engine.reconciliation import poll
from executor.engine.settlement import settle
from executor.engine.sweeping import sweep
from executor.engine.validation import validate
from executor.engine.watchdog import watch
from executor.errors import LedgerUnavailable, StoreUnavailable
from executor.ports import Change, ClearedKind, OddRow

S = OrderStatus
D = Decimal
OTHER = "1.300000000"
_DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecoveryRig]:
    with RecoveryRig.running(tmp_path_factory.mktemp("odd")) as made:
        yield made


@pytest.fixture
def rig(installation: RecoveryRig) -> RecoveryRig:
    client = installation.client()
    client.flushdb()
    installation.exchange.bets.clear()
    installation.exchange.cleared.clear()
    installation.exchange.odd.clear()
    installation.exchange.calls.clear()
    client.set(keys.TRADING_ENABLED, "true")
    poll(installation.worker())
    return installation


def placed(rig: RecoveryRig, signal_id: str, market_id: str = MARKET, **message: Any) -> Order:
    engine = rig.worker()
    rig.received(signal_id, marketId=market_id, **message)
    assert validate(engine, signal_id, market_id).verdict == "ACCEPTED"
    place(engine, signal_id, market_id)
    [order] = [order for order in engine.store.recent_orders(100) if order.signal_id == signal_id]
    return order


def asked(rig: RecoveryRig, signal_id: str, market_id: str) -> str:
    rig.received(signal_id, marketId=market_id)
    return validate(rig.worker(), signal_id, market_id).reason


def full_poll(rig: RecoveryRig) -> None:
    rig.client().delete(keys.FULL_READ)
    poll(rig.worker())


def put(client: "redis.Redis", key: str, kind: str) -> None:
    """Overwrite a key with another type."""
    client.delete(key)
    writes: dict[str, Callable[[], object]] = {
        "string": lambda: client.set(key, "7"),
        "hash": lambda: client.hset(key, "a", "b"),
        "list": lambda: client.rpush(key, "a"),
        "set": lambda: client.sadd(key, "a"),
        "zset": lambda: client.zadd(key, {"a": 1}),
    }
    writes[kind]()


# --- foreign bets -----------------------------------------------------------------------------------------------------


def test_a_foreign_bet_is_in_the_exposure_that_everybody_sees(rig: RecoveryRig) -> None:
    placed(rig, "signal-1")
    rig.exchange.odd = [OddRow("MARKET_ON_CLOSE", "f1", "", MARKET, 123456, "LAY", D("60.00"))]
    poll(rig.worker())
    assert rig.exposure() == {"123456": D("70.00")}
    assert asked(rig, "signal-2", MARKET) == ""
    assert rig.exposure() == {"123456": D("80.00")}
    alerts = watch(rig.worker())
    assert {"foreign_bets", "set_aside"} <= set(alerts)
    rig.exchange.odd = []
    full_poll(rig)
    assert rig.exposure() == {"123456": D("20.00")}
    assert rig.worker().store.foreign_bets() == []
    assert "foreign_bets" not in watch(rig.worker())


def test_a_commit_that_did_not_see_a_foreign_bet_does_not_hold(rig: RecoveryRig) -> None:
    engine = rig.worker()
    view = engine.store.view(MARKET)
    rig.exchange.odd = [OddRow("MARKET_ON_CLOSE", "f1", "", MARKET, 123456, "LAY", D("60.00"))]
    poll(rig.worker())
    assert engine.store.commit(view, Change(orders=(make_order(),))) is None


def test_a_market_is_held_in_the_very_step_that_reserves(rig: RecoveryRig) -> None:
    rig.received("signal-1")

    def find_a_bet_that_cannot_be_read() -> None:
        rig.exchange.odd = [OddRow("odd", market_id=MARKET)]  # without a name: no record of the market changes
        poll(rig.worker())

    step = validate(rig.interrupted_worker(find_a_bet_that_cannot_be_read), "signal-1", MARKET)
    assert (step.reason, asked(rig, "signal-2", OTHER)) == ("NOT_RECONCILED", "")


# --- records that are none --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", ["text", "hash", "list"])
def test_an_order_that_cannot_be_read_stops_its_market_only(rig: RecoveryRig, broken: str) -> None:
    client = rig.client()
    bad, good = placed(rig, "bad"), placed(rig, "good", OTHER)
    held = rig.worker()
    rig.received("waits", marketId=OTHER)
    assert validate(held, "waits", OTHER).verdict == "ACCEPTED"
    text = client.get(keys.order(bad.order_id))
    if broken == "text":
        client.set(keys.order(bad.order_id), "{")
    else:
        put(client, keys.order(bad.order_id), broken)
    for bet in list(rig.exchange.bets):
        rig.exchange.match(bet, "10")
    with capture_logs() as logs:
        for _ in range(3):
            full_poll(rig)
            cancel_unmatched(rig.worker())
            sweep(rig.worker(), lambda _: None, "signals")
            settle(rig.worker())
    [now] = rig.worker().store.orders([good.order_id])
    assert now.status is S.MATCHED
    named = [entry for entry in logs if entry["event"] == "record_not_readable"]
    assert [entry["key"] for entry in named] == [keys.order(bad.order_id)], "named once"
    assert not [entry for entry in logs if entry["event"] == "bet_adopted"]
    assert "set_aside" in watch(rig.worker())
    assert asked(rig, "more", OTHER) == ""
    client.delete(keys.order(bad.order_id))
    client.set(keys.order(bad.order_id), str(text))
    full_poll(rig)
    [repaired] = rig.worker().store.orders([bad.order_id])
    assert repaired.status is S.MATCHED
    assert asked(rig, "again", MARKET) == ""


def test_a_signal_that_stands_still_in_such_a_market_holds_up_no_other(rig: RecoveryRig) -> None:
    client = rig.client()
    bad = placed(rig, "bad")
    rig.received("first")
    rig.received("second", marketId=OTHER)
    client.set(keys.order(bad.order_id), "junk")
    now = rig.worker().store.now()
    for signal_id, moved_at in (("first", now - 20_000), ("second", now - 15_000)):
        record = json.loads(str(client.get(keys.signal(signal_id))))
        client.set(keys.signal(signal_id), json.dumps({**record, "updated_at": moved_at}))
        client.zadd(keys.SIGNALS_OPEN, {signal_id: moved_at})
    sent: list[str] = []
    sweep(rig.worker(), lambda record: sent.append(record.signal_id), "signals")
    assert sent == ["second"]


def test_nothing_is_booked_in_a_market_with_a_record_that_cannot_be_read(rig: RecoveryRig) -> None:
    client = rig.client()
    bad, good = placed(rig, "bad"), placed(rig, "good")
    rig.exchange.match(good.bet_id, "10")
    full_poll(rig)
    now = rig.worker().store.now()
    rig.exchange.bets.clear()
    rig.exchange.cleared = [make_cleared(good, ClearedKind.SETTLED, profit=D(10), settled_at=now)]
    text = str(client.get(keys.order(bad.order_id)))
    client.set(keys.order(bad.order_id), "junk")
    settle(rig.worker())
    assert client.get(keys.PNL_TOTAL) in {None, "0"}, "neither Redis nor the ledger has it, until both can"
    client.set(keys.order(bad.order_id), text)
    settle(rig.worker())
    assert client.get(keys.PNL_TOTAL) == "9.50"


def test_a_reservation_beside_a_record_that_cannot_be_read_is_given_back_in_time(rig: RecoveryRig) -> None:
    client = rig.client()
    bad = placed(rig, "bad")
    for signal_id, market_id in (("here", MARKET), ("there", OTHER)):
        rig.received(signal_id, marketId=market_id, validityWindow=1)
        assert validate(rig.worker(), signal_id, market_id).verdict == "ACCEPTED"
    rig.received("undecided", validityWindow=1)
    client.set(keys.order(bad.order_id), "junk")
    for signal_id in ("here", "there", "undecided"):  # they stand still, past their deadline
        text = str(client.get(keys.signal(signal_id)))
        past = rig.worker().store.now() - 60_000
        record = replace(rig.worker().store.signal(signal_id), deadline=past, updated_at=past)  # type: ignore[type-var]
        client.set(keys.signal(signal_id), text.replace(_number(text, "deadline"), str(past)))
        client.zadd(keys.SIGNALS_OPEN, {signal_id: past})
        assert record
    sweep(rig.worker(), lambda _: None, "signals")
    ended = [rig.worker().store.signal(signal_id) for signal_id in ("here", "there", "undecided")]
    assert [record.status for record in ended if record] == [
        SignalStatus.FAILED,
        SignalStatus.FAILED,
        SignalStatus.EXPIRED,
    ]
    assert not [order for order in rig.worker().store.unsettled_orders() if order.status is S.RESERVED]


def _number(text: str, name: str) -> str:
    return text.partition(f'"{name}":')[2].partition(",")[0]


@pytest.mark.parametrize("kind", ["hash", "text"])
def test_a_signal_whose_record_is_none_ends_and_gives_back_what_it_reserved(rig: RecoveryRig, kind: str) -> None:
    client = rig.client()
    rig.accepted("lost")
    assert rig.exposure() == {"123456": D(10)}
    if kind == "hash":
        put(client, keys.signal("lost"), "hash")
    else:
        client.set(keys.signal("lost"), "junk")
    sweep(rig.worker(), lambda _: None, "signals")
    assert client.zscore(keys.SIGNALS_OPEN, "lost") is not None, "it may still be valid"
    client.zadd(keys.SIGNALS_OPEN, {"lost": rig.worker().store.now() - 311_000})
    sweep(rig.worker(), lambda _: None, "signals")
    record = rig.worker().store.signal("lost")
    assert record is not None
    assert (record.status, record.status in TERMINAL) == (SignalStatus.EXPIRED, True)
    assert client.zscore(keys.SIGNALS_OPEN, "lost") is None
    assert rig.exposure() == {}
    assert len(client.keys("executor:aside:*")) == 1, "what was there is kept for a person"


@pytest.mark.parametrize("kind", ["hash", "text"])
def test_a_decided_signal_whose_record_is_none_stops_no_order_not_even_its_own(rig: RecoveryRig, kind: str) -> None:
    client = rig.client()
    own, other = placed(rig, "broken"), placed(rig, "good")
    if kind == "hash":
        put(client, keys.signal("broken"), "hash")
    else:
        client.set(keys.signal("broken"), "junk")
    for bet in list(rig.exchange.bets):
        rig.exchange.match(bet, "10")
    with capture_logs() as logs:
        full_poll(rig)
    assert {order.status for order in rig.worker().store.orders([own.order_id, other.order_id])} == {S.MATCHED}
    assert [log["key"] for log in logs if log["event"] == "record_not_readable"] == [keys.signal("broken")]
    assert asked(rig, "more", MARKET) == ""
    now = rig.worker().store.now()
    rig.exchange.bets.clear()
    rig.exchange.cleared = [
        make_cleared(order, ClearedKind.SETTLED, profit=D(10), settled_at=now) for order in (own, other)
    ]
    settle(rig.worker())
    assert rig.client().get(keys.PNL_TOTAL) == "19.00"


def test_a_record_repaired_after_days_is_settled_right_and_once(rig: RecoveryRig) -> None:
    client, engine = rig.client(), rig.worker()
    order = placed(rig, "signal-1")
    rig.exchange.match(order.bet_id, "10")
    full_poll(rig)
    now = engine.store.now()
    key = keys.order(order.order_id)
    text = str(client.get(key)).replace(f'"created_at":{order.created_at}', f'"created_at":{now - 3 * _DAY_MS}')
    rig.exchange.bets.clear()
    settled = make_cleared(order, ClearedKind.SETTLED, profit=D(10), settled_at=now - 2 * _DAY_MS)
    rig.exchange.cleared = [settled]
    client.set(key, "{broken")
    client.set(keys.SETTLED_AT, now - 2 * _DAY_MS)
    for _ in range(2):
        settle(rig.worker())
    assert client.get(keys.PNL_TOTAL) in {None, "0"}, "nothing is booked while its market cannot be read"
    client.set(keys.SETTLED_AT, now)  # days of reads have passed over it
    client.set(key, text)
    for _ in range(3):
        client.delete(keys.task_cooldown("overdue_settlements"))
        settle(rig.worker())
    [after] = rig.worker().store.orders([order.order_id])
    assert (after.status, after.profit) == (S.SETTLED, D(10))
    assert client.get(keys.PNL_TOTAL) == "9.50"
    entries: Any = client.xrange(keys.TRADES)
    assert [fields["net_profit"] for _, fields in entries if fields["type"] == "settlement"] == ["9.50"]


# --- keys of another type ---------------------------------------------------------------------------------------------

_INDEXES = (
    keys.ORDERS_ACTIVE,
    keys.ORDERS_UNSETTLED,
    keys.ORDERS_RECENT,
    keys.SIGNALS_OPEN,
    keys.MARKETS,
    keys.market_orders(MARKET),
    keys.market_revision(MARKET),
    keys.foreign(MARKET),
    keys.FOREIGN_MARKETS,
    keys.MARKETS_STOPPED,
    keys.LIMITS,
    keys.FULL_READ,
    keys.FAILED_ORDERS,
    keys.BREAKER_SINCE,
    keys.TRADES,
    keys.SET_ASIDE,
    keys.CANCELS_REFUSED,
    keys.HEDGES,
    keys.HELD_TOTAL,
    keys.MARKETS_WANTED,
    keys.SWITCH_FIRED,
    keys.ORDER_STREAM,
    keys.SIGNALS_FACTS,
    keys.SIGNALS_RECORDED,
    keys.CONSOLE_TOKENS,
)


@pytest.mark.parametrize("key", _INDEXES)
def test_a_key_of_another_type_is_set_aside_and_made_anew(rig: RecoveryRig, key: str) -> None:
    client = rig.client()
    order = placed(rig, "signal-1")
    kept = client.type(key)
    put(client, key, "list")
    rig.exchange.match(order.bet_id, "10")
    with capture_logs() as logs:
        for _ in range(2):
            poll(rig.worker())
    [after] = rig.worker().store.orders([order.order_id])
    assert after.status is S.MATCHED, "its fill is taken in"
    assert [entry["key"] for entry in logs if entry["event"] == "record_not_readable"] == [key]
    assert client.type(key) in {kept, "none", "zset", "hash", "set", "string", "stream"}
    assert len(client.keys("executor:aside:*")) == 1
    assert asked(rig, "signal-2", MARKET) == ""
    assert len(rig.worker().store.unsettled_orders()) == 2
    assert rig.exposure() == {"123456": D(20)}


def test_a_signal_in_a_market_whose_key_is_of_another_type_ends_at_its_deadline(rig: RecoveryRig) -> None:
    client = rig.client()
    rig.received("signal-1", validityWindow=1)
    put(client, keys.market_orders(MARKET), "string")
    past = rig.worker().store.now() - 60_000
    text = str(client.get(keys.signal("signal-1")))
    client.set(keys.signal("signal-1"), text.replace(_number(text, "deadline"), str(past)))
    client.zadd(keys.SIGNALS_OPEN, {"signal-1": past})
    sweep(rig.worker(), lambda _: None, "signals")
    record = rig.worker().store.signal("signal-1")
    assert record is not None
    assert record.status is SignalStatus.EXPIRED


def test_a_key_of_a_market_without_orders_costs_one_try(rig: RecoveryRig) -> None:
    """No poll looks for it: nobody knows the market yet."""
    put(rig.client(), keys.market_orders(OTHER), "string")
    with pytest.raises(StoreUnavailable):
        asked(rig, "signal-1", OTHER)
    assert validate(rig.worker(), "signal-1", OTHER).verdict == "ACCEPTED"


def won(rig: RecoveryRig) -> str:
    """Win 9.50, and have the ledger told; return the day."""
    order = placed(rig, "signal-1")
    rig.exchange.match(order.bet_id, "10")
    full_poll(rig)
    engine = rig.worker()
    now = engine.store.now()
    rig.exchange.bets.clear()
    rig.exchange.cleared = [make_cleared(order, ClearedKind.SETTLED, profit=D(10), settled_at=now)]
    settle(engine)
    write_ledger(engine)
    return day(now)


@pytest.mark.parametrize("kind", ["list", "string", "hash"])
@pytest.mark.parametrize("which", ["days", "bets", "read"])
def test_profits_that_are_none_come_back_and_stop_no_settlement(rig: RecoveryRig, which: str, kind: str) -> None:
    client = rig.client()
    today = won(rig)
    key = {"days": keys.PNL_DAYS, "bets": keys.settlements(today), "read": keys.SETTLED_AT}[which]
    if kind == "hash" and which != "read":
        client.hset(key, "junk", "junk")  # of the right type, with a value that is none
    else:
        put(client, key, "list" if kind == "string" and which == "read" else kind)
    with suppress(StoreUnavailable):
        settle(rig.worker())
    poll(rig.worker())
    settle(rig.worker())
    assert client.get(keys.PNL_TOTAL) == client.get(keys.pnl_daily(today)) == "9.50"
    assert client.hgetall(keys.PNL_DAYS) == {today: "9.50"}
    assert [name for name in client.keys("executor:aside:*") if str(name).endswith(key)], "what was there is kept"


def test_nothing_is_placed_before_profits_that_were_none_are_back(rig: RecoveryRig) -> None:
    client = rig.client()
    put(client, keys.settlements(won(rig)), "list")
    client.delete(keys.RECONCILED)
    engine = rig.worker()
    vars(engine.ledger)["profits"] = unavailable
    with pytest.raises(LedgerUnavailable):
        poll(engine)
    assert not client.exists(keys.RECONCILED)
    poll(rig.worker())
    assert client.exists(keys.RECONCILED)
    assert client.get(keys.PNL_TOTAL) == "9.50"


def unavailable(_identity: str) -> Any:
    raise LedgerUnavailable("it is away")


def test_a_turn_without_an_end_ends(rig: RecoveryRig) -> None:
    order = placed(rig, "signal-1")
    rig.client().set(keys.market_lock(MARKET), "somebody's")
    rig.exchange.match(order.bet_id, "10")
    poll(rig.worker())
    assert rig.worker().store.orders([order.order_id])[0].status is S.MATCHED


@pytest.mark.parametrize("kind", ["list", "hash"])
def test_the_watchdog_goes_on_beside_a_mark_of_another_type(rig: RecoveryRig, kind: str) -> None:
    put(rig.client(), keys.STREAM_SILENT, kind)
    poll(rig.worker())
    watch(rig.worker())


# --- a busy market ----------------------------------------------------------------------------------------------------


def test_eight_commits_of_others_in_one_market_keep_no_other_from_its_fill(rig: RecoveryRig) -> None:
    busy, quiet = placed(rig, "busy"), placed(rig, "quiet", OTHER)
    for bet in list(rig.exchange.bets):
        rig.exchange.match(bet, "10")
    client = rig.client()
    client.delete(keys.RECONCILED)
    engine = rig.worker()
    commit = engine.store.commit

    def outrun(view: Any, change: Change) -> Any:
        if view.market_id == MARKET and change.orders:
            client.set(keys.market_revision(MARKET), f"somebody's {client.incr('test:commits')}")
        return commit(view, change)

    vars(engine.store)["commit"] = outrun
    report = poll(engine)
    statuses = {order.order_id: order.status for order in engine.store.orders([busy.order_id, quiet.order_id])}
    assert statuses == {busy.order_id: S.PENDING, quiet.order_id: S.MATCHED}
    assert report.stopped == 1
    assert client.exists(keys.RECONCILED)
    assert (asked(rig, "one", MARKET), asked(rig, "two", OTHER)) == ("NOT_RECONCILED", "")


def test_a_poll_gets_through_beside_dozens_of_commits_a_second(rig: RecoveryRig) -> None:
    """2,500 orders in a market, and others who change it all the time."""
    engine = rig.worker()
    client = rig.client()
    orders = [
        make_order(order_id=f"o{at}", signal_id="", status=S.PENDING, bet_id=f"b{at}", placed_at=1, size=D("0.01"))
        for at in range(2500)
    ]
    for at in range(0, 2500, 500):
        assert engine.store.commit(engine.store.view(MARKET), Change(orders=orders[at : at + 500]))
    rig.exchange.bets = {order.bet_id: make_bet(order, bet_id=order.bet_id) for order in orders}
    done = threading.Event()
    commits: list[bool] = []

    def others() -> None:
        worker = rig.worker()
        record = next(iter(worker.store.orders(["o0"])))
        while not done.wait(0.028):
            view = replace(worker.store.view(MARKET), lock_token="")
            commits.append(bool(worker.store.commit(view, Change(orders=(replace(record, detail=str(len(commits))),)))))

    def blind() -> None:  # somebody faster than any read of ours, who respects the lock like all
        while not done.wait(0.028):
            if not client.exists(keys.market_lock(MARKET)):
                client.set(keys.market_revision(MARKET), f"somebody's {len(commits)}")

    threads = [threading.Thread(target=others), threading.Thread(target=blind)]
    for thread in threads:
        thread.start()
    try:
        for at in range(1, 9):
            rig.exchange.bets[f"b{at}"] = replace(
                rig.exchange.bets[f"b{at}"], size_matched=D("0.01"), average_price_matched=D(3), executable=False
            )
            assert poll(engine).stopped == 0
    finally:
        done.set()
        for thread in threads:
            thread.join(10)
    assert len(commits) > 5
    assert {order.status for order in engine.store.orders([f"o{at}" for at in range(1, 9)])} == {S.MATCHED}
