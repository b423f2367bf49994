"""`executor check`: the doctor; what must be right for trading, one line each, with what to do.

Invariant: fails when anything keeps orders from being placed or followed.
"""

from typing import Annotated, Final

import typer
from rich.text import Text

from executor.cli.output import AsJson, refuse, say, show_json
from executor.cli.session import engine, settings_to_read
from executor.operations.access import Access
from executor.operations.check_exchange import Login
from executor.operations.check_result import FAIL, OK, SKIP, WARN, Finding
from executor.operations.checks import examine

_STYLES: Final = {OK: "green", WARN: "yellow", FAIL: "bold red", SKIP: "dim"}


def check(
    *,
    as_json: AsJson = False,
    login: Annotated[
        bool, typer.Option("--login", help="Try a login that was refused before: what was wrong is put right.")
    ] = False,
) -> None:
    """Examine everything that trading needs; says what to do. Exit code 1 when something fails."""
    found: list[Finding] = []
    wanted = Login.AGAIN if login else Login.TRY
    for finding in examine(lambda: Access(settings_to_read(), engine), login=wanted):
        found.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        show_json([finding.as_json() for finding in found])
    failed = [finding.name for finding in found if finding.result == FAIL]
    if failed:
        refuse(f"check: {len(failed)} failed: {', '.join(failed)}")


def _show(finding: Finding) -> None:
    line = Text()
    line.append(f"{finding.result:<5}", _STYLES[finding.result])
    line.append(f"{finding.name}: {finding.detail}")
    if finding.advice:
        line.append(f"; {finding.advice}", "bold")
    say(line)


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(epilog="Example: executor check || echo 'not ready to trade'")(check)
