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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from executor.errors import ExecutorError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from prometheus_client import Metric
    from prometheus_client.registry import Collector

DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"  # the library reads it when it is first imported
_FOLDED: Final = "0"  # no process has this id
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
        os.environ[DIRECTORY] = str(_claim(root, name) if name else root / f"{socket.gethostname()}-{port}")
    folder = Path(os.environ[DIRECTORY])
    folder.mkdir(parents=True, exist_ok=True)
    from prometheus_client import values  # noqa: PLC0415 - as above

    # Celery's command line imports Flower's plug-in, and with it the library, before any code of ours runs.
    values.ValueClass = values.get_value_class()
    fold(folder)


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


def fold(folder: Path) -> None:
    """Add the counts of processes that are gone into one file per kind."""
    from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415 - reads the environment when imported

    for kind in ("counter", "histogram"):
        dead = [path for path in folder.glob(f"{kind}_*.db") if not _alive(path.stem.rpartition("_")[2])]
        if len(dead) < 2:  # noqa: PLR2004 - one file is folded already
            continue
        sums: dict[str, float] = {}
        for path in dead:
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):
                sums[key] = sums.get(key, 0.0) + value
        target = folder / f"{kind}_{_FOLDED}.db"
        fresh = folder / f"{kind}.folding"
        fresh.unlink(missing_ok=True)
        merged = MmapedDict(str(fresh))
        for key, value in sums.items():
            merged.write_value(key, value, 0.0)
        merged.close()
        for path in dead:
            path.unlink(missing_ok=True)
        fresh.rename(target)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return pid != _FOLDED


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a scrape every few seconds is no event."""


class _Named:
    """Counts that say whose they are."""

    def __init__(self, counts: "Collector", instance: str) -> None:
        self._counts = counts
        self._instance = instance

    def collect(self) -> Iterator["Metric"]:
        """Yield them with the label `instance`."""
        for metric in self._counts.collect():
            metric.samples = [
                sample._replace(labels={**sample.labels, "instance": self._instance}) for sample in metric.samples
            ]
            yield metric


def serve(host: str, port: int, collectors: Iterable[Any], health: Health) -> Callable[[], None]:
    """Serve `/metrics` and `/health` from a thread; returns what stops it.

    Raises:
        PortInUse: somebody else has the port.
    """
    from prometheus_client import CollectorRegistry, multiprocess  # noqa: PLC0415 - see `prepare`
    from prometheus_client.exposition import make_wsgi_app  # noqa: PLC0415

    registry = CollectorRegistry()
    counts = multiprocess.MultiProcessCollector(None)
    folder = Path(os.environ[DIRECTORY])
    registry.register(_Named(counts, folder.name) if folder in _held else counts)
    for collector in collectors:
        registry.register(collector)
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
        server = _Server((host, port), _Quiet)
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
    good, body = health()
    start_response("200 OK" if good else "503 Service Unavailable", [("Content-Type", "application/json")])
    return iter([json.dumps(body).encode() + b"\n"])
