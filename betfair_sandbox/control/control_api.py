"""The control API: what a test does to the exchange that no customer can.

Owns: /sandbox/*. Invariants: a mistake in a request answers 400 with the name of the field and changes nothing; a long
list is written piece by piece, so that calls do not wait for it. It asks for no password: the sandbox serves loopback.
Units: sizes in account currency, `seconds` in seconds.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from betfair_sandbox.api.order_lists import order_row
from betfair_sandbox.api.wire import BadValue, Json, Params, RpcError, dump_json, parse_json
from betfair_sandbox.control.accounts import account_action, list_accounts, read_balance
from betfair_sandbox.control.facts import between
from betfair_sandbox.control.faults import ANY, KINDS, METHODS, STREAM_KINDS, TIMED_KINDS, Fault, applies
from betfair_sandbox.control.markets import markets_action, need, prices_action
from betfair_sandbox.control.page import PageHandler, page_state
from betfair_sandbox.control.replaying import replay_action, replay_status
from betfair_sandbox.control.results import bsp_action, remove_action, settle_action, void_action
from betfair_sandbox.market.markets import Bet
from betfair_sandbox.world import World

_MAX_DELAY_S: Final = 600
_MAX_COUNT: Final = 1_000_000
_PIECE: Final = 1_000  # rows that take about 20 ms; a shorter list shows one moment
_T = TypeVar("_T")
_Action = Callable[[World, Params], object]


@dataclass(frozen=True, slots=True)
class _Pieces:
    """A long answer."""

    content_type: str
    pieces: Iterator[bytes]


class ControlHandler(RequestHandler):
    """One path of the control API."""

    def initialize(self, world: World, actions: Mapping[str, _Action]) -> None:
        """Take the sandbox and what this path does, by HTTP method (Tornado's constructor of a handler)."""
        self._world, self._actions = world, actions

    async def get(self) -> None:
        """Answer a read."""
        query = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        await self._run("GET", query)

    async def delete(self) -> None:
        """Undo it."""
        await self._run("DELETE", {})

    async def post(self) -> None:
        """Do it."""
        try:
            body = parse_json(self.request.body) if self.request.body else {}
        except RpcError:
            self._reply({"error": "the body is not JSON"}, 400)
            return
        await self._run("POST", body)

    def write_error(self, status_code: int, **_kwargs: Any) -> None:  # noqa: ANN401 - Tornado's signature
        """Answer what Tornado refuses."""
        self.finish(dump_json({"error": f"HTTP {status_code}"}))

    async def _run(self, method: str, values: object) -> None:
        if method != "GET" and self._from_elsewhere():
            self._reply({"error": "a page of another site may not do this"}, 403)
            return
        act = self._actions.get(method)
        if act is None:
            self._reply({"error": f"use {' or '.join(self._actions)}"}, 405)
            return
        try:
            answer = act(self._world, Params(values, "body"))
        except BadValue as error:
            self._reply({"error": str(error)}, 400)
        else:
            if isinstance(answer, _Pieces):
                await self._reply_in_pieces(answer)
            else:
                self._reply(answer)

    def _from_elsewhere(self) -> bool:
        """Tell whether a browser sends this for a page that is not ours: there is no password that would stop it."""
        origin = self.request.headers.get("Origin")
        return origin is not None and urlsplit(origin).netloc != self.request.host

    def _reply(self, answer: object, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(dump_json(answer))

    async def _reply_in_pieces(self, answer: "_Pieces") -> None:
        self.set_header("Content-Type", answer.content_type)
        try:
            for piece in answer.pieces:
                self.write(piece)
                await self.flush()
                await asyncio.sleep(0)  # a socket with room makes nobody wait, and then nobody else would run
            await self.finish()
        except StreamClosedError:
            return  # the reader has seen enough


def control_routes(world: World) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Return the routes of the control API."""
    paths: dict[str, dict[str, _Action]] = {
        "journal": {"GET": _journal},
        "orders": {"GET": _orders},
        "accounts": {"GET": list_accounts, "POST": account_action},
        "markets": {"POST": markets_action},
        "prices": {"POST": prices_action},
        "settle": {"POST": settle_action},
        "void": {"POST": void_action},
        "remove": {"POST": remove_action},
        "bsp": {"POST": bsp_action},
        "faults": {"POST": _faults, "DELETE": _disarm},
        "reset": {"POST": _reset},
        "state": {"GET": page_state},
        "replay": {"GET": replay_status, "POST": replay_action},
    }
    return [
        ("/sandbox/?", PageHandler, {}),
        ("/sandbox/static/([a-z.]+)", PageHandler, {}),
        *(
            (f"/sandbox/{name}", ControlHandler, {"world": world, "actions": actions})
            for name, actions in paths.items()
        ),
    ]


def _journal(world: World, params: Params) -> _Pieces:
    since = float(params.amount("since") or 0)
    entries = world.journal.entries(params.text("method"), since)
    parts = (b"".join(entry.line() for entry in part) for part in _parts(entries))
    return _Pieces("application/x-ndjson", parts)


def _orders(world: World, params: Params) -> _Pieces:
    wanted = params.text("account")
    bets = [bet for bet in world.exchange.bets.values() if wanted in {"", bet.account}]
    return _Pieces("application/json", _order_rows(bets))


def _order_rows(bets: list[Bet]) -> Iterator[bytes]:
    opening = b"["
    for part in _parts(bets):
        rows = dump_json([{**order_row(bet), "account": bet.account} for bet in part])
        yield opening + rows[1:-1]
        opening = b","
    yield b"]" if bets else b"[]"


def _parts(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (items[start : start + _PIECE] for start in range(0, len(items), _PIECE))


def _faults(world: World, params: Params) -> list[Json]:
    if params.values:
        method = params.choice("method", (ANY, *METHODS), ANY)
        kind = need(params, "kind").text("kind")
        methods = METHODS if method == ANY else (method,)
        if not any(applies(kind, name) for name in methods):
            raise BadValue(
                f"kind is not one of {', '.join((*KINDS, *STREAM_KINDS))}, error:<code>, or cannot befall {method}"
            )
        probability = params.amount("probability")
        if probability is not None and not 0 < probability <= 1:
            raise BadValue("probability is not in 0..1")
        count = between(params, "count", 1, _MAX_COUNT)
        seconds = params.amount("seconds")
        if (seconds is None) is (kind in TIMED_KINDS):
            raise BadValue(f"seconds belongs to {', '.join(TIMED_KINDS)}, and to nothing else")
        if seconds is not None and not 0 <= seconds <= _MAX_DELAY_S:
            raise BadValue(f"seconds is not in 0..{_MAX_DELAY_S}")
        if count is None and probability is None:
            count = 1
        fault = Fault(method, kind, count, float(probability or 1), float(seconds or 0))
        if not world.faults.arm(fault):
            raise BadValue("method: too many faults are armed")
    return [fault.row() for fault in world.faults.armed()]


def _disarm(world: World, _params: Params) -> list[Json]:
    world.faults.disarm()
    return []


def _reset(world: World, params: Params) -> Json:
    seed = params.integer("seed") if params.has("seed") else None
    lifetime_s = between(params, "sessionLifetime", 1, 10**9)
    world.reset(seed, read_balance(params), lifetime_s)
    return {"reset": True}
