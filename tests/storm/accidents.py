"""Accidents of the machine and of the exchange's answers: damaged files, a full disk, clocks that step, odd rows.

Invariant: each undoes itself, or leaves something that the system must live with. Units: seconds.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

from storm.arena import Arena
from storm.plan import Event

ODD: Final = "odd-"  # how references of bets begin that somebody else made under our strategy ref
ODD_MARKET: Final = "1.999000000"  # without signals: what is counted there disturbs no limit of theirs
_STEPS: Final = ("-3600s", "-60s", "+60s", "+3600s")
_DAMAGES: Final[tuple[Callable[[bytes], bytes], ...]] = (
    lambda _whole: b"",
    lambda whole: whole[: len(whole) // 2],
    lambda _whole: b"garbage" * 500,
    lambda whole: whole[:8] + b"\xff" * max(0, len(whole) - 8),
)
_ODD_BETS: Final[tuple[dict[str, Any], ...]] = (
    {"orderType": "MARKET_ON_CLOSE", "marketOnCloseOrder": {"liability": 20}},
    {"orderType": "LIMIT_ON_CLOSE", "limitOnCloseOrder": {"liability": 20, "price": 3}},
    {"orderType": "LIMIT", "handicap": -1.5, "limitOrder": {"size": 2, "price": 3, "persistenceType": "LAPSE"}},
)


class Accidents:
    """Makes them happen on one arena."""

    def __init__(self, arena: Arena, later: Callable[[float, Callable[[], None]], None]) -> None:
        self._arena = arena
        self._later = later
        self._odd = 0

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

    def clock_step(self, event: Event) -> bool:
        """Step the clock that beat sees, and step it back later; Redis and the exchange keep theirs."""
        if not self._arena.clock_steps:
            return False
        self._arena.step_clock(_STEPS[int(event.pick * len(_STEPS))])
        self._later(event.for_s + 4, lambda: self._arena.step_clock("+0s"))
        return True

    def odd_row(self, event: Event) -> bool:
        """Bet by hand under our strategy ref, in a way that our records cannot hold."""
        self._odd += 1
        bet = {"handicap": 0, **_ODD_BETS[int(event.pick * len(_ODD_BETS))]}
        bet |= {"selectionId": 101, "side": "BACK", "customerOrderRef": f"{ODD}{self._odd}"}
        params = {"marketId": ODD_MARKET, "instructions": [bet], "customerStrategyRef": "aibetting"}
        return bool(self._arena.sandbox.envelope("placeOrders", params).get("result"))
