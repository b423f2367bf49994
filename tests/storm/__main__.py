"""`python -m storm --seed 1 --minutes 3`: exit 0 when every promise was kept."""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from storm.run import ALONE, storm

_RATE: Final = 3.5  # signals a second: what two cores carry beside a sandbox, while processes keep starting
_FAILOVER_RATE: Final = 10.0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run one storm."""
    parser = argparse.ArgumentParser(prog="storm", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--rate", type=float, help="signals a second")
    parser.add_argument("--failover", choices=["faults", ALONE], default="", help="lose masters, among faults or alone")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    folder = Path(tempfile.mkdtemp(prefix="storm-"))
    try:
        rate = options.rate or (_FAILOVER_RATE if options.failover else _RATE)
        found = storm(
            folder, seed=options.seed, seconds=options.minutes * 60, rate=rate, say=_say, failover=options.failover
        )
    except KeyboardInterrupt:
        _say("stopped; everything that was started has ended")
        return 130
    for line in found.lines():
        _say(line)
    if found.violations:
        _say(f"logs and the diary of what was broken: {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
