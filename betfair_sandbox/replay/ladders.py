"""What a recording says of one runner up to now: offers, trades, prices; and what it says of this line alone.

Owns: merging of changes (the same runner may come several times in a line), images, offers made up from the last traded
price where a recording has no offers. Invariant: a line is taken in whole before anybody looks. Units: sizes as
recorded; trades of a line are the backers' stakes, half of
what Betfair publishes, in whole pennies.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from betfair_sandbox.market.money import LADDER, ZERO, Side, to_size
from betfair_sandbox.replay.changes import Ladder, Levels, RunnerChange

# BASIC files have no offers: so much is made up at each of so many rungs on either side of the last traded price.
MADE_UP_SIZE: Final = Decimal(100)
_MADE_UP_RUNGS: Final = 3
_OFFER_FIELDS: Final = ("atb", "atl", "batb", "batl", "bdatb", "bdatl", "trd")
# The house's side of an offer: what is available to back is laid.
SIDES: Final = {"atb": Side.LAY, "atl": Side.BACK}
_LEVEL_FIELDS: Final = {"atb": ("batb", "bdatb"), "atl": ("batl", "bdatl")}
_Sizes = dict[Decimal, Decimal]


@dataclass(slots=True)
class RecordedRunner:
    """One runner of a recording."""

    offers: dict[Side, _Sizes] = field(default_factory=lambda: {side: {} for side in Side})
    traded: _Sizes = field(default_factory=dict)
    sp_backed: _Sizes = field(default_factory=dict)
    sp_laid: _Sizes = field(default_factory=dict)
    near: Decimal | None = None
    far: Decimal | None = None
    last_price: Decimal | None = None
    volume: Decimal = ZERO
    changed: set[tuple[Side, Decimal]] = field(default_factory=set)  # offers that differ from what was last shown
    fresh_trades: _Sizes = field(default_factory=dict)  # of this line: price -> stake
    _levels: dict[str, dict[int, tuple[Decimal, Decimal]]] = field(default_factory=dict)
    _has_offers: bool = False
    _has_ladders: set[Side] = field(default_factory=set)
    _before_image: _Sizes = field(default_factory=dict)

    def clear(self) -> None:
        """Forget everything, as an image says; what it has is merged after this."""
        for side, sizes in self.offers.items():
            self.changed |= {(side, price) for price in sizes}
            sizes.clear()
        self._before_image = dict(self.traded)
        for sizes in (self.traded, self.sp_backed, self.sp_laid):
            sizes.clear()
        self._levels.clear()

    def start_line(self) -> None:
        """Begin a line: what was traded before is no longer news."""
        self.fresh_trades = {}

    def merge(self, change: RunnerChange, *, image: bool) -> None:
        """Take in what a line says; what an image only repeats of the trades is no news."""
        self._has_offers = self._has_offers or any(
            name in change.ladders or name in change.levels for name in _OFFER_FIELDS
        )
        for name, side in SIDES.items():
            self._offer(side, change.ladders.get(name, []))
            if name in change.ladders:
                self._has_ladders.add(side)
            # Whole ladders say more than the best levels, and those more than levels with virtual offers.
            exact, shown = _LEVEL_FIELDS[name]
            for better, levels_name in ((side in self._has_ladders, exact), (exact in self._levels, shown)):
                if levels_name in change.levels and not better and side not in self._has_ladders:
                    self._take_levels(side, levels_name, change.levels[levels_name])
        self._trade(change.ladders.get("trd", []), image=image)
        for name, sizes in (("spb", self.sp_backed), ("spl", self.sp_laid)):
            _merge(sizes, change.ladders.get(name, []))
        self.near = change.projections.get("spn", self.near)
        self.far = change.projections.get("spf", self.far)
        if change.volume is not None:
            self.volume = change.volume
        if change.ltp is not None:
            self.last_price = change.ltp
            if not self._has_offers:
                self._make_up(change.ltp)

    @property
    def total(self) -> Decimal:
        """What is matched on it: the sum of its trades, since PRO files give the volume of the line only."""
        return sum(self.traded.values(), ZERO) if self.traded else self.volume

    def _offer(self, side: Side, ladder: Ladder) -> None:
        for price, size in ladder:
            self.changed.add((side, price))
            if size:
                self.offers[side][price] = size
            else:
                self.offers[side].pop(price, None)

    def _take_levels(self, side: Side, name: str, levels: Levels) -> None:
        held = self._levels.setdefault(name, {})
        for level, price, size in levels:
            if size:
                held[level] = (price, size)
            else:
                held.pop(level, None)
        self._replace(side, dict(held.values()))

    def _trade(self, ladder: Ladder, *, image: bool) -> None:
        for price, size in ladder:
            known = self._before_image if image else self.traded
            grown = to_size((size - known.get(price, ZERO)) / 2)
            if grown > 0:
                self.fresh_trades[price] = self.fresh_trades.get(price, ZERO) + grown
        _merge(self.traded, ladder)

    def _make_up(self, price: Decimal) -> None:
        rung = bisect_right(LADDER, price) - 1
        back = LADDER[max(0, rung - _MADE_UP_RUNGS + 1) : max(0, rung) + 1]
        lay = LADDER[max(0, rung) + 1 : max(0, rung) + 1 + _MADE_UP_RUNGS]
        self._replace(Side.LAY, dict.fromkeys(back, MADE_UP_SIZE))
        self._replace(Side.BACK, dict.fromkeys(lay, MADE_UP_SIZE))

    def _replace(self, side: Side, sizes: _Sizes) -> None:
        before = self.offers[side]
        self.changed |= {(side, price) for price in {*before, *sizes} if before.get(price) != sizes.get(price)}
        self.offers[side] = sizes


def _merge(sizes: _Sizes, ladder: Ladder) -> None:
    for price, size in ladder:
        if size:
            sizes[price] = size
        else:
            sizes.pop(price, None)
