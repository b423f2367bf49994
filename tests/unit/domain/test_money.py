"""The price ladder and every rounding: always against us, never by a float."""

from decimal import ROUND_HALF_EVEN, Decimal
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.domain.money import (
    LADDER,
    MAX_PRICE,
    MIN_PRICE,
    Side,
    is_on_ladder,
    liability,
    parse_number,
    round_down,
    round_up,
    to_money,
    to_rung,
    to_size,
)

D = Decimal
PROPERTY: Final = settings(deadline=None, max_examples=300)
PENNY: Final = D("0.01")
# Betfair's table, written down a second time: first rung, last rung, step, rungs.
BANDS: Final = [
    ("1.01", "1.99", "0.01", 99),
    ("2.00", "2.98", "0.02", 50),
    ("3.00", "3.95", "0.05", 20),
    ("4.00", "5.90", "0.10", 20),
    ("6.00", "9.80", "0.20", 20),
    ("10.00", "19.50", "0.50", 20),
    ("20.00", "29.00", "1.00", 10),
    ("30.00", "48.00", "2.00", 10),
    ("50.00", "95.00", "5.00", 10),
    ("100.00", "1000.00", "10.00", 91),
]
sides = st.sampled_from(Side)
prices = st.decimals("1.01", "1000", places=6)
amounts = st.decimals(0, 10**9, places=12)


def test_the_ladder_has_betfairs_350_prices() -> None:
    assert len(LADDER) == sum(band[3] for band in BANDS) == 350
    assert list(LADDER) == sorted(set(LADDER))
    assert (LADDER[0], LADDER[-1]) == (MIN_PRICE, MAX_PRICE) == (D("1.01"), D(1000))


@pytest.mark.parametrize(("first", "last", "step", "rungs"), BANDS)
def test_a_band_of_the_ladder(first: str, last: str, step: str, rungs: int) -> None:
    band = [price for price in LADDER if D(first) <= price <= D(last)]
    assert (str(band[0]), str(band[-1]), len(band)) == (first, last, rungs)
    assert {after - before for before, after in pairwise(band)} == {D(step)}


@pytest.mark.parametrize("price", ["1.00", "1.005", "2.01", "3.04", "100.5", "1010", "0", "-2"])
def test_what_is_no_rung_is_not_on_the_ladder(price: str) -> None:
    assert not is_on_ladder(D(price))


@pytest.mark.parametrize(
    ("price", "back", "lay"),
    [
        ("2.01", "2.02", "2.00"),
        ("1.999", "2.00", "1.99"),
        ("2.999", "3.00", "2.98"),
        ("3.01", "3.05", "3.00"),
        ("5.95", "6.00", "5.90"),
        ("9.99", "10.00", "9.80"),
        ("99.99", "100.00", "95.00"),
        ("999.99", "1000.00", "990.00"),
        ("1.0100000001", "1.02", "1.01"),
    ],
)
def test_an_off_ladder_price_moves_back_up_and_lay_down(price: str, back: str, lay: str) -> None:
    assert str(to_rung(D(price), Side.BACK)) == back
    assert str(to_rung(D(price), Side.LAY)) == lay


@PROPERTY
@given(prices, sides)
def test_a_rung_is_never_worse_for_us_and_never_further_than_needed(price: Decimal, side: Side) -> None:
    rung = to_rung(price, side)
    assert is_on_ladder(rung)
    assert rung >= price if side is Side.BACK else rung <= price
    assert not [other for other in LADDER if min(price, rung) <= other <= max(price, rung) and other != rung]
    assert to_rung(rung, side) == rung


@pytest.mark.parametrize("side", Side)
def test_every_rung_stays_where_it_is(side: Side) -> None:
    assert [to_rung(price, side) for price in LADDER] == list(LADDER)
    assert all(is_on_ladder(price) for price in LADDER)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("price", ["1.009999", "1", "0", "-3.03", "1000.01", "1e9"])
def test_a_price_beyond_the_ladder_comes_back_unchanged(price: str, side: Side) -> None:
    assert to_rung(D(price), side) == D(price)


@PROPERTY
@given(amounts)
def test_a_size_is_rounded_down_by_less_than_a_penny(amount: Decimal) -> None:
    size = to_size(amount)
    assert size.as_tuple().exponent == -2
    assert D("-0.000000005") <= amount - size < PENNY
    assert to_size(size) == size


@pytest.mark.parametrize(
    ("given", "size"),
    [("1.9999999999999998", "2"), ("2.4000000000000004", "2.4"), ("1.99999998", "1.99"), ("50.0099", "50"), ("2", "2")],
)
def test_a_floats_noise_costs_no_penny(given: str, size: str) -> None:
    assert to_size(D(given)) == D(size)


@PROPERTY
@given(st.decimals(-(10**9), 10**9, places=12))
def test_a_risk_is_rounded_up_an_income_down_a_report_to_the_nearest(amount: Decimal) -> None:
    assert D(0) <= round_up(amount) - amount < PENNY
    assert D(0) <= amount - round_down(amount) < PENNY
    assert abs(to_money(amount) - amount) <= PENNY / 2


@pytest.mark.parametrize(
    ("amount", "up", "down", "nearest"),
    [
        ("2.005", "2.01", "2.00", "2.01"),
        ("-2.005", "-2.00", "-2.01", "-2.01"),
        ("7.4999999999999", "7.50", "7.49", "7.50"),
        ("3", "3.00", "3.00", "3.00"),
    ],
)
def test_rounding(amount: str, up: str, down: str, nearest: str) -> None:
    assert [str(each(D(amount))) for each in (round_up, round_down, to_money)] == [up, down, nearest]


@pytest.mark.parametrize(
    ("side", "price", "size", "risk"),
    [
        (Side.BACK, "3.00", "100", "100"),  # reference: a back risks its stake
        (Side.LAY, "3.00", "100", "200"),  # reference: LAY 100 @ 3.0 -> 200
        (Side.LAY, "1.01", "0.50", "0.01"),  # 0.005, never understated
        (Side.LAY, "2.02", "0.33", "0.34"),  # 0.3366
        (Side.LAY, "1000.00", "2.00", "1998"),
    ],
)
def test_liability(side: Side, price: str, size: str, risk: str) -> None:
    assert liability(side, D(price), D(size)) == D(risk)


@PROPERTY
@given(st.sampled_from(LADDER), st.decimals("0.01", 10**7, places=2))
def test_the_liability_of_a_lay_is_never_understated(price: Decimal, size: Decimal) -> None:
    exact = size * (price - 1)
    assert D(0) <= liability(Side.LAY, price, size) - exact < PENNY


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2.5", "2.5"),
        (" 2.50\n", "2.50"),
        ("+3", "3"),
        ("-0", "0"),
        (".02", "0.02"),
        ("5.", "5"),
        ("1e3", "1000"),
        ("1E-7", "0.0000001"),
    ],
)
def test_a_plain_number_is_read(text: str, value: str) -> None:
    assert parse_number(text) == D(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ".",
        "-",
        "1_000",
        "1,5",
        "1 000",
        "0x10",
        "nan",
        "NaN",
        "sNaN",
        "inf",
        "-Infinity",
        "١٢",
        "\uff12",
        "1e1000",
        "1" * 33,
        "0." + "1" * 33,
        "1e-999999",
        "2.5.1",
        "--1",
        "2\n3",
        "ten",
        "1e",
        "²",
    ],
)
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a plain decimal number is expected"):
        parse_number(text)


@PROPERTY
@given(st.decimals(-(10**12), 10**12, places=8))
def test_a_number_survives_being_written(value: Decimal) -> None:
    assert parse_number(str(value)) == value
    assert parse_number(str(value.quantize(PENNY, rounding=ROUND_HALF_EVEN))).is_finite()
