"""The check of funds beside the sandbox's own arithmetic; the long run is `make funds`."""

from pathlib import Path

import redis
from funds.model import FundsModel
from funds.rules import make_ready, only_funds
from support.sandbox_client import RunningSandbox
from support.trading_rig import trading

pytest_plugins = ["support.sandbox_fixtures"]


def test_what_we_pass_the_exchange_can_pay_for(
    sandbox: RunningSandbox, redis_client: "redis.Redis", tmp_path: Path
) -> None:
    make_ready(redis_client)
    with trading(redis_client, sandbox, tmp_path, rules=only_funds(), max_transactions_per_hour=1_000_000) as rig:
        model = FundsModel(rig, sandbox, seed=7)
        model.run(120)
    assert model.problems == []
    assert model.counts["refused"] > 10, model.counts
    assert model.counts["sent: taken"] > 20, model.counts
