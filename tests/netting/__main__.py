"""`python -m netting --seeds 100000`: exit 0 when netting was the worst of all results in every market."""

import argparse
import sys
import time

from netting.markets import disagreement

LARGE = 300  # markets of up to 30 runners and 5 winners: 142,506 results each


def main() -> int:
    """Compare up to 9 runners and 3 winners as often as asked, and 300 markets up to 30 and 5."""
    parser = argparse.ArgumentParser(prog="netting", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=LARGE)
    given = parser.parse_args()
    started = time.monotonic()
    plans = [(seed, 9, 3) for seed in range(given.seeds)] + [(seed, 30, 5) for seed in range(given.large)]
    failed = [problem for plan in plans if (problem := disagreement(*plan))]
    for problem in failed[:20]:
        sys.stdout.write(f"{problem}\n")
    took = time.monotonic() - started
    sys.stdout.write(f"netting: {given.seeds} + {given.large} markets, {len(failed)} disagreed, {took:.0f} s\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
