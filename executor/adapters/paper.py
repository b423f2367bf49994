"""Paper trading: an exchange that is sent nothing and fills every order at once, at the price asked for.

Invariant: no I/O but a log line; what was "placed" is known to the caller's records only, so every read is empty.
Money in the account's currency; times are left 0, the caller's clock says when.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

import structlog

from executor.domain.commission import MarketCharge
from executor.domain.hedge import Quotes
from executor.domain.market import Market
from executor.domain.money import ZERO
from executor.domain.order import BetState
from executor.ports import (
    CancelReport,
    ClearedBet,
    ClearedKind,
    Funds,
    HeartbeatAction,
    HeartbeatReport,
    Instruction,
    LegOutcome,
    LegReport,
    Listing,
    MarketInfo,
    SendPermit,
)

_log = structlog.get_logger(__name__)

BET: Final = "paper-"  # how a bet's id begins; the rest is its order's


class PaperExchange:
    """The port `Exchange` without an exchange; `bankroll` is what the account is said to hold."""

    def __init__(self, bankroll: Decimal) -> None:
        self._bankroll = bankroll

    def prepare(self) -> None:
        """Do nothing: there is no login."""

    def place(
        self, market_id: str, instructions: Sequence[Instruction], customer_ref: str, permit: SendPermit
    ) -> list[LegReport]:
        """Fill every order completely at its price; the same order id always gets the same bet id."""
        if not instructions:
            raise ValueError("nothing to place")
        permit.check()
        _log.info(
            "PAPER TRADING MODE - Signal logged but not executed",
            market_id=market_id,
            customer_ref=customer_ref,
            order_ids=[each.order_id for each in instructions],
        )
        return [
            LegReport(each.order_id, LegOutcome.PLACED, bet=paper_bet(market_id, each, each.size, each.price))
            for each in instructions
        ]

    def cancel(self, market_id: str, bet_ids: Sequence[str]) -> list[CancelReport]:
        """Report each cancel as done; nothing was left to take back."""
        del market_id
        if not bet_ids:
            raise ValueError("nothing to cancel")
        return [CancelReport(bet_id, done=True) for bet_id in bet_ids]

    def executable_orders(self) -> Listing[BetState]:
        """Return nothing: a paper order is never left unmatched."""
        return Listing()

    def current_orders(self) -> Listing[BetState]:
        """Return nothing: nothing is at an exchange."""
        return Listing()

    def find_current(self, order_ids: Sequence[str]) -> Listing[BetState]:
        """Return nothing: nothing is at an exchange."""
        del order_ids
        return Listing()

    def find_bets(self, bet_ids: Sequence[str]) -> Listing[BetState]:
        """Return nothing: nothing is at an exchange."""
        del bet_ids
        return Listing()

    def find_cleared(self, order_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        """Return nothing: nobody settles a paper bet."""
        del order_ids, kind
        return Listing()

    def find_cleared_bets(self, bet_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        """Return nothing: nobody settles a paper bet."""
        del bet_ids, kind
        return Listing()

    def settled_since(self, since: int, kind: ClearedKind) -> Iterator[Listing[ClearedBet]]:
        """Yield nothing: nobody settles a paper bet."""
        del since, kind
        return iter(())

    def settled_in(self, market_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        """Return nothing: nobody settles a paper bet."""
        del market_ids, kind
        return Listing()

    def commissions(self, market_ids: Sequence[str]) -> dict[str, MarketCharge]:
        """Return nothing: nobody charges for a paper bet."""
        del market_ids
        return {}

    def funds(self) -> Funds:
        """Return the bankroll, all of it available."""
        return Funds(available=self._bankroll, exposure=ZERO)

    def market_info(self, market_ids: Sequence[str]) -> list[MarketInfo]:
        """Return nothing: only an exchange knows its markets."""
        del market_ids
        return []

    def market_facts(self, market_ids: Sequence[str]) -> list[Market]:
        """Return nothing: only an exchange knows its markets."""
        del market_ids
        return []

    def quotes(self, market_ids: Sequence[str]) -> dict[str, Quotes]:
        """Return nothing: only an exchange has prices."""
        del market_ids
        return {}

    def currency(self) -> str:
        """Return "": paper money has none."""
        return ""

    def currency_rates(self) -> dict[str, Decimal]:
        """Return nothing: paper money is converted into nothing."""
        return {}

    def heartbeat(self, timeout_s: int) -> HeartbeatReport:
        """Report nothing: nobody would cancel anything."""
        return HeartbeatReport(HeartbeatAction.NONE, timeout_s)

    def keep_alive(self) -> bool:
        """Return True: there is no session that could end."""
        return True

    def reauthenticate(self, older_than_s: int) -> bool:
        """Return False: there is nothing to log in to."""
        del older_than_s
        return False

    def allow_login(self) -> None:
        """Do nothing: there are no logins."""

    def session_age_s(self) -> int | None:
        """Return None: there is no session."""
        return None


def paper_bet(market_id: str, instruction: Instruction, matched: Decimal, price: Decimal) -> BetState:
    """Return the bet of an instruction of which so much is matched, at this average price."""
    return BetState(
        bet_id=f"{BET}{instruction.order_id}",
        order_id=instruction.order_id,
        market_id=market_id,
        selection_id=instruction.selection_id,
        side=instruction.side,
        price=instruction.price,
        size=instruction.size,
        executable=matched < instruction.size,
        size_matched=matched,
        average_price_matched=price,
    )
