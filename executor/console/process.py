"""The process: `executor console`. Serves until SIGTERM or Ctrl-C.

Invariants: it starts without Redis and says so on its pages; an open stream does not keep it from stopping.
"""

import sys
import threading
from collections.abc import Callable
from typing import Final

import structlog
import uvicorn

from executor import wiring
from executor.app import app, send_heartbeat
from executor.console import counts
from executor.console.app import guarded, make_app, make_console
from executor.console.context import Console
from executor.errors import StoreUnavailable
from executor.observability import exporter
from executor.settings.load import Settings

log = structlog.get_logger(__name__)

# Who waits for the answer waits for this; what cannot be queued quickly is left to the sweep, which has the record.
_PUBLISH_POLICY: Final = {"max_retries": 2, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.2}
_STOP_S: Final = 1  # uvicorn would wait for streams for ever


def address(settings: Settings) -> str:
    """Return where a browser finds it."""
    given = settings.console
    host = "localhost" if given.host in {"0.0.0.0", "::"} else given.host
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if given.tls_certificate else 'http'}://{name}:{given.port}"


def main() -> int:
    """Run the console.

    Raises:
        UsersFileError, PortInUse: it must not start.
    """
    settings = wiring.settings()
    console = make_console(settings)
    counts.count_from_zero()
    app.conf.task_publish_retry_policy = _PUBLISH_POLICY
    stop_serving = _serve_metrics(settings)
    served = guarded(make_app(console), console)
    given = settings.console
    config = uvicorn.Config(
        served,
        host=given.host,
        port=given.port,
        log_config=None,
        access_log=False,  # a one-time link would be in it
        server_header=False,
        timeout_graceful_shutdown=_STOP_S,
        ssl_certfile=given.tls_certificate,
        ssl_keyfile=given.tls_key,
        proxy_headers=given.behind_tls_proxy,
        forwarded_allow_ips="127.0.0.1",
        ws="none",
        limit_concurrency=200,  # requests at once: more than twenty streams and a page each for everybody
        h11_max_incomplete_event_size=16 * 1024,
    )
    stopping = threading.Event()
    threading.Thread(target=send_heartbeat, args=("console", stopping), daemon=True).start()
    _introduce(console)
    server = uvicorn.Server(config)
    try:
        server.run()
    finally:
        stopping.set()
        if stop_serving is not None:
            stop_serving()
    return 0 if server.started else 1


def _serve_metrics(settings: Settings) -> Callable[[], None] | None:
    if not settings.metrics.console_port:
        return None
    metrics = settings.metrics
    return exporter.serve(metrics.host, metrics.console_port, [], lambda: (True, {"status": "ok"}))


def _introduce(console: Console) -> None:
    where = address(console.settings)
    lines = [f"console on {where}"]
    if not console.sessions.has_users:
        try:
            lines.append(f"log in once, within ten minutes: {where}/login?once={console.sessions.one_time_link()}")
        except StoreUnavailable as error:
            lines.append(f"no one-time link can be made: {error}; start it again when Redis is there")
        lines.append("more people: executor console passwd NAME --role viewer, and EXECUTOR_CONSOLE__USERS_FILE")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
