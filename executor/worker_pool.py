"""Celery's pool of processes, which hands a task to a free process at once, and to the one that was free last.

Celery puts a task into a buffer, watches in its loop's next turn which of all pipes can be written, and takes them off
its watch again in each turn after that: two system calls a process. Owns which process gets a task that comes while one
is free; what waits, and every failure, is Celery's.
"""

from collections.abc import Callable
from typing import Any

from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool as PreforkPool


class WarmPool(AsynPool):  # type: ignore[misc]
    """Hands tasks over without waiting for the loop."""

    _quick_put: Callable[[Any], None]
    on_poll_start: Callable[[], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Celery's
        self._last_free: dict[int, None] = {}  # pipes to processes, by when they became free
        super().__init__(*args, **kwargs)

    def on_job_ready(self, job: Any, i: Any, obj: Any, inqW_fd: int) -> None:  # noqa: ANN401, N803 - Celery's
        """Remember who has just become free."""
        super().on_job_ready(job, i, obj, inqW_fd)
        self._last_free.pop(inqW_fd, None)
        self._last_free[inqW_fd] = None

    def _create_write_handlers(self, hub: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Celery's
        super()._create_write_handlers(hub, **kwargs)
        put_in_buffer, write_to, look_at_buffer = self._quick_put, hub.consolidate_callback, self.on_poll_start
        looked = True

        def put(task: Any) -> None:  # noqa: ANN401 - Celery's
            put_in_buffer(task)
            pipe = self._warmest()
            if pipe is not None:
                write_to([pipe])

        def look() -> None:
            # With nothing in the buffer Celery takes every pipe off its watch, in each turn: once is enough.
            nonlocal looked
            waiting = bool(self.outbound_buffer)
            if waiting or looked:
                look_at_buffer()
            looked = waiting

        self._quick_put = put
        self.on_poll_start = look

    def _warmest(self) -> int | None:
        """Return the pipe to the free process that worked last; None where all are busy."""
        free = self._all_inqueues - self._busy_workers - self._active_writes
        if not free:
            return None
        return next((pipe for pipe in reversed(self._last_free) if pipe in free), None) or next(iter(free))


class TaskPool(PreforkPool):  # type: ignore[misc]
    """Celery's prefork pool, of such processes."""

    Pool = WarmPool
