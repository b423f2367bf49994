"""The messages out, from the channels and from the accounting feed, in the order in which they are read.

Reads only. Invariant: a server that is no longer the master is left, as what happens is not published there.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

from redis import Redis

from executor import keys
from executor.adapters.redis.client import store_errors
from executor.adapters.redis.topology import MasterWatch

_CHANNELS: Final = {
    keys.ORDER_UPDATES: "order",
    keys.KILL_SWITCH: "trading",
    keys.ALERT_UPDATES: "alert",
}
_ENTRIES: Final = {"fill": "fill", "void": "fill", "settlement": "settlement"}
_WAIT_S: Final = 0.1


class RedisUpdates:
    """The messages of one Redis db; each `follow` has a connection of its own."""

    def __init__(self, connect: Callable[[], "Redis"]) -> None:
        self._connect = connect

    def follow(self, wanted: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        """Yield the name and the JSON text of what happens from now on.

        Raises:
            StoreUnavailable: Redis is away; what happens meanwhile is not told later.
        """
        with store_errors(), self._connect() as client, client.pubsub() as pubsub:
            pubsub.subscribe(*_CHANNELS)
            last, watch = _last_id(client), MasterWatch(client.connection_pool)
            while wanted() and not watch.has_left(pubsub.connection):
                message = pubsub.get_message(ignore_subscribe_messages=True, timeout=_WAIT_S)
                if message is not None:
                    yield _CHANNELS[message["channel"]], message["data"]
                    continue
                found = cast("list[Any]", client.xread({keys.TRADES: last}, count=100) or [])
                for entry, fields in found[0][1] if found else ():
                    last = entry
                    yield _kind(fields), json.dumps(fields)


def _kind(fields: Mapping[str, str]) -> str:
    kind = fields.get("type", "?")
    return _ENTRIES.get(kind, kind)


def _last_id(client: "Redis") -> str:
    newest = cast("list[Any]", client.xrevrange(keys.TRADES, count=1))
    return str(newest[0][0]) if newest else "0"
