"""The money model at the real sandbox: what Redis and ledger say is what the account's balance has become."""

from pathlib import Path

import pytest
import redis
from money_model.against_sandbox import BALANCE, SandboxHistory
from support.sandbox_client import RunningSandbox
from support.trading_rig import trading


def play(seed: int, redis_client: "redis.Redis", sandbox: RunningSandbox, folder: Path) -> None:
    sandbox.control("reset", seed=seed, balance=float(BALANCE))
    with trading(redis_client, sandbox, folder, unmatched_timeout_s=3600) as rig:
        history = SandboxHistory(seed, rig, sandbox, redis_client)
        history.run(50)
        history.check()


@pytest.mark.parametrize("seed", range(2))
def test_books_agree_with_the_sandboxs_balance(
    seed: int, redis_client: "redis.Redis", sandbox: RunningSandbox, tmp_path: Path
) -> None:
    play(seed, redis_client, sandbox, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_books_agree_with_the_sandboxs_balance_after_many_histories(
    redis_client: "redis.Redis", sandbox: RunningSandbox, tmp_path: Path
) -> None:
    for seed in range(100, 125):
        redis_client.flushdb()
        (tmp_path / str(seed)).mkdir()
        play(seed, redis_client, sandbox, tmp_path / str(seed))
