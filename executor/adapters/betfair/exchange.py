"""Betfair as our exchange: each operation of the port as calls to its API, and nothing more.

Invariants: `place` sends at most one placeOrders and never after a login of its own; what repeats after a login are
reads and cancels, once. Every call is limited to bets of our customerStrategyRef where the API allows it. An incomplete
list is never returned as a complete one; a row that cannot be read is set aside and named in it. Units: money as
Decimal in the account's currency, times in milliseconds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Final, NoReturn, TypeVar

import structlog

from executor.adapters.betfair import wire
from executor.adapters.betfair.account_reads import AccountReads
from executor.adapters.betfair.json_text import Row
from executor.adapters.betfair.lists import batches, joined, names, once, page
from executor.adapters.betfair.reports import read_cancelled, read_placed
from executor.adapters.betfair.rpc import BETTING, HEARTBEAT, Api, Rpc
from executor.adapters.betfair.session import BetfairSession, store_needed
from executor.adapters.betfair.transport import Transport
from executor.domain.commission import MarketCharge
from executor.domain.money import PENNY, ZERO, conversion_slack
from executor.domain.order import BetState
from executor.errors import LoginRefused, NotSent, OutcomeUnknown, SessionExpired, StoreUnavailable, Throttled
from executor.ports import (
    CancelReport,
    ClearedBet,
    ClearedKind,
    HeartbeatReport,
    Instruction,
    LegReport,
    Listing,
    SendPermit,
    Telemetry,
)
from executor.ports.token_store import TokenStore
from executor.settings.sections import BetfairSettings

MAX_PLACE: Final = 200  # Betfair: placeOrders
MAX_CANCEL: Final = 60  # Betfair: cancelOrders
MAX_MARKETS: Final = 100  # markets per call; no limit is documented, this keeps calls small
PAGE: Final = 1000  # Betfair: the largest page
MAX_PAGES: Final = 50  # 50,000 bets: more is a runaway, and the read fails instead of going on for ever
MAX_SETTLED_PAGES: Final = 500  # 500,000 bets settled in a day and more; no two pages of them are kept
MAX_READS: Final = 3  # Betfair: order reads of an account under way at a time, TOO_MANY_REQUESTS above
_ORDER_READS: Final = frozenset({"listCurrentOrders", "listClearedOrders"})

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class BetfairExchange(AccountReads):
    """The port `Exchange` on Betfair's API, or on whatever speaks it at the URLs of the settings.

    `on_token` is told of each new session token before it is used, so that logs can mask it; `known_currency` is the
    account's as it was last asked for, by whichever process.
    """

    def __init__(
        self,
        settings: BetfairSettings,
        tokens: TokenStore,
        telemetry: Telemetry,
        on_token: Callable[[str], None] = lambda _token: None,
        known_currency: Callable[[], str] = str,
    ) -> None:
        bundle = str(settings.ca_bundle) if settings.ca_bundle else None
        self._transport = Transport(settings.api_timeout_seconds, bundle, proxy=settings.proxy)
        self.session = BetfairSession(settings, self._transport, tokens, telemetry, on_token)
        self._rpc = Rpc(settings, self._transport, telemetry)
        self._known_currency = known_currency
        self._strategy_ref = settings.strategy_ref
        self._timeout_s = settings.api_timeout_seconds
        super().__init__(tokens)

    def prepare(self) -> None:
        """Log in and open a connection, where that is not done or the last one has not been used for a while."""
        self._token()
        if not self._rpc.is_warm():
            self.funds()

    def close(self) -> None:
        """Close the connections; the session stays, others use it."""
        self._transport.close()

    def place(
        self, market_id: str, instructions: Sequence[Instruction], customer_ref: str, permit: SendPermit
    ) -> list[LegReport]:
        """Send one placeOrders call (Betfair: placeOrders).

        Raises:
            NotSent, Throttled: certainly not acted on; so too what `permit` raises.
            SessionExpired: likewise; there is a new session now.
            Refused: the whole call was refused, or no login is possible.
            OutcomeUnknown: it may have been acted on.
        """
        if not 1 <= len(instructions) <= MAX_PLACE or len({each.order_id for each in instructions}) < len(instructions):
            raise ValueError(f"one call places 1 to {MAX_PLACE} instructions with different references")
        with store_needed():
            token = self.session.recent()
        if token is None:
            self._renew_before_place(None)
        params = {
            "marketId": market_id,
            "instructions": [wire.place_instruction(each) for each in instructions],
            "customerRef": customer_ref,
            "customerStrategyRef": self._strategy_ref,
        }
        try:
            return self._rpc.call(
                (BETTING, "placeOrders"),
                params,
                token,
                lambda result: read_placed(result, market_id, instructions, self._slack, customer_ref),
                permit=permit,
            )
        except SessionExpired:
            self._renew_before_place(token)

    def cancel(self, market_id: str, bet_ids: Sequence[str]) -> list[CancelReport]:
        """Take bets back (Betfair: cancelOrders; an empty list there would mean all of the market)."""
        bets = list(dict.fromkeys(bet_ids))
        if not 1 <= len(bets) <= MAX_CANCEL or not all(bets) or not market_id:
            raise ValueError(f"one call cancels 1 to {MAX_CANCEL} bets of one market, each named")
        params = {"marketId": market_id, "instructions": [{"betId": bet_id} for bet_id in bets]}
        return self._call(BETTING, "cancelOrders", params, lambda result: read_cancelled(result, bets))

    def executable_orders(self) -> Listing[BetState]:
        """Return every bet of our strategy ref that is not completely matched (Betfair: listCurrentOrders)."""
        return self._current({"orderProjection": "EXECUTABLE"})

    def current_orders(self) -> Listing[BetState]:
        """Return every bet of our strategy ref in markets that are not settled (Betfair: listCurrentOrders)."""
        return self._current({"orderProjection": "ALL"})

    def find_current(self, order_ids: Sequence[str]) -> Listing[BetState]:
        """Return the bets with these references in markets that are not settled (Betfair: listCurrentOrders)."""
        return self._some_current("customerOrderRefs", order_ids)

    def find_bets(self, bet_ids: Sequence[str]) -> Listing[BetState]:
        """Return these bets, as far as their markets are not settled (Betfair: listCurrentOrders)."""
        return self._some_current("betIds", bet_ids)

    def find_cleared(self, order_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        """Return the cleared bets of one kind with these references (Betfair: listClearedOrders)."""
        return self._cleared({"customerOrderRefs": names(order_ids)}, kind) if order_ids else Listing()

    def find_cleared_bets(self, bet_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        """Return those of these bets that are cleared and of one kind (Betfair: listClearedOrders)."""
        return self._cleared({"betIds": names(bet_ids)}, kind) if bet_ids else Listing()

    def settled_since(self, since: int, kind: ClearedKind) -> Iterator[Listing[ClearedBet]]:
        """Yield the pages of our bets of a kind that were settled at or after `since` (Betfair: listClearedOrders)."""
        return self._cleared_pages({"settledDateRange": {"from": wire.moment_text(since)}}, kind, MAX_SETTLED_PAGES)

    def settled_in(self, market_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        """Return our bets of a kind in these markets, whenever settled (Betfair: listClearedOrders)."""
        return joined(self._cleared({"marketIds": some}, kind) for some in batches(market_ids, MAX_MARKETS))

    def commissions(self, market_ids: Sequence[str]) -> dict[str, MarketCharge]:
        """Return market id -> commission and profit of the account there (Betfair: listClearedOrders by MARKET).

        Of all its bets: Betfair charges a market as a whole, and only beside the account's profit does the figure say
        what of it is ours.
        """
        charges: dict[str, MarketCharge] = {}
        for some in batches(market_ids, MAX_MARKETS):
            params = {
                "betStatus": str(ClearedKind.SETTLED),
                "groupBy": "MARKET",
                "marketIds": some,
                "includeItemDescription": False,
            }
            pages = self._pages("listClearedOrders", params, "clearedOrders", wire.market_charge)
            for some_rows in pages:
                for found in some_rows:
                    if found is not None:
                        market_id, charge = found
                        before = charges.get(market_id, MarketCharge(ZERO, ZERO))
                        total = MarketCharge(before.commission + charge.commission, before.profit + charge.profit)
                        charges[market_id] = total
                for odd in some_rows.odd:  # its market goes by the configured rate until it can be read
                    _log.error("commission_not_readable", market_id=odd.market_id, problem=odd.problem)
        return charges

    def heartbeat(self, timeout_s: int) -> HeartbeatReport:
        """Say that we live (Betfair: heartbeat); it takes back every unmatched bet of the account where none comes."""
        return self._call(HEARTBEAT, "heartbeat", {"preferredTimeoutSeconds": timeout_s}, wire.heartbeat_report)

    def keep_alive(self) -> bool:
        """Extend the session (Betfair: keepAlive)."""
        return self.session.keep_alive()

    def reauthenticate(self, older_than_s: int) -> bool:
        """Log in anew when the token is older; on failure the old one stays (Betfair: Non-Interactive login)."""
        return self.session.reauthenticate(older_than_s)

    def allow_login(self) -> None:
        """Let a login be tried again that was refused for good."""
        self.session.allow_login()

    def session_age_s(self) -> int | None:
        """Return the token's age, or None where there is none."""
        return self.session.age_s()

    # --- reading -----------------------------------------------------------------------------------------------------

    def _some_current(self, filter_name: str, ids: Sequence[str]) -> Listing[BetState]:
        return self._current({"orderProjection": "ALL", filter_name: names(ids)}) if ids else Listing()

    def _current(self, filters: Mapping[str, object]) -> Listing[BetState]:
        # Betfair: the data move between pages; by place time what is new comes last.
        order = {"orderBy": "BY_PLACE_TIME", "sortDir": "EARLIEST_TO_LATEST", "includeItemDescription": False}
        params = {**filters, **order, "customerStrategyRefs": [self._strategy_ref]}
        read = partial(wire.current_order, slack=self._slack())
        return once(self._pages("listCurrentOrders", params, "currentOrders", read))

    def _slack(self) -> Decimal:
        try:
            return conversion_slack(self._known_currency())
        except StoreUnavailable:  # then what is off by more cannot be read now
            return PENNY

    def _cleared(self, filters: Mapping[str, object], kind: ClearedKind) -> Listing[ClearedBet]:
        return once(self._cleared_pages(filters, kind))

    def _cleared_pages(
        self, filters: Mapping[str, object], kind: ClearedKind, most: int = MAX_PAGES
    ) -> Iterator[Listing[ClearedBet]]:
        params = {
            **filters,
            "betStatus": str(kind),
            "customerStrategyRefs": [self._strategy_ref],
            "includeItemDescription": False,
        }
        return self._pages(
            "listClearedOrders", params, "clearedOrders", lambda row: wire.cleared_order(row, kind), most
        )

    def _pages(
        self, method: str, params: Mapping[str, object], name: str, read: Callable[[Row], T], most: int = MAX_PAGES
    ) -> Iterator[Listing[T]]:
        start = 0
        for _ in range(most):
            window = {**params, "fromRecord": start, "recordCount": PAGE}
            found, more = self._call(BETTING, method, window, lambda result: page(result, name, read))
            received = len(found) + len(found.odd)
            start += received
            yield found
            if not more:
                return
            if not received:
                raise OutcomeUnknown(f"{method}: more is said to follow an empty page")
        raise OutcomeUnknown(f"{method}: more than {most * PAGE} bets")

    def _call(self, api: Api, method: str, params: Mapping[str, object], parse: Callable[[object], T]) -> T:
        """Call what may be repeated: once more after a login."""
        token = self._token()
        try:
            return self._attempt(api, method, params, token, parse)
        except SessionExpired:
            with store_needed():
                token = self.session.renew(token)
            return self._attempt(api, method, params, token, parse)

    def _attempt(
        self, api: Api, method: str, params: Mapping[str, object], token: str, parse: Callable[[object], T]
    ) -> T:
        if method not in _ORDER_READS:
            return self._rpc.call((api, method), params, token, parse)
        with store_needed(), self._tokens.read_slot(MAX_READS, self._timeout_s) as acquired:
            if not acquired:
                raise NotSent(f"{method}: {MAX_READS} order reads are under way and do not end")
            return self._rpc.call((api, method), params, token, parse)

    # --- the session -------------------------------------------------------------------------------------------------

    def _token(self) -> str:
        with store_needed():
            return self.session.current() or self.session.renew(None)

    def _renew_before_place(self, dead: str | None) -> NoReturn:
        """Get a new session and say so; a login takes time, so whoever wants to place must ask again whether it may."""
        try:
            with store_needed():
                self.session.renew(dead)
        except LoginRefused as error:
            if not error.retryable:
                raise
            raise Throttled(error.code, error.after_s) from None
        except OutcomeUnknown as error:  # of the login, not of a bet
            raise NotSent(f"no session: {error}") from None
        raise SessionExpired("there was no valid session; there is a new one now")
