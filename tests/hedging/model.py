"""One position that is due, forty ticks of accidents, and after each of them what must hold.

Nothing but hedges is traded: the selection's exposure may only go down; one hedge at a time is live; no order is sent
twice; none is larger than what brings the position to its target, by arithmetic of the model's own; each is explained;
and once the market is calm the position is at its target.
"""

import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from support.engine_rig import MARKET, Rig, make_policy

from executor.domain.exposure import exposures
from executor.domain.hedge import HEDGE, HedgePolicy, Quote, Quotes
from executor.domain.money import LADDER, PENNY, ZERO, Side
from executor.domain.order import Order, OrderStatus
from executor.domain.signal_record import SignalRecord
from executor.engine.cancellation import cancel_unmatched
from executor.engine.hedging import hedge
from executor.engine.placement import place
from executor.engine.reconciliation import poll
from executor.engine.sweeping import sweep
from executor.engine.validation import validate
from executor.errors import ExecutorError

SELECTION: Final = 123456
LIMIT: Final = Decimal(200)
TICKS: Final = 40
_LIVE: Final = {OrderStatus.RESERVED, OrderStatus.SUBMITTED, OrderStatus.PENDING}
POLICY: Final = HedgePolicy("trade", Decimal(90), Decimal(50), 3)


class Killed(Exception):
    """The worker died."""


class HedgeModel:
    """A rig with one position, and what was seen of it."""

    def __init__(self, seed: int) -> None:
        self._pick = random.Random(seed)  # noqa: S311 - a seeded script
        self.rig = Rig(policy=make_policy(hedge=POLICY))
        self.problems: list[str] = []
        self.seed = seed
        self._queue: list[SignalRecord] = []
        self._judged: set[str] = set()
        self._at = self._pick.randint(120, 200)  # a rung of the ladder, 2.4 to 4.4
        self._quote()
        self._take_position()
        self.first = self.exposure(matched_only=True)
        self._matched, self._counted = self.first, self.exposure(matched_only=False)

    def _take_position(self) -> None:
        side, price = self._pick.choice(list(Side)), LADDER[self._at]
        for number in range(4):
            size = Decimal(48) if side is Side.BACK else (Decimal(47) / (price - 1)).quantize(Decimal("0.01"))
            leg = {"selectionId": str(SELECTION), "recommendedOdds": str(price), "stake": str(size), "betType": side}
            order = self.rig.placed(f"own-{number}", primarySelection=leg)
            self.rig.exchange.match(order.bet_id, f"{order.size}")
        poll(self.rig.engine)

    def exposure(self, *, matched_only: bool) -> Decimal:
        orders = self.rig.memory.orders.values()
        return exposures(orders, matched_only=matched_only).get(SELECTION, ZERO)

    def hedges(self) -> list[Order]:
        return [order for order in self.rig.memory.orders.values() if order.strategy == HEDGE]

    def run(self) -> "HedgeModel":
        """Let accidents happen, then calm; check after each step."""
        for _ in range(TICKS):
            self._step(self._pick.choice(self._accidents()))
        self._calm()
        return self

    def _accidents(self) -> list[Callable[[], object]]:
        rig = self.rig
        return [
            *[self._tick] * 4,
            *[self._chain] * 4,
            *[self._fill] * 3,
            self._quote,
            self._suspend,
            lambda: setattr(rig.memory, "trading", self._pick.choice(["true", "true", "false"])),
            lambda: self._tick(self._pick.choice(["note_hedge", "record", "explain_hedge", "dispatch"])),
            lambda: self._chain(killed=True),
            self._time_passes,
        ]

    def _step(self, work: Callable[[], object]) -> None:
        with suppress(Killed, ExecutorError):
            work()
        self._check(getattr(work, "__name__", "step"))

    def _check(self, after: str) -> None:
        matched, counted = self.exposure(matched_only=True), self.exposure(matched_only=False)
        live = [order for order in self.hedges() if order.status in _LIVE]
        refs = Counter(ref for _, call in self._placed() for ref in call[1])
        for wrong, what in (
            (matched > self._matched, f"the exposure rose from {self._matched} to {matched}"),
            (counted > self._counted, f"what the rules count rose from {self._counted} to {counted}"),
            (len(live) > 1, f"{len(live)} hedges are live"),
            (any(number > 1 for number in refs.values()), f"sent twice: {refs}"),
        ):
            if wrong:
                self.problems.append(f"seed {self.seed}, after {after}: {what}")
        self._matched = matched
        for record in self.rig.memory.signals.values():
            if record.strategy == HEDGE and record.signal_id not in self._judged:
                self._judged.add(record.signal_id)
                if wrong_size := self.judge(json.loads(record.payload)["primarySelection"]):
                    self.problems.append(f"seed {self.seed}, {record.signal_id}: {wrong_size}")

    def judge(self, leg: dict[str, Any]) -> str:
        """Say what is wrong with a hedge that has just been recorded, of what is matched at this moment."""
        side, price, size = leg["betType"].upper(), Decimal(leg["recommendedOdds"]), Decimal(leg["stake"])
        wins, loses = self._pays()
        if side != ("LAY" if loses < wins else "BACK"):
            return f"a {side} of a position that pays {wins} or {loses}"
        # A penny less must leave more than the target: else it is larger than what is to be hedged. What is held is
        # counted in whole pennies, rounded up: a hedge may be made for a penny that is not there.
        sign = 1 if side == "BACK" else -1
        less = sign * (size - PENNY)
        left = max(ZERO, -(wins + less * (price - 1)), -(loses - less))
        target = LIMIT * POLICY.to_percent / 100
        held = max(ZERO, -wins, -loses)
        after = max(ZERO, -(wins + sign * size * (price - 1)), -(loses - sign * size))
        if left <= target - PENNY:
            return f"{size} at {price} is more than what brings {held} to {target}: {left} with a penny less"
        return f"{size} at {price} takes {held} to {after}" if after >= held else ""

    def _pays(self) -> tuple[Decimal, Decimal]:
        """Return what the matched bets pay if the selection wins and if it loses."""
        wins = loses = ZERO
        for bet in self.rig.exchange.bets.values():
            sign, size = (1 if bet.side is Side.BACK else -1), bet.size_matched
            wins, loses = wins + sign * size * (bet.price - 1), loses - sign * size
        return wins, loses

    def _placed(self) -> list[tuple[str, Any]]:
        return [(name, call) for name, call in self.rig.exchange.calls if name == "place"]

    # --- what happens ---

    def _tick(self, dies_at: str = "") -> None:
        """Run the task; where it dies, what it had not done is left undone."""
        rig = self.rig

        def dispatch(record: SignalRecord) -> None:
            if dies_at == "dispatch":
                raise Killed
            self._queue.append(record)

        rig.memory.away = {dies_at} - {"", "dispatch"}
        try:
            hedge(rig.engine, dispatch)
        finally:
            rig.memory.away = set()

    def _chain(self, *, killed: bool = False) -> None:
        """Run a signal's chain, perhaps twice, as Celery may."""
        if not self._queue:
            return
        record = self._queue[0]
        validate(self.rig.engine, record.signal_id, MARKET)
        if killed:
            raise Killed
        for _ in range(self._pick.choice([1, 1, 2])):
            place(self.rig.engine, record.signal_id, MARKET)
        self._queue.pop(0)

    def _fill(self) -> None:
        """Match some of what is live, as far as prices allow; then the poll tells."""
        for bet in list(self.rig.exchange.bets.values()):
            if bet.executable and self._pick.random() < 0.7:
                share = self._pick.choice([Decimal("0.3"), Decimal(1)])
                more = ((bet.size - bet.size_matched) * share).quantize(Decimal("0.01"))
                self.rig.exchange.match(bet.bet_id, f"{bet.size_matched + more}")
        poll(self.rig.engine)

    def _quote(self, *, calm: bool = False) -> None:
        self._at = max(60, min(250, self._at + (0 if calm else self._pick.randint(-8, 8))))
        gap = 1 if calm else self._pick.choice([1, 1, 2, 5, 9])
        back, lay = LADDER[self._at - gap], LADDER[self._at + gap]
        none = not calm and self._pick.random() < 0.1
        quote = Quote(None if none else back, None if none else lay, LADDER[self._at])
        self.rig.exchange.prices[MARKET] = Quotes("OPEN", {SELECTION: quote})

    def _suspend(self) -> None:
        quotes = self.rig.exchange.prices[MARKET]
        self.rig.exchange.prices[MARKET] = replace(quotes, status=self._pick.choice(["OPEN", "SUSPENDED", ""]))

    def _time_passes(self) -> None:
        rig = self.rig
        rig.clock.tick(self._pick.choice([1, 12, 31]))
        rig.memory.reconciled_until = rig.clock.now + 3_600_000
        cancel_unmatched(rig.engine)
        poll(rig.engine)
        sweep(rig.engine, self._queue.append, "signals")

    def _calm(self) -> None:
        """Let everything end, at prices that stay."""
        self.rig.memory.trading = "true"
        for _ in range(25):
            self._quote(calm=True)
            for work in (self._time_passes, self._tick, self._chain, self._chain, self._fill_all):
                self._step(work)
            self.rig.clock.tick(31)
            self.rig.memory.reconciled_until = self.rig.clock.now + 3_600_000
        told = {signal_id for _, signal_id, _ in self.rig.engine.hedges.explained}  # type: ignore[attr-defined]
        if told != self._judged:
            self.problems.append(f"seed {self.seed}: {sorted(self._judged ^ told)} were recorded or explained alone")
        left = self.exposure(matched_only=True)
        if left > LIMIT * POLICY.at_percent / 100:
            self.problems.append(f"seed {self.seed}: {left} is left of {self.first}: {self.rig.memory.hedges}")

    def _fill_all(self) -> None:
        for bet in list(self.rig.exchange.bets.values()):
            if bet.executable:
                self.rig.exchange.match(bet.bet_id, f"{bet.size}")
        poll(self.rig.engine)
