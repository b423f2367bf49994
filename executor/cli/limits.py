"""`executor limits`: the limits in force, and changing them.

Invariant: limits change all together or not at all, and only to what the rules can read. Amounts in account currency.
"""

from decimal import Decimal
from typing import Annotated

import typer
from rich.text import Text

from executor.cli.output import AsJson, Column, say, show_facts, show_json, show_table, warn
from executor.cli.session import actor, look, settings_to_act
from executor.domain.limits import LIMIT_FIELDS, InvalidLimits, shown_limit
from executor.operations.access import Access
from executor.operations.limits import change_limits, parse_changes
from executor.operations.risk_rules import rules_json, rules_lines

limits = typer.Typer(invoke_without_command=True)


@limits.callback()
def show_limits(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show the limits in force; `limits set` changes them."""
    if context.invoked_subcommand is not None:
        return
    settings, state = look()
    if as_json:
        rules = rules_json(settings, state)
        show_json(
            {"identity": state.identity, "limits": state.limits, "problems": state.limit_problems, "rules": rules}
        )
        return
    rows: list[tuple[str, str | Text, str]] = []
    for field, attribute in LIMIT_FIELDS.items():
        held = state.limits.get(field)
        shown = Text(state.limit_problems.get(field, ""), "red") if held is None else shown_limit(field, held)
        rows.append((field, shown, shown_limit(field, getattr(settings.risk, attribute))))
    columns = [Column("limit"), Column("in force", "right"), Column("settings", "right")]
    show_table(f"Limits of {state.identity or 'nobody yet'}", columns, rows)
    say("")
    show_facts(rules_lines(settings, state))


@limits.command(
    "set",
    epilog="Example: executor limits set MaxStakePerOrder=50 MaxDailyLoss=200\n\n"
    "Amounts are in the account's currency, or EXECUTOR_RISK__CURRENCY. MaxRiskPerTradePercent is a share of the "
    "bankroll: 0.02, which may be written 2%, is 2 % of it.",
)
def set_limits(
    assignments: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE", help="Names as in `executor limits`, in any case.")
    ],
) -> None:
    """Change limits, all of these or none; in force with the next signal."""
    wanted = _parsed(assignments)
    change = change_limits(Access(settings_to_act()), actor(), wanted)
    if change.first:
        warn("nothing has run on this Redis db yet: its first start writes the settings' limits over these")
    for field, value in wanted.items():
        say(f"{field}: {change.old[field] or 'missing'} -> {shown_limit(field, value)}")
    for problem in change.problems.values():
        warn(f"{problem}: every signal is rejected until it is set, too")


def _parsed(assignments: list[str]) -> dict[str, Decimal]:
    pairs = [text.partition("=") for text in assignments]
    for text, (_, separator, _) in zip(assignments, pairs, strict=True):
        if not separator:
            raise typer.BadParameter(f"{text!r}: NAME=VALUE is expected")
    try:
        return parse_changes((name, value.strip()) for name, _, value in pairs)
    except InvalidLimits as error:
        raise typer.BadParameter(str(error)) from None


def register(app: typer.Typer) -> None:
    """Give the commands to the program."""
    app.add_typer(limits, name="limits")
