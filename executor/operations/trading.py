"""The kill switch by hand, and in words why nothing is traded.

Invariant: the switch is thrown before anything else is tried.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from executor import keys, wiring
from executor.domain.order import CancelReason
from executor.engine.cancel_until_clear import Outstanding, cancel_until_clear
from executor.errors import StoreUnavailable
from executor.operations.access import Access, Actor
from executor.operations.audit import audited
from executor.operations.wording import when
from executor.ports.system_snapshot import SystemSnapshot
from executor.settings.load import Settings

NOT_KEPT: Final = (
    "trading is off, but no replica of Redis knows it yet: a failover now would switch it on again; look at executor "
    "check (redis), and halt again"
)
HALT_S: Final = 60.0  # an unanswered order is known to be absent after API timeout + 15 s
_BY_A_PERSON: Final = "no reason given"


def halt(access: Access, actor: Actor, reason: str = "") -> bool:
    """Switch trading off, whosever it is: from now on no order is sent; tells whether a failover would keep it off.

    Raises:
        StoreUnavailable: Redis is away, so that nothing is sent, either.
    """
    why = reason.strip() or _BY_A_PERSON
    with audited(access, actor, "halt") as act:
        owner = owner_of(access)
        act.identity = owner or ""
        controls = wiring.controls(access.settings, owner)
        kept = controls.set_trading(enabled=False, reason=why, by=str(actor))
        act.after = {"trading": "off", "reason": why}
        if not kept:
            act.outcome = "on no replica yet"
    return kept


def owner_of(access: Access) -> str | None:
    """Return whose db it is, None where it is nobody's or cannot be told: a halt waits for no identity."""
    with suppress(StoreUnavailable):
        return access.state.owner()
    return None


def cancel_everything(
    access: Access, actor: Actor, *, progress: Callable[[Outstanding], None] = lambda _left: None
) -> Outstanding:
    """Cancel, by bet id, until nothing of ours is unmatched or a minute is over; returns what is left.

    Raises:
        IdentityMismatch: the db belongs to another account or mode, whose bets these settings cannot reach.
        StoreUnavailable: Redis is away.
    """
    with audited(access, actor, "cancel", "everything") as act:
        access.require_identity()
        left = cancel_until_clear(
            access.engine, CancelReason.HALT, who=str(actor), patience_s=HALT_S, progress=progress
        )
        act.after = {"left": left.lines()}
        if left:
            act.outcome = "not all"
    return left


def resume(access: Access, actor: Actor) -> list[str]:
    """Switch trading on and close the breaker; returns what rejects every signal all the same.

    Raises:
        IdentityMismatch: the db belongs to another account or mode.
        StoreUnavailable: Redis is away.
    """
    with audited(access, actor, "resume") as act:
        access.require_identity()
        before = access.state.read()
        access.controls.set_trading(enabled=True, reason="resumed", by=str(actor))
        act.before = {"trading": why_not_trading(before) or "on"}
        after = access.state.read()
        act.after = {"trading": why_not_trading(after) or "on"}
    return obstacles(access.settings, after)


def why_not_trading(state: SystemSnapshot) -> str:
    """Say why no order is let through; empty while trading is enabled."""
    if state.trading_enabled:
        return ""
    if state.breaker:
        return (
            f"circuit breaker tripped at {state.breaker.get('time', '?')}: "
            f"{state.breaker.get('reason') or state.breaker.get('failures', '?') + ' failures'}; "
            "after fixing the cause: executor resume"
        )
    if state.trading is None and not state.started:
        return "not started yet: the first complete poll decides, start workers and beat"
    if state.trading is None:
        return "never enabled, or state was lost: executor check, then executor resume"
    if state.halted:
        at, by = when(state.halted.get("at", "?")), state.halted.get("by", "?")
        why = state.halted.get("reason", "?")
        return f"switched off by a person: {why} ({by}, {at} UTC); executor resume"
    return f"switched off by a person ({keys.TRADING_ENABLED} is {state.trading!r}); executor resume"


def obstacles(settings: Settings, state: SystemSnapshot) -> list[str]:
    """Say what rejects every signal although trading is enabled."""
    rates = state.rates_problem(settings.risk.currency)
    found = [f"{rates} (executor check)"] if rates else []
    found += [] if state.reconciled else ["not reconciled: nothing is placed until a poll completes (executor check)"]
    found += [f"{problem}: every signal is rejected (executor limits set)" for problem in state.limit_problems.values()]
    loss = state.account_limits.get("MaxDailyLoss")
    if state.daily_pnl is None:
        found.append("today's P&L cannot be read: every signal is rejected")
    elif loss is not None and state.daily_pnl <= -loss:
        today, limit = state.unit.said(state.daily_pnl), state.unit.limit(state.limits["MaxDailyLoss"])
        found.append(f"today's P&L is {today}: the daily loss limit {limit} holds until 00:00 UTC")
    return found
