"""Refused cancels in Redis: they wait, twice as long after each refusal, over any restart.

Invariant: a value that cannot be read waits for nothing. Times in milliseconds of Redis TIME.
"""

import json
from collections.abc import Collection, Mapping
from typing import Final, cast

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded, hash_of
from executor.domain.times import hour
from executor.ports import RefusedCancel

FIRST_MS: Final = 5_000  # contract section 6: 5 s doubling to 5 min
LONGEST_MS: Final = 300_000
_HOURS_S: Final = 2 * 3600  # of a clock hour's count: it is over by then


def wait_ms(times: int) -> int:
    """Return how long a cancel waits after so many refusals in a row."""
    return int(min(FIRST_MS * 2 ** min(times - 1, 10), LONGEST_MS))


class RedisCancelAttempts(RedisAdapter):
    """`CancelAttempts` on one Redis db."""

    @guarded
    def refused(self, codes: Mapping[str, str], *, failed: int) -> list[RefusedCancel]:
        """Remember refusals, each waiting twice as long as the one before; returns how they stand."""
        now = self._now()
        held = {attempt.bet_id: attempt for attempt in self._read()}
        after: list[RefusedCancel] = []
        for bet_id, code in codes.items():
            times = held[bet_id].times + 1 if bet_id in held else 1
            after.append(RefusedCancel(bet_id, code, times, now + wait_ms(times)))
        pipe = self._redis.pipeline(transaction=True)
        if after:
            texts = {
                attempt.bet_id: json.dumps({"code": attempt.code, "times": attempt.times, "next": attempt.next_at})
                for attempt in after
            }
            pipe.hset(keys.CANCELS_REFUSED, mapping=hash_of(texts))
        if failed:
            pipe.incrby(keys.transactions(hour(now)), failed)
            pipe.expire(keys.transactions(hour(now)), _HOURS_S)
        pipe.execute()
        return after

    @guarded
    def standing(self) -> list[RefusedCancel]:
        """Return all that were refused and have not ended since."""
        return self._read()

    @guarded
    def forget(self, bet_ids: Collection[str]) -> None:
        """Say that these have ended, or were cancelled."""
        if bet_ids:
            self._redis.hdel(keys.CANCELS_REFUSED, *bet_ids)

    def _read(self) -> list[RefusedCancel]:
        found: list[RefusedCancel] = []
        for bet_id, text in cast("dict[str, str]", self._redis.hgetall(keys.CANCELS_REFUSED)).items():
            try:
                value = json.loads(text)
                found.append(RefusedCancel(bet_id, str(value["code"]), int(value["times"]), int(value["next"])))
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                continue
        return found
