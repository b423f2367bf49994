"""How the limits are applied, beside their numbers: what the settings choose of docs/risk.md."""

from collections.abc import Iterator, Mapping
from typing import Final

from executor.adapters.redis.snapshot import SystemSnapshot
from executor.settings.load import Settings

_COUNTING: Final = {"sum": "the sum of its selections", "net": "the worst of its possible results"}


def rules_json(settings: Settings, state: SystemSnapshot) -> dict[str, object]:
    """Return what is chosen, and what it rests on now."""
    del state
    return {"market_exposure": settings.risk.market_exposure}


def rules_lines(settings: Settings, state: SystemSnapshot) -> Iterator[tuple[str, str]]:
    """Say the same in words, a line each."""
    found: Mapping[str, object] = rules_json(settings, state)
    yield "market exposure", f"{found['market_exposure']}: {_COUNTING[settings.risk.market_exposure]}"
