"""Signals by hand and over HTTP, before anything else knows them."""

from collections.abc import Mapping
from typing import Final

from executor.domain.signal import SignalKind

_TELLING: Final = "backselectionid"  # only a surebet has it


def guess_kind(value: object) -> SignalKind:
    """Tell from a decoded message which of the two formats it has."""
    names = {str(name).replace("_", "").lower() for name in value} if isinstance(value, Mapping) else set()
    return SignalKind.SUREBET if _TELLING in names else SignalKind.STRATEGY
