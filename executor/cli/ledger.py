"""`executor ledger`: what the accounts lack, and telling them again.

Invariant: reads unless asked to repair; amounts in account currency, days UTC.
"""

import typer

from executor.cli.output import AsJson, Column, refuse, say, show_json, show_table
from executor.cli.session import actor, engine, note_identity, settings_to_act, settings_to_read
from executor.operations.access import Access
from executor.operations.ledger import differences
from executor.operations.ledger import repair as repair_ledger

ledger_app = typer.Typer(help="The accounts beside Redis: what differs, and telling them again.")


@ledger_app.callback(invoke_without_command=True)
def show(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show the days and bets of which Redis and the ledger say different things; exit code 1 when there are any."""
    if context.invoked_subcommand is not None:
        return
    settings = settings_to_read()
    note_identity(settings)
    found = differences(Access(settings))
    if as_json:
        show_json(
            [
                {"what": difference.what, "redis": difference.in_redis, "ledger": difference.in_ledger}
                for difference in found
            ]
        )
    elif found:
        columns = [Column("day or bet"), Column("Redis", "right"), Column("ledger", "right")]
        rows = [(difference.what, f"{difference.in_redis:f}", f"{difference.in_ledger:f}") for difference in found]
        show_table("Net P&L of days, matched size of bets", columns, rows)
    if found:
        refuse(f"{len(found)} differences; entries may still wait: executor check; else: executor ledger repair")
    if not as_json:
        say("the ledger has what Redis has")


@ledger_app.command()
def repair() -> None:
    """Tell the ledger again what it has not got, from records and from the exchange; it books each thing once."""
    repaired = repair_ledger(Access(settings_to_act(), engine), actor())
    say(f"{repaired} entries are told again; the workers book them within seconds: executor ledger")


def register(app: typer.Typer) -> None:
    """Give the commands to the program."""
    app.add_typer(
        ledger_app, name="ledger", epilog="After restoring a backup older than a week: executor ledger repair"
    )
