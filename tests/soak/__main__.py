"""`python -m soak --minutes 60`: a week's hours, each a step of the clock; exit 0 when nothing grew that should not.

All processes, Redis and the exchange among them, run by one clock of their own, which a preloaded library steps by an
hour at a time: seven midnights, logins every six hours, keys that end, logs of a day. In each hour signals are placed
and the markets of the hour before are settled.
"""

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from redis.exceptions import RedisError
from support.running_stack import RunningStack, until
from support.stepped_clock import SteppedClock

from executor import keys, wiring
from executor.domain.signal_record import TERMINAL
from executor.errors import StoreUnavailable
from soak import readings
from soak.picture import draw

HOUR_S: Final = 3600
WEEK_H: Final = 168
_ASKED_ANEW_S: Final = 6.0  # until the bridge has asked Redis for the time again: it stamps what it hears
LEAST_S: Final = 13.0  # of real time for one step: the next poll is five seconds away, and something is to be placed
MARKETS: Final = 5
_ENDED_S: Final = 30.0
_SETTINGS: Final = {
    "EXECUTOR_LOGGING__FILE": "true",
    "EXECUTOR_RISK__MAX_EXPOSURE_PER_MARKET": "1000000",
    "EXECUTOR_RISK__MAX_EXPOSURE_PER_SELECTION": "1000000",
    "EXECUTOR_RISK__MAX_DAILY_LOSS": "1000000",
}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Week:
    """The hours of a week on one stack."""

    def __init__(self, stack: RunningStack, clock: SteppedClock, signals: int) -> None:
        self._stack = stack
        self._clock = clock
        self._signals = signals
        self.sent = 0
        self.refused = 0
        self._markets: list[str] = []  # of the hour before

    def pass_to(self, number: int, seconds: float) -> None:
        """Let it be this hour of the week, place signals, settle the markets of the hour before."""
        began = time.monotonic()
        ends = began + seconds
        self._clock.step(number * HOUR_S)
        markets = [f"1.{number + 1:04d}{at:02d}" for at in range(MARKETS)]
        for market in markets:
            offers: dict[str, Any] = {"availableToBack": [[3.0, 1_000_000]], "availableToLay": []}
            runners = [{"selectionId": 1, **offers}, {"selectionId": 2, **offers}]
            self._stack.sandbox.control("markets", {"marketId": market, "runners": runners})
        until(self._trades, 60, "orders are not reconciled after a step of the clock")
        until(lambda: self._trades() and time.monotonic() - began > _ASKED_ANEW_S, 60, "it trades no more")
        names = [f"{number}-{at}" for at in range(self._signals)]
        for at in range(self._signals):
            self._publish(f"{number}-{at}", markets[at % MARKETS], odds=3 if at % 4 else 10)
            self._stack.supervisor.tick()
            time.sleep(max(0.0, min(0.05, ends - time.monotonic())))
        with suppress(AssertionError):  # what is not ended by then expires at the next step
            until(lambda: self._have_ended(names), _ENDED_S, "")
        for at, market in enumerate(self._markets):
            self._stack.sandbox.control("settle", {"marketId": market, "winners": [1 + at % 2]})
        self._markets = markets
        while time.monotonic() < ends:
            self._stack.supervisor.tick()
            time.sleep(0.2)

    def _have_ended(self, names: list[str]) -> bool:
        self._stack.supervisor.tick()
        texts = self._stack.redis.mget([keys.signal(name) for name in names])
        return all(text and json.loads(str(text))["status"] in TERMINAL for text in texts)

    def _trades(self) -> bool:
        self._stack.supervisor.tick()
        with suppress(StoreUnavailable):
            return wiring.state(self._stack.settings).read().reconciled
        return False

    def _publish(self, name: str, market: str, odds: int) -> None:
        leg = {"selectionId": "1", "recommendedOdds": odds, "stake": 2, "betType": "Back"}
        body = {"signalId": name, "marketId": market, "strategy": "soak", "primarySelection": leg}
        try:
            heard = self._stack.redis.publish(keys.STRATEGY_SIGNALS, json.dumps(body))
        except RedisError:
            heard = 0
        self.sent += 1
        self.refused += not heard


def soak(folder: Path, minutes: float, signals: int, out: Path) -> list[str]:
    """Run a week; returns what grew, and what was not as it should be."""
    clock = SteppedClock(folder, "week")
    os.environ.update(clock.environ)  # Redis and the exchange are children, too
    stack = RunningStack(folder, _SETTINGS, console=True, append_only=True)
    rows: list[dict[str, float]] = []
    try:
        stack.start()
        week = Week(stack, clock, signals)
        hours = math.ceil(WEEK_H * LEAST_S / (minutes * 60))  # in one step
        for number in range(0, WEEK_H, hours):
            week.pass_to(number, minutes * 60 * hours / WEEK_H)
            rows.append(readings.read(stack))
            if len(rows) % 8 == 1:
                _say(f"hour {number}: {week.sent} signals; {_shown(rows[-1])}")
        calls = len(stack.sandbox.journal("placeOrders"))
        logins = len(stack.sandbox.journal("certlogin"))
        days = list(stack.redis.scan_iter(keys.pnl_daily("*")))
        records = [json.loads(str(stack.redis.get(key))) for key in stack.redis.scan_iter(keys.signal("*"), count=2000)]
        logs = sorted(path.name for path in (Path(stack.settings.data_dir) / "logs").glob("executor-*.log"))
    finally:
        stack.stop()
    out.mkdir(parents=True, exist_ok=True)
    (out / "soak.json").write_text(json.dumps(rows), encoding="utf-8")
    draw(rows, out / "soak.png")
    _say(f"{week.sent} signals, {week.refused} heard by nobody, {calls} placeOrders, {logins} logins")
    _say(f"{len(logs)} days of logs, {len(days)} days of P&L in Redis; {out}/soak.png")
    ends = Counter(f"{record['status']} {record.get('reason', '')}".strip() for record in records)
    _say(f"of those still recorded: {dict(ends)}")
    wrong = list(readings.growth(rows))
    wrong += [f"{logins} logins in a week"] if logins < WEEK_H // 24 else []
    wrong += [f"{len(logs)} days of logs"] if len(logs) < WEEK_H // 24 else []
    return wrong + ([f"{calls} calls for {week.sent} signals"] if calls < 0.9 * week.sent else [])


def _shown(row: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.0f}" for name, value in row.items() if name.startswith(("MB", "kept", "conn")))


def main() -> int:
    """Run one soak."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--signals", type=int, default=60, help="in each step of the clock")
    parser.add_argument("--out", type=Path, default=Path("build/soak"))
    options = parser.parse_args()
    if why := SteppedClock.why_not():
        _say(f"soak: {why}")
        return 1
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        wrong = soak(Path(folder), options.minutes, options.signals, options.out.absolute())
    for line in wrong:
        _say(f"soak: {line}")
    _say(f"soak: {'FAILED' if wrong else 'ok'} minutes={options.minutes:g} signals={options.signals}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
