"""`executor pnl` on a ledger with a few settlements: every way to group and to print has the same total."""

import csv
import io
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from support.cli_rig import Console, Ran
from support.store_worlds import settled_entry

from executor.adapters.sql.ledger import SqlLedger
from executor.domain.ledger_entry import decode_entry

_PNG = b"\x89PNG\r\n\x1a\n"
COMMANDS = (
    "pnl",
    "pnl --by strategy --csv",
    "pnl --by market --since 2026-11-20 --plot pnl.png",
    "pnl --json",
    "pnl --plot pnl.jpeg",
    "pnl --plot no/such/pnl.png",
)
# day, bet, strategy, market, profit, commission
BETS = (
    ("2026-11-19", "b1", "momentum", "1.1", "20.00", "1.00"),
    ("2026-11-20", "b2", "momentum", "1.1", "-10.00", "0.00"),
    ("2026-11-20", "b3", "surebet", "1.2", "4.50", "0.22"),
)


def book(ledger: SqlLedger, identity: str) -> None:
    for at, (day, bet, strategy, market, profit, commission) in enumerate(BETS, start=1):
        net = str(Decimal(profit) - Decimal(commission))
        entry = settled_entry(day, bet, net, strategy=strategy, market_id=market, identity=identity)
        ledger.write([(f"{at}-0", decode_entry({**entry, "profit": profit, "commission": commission}))])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pnl")
    with closing(SqlLedger(f"sqlite:///{folder}/data/ledger.db")) as ledger:
        book(ledger, "paper")
        book(ledger, "live somebody else")
    return folder


@pytest.fixture(scope="module")
def ran(folder: Path) -> dict[str, Ran]:
    return Console(folder, {}).run_all(COMMANDS)


def test_the_table_ends_in_the_total(ran: dict[str, Ran]) -> None:
    lines = [line.split() for line in ran["pnl"].out.splitlines() if line.strip()]
    assert ["2026-11-19", "1", "20.00", "1.00", "19.00"] in lines
    assert ["2026-11-20", "2", "-5.50", "0.22", "-5.72"] in lines
    assert lines[-1] == ["total", "3", "14.50", "1.22", "13.28"]
    later = ran["pnl --by market --since 2026-11-20 --plot pnl.png"].out.split()
    assert later[-8:-3] == ["total", "2", "-5.50", "0.22", "-5.72"]


def test_csv_is_for_programs(ran: dict[str, Ran]) -> None:
    rows = list(csv.DictReader(io.StringIO(ran["pnl --by strategy --csv"].out)))
    assert rows == [
        {"strategy": "momentum", "bets": "2", "profit": "10.00", "commission": "1.00", "net_profit": "9.00"},
        {"strategy": "surebet", "bets": "1", "profit": "4.50", "commission": "0.22", "net_profit": "4.28"},
    ]


def test_json_has_every_grouping_and_one_total(ran: dict[str, Ran]) -> None:
    shown = ran["pnl --json"].json
    assert shown["identity"] == "paper"
    assert shown["total"] == {"bets": 3, "profit": "14.50", "commission": "1.22", "net_profit": "13.28"}
    for by, names in {
        "day": ["2026-11-19", "2026-11-20"],
        "strategy": ["momentum", "surebet"],
        "market": ["1.1", "1.2"],
    }.items():
        rows = shown[f"by_{by}"]
        assert [row[by] for row in rows] == names
        assert sum(Decimal(row["net_profit"]) for row in rows) == Decimal("13.28")


def test_the_plot_is_a_picture(folder: Path, ran: dict[str, Ran]) -> None:
    assert ran["pnl --by market --since 2026-11-20 --plot pnl.png"].out.endswith("drawn to pnl.png\n")
    picture = (folder / "pnl.png").read_bytes()
    assert picture.startswith(_PNG)
    assert len(picture) > 10_000


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("pnl --plot pnl.jpeg", "should end in .png"),
        ("pnl --plot no/such/pnl.png", "no folder no/such"),
    ],
)
def test_what_cannot_be_drawn_is_refused(ran: dict[str, Ran], command: str, said: str) -> None:
    assert (ran[command].code, said in ran[command].err) == (1, True)


def test_without_matplotlib_the_extra_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib" / "__init__.py").write_text("raise ImportError('not installed')")
    away = Console(folder, {"PYTHONPATH": str(tmp_path)}).run("pnl", "--plot", "pnl.png")
    assert (away.code, "aibetting-executor[plot]" in away.err) == (1, True)


def test_without_a_ledger_nothing_is_settled(tmp_path: Path) -> None:
    away = Console(tmp_path, {}).run("pnl")
    assert (away.code, away.out.startswith("nothing is settled yet")) == (0, True)
    assert not (tmp_path / "data" / "ledger.db").exists()
