"""A backup is put back while the exchange knows better: nothing is placed before all is whole and a person resumes.

Real processes, deploy/backup.py as a person runs it. Afterwards the books are as if nothing had happened.
"""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.running_stack import RunningStack, until

from executor import keys, wiring

ROOT = Path(__file__).parents[2]
MARKETS = ("1.700", "1.701", "1.702")
OLDER_S = 63.0  # than what is taken for a crash's loss

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[RunningStack]:
    stack = RunningStack(tmp_path, {}, append_only=True)
    try:
        stack.start()
        for market in MARKETS:
            runner = {"selectionId": 1, "availableToBack": [[3.0, 1_000]], "availableToLay": []}
            stack.sandbox.control("markets", {"marketId": market, "runners": [runner]})
        yield stack
    finally:
        stack.stop()


def backup(stack: RunningStack, act: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    words = [
        sys.executable,
        str(ROOT / "deploy/backup.py"),
        act,
        str(folder),
        "--redis-dir",
        str(stack.folder / "redis"),
    ]
    return subprocess.run(
        words, env=stack.environ, cwd=stack.folder, capture_output=True, text=True, timeout=60, check=False
    )


def say(stack: RunningStack, name: str, market: str, odds: str = "3") -> None:
    leg = {"selectionId": "1", "recommendedOdds": odds, "stake": 2, "betType": "Back"}
    stack.publish({"signalId": name, "marketId": market, "strategy": "test", "primarySelection": leg})
    until(lambda: tick(stack) and status(stack, name) == "COMPLETED", 30, f"{name}: {status(stack, name)}")


def tick(stack: RunningStack) -> bool:
    stack.supervisor.tick()
    return True


def status(stack: RunningStack, name: str) -> str:
    text = stack.redis.get(keys.signal(name))
    return str(json.loads(str(text))["status"]) if text else "none"


def calls(stack: RunningStack) -> int:
    return len(stack.sandbox.journal("placeOrders"))


def end_all_but_the_exchange(stack: RunningStack, seconds: float) -> None:
    names = [name for name in stack.supervisor.names if name != "sandbox"]
    for name in names:
        stack.supervisor.hold(name, seconds)
        process = stack.supervisor.pid(name)
        if process is not None:
            subprocess.run(["kill", "-9", str(process)], check=True)
    until(lambda: tick(stack) and not any(map(stack.supervisor.pid, names)), 10, "they do not end")


def books(stack: RunningStack) -> dict[str, Any]:
    trades = json.loads(stack.executor("trades", "--json").stdout)
    return {str(row["bet_id"]): row["size"] for row in trades}


def test_a_backup_put_back_is_noticed_and_nothing_is_placed_until_a_person_resumes(stack: RunningStack) -> None:
    say(stack, "before", MARKETS[0])
    until(lambda: tick(stack) and len(books(stack)) == 1, 30, "the ledger")
    taken = stack.folder / "backup"
    done = backup(stack, "take", taken)
    assert done.returncode == 0, done.stderr
    assert backup(stack, "take", taken).returncode == 1, "one that is there is never written over"
    torn = shutil.copytree(taken, stack.folder / "torn")
    (torn / "ledger.db").write_bytes(b"torn")
    done = backup(stack, "restore", torn)
    assert (done.returncode, "ledger.db" in done.stderr) == (1, True), done.stderr
    began = time.monotonic()
    until(lambda: tick(stack) and time.monotonic() - began > OLDER_S, OLDER_S + 5, "")
    say(stack, "matched-since", MARKETS[1])
    say(stack, "open-since", MARKETS[2], odds="10")
    until(lambda: tick(stack) and len(books(stack)) == 2, 30, "the ledger")
    bets = {order["betId"]: order for order in stack.sandbox.orders()}
    booked = books(stack)

    assert backup(stack, "restore", taken).returncode == 1, "Redis answers"
    stack.redis.close()
    end_all_but_the_exchange(stack, 5)
    stack.server.stop()
    done = backup(stack, "restore", taken)
    assert done.returncode == 0, done.stderr
    stack.server.start()
    assert stack.redis.get(keys.TRADING_ENABLED) == "true", "the copy brings back that trading was on"
    assert status(stack, "matched-since") == "none"
    leg = {"selectionId": "1", "recommendedOdds": 3, "stake": 2, "betType": "Back"}
    placed = calls(stack)

    until(lambda: tick(stack) and stack.redis.get(keys.RECONCILED), 60, "the first poll")
    assert stack.redis.get(keys.TRADING_ENABLED) == "false"
    halted = stack.redis.hgetall(keys.HALTED)
    assert "backup" in halted["reason"], halted
    assert "backup" in stack.executor("status").stdout
    until(lambda: tick(stack) and wiring.state(stack.settings).read().reconciled, 30, "reconciled")
    until(lambda: tick(stack) and all(dict(stack.redis.pubsub_numsub(keys.STRATEGY_SIGNALS)).values()), 30, "a bridge")
    stack.publish({"signalId": "meanwhile", "marketId": MARKETS[0], "strategy": "test", "primarySelection": leg})
    until(lambda: tick(stack) and status(stack, "meanwhile") == "REJECTED", 30, status(stack, "meanwhile"))
    assert calls(stack) == placed

    until(lambda: tick(stack) and books(stack) == booked, 60, f"{books(stack)} is not {booked}")
    assert stack.executor("resume").returncode == 0
    say(stack, "after", MARKETS[0])
    assert calls(stack) == placed + 1
    refs = Counter(order["customerOrderRef"] for order in stack.sandbox.orders())
    assert max(refs.values()) == 1
    assert len(stack.sandbox.orders()) == len(bets) + 1
    until(lambda: tick(stack) and len(books(stack)) == len(booked) + 1, 30, "the ledger goes on")
