"""`python -m hedging --seeds 200`: exit 0 when hedges only reduced, one at a time, after every history."""

import argparse
import logging
import sys
import time

import structlog

from hedging.model import HedgeModel


def main() -> int:
    """Run histories."""
    parser = argparse.ArgumentParser(prog="hedging", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    started, problems, sent = time.monotonic(), list[str](), 0
    for seed in range(given.seeds):
        model = HedgeModel(seed).run()
        problems += model.problems
        sent += len(model.hedges())
    for problem in problems[:20]:
        sys.stdout.write(f"{problem}\n")
    took = time.monotonic() - started
    sys.stdout.write(f"hedging: {given.seeds} seeds, {sent} hedges, {len(problems)} wrong, {took:.0f} s\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
