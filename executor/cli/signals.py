"""`executor signals`: what became of signals, also of those that never were an order.

Reads only. Without ids it tells the ends that the ledger has, with ids the records in Redis, which are ahead of the
ledger and know signals under way. Times UTC.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from executor.cli.exit_codes import REFUSED
from executor.cli.output import AsJson, Column, complain, say, show_json, show_table
from executor.cli.session import note_identity, settings_to_read
from executor.domain.signal_record import SignalStatus
from executor.operations.access import Access
from executor.operations.signals import ended_signals, named_signals
from executor.operations.wording import when, words
from executor.settings.urls import mask_url

_MOST: Final = 5000  # as many as `executor orders`
_STYLES: Final = {SignalStatus.COMPLETED: "green", SignalStatus.REJECTED: "yellow"}
_BAD: Final = frozenset({SignalStatus.FAILED, SignalStatus.EXPIRED})


def signals(
    ids: Annotated[list[str] | None, typer.Argument(metavar="SIGNAL_ID", help="Only these, from Redis.")] = None,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=_MOST, help="At most this many, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List how signals ended and why, newest first; by id also one that is under way."""
    settings = settings_to_read()
    note_identity(settings)
    access = Access(settings)
    rows = named_signals(access, ids) if ids else ended_signals(access, limit)
    if ids and not as_json:
        rows = [row | {"orders": _orders(access, row["order_ids"])} for row in rows]
    unknown = [signal_id for signal_id in ids or () if signal_id not in {row["signal_id"] for row in rows}]
    if as_json:
        show_json(rows)
    elif rows:
        columns = [Column("signal"), Column("status"), Column("why")]
        show_table("Signals, newest first (UTC)", columns, map(_row, rows))
        if any(row["status"] == SignalStatus.COMPLETED for row in rows):
            say("COMPLETED: its orders were placed; what became of them: executor orders", "dim")
    elif not ids:
        say(f"no signal has ended yet in {mask_url(settings.ledger.url)}")
    for signal_id in unknown:
        complain(f"{signal_id}: no such signal, or so long ago that it is forgotten")
    if unknown:
        raise typer.Exit(REFUSED)


def _orders(access: Access, order_ids: Sequence[str]) -> list[str]:
    """Name a signal's orders, and how each is now: the signal is over once they are placed."""
    found = {order.order_id: order for order in access.store.orders(order_ids)}
    return [f"{each} {found[each].status}" if each in found else each for each in order_ids]


def _row(row: Mapping[str, Any]) -> Sequence[str | Text]:
    status = row["status"]
    at = when(row["finished_at"] or row["received_at"])
    lines = [row["signal_id"], f"{row['strategy']} {row['market_id']}".strip(), at]
    moved = f"rounded: {row['moved']}" if row.get("moved") else ""
    why = "\n".join(filter(None, [words(row["reason"]), row["detail"], moved, *row.get("orders", ())]))
    shown = Text(status, "red" if status in _BAD else _STYLES.get(status, ""))
    if status == SignalStatus.COMPLETED:
        shown.append("\nplaced", "dim")
    return "\n".join(filter(None, lines)), shown, why


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(epilog="Example: executor signals test-123")(signals)
