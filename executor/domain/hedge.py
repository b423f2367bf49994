"""Hedges: what tells one from other signals."""

from typing import Final

from executor.domain.signal import Signal

HEDGE: Final = "hedge"  # strategy of what `engine/hedging.py` publishes, and how its ids begin


def is_hedge(signal: Signal) -> bool:
    """Tell whether a signal is a hedge: it may only reduce an exposure, and need not ask what that is for."""
    return signal.strategy == HEDGE and signal.signal_id.startswith(f"{HEDGE}-")
