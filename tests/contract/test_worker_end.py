"""A worker's process whose last result nobody reads any more does not hold up the worker's end for half a minute."""

import time

from billiard.context import ForkContext
from billiard.pool import Worker

from executor import broker


def test_a_process_that_is_not_heard_ends_soon() -> None:
    broker.install()
    context = ForkContext()
    queue = context.SimpleQueue()
    worker = Worker(queue, queue, on_ready_counter=context.Value("i"))
    began = time.monotonic()
    assert not worker._ensure_messages_consumed(completed=1)
    assert time.monotonic() - began < 10, "billiard's own is 30 s"
