"""Accidents of the machine, of the line and of the exchange's answers: damaged files, a full disk, clocks that step,
packets that are lost, odd rows.

Invariant: each undoes itself, or leaves something that the system must live with. Units: seconds.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

from storm.arena import Arena
from storm.exchange import ODD_MARKET
from storm.line import WAYS
from storm.plan import Event

ODD: Final = "odd-"  # how references of bets begin that somebody else made under our strategy ref
_STEPS_S: Final = (-3600, -60, 60, 3600)
_CUTS_S: Final = (1.5, 3.0, 6.0, 6.0, 12.0, 20.0)  # about the API timeout of 5 s; a deadline of the longest is 45 s
_DAMAGES: Final[tuple[Callable[[bytes], bytes], ...]] = (
    lambda _whole: b"",
    lambda whole: whole[: len(whole) // 2],
    lambda _whole: b"garbage" * 500,
    lambda whole: whole[:8] + b"\xff" * max(0, len(whole) - 8),
)
_ODD_BETS: Final[tuple[dict[str, Any], ...]] = (
    {"orderType": "MARKET_ON_CLOSE", "marketOnCloseOrder": {"liability": 20}},
    {"orderType": "LIMIT_ON_CLOSE", "limitOnCloseOrder": {"liability": 20, "price": 3}},
    {"orderType": "LIMIT", "limitOrder": {"size": 2, "price": 3, "persistenceType": "PERSIST"}},
)


class Accidents:
    """Makes them happen on one arena."""

    def __init__(self, arena: Arena, later: Callable[[float, Callable[[], None]], None]) -> None:
        self._arena = arena
        self._later = later
        self._odd = 0
        self._cut = False
        self.stepped: set[str] = set()  # kinds of processes whose clock was stepped

    def damage_files(self, event: Event) -> bool:
        """Overwrite some of the files of counts, of processes that live and of dead ones."""
        rng = Random(event.pick)  # noqa: S311 - the same damage each time
        files = sorted((self._arena.data_seen / "metrics").glob("*/*.db"))
        for path in rng.sample(files, min(len(files), 3)):
            self._damage(path, rng.choice(_DAMAGES))
        return bool(files)

    @staticmethod
    def _damage(path: Path, damage: Callable[[bytes], bytes]) -> None:
        try:
            path.write_bytes(damage(path.read_bytes()))
        except OSError:  # gone, or no room for it
            return

    def disk_full(self, event: Event) -> bool:
        """Leave no byte on the disk with the data folder, for a while."""
        disk = self._arena.disk
        if disk is None:
            return False
        disk.fill()
        self._later(event.for_s + 2, disk.empty)
        return True

    def line_cut(self, event: Event) -> bool:
        """Drop whatever the line to the exchange carries, for a while."""
        if self._cut:
            return False
        self._cut = True
        way = WAYS[int(event.for_s * 10) % len(WAYS)]
        self._arena.line.cut(*[way] if way else [])
        self._later(_CUTS_S[int(event.pick * len(_CUTS_S))], self._heal)
        return True

    def _heal(self) -> None:
        self._arena.line.heal()
        self._cut = False

    def clock_step(self, event: Event) -> bool:
        """Step the time of day that one process sees, or all of them, and step it back later.

        Redis and the exchange keep theirs, and how much time passes stays true.
        """
        clocks = self._arena.clocks
        if not clocks:
            return False
        names = list(clocks)
        chosen = int(event.pick * (len(names) + 1))
        stepped = names[chosen : chosen + 1] or names
        self.stepped.update(name.partition("-")[0] for name in stepped)
        for name in stepped:
            clocks[name].step(_STEPS_S[int(event.for_s * 10) % len(_STEPS_S)])
            self._later(event.for_s + 4, partial(clocks[name].step, 0))
        return True

    def odd_bet(self, event: Event) -> bool:
        """Bet by hand under our strategy ref, in a way that our records cannot hold."""
        exchange = self._arena.sandbox
        exchange.control("markets", marketId=ODD_MARKET, bspMarket=True)
        exchange.token = exchange.control("odd/session")["token"]
        self._odd += 1
        bet = {"handicap": 0, **_ODD_BETS[int(event.pick * len(_ODD_BETS))]}
        bet |= {"selectionId": 101, "side": "BACK", "customerOrderRef": f"{ODD}{self._odd}"}
        params = {"marketId": ODD_MARKET, "instructions": [bet], "customerStrategyRef": "aibetting"}
        report = exchange.envelope("placeOrders", params).get("result", {})
        return bool(report.get("status") == "SUCCESS")

    def odd_rows(self, event: Event) -> bool:
        """Let the exchange tell odd rows among its lists of bets, for a while."""
        self._arena.sandbox.control("odd", seconds=round(event.for_s * 3, 1), seed=str(event.pick))
        return True
