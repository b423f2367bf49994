"""`python -m money_model --seeds 1000`: exit 0 when the books agreed after every history."""

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import structlog

from executor.devstack.redis_server import PrivateRedis
from money_model.history import History
from money_model.memory import MemoryBooks, MemoryRedis
from money_model.real import RealRedis, SqlBooks

_REAL = 5  # every so many of the histories also run on a real Redis and SQLite: they take thirty times as long


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run histories of 60 steps, every fifth of them on real things, too, and every tenth of 200 steps."""
    parser = argparse.ArgumentParser(prog="money_model", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    started = time.monotonic()
    failed: list[str] = []
    steps: Counter[str] = Counter()

    def run(history: History, length: int) -> None:
        try:
            history.run(length)
            history.check()
        except AssertionError as error:
            failed.append(str(error))
            _say(str(error))
        steps.update(line.split()[1] for line in history.log if line[0].isdecimal())

    with tempfile.TemporaryDirectory(prefix="money-model-") as name:
        folder = Path(name)
        with (
            PrivateRedis(folder, append_only=False) as server,
            closing(RealRedis(server.url(0))) as real_redis,
            closing(SqlBooks(f"sqlite:///{folder}/ledger.db")) as books,
        ):
            for seed in range(options.first, options.first + options.seeds):
                run(History(seed, MemoryRedis(), MemoryBooks()), 60 if seed % 10 else 200)
                if seed % _REAL == 0:
                    real_redis.reset()
                    books.reset()
                    run(History(seed, real_redis, books), 60)
    took = time.monotonic() - started
    _say(f"money-model: {options.seeds} seeds, {len(failed)} disagreed, {took:.0f} s; steps {dict(steps)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
