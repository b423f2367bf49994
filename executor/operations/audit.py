"""The record of what was done by hand: who, through which door, what, before, after, and what came of it.

Invariants: written after the act and never instead of it: a feed or a log that cannot be written delays and stops
nothing; what was refused is recorded, too.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import structlog

from executor.adapters.redis.audit import append
from executor.errors import ExecutorError, StoreUnavailable
from executor.operations.access import Access, Actor

log = structlog.get_logger(__name__)

DONE = "done"


@dataclass
class Act:
    """One act while it happens; whoever acts fills in what changed."""

    action: str
    target: str = ""
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)
    outcome: str = DONE
    store_away: bool = False  # and with it the feed
    identity: str = ""  # whose db it was, where not the settings' own


def record(access: Access, actor: Actor, act: Act) -> None:
    """Write an act to the log and to the ledger's feed."""
    fields = {
        "who": actor.name,
        "role": actor.role,
        "via": actor.via,
        "address": actor.address,
        "action": act.action,
        "target": act.target,
        "before": _text(act.before),
        "after": _text(act.after),
        "outcome": act.outcome,
    }
    log.info("audit", **fields)
    if act.store_away:
        return
    try:
        append(access.redis, act.identity or access.settings.identity, fields)
    except StoreUnavailable as error:
        log.error("audit_not_booked", action=act.action, who=actor.name, error=str(error))  # noqa: TRY400


@contextmanager
def audited(access: Access, actor: Actor, action: str, target: str = "") -> Iterator[Act]:
    """Record the act that happens within, whether it is done or refused."""
    act = Act(action, target)
    try:
        yield act
    except ExecutorError as error:
        act.outcome, act.store_away = f"refused: {error}", isinstance(error, StoreUnavailable)
        raise
    finally:
        record(access, actor, act)


def _text(values: Mapping[str, object]) -> str:
    plain = {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in values.items()}
    return json.dumps(plain, default=str) if plain else ""
