"""What is read of the account and of markets, bets apart: money, currency, rates, facts, prices.

Each is one call or a few, none of them of an account's bets. Money as Decimal, times in milliseconds.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeVar

from executor.adapters.betfair import wire
from executor.adapters.betfair.json_text import as_row
from executor.adapters.betfair.lists import batches, market_infos
from executor.adapters.betfair.market_facts import by_market, catalogue_of, combine_all, offers_of, quotes_of
from executor.adapters.betfair.rpc import ACCOUNT, BETTING, Api
from executor.domain.book import Book
from executor.domain.hedge import Quotes
from executor.domain.market import Market
from executor.ports import Funds, MarketInfo, TokenStore

MAX_CATALOGUE: Final = 100  # Betfair: Market Data Request Limits, weight 1 each of 200; half of it

MAX_FULL_BOOKS: Final = 10  # Betfair: as below, 17 each for all offers

MAX_BOOKS: Final = 40  # Betfair: Market Data Request Limits, 5 each of 200

T = TypeVar("T")


class AccountReads:
    """The part of the adapter that reads the account and markets; `_call` is the other part's."""

    def __init__(self, tokens: TokenStore) -> None:
        self._tokens = tokens

    def _call(self, api: Api, method: str, params: Mapping[str, object], parse: Callable[[object], T]) -> T:
        raise NotImplementedError

    def funds(self) -> Funds:
        """Return the account's money (Betfair: getAccountFunds)."""
        return self._call(ACCOUNT, "getAccountFunds", {}, lambda result: wire.funds(as_row(result, "funds")))

    def market_info(self, market_ids: Sequence[str]) -> list[MarketInfo]:
        """Return the types of the markets that are known and not closed (Betfair: listMarketCatalogue)."""
        parts = [catalogue_of(some) for some in batches(market_ids, MAX_CATALOGUE)]
        found = [self._call(BETTING, "listMarketCatalogue", part, market_infos) for part in parts]
        return [each for part in found for each in part if each is not None]

    def market_facts(self, market_ids: Sequence[str]) -> list[Market]:
        """Return what these markets are (Betfair: listMarketCatalogue, listMarketBook); unknown ones are left out."""
        described = self._call(BETTING, "listMarketCatalogue", catalogue_of(market_ids), by_market)
        books = self._call(BETTING, "listMarketBook", {"marketIds": list(market_ids)}, by_market)
        return combine_all(market_ids, described, books, self._tokens.now())

    def quotes(self, market_ids: Sequence[str]) -> dict[str, Quotes]:
        """Return the best offers and the last traded prices (Betfair: listMarketBook)."""
        projection = {"priceData": ["EX_BEST_OFFERS"], "exBestOffersOverrides": {"bestPricesDepth": 1}}
        found: dict[str, Quotes] = {}
        for some in batches(market_ids, MAX_BOOKS):
            params = {"marketIds": some, "priceProjection": projection}
            books = self._call(BETTING, "listMarketBook", params, by_market)
            found |= {market_id: quotes_of(book) for market_id, book in books.items()}
        return found

    def books(self, market_ids: Sequence[str]) -> dict[str, Book]:
        """Return all that is offered in these markets (Betfair: listMarketBook, EX_ALL_OFFERS)."""
        found: dict[str, Book] = {}
        for some in batches(market_ids, MAX_FULL_BOOKS):
            params = {"marketIds": some, "priceProjection": {"priceData": ["EX_ALL_OFFERS"]}}
            books = self._call(BETTING, "listMarketBook", params, by_market)
            found |= {market_id: offers_of(book) for market_id, book in books.items()}
        return found

    def currency(self) -> str:
        """Return the account's currency (Betfair: getAccountDetails)."""
        return self._call(ACCOUNT, "getAccountDetails", {}, wire.currency)

    def currency_rates(self) -> dict[str, Decimal]:
        """Return how many units of each currency one pound is (Betfair: listCurrencyRates)."""
        return self._call(ACCOUNT, "listCurrencyRates", {"fromCurrency": "GBP"}, wire.currency_rates)
