"""A plain model of the exchange behind its port: bets, markets, results, voids, and what each list says of them.

Shares no code with the product but its types. Nothing of the lists is stored: they are derived from the bets at each
read, so that they cannot disagree. Money is Decimal, times are milliseconds since the epoch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal

from executor.domain.commission import MarketCharge
from executor.domain.hedge import Quotes
from executor.domain.market import Market
from executor.domain.money import ZERO, Side
from executor.domain.order import BetState
from executor.errors import OutcomeUnknown
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
    SendPermit,
)

D = Decimal
PENNY = D("0.01")
RATE = D("0.05")


@dataclass
class ModelBet:
    """One bet: its sizes always add up to `size`."""

    bet_id: str
    order_id: str
    market_id: str
    selection_id: int
    side: Side
    price: Decimal
    size: Decimal
    placed_at: int
    matched: Decimal = ZERO
    paid: Decimal = ZERO  # sum of size * price of what is matched
    cancelled: Decimal = ZERO
    lapsed: Decimal = ZERO
    voided: Decimal = ZERO
    voided_paid: Decimal = ZERO
    matched_at: int = 0
    cancelled_at: int = 0
    lapsed_at: int = 0
    voided_at: int = 0
    settled_at: int = 0
    was_full: bool = False

    @property
    def open(self) -> Decimal:
        return self.size - self.matched - self.cancelled - self.lapsed - self.voided

    @property
    def average(self) -> Decimal:
        return (self.paid / self.matched).quantize(D("0.000001")) if self.matched else D(0)

    def profit(self, winner: int) -> Decimal:
        backer = self.paid - self.matched if self.selection_id == winner else -self.matched
        return (backer if self.side is Side.BACK else -backer).quantize(PENNY, ROUND_HALF_UP)


@dataclass
class ModelMarket:
    """A market: open without a winner; `tells` whether the exchange says its commission."""

    market_id: str
    tells: bool
    winner: int | None = None


@dataclass
class ModelExchange:
    """The exchange of one account, all of whose bets are ours. `now` is its clock."""

    now: Callable[[], int]
    bets: dict[str, ModelBet] = field(default_factory=dict)
    markets: dict[str, ModelMarket] = field(default_factory=dict)
    page: int = 3
    sized_voids: bool = True  # False: VOIDED rows come without sizeSettled
    lose_answer: bool = False  # the next placeOrders is acted on, its answer lost
    away: bool = False

    # --- what happens there ------------------------------------------------------------------------------------------

    def market(self, market_id: str) -> ModelMarket:
        tells = int(market_id[-1]) % 2 == 0
        return self.markets.setdefault(market_id, ModelMarket(market_id, tells))

    def fill(self, bet: ModelBet, size: Decimal, price: Decimal) -> None:
        bet.matched += size
        bet.paid += size * price
        bet.matched_at = self.now()
        bet.was_full = bet.was_full or bet.matched == bet.size

    def take_back(self, bet: ModelBet) -> Decimal:
        size = bet.open
        if size:
            bet.cancelled += size
            bet.cancelled_at = self.now()
        return size

    def lapse(self, bet: ModelBet) -> None:
        if bet.open:
            bet.lapsed += bet.open
            bet.lapsed_at = self.now()

    def void(self, bet: ModelBet, size: Decimal) -> None:
        """Void this much of what is matched; what is open lapses."""
        self.lapse(bet)
        paid = bet.paid * size / bet.matched if size < bet.matched else bet.paid  # all of it, to the last digit
        bet.matched, bet.paid = bet.matched - size, bet.paid - paid
        bet.voided, bet.voided_paid = bet.voided + size, bet.voided_paid + paid
        bet.voided_at = self.now()

    def unvoid(self, bet: ModelBet) -> None:
        bet.matched, bet.paid = bet.matched + bet.voided, bet.paid + bet.voided_paid
        bet.voided, bet.voided_paid = D(0), D(0)
        bet.settled_at = self.now()

    def settle(self, market_id: str, winner: int, *, dated: bool = True) -> None:
        """Give a market its result, or another one; `dated`: then, too, its bets' settledDate is of now."""
        market = self.market(market_id)
        fresh = market.winner is None
        market.winner = winner
        for bet in self.of(market_id):
            self.lapse(bet)
            bet.settled_at = self.now() if fresh or dated else bet.settled_at

    def of(self, market_id: str) -> list[ModelBet]:
        return [bet for bet in self.bets.values() if bet.market_id == market_id]

    # --- the reckoning -----------------------------------------------------------------------------------------------

    def profits(self, market_id: str) -> dict[str, Decimal]:
        """Return bet id -> profit before commission of what is settled in a market."""
        winner = self.market(market_id).winner
        return {} if winner is None else {bet.bet_id: bet.profit(winner) for bet in self.of(market_id) if bet.matched}

    def commission(self, market_id: str) -> Decimal:
        """Return what a market costs: what the exchange says, else the rate rounded up."""
        net = max(sum(self.profits(market_id).values(), D(0)), D(0))
        rounding = ROUND_HALF_UP if self.market(market_id).tells else ROUND_CEILING
        return (net * RATE).quantize(PENNY, rounding)

    def earned(self) -> Decimal:
        """Return what everything that is settled brought, after commission."""
        return sum(
            (sum(self.profits(market_id).values(), D(0)) - self.commission(market_id) for market_id in self.markets),
            D(0),
        )

    def gross_by_day(self, day: Callable[[int], str]) -> dict[str, Decimal]:
        """Return UTC day -> profit before commission."""
        days: dict[str, Decimal] = {}
        for market_id in self.markets:
            for bet_id, profit in self.profits(market_id).items():
                at = day(self.bets[bet_id].settled_at)
                days[at] = days.get(at, D(0)) + profit
        return {at: amount for at, amount in days.items() if amount}

    # --- the port ----------------------------------------------------------------------------------------------------

    def _reach(self) -> None:
        if self.away:
            raise OutcomeUnknown("the exchange is away")

    def prepare(self) -> None:
        """Do nothing."""

    def place(
        self, market_id: str, instructions: Sequence[Instruction], customer_ref: str, permit: SendPermit
    ) -> list[LegReport]:
        permit.check()
        del customer_ref
        self._reach()
        self.market(market_id)
        reports = []
        for instruction in instructions:
            bet = ModelBet(
                bet_id=f"bet{len(self.bets) + 1}",
                order_id=instruction.order_id,
                market_id=market_id,
                selection_id=instruction.selection_id,
                side=instruction.side,
                price=instruction.price,
                size=instruction.size,
                placed_at=self.now(),
            )
            self.bets[bet.bet_id] = bet
            reports.append(LegReport(instruction.order_id, LegOutcome.PLACED, bet=self._state(bet)))
        if self.lose_answer:
            self.lose_answer = False
            raise OutcomeUnknown("cut off")
        return reports

    def cancel(self, market_id: str, bet_ids: Sequence[str]) -> list[CancelReport]:
        self._reach()
        reports = []
        for bet_id in bet_ids:
            size = self.take_back(self.bets[bet_id])
            done = {"done": True} if size else {"done": False, "code": "BET_TAKEN_OR_LAPSED"}
            reports.append(CancelReport(bet_id, size_cancelled=size, **done))
        assert all(self.bets[bet_id].market_id == market_id for bet_id in bet_ids)
        return reports

    def _state(self, bet: ModelBet) -> BetState:
        return BetState(
            bet_id=bet.bet_id,
            order_id=bet.order_id,
            market_id=bet.market_id,
            selection_id=bet.selection_id,
            side=bet.side,
            price=bet.price,
            size=bet.size,
            executable=bet.open > 0,
            size_matched=bet.matched,
            average_price_matched=bet.average,
            size_cancelled=bet.cancelled,
            size_lapsed=bet.lapsed,
            size_voided=bet.voided,
            placed_at=bet.placed_at,
            matched_at=bet.matched_at if bet.matched else 0,
        )

    def _current(self) -> list[ModelBet]:
        return [
            bet
            for bet in self.bets.values()
            if self.market(bet.market_id).winner is None and (bet.open or bet.matched or bet.voided)
        ]

    def executable_orders(self) -> Listing[BetState]:
        self._reach()
        return Listing([self._state(bet) for bet in self._current() if bet.open])

    def current_orders(self) -> Listing[BetState]:
        self._reach()
        return Listing([self._state(bet) for bet in self._current()])

    def find_current(self, order_ids: Sequence[str]) -> Listing[BetState]:
        self._reach()
        return Listing([self._state(bet) for bet in self._current() if bet.order_id in order_ids])

    def find_bets(self, bet_ids: Sequence[str]) -> Listing[BetState]:
        self._reach()
        return Listing([self._state(bet) for bet in self._current() if bet.bet_id in bet_ids])

    def _rows(self, kind: ClearedKind) -> list[ClearedBet]:
        self._reach()
        found = [row for bet in self.bets.values() if (row := self._row(bet, kind))]
        return sorted(found, key=lambda row: (row.settled_at, row.bet_id))

    def _row(self, bet: ModelBet, kind: ClearedKind) -> ClearedBet | None:
        winner = self.market(bet.market_id).winner
        size, at, profit = {
            ClearedKind.SETTLED: (D(0) if winner is None else bet.matched, bet.settled_at, bet.profit(winner or 0)),
            ClearedKind.VOIDED: (bet.voided, bet.voided_at, D(0)),
            ClearedKind.LAPSED: (bet.lapsed, bet.lapsed_at, D(0)),
            ClearedKind.CANCELLED: (bet.cancelled, bet.cancelled_at, D(0)),
        }[kind]
        if not size:
            return None
        ended = kind in {ClearedKind.LAPSED, ClearedKind.CANCELLED}
        known = kind is not ClearedKind.VOIDED or self.sized_voids
        return ClearedBet(
            kind=kind,
            bet_id=bet.bet_id,
            order_id=bet.order_id,
            market_id=bet.market_id,
            selection_id=bet.selection_id,
            side=bet.side,
            price_requested=bet.price,
            price_matched=bet.average if kind is ClearedKind.SETTLED else D(0),
            size_settled=D(0) if ended or not known else size,
            size_cancelled=size if ended else D(0),
            profit=profit,
            settled_at=at,
            placed_at=bet.placed_at,
        )

    def find_cleared(self, order_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        return Listing([row for row in self._rows(kind) if row.order_id in order_ids])

    def find_cleared_bets(self, bet_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        return Listing([row for row in self._rows(kind) if row.bet_id in bet_ids])

    def settled_since(self, since: int, kind: ClearedKind) -> Iterator[Listing[ClearedBet]]:
        found = [row for row in self._rows(kind) if row.settled_at >= since]
        for at in range(0, len(found), self.page):
            yield Listing(found[at : at + self.page])

    def settled_in(self, market_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        return Listing([row for row in self._rows(kind) if row.market_id in market_ids])

    def commissions(self, market_ids: Sequence[str]) -> dict[str, MarketCharge]:
        self._reach()
        return {
            market_id: MarketCharge(self.commission(market_id), sum(self.profits(market_id).values(), D(0)))
            for market_id in market_ids
            if self.market(market_id).tells and self.profits(market_id)
        }

    def funds(self) -> Funds:
        return Funds(D(1000), D(0))

    def market_info(self, market_ids: Sequence[str]) -> list[MarketInfo]:
        return [MarketInfo(market_id, "WIN") for market_id in market_ids]

    def market_facts(self, market_ids: Sequence[str]) -> list[Market]:
        del market_ids
        return []

    def quotes(self, market_ids: Sequence[str]) -> dict[str, Quotes]:
        del market_ids
        return {}

    def currency_rates(self) -> dict[str, D]:
        return {}

    def currency(self) -> str:
        return ""

    def heartbeat(self, timeout_s: int) -> HeartbeatReport:
        return HeartbeatReport(HeartbeatAction.NONE, timeout_s)

    def keep_alive(self) -> bool:
        return True

    def reauthenticate(self, older_than_s: int) -> bool:
        return older_than_s < 0

    def allow_login(self) -> None:
        """Do nothing."""

    def session_age_s(self) -> int | None:
        return 60
