"""What changed since it was last published: which markets, and which bets of the accounts that somebody watches.

Owns: the sets, and the call that tells the publisher that there is something to do. Invariants: without a publisher
nothing is noted, so that a sandbox used over REST alone pays one comparison per change; what is noted says only that
something may have changed: whoever reads it compares. No units.
"""

from collections.abc import Callable

from betfair_sandbox.market.markets import Bet


class Changes:
    """The changes of one exchange that nobody has taken yet."""

    def __init__(self) -> None:
        self._publish: Callable[[], None] | None = None
        self._markets: set[str] = set()
        self._bets: dict[str, dict[int, Bet]] = {}
        self._tap: set[str] | None = None

    def listen(self, publish: Callable[[], None] | None) -> None:
        """Note changes from now on and call `publish` at each; None: note nothing any more."""
        self._publish = publish
        if publish is None:
            self._markets.clear()

    def watch(self, account: str) -> None:
        """Note the bets of this account, too."""
        self._bets.setdefault(account, {})

    def forget(self, account: str) -> None:
        """Note this account's bets no more."""
        self._bets.pop(account, None)

    def tap(self) -> set[str]:
        """Return a set that gets the ids of changed markets from now on: a recording's, beside the publisher."""
        self._tap = set()
        return self._tap

    def market(self, market_id: str) -> None:
        """Note that something of this market changed."""
        if self._tap is not None:
            self._tap.add(market_id)
        if self._publish is not None:
            self._markets.add(market_id)
            self._publish()

    def bet(self, bet: Bet) -> None:
        """Note that this bet changed."""
        bets = self._bets.get(bet.account)
        if bets is not None:
            bets[bet.bet_id] = bet
            if self._publish is not None:
                self._publish()

    def take_markets(self) -> set[str]:
        """Return the markets noted since the last call."""
        taken, self._markets = self._markets, set()
        return taken

    def take_bets(self, account: str) -> dict[int, Bet]:
        """Return the account's bets noted since the last call, by id."""
        taken = self._bets.get(account)
        if not taken:
            return {}
        self._bets[account] = {}
        return taken
