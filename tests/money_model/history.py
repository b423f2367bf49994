"""Seeded random histories of an account's money, and what must agree at their end.

A history is steps: bets placed, filled, cancelled, void and not void after all, markets settled and settled again; and
accidents: Redis lost or set back, the ledger away or restored from a backup, records expired, answers lost, days gone
by. At the end everything that beat does is done a few times, and then Redis, feed, ledger and a plain reckoning from
the exchange must agree to the penny.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Final

from support.engine_rig import strategy_message
from support.fakes import CountingTelemetry

from executor.domain.money import Side
from executor.domain.order import CancelReason, OrderStatus
from executor.domain.signal import SignalKind
from executor.domain.times import day
from executor.engine.accounting import write_ledger
from executor.engine.cancellation import cancel_orders
from executor.engine.engine import Engine
from executor.engine.intake import Intake, receive
from executor.engine.ledger_repair import Difference, find_differences, repair_ledger
from executor.engine.markets import refresh
from executor.engine.placement import place
from executor.engine.reconciliation import poll
from executor.engine.settlement import settle
from executor.engine.validation import validate
from executor.errors import ExecutorError
from money_model.exchange import ModelBet, ModelExchange
from money_model.memory import IDENTITY, MODEL_POLICY, LedgerUnderTest, RedisUnderTest

D = Decimal
DAY_S: Final = 86_400
_FEED_MS: Final = 7 * DAY_S * 1000 - 3_600_000  # what is acknowledged is kept for a week
_MARKETS: Final = tuple(f"1.{100 + at}" for at in range(6))
_SELECTIONS: Final = (11, 12, 13)


@dataclass
class History:
    """One run of the model."""

    seed: int
    redis: RedisUnderTest
    ledger: LedgerUnderTest
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)  # noqa: S311 - a script
        self.exchange = ModelExchange(self.redis.now)
        self.exchange.sized_voids = self.dice.random() < 0.7
        self.telemetry = CountingTelemetry()
        self.signals = 0
        self.redis_backup: object = None
        self.ledger_backup: object = None
        self.ledger_backup_at = 0
        self.set_back = False  # what Redis had told the ledger meanwhile, it does not know
        self.losses = self.uncertain = 0
        self.ledger_away = False
        self._connect()
        self._work(poll)
        self.redis.resume()

    def _connect(self) -> None:
        self.engine = self.redis.engine(self.exchange, self.ledger.port(), self.telemetry)

    def _work(self, work: Callable[[Engine], object]) -> None:
        try:
            work(self.engine)
        except ExecutorError as error:
            self.log.append(f"    {work.__name__}: {type(error).__name__} {error}")

    # --- steps -------------------------------------------------------------------------------------------------------

    def place(self) -> None:
        self.signals += 1
        name, market = f"signal-{self.signals}", self.dice.choice(_MARKETS)
        if self.exchange.market(market).winner is not None:
            return
        self.exchange.lose_answer = self.dice.random() < 0.1
        message = strategy_message(
            name,
            marketId=market,
            betType=self.dice.choice(["Back", "Lay"]),
            stake=self.dice.choice(["5", "7.01", "10"]),
            recommendedOdds=self.dice.choice(["1.85", "2.5", "3.45"]),
        )
        engine = self.engine
        intake = Intake(engine.store, engine.telemetry, engine.policy)
        receive(intake, SignalKind.STRATEGY, message, engine.store.now(), "bridge-1")
        follows = self.signals % 2 == 0  # the steps of one process, or of two
        submission = validate(engine, name, market, submit=follows).submission
        place(engine, name, market, take=lambda: submission)
        self.exchange.lose_answer = False

    def _bet(self, wanted: Callable[[ModelBet], object]) -> ModelBet | None:
        found = [bet for bet in self.exchange.bets.values() if wanted(bet)]
        return self.dice.choice(found) if found else None

    def fill(self) -> None:
        bet = self._bet(lambda bet: bet.open and self.exchange.market(bet.market_id).winner is None)
        if bet is None:
            return
        size = bet.open if self.dice.random() < 0.6 else min(bet.open, D(self.dice.choice(["0.01", "1.37", "4"])))
        better = D("0.05") if bet.side is Side.BACK else D("-0.05")
        self.exchange.fill(bet, size, bet.price + (better if self.dice.random() < 0.3 else 0))

    def cancel_by_hand(self) -> None:
        orders = [order for order in self.engine.store.active_orders() if order.status is OrderStatus.PENDING]
        if orders:
            self._work(lambda engine: cancel_orders(engine, [self.dice.choice(orders)], CancelReason.MANUAL))

    def cancel_at_the_website(self) -> None:
        bet = self._bet(lambda bet: bet.open)
        if bet is not None:
            self.exchange.take_back(bet)

    def void(self) -> None:
        bet = self._bet(lambda bet: bet.matched)
        if bet is not None:
            part = D("1.00")
            self.exchange.void(bet, part if bet.matched > part and self.dice.random() < 0.4 else bet.matched)

    def unvoid(self) -> None:
        bet = self._bet(lambda bet: bet.voided)
        if bet is not None:
            self.exchange.unvoid(bet)

    def settle_market(self) -> None:
        self.exchange.settle(self.dice.choice(_MARKETS), self.dice.choice((*_SELECTIONS, 123456, 123456)))

    def tick(self) -> None:
        for work in self.dice.sample([poll, settle, write_ledger], self.dice.randint(1, 3)):
            self.redis.pass_time(self.dice.choice([0, 1, 30, 61]))
            self._work(work)

    def time_passes(self) -> None:
        self.redis.pass_time(self.dice.choice([3600, DAY_S, 3 * DAY_S, 9 * DAY_S]))

    def redis_is_lost(self) -> None:
        if self.losses < 3:
            self._note_loss()
            self.redis.lose()
            self._recover()

    def redis_is_set_back(self) -> None:
        if self.redis_backup is None or self.dice.random() < 0.5:
            self.redis_backup = self.redis.backup()
        else:
            self._note_loss()
            self.redis.restore(self.redis_backup)
            self.set_back = True
            self._connect()
            # Their answers were counted, and are news again.
            self.uncertain += sum(not order.placed_at for order in self.engine.store.active_orders())
            self._recover()

    def _note_loss(self) -> None:
        """Count the bets of which nobody will be able to tell whether they were counted: young, not in the ledger."""
        self.losses += 1
        self.redis.pass_time(1)  # no server loses its data and names a new entry in the same millisecond
        young = self._young()
        self.uncertain += len(young) - (0 if self.ledger_away else len(self.ledger.known(young)))

    def _young(self) -> dict[str, str]:
        over = self.redis.now() - MODEL_POLICY.api_timeout_s * 1000 - 16_000
        return {name: bet.order_id for name, bet in self.exchange.bets.items() if bet.placed_at >= over}

    def _recover(self) -> None:
        self._connect()
        if self.dice.random() < 0.5:
            self._work(poll)
        self.redis.resume()

    def ledger_goes_or_comes(self) -> None:
        self.ledger_away = self.dice.random() < 0.6
        self.ledger.set_away(away=self.ledger_away)
        if self.ledger_away:  # what it knows of bets that Redis has lost cannot be asked now
            self._note_unasked()

    def _note_unasked(self) -> None:
        """Count the bets of which only the ledger could have told that they were counted."""
        young = self._young()
        self.uncertain += len(young.keys() - self.engine.store.owners(young).keys())

    def ledger_is_restored(self) -> None:
        if self.ledger_backup is None or self.dice.random() < 0.4:
            self.ledger_backup, self.ledger_backup_at = self.ledger.backup(), self.redis.now()
        else:
            self._note_unasked()  # the backup may be older than they are
            self.ledger.restore(self.ledger_backup)
            self._connect()
            if self.redis.now() - self.ledger_backup_at > _FEED_MS:  # docs/operations.md: then it is told by hand
                for work in (write_ledger, repair_ledger, write_ledger):
                    self._work(work)

    def sums_are_damaged(self) -> None:
        self.redis.damage_sums(self.dice)

    def restart(self) -> None:
        self.redis.forget_acknowledged()

    def run(self, steps: int) -> None:
        """Take steps, then let everything come to rest."""
        kinds, weights = list(STEPS), list(STEPS.values())
        for number in range(steps):
            step = self.dice.choices(kinds, weights)[0]
            self.log.append(f"{number} {step.__name__} {day(self.redis.now())}")
            step(self)
        self.ledger.set_away(away=False)
        self.sums_are_damaged()
        for _ in range(4):
            self.redis.pass_time(61)
            for work in (poll, settle, write_ledger, refresh):
                work(self.engine)
        if self.set_back and self._differences():
            repair_ledger(self.engine)
            write_ledger(self.engine)

    def _differences(self) -> list[Difference]:
        engine = self.engine
        return find_differences(IDENTITY, engine.store, engine.accounts, engine.ledger)

    # --- what must agree ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Compare the four books."""
        assert not self._differences(), self.story("what `executor check` compares")
        earned, exchange = self.exchange.earned(), self.exchange
        assert self.redis.total() == earned, self.story("Redis, total")
        matched = {bet.bet_id: bet.matched for bet in exchange.bets.values() if bet.matched}
        assert self.ledger.matched() == matched, self.story("ledger, matched sizes")
        ledger = self.ledger.port().profits(IDENTITY)
        booked = {day: sum(bets.values(), D(0)) for day, bets in ledger.items()}
        booked = {day: net for day, net in booked.items() if net}
        assert sum(booked.values(), D(0)) == earned, self.story("ledger, total")
        assert booked == self.redis.days(), self.story("ledger and Redis by day")
        assert self.ledger.gross() == exchange.gross_by_day(day), self.story("ledger, gross by day")
        self._check_feed(matched)
        self._check_orders()
        self._check_counts()
        assert self.redis.held_total() == self._held(), self.story("what is held over all markets")

    def _held(self) -> Decimal:
        """Reckon the most that the bets of open markets can lose, each selection by itself."""
        pays: dict[tuple[str, int], list[Decimal]] = {}  # if it wins, if it loses: an unmatched bet only where it hurts
        for bet in self.exchange.bets.values():
            if self.exchange.market(bet.market_id).winner is not None:
                continue
            pair = pays.setdefault((bet.market_id, bet.selection_id), [D(0), D(0)])
            won = bet.matched * (bet.average - 1)  # by the average that the exchange tells, not by what it adds up
            if bet.side is Side.BACK:
                pair[0], pair[1] = pair[0] + won, pair[1] - bet.matched - bet.open
            else:
                pair[0], pair[1] = pair[0] - won - bet.open * (bet.price - 1), pair[1] + bet.matched
        worst = [max(D(0), -wins, -loses) for wins, loses in pays.values()]
        return sum((amount.quantize(D("0.01"), ROUND_CEILING) for amount in worst), D(0))

    def _check_feed(self, matched: Mapping[str, Decimal]) -> None:
        told: dict[str, Decimal] = {}  # begins with what was matched before the feed's first entry
        last: dict[str, Decimal] = {}
        for entry in self.redis.feed():
            if entry["type"] == "settlement":
                continue
            bet, total = entry["bet_id"], D(entry["size_matched"])
            size = D(entry["size"]) if entry["type"] == "fill" else -D(entry["size"])
            anew = entry["type"] == "fill" and size == total  # of a bet whose record was lost
            unsized = entry["type"] == "void" and not size  # likewise, and the exchange does not say how much
            told[bet] = total if anew or unsized else told.get(bet, total - size) + size
            assert told[bet] == total, self.story(f"feed, increments of {bet}")
            last[bet] = total
        assert last == {bet: matched.get(bet, D(0)) for bet in last}, self.story("feed, totals")

    def _check_orders(self) -> None:
        for order in self.engine.store.recent_orders(10_000):
            bet = self.exchange.bets.get(order.bet_id)
            if bet is None:
                continue
            settled = self.exchange.market(bet.market_id).winner is not None
            story = self.story(f"order {order}\n{bet}")
            assert order.size_matched == bet.matched, story
            assert (order.status is OrderStatus.SETTLED) == settled or not bet.matched, story
            assert not (settled and order.counts), story

    def _check_counts(self) -> None:
        counts = Counter[str]()
        for name, number in self.telemetry.counts.items():
            counts[name.split()[0]] += number
        assert counts["placed"] <= len(self.exchange.bets) + self.uncertain, self.story("placed twice")
        if not self.losses:
            assert counts["placed"] == len(self.exchange.bets), self.story("placed")

    def story(self, what: str) -> str:
        return "\n".join([f"seed {self.seed}: {what} disagree", *self.log, *map(str, self.exchange.bets.values())])


STEPS: Final[dict[Callable[[History], None], int]] = {
    History.place: 8,
    History.fill: 8,
    History.cancel_by_hand: 2,
    History.cancel_at_the_website: 2,
    History.void: 3,
    History.unvoid: 2,
    History.settle_market: 4,
    History.tick: 8,
    History.time_passes: 2,
    History.redis_is_lost: 1,
    History.redis_is_set_back: 1,
    History.ledger_goes_or_comes: 1,
    History.ledger_is_restored: 1,
    History.restart: 1,
    History.sums_are_damaged: 2,
}
