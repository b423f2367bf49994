"""Attacks on the real stack with the ACL that ships: refused, logged in one line, counted, and nothing is placed."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError
from support.guarded_stack import MARKET, GuardedStack, envelope

from executor import keys

Attack = Callable[[Any], Any]

# What a stolen publisher's password is tried for; (name, the attempt).
ATTEMPTS: dict[str, Attack] = {
    "push a task": lambda client: client.lpush(
        "signals", envelope("signals", "executor.place_order", ["x", "1.1"], {})
    ),
    "take a task": lambda client: client.rpop("orders"),
    "shut the workers down": lambda client: client.publish("/1.celery.pidbox", json.dumps({"method": "shutdown"})),
    "forge an event": lambda client: client.publish("/1.celeryev/task.sent", "{}"),
    "publish a trade": lambda client: client.publish(keys.TRADE_UPDATES, "{}"),
    "publish on the kill switch": lambda client: client.publish(keys.KILL_SWITCH, "{}"),
    "read the limits": lambda client: client.hgetall(keys.LIMITS),
    "change the limits": lambda client: client.hset(keys.LIMITS, "MaxStakePerOrder", "1000000"),
    "set the kill switch": lambda client: client.set(keys.TRADING_ENABLED, "true"),
    "read the kill switch": lambda client: client.get(keys.TRADING_ENABLED),
    "read the session": lambda client: client.get(keys.session("live")),
    "write an order": lambda client: client.set(keys.order("x"), "{}"),
    "write the feed": lambda client: client.xadd(keys.TRADES, {"type": "fill"}),
    "read the durable door": lambda client: client.xrange(keys.SIGNALS),
    "take from the durable door": lambda client: client.xreadgroup(keys.SIGNALS_GROUP, "me", {keys.SIGNALS: ">"}),
    "empty the durable door": lambda client: client.xtrim(keys.SIGNALS, 0),
    "acknowledge for the bridges": lambda client: client.xack(keys.SIGNALS, keys.SIGNALS_GROUP, "1-1"),
    "move the group": lambda client: client.xgroup_setid(keys.SIGNALS, keys.SIGNALS_GROUP, "$"),
    "hide misuse": lambda client: client.hset(keys.SIGNALS_FACTS, "removed", "0"),
    "list keys": lambda client: client.keys("*"),
    "scan keys": lambda client: client.scan(),
    "flush": lambda client: client.flushall(),
    "flush a db": lambda client: client.flushdb(),
    "listen to signals": lambda client: client.execute_command("SUBSCRIBE", keys.STRATEGY_SIGNALS),
    "listen to everything": lambda client: client.execute_command("PSUBSCRIBE", "*"),
    "who listens": lambda client: client.pubsub_channels(),
    "run a script": lambda client: client.eval("return redis.call('GET', 'x')", 0),
    "run a function": lambda client: client.execute_command("FUNCTION", "LIST"),
    "configure": lambda client: client.config_set("requirepass", ""),
    "read the configuration": lambda client: client.config_get("*"),
    "read the rules": lambda client: client.acl_list(),
    "make a user": lambda client: client.execute_command("ACL", "SETUSER", "me", "on", "nopass", "+@all"),
    "wipe the traces": lambda client: client.acl_log_reset(),
    "watch the others": lambda client: client.execute_command("MONITOR"),
    "kill connections": lambda client: client.client_kill_filter(_type="normal"),
    "stop the server": lambda client: client.execute_command("SHUTDOWN", "NOSAVE"),
    "copy the data": lambda client: client.execute_command("REPLICAOF", "127.0.0.1", "1"),
    "stall the server": lambda client: client.execute_command("CLIENT", "PAUSE", "5000"),
}
# user -> what it must not do, beside a publisher's attempts that nobody but the worker may do
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "bridge": ("read the session", "write an order", "change the limits", "set the kill switch", "flush", "configure",
               "shut the workers down", "publish on the kill switch", "make a user", "list keys", "take a task"),
    "beat": ("read the session", "write an order", "change the limits", "set the kill switch", "flush", "configure",
             "shut the workers down", "push a task", "read the limits", "listen to signals", "run a script"),
    "flower": ("read the session", "write an order", "change the limits", "set the kill switch", "flush", "configure",
               "push a task", "read the limits", "publish a trade", "listen to signals", "take a task"),
    "notify": ("read the session", "write an order", "change the limits", "set the kill switch", "flush", "configure",
               "shut the workers down", "publish on the kill switch", "make a user", "list keys", "take a task",
               "push a task", "publish a trade", "write the feed", "listen to signals"),
    "operator": ("read the session", "write an order", "write the feed", "flush", "configure", "push a task",
                 "shut the workers down", "run a script", "make a user", "read the rules", "listen to signals"),
    "worker": ("flush", "flush a db", "configure", "make a user", "stop the server", "list keys", "watch the others",
               "copy the data", "kill connections", "read the rules", "wipe the traces", "stall the server"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def placed_nothing(guarded: GuardedStack) -> Iterator[None]:
    """Hold that an attack placed nothing and that the next honest signal trades."""
    before = guarded.sandbox.orders()
    yield
    assert len(guarded.sandbox.orders()) == len(before)
    guarded.trade(f"honest-{len(before)}")


def _is_denied(guarded: GuardedStack, user: str, attempt: Attack) -> bool:
    try:
        with guarded.redis.client(user) as client:
            attempt(client)
    except NoPermissionError:
        return True
    return False


def _log_of(guarded: GuardedStack) -> int:
    return sum(entry["count"] for entry in guarded.redis.denied())


def _counts_refusals(guarded: GuardedStack) -> bool:
    """Tell whether this server counts what it refuses; `executor check` warns of one that does not, by its version."""
    with guarded.redis.client("operator") as client:
        major, minor, *_ = client.info("server")["redis_version"].split(".")
    return (int(major), int(minor)) >= (7, 2)


def test_a_publisher_does_nothing_but_publish(guarded: GuardedStack) -> None:
    before, counted = _log_of(guarded), guarded.counted("redis_denied_total")
    for name, attempt in ATTEMPTS.items():
        assert _is_denied(guarded, "publisher", attempt), name
    if _counts_refusals(guarded):
        processes = 3 + len(guarded.ports.bridges)  # each, the order stream's too, shows what Redis counted
        assert guarded.counted("redis_denied_total") - counted == len(ATTEMPTS) * processes
    logged = guarded.redis.denied()
    assert _log_of(guarded) - before == len(ATTEMPTS)
    assert {entry["username"] for entry in logged[: len(ATTEMPTS)]} == {"publisher"}


@pytest.mark.parametrize("user", FORBIDDEN)
def test_each_user_is_kept_from_what_is_not_its_work(guarded: GuardedStack, user: str) -> None:
    before = _log_of(guarded)
    for name in FORBIDDEN[user]:
        assert _is_denied(guarded, user, ATTEMPTS[name]), name
    assert _log_of(guarded) - before == len(FORBIDDEN[user])


def test_a_stranger_does_nothing_at_all(guarded: GuardedStack) -> None:
    harmless: tuple[Attack, ...] = (
        lambda client: client.publish(keys.STRATEGY_SIGNALS, "{}"),
        lambda client: client.ping(),
    )
    for attempt in (*ATTEMPTS.values(), *harmless):
        with guarded.redis.client() as client, pytest.raises(redis.AuthenticationError):
            attempt(client)
    before = _log_of(guarded)
    for user, password in (("worker", "guess"), ("nobody", "guess"), ("default", "")):
        with (
            guarded.redis.client(user, password=password) as client,
            pytest.raises((redis.AuthenticationError, NoPermissionError)),
        ):
            client.ping()
    assert _log_of(guarded) - before >= 2


def _counted(guarded: GuardedStack, reason: str) -> float:
    return guarded.counted("rejected_tasks_total", reason=reason)


MADE_UP: tuple[tuple[list[Any], dict[str, Any], str], ...] = (
    (["no-such-signal", MARKET], {}, "UNKNOWN_SIGNAL"),
    (["0" * 28 + "-1", MARKET], {}, "UNKNOWN_SIGNAL"),  # as an order's id looks
    (["signal:*", "../../etc/passwd"], {}, "UNKNOWN_SIGNAL"),
    ([], {}, "ARGUMENTS"),
    (["one", MARKET, "three"], {}, "ARGUMENTS"),
    (["one", MARKET], {"force": True}, "ARGUMENTS"),
    ([{"$ne": None}, MARKET], {}, "ARGUMENTS"),
    ([7, 1.5], {}, "ARGUMENTS"),
    (["", MARKET], {}, "ARGUMENTS"),
    (["x" * 1_000_000, MARKET], {}, "ARGUMENTS"),
    (["x", "1" * 1_000_000], {}, "ARGUMENTS"),
)
_SAID = {"UNKNOWN_SIGNAL": "task_for_unknown_signal"}


def _said(guarded: GuardedStack, reason: str) -> list[str]:
    lines = guarded.supervisor.log("worker").read_text().splitlines()
    return [line for line in lines if _SAID.get(reason, f'"reason": "{reason}"') in line]


@pytest.mark.parametrize("task", ["validate_risk", "place_order", "log_trade"])
def test_a_made_up_task_is_refused(guarded: GuardedStack, task: str) -> None:
    queue = {"validate_risk": "signals", "place_order": "orders", "log_trade": "trades"}[task]
    counted = {reason: _counted(guarded, reason) for _, _, reason in MADE_UP}
    for args, kwargs, reason in MADE_UP:
        said = len(_said(guarded, reason))
        guarded.push(queue, f"executor.{task}", args, kwargs)
        guarded.wait(lambda said=said, reason=reason: len(_said(guarded, reason)) > said)  # type: ignore[misc]
        assert len(_said(guarded, reason)) == said + 1
        assert len(_said(guarded, reason)[-1]) < 1000
    for reason, before in counted.items():
        assert _counted(guarded, reason) == before + sum(reason == why for _, _, why in MADE_UP)


def test_a_message_sent_again_changes_nothing(guarded: GuardedStack) -> None:
    with guarded.redis.client("worker") as client:
        signal_id = next(key.partition(":")[2] for key in client.scan_iter("signal:honest-*"))
    counted = _counted(guarded, "REPEATED")
    for queue, task in (("signals", "validate_risk"), ("orders", "place_order")) * 2:
        guarded.push(queue, f"executor.{task}", [signal_id, MARKET])
    guarded.wait(lambda: _counted(guarded, "REPEATED") == counted + 4)
    assert {line["signal_id"] for line in guarded.logged("task_repeated")[-4:]} == {signal_id}


_GOOD: dict[str, Any] = json.loads(envelope("signals", "executor.validate_risk", ["x", MARKET], {}))


def _with(part: str, **changes: Any) -> str:
    return json.dumps({**_GOOD, part: {**_GOOD[part], **changes}})


UNREADABLE: dict[str, str | bytes] = {
    "no json": "garbage{",
    "binary": b"\xff\xfe\x00",
    "a list": "[]",
    "a text": '"x"',
    "a number": "1",
    "nan": "NaN",
    "deep": "[" * 50_000,
    "empty": "{}",
    "no headers": json.dumps({**_GOOD, "headers": None}),
    "no properties": json.dumps({**_GOOD, "properties": None}),
    "pickle": json.dumps({**_GOOD, "content-type": "application/x-python-serialize"}),
    "yaml": json.dumps({**_GOOD, "content-type": "application/x-yaml"}),
    "a body in no base64": json.dumps({**_GOOD, "body": "%%%"}),
    "a body of half a json": json.dumps({**_GOOD, "body": base64.b64encode(b'{"x":').decode()}),
    "a body of a number": json.dumps({**_GOOD, "body": base64.b64encode(b"7").decode()}),
    "a deep body": json.dumps({**_GOOD, "body": base64.b64encode(b"[" * 50_000).decode()}),
    "a task that is a list": _with("headers", task=[]),
    "no time": _with("headers", eta="never"),
    "no expiry": _with("headers", expires="x"),
    "no time limit": _with("headers", timelimit="x"),
    "no id": json.dumps({**_GOOD, "headers": {"task": "executor.validate_risk"}}),
    "no delivery tag": _with("properties", delivery_tag=None),
}


def test_whatever_is_pushed_on_a_queue_the_worker_lives(guarded: GuardedStack) -> None:
    pid = guarded.supervisor.pid("worker")
    counted = _counted(guarded, "UNREADABLE")
    for name, raw in UNREADABLE.items():
        said = len(_said(guarded, "UNREADABLE"))
        with guarded.redis.client("worker", db=1) as client:
            client.lpush("signals", raw)
        guarded.wait(lambda said=said: len(_said(guarded, "UNREADABLE")) == said + 1)  # type: ignore[misc]
        assert guarded.supervisor.pid("worker") == pid, name
    assert _counted(guarded, "UNREADABLE") == counted + len(UNREADABLE)
    with guarded.redis.client("worker", db=1) as client:
        guarded.wait(lambda: not client.hlen("unacked"))  # nothing of it comes back


def test_a_task_that_is_none_of_ours_is_refused(guarded: GuardedStack) -> None:
    counted = _counted(guarded, "UNKNOWN_TASK"), _counted(guarded, "ARGUMENTS")
    tasks: tuple[Any, ...] = ("os.system", "executor.tasks.place_order", 7)
    for task in tasks:
        guarded.push("orders", task, ["x", MARKET])
    guarded.push("maintenance", "executor.poll_orders", ["x"])
    wanted = counted[0] + len(tasks), counted[1] + 1
    guarded.wait(lambda: (_counted(guarded, "UNKNOWN_TASK"), _counted(guarded, "ARGUMENTS")) == wanted)
