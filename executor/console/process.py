"""The process: `executor console`. Serves until SIGTERM or Ctrl-C.

Invariants: it starts without Redis and says so on its pages; an open stream does not keep it from stopping.
"""

import signal
import sys
import threading
from collections.abc import Callable
from typing import Final

import structlog
import uvicorn

from executor import wiring
from executor.app import app, keep_sending_heartbeats
from executor.console import counts, listening
from executor.console.address import login_lines
from executor.console.app import guarded, make_app, make_console
from executor.observability import exporter
from executor.settings.load import Settings

log = structlog.get_logger(__name__)

# Who waits for the answer waits for this; what cannot be queued quickly is left to the sweep, which has the record.
_PUBLISH_POLICY: Final = {"max_retries": 2, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.2}
_STOP_S: Final = 1  # uvicorn would wait for streams for ever


def main(*, link: bool) -> int:
    """Run the console; `link`: say where, and make a one-time link where there are no users.

    Raises:
        UsersFileError, PortInUse, CannotListen: it must not start.
    """
    settings = wiring.get_settings()
    console = make_console(settings)
    counts.count_from_zero()
    app.conf.task_publish_retry_policy = _PUBLISH_POLICY
    stop_serving = _serve_metrics(settings)
    served = guarded(make_app(console), console)
    console_settings = settings.console
    config = uvicorn.Config(
        served,
        host=console_settings.host,
        port=console_settings.port,
        log_config=None,
        access_log=False,  # a one-time link would be in it
        server_header=False,
        timeout_graceful_shutdown=_STOP_S,
        ssl_certfile=console_settings.tls_certificate,
        ssl_keyfile=console_settings.tls_key,
        proxy_headers=console_settings.behind_tls_proxy,
        forwarded_allow_ips="127.0.0.1",
        ws="none",
        limit_concurrency=200,  # requests at once: more than twenty streams and a page each for everybody
        h11_max_incomplete_event_size=16 * 1024,
    )
    listening.load(config)
    sockets = listening.open_sockets(console_settings.host, console_settings.port)
    stopping = threading.Event()
    threading.Thread(target=keep_sending_heartbeats, args=("console", stopping), daemon=True).start()
    if link:
        sys.stdout.write("".join(f"{line}\n" for line in login_lines(settings, console.sessions)))
        sys.stdout.flush()
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises it again at its end, for whoever was there before
        signal.signal(number, lambda *_: None)
    server = uvicorn.Server(config)
    try:
        server.run(sockets)
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
