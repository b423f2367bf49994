"""A chain's steps run one behind the other in one process: what goes on, what goes through its queue, what is told."""

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from celery import Celery, Task, chain
from celery.app.trace import build_tracer
from kombu.entity import Queue

from executor.continuing import ContinuedRequest, ContinuingTask, Outcome

NAMES = ("first", "second", "third", "fourth")


class Chain:
    """An app whose tasks note that they ran; `trouble` says what one of them does the next time."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.trouble: dict[str, Exception | str] = {}
        self.failed: list[str] = []
        self.foretold: dict[str, set[str]] = {}  # task -> of which it was said, while it ran, that they follow here
        self.ended: list[int] = []  # after how many steps a task was told that no further one follows here
        self.app = Celery("continuing", broker="memory://", set_as_current=False)
        self.app.conf.update(
            task_queues=[Queue(name) for name in NAMES],
            task_routes={name: {"queue": name} for name in NAMES},
            task_default_queue="first",
            task_ignore_result=True,
        )
        self.tasks = {name: self._task(name) for name in NAMES}
        for name, task in self.tasks.items():
            task.__trace__ = build_tracer(name, task, app=self.app)  # as a worker does

    def _task(self, name: str) -> Any:
        def run(task: Task, signal_id: str) -> str:
            self.ran.append(name)
            self.foretold[name] = {other for other, task in self.tasks.items() if task.follows()}
            match self.trouble.pop(name, None):
                case "again":
                    raise task.retry(countdown=1)
                case Exception() as error:
                    raise error
            return f"{name} of {signal_id}"

        def on_failure(_: Task, __: Exception, task_id: str, *___: object) -> None:
            self.failed.append(task_id)

        def steps_ended(_: Task) -> None:
            self.ended.append(len(self.ran))

        base = type("Noting", (ContinuingTask,), {"on_failure": on_failure, "steps_ended": steps_ended})
        return self.app.task(run, name=name, bind=True, base=base, max_retries=3, shared=False)

    def waiting(self, queue: str) -> list[dict[str, Any]]:
        with self.app.connection_for_read() as connection:
            channel = connection.default_channel
            found = []
            while (message := channel.basic_get(queue, no_ack=True)) is not None:
                found.append({"headers": message.headers, "body": json.loads(message.body)})
            return found

    def begin(self, steps: int = 3) -> Any:
        """Publish a chain, and run its first message as a pool's process does."""
        chain(*(self.tasks[name].si("s").set(task_id=f"{name}-s") for name in NAMES[:steps])).apply_async()
        (sent,) = self.waiting("first")
        return self.run(sent)

    def run(self, sent: dict[str, Any]) -> Any:
        args, kwargs, embed = sent["body"]
        request = {**sent["headers"], "hostname": "worker@here", "args": args, "kwargs": kwargs, "is_eager": False}
        task = self.tasks[str(sent["headers"]["task"])]
        return task.__trace__(sent["headers"]["id"], args, kwargs, {**request, **embed})


@pytest.fixture
def steps() -> Iterator[Chain]:
    made = Chain()
    yield made
    for name in NAMES:
        made.waiting(name)
    made.app.close()


def told(result: Any) -> list[tuple[str, str]]:
    return [(name, str(fields["uuid"])) for name, fields in result.retstr.events]


def ids(messages: Sequence[dict[str, Any]]) -> list[str]:
    return [message["headers"]["id"] for message in messages]


def test_the_steps_of_a_chain_follow_each_other_without_a_message(steps: Chain) -> None:
    result = steps.begin()
    assert steps.ran == ["first", "second", "third"]
    assert result.retstr == "'first of s'"
    assert steps.ended == [3]
    assert steps.foretold == {"first": {"second"}, "second": {"third"}, "third": set()}
    assert not any(map(steps.waiting, NAMES))
    kinds = ("task-received", "task-started", "task-succeeded")
    assert told(result) == [(kind, f"{name}-s") for name in ("second", "third") for kind in kinds]
    second = dict(result.retstr.events[2][1])
    assert (second["result"], second["runtime"] >= 0) == ("'second of s'", True)
    received = result.retstr.events[0][1]
    assert (received["name"], received["args"], received["parent_id"]) == ("second", "['s']", "first-s")


def test_a_step_whose_queue_this_worker_does_not_read_goes_through_it(steps: Chain) -> None:
    steps.app.amqp.queues.select(["first", "third"])
    steps.begin()
    assert steps.ran == ["first"]
    assert steps.ended == [1]
    assert steps.foretold == {"first": set()}
    (sent,) = steps.waiting("second")
    assert (sent["headers"]["id"], [step["task"] for step in sent["body"][2]["chain"]]) == ("second-s", ["third"])


def test_a_step_that_is_tried_again_waits_in_its_queue_with_the_rest_of_its_chain(steps: Chain) -> None:
    steps.trouble["second"] = "again"
    result = steps.begin()
    assert steps.ran == ["first", "second"]
    assert told(result)[-1] == ("task-retried", "second-s")
    (sent,) = steps.waiting("second")
    assert (sent["headers"]["id"], sent["headers"]["retries"]) == ("second-s", 1)
    assert sent["headers"]["eta"] is not None
    steps.run(sent)
    assert steps.ran == ["first", "second", "second", "third"]


def test_a_first_step_that_is_tried_again_runs_nothing_behind_it(steps: Chain) -> None:
    steps.trouble["first"] = "again"
    result = steps.begin()
    assert (steps.ran, result.info.state) == (["first"], "RETRY")
    assert ids(steps.waiting("first")) == ["first-s"]


def test_a_step_that_fails_is_told_and_kept_and_ends_the_chain(steps: Chain) -> None:
    steps.trouble["second"] = ValueError("broken")
    result = steps.begin()
    assert (steps.ran, steps.failed) == (["first", "second"], ["second-s"])
    name, fields = result.retstr.events[-1]
    assert (name, fields["exception"]) == ("task-failed", "ValueError('broken')")
    assert "broken" in fields["traceback"]
    assert result.info is None, "the first step has done its part"
    assert not any(map(steps.waiting, NAMES))


def test_a_chain_that_goes_on_and_on_is_cut(steps: Chain) -> None:
    steps.begin(4)
    assert steps.ran == ["first", "second", "third"]
    assert steps.foretold["third"] == set()
    assert ids(steps.waiting("fourth")) == ["fourth-s"]


def test_what_a_step_publishes_beside_its_chain_is_published(steps: Chain) -> None:
    steps.tasks["third"].apply_async(("s",), task_id="outside")
    assert ids(steps.waiting("third")) == ["outside"]
    steps.trouble["first"] = ValueError("no")
    steps.begin()
    assert steps.ran == ["first"]


def test_events_of_further_steps_are_sent_by_the_process_that_sends_events() -> None:
    class Eventer:
        enabled = True

        def __init__(self) -> None:
            self.sent: list[tuple[str, dict[str, Any]]] = []

        def send(self, kind: str, **fields: Any) -> None:
            self.sent.append((kind, fields))

    request = ContinuedRequest.__new__(ContinuedRequest)
    request._eventer = eventer = Eventer()
    request._task = type("Sending", (), {"send_events": True})()
    request.id = "first-s"
    outcome = copy.copy(Outcome("done", [("task-received", {"uuid": "second-s"})]))  # as between processes
    request.send_event("task-succeeded", result=outcome, runtime=1)
    assert eventer.sent == [
        ("task-succeeded", {"uuid": "first-s", "result": "done", "runtime": 1}),
        ("task-received", {"uuid": "second-s"}),
    ]
    assert type(eventer.sent[0][1]["result"]) is str
