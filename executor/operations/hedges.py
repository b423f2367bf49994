"""What is hedged: what would be done now about each position that is due, and what was last done or said of each.

Reads only; asks the exchange for prices where something is due. Amounts in account currency.
"""

from typing import Any

from executor.domain.hedge import HEDGE, HedgePlan
from executor.domain.times import iso
from executor.engine.engine import Engine
from executor.settings.load import Settings


def plan_json(plan: HedgePlan) -> dict[str, Any]:
    """Return what would be done about a position, for programs."""
    return {
        "market_id": plan.market_id,
        "selection_id": plan.selection_id,
        "exposure": plan.exposure,
        "limit": plan.limit,
        "side": plan.side,
        "price": plan.price or None,
        "size": plan.size or None,
        "waits": plan.problem or None,
        "explanation": str(plan),
    }


def policy_json(settings: Settings) -> dict[str, Any]:
    """Return when a selection is hedged, and how."""
    hedge = settings.hedge
    return {
        "mode": hedge.mode,
        "at_percent": hedge.at_percent,
        "to_percent": hedge.to_percent,
        "max_ticks": hedge.max_ticks,
    }


def last_looks(engine: Engine) -> list[dict[str, Any]]:
    """Return what is remembered of each position, the newest first; `signal_id` is its newest hedge."""
    notes = engine.hedges.notes()
    return [
        {
            "position": position,
            "attempt": note.attempt,
            "signal_id": f"{HEDGE}-{position}-{note.attempt}" if note.attempt else None,
            "waits": note.waits,
            "done": note.done or None,
            "said": note.said if note.waits else None,
            "at": iso(note.at),
        }
        for position, note in sorted(notes.items(), key=lambda item: -item[1].at)
    ]
