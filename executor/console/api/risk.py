"""`/api/risk/limits`: the limits, as the reference's admin endpoint has them."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Header, Response

from executor.console.api.models import LimitsChanged, LimitsModel
from executor.console.context import Console, Here, Operator, Viewer
from executor.console.problems import Stale
from executor.domain.risk import LIMIT_FIELDS, InvalidLimits
from executor.errors import Contended
from executor.operations.limits import LimitsChange, change_limits, current_version, parse_changes

router = APIRouter(prefix="/risk", tags=["risk"])

_EXAMPLE: Final = {"MaxStakePerOrder": 500, "MaxDailyLoss": 2000, "MaxRiskPerTradePercent": 0.01}
Limits = Annotated[
    dict[str, Any],
    Body(
        description=f"Some or all of {', '.join(LIMIT_FIELDS)}, in any case; numbers or decimal text.",
        examples=[_EXAMPLE],
    ),
]


def limits_of(console: Console) -> LimitsModel:
    """Return the limits in force, those of the settings, and what version this is."""
    state = console.state()
    return LimitsModel(
        identity=state.identity,
        limits=dict(state.limits),
        problems=dict(state.limit_problems),
        settings={field: getattr(console.settings.risk, attribute) for field, attribute in LIMIT_FIELDS.items()},
        version=current_version(console.access),
    )


@router.get("/limits")
def limits(who: Viewer, console: Here, response: Response) -> LimitsModel:
    """Return the limits in force."""
    del who
    found = limits_of(console)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.post("/limits")
def change(
    who: Operator,
    console: Here,
    body: Limits,
    if_match: Annotated[str, Header(description="The version that you saw: refused when it has changed.")] = "",
) -> LimitsChanged:
    """Change limits, all of these or none; in force with the next signal. Answers old and new."""
    wanted = parse_changes(_pairs(body))
    if not wanted:
        raise InvalidLimits("no limit is named")
    try:
        done: LimitsChange = change_limits(console.access, who.actor, wanted, _expected(console, if_match))
    except Contended as error:
        raise Stale(str(error)) from None
    console.cache.clear()
    held = current_version(console.access)
    return LimitsChanged(old=dict(done.old), new=dict(done.new), problems=dict(done.problems), version=held)


def _expected(console: Console, if_match: str) -> str:
    """Return the version that must still hold, empty for any: `*`, one tag, or one of several (RFC 9110)."""
    seen = [tag.strip().removeprefix("W/").strip('"') for tag in if_match.split(",")]
    if "*" in seen:
        return ""
    held = current_version(console.access) if len(seen) > 1 else ""
    return held if held in seen else seen[0]


def _pairs(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values as text; what is no number or text is named, never repeated."""
    pairs: list[tuple[str, str]] = []
    for name, value in body.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise InvalidLimits(f"{name[:40]} is not a number")
        pairs.append((name[:40], str(value)[:60]))
    return pairs
