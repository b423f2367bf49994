"""Entries of the accounting feed: what is written is read again, and what is none says so."""

from dataclasses import replace
from decimal import Decimal

import pytest
from support.factories import NOW, make_order
from support.store_worlds import make_record

from executor.domain.ledger_entry import Act, Unreadable, decode_entry, encode_entry, of_signal, of_trade
from executor.domain.order import OrderStatus, Trade, TradeKind
from executor.domain.signal_record import SignalStatus
from executor.domain.times import from_iso, iso

ORDER = replace(
    make_order(status=OrderStatus.SETTLED, bet_id="b1"),
    size_matched=Decimal("10.00"),
    average_price_matched=Decimal("3.05"),
    profit=Decimal("20.50"),
    commission=Decimal("1.03"),
)
ACT = Act(at=NOW, identity="paper", who="anna", role="operator", via="api", address="::1", action="halt",
          target="", before='{"trading": "on"}', after="", outcome="done")  # fmt: skip
ENTRIES = [
    *(of_trade(Trade(kind, ORDER, 1, Decimal("4.00"), Decimal("3.1"), NOW), "paper") for kind in TradeKind),
    of_trade(Trade(TradeKind.FILL, replace(ORDER, paper=True), 2, Decimal(1), Decimal(3), NOW + 1), "paper"),
    of_trade(Trade(TradeKind.SETTLEMENT, ORDER, 3, Decimal(0), Decimal(0), NOW + 1), "paper", "EUR"),
    of_signal(make_record(NOW, status=SignalStatus.FAILED, finished_at=NOW + 7), "paper"),
    ACT,
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
def test_what_is_written_is_read_again(entry: object) -> None:
    assert decode_entry(encode_entry(entry)) == entry  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["size_matched", "bet_id", "identity", "at", "side", "selection_id", "type"])
def test_what_lacks_something_is_none_and_says_what(missing: str) -> None:
    fields = encode_entry(ENTRIES[0])
    del fields[missing]
    entry = decode_entry(fields)
    assert isinstance(entry, Unreadable)
    assert missing in entry.problem or missing == "type"


@pytest.mark.parametrize("amount", ["much", "NaN", "Infinity", ""])
def test_an_amount_is_a_finite_number(amount: str) -> None:
    assert isinstance(decode_entry(encode_entry(ENTRIES[0]) | {"size_matched": amount}), Unreadable)


def test_every_millisecond_is_read_as_it_was_written() -> None:
    assert [from_iso(iso(NOW + ms)) for ms in range(1000)] == [NOW + ms for ms in range(1000)]
