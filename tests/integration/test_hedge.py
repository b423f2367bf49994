"""A hedge from the breach to the ledger: real Redis, the sandbox over HTTPS, and whoever does it dies at every step."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from support.cli_rig import MARKET, Console, console
from support.console_rig import console_rig
from support.process_rig import Stack, message, running, wait
from support.sandbox_client import RunningSandbox

from betfair_sandbox.options import sandbox_env
from executor import keys
from executor.adapters.sql.ledger import SqlLedger
from executor.devstack.redis_server import PrivateRedis
from executor.domain.exposure import exposures
from executor.domain.signal_record import SignalRecord
from executor.engine.account import refresh_account
from executor.engine.accounting import write_ledger
from executor.engine.engine import Engine
from executor.engine.hedging import hedge, standing
from executor.engine.placement import place
from executor.engine.reconciliation import poll
from executor.engine.validation import validate

D = Decimal
POSITION = f"{MARKET}-1-LAY"
FIRST, SECOND = f"hedge-{POSITION}-1", f"hedge-{POSITION}-2"
SAID = f"selection 1 of market {MARKET} holds 190 of at most 200; lay 90 at 3.05"


class Killed(BaseException):
    """The process died."""


class Dies:
    """A port whose caller dies before or after it has done something."""

    def __init__(self, port: object, method: str, *, after: bool) -> None:
        self._port, self._method, self._after = port, method, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name != self._method:
            return found

        def dies(*args: object, **kwargs: object) -> None:
            if self._after:
                found(*args, **kwargs)
            raise Killed

        return dies


@pytest.fixture
def program(
    tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis", sandbox: RunningSandbox
) -> Console:
    del redis_client  # empties the db
    sandbox.market(MARKET, to_back=[[3, 500]], to_lay=[[3.05, 500]])
    return console(tmp_path, private_redis, {**sandbox_env(sandbox.directory), "EXECUTOR_HEDGE__MODE": "trade"})


@pytest.fixture
def engine(program: Console) -> Iterator[Engine]:
    with program.engine() as engine:
        yield engine


def breach(program: Console, engine: Engine, name: str, size: str = "95") -> None:
    """Take a position of 190, or what is missing to it."""
    for number in (1, 2):
        program.trade(engine, f"{name}-{number}", size=size)


def held(engine: Engine) -> Decimal:
    return exposures(engine.store.view(MARKET).orders.values(), matched_only=True)[1]


def lays(sandbox: RunningSandbox) -> list[Mapping[str, Any]]:
    return [order for order in sandbox.get("orders") if order["side"] == "LAY"]


def delivered(engine: Engine, signal_id: str) -> None:
    """Run the chain as a queue may that delivers each message twice."""
    for step in (validate, validate, place, place):
        step(engine, signal_id, MARKET)


def _hedged(engine: Engine) -> None:
    hedge(engine, lambda _: None)
    delivered(engine, FIRST)


def ticks(engine: Engine) -> list[str]:
    sent: list[SignalRecord] = []
    for _ in range(2):
        hedge(engine, sent.append)
    return [record.signal_id for record in sent]


KILLS: list[tuple[str, Callable[[Engine], Engine]]] = [
    (f"{'after' if after else 'before'} {port}.{method}",
     lambda engine, port=port, method=method, after=after:  # type: ignore[misc]
        replace(engine, **{port: Dies(getattr(engine, port), method, after=after)}))
    for port, method in [("hedges", "note"), ("store", "record"), ("hedges", "explain"), ("store", "commit")]
    for after in (False, True)
]  # fmt: skip
KILLS.append(("after the call", lambda engine: replace(engine, exchange=Dies(engine.exchange, "place", after=True))))


@pytest.mark.slow  # a second for each place
@pytest.mark.parametrize("kill", [kill for _, kill in KILLS], ids=[name for name, _ in KILLS])
def test_one_hedge_for_each_breach_wherever_its_process_dies(
    program: Console, engine: Engine, sandbox: RunningSandbox, kill: Callable[[Engine], Engine]
) -> None:
    breach(program, engine, "own")
    assert held(engine) == 190
    dying = kill(engine)
    with pytest.raises(Killed):
        _hedged(dying)
    ticks(engine)
    assert engine.store.signal(SECOND) is None
    delivered(engine, FIRST)
    poll(engine)  # finds what was sent by who died in mid-call
    delivered(engine, FIRST)
    assert ticks(engine) == []
    assert [(order["sizeMatched"], order["averagePriceMatched"]) for order in lays(sandbox)] == [(90, D("3.05"))]
    assert held(engine) == 100
    write_ledger(engine)
    acts = [act for act in engine.ledger.acts(engine.policy.identity, 10) if act["action"] == "hedge"]  # type: ignore[attr-defined]
    assert {(act["target"], act["after"], act["outcome"]) for act in acts} == {(POSITION, FIRST, SAID)}


def test_the_next_breach_is_another_hedge(program: Console, engine: Engine, sandbox: RunningSandbox) -> None:
    breach(program, engine, "own")
    assert ticks(engine) == [FIRST]
    delivered(engine, FIRST)
    breach(program, engine, "more", size="45")
    assert held(engine) == 190
    assert ticks(engine) == [SECOND]
    delivered(engine, SECOND)
    assert ticks(engine) == []
    assert [order["sizeMatched"] for order in lays(sandbox)] == [90, 90]
    assert held(engine) == 100


def test_it_waits_for_a_market_that_is_suspended_and_for_a_price_that_has_gone(
    program: Console, engine: Engine, sandbox: RunningSandbox
) -> None:
    breach(program, engine, "own")
    sandbox.control("markets", marketId=MARKET, status="SUSPENDED")
    assert ticks(engine) == []
    assert "the market is SUSPENDED" in standing(engine)[0]
    sandbox.control("markets", marketId=MARKET, status="OPEN")
    sandbox.control("markets", marketId=MARKET, runners=[{"selectionId": 1, "availableToLay": [[3.2, 500]]}])
    assert ticks(engine) == []
    assert "4 ticks worse than the last 3, 3 at most" in standing(engine)[0]
    sandbox.control("markets", marketId=MARKET, runners=[{"selectionId": 1, "availableToLay": [[3.1, 500]]}])
    sent: list[SignalRecord] = []
    hedge(engine, sent.append)
    assert [record.signal_id for record in sent] == [FIRST]
    assert standing(engine) == []
    assert lays(sandbox) == []


@pytest.mark.slow
def test_the_command_says_what_it_would_do_and_does_nothing(
    program: Console, engine: Engine, sandbox: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    idle = program.run("hedge", "--dry-run")
    assert (idle.code, idle.out) == (
        0,
        "nothing is due: no selection holds more than 90% of MaxExposurePerSelection\n",
    )
    breach(program, engine, "own")
    before = {key: redis_client.dump(key) for key in redis_client.scan_iter("*") if key.startswith(("signal", "order"))}
    ran = program.run("hedge", "--dry-run")
    assert (ran.code, ran.out, ran.err) == (0, f"{SAID}\n", "")
    found = program.run("hedge", "--dry-run", "--json").json
    assert found == {
        "mode": "trade",
        "plans": [
            {"market_id": MARKET, "selection_id": 1, "exposure": "190.00", "limit": "200", "side": "LAY",
             "price": "3.05", "size": "90.00", "waits": None, "explanation": SAID},
        ],
    }  # fmt: skip
    redis_client.set(keys.TRADING_ENABLED, "false")
    halted = program.run("hedge", "--dry-run")
    assert (halted.code, halted.out) == (0, f"{SAID.partition(';')[0]}; it waits: trading is halted\n")
    bare = program.run("hedge")
    assert (bare.code, "--dry-run" in bare.err) == (1, True)
    after = {key: redis_client.dump(key) for key in redis_client.scan_iter("*") if key.startswith(("signal", "order"))}
    assert (after, lays(sandbox), redis_client.hgetall(keys.HEDGES)) == (before, [], {})
    away = program.but(EXECUTOR_BETFAIR__API_URL="https://127.0.0.1:1").run("hedge", "--dry-run")
    assert away.code in (0, 1)
    assert "Traceback" not in away.err


def test_log_ledger_and_console_explain_it(
    tmp_path: Path,
    private_redis: PrivateRedis,
    redis_client: "redis.Redis",
    sandbox: RunningSandbox,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sandbox.market(MARKET, to_back=[[3, 500]], to_lay=[[3.05, 500]])
    settings = {**sandbox_env(sandbox.directory), "EXECUTOR_HEDGE__MODE": "trade"}
    with console_rig(tmp_path, private_redis, settings) as rig:
        breach(rig.program, rig.engine, "own")
        assert ticks(rig.engine) == [FIRST]
        assert SAID in capsys.readouterr().out
        delivered(rig.engine, FIRST)
        rig.book()
        [act] = [act for act in rig.console.access.ledger.acts(rig.engine.policy.identity, 20) if act["who"] == "hedge"]
        assert (act["action"], act["target"], act["after"], act["outcome"]) == ("hedge", POSITION, FIRST, SAID)
        browser = rig.person("vic")
        assert SAID in browser.get("/audit").text
        assert SAID in browser.get(f"/signals/{FIRST}").text
        page = browser.get("/hedges").text
        assert SAID in page
        assert "Nothing is due" in page, "it is hedged"
        [told] = [act for act in browser.get("/api/audit").json()["items"] if act["action"] == "hedge"]
        assert told["outcome"] == SAID
    del redis_client


def test_the_console_says_what_would_be_done_now(
    tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis", sandbox: RunningSandbox
) -> None:
    sandbox.market(MARKET, to_back=[[3, 500]], to_lay=[[3.05, 500]])
    with console_rig(tmp_path, private_redis, sandbox_env(sandbox.directory)) as rig:  # mode off
        refresh_account(rig.engine)
        browser = rig.person("vic")
        empty = browser.get("/hedges").text
        assert "No position was ever due" in empty
        assert "executor hedge --dry-run" in empty
        breach(rig.program, rig.engine, "own")
        rig.console.cache.clear()
        page = browser.get("/hedges").text
        assert "nothing is hedged; set EXECUTOR_HEDGE__MODE" in page
        assert SAID in page
        found = browser.get("/api/hedges").json()
        assert (found["mode"], found["problem"], found["positions"]) == ("off", None, [])
        assert [(plan["size"], plan["price"], plan["waits"]) for plan in found["now"]] == [("90.00", "3.05", None)]
        sandbox.control("markets", marketId=MARKET, status="SUSPENDED")
        rig.console.cache.clear()
        assert "the market is SUSPENDED" in browser.get("/hedges").text
        for path in ("/", "/markets", f"/markets/{MARKET}", "/orders", "/pnl", "/limits", "/hedges", "/signals/own-1"):
            assert '<span class="unit">GBP</span>' in browser.get(path).text, path
        assert lays(sandbox) == []
    del redis_client


# --- whole processes ---


@pytest.fixture
def stack(tmp_path: Path, sandbox: RunningSandbox) -> Iterator[Stack]:
    sandbox.market(MARKET, to_back=[[3, 500]], to_lay=[[3.05, 500]])
    with running(tmp_path, **sandbox_env(sandbox.directory), EXECUTOR_HEDGE__MODE="trade") as stack:
        yield stack


def _queued(stack: Stack, queue: str) -> str:
    return wait(lambda: [raw for raw in stack.waiting(queue) if FIRST in raw])[0]


@pytest.mark.slow
def test_workers_killed_between_all_steps_leave_one_hedge(stack: Stack, sandbox: RunningSandbox) -> None:
    worker = stack.worker()
    stack.bridge()
    for number in (1, 2):
        stack.publish(message(f"own-{number}", MARKET, stake=95))
        assert stack.ended(f"own-{number}").status == "COMPLETED"
    worker.kill()

    worker = stack.worker("-Q", "maintenance")
    stack.tick("hedge_exposure")
    risk = _queued(stack, "signals")
    worker.kill()
    stack.broker.lpush("signals", risk, risk)
    worker = stack.worker("-Q", "signals")
    _queued(stack, "orders")
    worker.kill()
    sandbox.control("faults", method="placeOrders", kind="delay", seconds=2)
    worker = stack.worker("-Q", "orders")
    wait(lambda: [call for call in sandbox.journal("placeOrders") if '"LAY"' in json.dumps(call["params"])])
    worker.kill()

    worker = stack.worker()
    stack.redeliver()
    stack.tick("hedge_exposure", "poll_orders", "hedge_exposure")
    wait(lambda: _tick(stack, FIRST))
    stack.tick("hedge_exposure", "hedge_exposure", "write_ledger")
    with closing(SqlLedger(f"sqlite:///{stack.folder}/data/ledger.db")) as ledger:
        identity = str(stack.state.get(keys.IDENTITY))
        wait(lambda: [act for act in ledger.acts(identity, 20) if act["action"] == "hedge"])
        [act] = [act for act in ledger.acts(identity, 20) if act["action"] == "hedge"]
    assert (act["after"], act["outcome"]) == (FIRST, SAID)
    wait(lambda: not stack.waiting("maintenance") and not stack.unacknowledged())
    assert [signal.signal_id for signal in stack.signals() if signal.strategy == "hedge"] == [FIRST]
    assert [(order["sizeMatched"], order["customerOrderRef"]) for order in lays(sandbox)] == [
        (90, stack.orders(FIRST)[0].order_id)
    ]
    logs = "".join(process.log.read_text(errors="replace") for process in stack.processes)
    assert sum('"hedge_sent"' in line for line in logs.splitlines()) == 1


def _tick(stack: Stack, signal_id: str) -> bool:
    stack.tick("poll_orders")
    record = stack.signal(signal_id)
    return record is not None and record.status == "COMPLETED"
