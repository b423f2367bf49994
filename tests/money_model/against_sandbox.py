"""Random histories of an account's money at the real sandbox: the exchange's own account is the fourth book.

As `history`, but over HTTPS, in real time, and what is won is not reckoned here: it is what the sandbox's balance has
become. Markets are settled, settled again, their results taken back and given anew, void as a whole; bets are void, in
part and not after all; Redis is lost.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import redis
from support.factories import LIMITS
from support.sandbox_client import RunningSandbox
from support.trading_rig import IDENTITY, TradingRig

from executor import keys
from executor.domain.order import CancelReason, OrderStatus
from executor.engine.accounting import write_ledger
from executor.engine.cancellation import cancel_orders
from executor.engine.reconciliation import poll
from executor.engine.settlement import settle
from executor.errors import ExecutorError

D = Decimal
BALANCE: Final = D(10_000)
_MARKETS: Final = tuple(f"1.3000000{at:02}" for at in range(8))
_RUNNERS: Final = (1, 2)


@dataclass
class SandboxHistory:
    """One run; `client` is of the rig's Redis."""

    seed: int
    rig: TradingRig
    sandbox: RunningSandbox
    client: "redis.Redis"
    log: list[str] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)  # market -> settled, back or void

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)  # noqa: S311 - a script
        self.signals = 0
        for market in _MARKETS:
            self._offer(market, D(self.dice.choice(["3", "7.5", "1000"])))
        self._resume()

    def _offer(self, market: str, size: Decimal) -> None:
        levels = {"availableToBack": [["2.5", str(size)]], "availableToLay": [["2.6", str(size)]]}
        self.sandbox.control("markets", marketId=market, runners=[{"selectionId": one, **levels} for one in _RUNNERS])

    def _resume(self) -> None:
        poll(self.rig.engine)
        self.client.set(keys.TRADING_ENABLED, "true")
        for name, value in LIMITS.items():
            self.client.hset(keys.LIMITS, name, value)

    def _open(self) -> list[str]:
        return [market for market in _MARKETS if market not in self.results]

    # --- steps -------------------------------------------------------------------------------------------------------

    def place(self) -> None:
        market = self.dice.choice(self._open()[:3])  # few at a time, so that each has several bets
        self.signals += 1
        leg = {
            "selectionId": str(self.dice.choice(_RUNNERS)),
            "recommendedOdds": self.dice.choice(["2.4", "2.5", "2.6", "2.8"]),
            "stake": self.dice.choice(["5", "7.01", "10", "33"]),
            "betType": self.dice.choice(["Back", "Lay"]),
        }
        self.log.append(f"    {self.rig.trade(f'signal-{self.signals}', market, primarySelection=leg)}")

    def offer(self) -> None:
        if self._open():
            self._offer(self.dice.choice(self._open()[:3]), D(self.dice.choice(["1.37", "4", "500"])))

    def cancel(self) -> None:
        pending = [order for order in self.rig.engine.store.active_orders() if order.status is OrderStatus.PENDING]
        if pending:
            cancel_orders(self.rig.engine, [self.dice.choice(pending)], CancelReason.MANUAL)

    def settle(self) -> None:
        again = [market for market, result in self.results.items() if result != "void"]
        fresh = self._open()[:3] if len(self._open()) > 1 else []
        if again or fresh:
            self._settle(self.dice.choice([*again, *fresh]))

    def _settle(self, market: str) -> None:
        self.results[market] = "settled"
        self.sandbox.control("settle", marketId=market, winners=[self.dice.choice(_RUNNERS)])

    def take_back(self) -> None:
        settled = [market for market, result in self.results.items() if result == "settled"]
        if settled:
            market = self.dice.choice(settled)
            self.results[market] = "back"
            self.sandbox.control("settle", marketId=market, reverse=True)

    def void(self) -> None:
        if len(self._open()) > 1:
            market = self.dice.choice([*self.results, *self._open()[:3]])
            self.results[market] = "void"
            self.sandbox.control("void", marketId=market)

    def void_bet(self) -> None:
        bets = [bet for bet in self._bets() if D(bet["sizeMatched"])]
        if bets:
            bet = self.dice.choice(bets)
            size = D(bet["sizeMatched"]) if self.dice.random() < 0.5 else min(D("1.37"), D(bet["sizeMatched"]))
            self.sandbox.control("void", marketId=bet["marketId"], betId=bet["betId"], size=str(size))

    def unvoid_bet(self) -> None:
        bets = [bet for bet in self._bets() if D(bet["sizeVoided"])]
        if bets:
            bet = self.dice.choice(bets)
            self.sandbox.control("void", marketId=bet["marketId"], betId=bet["betId"], reverse=True)
            if self.results.get(bet["marketId"]) == "void":
                self.results[bet["marketId"]] = "back"

    def _bets(self) -> list[Any]:
        bets: list[Any] = self.sandbox.get("orders")
        return bets

    def tick(self) -> None:
        for work in self.dice.sample([poll, settle, write_ledger], self.dice.randint(1, 3)):
            self._work(work)

    def lose_redis(self) -> None:
        self.client.flushdb()
        self.rig.engine.controls.claim_identity()
        self._resume()

    def _work(self, work: Callable[[Any], object]) -> None:
        try:
            work(self.rig.engine)
        except ExecutorError as error:
            self.log.append(f"    {work.__name__}: {type(error).__name__} {error}")

    def run(self, steps: int) -> None:
        """Take steps, then let everything come to rest: a result that was taken back is given anew."""
        for number in range(steps):
            step = self.dice.choices(list(STEPS), list(STEPS.values()))[0]
            self.log.append(f"{number} {step.__name__}")
            step(self)
        for market in _MARKETS[:-1]:  # one stays open
            if self.results.get(market, "back") == "back":
                self._settle(market)
        for _ in range(3):
            self.client.delete(keys.FULL_READ)
            for work in (poll, settle, write_ledger):
                work(self.rig.engine)

    # --- what must agree ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Compare the account's balance, Redis, the ledger and each order."""
        accounts = self.sandbox.get("accounts")["accounts"]
        earned = next(D(one["balance"]) for one in accounts if one["name"] == "sandbox") - BALANCE
        booked = sum((sum(bets.values(), D(0)) for bets in self.rig.ledger.profits(IDENTITY).values()), D(0))
        total = D(str(self.client.get(keys.PNL_TOTAL) or 0))
        self.log.append(f"earned {earned}, Redis {total}, ledger {booked}")
        assert (total, booked) == (earned, earned), self._story("Redis, ledger and the account's balance")
        for bet in self.sandbox.get("orders"):
            order = next(iter(self.rig.engine.store.orders([bet["customerOrderRef"]])), None)
            assert order is not None or not D(bet["sizeMatched"]), self._story(f"no order of {bet}")
            if order is not None:
                assert order.size_matched == D(bet["sizeMatched"]), self._story(f"{order}\n{bet}")

    def _story(self, what: str) -> str:
        return "\n".join([f"seed {self.seed}: {what} disagree", *self.log, *map(str, self.sandbox.get("orders"))])


STEPS: Final[dict[Callable[[SandboxHistory], None], int]] = {
    SandboxHistory.place: 14,
    SandboxHistory.offer: 6,
    SandboxHistory.cancel: 2,
    SandboxHistory.settle: 2,
    SandboxHistory.take_back: 1,
    SandboxHistory.void: 1,
    SandboxHistory.void_bet: 2,
    SandboxHistory.unvoid_bet: 2,
    SandboxHistory.tick: 6,
    SandboxHistory.lose_redis: 1,
}
