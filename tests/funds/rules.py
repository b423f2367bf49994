"""Rules that check the account's funds and nothing else, and a Redis where trading is on."""

from dataclasses import replace

import redis
from support.factories import LIMITS, make_rules
from support.trading_rig import IDENTITY

from executor import keys
from executor.domain.risk import Rules


def only_funds() -> Rules:
    """Return them."""
    return replace(make_rules(), enabled=False, check_funds=True)


def make_ready(client: "redis.Redis") -> None:
    """Let trading be possible once the first poll is complete."""
    client.set(keys.IDENTITY, IDENTITY)
    client.set(keys.TRADING_ENABLED, "true")
    client.set(keys.STARTED, "1")
    for field, value in LIMITS.items():
        client.hset(keys.LIMITS, field, value)
