"""`/api/hedges`: what would be hedged now, and what was last done or said of each position."""

from typing import Any, Final

from fastapi import APIRouter

from executor.console.api.models import Status
from executor.console.api.status import plain
from executor.console.context import Console, Here, Viewer
from executor.engine.hedging import plans_now
from executor.errors import ExecutorError
from executor.operations.hedges import last_looks, plan_json, policy_json

router = APIRouter(tags=["risk"])

_PRICES_S: Final = 10.0  # all who look share the exchange's answer: it bounds what may be asked
_SHOWN: Final = 200


def hedges_of(console: Console) -> dict[str, Any]:
    """Return the policy, what would be done now with what keeps that from being told, and the last looks."""
    engine = console.access.engine

    def read() -> list[dict[str, Any]]:
        return [plan_json(found) for found in plans_now(engine)]

    now, problem = list[dict[str, Any]](), None
    try:
        now = console.cache.get("hedge plans", read, fresh_s=_PRICES_S)
    except ExecutorError as error:
        problem = str(error)
    return {**policy_json(console.settings), "now": now, "problem": problem, "positions": last_looks(engine)[:_SHOWN]}


@router.get("/hedges")
def hedges(who: Viewer, console: Here) -> Status:
    """Return what would be hedged now, and what was last done or said of each position."""
    del who
    return plain(hedges_of(console))
