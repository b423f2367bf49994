"""One of many processes that decide on the same signals at once, on a real Redis: `racer.py URL SEED SIGNALS [net]`."""

import random
import sys

from executor.adapters.clock import SystemClock
from executor.adapters.redis.client import connect
from executor.adapters.redis.store import RedisStore, Retention, Sums
from executor.engine.engine import Engine
from executor.engine.placement import place
from executor.engine.validation import validate
from executor.errors import Contended
from support.engine_rig import MARKET, make_policy
from support.factories import make_rules
from support.fakes import CountingTelemetry, FrozenClock, ScriptedExchange
from support.memory_ledger import MemoryLedger
from support.memory_redis import Memory, MemoryAlerts
from support.redis_ports import RedisPorts

SENT = "sent: "  # how the lines about calls to the exchange begin; the log has its own


def main(url: str, seed: str, count: str, counting: str = "sum") -> None:
    """Validate and place every signal, in an order of our own, again and again where others were faster."""
    client = connect(url)
    netting = counting == "net"
    policy = make_policy(rules=make_rules(netting=netting))
    exchange = ScriptedExchange(FrozenClock())
    engine = Engine(
        store=RedisStore(client, policy.identity, Retention(3600, 3600, 600), Sums(netting=netting)),
        **vars(RedisPorts.on(client, client, policy.identity)),
        exchange=exchange,
        ledger=MemoryLedger(),
        clock=SystemClock(),
        telemetry=CountingTelemetry(),
        policy=policy,
        alerts=MemoryAlerts(Memory()),
    )
    signals = [f"signal-{at}" for at in range(int(count))]
    random.Random(seed).shuffle(signals)  # noqa: S311 - a seeded order
    for step in (validate, place):
        for signal_id in signals:
            while True:
                try:
                    step(engine, signal_id, MARKET)
                    break
                except Contended:
                    continue
    for call in exchange.called("place"):
        sys.stdout.write(f"{SENT}{call}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
