"""Celery's settings, each with its why. Owns how messages travel; what they mean is the engine's. Units: seconds.

Celery on Redis is a doorbell, not a ledger: it may ring twice or never. Nothing here is relied upon for "never twice"
or "never lost"; these values make both rare and quick to recover from. Celery accepts a misspelt option silently, so
tests hold every name in this file against Celery's own list.
"""

import sys
from typing import Any, Final

from kombu.entity import Exchange, Queue

from beat_schedule import periodic_tasks
from executor.settings.load import SettingsError, load_settings
from executor.settings.urls import celery_url, is_sentinel, sentinel_ssl, sentinel_transport

try:
    _settings = load_settings()
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(1) from None

# A placement at its slowest: a call that finds the session expired, the login, the call again.
_SLOWEST_TASK_S: Final = 3 * _settings.betfair.api_timeout_seconds
# What the publish policy below adds up to: 50 s of waits and 20 attempts of about a second.
_LONGEST_PUBLISH_S: Final = 75

# --- the broker ------------------------------------------------------------------------------------------------------
broker_url = celery_url(_settings.redis.broker_url)
# On a lost connection the worker ends what it runs, acknowledges it, and exits 1 for its supervisor to start it again.
# Reconnecting in place would put running messages back into the queue (twice at once), and can crash Celery 5.7.
broker_connection_retry = False
broker_connection_retry_on_startup = True  # a worker started before Redis waits for it
broker_transport_options: dict[str, Any] = {
    # A message that a killed worker held is delivered again after this; shorter than a task means running it twice.
    "visibility_timeout": max(120, _SLOWEST_TASK_S + _LONGEST_PUBLISH_S),
    "unacked_restore_interval": 5,  # by default the search for such messages runs only every 100 s
    "unacked_restore_throttle": 1,
    "socket_timeout": 10,  # kombu has none: a stalled connection would hang a worker for ever
    "socket_connect_timeout": 5,
    "socket_keepalive": True,  # half-open connections are noticed
    "health_check_interval": 10,
    # One attempt to publish fails within about a second; how often it is repeated is the publish policy's.
    "max_retries": 3,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.5,
    "priority_steps": [0],  # no priorities: one Redis list per queue, so that LLEN is the queue's length
    # By name: maintenance, orders, signals, trades. What is nearest to the exchange goes first, bookkeeping last (beat
    # writes what it leaves); by default a burst's bookkeeping takes turns with its orders.
    "queue_order_strategy": "sorted",
}
if is_sentinel(_settings.redis.broker_url):
    # Another master is there within seconds; one that fell silent (power, cable) must be left as soon. A worker whose
    # poll of the queue (1 s) is not answered ends, and its supervisor starts it on the new one.
    broker_transport_options |= {
        **sentinel_transport(_settings.redis.broker_url),
        "socket_timeout": 2,
        "socket_connect_timeout": 1,
        "health_check_interval": 2,
    }

    broker_use_ssl = sentinel_ssl(_settings.redis.broker_url)

# --- messages --------------------------------------------------------------------------------------------------------
accept_content = ["json"]  # never pickle: whoever writes to Redis must not run code here
task_serializer = "json"
result_serializer = "json"
event_serializer = "json"
enable_utc = True
timezone = "UTC"
task_ignore_result = True  # the order record is the result; a chain needs no result backend
task_publish_retry = True
# A worker whose next step cannot be published marks the finished one failed, so it outlasts a restart of Redis.
task_publish_retry_policy = {"max_retries": 20, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 3}
if is_sentinel(_settings.redis.broker_url):
    # The next master is six seconds away, and a worker that ends waits for these before it is started on it: what is
    # not published soon is left to the sweep, which has the record of its signal.
    task_publish_retry_policy = {"max_retries": 3, "interval_start": 0.2, "interval_step": 0.2, "interval_max": 0.5}

# --- queues ----------------------------------------------------------------------------------------------------------
_EXCHANGE: Final = Exchange("executor", type="direct", durable=True)
_QUEUES: Final = ("signals", "orders", "trades", "maintenance")  # apart, so that `-Q` can give each its own workers
task_queues = tuple(Queue(name, _EXCHANGE, routing_key=name, durable=True) for name in _QUEUES)
task_create_missing_queues = False  # a misspelt queue is an error when publishing, not a queue nobody reads
task_default_queue = "maintenance"  # whatever has no route stays out of the way of orders
task_default_exchange = _EXCHANGE.name
task_default_routing_key = "maintenance"
task_routes = {
    "executor.validate_risk": {"queue": "signals"},
    "executor.place_order": {"queue": "orders"},
    "executor.log_trade": {"queue": "trades"},
    **{task: {"queue": "maintenance"} for task, _ in periodic_tasks(_settings).values()},
}

# --- tasks -----------------------------------------------------------------------------------------------------------
imports = ("executor.tasks",)
# Acknowledged when done: a killed worker's message comes back, and the record says what was done already.
task_acks_late = True
# A task whose process was killed runs again, but, unlike with reject, not for ever.
task_retry_on_worker_lost = True

# --- workers ---------------------------------------------------------------------------------------------------------
# Processes: with threads one core does all of a worker's Python (docs/performance.md has both). No time limit is set
# anywhere, so that nothing kills a process in mid-call: the HTTP timeout bounds every call.
worker_pool = "executor.worker_pool:TaskPool"  # Celery's prefork, with a shorter way to a free process
worker_consumer = "executor.broker:Consumer"  # outlives whatever is pushed on a queue
worker_concurrency = 12  # beside an exchange that takes 100 ms, fifty orders a second hold six: the rest is for hiccups
worker_prefetch_multiplier = 1  # an order never waits behind a busy process while another worker is idle
worker_disable_prefetch = True  # and is fetched only when a process is free
worker_eta_task_limit = 1000  # retries wait in memory; as many as 16 signals a second retried for a minute
worker_send_task_events = True  # Flower's view of the chain
task_send_sent_event = False  # one more publish for each task; `queue_length` shows what waits
worker_enable_remote_control = True  # Flower and `executor status` ask the workers; Redis must be private anyway
worker_hijack_root_logger = False  # logging is set up once, by ours
worker_redirect_stdouts = False
worker_soft_shutdown_timeout = float(_settings.betfair.api_timeout_seconds)  # even SIGQUIT lets a call end
worker_cancel_long_running_tasks_on_connection_loss = False  # never cut a call to the exchange; Celery 6 flips this

# --- beat ------------------------------------------------------------------------------------------------------------
beat_scheduler = "executor.beat:SteadyScheduler"  # by the time that passes; no file, no time of day
beat_schedule: dict[str, dict[str, Any]] = {
    name: {
        "task": task,
        "schedule": float(period_s),
        # A tick that has not run when the next one is due is dropped: after an outage they must not pile up. By Redis
        # time, not by Celery's `expires`: `executor/beat.py`.
        "options": {"queue": "maintenance", "expires": 0.9 * period_s},
    }
    for name, (task, period_s) in periodic_tasks(_settings).items()
}
