"""What befalls a master behind three sentinels: killed, silent, or cut off while its clients still reach it.

Invariant: one at a time, and only to a whole cluster: what loses two servers of three at once is not survived, and not
promised. Each comes back as a replica before the next. Seconds.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from redis.exceptions import RedisError
from support.failover_phases import FailoverPhases
from support.sandbox_client import RunningSandbox

from storm.arena import Arena
from storm.plan import Event

_BACK_S: Final = 10.0  # by then another one is master: its sentinels wait five seconds for the old one


class Failovers:
    """Makes them happen on one arena; `lost` is told when (epoch seconds)."""

    def __init__(
        self, arena: Arena, later: Callable[[float, Callable[[], None]], None], lost: Callable[[float], None]
    ) -> None:
        assert arena.cluster is not None
        self._cluster = arena.cluster
        self._sandbox = RunningSandbox.at(arena.folder / "sandbox", host=arena.line.beside)  # of the watching thread
        self._later = later
        self._lost = lost
        self._away = False
        self.phases = FailoverPhases(self._cluster, self._placed)

    def _placed(self, since: float) -> Sequence[float]:
        return [float(call["received_at"]) for call in self._sandbox.journal("placeOrders", since)]

    def is_whole(self) -> bool:
        """Tell whether every server follows and every sentinel knows it."""
        try:
            return not self._away and self._cluster.is_whole()
        except (RedisError, KeyError):
            return False

    def do(self, event: Event) -> bool:
        """Let the accident happen; it does not while the last one is not over."""
        if not self.is_whole():
            return False
        master = self._cluster.master()
        harm, mend = {
            "master kill": (self._cluster.kill, self._cluster.start_node),
            "master cut": (self._cluster.cut_off, self._cluster.rejoin),
            "master silent": (self._cluster.freeze, self._cluster.thaw),
        }[event.kind]
        self._away = True
        self._lost(time.time())
        self.phases.watch(event.kind, master)
        harm(master)
        self._later(_BACK_S + event.for_s, partial(self._mend, mend, master))
        return True

    def _mend(self, mend: Callable[[int], None], master: int) -> None:
        try:
            mend(master)
        except RedisError:  # it does not answer yet
            self._later(1.0, partial(self._mend, mend, master))
            return
        self._away = False
