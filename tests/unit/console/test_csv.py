"""Profit and loss as CSV: what a spreadsheet opens."""

import csv
import io
from decimal import Decimal

import pytest

from executor.operations.pnl import By, pnl_csv


@pytest.mark.parametrize("strategy", ["=1+1", "+cmd|' /C calc'!A0", "-2", "@SUM(A1)", "\t=1"])
def test_a_strategys_name_is_no_formula(strategy: str) -> None:
    row = {"strategy": strategy, "at": "2026-01-31T12:00:00.000Z", "market_id": "1.1"}
    amounts = {"profit": Decimal("-5.00"), "commission": Decimal(0), "net_profit": Decimal("-5.00")}
    (found,) = csv.DictReader(io.StringIO(pnl_csv([{**row, **amounts}], By.STRATEGY), newline=""))
    assert found["strategy"] == f"'{strategy}"
    assert found["net_profit"] == "-5.00", "an amount stays a number"


def test_other_names_stay_as_they_are() -> None:
    row = {"strategy": 'a=b, "c"', "at": "2026-01-31T12:00:00.000Z", "market_id": "1.1"}
    amounts = dict.fromkeys(("profit", "commission", "net_profit"), Decimal(1))
    (found,) = csv.DictReader(io.StringIO(pnl_csv([{**row, **amounts}], By.STRATEGY), newline=""))
    assert found["strategy"] == 'a=b, "c"'
