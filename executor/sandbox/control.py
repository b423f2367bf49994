"""The control API: what a test does to the exchange that no customer can.

Owns: /sandbox/*. Invariant: a mistake in a request answers 400 with the name of the field and changes nothing. It asks
for no password: the sandbox serves loopback. Units: sizes in account currency, `seconds` in seconds.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from tornado.web import RequestHandler

from executor.domain.money import PENNY, is_on_ladder
from executor.sandbox.faults import ANY, KINDS, METHODS, Fault, applies
from executor.sandbox.markets import Market, Runner
from executor.sandbox.order_lists import order_row
from executor.sandbox.settlement import settle, void_market, void_runner
from executor.sandbox.wire import BadValue, Json, Params, RpcError, dump_json, parse_json, to_decimal, to_integer
from executor.sandbox.world import World

_STATUSES: Final = ("INACTIVE", "OPEN", "SUSPENDED", "CLOSED")
_MAX_BET_DELAY_S: Final = 60
_MAX_DELAY_S: Final = 600
_MAX_COUNT: Final = 1_000_000
_MAX_WINNERS: Final = 100
_WHOLE_PERCENT: Final = 100
_PAIR: Final = 2
_Levels = list[tuple[Decimal, Decimal]]


class ControlHandler(RequestHandler):
    """One path of the control API."""

    def initialize(self, world: World, act: Callable[[World, Params], object], method: str) -> None:
        """Take the sandbox and what this path does (Tornado's constructor of a handler)."""
        self._world, self._act, self._method = world, act, method

    def get(self) -> None:
        """Answer a read."""
        query = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        self._run("GET", query)

    def post(self) -> None:
        """Do it."""
        try:
            body = parse_json(self.request.body) if self.request.body else {}
        except RpcError:
            self._reply({"error": "the body is not JSON"}, 400)
            return
        self._run("POST", body)

    def write_error(self, status_code: int, **_kwargs: Any) -> None:  # noqa: ANN401 - Tornado's signature
        """Answer what Tornado refuses."""
        self.finish(dump_json({"error": f"HTTP {status_code}"}))

    def _run(self, method: str, values: object) -> None:
        if method != self._method:
            self._reply({"error": f"use {self._method}"}, 405)
            return
        try:
            answer = self._act(self._world, Params(values, "body"))
        except BadValue as error:
            self._reply({"error": str(error)}, 400)
        else:
            self._reply(answer)

    def _reply(self, answer: object, status: int = 200) -> None:
        self.set_status(status)
        is_text = isinstance(answer, bytes)
        self.set_header("Content-Type", "application/x-ndjson" if is_text else "application/json")
        self.finish(answer if isinstance(answer, bytes) else dump_json(answer))


def control_routes(world: World) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Return the routes of the control API."""
    actions: dict[str, tuple[str, Callable[[World, Params], object]]] = {
        "journal": ("GET", _journal),
        "orders": ("GET", _orders),
        "accounts": ("GET", _accounts),
        "markets": ("POST", _markets),
        "prices": ("POST", _prices),
        "settle": ("POST", _settle),
        "void": ("POST", _void),
        "faults": ("POST", _faults),
        "reset": ("POST", _reset),
    }
    return [
        (f"/sandbox/{name}", ControlHandler, {"world": world, "act": act, "method": method})
        for name, (method, act) in actions.items()
    ]


def _journal(world: World, params: Params) -> bytes:
    since = float(params.amount("since") or 0)
    return b"".join(world.journal.lines(params.text("method"), since))


def _orders(world: World, _params: Params) -> list[Json]:
    return [order_row(bet) for bet in world.exchange.bets.values()]


def _accounts(world: World, _params: Params) -> Json:
    exchange = world.exchange
    accounts = [
        {
            "name": account.name,
            "balance": account.balance,
            "exposure": account.exposure,
            "available": account.available,
            "commission": account.commission_paid,
        }
        for account in exchange.accounts.values()
    ]
    return {"accounts": accounts, "house": exchange.house.balance, "rounding": exchange.rounding}


def _markets(world: World, params: Params) -> Json:
    exchange = world.exchange
    market_id = _need(params, "marketId").text("marketId")
    status = params.choice("status", _STATUSES)
    delay_s = _between(params, "betDelay", 0, _MAX_BET_DELAY_S)
    winners = _between(params, "numberOfWinners", 1, _MAX_WINNERS)
    rate = params.amount("marketBaseRate")
    if rate is not None and not 0 <= rate <= _WHOLE_PERCENT:
        raise BadValue("marketBaseRate is not in 0..100")
    inplay = params.flag("inplay") if params.has("inplay") else None
    runners = [_read_runner(item) for item in params.items("runners")]
    texts = {name: params.text(name) for name in ("name", "marketType", "eventName")}
    known = market_id in exchange.markets
    market = exchange.market(market_id)
    if market is None:
        raise BadValue("marketId does not look like 1.234567890, or there are too many markets")
    if market.results and (status or inplay is not None or runners):
        raise BadValue("marketId is a settled market")
    if runners and not known:
        market.grows = False
    market.name = texts["name"] or market.name
    market.market_type = texts["marketType"] or market.market_type
    market.event_name = texts["eventName"] or market.event_name
    market.base_rate = market.base_rate if rate is None else rate
    market.bet_delay_s = market.bet_delay_s if delay_s is None else delay_s
    market.winners = market.winners if winners is None else winners
    for selection_id, name, to_back, to_lay in runners:
        runner = exchange.runner(market, selection_id, name)
        if to_back is not None and to_lay is not None:
            exchange.set_prices(market, runner, to_back, to_lay)
    if inplay is not None and inplay != market.inplay:
        _turn(world, market, inplay=inplay)
    if status and status != market.status:
        _set_status(world, market, status)
    return _described(market)


def _turn(world: World, market: Market, *, inplay: bool) -> None:
    market.inplay = inplay
    world.exchange.bump(market)
    if inplay:
        lapsing = [bet for bet in market.bets.values() if bet.persistence == "LAPSE"]
        world.exchange.lapse(market, lapsing, "SP_IN_PLAY")


def _set_status(world: World, market: Market, status: str) -> None:
    market.status = status
    world.exchange.bump(market)
    if status == "CLOSED":
        world.exchange.lapse(market, list(market.bets.values()), "MKT_INVALID")


def _prices(world: World, params: Params) -> Json:
    market_id = _need(params, "marketId").text("marketId")
    selection_id = _need(params, "selectionId").integer("selectionId")
    to_back, to_lay = _read_offers(params)
    if to_back is None or to_lay is None:
        raise BadValue("availableToBack or availableToLay is missing")
    market = world.exchange.market(market_id)
    if market is None or market.status == "CLOSED":
        raise BadValue("marketId is not an open market")
    if selection_id not in market.runners and not market.grows:
        raise BadValue("selectionId is not a runner of the market")
    runner = world.exchange.runner(market, selection_id)
    if runner.status != "ACTIVE":
        raise BadValue("selectionId is a removed runner")
    world.exchange.set_prices(market, runner, to_back, to_lay)
    return _described(market)


def _settle(world: World, params: Params) -> Json:
    market = _known_market(world, params)
    if not params.has("winners"):
        raise BadValue("winners is missing")
    winners = {to_integer(item, "winners") for item in params.items("winners")}
    for winner in winners:
        if winner not in market.runners or market.runners[winner].status == "REMOVED":
            raise BadValue(f"winners: {winner} is not a runner of the market")
    if len(winners) > market.winners:
        raise BadValue(f"winners: the market has {market.winners}, dead heats are not offered")
    settle(world.exchange, market, winners)
    return _described(market)


def _void(world: World, params: Params) -> Json:
    market = _known_market(world, params)
    if not params.has("selectionId"):
        void_market(world.exchange, market)
        return _described(market)
    runner = market.runners.get(params.integer("selectionId"))
    if runner is None or runner.status == "REMOVED":
        raise BadValue("selectionId is not a runner of the market")
    void_runner(world.exchange, market, runner)
    return _described(market)


def _faults(world: World, params: Params) -> list[Json]:
    if params.values:
        method = params.choice("method", (ANY, *METHODS), ANY)
        kind = _need(params, "kind").text("kind")
        methods = METHODS if method == ANY else (method,)
        if not any(applies(kind, name) for name in methods):
            raise BadValue(f"kind is not one of {', '.join(KINDS)}, error:<code>, or cannot befall {method}")
        probability = params.amount("probability")
        if probability is not None and not 0 < probability <= 1:
            raise BadValue("probability is not in 0..1")
        count = _between(params, "count", 1, _MAX_COUNT)
        seconds = params.amount("seconds")
        if (seconds is None) is (kind == "delay"):
            raise BadValue("seconds belongs to a delay, and to nothing else")
        if seconds is not None and not 0 <= seconds <= _MAX_DELAY_S:
            raise BadValue(f"seconds is not in 0..{_MAX_DELAY_S}")
        if count is None and probability is None:
            count = 1
        fault = Fault(method, kind, count, float(probability or 1), float(seconds or 0))
        if not world.faults.arm(fault):
            raise BadValue("method: too many faults are armed")
    return [
        {
            "method": fault.method,
            "kind": fault.kind,
            "count": fault.count,
            "probability": fault.probability,
            "seconds": fault.seconds,
        }
        for fault in world.faults.armed()
    ]


def _reset(world: World, params: Params) -> Json:
    seed = params.integer("seed") if params.has("seed") else None
    balance = params.amount("balance")
    if balance is not None and balance < 0:
        raise BadValue("balance is negative")
    lifetime_s = _between(params, "sessionLifetime", 1, 10**9)
    world.reset(seed, balance, lifetime_s)
    return {"reset": True}


def _need(params: Params, name: str) -> Params:
    if not params.has(name):
        raise BadValue(f"{name} is missing")
    return params


def _between(params: Params, name: str, low: int, high: int) -> int | None:
    if not params.has(name):
        return None
    value = params.integer(name)
    if not low <= value <= high:
        raise BadValue(f"{name} is not in {low}..{high}")
    return value


def _known_market(world: World, params: Params) -> Market:
    market = world.exchange.markets.get(_need(params, "marketId").text("marketId"))
    if market is None:
        raise BadValue("marketId is unknown")
    return market


def _read_runner(item: object) -> tuple[int, str, _Levels | None, _Levels | None]:
    if isinstance(item, int) and not isinstance(item, bool):
        return _positive(item), "", None, None
    params = Params(item, "runners")
    selection_id = _positive(_need(params, "selectionId").integer("selectionId"))
    return (selection_id, params.text("name"), *_read_offers(params))


def _positive(selection_id: int) -> int:
    if selection_id <= 0:
        raise BadValue("selectionId is not positive")
    return selection_id


def _read_offers(params: Params) -> tuple[_Levels | None, _Levels | None]:
    """Return what is available to back and to lay; (None, None) when neither is given."""
    if not params.has("availableToBack") and not params.has("availableToLay"):
        return None, None
    to_back = [_read_level(item, "availableToBack") for item in params.items("availableToBack")]
    to_lay = [_read_level(item, "availableToLay") for item in params.items("availableToLay")]
    if to_back and to_lay and max(to_back)[0] >= min(to_lay)[0]:
        raise BadValue("availableToBack and availableToLay cross")
    return to_back, to_lay


def _read_level(item: object, name: str) -> tuple[Decimal, Decimal]:
    if isinstance(item, dict):
        item = [item.get("price"), item.get("size")]
    if not isinstance(item, list) or len(item) != _PAIR:
        raise BadValue(f"{name} is not a list of [price, size]")
    price, size = to_decimal(item[0], name), to_decimal(item[1], name)
    if not is_on_ladder(price):
        raise BadValue(f"{name}: {price} is not on the price ladder")
    if size <= 0 or size != size.quantize(PENNY):
        raise BadValue(f"{name}: {size} is not a size in pennies")
    return price, size


def _described(market: Market) -> Json:
    return {
        "marketId": market.market_id,
        "status": market.status,
        "inplay": market.inplay,
        "betDelay": market.bet_delay_s,
        "version": market.version,
        "runners": [_described_runner(runner) for runner in market.runners.values()],
    }


def _described_runner(runner: Runner) -> Json:
    return {"selectionId": runner.selection_id, "status": runner.status}
