"""The Celery application and what a worker does around its tasks: check that it may start, warm up, serve metrics.

`celery -A executor.app worker | beat | flower`.
"""

import contextlib
import gc
import multiprocessing
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import structlog
from celery import Celery, signals
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.worker.state import maybe_shutdown

from executor import broker, wiring
from executor.adapters.clock import monotonic
from executor.adapters.data_folder import storage_problem
from executor.engine import dead_mans_switch, limits, reconciliation
from executor.errors import ExecutorError, StoreUnavailable
from executor.observability import exporter
from executor.observability.logs import configure_logging

broker.install()
app: Final = Celery("executor")
app.config_from_object("celeryconfig")

log = structlog.get_logger(__name__)

HEARTBEAT_S: Final = 10
HEARTBEAT_TTL_S: Final = 30
# Threads wait for each other at most this long, not Python's 5 ms: an order's step is shorter than that.
_SWITCH_S: Final = 0.001
_BACKGROUND: Final = 10
_NO_MARKET: Final = "0.0"
_WARM_WITHIN_S: Final = 2.0  # Celery gives up a process that is not there after 4 s
_ASK_AGAIN_S: Final = 0.2  # for Redis, or for its next master: nothing is traded meanwhile
_SAY_AGAIN_S: Final = 5.0
_STORAGE_S: Final = 2.0  # how long orders may go on beside a full disk
# By default after 700 more objects, which is each second signal; a hundred of a signal's are left for it to find.
_COLLECT_AFTER: Final = (20_000, 20, 20)
_may_trade: Final = multiprocessing.get_context("fork").Event()  # Redis is ours: it may be read, and logged in for
_warm_children: Final = multiprocessing.get_context("fork").Semaphore(0)  # of a pool, as they become ready
_stopping = threading.Event()
_parents: Final[list[int]] = []  # the process that a pool's processes are forked from
_commands_of: Final[list[Path]] = []  # the data folder whose commands' counts are on this worker's page
_stop_serving: list[Callable[[], None]] = []


def _refuse(error: ExecutorError) -> NoReturn:
    sys.stderr.write(f"{error}\n")
    sys.stderr.flush()
    os._exit(1)  # Celery turns SystemExit in a signal handler into a log line


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _logging(**_: object) -> None:
    with contextlib.suppress(OSError):  # what needs it says so
        wiring.get_settings().data_dir.mkdir(parents=True, exist_ok=True)
    process = "beat" if "beat" in sys.argv else "flower" if "flower" in sys.argv else "worker"
    configure_logging(wiring.get_settings(), process=process)


@signals.celeryd_init.connect  # type: ignore[untyped-decorator]
def _prepare_process(options: Mapping[str, Any], **_: object) -> None:
    sys.setswitchinterval(_SWITCH_S)
    settings = wiring.get_settings()
    if "".join(options.get("queues") or ()) == app.conf.task_default_queue:
        os.nice(_BACKGROUND)  # a poll of a thousand orders must not take the processor from the one being placed
    else:
        _commands_of.append(settings.data_dir)
    _logging()  # before Celery asks for it: what is wrong with the data folder is to be read somewhere
    try:
        exporter.prepare(settings.data_dir, settings.metrics.port, settings.metrics.instance)
    except ExecutorError as error:
        _refuse(error)


def wait_for_redis(stopping: threading.Event, *, each_time: Callable[[], None] = lambda: None) -> None:
    """Claim the db for our identity, waiting while Redis is away; `each_time` may end that by raising.

    Raises:
        IdentityMismatch: it is another's.
    """
    settings = wiring.get_settings()
    said = float("-inf")
    while not stopping.is_set():
        each_time()
        try:
            wiring.claim(settings)
        except StoreUnavailable as error:
            if monotonic() - said > _SAY_AGAIN_S:
                said = monotonic()
                log.warning("waiting_for_redis", error=str(error))
            stopping.wait(_ASK_AGAIN_S)
        else:
            return


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _check(**_: object) -> None:
    _parents.append(os.getpid())
    settings = wiring.get_settings()
    try:
        wiring.refuse_without_account(settings)
        wiring.get_engine()  # loads half of our code: before a pool's processes are made, and the wait for Redis
        for port in sorted({settings.metrics.port, settings.metrics.whole_port} - {0}):
            whole = port == settings.metrics.whole_port
            stop = exporter.serve(
                settings.metrics.host,
                port,
                [wiring.collector(settings)],
                lambda: health("worker"),
                commands_of=settings.data_dir if whole else next(iter(_commands_of), None),
                whole=whole,
            )
            _stop_serving.append(stop)
    except ExecutorError as error:
        _refuse(error)
    broker.Consumer.prepare = staticmethod(_start_up)
    _collect_rarely()  # and a pool's processes share what is loaded so far; a look for garbage would copy it


def _collect_rarely() -> None:
    """Leave out of the looks for garbage what is here to stay, and look less often: each holds up an order."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _start_up() -> None:
    """Wait for Redis, claim it, apply the limits, log in, poll: what waited meanwhile is to meet reconciled orders.

    After the pool's processes are there, which takes a second, and Redis's next master may be as far away.
    """
    for problem, advice in wiring.certificate_concerns(wiring.get_settings()):
        log.warning("certificate_needs_care", problem=problem, hint=advice)
    try:
        while not _prepared():
            pass
    except ExecutorError as error:
        _refuse(error)
    threading.Thread(target=_watch_storage, args=(_report_storage(""),), daemon=True).start()


def _prepared() -> bool:
    """Do all that once; false where Redis went away meanwhile: who began to take messages would only end on it.

    Raises:
        IdentityMismatch: this worker must not start.
    """
    wait_for_redis(_stopping, each_time=maybe_shutdown)
    _may_trade.set()
    try:
        engine = wiring.get_engine()
        limits.apply_limits(engine, missing_only=False)
        engine.exchange.prepare()
        with engine.locks.single_flight("poll_orders") as ours:
            if ours:
                reconciliation.poll(engine)
    except StoreUnavailable as error:
        log.warning("redis_left", error=str(error))
        return _stopping.wait(_ASK_AGAIN_S)
    except ExecutorError as error:  # polls go on trying, and nothing is placed until one succeeds
        log.error("exchange_not_ready", error=str(error), hint="executor check")  # noqa: TRY400 - no traceback
    return True


def _report_storage(known: str) -> str:
    """Tell all processes whether this machine can write its data folder; logs a change. Returns what is wrong."""
    problem = storage_problem(wiring.get_settings().data_dir)
    if problem and not known:
        log.error("disk_full", problem=problem, hint="nothing new is placed until there is room")
    elif known and not problem:
        log.warning("disk_has_room", hint="orders go on")
    if problem or known:
        with contextlib.suppress(StoreUnavailable):
            process = f"worker:{socket.gethostname()}:{os.getpid()}"
            wiring.controls(wiring.get_settings()).report_storage(process, problem, HEARTBEAT_TTL_S)
    return problem


def _watch_storage(known: str) -> None:
    while not _stopping.wait(_STORAGE_S):
        known = _report_storage(known)


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _ready(sender: Any, **_: object) -> None:  # noqa: ANN401 - Celery's consumer
    children = sender.pool.num_processes if isinstance(sender.pool, PreforkPool) else 0
    if not children:  # it places orders itself
        threading.Thread(target=_keep_warm, args=(threading.Event(),), daemon=True).start()
    threading.Thread(target=_live, args=(children,), daemon=True).start()
    app.send_task("executor.refresh_account", expires=60)  # status and metrics need not wait a minute for it


def _live(children: int) -> None:
    """Say that this worker lives, from when its processes are ready on."""
    for _ in range(children):
        _warm_children.acquire(timeout=_WARM_WITHIN_S)
    keep_sending_heartbeats("worker", _stopping)


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _child_ready(**_: object) -> None:
    # Celery lets a child die with its parent, but not one whose parent was killed before the child could ask for that:
    # it would hold the metrics port, and the worker could not start again.
    if _parents and os.getppid() not in _parents:
        os._exit(1)
    warm = threading.Event()
    threading.Thread(target=_keep_warm, args=(warm,), daemon=True).start()
    warm.wait(_WARM_WITHIN_S)
    _collect_rarely()
    _warm_children.release()


def _keep_warm(warm: threading.Event) -> None:
    """Open what an order's steps need; keep a session and a connection to the exchange, however rare orders are."""
    if _parents:
        _may_trade.wait()
    with contextlib.suppress(ExecutorError, *app.connection_for_write().connection_errors):
        wiring.get_engine().store.view(_NO_MARKET)
        with app.producer_pool.acquire(block=True) as producer, producer.channel.conn_or_acquire() as client:
            client.ping()
    while True:
        with contextlib.suppress(ExecutorError):  # polls say what is wrong
            wiring.get_engine().exchange.prepare()
        warm.set()
        if _stopping.wait(HEARTBEAT_S):
            return


@signals.beat_init.connect  # type: ignore[untyped-decorator]
def _beat_lives(**_: object) -> None:
    threading.Thread(target=keep_sending_heartbeats, args=("beat", _stopping), daemon=True).start()


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def _stop(**_: object) -> None:
    _stopping.set()
    if "maintenance" in app.amqp.queues.consume_from:  # the worker that sends heartbeats to the exchange
        with contextlib.suppress(ExecutorError):
            dead_mans_switch.unregister(wiring.get_engine())
    for stop in _stop_serving:
        stop()


@contextlib.contextmanager
def serving(kind: str, port: int, stopping: threading.Event) -> Iterator[None]:
    """Serve a listening process's metrics and health (port 0: not) and say that it lives, once Redis is there.

    Raises:
        IdentityMismatch, PortInUse: it must not start.
    """
    settings = wiring.get_settings()
    wait_for_redis(stopping)
    stop_serving = None
    if port:
        stop_serving = exporter.serve(settings.metrics.host, port, [wiring.collector(settings)], lambda: health(kind))
    threading.Thread(target=keep_sending_heartbeats, args=(kind, stopping), daemon=True).start()
    _collect_rarely()
    yield
    if stop_serving is not None:
        stop_serving()


def keep_sending_heartbeats(kind: str, stopping: threading.Event) -> None:
    """Say every few seconds that this process lives, until it stops."""
    locks = wiring.locks(wiring.get_settings())
    name = f"{kind}:{socket.gethostname()}:{os.getpid()}"
    while not stopping.is_set():
        with contextlib.suppress(StoreUnavailable):
            locks.send_heartbeat(name, HEARTBEAT_TTL_S)
        stopping.wait(HEARTBEAT_S)


def health(kind: str) -> tuple[bool, dict[str, Any]]:
    """Answer `/health`: this process serves, Redis answers, orders are reconciled."""
    try:
        state = wiring.state(wiring.get_settings()).read()
    except StoreUnavailable as error:
        return False, {"status": "unhealthy", "process": kind, "redis": str(error)}
    body = {
        "status": "ok" if state.reconciled else "degraded",
        "process": kind,
        "redis": "ok",
        "reconciled": state.reconciled,
        "trading_enabled": state.trading_enabled,
        "circuit_breaker": "open" if state.breaker else "closed",
        "processes": list(state.processes),
    }
    return True, body
