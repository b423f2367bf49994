"""The kill switch and the limits, by hand: `halt`, `resume`, `limits`.

Invariants: the switch is thrown before anything else is tried; limits change all together or not at all, and only to
what the rules can read. Amounts in account currency.
"""

from decimal import Decimal
from typing import Annotated, Final

import structlog
import typer
from rich.text import Text

from executor import wiring
from executor.adapters.redis.client import connect
from executor.adapters.redis.console import set_limits as write_limits
from executor.adapters.redis.snapshot import State
from executor.cli.output import AsJson, Column, complain, refuse, say, show_json, show_table, warn
from executor.cli.session import engine, look, person, settings_to_act
from executor.cli.status import why_not_trading
from executor.domain.order import CancelReason, OrderStatus
from executor.domain.risk import LIMIT_FIELDS, InvalidLimits, parse_limit
from executor.engine.cancel_until_clear import Outstanding, cancel_until_clear
from executor.settings.load import Settings

log = structlog.get_logger(__name__)

_PATIENCE_S: Final = 60.0  # an unanswered order is known to be absent after API timeout + 15 s


def halt(
    *,
    reason: Annotated[str, typer.Option(help="Why; goes to the log and to `channel:kill-switch`.")] = "",
    cancel: Annotated[bool, typer.Option("--cancel", help="Also take back every unmatched bet of ours.")] = False,
) -> None:
    """Stop trading: from now on no order is sent. Polls, cancels and settlement go on."""
    given = settings_to_act()
    why = reason or "halted by a person"
    wiring.controls(given).set_trading(enabled=False, reason=f"{why} ({person()})")
    say("trading is off; executor resume switches it on again")
    log.info("trading_halted", reason=why, by=person())
    if cancel:
        _cancel_all(given)
        return
    state = wiring.state(given).read()
    if active := state.count(OrderStatus.PENDING, OrderStatus.SUBMITTED):
        warn(f"{active} orders are still active at the exchange: executor halt --cancel takes them back")


def _cancel_all(given: Settings) -> None:
    def progress(left: Outstanding) -> None:
        for problem in left.problems:
            warn(problem)
        if left:
            say(f"cancelling: {left.summary()}")

    left = cancel_until_clear(engine(given), CancelReason.HALT, who=person(), patience_s=_PATIENCE_S, progress=progress)
    for order in left.behind:
        warn(f"{order.order_id}: bet {order.bet_id} is not live any more, and its record does not know yet")
    if not left:
        say("nothing of ours is unmatched")
        return
    for line in left.lines():
        complain(line)
    refuse(f"not everything could be cancelled within {_PATIENCE_S:.0f} s: run it again, or use the website")


def resume() -> None:
    """Switch trading on and reset the circuit breaker; warns of what still stands in the way."""
    given = settings_to_act()
    before = wiring.state(given).read()
    wiring.controls(given).set_trading(enabled=True, reason=f"resumed by {person()}")
    log.info("trading_resumed", was=why_not_trading(before) or "on", by=person())
    say("trading is on")
    for problem in obstacles(wiring.state(given).read()):
        warn(f"but {problem}")


def obstacles(state: State) -> list[str]:
    """Say what rejects every signal although trading is enabled."""
    found = [] if state.reconciled else ["not reconciled: nothing is placed until a poll completes (executor check)"]
    found += [f"{problem}: every signal is rejected (executor limits set)" for problem in state.limit_problems.values()]
    loss = state.limits.get("MaxDailyLoss")
    if state.daily_pnl is None:
        found.append("today's P&L cannot be read: every signal is rejected")
    elif loss is not None and state.daily_pnl <= -loss:
        found.append(f"today's P&L is {state.daily_pnl:f}: the daily loss limit {loss:f} holds until 00:00 UTC")
    return found


limits = typer.Typer(invoke_without_command=True)


@limits.callback()
def show_limits(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show the limits in force; `limits set` changes them."""
    if context.invoked_subcommand is not None:
        return
    given, state = look()
    if as_json:
        show_json({"identity": state.identity, "limits": state.limits, "problems": state.limit_problems})
        return
    rows: list[tuple[str, str | Text, str]] = []
    for field, attribute in LIMIT_FIELDS.items():
        held = state.limits.get(field)
        shown = Text(state.limit_problems.get(field, ""), "red") if held is None else f"{held:f}"
        rows.append((field, shown, f"{getattr(given.risk, attribute):f}"))
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
    given = settings_to_act()
    before = wiring.state(given).read()
    if not before.limits and not before.started:
        warn("nothing has run on this Redis db yet: its first start writes the settings' limits over these")
    old = write_limits(connect(given.redis.url), wanted)
    changes = {field: f"{old[field] or 'missing'} -> {value:f}" for field, value in wanted.items()}
    for field, change in changes.items():
        say(f"{field}: {change}")
    log.info("limits_changed", **changes, by=person())
    wiring.controls(given).alert("limits_changed", {**changes, "by": person()})
    for field, problem in wiring.state(given).read().limit_problems.items():
        if field not in wanted:
            warn(f"{problem}: every signal is rejected until it is set, too")


def _parsed(assignments: list[str]) -> dict[str, Decimal]:
    names = {field.lower(): field for field in LIMIT_FIELDS}
    wanted: dict[str, Decimal] = {}
    for text in assignments:
        name, separator, value = text.partition("=")
        field = names.get(name.strip().lower(), name)
        if not separator or field in wanted:
            raise typer.BadParameter(f"{text!r}: " + ("given twice" if separator else "NAME=VALUE is expected"))
        try:
            wanted[field] = parse_limit(field, value.strip())
        except InvalidLimits as error:
            raise typer.BadParameter(str(error)) from None
    return wanted


def register(app: typer.Typer) -> None:
    """Give the commands to the program."""
    app.command(epilog='Example: executor halt --cancel --reason "prices look wrong"')(halt)
    app.command(epilog="Look first: executor check")(resume)
    app.add_typer(limits, name="limits")
