"""What this side and `flumine_peer`, which runs in a Python of its own, must agree on: names and references."""

import hashlib
from typing import Final

REDIS: Final = "BENCH_FLUMINE_REDIS"
CHANNEL_NAME: Final = "BENCH_FLUMINE_CHANNEL"
NAME: Final = "BENCH_FLUMINE_NAME"
CHANNEL: Final = "bench:flumine-signals"
STRATEGY: Final = "benchmark-bot"  # 13 characters, as flumine's own hash of a strategy's name
_DIGITS: Final = 18


def number(signal_id: str) -> str:
    """Return the number of a signal's order: flumine's are times in digits."""
    return str(int(hashlib.sha256(signal_id.encode()).hexdigest(), 16) % 10**_DIGITS).zfill(_DIGITS)


def reference(signal_id: str) -> str:
    """Name the one order of a signal at the exchange."""
    return f"{STRATEGY}-{number(signal_id)}"
