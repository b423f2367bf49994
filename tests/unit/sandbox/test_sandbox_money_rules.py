"""What results, removals and starting prices pay: every bet against a second reckoning, and that nothing is lost."""

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from betfair_sandbox.market.accounts import Account
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Bet
from betfair_sandbox.market.money import LADDER, Side
from betfair_sandbox.market.placing import PlaceRequest, place
from betfair_sandbox.market.positions import (
    LOST,
    WON,
    LinePosition,
    Outcome,
    Position,
    each_way_exposure,
    line_exposure,
)
from betfair_sandbox.market.reconciliation import reconcile
from betfair_sandbox.market.rules import read_instruction
from betfair_sandbox.market.settlement import settle_with, unsettle, void_runner
from betfair_sandbox.market.starting_price import balanced

D = Decimal
START = D(1_000_000)
MARKET = "1.5"
RUNNERS = (1, 2, 3, 4, 5)
PENNY = D("0.01")


@dataclass
class Kind:
    """A kind of market, and how it pays by Betfair's rules."""

    market_type: str
    places: int
    divisor: Decimal | None = None


KINDS = [Kind("WIN", 1), Kind("PLACE", 3), Kind("EACH_WAY", 3, D(4)), Kind("EACH_WAY", 2, D(5))]


@dataclass
class Twin:
    """A bet as the test reckons it, apart from the exchange's books."""

    bet: Bet
    price: Decimal
    size: Decimal
    void: bool = False

    def reduce(self, kind: Kind, factor: Decimal) -> None:
        if factor < (4 if kind.market_type == "PLACE" else D("2.5")):
            return
        share = 1 - Fraction(factor) / 100
        kept = Fraction(self.kept_part(kind))
        exact = kept + (Fraction(self.price) - kept) * share
        self.price = max(D("1.01"), rounded(exact))

    def kept_part(self, kind: Kind) -> int:
        """Return what of the price is not reduced: the stake, in a place market."""
        return 1 if kind.market_type == "PLACE" else 0

    def profit(self, kind: Kind, win: Fraction, placed: Fraction) -> Fraction:
        """A dead heat leaves `win` of the stake on a winner and the rest on a loser; each way is two bets."""
        if self.void:
            return Fraction(0)
        size, odds = Fraction(self.size), Fraction(self.price) - 1
        backer = size * win * odds - size * (1 - win)
        if kind.divisor is not None:
            backer += size * placed * odds / Fraction(kind.divisor) - size * (1 - placed)
        return backer if self.bet.side is Side.BACK else -backer


def rounded(exact: Fraction) -> Decimal:
    """Round to the nearest penny, halves away from zero."""
    pennies = abs(exact) * 100
    whole = pennies.numerator // pennies.denominator
    whole += pennies - whole >= Fraction(1, 2)
    return D(whole if exact >= 0 else -whole) * PENNY


@dataclass
class Rig:
    """Three customers on one market of five runners where the house offers nothing by itself."""

    kind: Kind
    facts: dict[str, Any] = field(default_factory=dict)
    twins: list[Twin] = field(default_factory=list)

    def __post_init__(self) -> None:
        customers = [Account(name, "", "", "", START) for name in "abc"]
        self.exchange = Exchange(customers, 1, lambda: 1_000_000_000_000)
        self.market = self.exchange.open_market(MARKET, "A race", self.kind.market_type, "Event")
        self.market.winners, self.market.each_way_divisor = self.kind.places, self.kind.divisor
        for name, value in self.facts.items():
            setattr(self.market, name, value)
        for selection_id in RUNNERS:
            self.exchange.runner(self.market, selection_id).fixed = True

    def send(self, name: str, selection_id: int, side: Side, order_type: str, **order: Any) -> Bet:
        field_of = {"LIMIT": "limitOrder", "LIMIT_ON_CLOSE": "limitOnCloseOrder"}
        instruction = read_instruction(
            {
                "selectionId": selection_id,
                "side": side.value,
                "orderType": order_type,
                field_of.get(order_type, "marketOnCloseOrder"): order,
            },
            "GBP",
        )
        report = place(self.exchange, self.exchange.accounts[name], PlaceRequest(MARKET, [instruction]))
        assert report["status"] == "SUCCESS", report
        return self.exchange.bets[int(report["instructionReports"][0]["betId"])]

    def match(self, backer: str, layer: str, selection_id: int, price: Decimal, size: Decimal) -> None:
        for name, side in ((backer, Side.BACK), (layer, Side.LAY)):
            bet = self.send(name, selection_id, side, "LIMIT", price=price, size=size)
            self.twins.append(Twin(bet, price, size))
        assert not bet.size_remaining

    def match_house(self, name: str, selection_id: int, price: Decimal, size: Decimal) -> None:
        runner = self.market.runners[selection_id]
        self.exchange.set_prices(self.market, runner, [(price, size)], [])
        self.twins.append(Twin(self.send(name, selection_id, Side.BACK, "LIMIT", price=price, size=size), price, size))

    def remove(self, selection_id: int, factor: Decimal) -> None:
        void_runner(self.exchange, self.market, self.market.runners[selection_id], factor)
        for twin in self.twins:
            if twin.bet.selection_id == selection_id:
                twin.void = True
            else:
                twin.reduce(self.kind, factor)

    def total(self) -> Decimal:
        accounts = self.exchange.accounts.values()
        customers = sum((account.balance + account.commission_paid for account in accounts), D(0))
        return customers + self.exchange.house.balance + self.exchange.rounding


_pairs = st.tuples(
    st.just("match"),
    st.sampled_from(["ab", "ba", "ac", "bc"]),
    st.sampled_from(RUNNERS),
    st.sampled_from(LADDER[5:330]),
    st.decimals("1", "40", places=2),
)
_with_house = st.tuples(
    st.just("house"),
    st.sampled_from("abc"),
    st.sampled_from(RUNNERS),
    st.sampled_from(LADDER[5:330]),
    st.decimals("1", "40", places=2),
)
_removals = st.tuples(st.just("remove"), st.sampled_from(RUNNERS), st.decimals("0", "60", places=2))
_on_close = st.tuples(
    st.just("close"),
    st.sampled_from("abc"),
    st.sampled_from(RUNNERS),
    st.sampled_from(Side),
    st.decimals("10", "60", places=2),
)


def results(kind: Kind, order: list[int], tie: int) -> dict[int, tuple[Outcome, Fraction, Fraction]]:
    """Return outcomes for a finishing order of which the first `tie` places past the clear ones are a dead heat."""
    first = 1 if kind.divisor is not None else kind.places
    clear = order[: max(0, first - 1)]
    tied = order[len(clear) : len(clear) + max(1, tie)]
    share = Fraction(1, max(1, len(tied)))
    outcomes = {key: (WON, Fraction(1), Fraction(1)) for key in clear}
    for key in tied:
        outcomes[key] = (Outcome(1, 1, 0, len(tied)), share, Fraction(1))
    if kind.divisor is not None:
        for key in order[len(outcomes) : kind.places]:
            outcomes[key] = (Outcome(place=1), Fraction(0), Fraction(1))
        if len(tied) > kind.places:
            places = Fraction(kind.places, len(tied))
            for key in tied:
                outcomes[key] = (Outcome(1, kind.places, 0, len(tied), len(tied)), share, places)
    return outcomes


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    events=st.lists(st.one_of(_pairs, _with_house, _removals), max_size=14),
    order=st.permutations(RUNNERS),
    tie=st.integers(1, 4),
    again=st.booleans(),
)
def test_every_bet_pays_what_a_second_reckoning_says(
    kind: Kind, events: list[tuple[Any, ...]], order: list[int], tie: int, again: bool
) -> None:
    rig = Rig(kind)
    removed: set[int] = set()
    for event in events:
        if event[0] == "match" and event[2] not in removed:
            rig.match(event[1][0], event[1][1], *event[2:])
        elif event[0] == "house" and event[2] not in removed:
            rig.match_house(*event[1:])
        elif event[0] == "remove" and event[1] not in removed:
            removed.add(event[1])
            rig.remove(event[1], event[2])
        assert rig.total() == 3 * START
    running = [runner for runner in order if runner not in removed]
    told = results(kind, running, min(tie, len(running)) or 1)
    if again:
        settle_with(rig.exchange, rig.market, {})
        unsettle(rig.exchange, rig.market)
    settle_with(rig.exchange, rig.market, {key: outcome for key, (outcome, _, _) in told.items()})
    lost = (LOST, Fraction(0), Fraction(0))
    customers = Fraction(0)
    for twin in rig.twins:
        _, win, placed = told.get(twin.bet.selection_id, lost)
        exact = twin.profit(kind, win, placed)
        customers += exact
        assert twin.bet.profit == rounded(exact)
        assert twin.void or twin.bet.average_price_matched == twin.price
    assert rig.total() == 3 * START
    assert abs(Fraction(rig.exchange.house.balance) + customers) < Fraction(1, 10**9)
    assert abs(rig.exchange.rounding) <= D("0.005") * len(rig.twins)
    for account in rig.exchange.accounts.values():
        gross = sum((twin.bet.profit for twin in rig.twins if twin.bet.account == account.name), D(0))
        commission = max(gross, D(0)) * rig.market.base_rate / 100
        assert account.balance == START + gross - commission.quantize(PENNY, ROUND_HALF_UP)


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(st.one_of(_pairs, _on_close), min_size=1, max_size=12),
    prices=st.lists(st.sampled_from(LADDER[5:330]), min_size=5, max_size=5),
    given_prices=st.booleans(),
    winner=st.sampled_from(RUNNERS),
)
def test_orders_for_the_close_are_matched_at_the_starting_price(
    events: list[tuple[Any, ...]], prices: list[Decimal], given_prices: bool, winner: int
) -> None:
    rig = Rig(Kind("WIN", 1), {"bsp_market": True})
    waiting: list[tuple[Bet, Decimal]] = []
    for event in events:
        if event[0] == "match":
            rig.match(event[1][0], event[1][1], *event[2:])
        else:
            _, name, selection_id, side, liability = event
            waiting.append((rig.send(name, selection_id, side, "MARKET_ON_CLOSE", liability=liability), liability))
    assert all(bet.size_remaining == liability for bet, liability in waiting)
    reconcile(rig.exchange, rig.market, dict(zip(RUNNERS, prices, strict=True)) if given_prices else {})
    settle_with(rig.exchange, rig.market, {winner: WON})
    for bet, liability in waiting:
        price = rig.market.runners[bet.selection_id].bsp
        if price is None:
            assert (bet.size_matched, bet.size_lapsed) == (D(0), liability)
            continue
        assert bet.average_price_matched == price
        if bet.side is Side.BACK:
            assert bet.size_matched == liability
        else:  # a penny's rounding of the stake, at these odds
            assert 0 <= liability - bet.size_matched * (price - 1) < PENNY * price
    assert rig.total() == 3 * START
    assert abs(rig.exchange.rounding) <= D("0.005") * len(rig.exchange.bets)


_limits = st.sampled_from(LADDER[::20])
_closing = st.lists(st.tuples(_limits, st.decimals("1", "900", places=2)), min_size=1, max_size=5)


@given(backs=_closing, lays=_closing)
def test_a_starting_price_balances_stakes_and_liabilities(
    backs: list[tuple[Decimal, Decimal]], lays: list[tuple[Decimal, Decimal]]
) -> None:
    price = balanced(backs, lays)
    assert price is not None

    def surplus(at: Decimal) -> Decimal:
        """Return by how much the backers' winnings pass what the layers risk at a price."""
        stakes = sum((stake for limit, stake in backs if limit <= at), D(0))
        return stakes * (at - 1) - sum((liability for limit, liability in lays if limit >= at), D(0))

    step = D("0.01")
    assert price == LADDER[-1] or surplus(price + step) >= 0
    assert price == LADDER[0] or surplus(price - step) <= 0


@given(backs=_closing, lays=_closing, rests=st.tuples(_closing, _closing))
def test_a_starting_price_takes_in_what_rests_on_the_exchange(
    backs: list[tuple[Decimal, Decimal]],
    lays: list[tuple[Decimal, Decimal]],
    rests: tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]],
) -> None:
    price = balanced(backs, lays, *rests)
    assert price is not None

    def backed_more(at: Decimal) -> Decimal:
        """Return by how much what is backed at a price passes what is laid there."""
        stakes = sum((stake for limit, stake in (*backs, *rests[0]) if limit <= at), D(0))
        laid = sum((liability / (at - 1) for limit, liability in lays if limit >= at), D(0))
        return stakes - laid - sum((stake for limit, stake in rests[1] if limit >= at), D(0))

    step = D("0.01")
    assert price == LADDER[-1] or backed_more(price + step) >= 0
    clamped = not any(limit >= price for limit, _ in lays) and price == min(rests[1])[0]
    assert price == LADDER[0] or clamped or backed_more(price - step) <= 0


@pytest.mark.parametrize(
    ("side", "amount", "price", "rest"),
    [
        (Side.BACK, 20, "3", [("LAY", "3", 30), ("LAY", "2.9", 40), ("BACK", "3.2", 30)]),  # the best lay pays for all
        (Side.BACK, 60, "2.9", [("LAY", "3", 0), ("LAY", "2.9", 30), ("BACK", "3.2", 30)]),
        (Side.BACK, 900, "2.9", [("LAY", "3", 0), ("LAY", "2.9", 0), ("BACK", "3.2", 30)]),  # the house takes the rest
        (Side.LAY, 44, "3.2", [("LAY", "3", 50), ("LAY", "2.9", 40), ("BACK", "3.2", 10)]),  # 20 at 3.2
        (Side.LAY, 99, "4.3", [("LAY", "3", 50), ("LAY", "2.9", 40), ("BACK", "3.2", 0)]),  # 30 at 4.3: they get more
    ],
)
def test_offers_of_the_exchange_make_the_starting_price_and_are_matched_at_it(
    side: Side, amount: int, price: str, rest: list[tuple[str, str, int]]
) -> None:
    rig = Rig(Kind("WIN", 1), {"bsp_market": True})
    resting = [
        rig.send("b", 1, Side(kind), "LIMIT", price=at, size=size, persistenceType="LAPSE")
        for kind, at, size in (("LAY", "3", 50), ("LAY", "2.9", 40), ("BACK", "3.2", 30))
    ]
    closing = rig.send("a", 1, side, "MARKET_ON_CLOSE", liability=amount)
    assert rig.market.runners[1].sp_near == D(price)
    assert rig.market.runners[1].sp_far is None
    reconcile(rig.exchange, rig.market, {})
    assert rig.market.runners[1].bsp == closing.average_price_matched == D(price)
    assert [(bet.side.value, str(bet.price), int(bet.size_remaining)) for bet in resting] == rest
    assert all(bet.average_price_matched == D(price) for bet in resting if bet.size_matched)
    for account in rig.exchange.accounts.values():
        assert account.available == account.balance - account.exposure
    settle_with(rig.exchange, rig.market, {1: WON})
    assert rig.total() == 3 * START


def test_a_given_starting_price_leaves_the_offers_alone() -> None:
    rig = Rig(Kind("WIN", 1), {"bsp_market": True})
    resting = rig.send("b", 1, Side.LAY, "LIMIT", price="3", size=50, persistenceType="LAPSE")
    closing = rig.send("a", 1, Side.BACK, "MARKET_ON_CLOSE", liability=20)
    reconcile(rig.exchange, rig.market, {1: D("2.5")})
    assert (closing.average_price_matched, resting.size_remaining) == (D("2.5"), D(50))


_bets = st.tuples(st.sampled_from(Side), st.sampled_from(["2", "3.5", "8"]), st.integers(2, 40))


def _position(divisor: Decimal, bets: list[tuple[Side, str, int]], waiting: list[tuple[Side, str, int]]) -> Position:
    position = Position(divisor=divisor)
    for side, price, size in bets:
        position.match(side, D(price) * size, D(size))
    for side, price, size in waiting:
        position.open(side, D(price), D(size))
    return position


@given(st.lists(st.tuples(st.lists(_bets, max_size=2), st.lists(_bets, max_size=2)), min_size=1, max_size=4))
def test_each_way_exposure_is_the_worst_of_all_results(
    runners: list[tuple[list[tuple[Side, str, int]], list[tuple[Side, str, int]]]],
) -> None:
    places, field_size = 2, 5
    positions = [_position(D(4), *bets) for bets in runners]
    every = positions + [Position()] * (field_size - len(positions))
    worst = D(0)
    for first, second in combinations(range(field_size), places):
        for winner in (first, second):
            total = sum(
                (
                    position.worst_win
                    if at == winner
                    else position.worst_place
                    if at in {first, second}
                    else position.worst_lose
                    for at, position in enumerate(every)
                ),
                D(0),
            )
            worst = min(worst, total)
    assert each_way_exposure(positions, places, field_size) == (-worst).quantize(PENNY, "ROUND_CEILING")


_lines = st.tuples(st.sampled_from(Side), st.integers(1, 8), st.integers(2, 40))


@given(st.lists(_lines, max_size=5), st.lists(_lines, max_size=4))
def test_line_exposure_is_the_worst_of_all_numbers(
    matched: list[tuple[Side, int, int]], waiting: list[tuple[Side, int, int]]
) -> None:
    position = LinePosition()
    for side, line, size in matched:
        position.match_at(side, D(line), D(size))
    for side, line, size in waiting:
        position.open(side, D(line), D(size))

    def result(side: Side, line: int, size: int, end: Fraction) -> int:
        sold = (end < line) - (end > line)
        return size * (sold if side is Side.BACK else -sold)

    worst = min(
        sum(result(*bet, end) for bet in matched) + sum(min(0, result(*bet, end)) for bet in waiting)
        for end in (Fraction(half, 2) for half in range(20))
    )
    assert line_exposure([position]) == max(0, -worst)


@pytest.mark.parametrize(
    ("market_type", "factor", "price"),
    [
        # Betfair's own examples: 25 % off a traded price of 8, or off the winnings of a place bet; 16.2 % off 8.6.
        ("WIN", "25", {"8": "6.00", "8.6": "6.45"}),
        ("PLACE", "25", {"8": "6.25"}),
        ("WIN", "16.2", {"8.6": "7.21"}),
        ("WIN", "2.49", {"8": "8"}),
        ("WIN", "2.5", {"8": "7.80"}),
        ("PLACE", "3.99", {"8": "8"}),
        ("WIN", "60", {"1.5": "1.01"}),
    ],
)
def test_reductions(market_type: str, factor: str, price: dict[str, str]) -> None:
    for before, after in price.items():
        rig = Rig(Kind(market_type, 1))
        rig.match("a", "b", 2, D(before), D(10))
        rig.remove(1, D(factor))
        back, lay = (twin.bet for twin in rig.twins)
        assert back.average_price_matched == lay.average_price_matched == D(after)
        assert back.price_reduced is lay.price_reduced is (D(before) != D(after))
        assert rig.exchange.accounts["b"].exposure == (D(after) - 1) * 10


def test_a_removal_sweeps_offers_to_lay_and_keeps_the_rest() -> None:
    rig = Rig(Kind("WIN", 1))
    lapsing = rig.send("a", 2, Side.LAY, "LIMIT", price=D(8), size=D(10))
    kept = rig.send("a", 3, Side.LAY, "LIMIT", price=D(8), size=D(10), persistenceType="PERSIST")
    back = rig.send("b", 2, Side.BACK, "LIMIT", price=D(9), size=D(5))
    rig.exchange.set_prices(rig.market, rig.market.runners[4], [(D(5), D(20))], [(D("5.5"), D(20))])
    rig.remove(1, D(20))
    assert (lapsing.size_lapsed, lapsing.size_remaining) == (D(10), D(0))
    assert (kept.price, kept.size_remaining) == (D("6.4"), D(10))
    assert back.size_remaining == 5
    assert rig.market.runners[4].book.levels(Side.LAY) == []
    assert rig.market.runners[4].book.levels(Side.BACK) == [(D("5.5"), D(20))]
    assert rig.exchange.accounts["a"].exposure == D(54)  # what is kept, at its lower price


def test_handicap_lines_pay_whole_and_half() -> None:
    rig = Rig(Kind("ASIAN_HANDICAP", 1), {"betting_type": "ASIAN_HANDICAP_DOUBLE_LINE"})
    outcomes = [WON, Outcome(win=1, void=1, win_parts=2), Outcome(void=1), Outcome(void=1, win_parts=2), LOST]
    for selection_id in RUNNERS:
        rig.match("a", "b", selection_id, D(3), D(10))
    assert rig.exchange.accounts["a"].exposure == 50  # lines do not release each other
    settle_with(rig.exchange, rig.market, dict(zip(RUNNERS, outcomes, strict=True)))
    backs = [twin.bet.profit for twin in rig.twins if twin.bet.side is Side.BACK]
    assert backs == [20, 10, 0, -5, -10]
    assert rig.total() == 3 * START


def test_a_line_market_pays_even_money_on_either_side_of_a_number() -> None:
    facts: dict[str, Any] = {"betting_type": "LINE", "ladder_type": "LINE_RANGE"}
    facts |= {"line_min": D("0.5"), "line_max": D("99.5"), "line_interval": D(1)}
    rig = Rig(Kind("TOTAL", 1), facts)
    rig.match("a", "b", 1, D("40.5"), D(10))
    rig.match("c", "a", 1, D("30.5"), D(4))
    assert rig.exchange.accounts["a"].exposure == 14 - 8  # above 40.5: -10 +4; below 30.5: +10 -4
    for end, profits in (("35", [10, -10, -4, 4]), ("50", [-10, 10, -4, 4]), ("40.5", [0, 0, -4, 4])):
        settle_with(rig.exchange, rig.market, {}, D(end))
        assert [twin.bet.profit for twin in rig.twins] == profits
        assert rig.total() == 3 * START
