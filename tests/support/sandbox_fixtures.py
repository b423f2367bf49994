"""Fixtures around the sandbox; a test module asks for them with `pytest_plugins = ["support.sandbox_fixtures"]`.

Owns: one sandbox process for the whole run, started anew (markets, bets, faults, journal) for each test.
"""

from collections.abc import Iterator

import betfairlightweight
import pytest

from support.sandbox_client import RunningSandbox, start_process


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    directory = tmp_path_factory.mktemp("sandbox")
    process = start_process(directory)
    assert process.stdout is not None
    assert process.stderr is not None
    ready = process.stdout.readline()
    assert "ready" in ready, process.stderr.read()
    running = RunningSandbox.at(directory)
    yield running
    running.session.close()
    process.terminate()
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "Traceback" not in errors, errors


@pytest.fixture
def sandbox(sandbox_process: RunningSandbox) -> RunningSandbox:
    sandbox_process.control("reset")
    sandbox_process.log_in()
    return sandbox_process


@pytest.fixture
def betfair(sandbox: RunningSandbox) -> Iterator[betfairlightweight.APIClient]:
    client = sandbox.betfair()
    yield client
    client.session.close()
