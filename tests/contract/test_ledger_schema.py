"""The ledger's schema and its SQL, on SQLite and PostgreSQL: new, old and newer databases, many starts at once."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text
from support.store_worlds import IDENTITY, make_record, settled_entry

from executor.adapters.sql.ledger import SqlLedger
from executor.adapters.sql.tables import metadata
from executor.domain.ledger_entry import LedgerEntry, decode_entry, of_signal
from executor.domain.signal_record import SignalStatus
from executor.errors import LedgerUnavailable

ROOT = Path(__file__).parents[2]
NOW = 1_795_200_000_000
TODAY = "2026-11-20"
BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.apt)]


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    found: str = request.getfixturevalue("postgres").url
    return found


@pytest.fixture
def plain(url: str) -> Iterator[Engine]:
    """Return the database without the ledger's code."""
    engine = create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(url: str) -> Iterator[SqlLedger]:
    with closing(SqlLedger(url)) as ledger:
        yield ledger


def fill(entry: str, total: str, **overrides: str) -> tuple[str, LedgerEntry]:
    fields = settled_entry(TODAY, "b1", "0") | {"type": "fill", "size": total, "size_matched": total}
    return entry, decode_entry(fields | overrides)


def ended(entry: str, status: SignalStatus, **overrides: Any) -> tuple[str, LedgerEntry]:
    record = make_record(NOW, status=status, finished_at=NOW + 500, **overrides)
    return entry, of_signal(record, IDENTITY)


# --- the schema -------------------------------------------------------------------------------------------------------


def test_the_steps_lead_to_what_the_code_expects(ledger: SqlLedger, plain: Engine) -> None:
    ledger.write([])
    with plain.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def first_version(plain: Engine) -> None:
    """Make the database that the version before migrations made, with a row in each table."""
    columns = {
        "trades": "id integer not null primary key, entry varchar(64) not null, kind varchar(16) not null,"
        " identity varchar(256) not null, order_id varchar(40) not null, signal_id varchar(200) not null,"
        " bet_id varchar(64) not null,"
        " strategy varchar(128) not null, market_id varchar(32) not null, selection_id varchar(24) not null,"
        " side varchar(8) not null, size varchar(32) not null, price varchar(32) not null, size_matched varchar(32)"
        " not null, average_price_matched varchar(32) not null, at varchar(32) not null, paper integer not null",
        "settlements": "identity varchar(256) not null, bet_id varchar(64) not null, order_id varchar(40) not null,"
        " strategy varchar(128) not null, market_id varchar(32) not null, profit varchar(32) not null, commission"
        " varchar(32) not null, net_profit varchar(32) not null, at varchar(32) not null, entry varchar(64) not null,"
        " primary key (identity, bet_id)",
    }
    if plain.dialect.name == "postgresql":
        columns["trades"] = columns["trades"].replace("id integer", "id serial", 1)
    rows = {
        "trades": f"(entry, kind, identity, order_id, signal_id, bet_id, strategy, market_id, selection_id, side, size,"
        f" price, size_matched, average_price_matched, at, paper) values ('1-0', 'fill', '{IDENTITY}', 'o', 's', 'b1',"
        f" 'old', '1.1', '1', 'BACK', '10.00', '3.00', '10.00', '3.00', '{TODAY}T00:00:00.000Z', 0)",
        "settlements": f"values ('{IDENTITY}', 'b1', 'o', 'old', '1.1', '20.00', '1.00', '19.00',"
        f" '{TODAY}T00:00:00.000Z', '2-0')",
    }
    with plain.begin() as connection:
        for table, definition in columns.items():
            connection.execute(text(f"create table {table} ({definition})"))
            connection.execute(text(f"insert into {table} {rows[table]}"))
        once = "identity, bet_id, kind, size_matched, average_price_matched"
        connection.execute(text(f"create unique index trades_once on trades ({once})"))
        connection.execute(text("create index trades_at on trades (at)"))


def test_a_database_of_the_first_version_is_upgraded_with_its_rows(ledger: SqlLedger, plain: Engine) -> None:
    first_version(plain)
    assert ledger.profits(IDENTITY) == {TODAY: {"b1": Decimal("19.00")}}
    assert [row["currency"] for row in [*ledger.entries(10), *ledger.settled(IDENTITY)]] == ["", ""]
    ledger.write([ended("3-0", SignalStatus.REJECTED), fill("4-0", "12.00")])
    assert [row["size"] for row in ledger.entries(10)] == [Decimal("2.00"), Decimal("10.00")]
    assert len(ledger.ended(10)) == 1
    with plain.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_amounts_carry_the_currency_that_the_feed_says(ledger: SqlLedger) -> None:
    settled = decode_entry(settled_entry(TODAY, "b1", "3.00", currency="EUR"))
    ledger.write([fill("4-0", "12.00", currency="EUR"), ("5-0", settled)])
    ledger.write([("6-0", decode_entry(settled_entry(TODAY, "b2", "1.00")))])
    assert [row["currency"] for row in ledger.entries(10)] == ["EUR"]
    assert [row["currency"] for row in ledger.settled(IDENTITY)] == ["EUR", ""]


def test_many_processes_may_start_at_once(url: str, plain: Engine) -> None:
    first_version(plain)
    start = "import sys; from executor.adapters.sql.ledger import SqlLedger; print(SqlLedger(sys.argv[1]).count())"
    processes = [
        subprocess.Popen([sys.executable, "-c", start, url], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ledgers = [SqlLedger(url) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(SqlLedger.count, ledgers)) == [1] * 6
    assert [process.communicate(timeout=30)[0].strip() for process in processes] == ["1", "1"]
    for ledger in ledgers:
        ledger.close()
    with plain.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == "0005"


def test_a_newer_database_is_left_alone(url: str, ledger: SqlLedger, plain: Engine) -> None:
    ledger.write([])
    with plain.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with closing(SqlLedger(url)) as older, pytest.raises(LedgerUnavailable, match=r"'9999'.*newer version"):
        older.count()
    with plain.connect() as connection:
        assert connection.scalar(text("select version_num from alembic_version")) == "9999"


def test_a_step_that_fails_leaves_the_database_as_it_was(url: str, plain: Engine) -> None:
    with plain.begin() as connection:
        connection.execute(text("create table signals (theirs integer)"))
    with closing(SqlLedger(url)) as ledger, pytest.raises(LedgerUnavailable, match="signals"):
        ledger.count()
    assert inspect(plain).get_table_names() == ["signals"]


# --- what the memory's ledger does not have ---------------------------------------------------------------------------


def test_a_signals_end_is_booked_once_and_a_later_end_replaces_it(ledger: SqlLedger) -> None:
    failed = ended("1-0", SignalStatus.FAILED, reason="NOT_PLACED", detail="the exchange does not have it")
    completed = ended("2-0", SignalStatus.COMPLETED)
    for batch in ([failed], [failed, completed], [completed, failed]):
        ledger.write(batch)
    (row,) = ledger.ended(10)
    assert (row["signal_id"], row["status"], row["reason"], row["entry"]) == ("signal-1", "COMPLETED", "", "2-0")
    assert (row["received_at"], row["finished_at"]) == ("2026-11-20T18:40:00.000Z", "2026-11-20T18:40:00.500Z")
    assert ledger.count() == 0
    assert ledger.is_empty(IDENTITY), "a rejected signal is no trade of ours"


@pytest.mark.parametrize("detail", ["a\0b", "x" * 5000, "'; drop table signals; --", "\u2603 \U0001f40e"])
def test_a_detail_may_be_any_text(ledger: SqlLedger, detail: str) -> None:
    ledger.write([ended("1-0", SignalStatus.REJECTED, detail=detail)])
    assert ledger.ended(1)[0]["detail"] == detail.replace("\0", "")


def test_what_one_database_refuses_holds_up_nothing_else(ledger: SqlLedger) -> None:
    too_long = fill("1-0", "1.00", strategy="x" * 1000, bet_id="b0")
    ledger.write([too_long, fill("2-0", "5.00"), ended("3-0", SignalStatus.REJECTED)])
    assert [row["bet_id"] for row in ledger.entries(10) if row["bet_id"] != "b0"] == ["b1"]
    assert len(ledger.ended(10)) == 1


def test_a_fill_after_a_void_is_booked_though_the_totals_were_there_before(ledger: SqlLedger) -> None:
    void = {"type": "void", "size": "5.00", "size_matched": "0.00", "average_price_matched": "0"}
    batch = [fill("1-0", "5.00"), fill("2-0", "0.00", **void), fill("3-0", "5.00")]
    for _ in range(2):
        ledger.write(batch)
    sizes = [(row["kind"], row["size"]) for row in reversed(ledger.entries(10))]
    assert sizes == [("fill", Decimal("5.00")), ("void", Decimal("5.00")), ("fill", Decimal("5.00"))]


def test_a_bet_that_redis_forgot_keeps_its_strategy(ledger: SqlLedger) -> None:
    ledger.write([fill("1-0", "10.00", strategy="momentum")])
    ledger.write([("2-0", decode_entry(settled_entry(TODAY, "b1", "19.00", strategy="adopted")))])
    ledger.write([("3-0", decode_entry(settled_entry(TODAY, "b2", "1.00", strategy="adopted")))])
    assert [row["strategy"] for row in ledger.settled(IDENTITY)] == ["momentum", "adopted"]


def test_the_oldest_bet_that_waits_for_its_settlement_is_known(ledger: SqlLedger) -> None:
    assert ledger.oldest_unsettled(IDENTITY) is None
    void = {"type": "void", "size_matched": "0.00"}
    ledger.write(
        [
            fill("1-0", "5.00", bet_id="gone", at="2026-11-01T00:00:00.000Z"),
            fill("2-0", "0.00", bet_id="gone", at="2026-11-02T00:00:00.000Z", **void),
            fill("3-0", "5.00", bet_id="settled", at="2026-11-03T00:00:00.000Z"),
            ("4-0", decode_entry(settled_entry(TODAY, "settled", "1.00"))),
            fill("5-0", "5.00", bet_id="waits", at="2026-11-04T00:00:00.000Z"),
            fill("6-0", "5.00", bet_id="later", at="2026-11-05T00:00:00.000Z"),
        ]
    )
    assert ledger.oldest_unsettled(IDENTITY) == 1_793_750_400_000
    assert ledger.oldest_unsettled("live somebody else") is None
