"""One run of the demo: the system started on free ports, the script played, the markets settled, everything counted.

Owns: a private Redis, sandbox, workers, beat, bridges and order stream in its folder. Invariants: no setting
of the user's is read and no exchange that is not on loopback is spoken to, so it can never bet; after `stop` nothing
of it runs.

Two bridges listen, as they would in production: what is published reaches both, one records it, the other stays silent;
what is added to the stream reaches one. A repeat is counted once, so the counts of all add up. Units: seconds.
"""

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final
from urllib.parse import urlsplit

import redis

from betfair_sandbox.options import sandbox_env
from executor import keys, wiring
from executor.devstack.demo_counts import Counters, Row, collect_counts
from executor.devstack.demo_signals import PACE_S, WINNERS, Act, Exchange, Publish
from executor.devstack.events import EventFeed, logged
from executor.devstack.live_view import LiveView, facts_of, quiet_logs
from executor.devstack.redis_server import HOST, PrivateRedis
from executor.devstack.running import REDIS_URL
from executor.devstack.sandbox_client import SandboxClient
from executor.devstack.stack import BROKER_URL, DATA_DIR, LOG_FORMAT, Ports, Stack, inherited, replaced
from executor.devstack.supervisor import Supervisor, parent_death_signal
from executor.domain.order import OrderStatus
from executor.domain.signal import SignalKind
from executor.engine import accounting, settlement
from executor.operations.wording import money
from executor.settings.load import Settings, load_settings

_SEED: Final = 7
_BRIDGES: Final = 2
_READY_S: Final = 45.0  # six Python processes on two busy cores
_SCRIPT_S: Final = 45.0  # by then the script is through, on a slow machine at a faster pace
_DECIDED_S: Final = 20.0  # it takes 50 ms; a lost message is found again after 10 s
_QUIET_S: Final = 30.0  # 8 s until a cancel, 5 s until beat looks, 5 s until the ledger is written; twice that
_AGREE_S: Final = 5.0  # counters are raised a moment after the commit that they count
_TICK_S: Final = 0.2
_STATUS_S: Final = 0.5
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

# Shorter than by default, so that a minute is enough to see every end of an order.
_SETTINGS: Final = {
    "EXECUTOR_ORDER_MANAGER__UNMATCHED_ORDER_TIMEOUT_SECONDS": "8",
    "EXECUTOR_ORDER_MANAGER__STATUS_CHECK_INTERVAL_SECONDS": "1",
    LOG_FORMAT: "json",  # rejections are read from the logs
}


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


def require_loopback(settings: Settings) -> None:
    """Make sure that nothing but this machine can be spoken to.

    Raises:
        DemoError: a URL leaves it.
    """
    betfair = settings.betfair
    urls = (
        betfair.api_url,
        betfair.identity_url,
        betfair.identity_cert_url,
        settings.redis.url,
        settings.redis.broker_url,
    )
    for url in urls:
        if urlsplit(url).hostname not in _LOOPBACK:
            raise DemoError(f"refused: {urlsplit(url).hostname} is not this machine")


class DemoRun:
    """From nothing to counts that agree, or do not."""

    def __init__(self, folder: Path, live_view: LiveView) -> None:
        self._folder = folder
        self._live_view = live_view
        self._ports = Ports.free(bridges=_BRIDGES)
        self._environment = self._variables()
        self._settings = load_settings(self._environment, folder)
        require_loopback(self._settings)
        quiet_logs(self._settings, process="demo")
        self._supervisor = Supervisor(folder / "data" / "logs", lambda text: live_view.line(text, "dim"))
        self._server = PrivateRedis(folder / "redis", port=self._ports.redis, first=parent_death_signal(signal.SIGTERM))
        self._sandbox = SandboxClient(folder / "sandbox", self._ports.sandbox)
        self._client = redis.Redis.from_url(self._settings.redis.url, decode_responses=True)
        self._events = EventFeed(self._settings.redis.url)
        self._state = wiring.state(self._settings)
        self._sent: list[Publish] = []
        self._refused = 0  # as seen passing by; what counts is read at the end
        self._began = time.monotonic()
        self._shown = 0.0

    def _variables(self) -> dict[str, str]:
        server = f"redis://{HOST}:{self._ports.redis}"
        own = {REDIS_URL: f"{server}/0", BROKER_URL: f"{server}/1", DATA_DIR: str(self._folder / "data")}
        exchange = sandbox_env(
            self._folder / "sandbox",
            port=self._ports.sandbox,
            cert_port=self._ports.sandbox_cert,
            stream_port=self._ports.sandbox_stream,
        )
        return replaced(inherited(ours=False), {**_SETTINGS, **own, **exchange})

    def start(self) -> None:
        """Start everything; returns when a signal would be traded."""
        self._live_view.line(
            "starting a private Redis, the sandbox exchange, 2 workers, beat, 2 bridges and the order stream"
        )
        self._server.start()
        programs = Stack(self._environment, self._folder, self._ports)
        self._supervisor.start(programs.sandbox(self._folder / "sandbox", seed=_SEED))
        self._sandbox.wait_until_ready(_READY_S, self._supervisor.tick)
        for program in programs.trading():
            self._supervisor.start(program)
        self._wait(self._is_ready, _READY_S, "the processes did not become ready")

    def stop(self) -> None:
        """Stop everything; Ctrl-C meanwhile only makes it hurry."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._force)
        self._events.close()
        self._client.close()
        self._sandbox.close()
        self._supervisor.stop()
        self._server.stop()

    def _force(self, _number: int, _frame: FrameType | None) -> None:
        self._supervisor.force = True

    def tails(self, lines: int) -> dict[str, list[str]]:
        """Return the last lines of each log."""
        return {name: self._supervisor.tail(name, lines) for name in self._supervisor.names}

    def _is_ready(self) -> bool:
        state = self._state.read()
        heard = dict(self._client.pubsub_numsub(keys.SUREBET_SIGNALS, keys.STRATEGY_SIGNALS))
        return state.reconciled and state.trading_enabled and set(heard.values()) == {_BRIDGES}

    def play(self, acts: Sequence[Act]) -> None:
        """Go through the script."""
        left = sum(isinstance(act, Publish) for act in acts)
        total = left
        for act in acts:
            pace_s = max(min((self._began + _SCRIPT_S - time.monotonic()) / max(left, 1), PACE_S), 0)
            if isinstance(act, Publish):
                left -= 1
                durable = left % 2 == 0  # each door has its turn
                by = "XADD" if durable else "PUBLISH"
                self._live_view.line(f"signal {total - left:2}/{total}  {by:7}  {act.note}", "bold")
                self._publish(act, pace_s, durable=durable)
            elif isinstance(act, Exchange):
                if act.note:
                    self._live_view.line(f"exchange  {act.note}", "bold blue")
                self._sandbox.control(act.path, dict(act.body))
            else:
                self._live_view.line(f"person    {act.note}", "bold magenta")
                self._run_for(pace_s)
                self._client.set(keys.TRADING_ENABLED, act.value)

    def _publish(self, message: Publish, pace_s: float, *, durable: bool) -> None:
        """Publish a message; returns when it is decided: what must come of the next depends on it."""
        began = time.monotonic()
        self._sent.append(message)
        if durable:
            kind = SignalKind.SUREBET if message.channel == keys.SUREBET_SIGNALS else SignalKind.STRATEGY
            self._client.xadd(keys.SIGNALS, {"kind": kind, "payload": message.payload})
        else:
            self._client.publish(message.channel, message.payload)
        self._run_for(min(pace_s, _TICK_S))
        self._wait(self._is_decided, _DECIDED_S, f"no decision on signal {len(self._sent)} ({message.note})")
        self._run_for(max(began + pace_s - time.monotonic(), 0))

    def _is_decided(self) -> bool:
        received = Counters(self._ports.bridges)("signals_received_total")
        return received == len(self._sent) and not self._state.read().open_signals

    def settle(self) -> None:
        """Let every market have its result, and book it."""
        self._wait(self._is_quiet, _QUIET_S, "orders are still under way")
        self._live_view.line("exchange  every market has its result", "bold blue")
        for market, winner in WINNERS.items():
            self._sandbox.control("settle", {"marketId": market, "winners": [winner]})
        engine = wiring.build_for_command(self._settings)  # beat would do it within a minute

        def is_settled() -> bool:
            settlement.settle(engine)
            return not self._state.read().orders

        self._wait(is_settled, _QUIET_S, "orders are not settled")
        accounting.write_ledger(engine)
        self._wait(self._is_quiet, _QUIET_S, "the ledger lags behind")
        self._run_for(_STATUS_S)
        state = self._state.read()
        self._live_view.line(
            f"P&L today {money(state.daily_pnl)}, exposure {money(state.total_exposure)}", "bold green"
        )

    def _is_quiet(self) -> bool:
        state = self._state.read()
        active = state.count(OrderStatus.RESERVED, OrderStatus.SUBMITTED, OrderStatus.PENDING)
        waiting = sum(state.queues[name] for name in ("signals", "orders", "trades"))
        return not (state.open_signals or active or waiting or state.ledger_lag)

    def check(self) -> list[Row]:
        """Return every count, once they agree or have had the time to."""
        ports = (self._ports.worker, self._ports.maintenance, self._ports.stream, *self._ports.bridges)
        deadline = time.monotonic() + _AGREE_S
        while True:
            rows = collect_counts(self._settings, ports, self._sandbox, self._sent)
            if all(row.agrees for row in rows) or time.monotonic() > deadline:
                return rows
            self._run_for(_STATUS_S)

    def _wait(self, done: Callable[[], bool], within_s: float, problem: str) -> None:
        deadline = time.monotonic() + within_s
        while not done():
            if time.monotonic() > deadline:
                raise DemoError(f"{problem} after {within_s:.0f} s")
            self._run_for(_TICK_S)

    def _run_for(self, seconds: float) -> None:
        """Look after the children and show what happens, for a while."""
        until = time.monotonic() + seconds
        while True:
            if self._live_view.is_gone:
                raise DemoError("nobody reads it any more")
            self._supervisor.tick()
            wait_s = max(min(until - time.monotonic(), _TICK_S), 0.0)
            for event in (*self._events.events(wait_s), *logged(self._supervisor.new_lines())):
                self._refused += event.is_rejection
                if not event.minor:
                    self._live_view.line(f"          {event.text}", event.style)
            self._show()
            if time.monotonic() >= until:
                return

    def _show(self) -> None:
        if self._live_view.is_terminal and time.monotonic() - self._shown > _STATUS_S:
            counts = [("published", str(len(self._sent))), ("rejected", str(self._refused))]
            self._live_view.status([*counts, *facts_of(self._state.read())])
            self._shown = time.monotonic()
