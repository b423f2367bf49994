"""`python -m fuzz_sandbox --minutes 10 [--only connections|recordings] [--seed 1]`: exit 0 when nothing went wrong."""

import argparse
import json
import logging
import sys
import tempfile
import time
import traceback
from pathlib import Path

from support.sandbox_client import start_process

from fuzz_sandbox.connections import ATTACKERS, attack
from fuzz_sandbox.recordings import play_one

_ROUND_S = 60.0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def fuzz_recordings(seed: int, seconds: float, folder: Path) -> int:
    """Play damaged files for so long; return how many went wrong."""
    ends, played, wrong = time.monotonic() + seconds, 0, 0
    while time.monotonic() < ends:
        try:
            told = play_one(seed + played, folder)
        except Exception:  # noqa: BLE001 - that is what is looked for
            told = traceback.format_exc()
        if told:
            wrong += 1
            _say(f"recordings: seed {seed + played}: {told}")
        played += 1
    _say(f"recordings: {played} files, {wrong} wrong")
    return wrong


def fuzz_connections(seed: int, seconds: float, folder: Path) -> int:
    """Attack a sandbox for so long, in rounds; return how many rounds went wrong."""
    ends, wrong, rounds = time.monotonic() + seconds, 0, 0
    errors = folder / "stderr"
    with errors.open("w", encoding="utf-8") as file:
        process = start_process(folder, accounts=ATTACKERS, stderr=file)
        try:
            assert process.stdout is not None
            if "ready" not in process.stdout.readline():
                raise RuntimeError(errors.read_text())
            while (left := ends - time.monotonic()) > 0:
                try:
                    done = attack(folder, process.pid, seed + rounds, min(left, _ROUND_S))
                    _say(f"connections: {json.dumps(done)}")
                except Exception:  # noqa: BLE001 - as above
                    wrong += 1
                    _say(f"connections: seed {seed + rounds}: {traceback.format_exc()}")
                rounds += 1
            process.terminate()
            process.wait(30)
        finally:
            process.kill()
            process.communicate()
    told = errors.read_text()
    if process.returncode != 0 or "Traceback" in told:
        wrong += 1
        _say(f"connections: the sandbox ended with {process.returncode} and said: {told[-4_000:]}")
    _say(f"connections: {rounds} rounds, {wrong} wrong")
    return wrong


KINDS = {"connections": fuzz_connections, "recordings": fuzz_recordings}


def main() -> int:
    """Fuzz each kind for so long."""
    parser = argparse.ArgumentParser(prog="fuzz_sandbox", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", choices=sorted(KINDS))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.getLogger("betfair_sandbox").setLevel(logging.ERROR)
    wrong = 0
    for name in [given.only] if given.only else KINDS:
        with tempfile.TemporaryDirectory(prefix="fuzz-sandbox-") as folder:
            wrong += KINDS[name](given.seed, given.minutes * 60, Path(folder))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
