"""Notifications as they arrive: a real webhook and a real mail server, a real Redis, the real process, killed too."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from support.cli_rig import Console, console
from support.fakes import FrozenClock
from support.process_rig import wait
from support.receivers import HttpReceiver, SmtpReceiver, http_receiver, smtp_receiver

from executor import keys
from executor.adapters.notify import AddressUnusable, AppriseNotifier
from executor.adapters.redis.notice_store import RedisNotices
from executor.adapters.redis.notices import add_notice
from executor.devstack.redis_server import PrivateRedis
from executor.domain.notice import Kind, Level, Notice
from executor.engine.notifying import Notifying
from executor.errors import StoreUnavailable
from executor.notify import RedisWatch
from executor.ports import NotDelivered, Notifier

MINUTE, HOUR = 60_000, 3_600_000


class Later(RedisNotices):
    """The store, at a time that a test says: Redis's own and so much."""

    shift = 0

    def now(self) -> int:
        return super().now() + self.shift


class Counted:
    def __init__(self) -> None:
        self.sent: list[tuple[str, bool]] = []
        self.dropped = 0

    def notification_sent(self, service: str, *, delivered: bool) -> None:
        self.sent.append((service, delivered))

    def notices_dropped(self, service: str, count: int) -> None:
        del service
        self.dropped += count


class Rig:
    """The notifier of one installation, driven by hand."""

    def __init__(self, client: "redis.Redis", *notifiers: Notifier, level: Level = Level.WARNING) -> None:
        self.client = client
        self.store = Later(client, client, "paper")
        self.counted = Counted()
        self._notifiers, self._level = notifiers, level
        self.restart()

    def restart(self) -> None:
        self.notifying = Notifying(
            self.store, self._notifiers, self.counted, least=self._level, sender="[test]",
            redact=lambda text: text.replace("hunter2", "***"),
        )  # fmt: skip
        self.notifying.load()

    def put(self, *notices: Notice) -> None:
        pipe = self.client.pipeline()
        for notice in notices:
            add_notice(pipe, notice, "paper")
        pipe.execute()

    def step(self, ms: int = 0) -> None:
        self.store.shift += ms
        self.notifying.collect(0)
        for name in self.notifying.addresses:
            self.notifying.send_due(name)

    def wait(self, ms: int, step: int = 1000) -> None:
        for _ in range(ms // step):
            self.step(step)


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def smtp() -> Iterator[SmtpReceiver]:
    with smtp_receiver() as receiver:
        yield receiver


def failed_task(text: str, level: Level = Level.WARNING) -> Notice:
    return Notice(kind=Kind.FAILED_TASK, level=level, text=text, at=int(time.time() * 1000))


def critical(name: str, *, over: bool = False) -> Notice:
    at = int(time.time() * 1000)
    return Notice(kind=Kind.ALERT, level=Level.CRITICAL, text="why", at=at, key=f"alert:{name}", over=over)


def test_five_hundred_alerts_are_one_message_to_each_address(
    redis_client: "redis.Redis", http: HttpReceiver, smtp: SmtpReceiver
) -> None:
    rig = Rig(redis_client, AppriseNotifier(http.url), AppriseNotifier(smtp.url))
    rig.put(*(failed_task(f"task {number}, password hunter2") for number in range(500)), critical("bridge_dead"))
    rig.wait(3 * MINUTE, step=5000)
    (body,) = http.took
    assert body["title"] == "[test]: 1 critical, 301 warnings"
    assert body["type"] == "failure"
    assert body["message"].splitlines()[0].endswith("CRITICAL bridge dead: why")
    assert "hunter2" not in http.text + smtp.text
    (mail,) = smtp.took
    assert "1 critical, 301 warnings" in str(mail["Subject"])
    assert "task 0, password ***" in smtp.text
    assert rig.counted.sent == [("json", True), ("mailto", True)]


def test_an_hour_away_loses_none_that_still_matters_and_holds_no_other_up(
    redis_client: "redis.Redis", http: HttpReceiver, smtp: SmtpReceiver
) -> None:
    rig = Rig(redis_client, AppriseNotifier(http.url), AppriseNotifier(smtp.url))
    http.away = True
    for minute in range(12):
        rig.put(failed_task(f"signal {minute}"), *([critical("unknown_orders")] if minute == 6 else []))
        rig.wait(5 * MINUTE, step=30_000)
        if minute == 8:
            rig.restart()
    assert http.took == []
    assert "unknown orders" in smtp.text, "the other address is told meanwhile"
    shown = json.loads(next(text for text in redis_client.hvals(keys.NOTIFY_ADDRESSES) if "json" in text))
    assert (shown["waiting"], shown["critical"], shown["failures"] >= 5) == (13, 1, True)
    assert "503" in shown["error"]
    assert 5 <= http.tried < 25, "it is asked less and less often"
    http.away = False
    rig.wait(HOUR, step=30_000)
    assert all(f"signal {minute}" in http.text for minute in range(12))
    assert http.text.count("unknown orders") == 1
    assert len(http.took) == 1
    assert json.loads(redis_client.hvals(keys.NOTIFY_ADDRESSES)[0])["failures"] == 0


def test_a_restart_loses_nothing_and_repeats_nothing_that_was_sent(
    redis_client: "redis.Redis", http: HttpReceiver
) -> None:
    rig = Rig(redis_client, AppriseNotifier(http.url))
    rig.put(failed_task("before"))
    rig.wait(MINUTE)
    rig.restart()
    rig.put(failed_task("while it waited"))
    rig.step()
    rig.restart()
    rig.wait(2 * MINUTE)
    assert [body["message"].splitlines()[0].rpartition(": ")[2] for body in http.took] == ["before", "while it waited"]


def test_what_redis_did_not_hear_of_is_not_sent_again_by_the_same_process(
    redis_client: "redis.Redis", http: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(redis_client, AppriseNotifier(http.url))
    rig.put(critical("bridge_dead"))
    rig.step()
    rig.store.shift += 2000
    save = rig.store.save
    calls: list[int] = []

    def once_away(*args: Any, **more: Any) -> None:
        calls.append(1)
        if len(calls) == 2:  # the one after the message
            raise StoreUnavailable("Redis: away")
        save(*args, **more)

    monkeypatch.setattr(rig.store, "save", once_away)
    with pytest.raises(StoreUnavailable):
        rig.notifying.send_due(rig.notifying.addresses[0])
    rig.wait(10 * MINUTE, step=5000)
    assert len(http.took) == 1
    monkeypatch.undo()
    rig.restart()
    rig.wait(10 * MINUTE, step=5000)
    assert len(http.took) == 1, "and it was written after all"


def test_below_the_level_nobody_is_told_but_of_the_day(redis_client: "redis.Redis", http: HttpReceiver) -> None:
    rig = Rig(redis_client, AppriseNotifier(http.url), level=Level.CRITICAL)
    now = int(time.time() * 1000)
    rig.put(failed_task("a warning"), Notice(kind=Kind.SUMMARY, level=Level.INFO, text="net +1.00", at=now))
    rig.wait(2 * MINUTE)
    assert "a warning" not in http.text
    assert "net +1.00" in http.text


def test_an_address_that_is_no_more_is_forgotten(redis_client: "redis.Redis", http: HttpReceiver) -> None:
    http.away = True
    rig = Rig(redis_client, AppriseNotifier(http.url), AppriseNotifier(http.url + "/2"))
    rig.put(critical("bridge_dead"))
    rig.wait(10_000)
    assert redis_client.hlen(keys.NOTIFY_ADDRESSES) == 2
    Rig(redis_client, AppriseNotifier(http.url))
    assert redis_client.hlen(keys.NOTIFY_ADDRESSES) == redis_client.hlen(keys.NOTIFY_MAILBOXES) == 1


def test_an_address_shows_no_secret_and_says_why_it_failed(http: HttpReceiver) -> None:
    notifier = AppriseNotifier(f"json://user:hunter22@127.0.0.1:{http.port}/T0KEN0123456789abcdef")
    assert "hunter22" not in str(notifier.address)
    assert "T0KEN" not in str(notifier.address)
    http.away = True
    with pytest.raises(NotDelivered, match="503"):
        notifier.send("t", "b", Level.INFO)
    with pytest.raises(AddressUnusable, match="number 1 is no address"):
        AppriseNotifier("nonsense://hunter2")


def test_a_message_that_is_only_sent_elsewhere_has_not_arrived(http: HttpReceiver) -> None:
    http.moved = True
    with pytest.raises(NotDelivered):
        AppriseNotifier(http.url).send("a title", "a body", Level.CRITICAL)
    assert (http.took, http.tried) == ([], 1)
    http.moved = False
    AppriseNotifier(http.url).send("a title", "a body", Level.CRITICAL)
    assert len(http.took) == 1


def test_a_redis_that_is_away_is_told_of_without_redis(http: HttpReceiver) -> None:
    clock = FrozenClock()
    watch = RedisWatch([AppriseNotifier(http.url)], "[test]", clock)
    error = StoreUnavailable("Redis: refused")
    for _ in range(20):
        watch.failed(error)
        clock.tick(1)
    watch.answered()
    assert http.took == [], "a restart of Redis is no news"
    for _ in range(60):
        watch.failed(error)
        clock.tick(1)
    wait(lambda: len(http.took) == 1)
    watch.answered()
    wait(lambda: len(http.took) == 2)
    assert "CRITICAL Redis does not answer" in http.took[0]["message"]
    assert "answers again" in http.took[1]["message"]


# --- the process itself -----------------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis", http: HttpReceiver) -> Console:
    del redis_client
    environ = {"EXECUTOR_NOTIFY__URLS": http.url, "EXECUTOR_METRICS__NOTIFY_PORT": "0"}
    return console(tmp_path, private_redis, environ)


def test_killed_between_sending_and_knowing_it_repeats_one_message_and_says_so(
    program: Console, redis_client: "redis.Redis", http: HttpReceiver
) -> None:
    http.hold = threading.Event()
    running = program.start("notify")
    try:
        wait(lambda: redis_client.hlen(keys.NOTIFY_ADDRESSES) == 1)
        pipe = redis_client.pipeline()
        add_notice(pipe, critical("unknown_orders"), "paper")
        pipe.execute()
        wait(lambda: "unknown orders" in http.text)
    finally:
        running.kill()
        running.communicate()
    first = len(http.took)
    http.hold.set()
    http.hold = None
    redis_client.delete(keys.task_lock("notify"))  # a killed one's lapses in 15 s
    running = program.start("notify")
    try:
        wait(lambda: len(http.took) > first)
        repeat = http.took[first]["message"]
        assert repeat.startswith("(perhaps told already: ")
        name = http.took[0]["message"].splitlines()[-1]
        assert repeat.splitlines()[-1] == name
        wait(lambda: json.loads(redis_client.hvals(keys.NOTIFY_ADDRESSES)[0])["waiting"] == 0)
        assert sum("unknown orders" in body["message"] for body in http.took) == 2
    finally:
        running.terminate()
        _, errors = running.communicate(timeout=30)
    assert running.returncode == 0, errors
    assert http.url not in errors


@pytest.mark.slow
def test_a_dead_service_costs_a_line_and_a_row(
    program: Console, redis_client: "redis.Redis", http: HttpReceiver
) -> None:
    http.away = True
    running = program.start("notify")
    try:
        wait(lambda: redis_client.hlen(keys.NOTIFY_ADDRESSES) == 1)
        pipe = redis_client.pipeline()
        add_notice(pipe, critical("bridge_dead"), "paper")
        pipe.execute()
        wait(lambda: json.loads(redis_client.hvals(keys.NOTIFY_ADDRESSES)[0])["failures"])
        said = program.run("status").out
        assert "json://127.0.0.1" in said
        assert "503" in said
        assert "/hook" not in said
        row = next(row for row in program.run("check", "--json").json if row["name"] == "notifications")
        assert (row["result"], "503" in row["detail"]) == ("fail", True)
    finally:
        running.terminate()
        _, errors = running.communicate(timeout=30)
    assert errors.count("notification_failed") == http.tried


def test_the_test_says_which_address_took_it(program: Console, http: HttpReceiver, smtp: SmtpReceiver) -> None:
    both = program.but(EXECUTOR_NOTIFY__URLS=f"{http.url}, {smtp.url}")
    good = both.run("notify", "test")
    assert (good.code, good.out.count("took it")) == (0, 2)
    assert "number 2, " in good.out
    assert ": a test" in http.took[0]["title"]
    assert len(smtp.took) == 1
    http.away = True
    bad = both.run("notify", "test")
    assert (bad.code, "did not take it" in bad.out, "1 of 2" in bad.err) == (1, True, True)
    none = program.but(EXECUTOR_NOTIFY__URLS="").run("notify", "test")
    assert (none.code, "EXECUTOR_NOTIFY__URLS" in none.err) == (1, True)
    wrong = program.but(EXECUTOR_NOTIFY__URLS="nonsense://hunter2").run("notify", "test")
    assert (wrong.code, "number 1 is no address" in wrong.err, "hunter2" in wrong.err) == (1, True, False)
    no_url = program.but(EXECUTOR_NOTIFY__URLS="hunter2").run("notify")
    assert (no_url.code, "EXECUTOR_NOTIFY__URLS" in no_url.err, "hunter2" in no_url.err) == (1, True, False)
