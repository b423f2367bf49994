"""`deploy/smoke` against real processes: what works passes, what does not fails, and no real exchange is touched."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.running_stack import RunningStack, until

from executor import wiring
from executor.devstack.redis_server import HOST
from executor.domain.order import Order, OrderStatus

SMOKE = Path(__file__).parents[2] / "deploy" / "smoke"


def smoke(stack: RunningStack, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [SMOKE, *words, *(word for port in stack.metrics_ports for word in ("--metrics", f"{HOST}:{port}"))],
        cwd=stack.folder,
        env={**stack.environ, **environ},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def orders(stack: RunningStack) -> list[Order]:
    return wiring.store(stack.settings).recent_orders(100)


@pytest.fixture(scope="module")
def sandboxed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    stack = RunningStack(tmp_path_factory.mktemp("smoke"), {})
    try:
        yield stack.start()
    finally:
        stack.stop()


@pytest.mark.slow
def test_a_deployment_that_works_passes(sandboxed: RunningStack) -> None:
    done = smoke(sandboxed, "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("smoke: ok\n")
    assert "the fill is in the ledger" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_nothing_of_it_is_left_on_the_books(sandboxed: RunningStack) -> None:
    done = smoke(sandboxed)
    assert done.returncode == 0, done.stdout + done.stderr
    state = wiring.state(sandboxed.settings).read()
    assert orders(sandboxed)[0].status is OrderStatus.VOIDED
    until(lambda: not wiring.state(sandboxed.settings).read().exposure, 70, "exposure is left")
    assert state.daily_pnl == 0


@pytest.mark.slow
def test_an_order_that_is_refused_fails_it(sandboxed: RunningStack) -> None:
    sandboxed.sandbox.control("faults", {"method": "placeOrders", "kind": "error:INSUFFICIENT_FUNDS"})
    done = smoke(sandboxed, "--quick")
    assert done.returncode == 1
    assert "smoke: FAILED: the order ended FAILED: INSUFFICIENT_FUNDS" in done.stderr


@pytest.mark.slow
def test_trading_that_is_off_fails_it(sandboxed: RunningStack) -> None:
    assert sandboxed.executor("halt").returncode == 0
    try:
        done = smoke(sandboxed, "--quick")
    finally:
        assert sandboxed.executor("resume").returncode == 0
    assert done.returncode == 1, done.stdout
    assert "smoke: FAILED" in done.stderr


@pytest.mark.slow
def test_what_is_no_sandbox_is_left_alone(sandboxed: RunningStack) -> None:
    # The sandbox's login port speaks HTTPS and has no control API, like Betfair.
    url = f"https://localhost:{sandboxed.ports.sandbox_cert}"
    before = len(orders(sandboxed))
    done = smoke(sandboxed, EXECUTOR_BETFAIR__API_URL=url)
    assert done.returncode == 1
    assert "nothing is sent to anything else" in done.stderr
    assert len(orders(sandboxed)) == before


@pytest.mark.slow
def test_paper_trading_passes_and_is_cleared(tmp_path: Path) -> None:
    stack = RunningStack(tmp_path, {"EXECUTOR_TRADING__ENABLE_PAPER_TRADING": "true"})
    try:
        stack.start()
        done = smoke(stack)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "smoke: paper trading" in done.stdout
        assert [order.status for order in orders(stack)] == [OrderStatus.SETTLED]
    finally:
        stack.stop()
