"""What Celery beat sends and how often: name -> (task, seconds). Data, no logic; a missed tick waits for the next."""

from executor.settings.exchange import is_test_exchange
from executor.settings.load import Settings


def periodic_tasks(settings: Settings) -> dict[str, tuple[str, float]]:
    """Return the periodic tasks by name: (task, period in seconds)."""
    heartbeat_s = settings.betfair.heartbeat_seconds
    heartbeat = {"heartbeat": ("executor.heartbeat", heartbeat_s / 3)} if heartbeat_s else {}  # two may get lost
    hedge = {"hedge exposure": ("executor.hedge_exposure", 30)} if settings.hedge.mode != "off" else {}
    return (
        heartbeat
        | hedge
        | {
            "poll orders": ("executor.poll_orders", settings.order_manager.status_check_interval_seconds),
            "cancel unmatched orders": ("executor.cancel_unmatched", 5),  # a sixth of the shortest usual timeout, 30 s
            "sweep signals": ("executor.sweep_signals", 5),  # half of the 10 s after which a lost chain is sent again
            "write ledger": ("executor.write_ledger", 5),  # what accounting may lag behind
            # Markets settle minutes after their end; on the sandbox when somebody says so, who then looks at once.
            "settle orders": ("executor.settle_orders", 5 if is_test_exchange(settings.betfair) else 60),
            "refresh account": ("executor.refresh_account", 60),  # feeds gauges, decides nothing
            "watchdog": ("executor.watchdog", 30),  # alarms wait at least a minute
            "keep session alive": ("executor.keep_alive", settings.betfair.keep_alive_interval_seconds),
            "log in again": ("executor.reauthenticate", 300),  # looks at the token's age, in hours; rarely acts
        }
    )
