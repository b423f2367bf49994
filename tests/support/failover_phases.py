"""What happens after an accident of the master, and when: from its loss to the next order, phase by phase.

Seconds since the accident; read from the sentinels, the new master, and the exchange's journal, 20 times a second, by a
thread of its own. Invariant: an order counts as the next one only when it was sent after another master was named, so
what was on its way when the accident happened does not.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

import requests
from redis.exceptions import RedisError

from executor import keys
from support.sentinels import Cluster

NAMED: Final = "another master is named"
TAKES_WRITES: Final = "it takes writes"
BRIDGE: Final = "a bridge listens there"
WORKER: Final = "a worker waits there"
POLLED: Final = "orders are reconciled"
ORDER: Final = "the next order"
PHASES: Final = (NAMED, TAKES_WRITES, BRIDGE, WORKER, POLLED, ORDER)
_LOOK_S: Final = 0.05
_LONGEST_S: Final = 120.0

PlacedAt = Callable[[float], Sequence[float]]


@dataclass
class Failover:
    """One accident: what it was, and seconds to each phase."""

    kind: str
    at: float  # epoch seconds
    after: dict[str, float] = field(default_factory=dict)


class FailoverPhases:
    """Watches accidents; `placed` returns when the exchange got orders since a moment (epoch seconds)."""

    def __init__(self, cluster: Cluster, placed: PlacedAt) -> None:
        self._cluster = cluster
        self._placed = placed
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self.seen: list[Failover] = []

    def watch(self, kind: str, master: int) -> Failover:
        """Begin: the accident befalls this master now."""
        one = Failover(kind, time.time())
        self.seen.append(one)
        self._threads.append(threading.Thread(target=self._watch, args=(one, master), daemon=True))
        self._threads[-1].start()
        return one

    def finish(self, within_s: float) -> None:
        """Wait, not long, until all that was watched has come to its next order, and look no more."""
        ends = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))
        self._over.set()

    def _watch(self, one: Failover, old: int) -> None:
        new = 0
        while ORDER not in one.after and time.time() - one.at < _LONGEST_S and not self._over.is_set():
            with suppress(RedisError, requests.RequestException, OSError, AssertionError):
                new = new or self._another(one, old)
                if new:
                    self._look(one, new)
            time.sleep(_LOOK_S)

    def _another(self, one: Failover, old: int) -> int:
        port = self._cluster.master()
        if port in {0, old}:
            return 0
        self._mark(one, NAMED)
        return port

    def _look(self, one: Failover, port: int) -> None:
        calls = [at for at in self._placed(one.at) if at > one.at + one.after[NAMED]]
        if calls:
            one.after.setdefault(ORDER, min(calls) - one.at)
        with self._cluster.node(port) as client:
            state: Mapping[str, Any] = client.info("replication")
            if state["role"] == "master" and int(state["min_slaves_good_slaves"]) > 0:
                self._mark(one, TAKES_WRITES)
            if str(client.get(keys.RECONCILED) or "").startswith(str(state["master_replid"])):
                self._mark(one, POLLED)
            if all(number for _, number in client.pubsub_numsub(keys.STRATEGY_SIGNALS)):
                self._mark(one, BRIDGE)
            if sum(each["cmd"] == "brpop" for each in client.client_list()) > 1:  # the maintenance worker's is another
                self._mark(one, WORKER)

    @staticmethod
    def _mark(one: Failover, phase: str) -> None:
        one.after.setdefault(phase, time.time() - one.at)

    def table(self) -> list[str]:
        """Return p50 and maximum of each phase, for each kind of accident."""
        rows = []
        for kind in dict.fromkeys(one.kind for one in self.seen):
            those = [one for one in self.seen if one.kind == kind]
            for phase in PHASES:
                found = [one.after[phase] for one in those if phase in one.after]
                if found:
                    rows.append(
                        f"{kind}: {phase} after p50 {median(found):.1f} s, max {max(found):.1f} s "
                        f"({len(found)} of {len(those)})"
                    )
        return rows

    def next_order(self) -> str:
        """Say in one line how long no order was sent, over all accidents."""
        found = [one.after[ORDER] for one in self.seen if ORDER in one.after]
        never = len(self.seen) - len(found)
        said = f"p50 {median(found):.1f} s, max {max(found):.1f} s over {len(found)}" if found else "none"
        return f"{said}; {never} without" if never else said
