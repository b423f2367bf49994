"""The Heartbeat API: the dead-man's switch that takes back what is unmatched when a customer's program is dead.

Owns: who registered until when, and what was done when nothing came. Invariants: it cancels LIMIT bets of that account
only, once per registration; what it did is told by the next call. Betfair: Heartbeat API. Units: epoch milliseconds.
"""

from dataclasses import dataclass
from typing import Final

from betfair_sandbox.api.wire import BadValue, Json, Params, missing
from betfair_sandbox.market.accounts import Account
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import LIMIT

_SHORTEST_S: Final = 10
_LONGEST_S: Final = 300


@dataclass(slots=True)
class _Watch:
    due_ms: int = 0  # 0: not registered
    action: str = "NONE"


class Heartbeats:
    """The registrations of all accounts."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._watches: dict[str, _Watch] = {}

    def beat(self, account: Account, params: Params) -> Json:
        """Answer heartbeat: register anew, or not at all with 0, and say what was done since the last call.

        Raises:
            BadValue: the time is negative.
            RpcError: it is absent.

        """
        if not params.has("preferredTimeoutSeconds"):
            raise missing()
        preferred = params.integer("preferredTimeoutSeconds")
        if preferred < 0:
            raise BadValue("preferredTimeoutSeconds is negative")
        actual = min(max(preferred, _SHORTEST_S), _LONGEST_S) if preferred else 0
        watch = self._watches.setdefault(account.name, _Watch())
        action, watch.action = watch.action, "NONE"
        watch.due_ms = self._exchange.clock_ms() + actual * 1000 if actual else 0
        return {"actionPerformed": action, "actualTimeoutSeconds": actual}

    def tick(self) -> None:
        """Cancel for those who said nothing in time."""
        now_ms = self._exchange.clock_ms()
        for name, watch in self._watches.items():
            if watch.due_ms and watch.due_ms <= now_ms:
                watch.due_ms = 0
                watch.action = self._cancel(name)

    def _cancel(self, name: str) -> str:
        for bet in list(self._exchange.registers[name].open.values()):
            if bet.order_type == LIMIT:
                self._exchange.cancel(bet, None)
        return "ALL_BETS_CANCELLED"
