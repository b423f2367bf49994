"""`executor halt`: the kill switch, by hand.

Invariants: the switch is thrown before anything else is tried, whatever the settings say and whosever db it is; what
could not be cancelled from here is named.
"""

from collections.abc import Sequence
from typing import Annotated, Final, NoReturn

import typer

from executor.cli.exit_codes import REFUSED
from executor.cli.output import complain, refuse, say, warn
from executor.cli.session import actor, engine, settings_for_halt
from executor.domain.order import Order, OrderStatus
from executor.engine.cancel_until_clear import Outstanding
from executor.operations import trading
from executor.operations.access import Access, mismatch
from executor.operations.wording import counted
from executor.settings.load import HaltSettings
from executor.settings.urls import mask_url

_ACTIVE: Final = (OrderStatus.PENDING, OrderStatus.SUBMITTED)
_SHOWN: Final = 20  # orders in lines of their own


def halt(
    words: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    *,
    reason: Annotated[str, typer.Option(help="Why; shown by `status`, in the audit and the notifications.")] = "",
    cancel: Annotated[bool, typer.Option("--cancel", help="Also take back every unmatched bet of ours.")] = False,
) -> None:
    """Stop trading: from now on no order is sent. Polls, cancels and settlement go on."""
    found = settings_for_halt()
    settings = found.settings
    access = Access(settings, engine)
    kept = trading.halt(access, actor(), reason or " ".join(words or ()))
    if kept:
        say("trading is off; executor resume switches it on again")
    else:
        complain(trading.NOT_KEPT)
    if words:  # who stops trading in a hurry is not sent away for a missing option
        meant = "left out, as there is a --reason" if reason else "taken as the reason"
        warn(f"{' '.join(words)!r} is {meant}: say why with --reason, and cancel with --cancel")
    problem = _tell_of_settings(found, trading.owner_of(access))
    if cancel and not problem:
        _cancel_all(access)
    else:
        _tell_active(access, wanted=cancel)
    if found.in_doubt:
        refuse(f"halted at {mask_url(settings.redis.url)}; what cannot be read may name another Redis")
    if not kept:
        raise typer.Exit(REFUSED)


def _tell_active(access: Access, *, wanted: bool) -> None:
    active = [order for order in access.state.read().orders if order.status in _ACTIVE]
    if wanted and active:
        _name_what_stays(active)
    if active:
        many = "orders are" if len(active) > 1 else "order is"
        warn(f"{len(active)} {many} still active at the exchange: executor halt --cancel takes them back")


def _tell_of_settings(found: HaltSettings, owner: str | None) -> str:
    """Say what is wrong between the settings and the db; returns it, as it keeps bets from being reached."""
    settings = found.settings
    for line in settings.ignored:
        warn(line)
    if owner is None:
        warn(f"nothing has run on this Redis db yet ({mask_url(settings.redis.url)}): is it the one that trades?")
    problem = f"the settings here cannot be used: {found.problem}" if found.problem else ""
    if not problem and mismatch(settings, owner):
        problem = f"it was on for {owner!r}, and the settings here say {settings.identity!r}"
    if problem:
        warn(problem)
    return problem


def _name_what_stays(active: Sequence[Order]) -> NoReturn:
    for order in active[:_SHOWN]:
        complain(f"not cancelled: {order.order_id}, bet {order.bet_id or 'not known yet'} in {order.market_id}")
    more = f" ({len(active) - _SHOWN} more)" if len(active) > _SHOWN else ""
    refuse(
        f"{counted(len(active), 'order')} cannot be cancelled from here{more}: run executor halt --cancel with the "
        "settings that the workers have, or use the website"
    )


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


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(epilog='Example: executor halt --cancel --reason "prices look wrong"')(halt)
