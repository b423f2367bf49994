"""Values that remember when they last changed, so that any reader gets exactly what is new since its own last look.

Owns: sizes by price and by level, single values. Invariants: a price or level that went away stays as a zero, since a
reader must be told; a change that changes nothing leaves the sequence alone. There are at most 350 prices, so nothing
here grows without bound. Units: sequence numbers; prices and sizes leave as JSON numbers.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from betfair_sandbox.market.money import ZERO

MAX_LEVELS: Final = 10  # Betfair: ladderLevels
_NEVER: Final = -1
_Pair = tuple[Decimal, Decimal]


class Value:
    """One value."""

    __slots__ = ("seq", "value")

    def __init__(self) -> None:
        self.value: Any = None
        self.seq = _NEVER

    def update(self, value: object, seq: int) -> bool:
        """Take the value as of `seq`; tell whether it is another."""
        if value == self.value:
            return False
        self.value, self.seq = value, seq
        return True


class Ladder:
    """Sizes by price: [price, size], where 0 removes the price."""

    __slots__ = ("_entries", "_sizes", "seq")

    def __init__(self) -> None:
        self._sizes: dict[Decimal, Decimal] = {}
        self._entries: dict[Decimal, tuple[float, float, int]] = {}
        self.seq = _NEVER

    def update(self, sizes: Mapping[Decimal, Decimal], seq: int) -> bool:
        """Take all sizes as of `seq`; tell whether any is another."""
        if sizes == self._sizes:
            return False
        for price in self._sizes.keys() - sizes.keys():
            self._entries[price] = (float(price), 0.0, seq)
        for price, size in sizes.items():
            if self._sizes.get(price) != size:
                self._entries[price] = (float(price), float(size), seq)
        self._sizes = dict(sizes)
        self.seq = seq
        return True

    def add(self, price: Decimal, size: Decimal, seq: int) -> None:
        """Add `size` (negative: take it out) at one price."""
        size += self._sizes.get(price, ZERO)
        if size:
            self._sizes[price] = size
        else:
            self._sizes.pop(price, None)
        self._entries[price] = (float(price), float(size), seq)
        self.seq = seq

    def since(self, seq: int) -> list[list[float]]:
        """Return what changed after `seq`; negative: all there is, without the zeros."""
        if self.seq <= seq:
            return []
        if seq < 0:
            return [[price, size] for price, size, _ in self._entries.values() if size]
        return [[price, size] for price, size, changed in self._entries.values() if changed > seq]


class Levels:
    """The best levels of one side: [level, price, size], level 0 is the best; size 0 empties the level."""

    __slots__ = ("_entries", "_levels", "seq")

    def __init__(self) -> None:
        self._levels: Sequence[_Pair] = ()
        self._entries: dict[int, tuple[float, float, int]] = {}
        self.seq = _NEVER

    def update(self, levels: Sequence[_Pair], seq: int) -> bool:
        """Take the levels as of `seq`, best first; tell whether any is another."""
        levels = levels[:MAX_LEVELS]
        if levels == self._levels:
            return False
        for level in range(max(len(levels), len(self._levels))):
            now = levels[level] if level < len(levels) else None
            before = self._levels[level] if level < len(self._levels) else None
            if now != before:
                price, size = now or (ZERO, ZERO)
                self._entries[level] = (float(price), float(size), seq)
        self._levels = levels
        self.seq = seq
        return True

    def since(self, seq: int, depth: int) -> list[list[float]]:
        """Return what changed after `seq` in the first `depth` levels; negative: all, without empty ones."""
        if self.seq <= seq:
            return []
        return [
            [level, price, size]
            for level, (price, size, changed) in sorted(self._entries.items())
            if level < depth and changed > seq and (size or seq >= 0)
        ]
