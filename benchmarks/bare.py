"""The bare script: one process that hears a signal and posts the bet, as a person's first version does.

No queue, no record, no check: what one message and one request cost. It makes the floor's request over
the floor's kept connection. `subscriber` is the process; it reads the BENCH_* variables that `benchmarks.stack` sets.
"""

import json
from typing import Final

import redis

from benchmarks import floor

CHANNEL: Final = "bench:bare-signals"


def subscriber() -> None:
    """Post a bet for every message, until killed."""
    listening = redis.Redis.from_url(floor.app.conf.broker_url).pubsub()  # type: ignore[no-untyped-call]
    listening.subscribe(CHANNEL)
    for message in listening.listen():
        if message["type"] == "message":
            signal = json.loads(message["data"])
            floor.send(signal["signalId"], signal["marketId"])
