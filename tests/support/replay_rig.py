"""A replay in this process: a customer, a clock that the test moves, and what REST shows of its markets."""

import weakref
from decimal import Decimal
from pathlib import Path
from typing import Any

from betfair_sandbox.api.market_lists import market_book
from betfair_sandbox.api.wire import Params
from betfair_sandbox.market.accounts import Account, Caller
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Bet, Market
from betfair_sandbox.market.money import Side
from betfair_sandbox.market.placing import PlaceRequest, place
from betfair_sandbox.market.rules import read_instruction
from betfair_sandbox.replay.replay import Replay
from support.recordings import MARKET, PlainBook, write_recording

D = Decimal
BALANCE = D(100_000)
Json = dict[str, Any]


class Rig:
    """A replay with a customer and a clock that the test moves."""

    def __init__(self, path: Path, speed: int = 60, start: int | str | None = None) -> None:
        self.clock_ms = 1_000_000_000_000
        self.exchange = Exchange([Account("a", "", "", "", BALANCE)], 1, lambda: self.clock_ms)
        self.replay = Replay(self.exchange, path, lambda: self.clock_ms, D(speed), start)
        weakref.finalize(self, self.replay.close)  # a file that is left open is a warning, wherever it is found

    @property
    def market(self) -> Market:
        return self.exchange.markets[MARKET]

    def play_all(self) -> None:
        while self.replay.step(1_000):
            pass

    def place(self, market_id: str, runner: int, side: Side, price: object, size: object, **order: object) -> Bet:
        instruction = read_instruction(
            {
                "selectionId": runner,
                "side": side.value,
                "orderType": "LIMIT",
                "limitOrder": {"price": D(str(price)), "size": D(str(size)), **order},
            },
            "GBP",
        )
        report = place(self.exchange, self.exchange.accounts["a"], PlaceRequest(market_id, [instruction]))
        assert report["status"] == "SUCCESS", report
        return self.exchange.bets[int(report["instructionReports"][0]["betId"])]

    def on_close(self, runner: int, side: Side, liability: object) -> Bet:
        instruction = read_instruction(
            {
                "selectionId": runner,
                "side": side.value,
                "orderType": "MARKET_ON_CLOSE",
                "marketOnCloseOrder": {"liability": liability},
            },
            "GBP",
        )
        report = place(self.exchange, self.exchange.accounts["a"], PlaceRequest(MARKET, [instruction]))
        return self.exchange.bets[int(report["instructionReports"][0]["betId"])]

    def book(self, market_id: str) -> dict[int, Json]:
        """Return what REST shows of a market's runners."""
        params = Params({"marketIds": [market_id], "priceProjection": {"priceData": ["EX_ALL_OFFERS", "EX_TRADED"]}})
        (row,) = market_book(self.exchange, Caller(self.exchange.accounts["a"], delayed=False), params)
        return {runner["selectionId"]: runner for runner in row["runners"]}


def made(tmp_path: Path, *lines: Json | bytes, name: str = "race.jsonl") -> Rig:
    return Rig(write_recording(tmp_path / name, lines))


def offers_of(row: Json) -> list[dict[Decimal, Decimal]]:
    return [
        {level["price"]: level["size"] for level in row["ex"][name]}
        for name in ("availableToBack", "availableToLay", "tradedVolume")
    ]


def assert_same_book(rig: Rig, market_id: str, plain: PlainBook) -> None:
    for runner, row in rig.book(market_id).items():
        assert offers_of(row) == [plain.offers(runner, name) for name in ("atb", "atl", "trd")], runner


def crossed(market: Market) -> list[int]:
    found = []
    for runner in market.runners.values():
        back, lay = runner.book.best(Side.LAY), runner.book.best(Side.BACK)
        if back is not None and lay is not None and back.price >= lay.price:
            found.append(runner.selection_id)
    return found
