"""`/metrics` and `/health` over HTTP, for workers and bridges.

Owns the directory of Prometheus' multiprocess files: one per instance, kept across restarts so that counters go on
where they were, and folded at each start so that dead processes do not pile up.

An instance is a host and a port; or, where processes come and go under changing hosts (scaled containers), the lowest
number of a name that nobody counts under. Invariant: one process counts in a directory at a time. What such an instance
counted carries its name as the label `instance`: its address may have been another's before.
"""

import fcntl
import json
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog

from executor.errors import ExecutorError
from executor.observability.command_counts import collect_finished
from executor.observability.count_file import CountFile, sound_files
from executor.observability.folding import fold

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from prometheus_client import Metric
    from prometheus_client.registry import Collector

log = structlog.get_logger(__name__)

DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"  # the library reads it when it is first imported
_FOLD_LOOKS: Final = 50
_FOLD_PAUSE_S: Final = 0.02  # a fold takes some ms; one that was killed is finished at its instance's next start
_MOST: Final = 100  # instances of a name on one data folder: more is no scale but a lock that does not work

_held: Final[dict[Path, int]] = {}  # the lock of the directory that is ours, as long as this process lives

Health = Callable[[], tuple[bool, dict[str, Any]]]


class PortInUse(ExecutorError):
    """The metrics port is taken; two processes cannot share it."""


class NoInstanceFree(ExecutorError):
    """All numbers of a name are taken."""


def prepare(data_dir: Path, port: int, name: str = "") -> None:
    """Say where this instance's processes count; before anything imports `executor.observability.counters`.

    `name` is what several share, each with a number; "" counts under the host's name and the port.

    Raises:
        NoInstanceFree: too many share the name.
    """
    if DIRECTORY not in os.environ:
        root = data_dir / "metrics"
        own = root / f"{socket.gethostname()}-{port}"
        try:
            os.environ[DIRECTORY] = str(_claim(root, name) if name else own)
        except OSError as error:  # a full disk: it counts in memory, until it may write
            log.error("counts_not_written", folder=str(root), error=str(error), hint="is the disk full?")  # noqa: TRY400
            os.environ[DIRECTORY] = f"{own}-{os.getpid()}"
    from prometheus_client import values  # noqa: PLC0415 - as above

    # A name that the library keeps to itself: tests/unit/observability/test_count_file.py holds it to it.
    values.MmapedDict = CountFile  # type: ignore[assignment,attr-defined]
    # Celery's command line imports Flower's plug-in, and with it the library, before any code of ours runs.
    values.ValueClass = values.get_value_class()
    fold(Path(os.environ[DIRECTORY]))


def _claim(root: Path, name: str) -> Path:
    """Return the first directory of a name in which nobody counts; ours until this process ends, however it does."""
    for number in range(1, _MOST + 1):
        folder = root / f"{name}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            _held[folder] = lock
            return folder
    raise NoInstanceFree(f"{_MOST} processes count as {name} in {root}")


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True


class _Server6(_Server):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        """Listen on :: for both families, as the name says, whatever the system's own default is."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a scrape every few seconds is no event."""


class _Counts:
    """What all processes of this instance have counted; a damaged file costs its own counts, and no page."""

    def __init__(self, folder: Path, instance: str, data_dir: Path | None, *, whole: bool = False) -> None:
        self._folder = folder
        self._whole = whole  # what all instances on the data folder have counted
        self._instance = instance  # "": they do not say whose they are
        self._data_dir = data_dir  # whose commands' counts are ours, too

    def collect(self) -> Iterator["Metric"]:
        """Yield them, with the label `instance` where there is a name for it."""
        from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415 - see `prepare`

        if self._data_dir is not None:
            collect_finished(self._data_dir, self._folder)
        files = _all_files(self._folder.parent) if self._whole else sound_files(self._folder)
        for metric in MultiProcessCollector.merge([str(path) for path in files]):
            if self._instance:
                metric.samples = [
                    sample._replace(labels={**sample.labels, "instance": self._instance}) for sample in metric.samples
                ]
            yield metric


def _all_files(root: Path) -> list[Path]:
    """Return the files of every instance, none of which is being folded: its counts would be missing for a moment."""
    for _ in range(_FOLD_LOOKS):
        files = [path for folder in sorted(root.iterdir()) if folder.is_dir() for path in sound_files(folder)]
        if not any(root.glob("*/*.folding")):
            break
        time.sleep(_FOLD_PAUSE_S)
    return files


class _Bounded:
    """A collector whose failure costs what it has not yielded yet, and never the page."""

    def __init__(self, collector: "Collector") -> None:
        self._collector = collector
        self._failed = False

    def describe(self) -> list["Metric"]:
        """Describe nothing: registering must not read anything."""
        return []

    def collect(self) -> Iterator["Metric"]:
        """Yield what there is."""
        try:
            yield from self._collector.collect()
        except Exception:
            if not self._failed:  # once, not at each scrape
                log.exception("metrics_not_collected", collector=type(self._collector).__name__)
            self._failed = True
        else:
            self._failed = False


def serve(
    host: str,
    port: int,
    collectors: Iterable[Any],
    health: Health,
    *,
    commands_of: Path | None = None,
    whole: bool = False,
) -> Callable[[], None]:
    """Serve `/metrics` and `/health` from a thread; returns what stops it.

    `commands_of` is the data folder whose commands' counts are taken over; `whole`: the page has what every instance on
    the data folder counted, for whoever reads no other page.

    Raises:
        PortInUse: somebody else has the port.
    """
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - see `prepare`
    from prometheus_client.exposition import make_wsgi_app  # noqa: PLC0415

    registry = CollectorRegistry()
    folder = Path(os.environ[DIRECTORY])
    counts = _Counts(folder, folder.name if folder in _held else "", commands_of, whole=whole)
    for collector in (counts, *collectors):
        registry.register(_Bounded(collector))
    metrics = make_wsgi_app(registry)

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            page: Iterable[bytes] = metrics(environ, start_response)
            return page
        if path == "/health":
            return _healthy(health, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/metrics or /health\n"]

    try:
        server = (_Server6 if ":" in host else _Server)((host, port), _Quiet)
    except OSError as error:
        raise PortInUse(f"port {port} on {host} cannot be used for metrics: {error.strerror}") from None
    server.set_app(app)
    # Looks ten times a second whether it is to stop: a process must not be held up by its metrics.
    threading.Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop


def _healthy(health: Health, start_response: "StartResponse") -> Iterator[bytes]:
    try:
        good, body = health()
    except Exception as error:  # whatever is in Redis: who asks is to get an answer
        log.exception("health_not_known")
        good, body = False, {"status": "unhealthy", "error": type(error).__name__}
    start_response("200 OK" if good else "503 Service Unavailable", [("Content-Type", "application/json")])
    return iter([json.dumps(body).encode() + b"\n"])
