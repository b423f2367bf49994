"""The exchange without its server: money and sizes under every sequence of events, and the bounds of its memory."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from betfair_sandbox.api.order_lists import current_orders, order_row
from betfair_sandbox.api.wire import Params
from betfair_sandbox.market import exchange as exchange_module
from betfair_sandbox.market.accounts import Account
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Market
from betfair_sandbox.market.money import LADDER, Side
from betfair_sandbox.market.placing import PlaceRequest, place
from betfair_sandbox.market.rules import read_instruction
from betfair_sandbox.market.settlement import settle, void_market, void_runner

START = Decimal(1_001)
MARKET = "1.5"


class Rig:
    """An exchange with two customers, one market of three runners, and a clock that a test moves."""

    def __init__(self, seed: int = 1) -> None:
        self.clock_ms = 1_000_000_000_000
        customers = [Account(name, "", "", "", START) for name in ("a", "b")]
        self.exchange = Exchange(customers, seed, lambda: self.clock_ms)
        self.market = self.exchange.open_market(MARKET, "Winner", "WIN", "Event")
        for selection_id in (1, 2, 3):
            self.exchange.runner(self.market, selection_id)

    def place(self, name: str, selection_id: int, side: Side, price: Decimal, size: Decimal) -> dict[str, Any]:
        instruction = read_instruction(
            {
                "selectionId": selection_id,
                "side": side.value,
                "orderType": "LIMIT",
                "limitOrder": {"price": price, "size": size},
            },
            "GBP",
        )
        return place(self.exchange, self.exchange.accounts[name], PlaceRequest(MARKET, [instruction]))

    def total(self) -> Decimal:
        """Return all the money there is."""
        accounts = self.exchange.accounts.values()
        customers = sum((account.balance + account.commission_paid for account in accounts), Decimal(0))
        return customers + self.exchange.house.balance + self.exchange.rounding


_orders = st.tuples(
    st.just("place"),
    st.sampled_from("ab"),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(Side),
    st.sampled_from(LADDER[148:158]),
    st.decimals("1", "400", places=2),
)
_events = st.one_of(
    _orders,
    _orders,
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.just("wait"), st.integers(100, 3_000)),
    st.tuples(st.just("prices"), st.sampled_from([1, 2, 3]), st.integers(148, 157)),
    st.tuples(st.just("void runner"), st.sampled_from([1, 2, 3])),
)
_results = st.lists(st.one_of(st.sampled_from([1, 2, 3]), st.just(0)), min_size=1, max_size=3)


def _happen(rig: Rig, event: tuple[Any, ...]) -> None:
    exchange, kind = rig.exchange, event[0]
    if kind == "place":
        account = exchange.accounts[event[1]]
        solvent = account.available >= 0
        report = rig.place(*event[1:])
        assert report["status"] == "FAILURE" or not solvent or account.available >= 0
    elif kind == "cancel" and exchange.bets:
        bet = list(exchange.bets.values())[event[1] % len(exchange.bets)]
        if bet.size_remaining:
            exchange.cancel(bet, None)
    elif kind == "wait":
        rig.clock_ms += event[1]
        exchange.tick()
    elif kind == "prices":
        runner = rig.market.runners[event[1]]
        if runner.status == "ACTIVE":
            price = LADDER[event[2]]
            exchange.set_prices(rig.market, runner, [(price, Decimal(50))], [(LADDER[event[2] + 3], Decimal(50))])
    elif kind == "void runner":
        runner = rig.market.runners[event[1]]
        if runner.status == "ACTIVE":
            void_runner(exchange, rig.market, runner)


@settings(max_examples=60, deadline=None)
@given(events=st.lists(_events, max_size=25), results=_results, void=st.booleans())
def test_money_and_sizes_are_conserved(events: list[tuple[Any, ...]], results: list[int], void: bool) -> None:
    rig = Rig()
    for event in events:
        _happen(rig, event)
        assert rig.total() == 2 * START
    for winner in results:
        settle(rig.exchange, rig.market, [winner] if rig.market.runners.get(winner) else [])
        assert rig.total() == 2 * START
    if void:
        void_market(rig.exchange, rig.market)
        assert [account.balance for account in rig.exchange.accounts.values()] == [START, START]
    for account in rig.exchange.accounts.values():
        assert (account.exposure, account.positions) == (Decimal(0), {})
        register = rig.exchange.registers[account.name]
        assert (register.open, register.current) == ({}, {})
    for bet in rig.exchange.bets.values():
        parts = bet.size_matched, bet.size_lapsed, bet.size_cancelled, bet.size_voided
        assert (sum(parts), bet.size_remaining) == (bet.size, Decimal(0))


@given(results=_results)
def test_balances_depend_on_the_last_result_only(results: list[int]) -> None:
    balances = []
    for sequence in (results, results[-1:]):
        rig = Rig()
        for at, selection_id in enumerate((1, 2, 3, 1)):
            rig.place("a", selection_id, Side.BACK, LADDER[150], Decimal(20 + at))
            rig.place("b", selection_id, Side.LAY, LADDER[150], Decimal(10))
        for winner in sequence:
            settle(rig.exchange, rig.market, [winner] if winner else [])
        balances.append([account.balance for account in rig.exchange.accounts.values()])
    assert balances[0] == balances[1]


@settings(max_examples=30, deadline=None)
@given(events=st.lists(_events, max_size=25), seed=st.integers(0, 3))
@example(events=[("place", "a", 1, Side.BACK, Decimal("2.98"), Decimal(1))] * 2 + [("wait", 530)], seed=0)
def test_the_same_seed_and_calls_give_the_same_day(events: list[tuple[Any, ...]], seed: int) -> None:
    days = []
    for busy in (False, True):
        rig = Rig(seed)
        for event in events:
            if busy and event[0] == "wait":
                rig.exchange.tick()  # a clockwork that looks more often changes nothing
            _happen(rig, event)
        days.append(
            (
                [order_row(bet) for bet in rig.exchange.bets.values()],
                [
                    [runner.book.levels(side) for side in Side]
                    for market in rig.exchange.markets.values()
                    for runner in market.runners.values()
                ],
                [(account.balance, account.exposure) for account in rig.exchange.accounts.values()],
            )
        )
    assert days[0] == days[1]


def test_what_happens_on_one_runner_does_not_move_anothers_prices() -> None:
    books = []
    for others in ((), (2, 3)):
        rig = Rig()
        for selection_id in (*others, 1):
            rig.place("a", selection_id, Side.BACK, LADDER[150], Decimal(20))
        runner = rig.market.runners[1]
        rig.exchange.liquidity.withdraw(runner)
        runner.mid = 150  # whatever fate it was dealt
        moves = []
        for _ in range(5):
            rig.clock_ms += 1_000
            rig.exchange.tick()
            moves.append([price for price, _ in runner.book.levels(Side.LAY)])
        books.append(moves)
    assert books[0] == books[1]
    assert len({tuple(move) for move in books[0]}) > 1


def test_a_page_has_a_thousand_orders_at_most() -> None:
    rig = Rig()
    for _ in range(1_001):
        rig.place("a", 1, Side.BACK, LADDER[300], Decimal(1))
    account = rig.exchange.accounts["a"]
    placed = [str(bet_id) for bet_id in rig.exchange.bets]
    assert len(placed) == START  # one pound each
    for count in (0, 1_000, 5_000):
        page = current_orders(rig.exchange, account, Params({"recordCount": count}))
        assert [order["betId"] for order in page["currentOrders"]] == placed[:1_000]
        assert page["moreAvailable"] is True
    rest = current_orders(rig.exchange, account, Params({"fromRecord": 1_000}))
    assert ([order["betId"] for order in rest["currentOrders"]], rest["moreAvailable"]) == (placed[1_000:], False)


def test_settled_bets_are_forgotten_when_the_history_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "MAX_BETS", 3)
    rig = Rig()
    for _ in range(3):
        assert rig.place("a", 1, Side.BACK, LADDER[150], Decimal(2))["status"] == "SUCCESS"
    assert rig.place("a", 1, Side.BACK, LADDER[150], Decimal(2))["errorCode"] == "SERVICE_UNAVAILABLE"
    settle(rig.exchange, rig.market, [1])
    rig.market = rig.exchange.open_market("1.6", "Next", "WIN", "Event")
    assert rig.exchange.room_for_bets(1)
    register = rig.exchange.registers["a"]
    assert (rig.exchange.bets, register.all, register.cleared["SETTLED"]) == ({}, {}, {})
    assert list(rig.exchange.markets) == ["1.6"]


def test_unused_markets_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "MAX_MARKETS", 2)
    rig = Rig()
    rig.place("a", 1, Side.BACK, LADDER[150], Decimal(2))
    assert isinstance(rig.exchange.market("1.6"), Market)
    assert isinstance(rig.exchange.market("1.7"), Market)
    assert list(rig.exchange.markets) == [MARKET, "1.7"]
