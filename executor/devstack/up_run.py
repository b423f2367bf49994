"""The life of `executor up`: starts everything in order, shows what happens, notices who died, stops all.

Owns: the private Redis, the children and what is said on the terminal. Invariants: the first Ctrl-C or SIGTERM stops
everything in order, the second makes it hurry; after `stop` nothing runs. Single-threaded. Units: seconds.
"""

import signal
import sys
import time
from collections.abc import Iterator
from shutil import which
from types import FrameType
from typing import Final
from urllib.parse import urlsplit

from executor import keys, wiring
from executor.console.address import login_lines, sessions
from executor.devstack.events import EventFeed, logged
from executor.devstack.live_view import LiveView, facts_of, quiet_logs
from executor.devstack.login_doctor import LoginDoctor
from executor.devstack.lost_bets import void_lost_bets
from executor.devstack.redis_server import HOST, PrivateRedis
from executor.devstack.sandbox_client import SandboxClient, SandboxSilentError
from executor.devstack.stack import Stack, is_free
from executor.devstack.supervisor import Supervisor, parent_death_signal
from executor.devstack.up_plan import USUAL_REDIS_PORT, Plan, notifies
from executor.errors import ExecutorError, StoreUnavailable
from executor.ports.system_snapshot import SystemSnapshot

_TICK_S: Final = 0.2
_LOOK_S: Final = 1.0
_SANDBOX_S: Final = 30.0  # it makes its certificates at the first start
_LOGIN_S: Final = 15.0  # a login takes one or two; then somebody wants to know what the exchange said
_SLOW_S: Final = 30.0  # then somebody wants to know what it is waiting for
_PROGRAM: Final = "executor"
_EXAMPLE: Final = (
    '{"signalId": "test-\'$(date +%s)\'", "marketId": "1.\'$(date +%s)\'", '
    '"strategy": "TestStrategy", "validityWindow": 60, '
    '"primarySelection": {"selectionId": "99999", "recommendedOdds": 2.0, "stake": 10.0, "betType": "Back"}}'
)


class StoppedError(Exception):
    """Somebody wants it to stop."""


class UpRun:
    """One run."""

    def __init__(self, plan: Plan, live_view: LiveView) -> None:
        self._plan = plan
        self._settings = plan.settings
        self._live_view = live_view
        self._supervisor = Supervisor(plan.logs, lambda text: live_view.line(f"process   {text}", "yellow"))
        self._server: PrivateRedis | None = None
        if plan.own_redis:
            first = parent_death_signal(signal.SIGTERM)
            self._server = PrivateRedis(plan.own_redis, port=plan.ports.redis, first=first)
        self._sandbox: SandboxClient | None = None
        if plan.own_exchange:
            self._sandbox = SandboxClient(plan.own_exchange, plan.ports.sandbox)
        self._sandbox_is_new = True
        self._login = LoginDoctor(plan.settings)
        self._events = EventFeed(self._settings.redis.url)
        self._state = wiring.state(self._settings)
        self._began = self._looked = time.monotonic()
        self._stopping = self._logged_in = self._active = self._slow = False

    # -- start -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything; what takes its time (login, first poll) is said when it has happened.

        Raises:
            StoppedError, CrashLoopError, RedisServerError, SandboxSilentError, ExecutorError: it was not to be.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        quiet_logs(self._settings, process="up")
        self._introduce()
        if self._server is not None:
            self._server.start()
        wiring.claim(self._settings)
        self._live_view.line("✅ Redis connected", "green")
        programs = Stack(self._plan.environment, self._plan.folder, self._plan.ports, whole_page=True)
        if self._sandbox is not None and self._plan.own_exchange is not None:
            self._supervisor.start(programs.sandbox(self._plan.own_exchange))
            self._sandbox.wait_until_ready(_SANDBOX_S, self._mind_children)
            self._void_lost_bets()
        for program in programs.trading():
            self._supervisor.start(program)
        if self._plan.ports.flower:
            self._supervisor.start(programs.flower())
        if self._plan.ports.console:
            self._supervisor.start(programs.console())
        if notifies(self._settings):
            self._supervisor.start(programs.notifier())
        if not self._settings.trading.enable_paper_trading:
            self._live_view.line("Authenticating with Betfair API...")

    def _introduce(self) -> None:
        settings, ports = self._settings, self._plan.ports
        paper = settings.trading.enable_paper_trading
        exchange = urlsplit(settings.betfair.api_url).netloc
        say = self._live_view.line
        say("AIBetting Executor starting", "bold")
        say("=================================")
        for problem in settings.ignored:
            say(f"⚠ {problem}", "bold yellow")
        say("Configuration loaded:")
        if not paper:
            say(f"  Exchange: {exchange}{' (the sandbox: no real money)' if ports.sandbox else ''}")
            say(f"  Betfair AppKey: {settings.betfair.app_key}")
            say(f"  Certificate: {settings.betfair.certificate_path}")
        say(f"  Risk Management: {'ENABLED' if settings.risk.enabled else 'DISABLED'}")
        fills = settings.trading.paper_fills if paper else ""
        for text, style in _where_orders_go(fills, exchange, own=bool(ports.sandbox)):
            say(text, style)
        say(f"  Logs: {self._plan.logs}")
        if ports.redis:
            say(f"  Redis: its own, on port {ports.redis}")
            if ports.redis != USUAL_REDIS_PORT and not is_free(USUAL_REDIS_PORT):
                say(
                    f"  What listens on port {USUAL_REDIS_PORT} is not ours; ours is: redis-cli -p {ports.redis}",
                    "yellow",
                )
        for port, what in ((ports.worker, "workers"), (ports.bridges[0], "bridge"), (ports.stream, "order stream")):
            if port:
                more = f" and {ports.maintenance}" if what == "workers" else ""
                say(f"Prometheus metrics of the {what} on port {port}{more}")
        if notifies(settings):
            say(f"Notifications: {len(settings.notify.addresses)} addresses (try them: executor notify test)")
        if ports.flower:
            say(f"Flower on http://{HOST}:{ports.flower}")

    # -- while it runs -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Look after everything until somebody stops it.

        Raises:
            CrashLoopError, RedisServerError: it cannot go on.
        """
        while True:
            self._mind_children()
            for event in (*self._events.events(_TICK_S), *logged(self._supervisor.new_lines())):
                self._live_view.line(event.text, event.style)
            if time.monotonic() - self._looked > _LOOK_S:
                self._look()
                self._looked = time.monotonic()

    def _mind_children(self) -> None:
        if self._stopping or self._live_view.is_gone:
            raise StoppedError
        if self._server is not None and self._server.pid is None:
            self._live_view.line("process   the private Redis ended; it starts again with its data", "yellow")
            self._server.start()
        self._sandbox_is_new |= "sandbox" in self._supervisor.tick()

    def _look(self) -> None:
        try:
            state = self._state.read()
            self._live_view.status(facts_of(state))
            if self._sandbox_is_new:
                self._void_lost_bets()
            if not self._active:
                self._announce(state)
        except StoreUnavailable:
            self._live_view.status([("Redis", "does not answer")])
        except (ExecutorError, SandboxSilentError):  # looked at again in a second
            return

    def _void_lost_bets(self) -> None:
        if self._sandbox is None:
            return
        sandbox = self._sandbox
        engine = wiring.build_for_command(self._settings)
        changed = void_lost_bets(engine, lambda: {bet["betId"] for bet in sandbox.orders()})
        self._sandbox_is_new = False
        if changed:
            self._live_view.line(
                f"exchange  the sandbox forgets its bets when it stops: {changed} orders of ours are void", "yellow"
            )

    def _announce(self, state: SystemSnapshot) -> None:
        if state.session and not self._logged_in:
            self._logged_in = True
            self._live_view.line("✅ Betfair authentication successful", "green")
        let_in = bool(state.session) or not self._settings.asks_exchange
        if state.reconciled and let_in and self._bridge_listens():
            self._active = True
            self._say_how_to_use(state)
        elif self._settings.asks_exchange and time.monotonic() - self._began > _LOGIN_S:
            self._login.ask()
        for line in self._login.lines():
            self._live_view.line(f"⚠ {line}", "bold red")
        if not (self._active or self._slow) and time.monotonic() - self._began > _SLOW_S:
            self._slow = True
            waits = "the login" if not self._logged_in and self._settings.asks_exchange else "the first poll"
            self._live_view.line(f"still waiting for {waits}: see {self._supervisor.log('worker')}", "yellow")

    def _bridge_listens(self) -> bool:
        return any(name.startswith("bridge:") for name in self._state.read().processes)

    def _say_how_to_use(self, state: SystemSnapshot) -> None:
        say = self._live_view.line
        console = self._plan.ports.console
        lines = login_lines(self._settings, sessions(self._settings), console) if console else []
        if not state.trading_enabled:
            say("⚠ Trading is disabled: to trade: executor resume", "bold yellow")
        say("✅ Executor active - monitoring for trading signals", "bold green")
        if self._server is not None:
            say("To send a test signal:")
            say(f"  redis-cli -p {self._server.port} PUBLISH {keys.STRATEGY_SIGNALS} '{_EXAMPLE}'")
            program = _PROGRAM if which(_PROGRAM) else sys.argv[0]
            say(f"In another terminal, in this folder:  {program} status")
        for line in lines:
            say(line[0].upper() + line[1:], "bold cyan")
        say("Press Ctrl+C to stop", "bold")

    # -- stop --------------------------------------------------------------------------------------------------------

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._stopping:
            self._supervisor.force = True
        self._stopping = True

    def stop(self) -> None:
        """Stop everything in order."""
        self._stopping = True
        self._live_view.line("stopping ... (Ctrl+C again to hurry)", "bold")
        self._events.close()
        self._supervisor.stop()
        if self._sandbox is not None:
            self._sandbox.close()
        if self._server is not None:
            self._live_view.line("stopping the private Redis")
            self._server.stop()
        self._live_view.line("stopped", "bold")


def _where_orders_go(paper_fills: str, exchange: str, *, own: bool) -> Iterator[tuple[str, str]]:
    if paper_fills == "book":
        yield f"  Paper Trading: ENABLED, against the book at {exchange}", ""
        yield "  Nothing is sent: an order gets what the book offers at its price or better, no more than", ""
        yield "  that; after 24 h its position ends, profit 0, whatever the result.", ""
        return
    if paper_fills:
        yield "  Paper Trading: ENABLED", ""
        yield "  Nothing is sent: an order is filled at once, whole, at its own price; after 24 h its", ""
        yield "  position ends, profit 0. That tests signals and limits, not what a strategy would earn.", ""
        return
    yield f"  Paper Trading: DISABLED{' (signals become orders at the sandbox)' if own else ''}", ""
    if not own:
        yield f"  LIVE: signals become bets at {exchange}", "bold red"
