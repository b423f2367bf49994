"""The ledger's promises, the same for the one in memory and the one in SQL."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.memory_ledger import MemoryLedger
from support.store_worlds import IDENTITY, settled_entry

from executor.adapters.sql.ledger import SqlLedger
from executor.domain.ledger_entry import LedgerEntry, decode_entry
from executor.domain.order import order_ids
from executor.errors import LedgerUnavailable
from executor.ports import Ledger

TODAY = "2026-11-20"
Entry = tuple[str, LedgerEntry]


def fill(number: int, total: str, price: str = "3.00", **overrides: str) -> Entry:
    """Return a fill after which `total` is matched."""
    entry = settled_entry(TODAY, "b1", "0") | {
        "type": "fill",
        "trade_id": f"order-b1:{number}",
        "size": "0.01",
        "size_matched": total,
        "average_price_matched": price,
    }
    return f"{number}-1", decode_entry(entry | overrides)


def settled(entry_id: str, day: str, bet_id: str, net: str) -> Entry:
    return entry_id, decode_entry(settled_entry(day, bet_id, net))


def void(number: int, total: str) -> Entry:
    return fill(number, total, type="void")


@dataclass
class Books:
    """A ledger, and how to look into it."""

    ledger: Ledger

    def sizes(self) -> list[Decimal]:
        if isinstance(self.ledger, MemoryLedger):
            return self.ledger.sizes
        assert isinstance(self.ledger, SqlLedger)
        return [row["size"] for row in reversed(self.ledger.entries(1000))]


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.apt)])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    if request.param == "memory":
        yield Books(MemoryLedger())
        return
    sqlite = f"sqlite:///{tmp_path}/new/ledger.db"
    url = sqlite if request.param == "sqlite" else request.getfixturevalue("postgres").url
    with closing(SqlLedger(url)) as ledger:
        yield Books(ledger)


def test_a_new_ledger_is_empty(books: Books) -> None:
    assert books.ledger.is_empty(IDENTITY)
    assert books.ledger.profits(IDENTITY) == {}
    books.ledger.write([])
    assert books.ledger.is_empty(IDENTITY)


@pytest.mark.parametrize("entry", [fill(1, "5.00"), settled("1-1", TODAY, "b1", "1.00")])
def test_what_is_booked_belongs_to_one_identity(books: Books, entry: Entry) -> None:
    books.ledger.write([entry])
    assert not books.ledger.is_empty(IDENTITY)
    assert books.ledger.is_empty("live somebody else")
    assert books.ledger.profits("live somebody else") == {}


def test_entries_written_again_are_booked_once(books: Books) -> None:
    batch = [
        fill(1, "5.00"),
        void(2, "3.00"),
        fill(3, "10.00"),
        settled("4-1", TODAY, "b1", "7.50"),
    ]
    for _ in range(3):
        books.ledger.write(batch)
    assert books.sizes() == [Decimal("5.00"), Decimal("2.00"), Decimal("7.00")]
    assert books.ledger.profits(IDENTITY) == {TODAY: {"b1": Decimal("7.50")}}


def test_a_fill_is_what_is_new_even_when_redis_was_lost_in_between(books: Books) -> None:
    books.ledger.write([fill(1, "5.00")])
    # The order's record is gone: the exchange's total arrives as a first fill of 10.
    books.ledger.write([fill(1, "10.00", size="10.00")])
    assert books.sizes() == [Decimal("5.00"), Decimal("5.00")]


def test_a_changed_price_is_booked_without_a_size(books: Books) -> None:
    books.ledger.write([fill(1, "5.00"), fill(2, "5.00", "2.50")])
    assert books.sizes() == [Decimal("5.00"), Decimal(0)]


def test_a_later_verdict_replaces_the_earlier_one_on_whichever_day(books: Books) -> None:
    books.ledger.write(
        [
            settled("1-1", TODAY, "b1", "7.50"),
            settled("2-1", TODAY, "b2", "-1.00"),
        ]
    )
    books.ledger.write([settled("3-1", "2026-11-21", "b1", "-10.00")])
    assert books.ledger.profits(IDENTITY) == {TODAY: {"b2": Decimal("-1.00")}, "2026-11-21": {"b1": Decimal("-10.00")}}


def test_a_verdict_that_is_read_again_after_a_later_one_changes_nothing(tmp_path: Path) -> None:
    later, earlier = (
        settled("10-1", TODAY, "b1", "-10.00"),
        settled("9-1", TODAY, "b1", "7.50"),
    )
    with closing(SqlLedger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        ledger.write([earlier, later])
        ledger.write([earlier])
        assert ledger.profits(IDENTITY) == {TODAY: {"b1": Decimal("-10.00")}}


@pytest.mark.parametrize(
    "bad",
    [
        decode_entry({}),
        decode_entry({"type": "fill"}),
        decode_entry({"type": "settlement"}),
        decode_entry({"type": "gossip"}),
        fill(1, "much")[1],
        fill(1, "NaN")[1],
        fill(1, "5.00", price="x")[1],
        decode_entry(settled_entry(TODAY, "b1", "lots")),
    ],
)
def test_an_entry_that_is_none_holds_no_other_up(books: Books, bad: LedgerEntry) -> None:
    books.ledger.write([("1-1", bad), fill(2, "5.00")])
    assert books.sizes() == [Decimal("5.00")]


@settings(max_examples=30, deadline=None)
@given(totals=st.lists(st.integers(1, 1000), min_size=1, max_size=6, unique=True), data=st.data())
def test_whatever_is_read_again_adds_up_to_the_last_total(totals: list[int], data: st.DataObject) -> None:
    growing = [fill(at, f"{total / 100:.2f}") for at, total in enumerate(sorted(totals), start=1)]
    with closing(SqlLedger("sqlite://")) as sql:
        for books in (Books(MemoryLedger()), Books(sql)):
            for end in range(1, len(growing) + 1):
                start = data.draw(st.integers(0, end - 1))
                books.ledger.write(growing[start:end])
            books.ledger.write(growing)
            assert sum(books.sizes()) == Decimal(max(totals)) / 100


# --- SQL only ---------------------------------------------------------------------------------------------------------


def test_amounts_are_exact_and_rows_can_be_read_by_anybody(tmp_path: Path) -> None:
    with closing(SqlLedger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        ledger.write([fill(1, "0.10"), fill(2, "0.30", paper="true")])
        assert ledger.count() == 2
        newest = ledger.entries(1)[0]
    assert (newest["size"], newest["paper"], newest["entry"]) == (Decimal("0.20"), 1, "2-1")
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as other:
        assert other.execute("select size from trades order by id").fetchall() == [("0.10",), ("0.20",)]
        assert other.execute("pragma journal_mode").fetchone() == ("wal",)


def test_a_batch_is_written_wholly_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(SqlLedger(f"sqlite:///{path}")) as ledger:
        ledger.write([])
        with closing(sqlite3.connect(path)) as other:
            other.execute("create trigger t before insert on settlements begin select raise(abort, 'no room'); end")
            other.commit()
        with pytest.raises(LedgerUnavailable, match="no room"):
            ledger.write([fill(1, "5.00"), settled("2-1", TODAY, "b1", "1")])
        assert ledger.count() == 0


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as where the extra is not installed
    ledger = SqlLedger("postgresql+psycopg://nobody@127.0.0.1:9/none")
    with pytest.raises(LedgerUnavailable, match=r"driver is not installed \(psycopg\): pip install .*\[postgres\]"):
        ledger.count()


@pytest.mark.parametrize("url", ["sqlite:////proc/nowhere/ledger.db", "sqlite:////dev/null/ledger.db"])
def test_a_ledger_that_is_away_says_so(url: str) -> None:
    with closing(SqlLedger(url)) as ledger:
        for call in (
            lambda: ledger.write([fill(1, "1")]),
            lambda: ledger.is_empty(IDENTITY),
            lambda: ledger.profits(IDENTITY),
            ledger.count,
        ):
            with pytest.raises(LedgerUnavailable, match=r"^ledger: ") as raised:
                call()
            assert "\n" not in str(raised.value)


def test_a_ledger_that_comes_back_is_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    folder.write_text("in the way")
    with closing(SqlLedger(f"sqlite:///{folder}/ledger.db")) as ledger:
        with pytest.raises(LedgerUnavailable):
            ledger.write([fill(1, "1.00")])
        folder.unlink()
        ledger.write([fill(1, "1.00")])
        assert ledger.count() == 1


def test_a_bet_that_is_wholly_void_waits_for_no_settlement(books: Books) -> None:
    books.ledger.write([fill(1, "5.00"), fill(2, "7.00", bet_id="b2")])
    assert books.ledger.oldest_unsettled(IDENTITY) is not None
    books.ledger.write([void(3, "0.00")])
    books.ledger.write([settled("4-1", TODAY, "b2", "1.00")])
    assert books.ledger.oldest_unsettled(IDENTITY) is None


def test_a_void_takes_back_what_a_bet_had_won_and_a_later_verdict_says_it_anew(books: Books) -> None:
    books.ledger.write([fill(1, "5.00"), settled("2-1", TODAY, "b1", "7.50"), void(3, "0.00")])
    assert sum(books.ledger.profits(IDENTITY)[TODAY].values()) == 0
    books.ledger.write([fill(4, "5.00"), settled("5-1", TODAY, "b1", "-5.00")])
    assert books.ledger.profits(IDENTITY) == {TODAY: {"b1": Decimal("-5.00")}}
    assert books.ledger.matched(IDENTITY, ["b1", "b2"]) == {"b1": Decimal("5.00")}


def test_how_far_a_feed_is_booked_is_known_with_what_is_booked(books: Books) -> None:
    assert books.ledger.reached(IDENTITY, "g1") == ""
    books.ledger.write([fill(1, "5.00"), void(2, "0.00")], identity=IDENTITY, generation="g1")
    assert books.ledger.reached(IDENTITY, "g1") == "2-1"
    # Told anew after a loss, a fill adds nothing; read once more after the void, it must not add anything either.
    books.ledger.write([fill(1, "5.00")], identity=IDENTITY, generation="g1")
    assert books.ledger.matched(IDENTITY, ["b1"]).get("b1", Decimal(0)) == 0
    assert books.ledger.reached(IDENTITY, "g1") == "2-1"
    assert books.ledger.reached(IDENTITY, "g2") == ""


def test_what_the_books_know_of_bets_and_of_orders_that_were_placed(books: Books) -> None:
    [placed] = order_ids("signal-9", 1)
    ended = {
        "type": "signal",
        "signal_id": "signal-9",
        "kind": "strategy",
        "strategy": "test",
        "market_id": "1.1",
        "status": "COMPLETED",
        "reason": "",
        "detail": "",
        "received_at": f"{TODAY}T12:00:00.000Z",
        "finished_at": f"{TODAY}T12:00:01.000Z",
        "identity": IDENTITY,
    }
    books.ledger.write([fill(1, "5.00"), ("2-1", decode_entry(ended))])
    since = int(datetime.fromisoformat(f"{TODAY}T12:00:00+00:00").timestamp() * 1000)
    asked = {"b1": "?", "b8": "no-order", "b9": placed}
    assert books.ledger.knows(IDENTITY, asked, since) == {"b1", "b9"}
    assert books.ledger.knows(IDENTITY, asked, since + 2 * 3_600_000) == {"b1"}
    assert books.ledger.newest_settlement(IDENTITY) is None


def test_a_ledger_that_is_let_go_of_leaves_no_connection(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    def opened() -> int:
        return sum(1 for fd in Path("/proc/self/fd").iterdir() if os.path.realpath(fd).startswith(str(path)))

    books = SqlLedger(f"sqlite:///{path}")
    books.count()
    assert opened()
    del books
    assert not opened()
