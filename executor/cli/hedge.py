"""`executor hedge --dry-run`: what would be hedged now, and why not.

Invariant: it asks the exchange for prices and changes nothing; hedges are made by the task `hedge_exposure`.
"""

from typing import Annotated

import typer

from executor.cli.output import AsJson, refuse, say, show_json
from executor.cli.session import engine, settings_to_act
from executor.engine.hedging import plans_now
from executor.operations.hedges import plan_json


def hedge(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done now; nothing is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say which positions are due for a hedge, and what would be done about each."""
    if not dry_run:
        refuse("hedges are made by the system itself (EXECUTOR_HEDGE__MODE=trade); --dry-run says what it would do now")
    settings = settings_to_act()
    plans = plans_now(engine(settings))
    if as_json:
        show_json({"mode": settings.hedge.mode, "plans": [plan_json(plan) for plan in plans]})
        return
    for plan in plans:
        say(str(plan))
    if not plans:
        say(f"nothing is due: no selection holds more than {settings.hedge.at_percent}% of MaxExposurePerSelection")


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(epilog="Example: executor hedge --dry-run --json")(hedge)
