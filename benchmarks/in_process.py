"""The engine's steps by themselves, in a process of their own with the settings of its environment.

`python -m benchmarks.in_process decision FINISHED MARKETS IN_MARKET COUNT` and `... poll FINISHED COUNT` write one line
of JSON: lists of milliseconds. Orders are put into Redis through the store's own commit, so that every index is as the
engine leaves it.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import count
from typing import Any, Final

from executor import keys, wiring
from executor.adapters.redis.client import connect
from executor.domain.money import Side
from executor.domain.order import Order, OrderStatus
from executor.domain.risk import Reason
from executor.domain.signal import SignalKind
from executor.engine import limits, reconciliation
from executor.engine.engine import Engine, Step, Submission
from executor.engine.intake import receive
from executor.engine.placement import put_back, release
from executor.engine.validation import validate
from executor.observability import exporter
from executor.observability.logs import configure_logging
from executor.ports import Change

_WARM: Final = 20
_TURN: Final = 10  # decisions in a row, then as many bare loops, and so on: both meet the same machine, equally warm
_RECONCILE_S: Final = 5.0  # as beat does: without it nothing is accepted after 20 s
_PER_COMMIT: Final = 50
_FINISHED_MARKETS: Final = 100


def main(words: list[str]) -> None:
    """Run one case."""
    mode, *numbers = words
    settings = wiring.get_settings()
    exporter.prepare(settings.data_dir, 0)
    configure_logging(settings, process="bench")
    wiring.claim(settings)
    engine = wiring.get_engine()
    limits.apply_limits(engine, missing_only=False)
    engine.exchange.prepare()
    reconciliation.poll(engine)
    cases: dict[str, Callable[..., dict[str, list[float]]]] = {"decision": decision, "poll": poll}
    sys.stdout.write(json.dumps(cases[mode](engine, *map(int, numbers))) + "\n")


def decision(engine: Engine, finished: int, markets: int, in_market: int, number: int) -> dict[str, list[float]]:
    """Time decisions and bare loops in turns; a turn's orders are in the market together, then released, untimed."""
    names = [f"1.{300_000_000 + at}" for at in range(markets)]
    _finish(engine, finished, names[0])
    for name in names:
        _put(engine, [_order(engine, name, f"live-{name}-{at}", OrderStatus.MATCHED) for at in range(in_market - 1)])
    intake = wiring.intake(wiring.get_settings())
    bare = _bare_loop(wiring.get_settings().redis.url)
    found: dict[str, list[float]] = {"decision": [], "bare": []}
    reconciled = -_RECONCILE_S
    for turn in range((number + _WARM) // _TURN):
        if time.monotonic() - reconciled > _RECONCILE_S:
            reconciliation.poll(engine)
            reconciled = time.monotonic()
        batch = [(f"decide-{at}", names[at % markets]) for at in range(turn * _TURN, (turn + 1) * _TURN)]
        for name, market in batch:
            if receive(intake, SignalKind.STRATEGY, _message(name, market), engine.store.now(), "bench") is None:
                raise RuntimeError("the signal was not new")
        submissions = []
        for name, market in batch:
            begun = time.perf_counter()
            step = validate(engine, name, market, submit=True)  # as in a chain: what it leaves is sent behind it
            found["decision"].append((time.perf_counter() - begun) * 1000)
            submissions.append(_accepted(step))
        for submission, (name, market) in zip(submissions, batch, strict=True):
            put_back(engine, submission)
            release(engine, name, market, Reason.TRADING_DISABLED, "only measured")
        for _ in range(_TURN):
            begun = time.perf_counter()
            next(bare)
            found["bare"].append((time.perf_counter() - begun) * 1000)
    return {name: values[_WARM:] for name, values in found.items()}


def _accepted(step: Step) -> Submission:
    if step.submission is None:
        raise RuntimeError(f"the signal was {step.verdict}")
    return step.submission


def poll(engine: Engine, finished: int, number: int) -> dict[str, list[float]]:
    """Time whole cycles; what the exchange holds was put there before, and is adopted by the first of them."""
    _finish(engine, finished, "1.300000000")
    reconciliation.poll(engine)
    found: dict[str, list[float]] = {"poll": [], "active": []}
    for _ in range(number):
        begun = time.perf_counter()
        report = reconciliation.poll(engine)
        found["poll"].append((time.perf_counter() - begun) * 1000)
        found["active"].append(report.active)
    return found


def _bare_loop(url: str) -> Iterator[None]:
    client: Any = connect(url)
    digest = client.script_load("return 1")
    for _ in count():
        client.hgetall(keys.LIMITS)
        client.evalsha(digest, 0)
        yield


def _finish(engine: Engine, number: int, market: str) -> None:
    """Leave finished orders behind: a tenth of them in the market itself, the rest in a hundred others."""
    here = number // 10
    _put(engine, [_order(engine, market, f"done-{at}", OrderStatus.SETTLED) for at in range(here)])
    for other in range(_FINISHED_MARKETS):
        name = f"1.{400_000_000 + other}"
        ids = range(here + other, number, _FINISHED_MARKETS)
        _put(engine, [_order(engine, name, f"done-{at}", OrderStatus.SETTLED) for at in ids])


def _put(engine: Engine, orders: list[Order]) -> None:
    for start in range(0, len(orders), _PER_COMMIT):
        some = orders[start : start + _PER_COMMIT]
        # First as they were in life, so that whatever is kept of living orders is taken away again.
        alive = [replace(order, status=OrderStatus.MATCHED, finished_at=0, settled_at=0) for order in some]
        for orders_now in (alive, some) if some[0].status is OrderStatus.SETTLED else (alive,):
            if not engine.store.commit(engine.store.view(some[0].market_id), Change(orders=orders_now)):
                raise RuntimeError("somebody else writes here")


def _order(engine: Engine, market: str, name: str, status: OrderStatus) -> Order:
    now = engine.store.now()
    size = Decimal(2)
    return Order(
        order_id=name,
        signal_id=f"of-{name}",
        leg=1,
        market_id=market,
        selection_id=1,
        side=Side.BACK,
        price=Decimal(3),
        size=size,
        strategy="bench",
        created_at=now,
        received_at=now,
        timeout_s=30,
        status=status,
        bet_id=f"b-{name}",
        size_matched=size,
        average_price_matched=Decimal(3),
        submitted_at=now,
        answered_at=now,
        placed_at=now,
        matched_at=now,
        finished_at=now,
        settled_at=now,
        trade_count=1,
    )


def _message(signal_id: str, market: str) -> bytes:
    bet = {"selectionId": 2, "recommendedOdds": 3, "stake": 2, "betType": "Back"}
    return json.dumps(
        {"signalId": signal_id, "marketId": market, "strategy": "bench", "validityWindow": 300, "primarySelection": bet}
    ).encode()


if __name__ == "__main__":
    main(sys.argv[1:])
