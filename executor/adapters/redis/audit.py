"""What people and programs did, or were refused, on its way to the ledger.

Invariants: it has a feed of its own, so that who may say what he did can say nothing of trades; every text is cut to a
length, so that nobody fills the feed through it. Times ISO 8601 in UTC.
"""

from collections.abc import Mapping
from typing import Final

from redis import Redis

from executor import keys
from executor.adapters.redis.adapter import redis_time
from executor.adapters.redis.client import guarded, hash_of
from executor.domain.ledger_entry import Act, encode_entry

# Characters of each; what is longer tells nobody more.
FIELDS: Final = {"who": 128, "role": 32, "via": 16, "address": 64, "action": 64, "target": 256, "before": 2000,
                 "after": 2000, "outcome": 500}  # fmt: skip


@guarded
def append(client: "Redis", identity: str, act: Mapping[str, str]) -> None:
    """Put one act on the feed, dated by Redis; the ledger books it with the next batch."""
    texts = {name: act.get(name, "")[:most] for name, most in FIELDS.items()}
    entry = Act(at=redis_time(client), identity=identity, **texts)
    client.xadd(keys.AUDIT, hash_of(encode_entry(entry)))
