"""What an account can lose, against Betfair's own examples and against trying every result."""

from decimal import Decimal
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from betfair_sandbox.market.accounts import Account
from betfair_sandbox.market.money import Side
from betfair_sandbox.market.placing import RecentRefs
from betfair_sandbox.market.positions import Position, market_exposure
from betfair_sandbox.market.rules import bet_size_ok, profit_ratio_ok

D = Decimal


def matched(*bets: tuple[str, str, str]) -> Position:
    position = Position()
    for side, size, price in bets:
        position.match(Side(side), D(price) * D(size), D(size))
    return position


def unmatched(position: Position, *bets: tuple[str, str, str]) -> Position:
    for side, size, price in bets:
        position.open(Side(side), D(price), D(size))
    return position


@pytest.mark.parametrize(
    ("positions", "runners", "exposure"),
    [
        pytest.param([matched(("BACK", "10", "3"), ("LAY", "10", "2.5"))], 3, "0", id="back and lay hedge"),
        pytest.param([matched(("LAY", "10", "3")), matched(("LAY", "10", "4"))], 3, "20", id="two lays, one winner"),
        pytest.param(
            [matched(("BACK", "10", "3")), matched(("BACK", "10", "4"))], 3, "20", id="two backs, a third runs"
        ),
        pytest.param([matched(("BACK", "10", "3")), matched(("BACK", "10", "4"))], 2, "0", id="two backs, all runners"),
        pytest.param([unmatched(Position(), ("BACK", "10", "3"), ("LAY", "10", "2.5"))], 3, "15", id="unmatched both"),
        pytest.param(
            [unmatched(matched(("BACK", "10", "3")), ("LAY", "10", "2.5"))], 3, "10", id="unmatched never helps"
        ),
        pytest.param([matched(("BACK", "10", "3"))], None, "10", id="more runners may appear"),
    ],
)
def test_exposure(positions: list[Position], runners: int | None, exposure: str) -> None:
    assert market_exposure(positions, 1, runners) == D(exposure)


_results = st.tuples(st.integers(-50, 50), st.integers(-50, 50))


def test_a_customer_ref_is_free_again_after_sixty_seconds() -> None:
    refs, start_ms = RecentRefs(), 1_000_000
    account, two = (Account(name, "", "", "", D(0)) for name in ("one", "two"))
    assert refs.claim(account, "same", start_ms)
    assert refs.claim(two, "same", start_ms + 30_000)
    assert not refs.claim(account, "same", start_ms + 59_999)
    assert refs.claim(account, "same", start_ms + 60_000)
    assert not refs.claim(two, "same", start_ms + 60_000)
    assert refs.claim(account, "", start_ms)
    assert refs.claim(account, "", start_ms)


@given(st.lists(_results, min_size=1, max_size=5), st.integers(1, 3), st.integers(0, 3))
def test_exposure_is_the_worst_of_all_results(results: list[tuple[int, int]], winners: int, unbet: int) -> None:
    every = results + [(0, 0)] * max(unbet, winners - len(results))
    worst = min(
        sum(win if at in chosen else lose for at, (win, lose) in enumerate(every))
        for chosen in combinations(range(len(every)), winners)
    )
    positions = [Position(win=D(win), lose=D(lose)) for win, lose in results]
    assert market_exposure(positions, winners, len(every)) == max(0, -worst)


@pytest.mark.parametrize(
    ("price", "size", "valid"),
    [
        ("3", "1", True),
        ("3", "0.99", False),
        ("10", "1", True),
        ("100", "0.10", True),
        ("100", "0.09", False),
        ("1000", "0.01", True),
        ("3", "2.005", False),
        ("3", "0", False),
        ("3", "-2", False),
    ],
)
def test_small_stakes_must_return_ten_pounds(price: str, size: str, valid: bool) -> None:
    assert bet_size_ok(D(price), D(size), "GBP") is valid


@pytest.mark.parametrize(
    ("currency", "price", "size", "valid"),
    [
        ("EUR", "10", "1", True),
        ("EUR", "10", "0.99", False),
        ("EUR", "20", "0.99", False),
        ("EUR", "21", "0.96", True),
        ("HUF", "9.8", "399", False),
        ("HUF", "9.8", "400", True),
        ("HUF", "11", "399", True),
        ("DKK", "3", "14.99", False),
        ("DKK", "3", "15", True),
    ],
)
def test_each_currency_has_its_minimum(currency: str, price: str, size: str, valid: bool) -> None:
    assert bet_size_ok(D(price), D(size), currency) is valid


@pytest.mark.parametrize(
    ("price", "size", "valid"), [("1.06", "0.13", False), ("1.01", "2", True), ("1.01", "1.3", False)]
)
def test_rounding_must_not_change_the_profit_much(price: str, size: str, valid: bool) -> None:
    assert profit_ratio_ok(D(price), D(size)) is valid
