"""The kill switch and the limits, by hand: `halt`, `resume`, `limits`.

Invariants: the switch is thrown before anything else is tried; limits change all together or not at all, and only to
what the rules can read. Amounts in account currency.
"""

from decimal import Decimal
from typing import Annotated

import typer
from rich.text import Text

from executor.cli.output import AsJson, Column, complain, refuse, say, show_json, show_table, warn
from executor.cli.session import actor, engine, look, settings_to_act
from executor.domain.order import OrderStatus
from executor.domain.risk import LIMIT_FIELDS, InvalidLimits
from executor.engine.cancel_until_clear import Outstanding
from executor.operations import trading
from executor.operations.access import Access
from executor.operations.limits import change_limits, parse_changes


def halt(
    *,
    reason: Annotated[str, typer.Option(help="Why; goes to the log and to `channel:kill-switch`.")] = "",
    cancel: Annotated[bool, typer.Option("--cancel", help="Also take back every unmatched bet of ours.")] = False,
) -> None:
    """Stop trading: from now on no order is sent. Polls, cancels and settlement go on."""
    access = Access(settings_to_act(), engine)
    trading.halt(access, actor(), reason)
    say("trading is off; executor resume switches it on again")
    if cancel:
        _cancel_all(access)
        return
    state = access.state.read()
    if active := state.count(OrderStatus.PENDING, OrderStatus.SUBMITTED):
        warn(f"{active} orders are still active at the exchange: executor halt --cancel takes them back")


def _cancel_all(access: Access) -> None:
    def progress(left: Outstanding) -> None:
        for problem in left.problems:
            warn(problem)
        if left:
            say(f"cancelling: {left.summary()}")

    left = trading.cancel_everything(access, actor(), progress=progress)
    for order in left.behind:
        warn(f"{order.order_id}: bet {order.bet_id} is not live any more, and its record does not know yet")
    if not left:
        say("nothing of ours is unmatched")
        return
    for line in left.lines():
        complain(line)
    refuse(f"not everything could be cancelled within {trading.HALT_S:.0f} s: run it again, or use the website")


def resume() -> None:
    """Switch trading on and reset the circuit breaker; warns of what still stands in the way."""
    problems = trading.resume(Access(settings_to_act()), actor())
    say("trading is on")
    for problem in problems:
        warn(f"but {problem}")


limits = typer.Typer(invoke_without_command=True)


@limits.callback()
def show_limits(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show the limits in force; `limits set` changes them."""
    if context.invoked_subcommand is not None:
        return
    settings, state = look()
    if as_json:
        show_json({"identity": state.identity, "limits": state.limits, "problems": state.limit_problems})
        return
    rows: list[tuple[str, str | Text, str]] = []
    for field, attribute in LIMIT_FIELDS.items():
        held = state.limits.get(field)
        shown = Text(state.limit_problems.get(field, ""), "red") if held is None else f"{held:f}"
        rows.append((field, shown, f"{getattr(settings.risk, attribute):f}"))
    columns = [Column("limit"), Column("in force", "right"), Column("settings", "right")]
    show_table(f"Limits of {state.identity or 'nobody yet'}", columns, rows)


@limits.command(
    "set",
    epilog="Example: executor limits set MaxStakePerOrder=50 MaxDailyLoss=200\n\n"
    "A share is a fraction: MaxRiskPerTradePercent=0.02 is 2 % of the bankroll.",
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
        say(f"{field}: {change.old[field] or 'missing'} -> {value:f}")
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
    app.command(epilog='Example: executor halt --cancel --reason "prices look wrong"')(halt)
    app.command(epilog="Look first: executor check")(resume)
    app.add_typer(limits, name="limits")
