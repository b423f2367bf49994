"""`python -m funds --signals 10000`: exit 0 when the exchange never refused for want of funds what we had passed."""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

import structlog
from support.sandbox_client import RunningSandbox, start_process
from support.trading_rig import trading

from executor.adapters.redis.client import connect
from executor.devstack.redis_server import PrivateRedis
from funds.model import FundsModel
from funds.rules import make_ready, only_funds


def main() -> int:
    """Run one long history on a private Redis and a sandbox of its own."""
    parser = argparse.ArgumentParser(prog="funds", description=__doc__)
    parser.add_argument("--signals", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="funds-") as name:
        folder = Path(name)
        process = start_process(folder / "sandbox")
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        try:
            sandbox = RunningSandbox.at(folder / "sandbox")
            sandbox.log_in()
            with PrivateRedis(folder, append_only=False) as server:
                client = connect(server.url(0))
                make_ready(client)
                with trading(client, sandbox, folder, rules=only_funds(), max_transactions_per_hour=1_000_000) as rig:
                    model = FundsModel(rig, sandbox, given.seed)
                    model.run(given.signals)
        finally:
            process.terminate()
            process.wait(10)
    for problem in model.problems[:20]:
        sys.stdout.write(f"{problem}\n")
    took = time.monotonic() - started
    sys.stdout.write(f"funds: {given.signals} signals, {len(model.problems)} wrong, {took:.0f} s; {model.counts}\n")
    return 1 if model.problems else 0


if __name__ == "__main__":
    sys.exit(main())
