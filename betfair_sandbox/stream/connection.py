"""One client's connection: its requests, its subscriptions, what it may not do, and how it ends.

Owns: the protocol's states and time limits. Invariants: nothing is processed before authentication; every request gets
one status; every error but one closes the connection; what a client does not read is not piled up for it. Betfair:
Exchange Stream API. Units: milliseconds.
"""

import asyncio
import time
from typing import Final, Protocol

from betfair_sandbox.api.wire import ApiError, BadValue, Json, Params, RpcError, dump_json, parse_request
from betfair_sandbox.journal import Entry
from betfair_sandbox.market.accounts import Caller
from betfair_sandbox.stream.filters import DataFilter, MarketFilter, OrderFilter
from betfair_sandbox.stream.market_subscription import MAX_MARKETS, MarketSubscription
from betfair_sandbox.stream.order_subscription import OrderSubscription
from betfair_sandbox.stream.subscription import END, Pace, request_id_of
from betfair_sandbox.world import World

_MAX_LINE: Final = 1024 * 1024  # a subscription to 20,000 markets by id has 300 KB
_IDLE_MS: Final = 15_000  # Betfair: until it is subscribed, a connection says something within this
_STUCK_MS: Final = 15_000  # a client that takes nothing for so long is cut off
_LOOK_MS: Final = 100  # how often it is looked whether a fault is meant for this client
_WRITE_BUFFER: Final = 256 * 1024
_SECRETS: Final = ("session", "appKey")


class Refusal(Exception):
    """A request ends in FAILURE."""

    def __init__(self, code: str, message: str, *, closes: bool = True) -> None:
        super().__init__(code, message)
        self.code, self.message, self.closes = code, message, closes


class Gate(Protocol):
    """The port, as a connection sees it."""

    world: World

    def now_ms(self) -> int:
        """Return the time of day."""

    def open(self, connection: "Connection") -> int | None:
        """Take in a connection: its number, None when there are too many."""

    def closed(self, connection: "Connection") -> None:
        """Forget a connection."""

    def admit(self, connection: "Connection", account: str) -> int:
        """Return how many connections more the account may open after this one."""

    def strike_request(self, name: str, entry: Entry) -> None:
        """Refuse a request that a fault is meant for."""

    def strike_clock(self, name: str) -> bool:
        """Tell whether a fault makes the clocks of this subscription worthless."""

    def strike_running(self, connection: "Connection", name: str, now_ms: int) -> None:
        """Let a running subscription meet what is meant for it."""


class Connection(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self, listener: Gate) -> None:
        self._listener = listener
        self._hub = listener.world.hub
        self.connection_id = ""
        self.caller: Caller | None = None
        self.token = ""
        self.markets: MarketSubscription | None = None
        self.orders: OrderSubscription | None = None
        self.silent_until_ms = self.unhealthy_until_ms = 0
        self._asked: dict[str, tuple[object, Json]] = {}
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._heard_ms = self._looked_ms = 0
        self._stuck_since_ms: int | None = None

    # -- asyncio.Protocol --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or hang up when there are too many."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's promise, for the type
        transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self._transport = transport
        self._heard_ms = self._listener.now_ms()
        number = self._listener.open(self)
        if number is None:
            transport.abort()
            return
        self.connection_id = f"001-{time.strftime('%d%m%y%H%M%S', time.gmtime())}-{number}"
        self._hub.join(self)
        self._write({"op": "connection", "connectionId": self.connection_id})

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the client."""
        for subscription in (self.markets, self.orders):
            self._hub.end(subscription)
        self.markets = self.orders = self._transport = None
        self._asked.clear()
        self._hub.leave(self)
        self._listener.closed(self)

    def data_received(self, data: bytes) -> None:
        """Take requests: a line each, ended by CRLF."""
        self._buffer += data
        self._take_requests()
        if len(self._buffer) > _MAX_LINE and END not in self._buffer:
            self._fail(None, Refusal("INVALID_INPUT", "the request is too long"))

    def _take_requests(self) -> None:
        # What a client asks for while it reads nothing waits here: its answers would pile up.
        while self._transport is not None and self._stuck_since_ms is None and (end := self._buffer.find(END)) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + len(END)]
            self._heard_ms = self._listener.now_ms()
            self._request(line)

    def pause_writing(self) -> None:
        """Read nothing more from a client that does not read either."""
        self._stuck_since_ms = self._listener.now_ms()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on: the client has caught up."""
        self._stuck_since_ms = None
        if self._transport is not None:
            self._transport.resume_reading()
            asyncio.get_running_loop().call_soon(self._take_requests)

    # -- the hub's side ----------------------------------------------------------------------------------------------

    def pump(self, now_ms: int) -> None:
        """Send what is due; a client that does not read gets everything merged when it does."""
        if now_ms - self._looked_ms >= _LOOK_MS:
            self._looked_ms = now_ms
            for name in self._asked:
                self._listener.strike_running(self, name, now_ms)
        if self._transport is None or now_ms < self.silent_until_ms:
            return
        if self._stuck_since_ms is not None:
            if now_ms - self._stuck_since_ms > _STUCK_MS:
                self.cut()
            return
        if self.caller is not None and self._listener.world.options.stream_ends_with_session and not self._alive():
            self._fail(None, Refusal("INVALID_SESSION_INFORMATION", "the session has ended"))
            return
        subscriptions = [subscription for subscription in (self.markets, self.orders) if subscription is not None]
        if not subscriptions and now_ms - self._heard_ms >= _IDLE_MS:
            text = f"{self.connection_id} is not subscribed and is idle: {_IDLE_MS} ms"
            self._fail(None, Refusal("TIMEOUT", text))
            return
        for subscription in subscriptions:
            for message in subscription.due(now_ms, unhealthy=now_ms < self.unhealthy_until_ms):
                self._send(message)

    def restart(self) -> None:
        """Subscribe anew by itself: the exchange was reset, and its images replace what the client holds."""
        for name, (request_id, request) in list(self._asked.items()):
            if self.caller is None:
                return
            account = self._listener.world.exchange.accounts.get(self.caller.account.name)
            if account is None:
                self._fail(None, Refusal("INVALID_SESSION_INFORMATION", "the account is gone"))
                return
            self.caller = Caller(account, self.caller.delayed)
            plain = {key: value for key, value in request.items() if key not in {"clk", "initialClk"}}
            try:
                self._subscribe(name, request_id, plain)
            except Refusal as refusal:
                self._fail(None, refusal)

    def strike_unhealthy(self, now_ms: int, until_ms: int) -> None:
        """Say until then only that the data are behind."""
        self.unhealthy_until_ms = until_ms
        for subscription in (self.markets, self.orders):
            if subscription is not None and self._stuck_since_ms is None:
                self._send(subscription.say_unhealthy(now_ms))

    def cut(self) -> None:
        """Break the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    # -- requests ----------------------------------------------------------------------------------------------------

    def _request(self, line: bytes) -> None:
        request_id: int | None = None
        entry: Entry | None = None
        journal = self._listener.world.journal
        try:
            try:
                request = parse_request(line)
            except RpcError:
                raise Refusal("INVALID_INPUT", "the request is not JSON") from None
            params = Params(request, "the request")
            request_id = request_id_of(params.raw("id"))
            name = params.text("op")
            shown = {key: value for key, value in params.values.items() if key not in _SECRETS}
            entry = journal.open(time.time(), name[:100], shown)
            entry.account = self.caller.account.name if self.caller is not None else None
            self._listener.strike_request(name, entry)
            status = self._act(name, request_id, params.values)
        except Refusal as refusal:
            self._note(entry, refusal.code)
            self._fail(request_id, refusal)
        except ApiError as error:
            self._note(entry, error.code)
            self._fail(request_id, Refusal(error.code, error.details or error.code.replace("_", " ").lower()))
        except BadValue as error:
            self._note(entry, "INVALID_INPUT")
            self._fail(request_id, Refusal("INVALID_INPUT", str(error)))
        else:
            entry.status = "SUCCESS"
            entry.account = self.caller.account.name if self.caller is not None else None
            self._write(
                {"op": "status", "id": request_id, "statusCode": "SUCCESS", "connectionClosed": False, **status}
            )
            if name in {"marketSubscription", "orderSubscription"}:
                self.pump(self._listener.now_ms())

    def _note(self, entry: Entry | None, code: str) -> None:
        if entry is not None:
            entry.status, entry.error = "FAILURE", code

    def _act(self, name: str, request_id: int | None, request: Json) -> Json:
        if name == "authentication":
            return self._authenticate(Params(request))
        if name not in {"heartbeat", "marketSubscription", "orderSubscription"}:
            raise Refusal("INVALID_INPUT", "op is unknown")
        if self.caller is None:
            raise Refusal("NOT_AUTHORIZED", "the connection is not authenticated")
        if name != "heartbeat":
            self._subscribe(name, request_id, request)
        return {}

    def _authenticate(self, params: Params) -> Json:
        token = params.text("session")
        headers = {"X-Application": params.text("appKey"), "X-Authentication": token}
        caller = self._listener.world.sessions.caller(headers)
        if self.caller is not None and self.caller.account is not caller.account:
            raise Refusal("INVALID_REQUEST", "the connection belongs to another account")
        available = self._listener.admit(self, caller.account.name)
        self.caller, self.token = caller, token
        return {"connectionsAvailable": available}

    def _subscribe(self, name: str, request_id: object, request: Json) -> None:
        assert self.caller is not None  # noqa: S101 - looked at by the callers, for the type
        params = Params(request)
        pace = Pace.read(params, delayed=self.caller.delayed)
        since: int | None = None
        clocks = (params.raw("initialClk"), params.raw("clk"))
        if any(clocks):
            since = None if self._listener.strike_clock(name) else self._hub.clock.since(request, *clocks)
            if since is None:
                raise Refusal("INVALID_CLOCK", "initialClk and clk are not of this subscription, or too old")
        if name == "marketSubscription":
            self._subscribe_markets(request_id, request, pace, since)
        else:
            self._subscribe_orders(request_id, request, pace, since)
        self._asked[name] = (request_id, request)

    def _subscribe_markets(self, request_id: object, request: Json, pace: Pace, since: int | None) -> None:
        params = Params(request)
        criteria = (MarketFilter.read(params.child("marketFilter")), DataFilter.read(params.child("marketDataFilter")))
        new = MarketSubscription(request_id, request, pace, self._hub.clock, criteria, self._hub.rendered)
        asked = self._hub.count(new)
        if asked > MAX_MARKETS:
            text = f"trying to subscribe to {asked} markets, more than the allowed {MAX_MARKETS}"
            raise Refusal("SUBSCRIPTION_LIMIT_EXCEEDED", text, closes=False)
        self._hub.end(self.markets)
        self.markets = new
        self._hub.subscribe_markets(new)
        if since is not None:
            new.resume(since)

    def _subscribe_orders(self, request_id: object, request: Json, pace: Pace, since: int | None) -> None:
        assert self.caller is not None  # noqa: S101 - as above
        asked = OrderFilter.read(Params(request).child("orderFilter"))
        image = self._hub.order_image(self.caller.account.name)
        if since is not None and since < image.born:
            raise Refusal("INVALID_CLOCK", "clk is too old")
        self._hub.end(self.orders)
        self.orders = OrderSubscription(request_id, request, pace, self._hub.clock, asked, image)
        self._hub.subscribe_orders(self.orders)
        if since is not None:
            self.orders.resume(since)

    # -- writing -----------------------------------------------------------------------------------------------------

    def _alive(self) -> bool:
        return self._listener.world.sessions.owner(self.token) is not None

    def _fail(self, request_id: int | None, refusal: Refusal) -> None:
        status: Json = {"op": "status", "statusCode": "FAILURE", "connectionClosed": refusal.closes}
        if request_id is not None:
            status["id"] = request_id
        status |= {"errorCode": refusal.code, "errorMessage": refusal.message, "connectionId": self.connection_id}
        self._write(status)
        if refusal.closes and self._transport is not None:
            self._transport.close()
            self._transport = None

    def _write(self, message: Json) -> None:
        self._send(dump_json(message) + END)

    def _send(self, data: bytes) -> None:
        if self._transport is not None and self._listener.now_ms() >= self.silent_until_ms:
            self._transport.write(data)
