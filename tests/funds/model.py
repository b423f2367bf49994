"""One account, random signals, and after each of them whose arithmetic said what.

Every signal goes the whole way: our decision on a real Redis, and where it accepts, placeOrders over HTTPS. What we
refuse for want of funds is placed by hand, to see whether the exchange would have taken it, and taken back at once.
"""

import random
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from support.sandbox_client import RunningSandbox
from support.trading_rig import TradingRig

from executor.engine.account import refresh_account
from executor.engine.markets import learn
from executor.engine.reconciliation import poll
from executor.engine.settlement import settle

_MARKETS: Final = 8
_RUNNERS: Final = (1, 2, 3, 4)
_PRICES: Final = ("1.5", "2", "3", "4.5", "8", "15", "30")
_INSUFFICIENT: Final = "INSUFFICIENT_FUNDS"


@dataclass
class FundsModel:
    """What came of the signals."""

    rig: TradingRig
    sandbox: RunningSandbox
    seed: int
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pick = random.Random(self.seed)  # noqa: S311 - a seeded script
        self._opened = 0
        self._markets = [self._open() for _ in range(_MARKETS)]
        refresh_account(self.rig.engine)

    def run(self, signals: int) -> None:
        """Send signals, each followed by what may happen between two."""
        for number in range(signals):
            self._signal(number)
            self._meanwhile(number)

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def _open(self) -> str:
        """Open a market; on half of its runners somebody offers, so that some orders are matched, some in part."""
        self._opened += 1
        market_id = f"1.{700_000_000 + self.seed % 1000 * 100_000 + self._opened}"
        offers = {"availableToBack": [[3, 60], [2.5, 200]], "availableToLay": [[3.1, 60], [4, 200]]}
        nothing: dict[str, list[Any]] = {"availableToBack": [], "availableToLay": []}
        runners = [{"selectionId": runner, **(offers if runner % 2 else nothing)} for runner in _RUNNERS]
        winners = self._pick.choice([1, 1, 2])
        self.sandbox.control("markets", marketId=market_id, marketType="WIN", numberOfWinners=winners, runners=runners)
        return market_id

    def _leg(self) -> dict[str, Any]:
        pick = self._pick
        side, price = pick.choice(["Back", "Lay"]), pick.choice(_PRICES)
        stake = pick.choice([2, 10, 55.55, 150, 400]) if side == "Lay" else pick.choice([2, 33.33, 300, 1200])
        selection = str(pick.choice(_RUNNERS))
        return {"selectionId": selection, "recommendedOdds": price, "stake": stake, "betType": side}

    def _signal(self, number: int) -> None:
        market_id, message = self._pick.choice(self._markets), {"primarySelection": self._leg()}
        if self._pick.random() < 0.2:
            message["secondarySelection"] = self._leg()
        signal_id = f"funds-{self.seed}-{number}"
        step = self.rig.trade(signal_id, market_id, **message)
        record = self.rig.engine.store.signal(signal_id)
        assert record is not None
        orders = self.rig.engine.store.orders(record.order_ids)
        if any(order.reason == _INSUFFICIENT for order in orders):
            self.problems.append(f"{signal_id}: we passed what the exchange refused for want of funds: {message}")
        if record.reason == _INSUFFICIENT:
            self._count("refused")
            if self._would_take(market_id, message):
                self._count("refused, and the exchange would have taken it")
        else:
            self._count(step.verdict if not orders else f"sent: {orders[0].reason or 'taken'}")

    def _would_take(self, market_id: str, message: dict[str, dict[str, Any]]) -> bool:
        """Ask with bets that risk the same and that nobody matches: a back at 1000, a lay at 1.01."""
        report = self.sandbox.place(market_id, *[_risking_the_same(leg) for leg in message.values()])
        if report["status"] != "SUCCESS":
            return False
        bets = [{"betId": placed["betId"]} for placed in report["instructionReports"]]
        assert self.sandbox.call("cancelOrders", marketId=market_id, instructions=bets)["status"] == "SUCCESS"
        return True

    def _meanwhile(self, number: int) -> None:
        engine, pick = self.rig.engine, self._pick
        if pick.random() < 0.3:
            learn(engine)
        if pick.random() < 0.1:
            refresh_account(engine)
        if number % 10 == 0:
            poll(engine)
        if pick.random() < 0.06:
            self._end(pick.randrange(_MARKETS))
        if pick.random() < 0.03:
            self.sandbox.call("cancelOrders", marketId=pick.choice(self._markets))
            poll(engine)

    def _end(self, at: int) -> None:
        engine, market_id = self.rig.engine, self._markets[at]
        winners = self._pick.sample(_RUNNERS, self._winners(market_id))
        self.sandbox.control("settle", marketId=market_id, winners=winners)
        poll(engine)
        settle(engine)
        self._markets[at] = self._open()
        self._count("markets settled")

    def _winners(self, market_id: str) -> int:
        book = self.sandbox.call("listMarketBook", marketIds=[market_id])
        return int(book[0]["numberOfWinners"])


def _risking_the_same(leg: dict[str, Any]) -> dict[str, Any]:
    side, price, size = leg["betType"].upper(), Decimal(1000), Decimal(str(leg["stake"]))
    if side == "LAY":
        size, price = size * (Decimal(leg["recommendedOdds"]) - 1) * 100, Decimal("1.01")
    order = {"size": float(size), "price": float(price), "persistenceType": "LAPSE"}
    return {"orderType": "LIMIT", "selectionId": int(leg["selectionId"]), "side": side, "limitOrder": order}
