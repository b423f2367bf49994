"""The sandbox as a process: how it starts, stops, fails to start, and what it tells others."""

import json
import signal
import time
from pathlib import Path

import pytest
import requests
from support.sandbox_client import RunningSandbox, limit, start_process, wait_for

from betfair_sandbox.options import SandboxOptions, sandbox_env

pytest_plugins = ["support.sandbox_fixtures"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_on_free_ports_and_stops_at_once(tmp_path: Path, number: signal.Signals) -> None:
    process = start_process(tmp_path / "new" / "folder")
    assert process.stdout is not None
    ready = process.stdout.readline()
    running = RunningSandbox.at(tmp_path / "new" / "folder")
    assert running.api.replace("localhost", "127.0.0.1") in ready
    running.log_in()
    assert running.call("getAccountFunds")["availableToBetBalance"] == 10_000
    started = time.monotonic()
    process.send_signal(number)
    output, errors = process.communicate(timeout=5)
    assert (process.returncode, output, errors) == (0, "", "")
    assert time.monotonic() - started < 1
    running.session.close()


def test_a_call_in_flight_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    process = start_process(tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    running = RunningSandbox.at(tmp_path)
    running.log_in()
    running.control("markets", marketId="1.5", inplay=True, betDelay=60)
    running.place("1.5", limit(1, "BACK", 3, 2), **{"async": True})
    started = time.monotonic()
    process.terminate()
    _, errors = process.communicate(timeout=5)
    assert (process.returncode, errors) == (0, "")
    assert time.monotonic() - started < 1
    running.session.close()


def test_a_busy_port_is_told_in_one_line(sandbox: RunningSandbox, tmp_path: Path) -> None:
    port = int(sandbox.api.rsplit(":", 1)[1])
    process = start_process(tmp_path, port=port)
    output, errors = process.communicate(timeout=10)
    assert (process.returncode, output) == (1, "")
    assert errors == f"sandbox: 127.0.0.1:{port}: Address already in use\n"


def test_a_directory_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = start_process(tmp_path / "file" / "sandbox")
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert errors.count("\n") == 1
    assert errors.startswith("sandbox: ")


def test_the_environment_points_at_the_running_sandbox(sandbox: RunningSandbox) -> None:
    env = sandbox_env(sandbox.directory)
    ports = json.loads((sandbox.directory / "ports.json").read_text(encoding="utf-8"))
    assert env == {
        "EXECUTOR_TRADING__ENABLE_PAPER_TRADING": "false",
        "EXECUTOR_BETFAIR__APP_KEY": sandbox.options.app_key,
        "EXECUTOR_BETFAIR__USERNAME": sandbox.options.username,
        "EXECUTOR_BETFAIR__PASSWORD": sandbox.options.password,
        "EXECUTOR_BETFAIR__CERTIFICATE_PATH": str(sandbox.paths.client_pfx),
        "EXECUTOR_BETFAIR__CERTIFICATE_PASSWORD": sandbox.options.certificate_password,
        "EXECUTOR_BETFAIR__API_URL": f"https://localhost:{ports['port']}",
        "EXECUTOR_BETFAIR__IDENTITY_URL": f"https://localhost:{ports['port']}",
        "EXECUTOR_BETFAIR__IDENTITY_CERT_URL": f"https://localhost:{ports['cert_port']}",
        "EXECUTOR_BETFAIR__CA_BUNDLE": str(sandbox.paths.ca),
        "EXECUTOR_BETFAIR__STREAM_HOST": "localhost",
        "EXECUTOR_BETFAIR__STREAM_PORT": str(ports["stream_port"]),
    }


def test_the_environment_of_a_sandbox_that_never_ran_has_the_default_ports(tmp_path: Path) -> None:
    env = sandbox_env(tmp_path, host="sandbox", options=SandboxOptions(directory=tmp_path, username="someone"))
    assert env["EXECUTOR_BETFAIR__API_URL"] == "https://sandbox:8443"
    assert env["EXECUTOR_BETFAIR__IDENTITY_CERT_URL"] == "https://sandbox:8444"
    assert env["EXECUTOR_BETFAIR__USERNAME"] == "someone"


@pytest.mark.parametrize("kind", ["drop_response", "http_503", ""])
def test_clients_that_are_gone_leave_no_traceback(tmp_path: Path, kind: str) -> None:
    process = start_process(tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    running = RunningSandbox.at(tmp_path)
    running.log_in()
    running.control("faults", method="*", kind="delay", seconds=0.3, count=3)
    if kind:
        running.control("faults", method="*", kind=kind, count=3)
    form = {"username": running.options.username, "password": running.options.password}
    headers = {**running.headers, "Content-Type": "application/x-www-form-urlencoded"}
    for url in (f"{running.cert_api}/api/certlogin", f"{running.api}/api/keepAlive"):
        with pytest.raises(requests.Timeout):
            running.session.post(url, data=form, headers=headers, cert=str(running.paths.client_pem), timeout=0.1)
    call = {"jsonrpc": "2.0", "method": "SportsAPING/v1.0/listCurrentOrders", "params": {}, "id": 1}
    with pytest.raises(requests.Timeout):
        running.session.post(running.url("listCurrentOrders"), json=call, headers=running.headers, timeout=0.1)
    ended = {"certlogin", "keepAlive", "listCurrentOrders"}
    wait_for(lambda: {line["method"] for line in running.journal() if line["status"]} >= ended)
    [login] = [line for line in running.journal("certlogin") if line["fault"]]
    assert login["error"] in {None, ""}, "it had a certificate when it asked"
    process.terminate()
    _, errors = process.communicate(timeout=5)
    assert (process.returncode, errors) == (0, "")
    running.session.close()
