"""The control API: what a test does to the exchange that no customer can.

Owns: /sandbox/*. Invariant: a mistake in a request answers 400 with the name of the field and changes nothing. It asks
for no password: the sandbox serves loopback. Units: sizes in account currency, `seconds` in seconds.
"""

from collections.abc import Callable
from typing import Any, Final

from tornado.web import RequestHandler

from executor.sandbox.control_markets import (
    between,
    markets_action,
    need,
    prices_action,
    settle_action,
    void_action,
)
from executor.sandbox.faults import ANY, KINDS, METHODS, Fault, applies
from executor.sandbox.order_lists import order_row
from executor.sandbox.wire import BadValue, Json, Params, RpcError, dump_json, parse_json
from executor.sandbox.world import World

_MAX_DELAY_S: Final = 600
_MAX_COUNT: Final = 1_000_000


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
        "markets": ("POST", markets_action),
        "prices": ("POST", prices_action),
        "settle": ("POST", settle_action),
        "void": ("POST", void_action),
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


def _faults(world: World, params: Params) -> list[Json]:
    if params.values:
        method = params.choice("method", (ANY, *METHODS), ANY)
        kind = need(params, "kind").text("kind")
        methods = METHODS if method == ANY else (method,)
        if not any(applies(kind, name) for name in methods):
            raise BadValue(f"kind is not one of {', '.join(KINDS)}, error:<code>, or cannot befall {method}")
        probability = params.amount("probability")
        if probability is not None and not 0 < probability <= 1:
            raise BadValue("probability is not in 0..1")
        count = between(params, "count", 1, _MAX_COUNT)
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
    lifetime_s = between(params, "sessionLifetime", 1, 10**9)
    world.reset(seed, balance, lifetime_s)
    return {"reset": True}
