"""Every task's policy in a table, for Celery accepts a misspelt option silently; and what a worker does with each."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery, chain
from kombu.connection import Connection
from support.process_rig import QUEUES, Stack, message, running, wait

from beat_schedule import periodic_tasks
from executor import keys
from executor.app import app
from executor.devstack.redis_server import PrivateRedis
from executor.domain.signal_record import SignalStatus
from executor.errors import Contended, ExecutorError, NotYet, StoreUnavailable
from executor.settings.load import load_settings
from executor.tasks import RETRIES

CHAIN = (Contended, NotYet, StoreUnavailable)
PERIODIC = (ExecutorError,)
# name -> (queue, most retries, errors that are no surprise)
POLICY: dict[str, tuple[str, int, tuple[type[Exception], ...]]] = {
    "executor.validate_risk": ("signals", RETRIES, CHAIN),
    "executor.place_order": ("orders", RETRIES, CHAIN),
    "executor.log_trade": ("trades", RETRIES, CHAIN),
    "executor.poll_orders": ("maintenance", 3, PERIODIC),
    "executor.cancel_unmatched": ("maintenance", 3, PERIODIC),
    "executor.sweep_signals": ("maintenance", 3, PERIODIC),
    "executor.write_ledger": ("maintenance", 3, PERIODIC),
    "executor.settle_orders": ("maintenance", 3, PERIODIC),
    "executor.refresh_account": ("maintenance", 3, PERIODIC),
    "executor.watchdog": ("maintenance", 3, PERIODIC),
    "executor.keep_alive": ("maintenance", 3, PERIODIC),
    "executor.reauthenticate": ("maintenance", 3, PERIODIC),
    "executor.heartbeat": ("maintenance", 3, PERIODIC),
    "executor.hedge_exposure": ("maintenance", 3, PERIODIC),
}


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    app.loader.import_default_modules()


def test_no_task_is_missing_from_the_table() -> None:
    ours = {name for name in app.tasks if name.startswith("executor.")}
    assert ours == set(POLICY)


@pytest.mark.parametrize("name", POLICY)
def test_each_tasks_policy(name: str) -> None:
    queue, retries, throws = POLICY[name]
    task = app.tasks[name]
    assert app.amqp.router.route({}, name)["queue"].name == queue
    assert (task.name, task.max_retries, tuple(task.throws)) == (name, retries, throws)
    assert (task.acks_late, task.ignore_result, task.expires) == (True, True, None)
    assert (task.acks_on_failure_or_timeout, bool(task.reject_on_worker_lost)) == (True, False)
    assert (task.time_limit, task.soft_time_limit, task.rate_limit) == (None, None, None)
    assert getattr(task, "autoretry_for", ()) == ()


def test_what_is_scheduled_exists_and_does_not_pile_up(tmp_path: Path) -> None:
    switched_on = {"EXECUTOR_BETFAIR__HEARTBEAT_SECONDS": "30", "EXECUTOR_HEDGE__MODE": "alert"}
    scheduled = periodic_tasks(load_settings(switched_on, tmp_path))
    assert {task for task, _ in scheduled.values()} == {
        name for name, (queue, *_) in POLICY.items() if queue == "maintenance"
    }
    for entry in app.conf.beat_schedule.values():
        assert 0 < entry["options"]["expires"] < entry["schedule"]


# --- in a worker ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run a worker and a bridge whose state is on another server than their queues."""
    folder = tmp_path_factory.mktemp("tasks")
    with PrivateRedis(folder / "state") as state, running(folder, EXECUTOR_REDIS__URL=state.url(0)) as stack:
        STATE.append(state)
        stack.bridge()
        yield stack


STATE: list[PrivateRedis] = []


def test_a_chain_carries_ids_only_and_task_ids_of_the_signal(stack: Stack) -> None:
    stack.publish(message("first"))
    (raw,) = wait(lambda: stack.waiting("signals"))
    sent = json.loads(raw)
    assert sent["headers"]["id"] == "risk-first"
    assert sent["headers"]["task"] == "executor.validate_risk"
    assert sent["headers"]["expires"] is None, "the deadline is in the record, where no stale worker can miss it"
    assert sent["content-type"] == "application/json"
    args, kwargs, rest = json.loads(base64.b64decode(sent["body"]))
    assert (args, kwargs) == (["first", "1.5"], {})
    steps = [
        (step["task"], step["options"]["task_id"], step["args"], step["immutable"]) for step in reversed(rest["chain"])
    ]
    assert steps == [
        ("executor.place_order", "place-first", ["first", "1.5"], True),
        ("executor.log_trade", "log-first", ["first", "1.5"], True),
    ]


def test_a_chain_is_the_message_that_celery_itself_would_send(stack: Stack) -> None:
    (ours,) = stack.waiting("signals")
    tasks = {name: app.tasks[f"executor.{name}"] for name in ("validate_risk", "place_order", "log_trade")}
    ids = {"validate_risk": "risk-first", "place_order": "place-first", "log_trade": "log-first"}
    signatures = [task.si("first", "1.5").set(task_id=ids[name]) for name, task in tasks.items()]
    signatures[0].set(headers={"deadline": json.loads(ours)["headers"]["deadline"]})
    with Connection(stack.server.url(1)) as connection:
        chain(*signatures).apply_async(connection=connection)
    theirs = stack.waiting("signals")[0]
    stack.broker.lpop("signals")
    assert _fixed(ours) == _fixed(theirs)


def _fixed(raw: str) -> object:
    """Return a message without what is random, or its sender's, in it."""
    message = json.loads(raw)
    del message["headers"]["origin"]
    for name in ("reply_to", "delivery_tag"):
        del message["properties"][name]
    args, kwargs, rest = json.loads(base64.b64decode(message.pop("body")))
    for step in rest["chain"]:
        del step["options"]["reply_to"]
    return message, args, kwargs, rest


def test_every_periodic_task_runs_and_says_so(stack: Stack) -> None:
    stack.worker()
    assert stack.ended("first").status is SignalStatus.COMPLETED
    names = [name.removeprefix("executor.") for name, (queue, *_) in POLICY.items() if queue == "maintenance"]
    stack.tick(*names)
    wait(lambda: set(stack.state.hkeys(keys.LAST_SUCCESS)) >= set(names))


def test_tasks_for_nobody_and_nonsense_do_no_harm(stack: Stack) -> None:
    with Celery("stranger", broker=stack.server.url(1)) as stranger:
        for name, queue in (("validate_risk", "signals"), ("place_order", "orders"), ("log_trade", "trades")):
            every: list[tuple[object, ...]] = [
                ("nobody", "1.5"),
                ("first", "1.999"),
                ("", ""),
                (1, 2),
                ({"a": 1}, []),
                ("one",),
                (),
            ]
            for args in every:
                stranger.send_task(f"executor.{name}", args, queue=queue)
        stranger.send_task("executor.unknown", queue="maintenance")
    before = stack.orders()
    stack.publish(message("after-the-nonsense", "1.6"))
    assert stack.ended("after-the-nonsense").status is SignalStatus.COMPLETED
    wait(lambda: not any(map(stack.waiting, QUEUES)))
    assert [order for order in stack.orders() if order.signal_id == "first"] == before


def test_maintenance_gives_way_to_orders(stack: Stack) -> None:
    background = stack.worker("-Q", "maintenance", "-P", "threads")
    niceness = os.getpriority(os.PRIO_PROCESS, background.popen.pid)
    background.kill()
    stack.processes.remove(background)
    assert niceness > os.getpriority(os.PRIO_PROCESS, 0)


def test_a_step_that_meets_redis_away_is_taken_up_again(stack: Stack) -> None:
    """The state's server is restarted while a chain waits for it; the queues' server stays."""
    state = STATE[0]
    stack.publish(message("first-again", "1.7"))
    stack.ended("first-again")
    raw = _queued_while_away(stack, state)
    assert "risk-delayed" in raw
    assert stack.ended("delayed").status is SignalStatus.COMPLETED
    assert any(process.said("step_postponed", "delayed") for process in stack.processes)


def _queued_while_away(stack: Stack, state: PrivateRedis) -> str:
    """Publish a signal, stop the state's server before the worker takes its message; start it again once it has."""
    worker = stack.processes[-1]
    worker.kill()
    stack.publish(message("delayed", "1.8"))
    raw = wait(lambda: stack.waiting("signals"))[0]
    # A worker starts only where Redis answers: start it on an empty queue, then give the message back.
    stack.broker.delete("signals")
    stack.worker()
    state.kill()
    stack.broker.lpush("signals", raw)
    wait(lambda: any(process.said("step_postponed", "delayed") for process in stack.processes))
    state.start()
    stack.tick("poll_orders")
    return raw
