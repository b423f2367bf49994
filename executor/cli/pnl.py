"""`executor pnl`: settled profit and loss from the ledger, by day, strategy and market; as table, CSV, JSON, picture.

Invariant: every sum is over the same settlements, so all ways to group them have one total. Profit is before
commission, net after; amounts in account currency, days UTC.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from beat_schedule import periodic_tasks
from executor import wiring
from executor.cli.output import AsJson, Column, refuse, say, show_json, show_table
from executor.cli.pnl_picture import draw
from executor.cli.session import settings_to_read
from executor.errors import StoreUnavailable
from executor.operations.access import Access
from executor.operations.pnl import (
    AMOUNTS,
    By,
    RatesUnknown,
    Row,
    converted,
    currency_of,
    grouped,
    pnl_csv,
    pnl_json,
    settled,
    totals,
)
from executor.operations.wording import duration, money
from executor.settings.load import Settings
from executor.settings.urls import mask_url

_NO_PLOT: Final = "--plot needs matplotlib: pip install 'aibetting-executor[plot]'"


def pnl(
    *,
    by: Annotated[By, typer.Option("--by", help="Rows of the table or the CSV.")] = By.DAY,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day (UTC).")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    currency: Annotated[str, typer.Option("--currency", help="Convert, by the exchange's newest rates: EUR.")] = "",
    as_json: AsJson = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw equity and P&L by strategy.")] = None,
) -> None:
    """Show settled profit and loss by day, strategy or market."""
    settings = settings_to_read()
    access = Access(settings)
    rows = settled(access, since.strftime("%Y-%m-%d") if since else "")
    access.ledger.close()
    account = _account(access)
    if currency:
        try:
            rows = converted(rows, account, currency.strip().upper())
        except RatesUnknown as error:
            refuse(f"{error}; `executor status` shows the account, which is read every minute")
    unit = currency.strip().upper() or currency_of(rows, account)
    if plot is not None:
        _plot(rows, plot)
    if as_json:
        show_json(pnl_json(settings.identity, rows, unit))
    elif as_csv:
        sys.stdout.write(pnl_csv(rows, by))
    elif rows:
        _table(rows, by, unit)
    else:
        say(f"nothing is settled yet in {mask_url(settings.ledger.url)}{_next_look(settings)}")
    if plot is not None and not (as_json or as_csv):
        say(f"drawn to {plot}")


def _account(access: Access) -> Mapping[str, str]:
    try:
        return access.state.read().account
    except StoreUnavailable:  # the ledger tells without it
        return {}


def _next_look(settings: Settings) -> str:
    """Say when results are looked for next: a market that has just ended is not here yet."""
    task, every_s = periodic_tasks(settings)["settle orders"]
    try:
        state = wiring.state(settings).read()
    except StoreUnavailable:
        return ""
    last = state.last_success.get(task.rpartition(".")[2])
    ago = f", last {duration(max(0.0, state.now - last))} ago" if last else ", not yet: are beat and a worker running?"
    return f"; results are read every {every_s:.0f} s{ago}"


def _table(rows: Sequence[Row], by: By, unit: str) -> None:
    columns = [Column(str(by)), *(Column(name, "right") for name in ("bets", "profit", "commission", "net"))]
    lines = [*grouped(rows, by), {str(by): "total", **totals(rows)}]
    show_table(
        f"Settled profit and loss by {by} (UTC{f', {unit}' if unit else ''})",
        columns,
        ([line[by], str(line["bets"]), *(money(line[name]) for name in AMOUNTS)] for line in lines),
    )


def _plot(rows: Sequence[Row], path: Path) -> None:
    if path.suffix.lower() != ".png":
        refuse(f"--plot writes a picture: {path} should end in .png")
    if not path.parent.is_dir():
        refuse(f"--plot writes a picture: there is no folder {path.parent}")
    try:
        draw(rows, path)
    except ImportError:
        refuse(_NO_PLOT)
    except OSError as error:
        refuse(f"{path} cannot be written: {error.strerror}")


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(epilog="Example: executor pnl --by strategy --plot pnl.png")(pnl)
