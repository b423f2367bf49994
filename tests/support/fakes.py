"""One fake per port; those that Redis serves are in `memory_redis`. Each does what the real one promises, in memory.

Times in milliseconds since the epoch, money as Decimal.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from executor.domain.commission import MarketCharge
from executor.domain.hedge import Quotes
from executor.domain.market import Market
from executor.domain.money import ZERO
from executor.domain.order import BetState, Order
from executor.domain.risk import Reason
from executor.ports import (
    CancelReport,
    ClearedBet,
    ClearedKind,
    Funds,
    HeartbeatAction,
    HeartbeatReport,
    Instruction,
    LegOutcome,
    LegReport,
    Listing,
    MarketInfo,
    OddRow,
    RefusedTask,
    SendPermit,
)
from support.factories import NOW


class FrozenClock:
    """Time that passes only when a test or a sleeper says so."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now
        self.slept: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now / 1000

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.tick(seconds)
        self.on_sleep()

    def tick(self, seconds: float) -> None:
        self.now += round(seconds * 1000)


Script = BaseException | Callable[[str, Sequence[Instruction]], list[LegReport]]


@dataclass
class ScriptedExchange:
    """An exchange that holds bets, and answers the next calls as the script says.

    Without a script `place` takes every order, unmatched. A test changes `bets` and `cleared` to make things happen.
    """

    clock: FrozenClock = field(default_factory=FrozenClock)
    script: list[Script] = field(default_factory=list)
    cancel_script: list[BaseException] = field(default_factory=list)
    bets: dict[str, BetState] = field(default_factory=dict)  # in markets that are not settled
    cleared: list[ClearedBet] = field(default_factory=list)
    odd: list[OddRow] = field(default_factory=list)  # rows of the current list that cannot be read
    odd_cleared: list[OddRow] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)  # bet id -> code with which its cancel is refused
    charged: dict[str, Decimal] = field(default_factory=dict)
    others_won: dict[str, Decimal] = field(default_factory=dict)  # what other bets of the account won in a market
    page: int = 2  # settled bets at a time
    moves: bool = False  # the list of settled bets moves while it is read: one comes twice
    calls: list[tuple[str, object]] = field(default_factory=list)
    permits: list[SendPermit] = field(default_factory=list)
    on_connect: Callable[[], None] = lambda: None  # what happens while the connection is made
    reads_fail: BaseException | None = None
    known_session: bool = True
    markets: dict[str, Market] = field(default_factory=dict)
    account_currency: str = ""
    did: HeartbeatAction = HeartbeatAction.NONE  # for want of a heartbeat
    age_s: int | None = 60
    prices: dict[str, Quotes] = field(default_factory=dict)
    rates: dict[str, Decimal] = field(default_factory=dict)
    money: Funds = field(default_factory=lambda: Funds(Decimal(900), Decimal(100)))

    def called(self, method: str) -> list[object]:
        return [argument for name, argument in self.calls if name == method]

    def prepare(self) -> None:
        self.calls.append(("prepare", None))

    def place(
        self, market_id: str, instructions: Sequence[Instruction], customer_ref: str, permit: SendPermit
    ) -> list[LegReport]:
        self.on_connect()
        self.permits.append(permit)
        permit.check()
        self.calls.append(
            ("place", (market_id, tuple(instruction.order_id for instruction in instructions), customer_ref))
        )
        step = self.script.pop(0) if self.script else self.take
        if isinstance(step, BaseException):
            raise step
        return step(market_id, instructions)

    def take(self, market_id: str, instructions: Sequence[Instruction], matched: str = "0") -> list[LegReport]:
        """Take every order; `matched` is the share that is matched at once."""
        reports = []
        for instruction in instructions:
            size = instruction.size * Decimal(matched)
            bet = BetState(
                bet_id=f"bet{len(self.bets) + 1}",
                order_id=instruction.order_id,
                market_id=market_id,
                selection_id=instruction.selection_id,
                side=instruction.side,
                price=instruction.price,
                size=instruction.size,
                executable=size < instruction.size,
                size_matched=size,
                average_price_matched=instruction.price if size else ZERO,
                placed_at=self.clock.now,
                matched_at=self.clock.now if size else 0,
            )
            self.bets[bet.bet_id] = bet
            reports.append(LegReport(instruction.order_id, LegOutcome.PLACED, bet=bet))
        return reports

    def answering(self, *outcomes: LegOutcome, code: str = "CODE") -> Script:
        """Return a step that answers leg by leg; PLACED legs are taken."""

        def answer(market_id: str, instructions: Sequence[Instruction]) -> list[LegReport]:
            reports = []
            for instruction, outcome in zip(instructions, outcomes, strict=True):
                if outcome is LegOutcome.PLACED:
                    reports += self.take(market_id, [instruction])
                else:
                    reports.append(LegReport(instruction.order_id, outcome, code, "why"))
            return reports

        return answer

    def match(self, bet_id: str, size: str, price: str = "") -> None:
        """Match this much of a bet in total."""
        bet = self.bets[bet_id]
        total = Decimal(size)
        self.bets[bet_id] = replace(
            bet,
            size_matched=total,
            average_price_matched=Decimal(price) if price else bet.price,
            executable=total < bet.size,
            matched_at=self.clock.now,
        )

    def cancel(self, market_id: str, bet_ids: Sequence[str]) -> list[CancelReport]:
        assert bet_ids, "an empty list would cancel the whole market"
        self.calls.append(("cancel", (market_id, tuple(bet_ids))))
        if self.cancel_script:
            raise self.cancel_script.pop(0)
        reports = []
        for bet_id in bet_ids:
            bet = self.bets[bet_id]
            left = bet.size - bet.size_matched - bet.size_cancelled
            if bet_id in self.refuses:
                reports.append(CancelReport(bet_id, done=False, code=self.refuses[bet_id]))
                continue
            if not bet.executable:
                reports.append(CancelReport(bet_id, done=False, code="BET_TAKEN_OR_LAPSED"))
                continue
            self.bets[bet_id] = replace(bet, executable=False, size_cancelled=bet.size_cancelled + left)
            reports.append(CancelReport(bet_id, done=True, size_cancelled=left))
        return reports

    def _read(self, method: str, argument: object = None) -> None:
        self.calls.append((method, argument))
        if self.reads_fail is not None:
            raise self.reads_fail

    def executable_orders(self) -> Listing[BetState]:
        self._read("executable_orders")
        return Listing([bet for bet in self.bets.values() if bet.executable], list(self.odd))

    def current_orders(self) -> Listing[BetState]:
        self._read("current_orders")
        return Listing(list(self.bets.values()), list(self.odd))

    def find_current(self, order_ids: Sequence[str]) -> Listing[BetState]:
        assert 0 < len(order_ids) <= 250
        self._read("find_current", tuple(order_ids))
        odd = [row for row in self.odd if not row.order_id or row.order_id in order_ids]
        return Listing([bet for bet in self.bets.values() if bet.order_id in order_ids], odd)

    def find_bets(self, bet_ids: Sequence[str]) -> Listing[BetState]:
        assert 0 < len(bet_ids) <= 250
        self._read("find_bets", tuple(bet_ids))
        odd = [row for row in self.odd if row.bet_id in bet_ids]
        return Listing([bet for bet in self.bets.values() if bet.bet_id in bet_ids], odd)

    def find_cleared(self, order_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        assert 0 < len(order_ids) <= 250
        self._read("find_cleared", kind)
        return Listing([row for row in self.cleared if row.order_id in order_ids and row.kind is kind])

    def find_cleared_bets(self, bet_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        assert 0 < len(bet_ids) <= 250
        self._read("find_cleared_bets", kind)
        return Listing([row for row in self.cleared if row.bet_id in bet_ids and row.kind is kind])

    def settled_since(self, since: int, kind: ClearedKind) -> Iterator[Listing[ClearedBet]]:
        found = [row for row in self.cleared if row.kind is kind and row.settled_at >= since]
        for at in range(0, len(found), self.page) or (0,):
            self._read("settled_since", since)
            yield Listing(found[max(at - self.moves, 0) : at + self.page], list(self.odd_cleared))

    def settled_in(self, market_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        self._read("settled_in", kind)
        return Listing([row for row in self.cleared if row.kind is kind and row.market_id in market_ids])

    def commissions(self, market_ids: Sequence[str]) -> dict[str, MarketCharge]:
        self._read("commissions", tuple(market_ids))
        return {
            market_id: MarketCharge(amount, self._won(market_id) + self.others_won.get(market_id, ZERO))
            for market_id, amount in self.charged.items()
            if market_id in market_ids
        }

    def _won(self, market_id: str) -> Decimal:
        return sum((row.profit for row in self.cleared if row.market_id == market_id), ZERO)

    def funds(self) -> Funds:
        self._read("funds")
        return self.money

    def market_info(self, market_ids: Sequence[str]) -> list[MarketInfo]:
        self._read("market_info", tuple(market_ids))
        return [MarketInfo(market_id, "WIN") for market_id in market_ids]

    def market_facts(self, market_ids: Sequence[str]) -> list[Market]:
        self._read("market_facts", tuple(market_ids))
        return [self.markets[market_id] for market_id in market_ids if market_id in self.markets]

    def quotes(self, market_ids: Sequence[str]) -> dict[str, Quotes]:
        self._read("quotes", tuple(market_ids))
        return {market_id: self.prices[market_id] for market_id in market_ids if market_id in self.prices}

    def currency_rates(self) -> dict[str, Decimal]:
        self._read("currency_rates")
        return self.rates

    def currency(self) -> str:
        self._read("currency")
        return self.account_currency

    def heartbeat(self, timeout_s: int) -> HeartbeatReport:
        self._read("heartbeat", timeout_s)
        return HeartbeatReport(self.did, timeout_s)

    def keep_alive(self) -> bool:
        self.calls.append(("keep_alive", None))
        return self.known_session

    def reauthenticate(self, older_than_s: int) -> bool:
        self.calls.append(("reauthenticate", older_than_s))
        return self.age_s is None or self.age_s >= older_than_s

    def allow_login(self) -> None:
        self.calls.append(("allow_login", None))

    def session_age_s(self) -> int | None:
        return self.age_s


class CountingTelemetry:
    """Counts calls by method and label."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def _count(self, what: str) -> None:
        self.counts[what] += 1

    def signal_received(self, strategy: str) -> None:
        self._count(f"received {strategy}")

    def signal_rejected(self, reason: Reason) -> None:
        self._count(f"rejected {reason}")

    def task_refused(self, reason: RefusedTask) -> None:
        self._count(f"refused {reason}")

    def order_placed(self, order: Order) -> None:
        self._count(f"placed {order.side}")

    def order_matched(self, order: Order) -> None:
        self._count(f"matched {order.side}")

    def order_cancelled(self, reason: str) -> None:
        self._count(f"cancelled {reason}")

    def order_failed(self, reason: str) -> None:
        self._count(f"failed {reason}")

    def row_set_aside(self, source: str) -> None:
        self._count(f"set aside {source}")

    def half_placed(self) -> None:
        self._count("half placed")

    def execution_latency(self, seconds: float) -> None:
        assert seconds >= 0
        self._count("latency")

    def risk_validated(self, seconds: float) -> None:
        assert seconds >= 0
        self._count("validated")

    def signal_age(self, seconds: float) -> None:
        assert seconds >= 0
        self._count("age")

    def api_call(self, method: str, seconds: float, error_type: str) -> None:
        self._count(f"api {method} {error_type}{seconds * 0:.0f}")
