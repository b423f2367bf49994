"""Celery accepts a misspelt option silently, so its settings are held against Celery's own list, and read back."""

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from celery import Celery
from celery.app.defaults import SETTING_KEYS
from celery.exceptions import QueueNotFound
from flower.options import options as flower_options

from executor.worker_pool import TaskPool

ROOT = Path(__file__).parents[2]
Config = dict[str, Any]
Load = Callable[..., Config]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Read celeryconfig.py afresh, where there is no `.env`, with these EXECUTOR_ variables and no others."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.upper().startswith("EXECUTOR_")]:
        monkeypatch.delenv(name)

    def load(**variables: str) -> Config:
        for name, value in variables.items():
            monkeypatch.setenv(f"EXECUTOR_{name}", value)
        return _options(runpy.run_path(str(ROOT / "celeryconfig.py")))

    return load


@pytest.fixture
def app(load: Load) -> Celery:
    app = Celery("executor", set_as_current=False)
    app.config_from_object(load())
    return app


def _options(names: Config) -> Config:
    """Leave out what a module imports and what it keeps for itself."""
    return {
        name: value
        for name, value in names.items()
        if not (name.startswith("_") or isinstance(value, ModuleType | type) or callable(value))
    }


def test_every_name_is_one_of_celerys(load: Load) -> None:
    unknown = set(load()) - SETTING_KEYS
    assert not unknown


def test_the_pool_is_celerys_own_with_a_shorter_way(load: Load) -> None:
    assert load()["worker_pool"] == f"{TaskPool.__module__}:{TaskPool.__name__}"


def test_every_name_of_flowerconfig_is_one_of_flowers() -> None:
    unknown = set(_options(runpy.run_path(str(ROOT / "flowerconfig.py")))) - set(flower_options)
    assert not unknown


def test_flower_listens_on_loopback_only() -> None:
    assert runpy.run_path(str(ROOT / "flowerconfig.py"))["address"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("executor.validate_risk", "signals"),
        ("executor.place_order", "orders"),
        ("executor.log_trade", "trades"),
        ("executor.poll_orders", "maintenance"),
        ("executor.cancel_unmatched", "maintenance"),
        ("executor.sweep_signals", "maintenance"),
        ("executor.write_ledger", "maintenance"),
        ("executor.settle_orders", "maintenance"),
        ("executor.refresh_account", "maintenance"),
        ("executor.watchdog", "maintenance"),
        ("executor.keep_alive", "maintenance"),
        ("executor.reauthenticate", "maintenance"),
        ("executor.heartbeat", "maintenance"),
        ("executor.something_new", "maintenance"),
    ],
)
def test_each_task_has_its_queue(app: Celery, task: str, queue: str) -> None:
    route = app.amqp.router.route({}, task)
    assert route["queue"].name == queue
    assert route["queue"].routing_key == queue


def test_a_queue_that_is_not_declared_is_an_error(app: Celery) -> None:
    assert set(app.amqp.queues) == {"signals", "orders", "trades", "maintenance"}
    with pytest.raises(QueueNotFound):
        app.amqp.router.route({"queue": "singals"}, "executor.place_order")


def test_the_schedule_is_the_contracts(load: Load) -> None:
    periods = {entry["task"]: entry["schedule"] for entry in load()["beat_schedule"].values()}
    assert periods == {
        "executor.poll_orders": 5,
        "executor.cancel_unmatched": 5,
        "executor.sweep_signals": 5,
        "executor.write_ledger": 5,
        "executor.settle_orders": 60,
        "executor.refresh_account": 60,
        "executor.watchdog": 30,
        "executor.keep_alive": 900,
        "executor.reauthenticate": 300,
    }


def test_the_settings_move_the_periods(load: Load) -> None:
    config = load(ORDER_MANAGER__STATUS_CHECK_INTERVAL_SECONDS="2", BETFAIR__KEEP_ALIVE_INTERVAL_SECONDS="600")
    periods = {entry["task"]: entry["schedule"] for entry in config["beat_schedule"].values()}
    assert periods["executor.poll_orders"] == 2
    assert periods["executor.keep_alive"] == 600
    assert "executor.heartbeat" not in periods
    config = load(BETFAIR__HEARTBEAT_SECONDS="30")
    assert {entry["task"]: entry["schedule"] for entry in config["beat_schedule"].values()}["executor.heartbeat"] == 10


def test_a_tick_expires_before_the_next_so_that_they_never_pile_up(load: Load) -> None:
    for entry in load()["beat_schedule"].values():
        assert 0 < entry["options"]["expires"] < entry["schedule"]
        assert entry["options"]["queue"] == "maintenance"


@pytest.mark.parametrize("api_timeout_s", ["1", "30", "300"])
def test_a_message_is_not_delivered_again_while_its_task_runs(load: Load, api_timeout_s: str) -> None:
    config = load(BETFAIR__API_TIMEOUT_SECONDS=api_timeout_s)
    policy = config["task_publish_retry_policy"]
    waits = [policy["interval_start"] + policy["interval_step"] * n for n in range(policy["max_retries"])]
    one_attempt_s = 1  # what the transport options bound it to
    publish_s = sum(min(wait, policy["interval_max"]) + one_attempt_s for wait in waits)
    visibility_s = config["broker_transport_options"]["visibility_timeout"]
    assert visibility_s >= 120
    assert visibility_s > 3 * int(api_timeout_s) + publish_s


def test_only_json_travels(app: Celery) -> None:
    assert app.conf.accept_content == ["json"]
    assert {app.conf.task_serializer, app.conf.result_serializer, app.conf.event_serializer} == {"json"}


def test_no_result_is_kept(app: Celery) -> None:
    assert app.conf.result_backend is None
    assert app.conf.task_ignore_result is True


def test_the_broker_comes_from_the_settings(load: Load) -> None:
    config = load(REDIS__URL="redis://127.0.0.1:7777/3")
    assert config["broker_url"] == "redis://127.0.0.1:7777/4"


def test_wrong_settings_are_one_line_not_a_traceback(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import celeryconfig"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "EXECUTOR_RISK__BANKROL": "5"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert found.returncode == 1
    assert re.fullmatch(r"[^\n]*EXECUTOR_RISK__BANKROL[^\n]*\n", found.stderr)
