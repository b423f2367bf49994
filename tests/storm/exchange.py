"""The sandbox as a process of the storm, with one thing more: for a while it tells odd rows.

`python -m storm.exchange FOLDER HOST NAME...`: NAMEs are further names of its certificate. POST /sandbox/odd
{"seconds": n, "seed": text}: for so long, four rows of ten in its lists of bets are such as no reader expects, the same
ones in the same way each time; its books stay as they are. GET tells how many it has told.
"""

import sys
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

from betfair_sandbox import server
from betfair_sandbox.api.calls import Calls
from betfair_sandbox.api.codes import Api
from betfair_sandbox.api.wire import Json, Params
from betfair_sandbox.control.control_api import ControlHandler, control_routes
from betfair_sandbox.control.faults import Fault
from betfair_sandbox.journal import Entry
from betfair_sandbox.options import SandboxOptions
from betfair_sandbox.world import World

ODD_MARKET: Final = "1.999000000"  # without signals: what is counted there disturbs no limit of theirs
_SHARE: Final = 0.4
_LISTS: Final = {"listCurrentOrders": "currentOrders", "listClearedOrders": "clearedOrders"}
_Spoil = Callable[[Json], Any]

_ANY_ROW: Final[tuple[_Spoil, ...]] = (
    lambda _row: None,
    lambda row: {**row, "betId": int(row["betId"])},
    lambda row: {**row, "marketId": Decimal(str(row["marketId"]))},
    lambda row: {**row, "selectionId": str(row["selectionId"])},
    lambda row: {**row, "side": "BOTH"},
    lambda row: {**row, "orderType": "MARKET_ON_CLOSE"},
    lambda row: {**row, "orderType": "ORDER_TYPE_OF_TOMORROW"},
    lambda row: {**row, "handicap": Decimal("-1.5")},
    lambda row: {**row, "handicap": "none"},
)
_CURRENT_ROW: Final[tuple[_Spoil, ...]] = (
    lambda row: {**row, "status": "UNDER_REVIEW"},
    lambda row: {**row, "averagePriceMatched": Decimal("0.5")},
    lambda row: {**row, "averagePriceMatched": 100_000},
    lambda row: {**row, "sizeMatched": str(row["sizeMatched"])},
    lambda row: {**row, "sizeMatched": -1},
    lambda row: {**row, "sizeRemaining": None},
    lambda row: {**row, "priceSize": 2},
    lambda row: {name: value for name, value in row.items() if name != "priceSize"},
)
_SETTLED_ROW: Final[tuple[_Spoil, ...]] = (
    lambda row: {name: value for name, value in row.items() if name != "profit"},
    lambda row: {**row, "profit": "much"},
    lambda row: {**row, "betOutcome": "DRAWN"},
    lambda row: {name: value for name, value in row.items() if name != "sizeSettled"},
    lambda row: {**row, "settledDate": "yesterday"},
)


class Oddness:
    """Until when rows are odd, and how many have been told."""

    def __init__(self) -> None:
        self.until = 0.0
        self.seed = ""
        self.told = 0

    def arm(self, _world: World, params: Params) -> Json:
        self.until = time.monotonic() + float(params.amount("seconds") or 0)
        self.seed = params.text("seed")
        return self.state(_world, params)

    def state(self, _world: World, _params: Params) -> Json:
        return {"told": self.told, "odd": time.monotonic() < self.until}

    def spoil(self, method: str, value: object) -> object:
        """Return a reply with some of its rows odd."""
        name = _LISTS.get(method.rpartition("/")[2])
        if name is None or time.monotonic() >= self.until or not isinstance(value, dict):
            return value
        return {**value, name: [self._row(name, row) for row in value[name]]}

    def _row(self, name: str, row: Json) -> object:
        rng = Random(f"{self.seed}/{row.get('betId')}")  # noqa: S311 - the same rows each time
        if "betId" not in row or rng.random() >= _SHARE:
            return row
        self.told += 1
        ways = (*_ANY_ROW, *(_CURRENT_ROW if name == "currentOrders" else _SETTLED_ROW))
        return rng.choice(ways)(row)


ODDNESS: Final = Oddness()


class OddCalls(Calls):
    """The calls of the API, some of whose answers are odd; a bet by hand meets no fault."""

    async def meet_faults(self, entry: Entry) -> Fault | None:
        return None if f'"{ODD_MARKET}"'.encode() in entry.params else await super().meet_faults(entry)

    async def perform(
        self, api: Api, method: str, values: object, headers: Mapping[str, str], received_at: float
    ) -> object:
        return ODDNESS.spoil(method, await super().perform(api, method, values, headers, received_at))


def _routes(world: World) -> list[tuple[str, Any, dict[str, Any]]]:
    actions = {"POST": ODDNESS.arm, "GET": ODDNESS.state}
    return [
        ("/sandbox/odd", ControlHandler, {"world": world, "actions": actions}),
        ("/sandbox/odd/session", ControlHandler, {"world": world, "actions": {"POST": _session}}),
        *control_routes(world),
    ]


def _session(world: World, _params: Params) -> Json:
    """Log in, whatever fault is armed."""
    status, token = world.sessions.log_in(world.options.username, world.options.password)
    return {"status": status, "token": token}


if __name__ == "__main__":
    vars(server).update(Calls=OddCalls, control_routes=_routes)
    folder, host, *names = sys.argv[1:]
    server.serve(
        SandboxOptions(directory=Path(folder), host=host, port=0, cert_port=0, stream_port=0, server_names=tuple(names))
    )
