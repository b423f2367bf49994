"""The exchange as the engine sees it: Betfair, the sandbox, or paper.

Money is Decimal, times are milliseconds since the epoch in UTC. Every method of `Exchange` may raise the errors of
`executor.errors` that its docstring names.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol, TypeVar, overload

from executor.domain.commission import MarketCharge
from executor.domain.hedge import Quotes
from executor.domain.market import Market
from executor.domain.money import ZERO, Side
from executor.domain.order import BetState

# A request of which nothing has arrived this long after its first byte left is given up for good: nothing of it arrives
# later. Together with the moment until which it may leave, this is what bounds an unknown outcome.
ARRIVES_WITHIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class SendPermit:
    """Whether a call may still be sent, asked when its first byte is about to go: connecting takes time."""

    send_by: float  # `Clock.monotonic`; no first byte goes after it
    check: Callable[[], None]  # reads again what the decision rests on; raises NotSent when it no longer holds
    sent: Callable[[], None] = lambda: None  # may be called once the request has left: the exchange's time is free


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OddRow:
    """A row that cannot be read, or that our records cannot hold: why, and what of it could be read all the same.

    `worst` is the most that the bet can lose, None where that cannot be told.
    """

    problem: str
    bet_id: str = ""
    order_id: str = ""
    market_id: str = ""
    selection_id: int = 0
    side: str = ""
    worst: Decimal | None = None

    @property
    def name(self) -> str:
        """Name it, by the first that is known of bet, reference and market."""
        if self.bet_id or self.order_id:
            return f"bet {self.bet_id}" if self.bet_id else f"order {self.order_id}"
        return f"a bet in market {self.market_id}" if self.market_id else "a bet without a name"


@dataclass(frozen=True, slots=True)
class Listing(Sequence[T]):
    """The rows of an answer that were read, and those that were set aside."""

    rows: Sequence[T] = ()
    odd: Sequence[OddRow] = ()

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...
    def __getitem__(self, at: int | slice) -> T | Sequence[T]:
        """Return a row that was read."""
        return self.rows[at]

    def __len__(self) -> int:
        """Count the rows that were read."""
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One bet to place: LIMIT, persistence LAPSE (Betfair: PlaceInstruction)."""

    order_id: str
    selection_id: int
    side: Side
    price: Decimal
    size: Decimal


class LegOutcome(StrEnum):
    """What became of one instruction."""

    PLACED = "PLACED"
    REFUSED = "REFUSED"
    NOT_SENT = "NOT_SENT"  # the exchange did not act on it and says so: it may be sent again
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class LegReport:
    """The exchange's answer for one instruction; `bet` when PLACED, `code` (Betfair's) otherwise.

    `causes` are the codes of the whole answer and of this leg that say why, None where `code` alone does; a leg that
    failed only because another did has none.
    """

    order_id: str
    outcome: LegOutcome
    code: str = ""
    detail: str = ""
    bet: BetState | None = None
    causes: frozenset[str] | None = None

    @property
    def root_codes(self) -> frozenset[str]:
        """Return the codes that say why it failed."""
        return frozenset({self.code} - {""}) if self.causes is None else self.causes


@dataclass(frozen=True, slots=True)
class CancelReport:
    """The answer to one cancel: done, or Betfair's code; `size_cancelled` is what it took back."""

    bet_id: str
    done: bool
    code: str = ""
    size_cancelled: Decimal = ZERO


class ClearedKind(StrEnum):
    """Betfair: BetStatus."""

    SETTLED = "SETTLED"
    VOIDED = "VOIDED"
    LAPSED = "LAPSED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class ClearedBet:
    """A bet that left the current list (Betfair: ClearedOrderSummary); `profit` is before commission."""

    kind: ClearedKind
    bet_id: str
    order_id: str
    market_id: str
    selection_id: int
    side: Side
    price_requested: Decimal
    price_matched: Decimal
    size_settled: Decimal
    size_cancelled: Decimal
    profit: Decimal
    settled_at: int
    placed_at: int
    foreign: str = ""  # why our records cannot hold such a bet, where it is not one of our orders


@dataclass(frozen=True, slots=True)
class Funds:
    """The account's money (Betfair: getAccountFunds); `exposure` and its limit are positive here."""

    available: Decimal
    exposure: Decimal
    exposure_limit: Decimal | None = None  # None: there is none


@dataclass(frozen=True, slots=True)
class MarketInfo:
    """What a market is (Betfair: MarketCatalogue.description)."""

    market_id: str
    market_type: str


class HeartbeatAction(StrEnum):
    """What the exchange did since the last heartbeat (Betfair: ActionPerformed)."""

    NONE = "NONE"
    CANCELLATION_REQUEST_SUBMITTED = "CANCELLATION_REQUEST_SUBMITTED"
    ALL_BETS_CANCELLED = "ALL_BETS_CANCELLED"
    SOME_BETS_NOT_CANCELLED = "SOME_BETS_NOT_CANCELLED"
    CANCELLATION_REQUEST_ERROR = "CANCELLATION_REQUEST_ERROR"
    CANCELLATION_STATUS_UNKNOWN = "CANCELLATION_STATUS_UNKNOWN"


@dataclass(frozen=True, slots=True)
class HeartbeatReport:
    """The answer to a heartbeat: what was done for want of one, and after how long the next lack of one counts."""

    action: HeartbeatAction
    timeout_s: int


class Exchange(Protocol):
    """Betfair, the sandbox, or paper. Safe to use from several threads at once.

    A row of a list that cannot be read is set aside in its `Listing` and costs no other row. Reads may raise NotSent,
    Throttled, SessionExpired, Refused or OutcomeUnknown alike: the caller's next tick retries.
    """

    def prepare(self) -> None:
        """Do what an order should not pay for: log in, open a connection; nothing where that is done.

        Raises:
            LoginRefused, NotSent, Throttled, OutcomeUnknown: there is no session.
        """

    def place(
        self, market_id: str, instructions: Sequence[Instruction], customer_ref: str, permit: SendPermit
    ) -> list[LegReport]:
        """Send one placeOrders call and nothing else; one report per instruction, in any order.

        The connection stands when `permit` is asked, and the request follows at once or not at all. When this returns
        or raises, nothing of the request can arrive any more.

        Raises:
            NoLongerAllowed: the permit's own refusal, as it was raised.
            NotSent, Throttled, SessionExpired: certainly not acted on.
            Refused: the whole call was refused.
            OutcomeUnknown: it may have been acted on.
        """

    def cancel(self, market_id: str, bet_ids: Sequence[str]) -> list[CancelReport]:
        """Take bets back, at most 60 of one market; an empty list is refused, it would cancel the whole market."""

    def executable_orders(self) -> Listing[BetState]:
        """Return every bet of our strategy ref that is not completely matched, all pages."""

    def current_orders(self) -> Listing[BetState]:
        """Return every bet of our strategy ref in markets that are not settled, all pages."""

    def find_current(self, order_ids: Sequence[str]) -> Listing[BetState]:
        """Return the bets with these references (at most 250) in markets that are not settled."""

    def find_bets(self, bet_ids: Sequence[str]) -> Listing[BetState]:
        """Return these bets (at most 250), as far as their markets are not settled."""

    def find_cleared(self, order_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        """Return the cleared bets of one kind with these references (at most 250)."""

    def find_cleared_bets(self, bet_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        """Return those of these bets (at most 250) that are cleared and of one kind."""

    def settled_since(self, since: int, kind: ClearedKind) -> Iterator[Listing[ClearedBet]]:
        """Yield our bets of a kind that were settled or ended at or after `since`; a page is read when it is asked for.

        A bet may come twice: the list may move between two pages.
        """

    def settled_in(self, market_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        """Return our SETTLED or VOIDED bets in these markets, whenever they were settled."""

    def commissions(self, market_ids: Sequence[str]) -> dict[str, MarketCharge]:
        """Return market id -> commission and profit of all the account's bets settled there, not only of ours.

        Markets that the exchange omits are left out.
        """

    def funds(self) -> Funds:
        """Return the account's money."""

    def market_info(self, market_ids: Sequence[str]) -> list[MarketInfo]:
        """Return what is known of these markets; unknown or closed ones are left out."""

    def market_facts(self, market_ids: Sequence[str]) -> list[Market]:
        """Return what these markets are, at most 40; those that the exchange does not know are left out."""

    def quotes(self, market_ids: Sequence[str]) -> dict[str, Quotes]:
        """Return the best prices of these markets' runners; markets that are not known are left out."""

    def currency(self) -> str:
        """Return the currency of the account, "" where there is none."""

    def currency_rates(self) -> dict[str, Decimal]:
        """Return how many units of each currency the exchange counts for one pound; nothing where it has no rates."""

    def heartbeat(self, timeout_s: int) -> HeartbeatReport:
        """Say that we live; after `timeout_s` without it takes back all unmatched bets of the account; 0: never."""

    def keep_alive(self) -> bool:
        """Extend the session; returns False when the exchange no longer knows it."""

    def reauthenticate(self, older_than_s: int) -> bool:
        """Log in anew when the token is older; on failure the old token stays. Returns True when a new one is in use.

        Raises:
            LoginRefused, NotSent, Throttled, OutcomeUnknown: the new login failed.
        """

    def allow_login(self) -> None:
        """Let a login be tried again that was refused for good: a person says that the cause is put right.

        Raises:
            StoreUnavailable: it is not known to others.
        """

    def session_age_s(self) -> int | None:
        """Return the age of the session token, or None where there is none."""
