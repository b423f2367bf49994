"""The limits by hand.

Invariant: they change all together or not at all, only to what the rules can read, and never over a change that the
caller has not seen, where he says what he saw. Amounts in account currency.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from executor.adapters.redis.console import limits_held, set_limits
from executor.domain.limits import LIMIT_FIELDS, InvalidLimits, parse_change
from executor.errors import Contended
from executor.operations.access import Access, Actor
from executor.operations.audit import audited


@dataclass(frozen=True, slots=True)
class LimitsChange:
    """What a change of limits came to; `problems` are those of limits that it did not touch."""

    old: Mapping[str, str | None]
    new: Mapping[str, Decimal]
    problems: Mapping[str, str]
    first: bool  # nothing has run on this db yet: its first start writes the settings' limits over these


def parse_changes(pairs: Iterable[tuple[str, str]]) -> dict[str, Decimal]:
    """Read limits by their names in any case.

    Raises:
        InvalidLimits: naming the first that is unknown, given twice, or no such limit.
    """
    names = {field.lower(): field for field in LIMIT_FIELDS}
    wanted: dict[str, Decimal] = {}
    for name, text in pairs:
        field = names.get(name.strip().lower(), name)
        if field in wanted:
            raise InvalidLimits(f"{field} is given twice")
        wanted[field] = parse_change(field, text)
    return wanted


def version_of(held: Mapping[str, str]) -> str:
    """Name a state of the limits, for who wants to change what he saw and nothing else."""
    return hashlib.sha256(json.dumps(sorted(held.items())).encode()).hexdigest()[:16]


def current_version(access: Access) -> str:
    """Name the limits as they are now.

    Raises:
        StoreUnavailable: Redis is away.
    """
    return version_of(limits_held(access.redis))


def change_limits(access: Access, actor: Actor, wanted: Mapping[str, Decimal], version: str = "") -> LimitsChange:
    """Change limits; in force with the next signal. `version` is that of the limits that the actor saw.

    Raises:
        Contended: somebody else has changed them since.
        IdentityMismatch, StoreUnavailable: nothing was changed.
    """
    with audited(access, actor, "limits") as act:
        access.require_identity()
        before = access.state.read()
        client = access.redis
        held = limits_held(client)
        old = None
        if not version or version == version_of(held):
            old = set_limits(client, wanted, held if version else None, str(actor), access.settings.identity)
        act.after = wanted
        if old is None:
            raise Contended("somebody else has changed the limits since you looked: look again")
        act.before = {field: text or "missing" for field, text in old.items()}
        changes = {field: f"{old[field] or 'missing'} -> {value:f}" for field, value in wanted.items()}
        access.controls.alert("limits_changed", {**changes, "by": str(actor)})
    problems = access.state.read().limit_problems
    return LimitsChange(
        old=old,
        new=wanted,
        problems={field: problem for field, problem in problems.items() if field not in wanted},
        first=not before.limits and not before.started,
    )
