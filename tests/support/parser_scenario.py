"""betfair_parser, which knows every field and enum of Betfair's interface and refuses any other, reads the sandbox.

`python -m support.parser_scenario FOLDER` asks a sandbox that runs on this folder for everything that betfair_parser
has types for, and prints as JSON what it read: the names of the operations, and of the stream's messages. An answer
that its types do not allow ends it with betfair_parser's own error. Nothing of the client is changed but its addresses.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from betfair_parser.client import cert_login, keep_alive, login, logout, request
from betfair_parser.endpoints import ENDPOINTS, EndpointConfig
from betfair_parser.exceptions import AccountAPINGException, APINGException, LoginError, StreamError
from betfair_parser.spec import accounts, heartbeat, navigation, race_status
from betfair_parser.spec.accounts import operations as account_operations
from betfair_parser.spec.betting import enums, listings, orders
from betfair_parser.spec.betting import type_definitions as types
from betfair_parser.spec.common import OrderType, Request, decode, encode
from betfair_parser.spec.streaming import MarketDataFilterFields, MarketSubscription, OrderSubscription, stream_decode
from betfair_parser.spec.streaming import type_definitions as stream_types
from betfair_parser.stream import ExchangeStream

from support.sandbox_client import RunningSandbox
from support.stream_client import StreamClient

RACE, MATCH, LINES, HANDICAP, PLACE = "1.7711", "1.7712", "1.7713", "1.7714", "1.7715"
_DEADLINE_S = 20


class Endpoints(EndpointConfig):  # type: ignore[misc]
    """The client's own table of addresses, each of them the sandbox's."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        def here(address: str) -> str:
            return f"{sandbox.api}/{address.split('/', 3)[3]}"

        cert = f"{sandbox.cert_api}/api/"
        found = replace(
            ENDPOINTS,
            identity=here(ENDPOINTS.identity),
            identity_cert=cert,
            navigation=here(ENDPOINTS.navigation),
            heartbeat=here(ENDPOINTS.heartbeat),
        )
        super().__init__(**{name: getattr(found, name) for name in EndpointConfig.__dataclass_fields__})
        self.__dict__.update({name: here(getattr(ENDPOINTS, name)) for name in ("accounts", "betting", "scores")})


class Reader:
    """Asks and notes what was read."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox
        self.endpoints = Endpoints(sandbox)
        self.session = sandbox.new_session()
        self.session.cert = str(sandbox.paths.client_pem)
        self.read: dict[str, int] = {}

    def ask(self, operation: type[Request], **params: Any) -> Any:
        reply = request(self.session, operation.with_params(**params), self.endpoints)
        name = operation.__name__
        self.read[name] = self.read.get(name, 0) + 1
        return reply

    def refused(self, operation: type[Request], **params: Any) -> str:
        try:
            self.ask(operation, **params)
        except (APINGException, AccountAPINGException) as error:
            return str(error.code.name)
        raise AssertionError(f"{operation.__name__} was not refused")

    def _expect(self, code: str, error: Exception) -> None:
        assert code in str(error), error

    # -- the operations ----------------------------------------------------------------------------------------------

    def identity(self) -> None:
        options = self.sandbox.options
        for log_in in (login, cert_login):
            try:
                log_in(self.session, options.username, "wrong", options.app_key, endpoints=self.endpoints)
            except LoginError as error:
                self._expect("INVALID_USERNAME_OR_PASSWORD", error)
            else:
                raise AssertionError("a wrong password was taken")
        login(self.session, options.username, options.password, options.app_key, endpoints=self.endpoints)
        keep_alive(self.session, endpoints=self.endpoints)
        logout(self.session, endpoints=self.endpoints)
        cert_login(self.session, options.username, options.password, options.app_key, endpoints=self.endpoints)
        self.read |= dict.fromkeys(("Login", "KeepAlive", "Logout", "CertLogin"), 1)

    def markets(self) -> None:
        sandbox = self.sandbox
        race = {"eventTypeId": "7", "eventName": "Ascot 1st Jan", "marketType": "WIN", "name": "R1 5f Hcap"}
        offers = {"availableToBack": [[2, 50], [1.9, 10]], "availableToLay": [[2.1, 50]]}
        runners = [{"selectionId": one, "adjustmentFactor": 20, **offers} for one in (1, 2, 3)]
        sandbox.control(
            "markets", marketId=RACE, runners=runners, venue="Ascot", raceType="Flat", bspMarket=True, **race
        )
        sandbox.control("markets", marketId=MATCH, runners=runners[:2])
        units = {"minUnitValue": 1, "maxUnitValue": 99, "interval": 1}
        line = {"bettingType": "LINE", "priceLadder": "LINE_RANGE", "marketType": "INNINGS_RUNS"}
        sandbox.control("markets", marketId=LINES, runners=[1], lineRangeInfo=units, **line)
        lines = [{"selectionId": one, "handicap": hc} for one, hc in ((1, -0.5), (2, 0.5))]
        handicap = {"bettingType": "ASIAN_HANDICAP_DOUBLE_LINE", "marketType": "ASIAN_HANDICAP"}
        sandbox.control("markets", marketId=HANDICAP, runners=lines, **handicap)
        each_way = {"numberOfWinners": 2, "eachWayDivisor": 4, **race, "marketType": "EACH_WAY"}
        sandbox.control("markets", marketId=PLACE, runners=[1, 2, 3], **each_way)

    def lists(self) -> None:
        chosen = types.MarketFilter()
        for operation in (
            listings.ListEventTypes, listings.ListCompetitions, listings.ListCountries, listings.ListEvents,
            listings.ListMarketTypes, listings.ListVenues,
        ):  # fmt: skip
            assert self.ask(operation, filter=chosen), operation
        for granularity in enums.TimeGranularity:
            assert self.ask(listings.ListTimeRanges, filter=chosen, granularity=granularity)
        found = self.ask(
            listings.ListMarketCatalogue, filter=chosen, market_projection=set(enums.MarketProjection), max_results=50
        )
        assert {market.market_id for market in found} >= {RACE, MATCH, LINES, HANDICAP, PLACE}
        for sort in enums.MarketSort:
            self.ask(listings.ListMarketCatalogue, filter=chosen, sort=sort, max_results=2)
        asked = navigation.Menu.with_params()
        menu = asked.parse_response(self.session.get(self.endpoints.url_for_request(asked)).content)
        self.read["Menu"] = 1
        assert len(navigation.flatten_nav_tree(menu)) == len(found)

    def books(self) -> None:
        everything = types.PriceProjection(price_data=set(enums.PriceData), rollover_stakes=True)
        for market in (RACE, MATCH, LINES, HANDICAP, PLACE):
            (book,) = self.ask(
                listings.ListMarketBook,
                market_ids={market},
                price_projection=everything,
                order_projection=enums.OrderProjection.ALL,
            )
            assert book.market_id == market
        self.ask(listings.ListRunnerBook, market_id=RACE, selection_id=1, price_projection=everything)
        self.ask(listings.ListMarketProfitAndLoss, market_ids={RACE, MATCH}, net_of_commission=True)

    def instruction(self, side: str, price: float, size: float, **limit: Any) -> Any:
        order = types.LimitOrder(
            price=price, size=size, persistence_type=limit.pop("persistence", enums.PersistenceType.LAPSE), **limit
        )
        return types.PlaceInstruction(
            order_type=OrderType.LIMIT, selection_id=1, side=side, limit_order=order, customer_order_ref="parsed"
        )

    def place(self, market: str, *instructions: Any, **params: Any) -> Any:
        return self.ask(orders.PlaceOrders, market_id=market, instructions=list(instructions), **params)

    def orders(self) -> None:
        matched = self.place(MATCH, self.instruction("BACK", 2, 4), customer_strategy_ref="parsed")
        resting = self.place(MATCH, self.instruction("BACK", 3, 4), self.instruction("LAY", 1.5, 4), customer_ref="one")
        self.place(MATCH, self.instruction("BACK", 3, 4), customer_ref="one")  # refused: a duplicate
        self.place(MATCH, self.instruction("BACK", 3.001, 4))  # refused: no such price
        self.place("1.999", self.instruction("BACK", 3, 40_000))  # refused: no such money
        killed = self.instruction("BACK", 3, 4, time_in_force=enums.TimeInForce.FILL_OR_KILL, min_fill_size=2)
        self.place(MATCH, killed)
        self.place(MATCH, self.instruction("BACK", 3, 5), async_=True)
        for order_type, name, order in (
            (OrderType.LIMIT_ON_CLOSE, "limit_on_close_order", types.LimitOnCloseOrder(liability=20, price=2)),
            (OrderType.MARKET_ON_CLOSE, "market_on_close_order", types.MarketOnCloseOrder(liability=20)),
        ):
            side = "BACK" if name.startswith("limit") else "LAY"
            self.place(RACE, types.PlaceInstruction(order_type=order_type, selection_id=2, side=side, **{name: order}))
        self.place(RACE, self.instruction("BACK", 2, 4), self.instruction("LAY", 1.9, 4))
        bets = [report.bet_id for report in resting.instruction_reports]
        update = types.UpdateInstruction(bet_id=bets[0], new_persistence_type=enums.PersistenceType.PERSIST)
        self.update(update)
        self.update(update)  # refused: nothing to change
        replacement = types.ReplaceInstruction(bet_id=bets[0], new_price=3.5)
        self.ask(orders.ReplaceOrders, market_id=MATCH, instructions=[replacement])
        self.ask(orders.ReplaceOrders, market_id=MATCH, instructions=[replacement])  # refused: gone
        self.current()
        cancel = types.CancelInstruction(bet_id=bets[1], size_reduction=1)
        self.ask(orders.CancelOrders, market_id=MATCH, instructions=[cancel])
        gone = types.CancelInstruction(bet_id=matched.instruction_reports[0].bet_id)
        self.ask(orders.CancelOrders, market_id=MATCH, instructions=[gone])  # refused: nothing is left
        self.ask(orders.CancelOrders, market_id=MATCH)
        self.books()

    def update(self, *instructions: Any) -> None:
        """Read the halves of this report: its type wants an errorCode in a success, which Betfair's own has not."""
        asked = orders.UpdateOrders.with_params(market_id=MATCH, instructions=list(instructions), customer_ref="two")
        url = self.endpoints.url_for_request(asked)
        result = self.session.post(url, headers=asked.headers(), data=asked.body()).json()["result"]
        decode(encode({"errorCode": None, **result}), types.UpdateExecutionReport)
        self.read["UpdateOrders"] = self.read.get("UpdateOrders", 0) + 1

    def current(self) -> None:
        for projection in enums.OrderProjection:
            self.ask(orders.ListCurrentOrders, order_projection=projection, include_item_description=True)
        for by in enums.OrderBy:
            self.ask(orders.ListCurrentOrders, order_by=by)

    def results(self) -> None:
        self.sandbox.control("remove", marketId=RACE, selectionId=3)
        self.sandbox.control("bsp", marketId=RACE)
        self.books()
        self.current()
        self.sandbox.control("settle", marketId=RACE, winners=[1])
        self.sandbox.control("settle", marketId=MATCH, winners=[1])
        for status in enums.BetStatus:
            self.ask(orders.ListClearedOrders, bet_status=status, include_item_description=True)
        for group in enums.GroupBy:
            self.ask(orders.ListClearedOrders, bet_status=enums.BetStatus.SETTLED, group_by=group)
        self.books()

    def account(self) -> None:
        self.ask(account_operations.GetAccountFunds)
        self.ask(account_operations.GetAccountDetails)
        week = datetime.now(UTC) - timedelta(days=7)
        span = accounts.operations.TimeRange(from_=week)
        assert self.ask(account_operations.GetAccountStatement, item_date_range=span).account_statement
        for item in accounts.enums.IncludeItem:
            self.ask(account_operations.GetAccountStatement, include_item=item)
        assert self.ask(account_operations.ListCurrencyRates)
        self.ask(race_status.ListRaceDetails)
        for seconds in (10, 0):
            self.ask(heartbeat.Heartbeat, preferred_timeout_seconds=seconds)

    def errors(self) -> None:
        negative = self.refused(heartbeat.Heartbeat, preferred_timeout_seconds=-1)
        many = self.refused(listings.ListMarketBook, market_ids={f"1.{number}" for number in range(300)})
        assert (negative, many) == ("INVALID_INPUT_DATA", "TOO_MUCH_DATA"), (negative, many)
        self.session.headers["X-Authentication"] = "gone"
        for operation, params in (
            (account_operations.GetAccountFunds, {}),
            (listings.ListEvents, {"filter": types.MarketFilter()}),
            (heartbeat.Heartbeat, {"preferred_timeout_seconds": 10}),
        ):
            assert self.refused(operation, **params) == "INVALID_SESSION_INFORMATION"

    # -- the stream --------------------------------------------------------------------------------------------------

    def stream(self, change: Callable[[], None]) -> None:
        """Read every line of a market and an order subscription while something happens, and of a refusal."""
        data = stream_types.MarketDataFilter(fields=set(MarketDataFilterFields), ladder_levels=10)
        asked = stream_types.OrderFilter(partition_matched_by_strategy_ref=True)
        client = ExchangeStream(self.sandbox.options.app_key, str(self.session.headers["X-Authentication"]))
        # Registered before the greeting is read, they go out with the authentication.
        client.subscribe(MarketSubscription(id=1, market_filter=stream_types.MarketFilter(), market_data_filter=data,
                                            heartbeat_ms=500))  # fmt: skip
        client.subscribe(OrderSubscription(id=2, heartbeat_ms=500, order_filter=asked))
        with StreamClient(self.sandbox) as connection:
            client.handle_msg(stream_decode(json.dumps(connection.greeting)))
            connection.send_bytes(client.connect())
            self._hear(client, connection, ("MCM SUB_IMAGE", "OCM SUB_IMAGE"))
            change()
            self._hear(client, connection, _STREAM)
            connection.send_bytes(b'{"op":"nonsense"}\r\n')
            try:
                self._hear(client, connection, ("a status that ends it",))
            except StreamError as error:
                self._expect("INVALID_INPUT", error)
                self.read["Status FAILURE"] = 1

    def _hear(self, client: ExchangeStream, connection: StreamClient, wanted: Sequence[str]) -> None:
        ends = time.monotonic() + _DEADLINE_S
        while missing := set(wanted) - set(self.read):
            assert time.monotonic() < ends, f"not heard of: {sorted(missing)}"
            message = client.handle_msg(stream_decode(connection.line()))
            client.authenticated = True
            for name in _features(message):
                self.read[name] = self.read.get(name, 0) + 1


def _features(message: Any) -> Iterator[str]:
    """Name what a message has, as `MCM HEARTBEAT` or `mc.rc.atb`."""
    kind = type(message).__name__
    change = getattr(message, "ct", None)
    yield f"{kind} {change.value if change else getattr(message, 'status_code', 'update')}"
    for market in getattr(message, "mc", None) or ():
        yield from (f"mc.{name}" for name in ("market_definition", "tv") if getattr(market, name) is not None)
        for runner in market.rc or ():
            yield from (f"mc.rc.{name}" for name in runner.__struct_fields__ if getattr(runner, name) is not None)
    for market in getattr(message, "oc", None) or ():
        yield from ("oc.closed" for _ in range(bool(market.closed)))
        for runner in market.orc or ():
            yield from (f"oc.orc.{name}" for name in runner.__struct_fields__ if getattr(runner, name))


_LADDERS = ("atb", "atl", "batb", "batl", "bdatb", "bdatl", "trd", "tv", "ltp", "spb", "spl", "spn", "spf")
_STREAM = (
    "Status SUCCESS", "MCM HEARTBEAT", "OCM HEARTBEAT", "MCM update", "OCM update", "mc.market_definition",
    *(f"mc.rc.{name}" for name in _LADDERS), "oc.closed", "oc.orc.uo", "oc.orc.mb", "oc.orc.ml", "oc.orc.smc",
)  # fmt: skip


def requests_of(root: type[Request]) -> Iterator[type[Request]]:
    """Yield every operation that betfair_parser has types for."""
    for found in root.__subclasses__():
        if not found.__name__.startswith("_"):
            yield found
        yield from requests_of(found)


def main() -> None:
    reader = Reader(RunningSandbox.at(Path(sys.argv[1])))
    reader.identity()
    reader.markets()
    reader.lists()

    def a_day() -> None:
        reader.orders()
        reader.results()

    reader.stream(a_day)
    reader.account()
    reader.errors()
    unread = {found.__name__ for found in requests_of(Request)} - set(reader.read)
    print(json.dumps({"read": reader.read, "unread": sorted(unread)}))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
