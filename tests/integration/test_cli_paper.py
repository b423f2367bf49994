"""What the console shows and does in paper mode, on orders that came about through the real chain."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from support.cli_rig import MARKET, Console, console, message
from support.factories import SUREBET
from support.signing import Keys

from executor import keys, wiring
from executor.devstack.redis_server import PrivateRedis
from executor.domain.risk import LIMIT_FIELDS
from executor.domain.signal import SignalKind, parse_signal
from executor.engine import accounting, reconciliation, validation
from executor.engine.intake import receive

pytestmark = pytest.mark.usefixtures("redis_client")
OTHER = "1.200000009"


@pytest.fixture
def paper(tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis") -> Console:
    del redis_client  # empties the db
    return console(tmp_path, private_redis, {})


def fits(text: str) -> bool:
    return all(len(line.rstrip()) <= 80 for line in text.splitlines())


def test_orders_and_trades_are_shown_to_people_and_programs(paper: Console) -> None:
    with paper.engine() as engine:
        first = paper.trade(engine, "signal-1", size="10.55", price="3.05")
        second = paper.trade(engine, "signal-2", market=OTHER, selection=2)
        paper.trade(engine, "signal-3", market=OTHER)
    commands = (
        "orders --json",
        f"orders --json --market {MARKET}",
        "orders --json --active",
        "orders --json --limit 1",
    )
    found = paper.run_all((*commands, "orders", "trades", "trades --json --limit 2", "status", "status --json"))
    assert {ran.code for ran in found.values()} == {0}
    assert {ran.err for ran in found.values()} == {""}
    shown = found["orders --json"].json
    assert [order["signal_id"] for order in shown] == ["signal-3", "signal-2", "signal-1"]
    assert found[commands[1]].json == shown[2:]
    assert found[commands[2]].json == []
    assert found[commands[3]].json == shown[:1]
    order = shown[2]
    expected = {
        "order_id": first,
        "market_id": MARKET,
        "selection_id": 1,
        "side": "BACK",
        "price": "3.05",
        "size": "10.55",
        "size_matched": "10.55",
        "average_price_matched": "3.05",
        "status": "MATCHED",
        "reason": "",
        "bet_id": f"paper-{first}",
        "paper": True,
        "settled_at": None,
        "profit": None,
    }
    assert {name: order[name] for name in expected} == expected
    assert order["created_at"].endswith("Z")
    table, trades = found["orders"].out, found["trades"].out
    for text in (table, trades, found["status"].out):
        assert fits(text), text
    for text in (table, trades):
        assert all(order["order_id"] in text and order["market_id"] in text for order in shown)
    assert f"{OTHER} / 2" in table
    assert "10.55" in table
    rows = found["trades --json --limit 2"].json
    assert [(row["signal_id"], row["kind"], row["size"], row["paper"]) for row in rows] == [
        ("signal-3", "fill", "10.00", True),
        ("signal-2", "fill", "10.00", True),
    ]
    assert rows[1]["order_id"] == second
    state = found["status --json"].json
    assert state["trading"] == {"enabled": True, "value": "true", "why_not": None}
    assert state["exposure"]["markets"] == {MARKET: "10.55", OTHER: "20.00"}
    assert (state["identity"], state["mode"], state["session"]) == ("paper", "paper", None)
    assert state["orders"]["unsettled"] == 3
    assert "[bold]test" not in found["orders"].err


def test_an_unreadable_record_hides_nothing_else(paper: Console, redis_client: "redis.Redis") -> None:
    with paper.engine() as engine:
        broken = paper.trade(engine, "signal-1")
    redis_client.set(keys.order(broken), "{")
    redis_client.hset(keys.LIMITS, "Bankroll", "a lot")
    found = paper.run_all(("status", "status --json", "limits", "orders", "check --json"))
    state = found["status --json"].json
    assert state["orders"]["unreadable"] == [broken]
    assert "Bankroll is not a number" in state["limit_problems"]["Bankroll"]
    assert broken in found["status"].out
    assert "a lot" in found["limits"].out
    assert "MaxDailyLoss" in found["limits"].out
    assert (found["orders"].code, found["orders"].out) == (0, "no orders\n")
    assert keys.order(broken) in found["orders"].err
    failed = {finding["name"] for finding in found["check --json"].json if finding["result"] == "fail"}
    assert {"orders", "limits"} <= failed


def test_limits_change_together_or_not_at_all(paper: Console, redis_client: "redis.Redis") -> None:
    with paper.engine():
        before = redis_client.hgetall(keys.LIMITS)
    assert set(before) == set(LIMIT_FIELDS)
    assert paper.run("limits", "set", "MaxDailyLoss=7", "MaxStakePerOrder=1e").code == 2
    assert redis_client.hgetall(keys.LIMITS) == before
    with redis_client.pubsub() as heard:  # type: ignore[no-untyped-call]
        heard.subscribe(keys.KILL_SWITCH)
        ran = paper.run("limits", "set", "maxstakeperorder=12.50", "MAXDAILYLOSS=7")
        messages = [heard.get_message(timeout=5) for _ in range(2)]
    assert ran.code == 0
    assert "MaxStakePerOrder: 100 -> 12.50" in ran.out
    assert "MaxDailyLoss: 500 -> 7" in ran.out
    assert redis_client.hgetall(keys.LIMITS) == {**before, "MaxStakePerOrder": "12.50", "MaxDailyLoss": "7"}
    assert json.loads(messages[1]["data"])["event"] == "limits_changed"
    assert paper.run("limits", "--json").json["limits"]["MaxStakePerOrder"] == "12.50"
    with paper.engine() as engine:  # the settings have not changed, so a start leaves a person's limit alone
        assert redis_client.hget(keys.LIMITS, "MaxStakePerOrder") == "12.50"
        with pytest.raises(AssertionError, match="MAX_STAKE_PER_ORDER"):
            paper.trade(engine, "signal-1", size="12.51")


def test_a_share_says_its_per_cent_wherever_it_is_shown_or_set(paper: Console, redis_client: "redis.Redis") -> None:
    with paper.engine():
        pass
    meant = paper.run("limits", "set", "MaxRiskPerTradePercent=2")
    assert (meant.code, "for 2 % write 0.02" in meant.err) == (2, True)
    assert "MaxRiskPerTradePercent: 0.02 -> 0.03 (3 %)" in paper.run("limits", "set", "maxriskpertradepercent=3%").out
    assert redis_client.hget(keys.LIMITS, "MaxRiskPerTradePercent") == "0.03"
    found = paper.run_all(("limits", "status", "check", "limits set --help"))
    for command, said in (("limits", "0.03 (3 %)"), ("status", "0.03 (3 %)"), ("limits set --help", "is 2 % of it")):
        assert said in " ".join(found[command].out.split()), command
    assert "MaxRiskPerTradePercent 0.03 (3 %)" in found["check"].out


def test_halt_and_resume(paper: Console, redis_client: "redis.Redis") -> None:
    with paper.engine() as engine:
        assert redis_client.get(keys.TRADING_ENABLED) == "true"
        assert paper.run("halt", "--cancel", "--reason", "prices look wrong").code == 0
        with pytest.raises(AssertionError, match="TRADING_DISABLED"):
            paper.trade(engine, "signal-1")
        assert "by a person" in paper.run("status", "--json").json["trading"]["why_not"]
        reconciliation.poll(engine)  # a busy machine needs longer for three commands than a mark holds
        ran = paper.run("resume")
        assert (ran.code, ran.err) == (0, "")
        paper.trade(engine, "signal-2")
    redis_client.delete(keys.RECONCILED)
    redis_client.hset(keys.LIMITS, "MaxDailyLoss", "-1")
    ran = paper.run("resume")
    assert ran.code == 0
    assert "not reconciled" in ran.err
    assert "MaxDailyLoss must be" in ran.err


def test_status_says_why_nothing_is_traded(paper: Console, redis_client: "redis.Redis") -> None:
    assert "first complete poll decides" in paper.run("status").out
    with paper.engine() as engine:
        for number in range(5):
            redis_client.zadd(keys.FAILED_ORDERS, {f"order-{number}": engine.store.now() / 1000})
        assert engine.controls.trip_breaker(5, 600)
        state = paper.run("status", "--json").json
        assert state["breaker"]["open"]
        assert "circuit breaker tripped at" in state["trading"]["why_not"]
        assert paper.run("resume").code == 0
        assert not redis_client.exists(keys.BREAKER)
        assert paper.run("status", "--json").json["trading"]["enabled"]
    redis_client.delete(keys.TRADING_ENABLED)
    assert "never enabled, or state was lost" in " ".join(paper.run("status").out.split())


def test_limits_that_cannot_be_converted_are_said_to_keep_everything_from_being_placed(paper: Console) -> None:
    with paper.engine():
        pass
    ran = paper.but(EXECUTOR_RISK__CURRENCY="GBP").run_all(("status", "check", "resume"))
    for shown in (ran["status"].out, ran["check"].out, ran["resume"].out + ran["resume"].err):
        assert "the account's currency has not been read: nothing is placed" in " ".join(shown.split())
    assert "rates: " in ran["check"].out
    assert "take EXECUTOR_RISK__CURRENCY away" in ran["check"].out
    assert "rates: " not in paper.run("check").out


def test_paper_positions_end_when_a_person_says_so(paper: Console) -> None:
    with paper.engine() as engine:
        kept = paper.trade(engine, "signal-1", market=OTHER)
        cleared = paper.trade(engine, "signal-2")
        metrics = paper.folder / "metrics"
        metrics.mkdir()
        ran = paper.but(PROMETHEUS_MULTIPROC_DIR=str(metrics)).run("paper", "clear", MARKET)
        assert (ran.code, ran.out) == (0, "1 paper positions ended\n")
        assert list(metrics.iterdir()) == []  # a worker's counters are the worker's
        statuses = {order.order_id: order.status for order in engine.store.orders([kept, cleared])}
        assert statuses == {kept: "MATCHED", cleared: "SETTLED"}
        assert paper.run("paper", "clear").out == "1 paper positions ended\n"


def test_send_publishes_every_signal_as_it_is_written_or_none(paper: Console, redis_client: "redis.Redis") -> None:
    exact = json.dumps(message("signal-1", price=3), indent=1).replace(": 3,", ": 3.00,")
    assert "3.00" in exact
    with redis_client.pubsub() as heard:  # type: ignore[no-untyped-call]
        heard.subscribe(keys.STRATEGY_SIGNALS, keys.SUREBET_SIGNALS)
        for _ in range(2):
            heard.get_message(timeout=5)
        bad = {"[": "no end", f"[{exact}] x": "after the array"}
        bad |= {"": "empty", f"[{exact}, {{}}]": "signal 2: marketId"}
        for number, text in enumerate(bad):
            (paper.folder / f"{number}.json").write_text(text, encoding="utf-8")
        found = paper.run_all([f"send --door pubsub {number}.json" for number in range(len(bad))])
        for ran, why in zip(found.values(), bad.values(), strict=True):
            assert ran.code == 1
            assert why in ran.err
        assert heard.get_message(timeout=0.1) is None
        mixed = f"{exact}\n{json.dumps(json.loads(SUREBET))}\n"
        ran = paper.run("send", "--door", "pubsub", "-", stdin=mixed)
        assert ran.code == 0
        assert [line.partition(": ")[2] for line in ran.out.splitlines()] == [
            f"heard by 1 on {keys.STRATEGY_SIGNALS}",
            f"heard by 1 on {keys.SUREBET_SIGNALS}",
        ]
        first, second = (heard.get_message(timeout=5) for _ in range(2))
        assert (first["channel"], first["data"]) == (keys.STRATEGY_SIGNALS, exact)
        assert json.loads(second["data"], parse_float=Decimal) == json.loads(SUREBET, parse_float=Decimal)
    unheard = paper.run("send", "--door", "pubsub", "--channel", keys.STRATEGY_SIGNALS, "-", stdin=f"[{exact}]")
    assert unheard.code == 1
    assert "heard by nobody" in unheard.err


def test_send_keeps_signals_where_a_bridge_finds_them(paper: Console, redis_client: "redis.Redis") -> None:
    exact = json.dumps(message("signal-1", price=3), indent=1).replace(": 3,", ": 3.00,")
    ran = paper.run("send", "-", stdin=f"[{exact}, {SUREBET}, {{}}]")
    assert (ran.code, redis_client.xlen(keys.SIGNALS)) == (1, 0)
    ran = paper.run("send", "-", stdin=f"[{exact}, {SUREBET}]")
    assert ran.code == 1
    assert "no bridge is alive" in ran.err
    entries: Any = redis_client.xrange(keys.SIGNALS)
    assert [line.rpartition(" ")[2] for line in ran.out.splitlines()] == [entry for entry, _ in entries]
    assert [fields["kind"] for _, fields in entries] == ["strategy", "surebet"]
    assert entries[0][1]["payload"] == exact
    redis_client.set(keys.heartbeat("bridge:here:1"), "now", ex=30)
    assert paper.run("send", "-", stdin=exact).code == 0


def test_the_example_is_sent_again_into_a_market_of_its_own(paper: Console, redis_client: "redis.Redis") -> None:
    example = Path(__file__).parents[2] / "docs" / "examples" / "signal.json"
    for _ in range(2):
        paper.run("send", "--new-id", "--market", "new", str(example))
    paper.run("send", "--new-id", "--market", "1.5", str(example))
    entries = cast("list[tuple[str, dict[str, str]]]", redis_client.xrange(keys.SIGNALS))
    sent = [json.loads(fields["payload"]) for _, fields in entries]
    first, second, third = (signal["marketId"] for signal in sent)
    assert len({first, second, "1.999999"}) == 3
    assert third == "1.5"
    assert {json.dumps({**signal, "marketId": "", "signalId": ""}, sort_keys=True) for signal in sent} == {
        json.dumps({**json.loads(example.read_text()), "marketId": "", "signalId": ""}, sort_keys=True)
    }


@pytest.mark.parametrize("door", [(), ("--door", "pubsub")])
def test_what_is_known_is_said_and_not_sent_again(
    paper: Console, redis_client: "redis.Redis", door: tuple[str, ...]
) -> None:
    known, fresh = json.dumps(message("known")), json.dumps(message("fresh"))
    redis_client.set(keys.heartbeat("bridge:here:1"), "now", ex=30)
    with paper.engine() as engine:
        for kind, raw in ((SignalKind.STRATEGY, known), (SignalKind.SUREBET, SUREBET)):
            receive(wiring.intake(paper.settings), kind, raw.encode(), engine.store.now(), "test:1:bridge")
    with redis_client.pubsub() as heard:  # type: ignore[no-untyped-call]
        heard.subscribe(keys.STRATEGY_SIGNALS, keys.SUREBET_SIGNALS)
        ran = paper.run("send", *door, "-", stdin=f"[{known}, {fresh}, {SUREBET}]")
        sent = [body["data"] for body in iter(lambda: heard.get_message(timeout=1), None) if body["type"] == "message"]
    assert ran.code == 1
    assert "known: known already: RECEIVED since " in ran.err
    assert "2 of 3 signals are known already, and were not sent: an id is executed once" in ran.err
    kept: Any = redis_client.xrange(keys.SIGNALS)
    assert [*sent, *(fields["payload"] for _, fields in kept)] == [fresh]


def test_send_signs_what_it_sends(paper: Console, redis_client: "redis.Redis") -> None:
    publishers = Keys(paper.folder)
    publishers.add("ed")
    redis_client.set(keys.heartbeat("bridge:here:1"), "now", ex=30)
    dated = json.dumps({**message("dated"), "timestamp": "2026-01-02T03:04:05Z"})
    ran = paper.run("send", "--key", "ed.jwk", "-", stdin=f" {json.dumps(message('undated'))} {dated}")
    assert ran.code == 0, ran.err
    undated, exact = (fields["payload"].encode() for _, fields in cast("Any", redis_client.xrange(keys.SIGNALS)))
    opened = publishers.checker(required=True).open(undated, 0)
    assert opened.key_id == "ed"
    sent = parse_signal(SignalKind.STRATEGY, opened.payload).sent_at
    assert sent is not None
    assert abs(sent.timestamp() - redis_client.time()[0]) < 60
    assert publishers.checker().open(exact, 0).payload == dated.encode()
    ran = paper.run("send", "--key", "keys.json", "-", stdin=dated)
    assert ran.code == 1
    assert "keys.json" in ran.err


def test_what_became_of_a_signal_that_never_was_an_order(paper: Console) -> None:
    with paper.engine() as engine:
        order_id = paper.trade(engine, "signal-1")
        raw = json.dumps(message("large", size=150)).encode()
        record = receive(wiring.intake(paper.settings), SignalKind.STRATEGY, raw, engine.store.now(), "test:1:bridge")
        assert record is not None
        under_way = paper.run("signals", "--json", "large")
        validation.validate(engine, record.signal_id, record.market_id)
        accounting.write_ledger(engine)
    assert [(row["status"], row["finished_at"]) for row in under_way.json] == [("RECEIVED", None)]
    found = paper.run_all(("signals", "signals --json", "signals signal-1 --json", "signals large nobodys"))
    assert fits(found["signals"].out)
    assert "Stake 150 exceeds max per order 100" in found["signals"].out
    newest, oldest = found["signals --json"].json
    assert (newest["signal_id"], newest["status"], newest["reason"]) == ("large", "REJECTED", "MAX_STAKE_PER_ORDER")
    assert (oldest["signal_id"], oldest["status"]) == ("signal-1", "COMPLETED")
    (named,) = found["signals signal-1 --json"].json
    assert named == {**oldest, "order_ids": [order_id], "moved": ""}
    assert found["signals large nobodys"].code == 1
    assert "nobodys: no such signal" in found["signals large nobodys"].err
    assert "exceeds max per order" in found["signals large nobodys"].out


def test_reading_leaves_a_folder_as_it_is(paper: Console) -> None:
    found = paper.run_all(("trades --json", "signals --json", "status", "check"))
    assert {command: ran.code for command, ran in found.items() if ran.code} == {}
    assert found["trades --json"].json == found["signals --json"].json == []
    assert list(paper.folder.iterdir()) == []
