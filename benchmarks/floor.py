"""The floor: a bare three-task Celery chain that does nothing but send the same bet to the same exchange.

Its second task makes the placeOrders request that the engine makes; no record, no check, no durability. Concurrency,
serializer, prefetch and acknowledgement are `celeryconfig`'s; everything else is Celery's default, its pool of
processes and the order in which its queues are read among it.

`bridge` is its bridge; `celery -A benchmarks.floor worker` its worker. Both read BENCH_* variables that
`benchmarks.stack` sets.
"""

import hashlib
import json
import os
import threading
from typing import Any, Final

import redis
import requests
from celery import Celery, chain
from kombu.entity import Exchange, Queue

import celeryconfig

BROKER: Final = "BENCH_FLOOR_BROKER"
API_URL: Final = "BENCH_FLOOR_API_URL"
CA: Final = "BENCH_FLOOR_CA"
APP_KEY: Final = "BENCH_FLOOR_APP_KEY"
TOKEN: Final = "BENCH_FLOOR_TOKEN"  # noqa: S105 - a variable's name
CHANNEL: Final = "bench:floor-signals"
QUEUES: Final = ("floor-first", "floor-second", "floor-third")
STRATEGY: Final = "floor"  # not ours: the engine's poll would adopt its bets

_SAME: Final = (
    "accept_content",
    "task_acks_late",
    "task_ignore_result",
    "task_serializer",
    "worker_concurrency",
    "worker_disable_prefetch",
    "worker_prefetch_multiplier",
)
_EXCHANGE: Final = Exchange("floor", type="direct", durable=True)

app: Final = Celery("floor")
app.conf.update({name: getattr(celeryconfig, name) for name in _SAME})
_transport: Final = {**celeryconfig.broker_transport_options, "queue_order_strategy": "round_robin"}  # Celery's own
app.conf.update(
    broker_url=os.environ.get(BROKER, ""),
    broker_connection_retry_on_startup=True,
    broker_transport_options=_transport,
    task_queues=tuple(Queue(name, _EXCHANGE, routing_key=name, durable=True) for name in QUEUES),
    task_routes={f"floor.{name.removeprefix('floor-')}": {"queue": name} for name in QUEUES},
)


class _Line(threading.local):
    """A thread's connection to the exchange."""

    session: requests.Session | None = None

    def open(self) -> requests.Session:
        """Return it, made when first used."""
        if self.session is None:
            self.session = requests.Session()
            self.session.trust_env = False
            self.session.verify = os.environ[CA]
            self.session.headers.update(
                {
                    "Accept": "application/json",
                    "Content-Type": "application/json",
                    "X-Application": os.environ[APP_KEY],
                    "X-Authentication": os.environ[TOKEN],
                }
            )
        return self.session


_line: Final = _Line()


def reference(signal_id: str) -> str:
    """Name the one order of a signal at the exchange."""
    return f"f{hashlib.sha256(signal_id.encode()).hexdigest()[:28]}"


@app.task(name="floor.first")  # type: ignore[untyped-decorator]
def first(_signal_id: str, _market_id: str) -> None:
    """Stand where the decision is."""


def send(signal_id: str, market_id: str) -> None:
    """Send the bet.

    Raises:
        ValueError: the exchange refused it.
    """
    order = {
        "orderType": "LIMIT",
        "selectionId": 1,
        "handicap": 0,
        "side": "BACK",
        "limitOrder": {"size": 2, "price": 3, "persistenceType": "LAPSE"},
        "customerOrderRef": reference(signal_id),
    }
    params = {
        "marketId": market_id,
        "instructions": [order],
        "customerRef": reference(signal_id),
        "customerStrategyRef": STRATEGY,
    }
    call = {"jsonrpc": "2.0", "method": "SportsAPING/v1.0/placeOrders", "params": params, "id": 1}
    url = f"{os.environ[API_URL]}/exchange/betting/json-rpc/v1"
    answer: dict[str, Any] = _line.open().post(url, data=json.dumps(call), timeout=30).json()
    if answer["result"]["status"] != "SUCCESS":
        raise ValueError(str(answer))


@app.task(name="floor.second")  # type: ignore[untyped-decorator]
def second(signal_id: str, market_id: str) -> None:
    """Send the bet."""
    send(signal_id, market_id)


@app.task(name="floor.third")  # type: ignore[untyped-decorator]
def third(_signal_id: str, _market_id: str) -> None:
    """Stand where the trade is logged."""


def bridge() -> None:
    """Start a chain for every message, until killed."""
    listening = redis.Redis.from_url(app.conf.broker_url).pubsub()  # type: ignore[no-untyped-call]
    listening.subscribe(CHANNEL)
    for message in listening.listen():
        if message["type"] == "message":
            signal = json.loads(message["data"])
            args = (signal["signalId"], signal["marketId"])
            chain(first.si(*args), second.si(*args), third.si(*args)).apply_async()
