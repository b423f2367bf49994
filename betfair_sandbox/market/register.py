"""One account's bets, in the orders in which they are asked for.

Owns: the indexes over bets (open, unsettled, by reference, cleared by status). Invariant: a bet is in `open` exactly
while something of it remains, in `current` until its market is settled or voided, and in `cleared` under each status
of which it has a part. Every change is in constant time.
"""

from collections.abc import Iterable
from typing import Final

from betfair_sandbox.market.markets import Bet

CLEARED_STATUSES: Final = ("SETTLED", "VOIDED", "LAPSED", "CANCELLED")


class Register:
    """The bets of one account; each mapping is bet id -> bet in the order in which it came there."""

    def __init__(self) -> None:
        self.all: dict[int, Bet] = {}
        self.open: dict[int, Bet] = {}
        self.current: dict[int, Bet] = {}
        self.cleared: dict[str, dict[int, Bet]] = {status: {} for status in CLEARED_STATUSES}
        self._by_ref: dict[str, list[Bet]] = {}

    def add(self, bet: Bet) -> None:
        """Take in a bet that was just placed."""
        self.all[bet.bet_id] = bet
        self.current[bet.bet_id] = bet
        if bet.customer_order_ref:
            self._by_ref.setdefault(bet.customer_order_ref, []).append(bet)
        if bet.size_remaining:
            self.open[bet.bet_id] = bet
        else:
            self.complete(bet)

    def complete(self, bet: Bet) -> None:
        """Note that nothing of `bet` remains."""
        self.open.pop(bet.bet_id, None)
        if bet.size_cancelled:
            self.cleared["CANCELLED"][bet.bet_id] = bet
        if bet.size_lapsed:
            self.cleared["LAPSED"][bet.bet_id] = bet

    def settle(self, bet: Bet) -> None:
        """Note that the bet's market has its result: what was matched is settled, what was voided is void."""
        self.current.pop(bet.bet_id, None)
        for status, size in (("SETTLED", bet.size_matched), ("VOIDED", bet.size_voided)):
            # Leaves first: a bet settled again moves to the end, which keeps the order of settling.
            self.cleared[status].pop(bet.bet_id, None)
            if size:
                self.cleared[status][bet.bet_id] = bet

    def unsettle(self, bet: Bet) -> None:
        """Note that the result of the bet's market was taken back."""
        self.cleared["SETTLED"].pop(bet.bet_id, None)
        self.current[bet.bet_id] = bet

    def void(self, bet: Bet) -> None:
        """Note that `bet`, or a part of it, is void while its market goes on."""
        self.cleared["VOIDED"].pop(bet.bet_id, None)  # as above
        self.cleared["VOIDED"][bet.bet_id] = bet

    def unvoid(self, bet: Bet) -> None:
        """Note that nothing of `bet` is void after all."""
        self.cleared["VOIDED"].pop(bet.bet_id, None)

    def forget(self, bet: Bet) -> None:
        """Drop a bet from everything."""
        for index in (self.all, self.open, self.current, *self.cleared.values()):
            index.pop(bet.bet_id, None)
        same_ref = self._by_ref.get(bet.customer_order_ref, [])
        if bet in same_ref:
            same_ref.remove(bet)
        if not same_ref:
            self._by_ref.pop(bet.customer_order_ref, None)

    def by_refs(self, refs: Iterable[str]) -> list[Bet]:
        """Return the bets that carry any of `refs`, in the order of placing."""
        found = {bet.bet_id: bet for ref in refs for bet in self._by_ref.get(ref, ())}
        return [found[bet_id] for bet_id in sorted(found)]
