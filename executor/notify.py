"""The notifier's process: tells people what they may have to know. Thin: threads, signals, Redis that is away.

Invariants: one process at a time tells (a lock); nothing that trades waits for it or knows of it; a Redis that does not
answer is told of, too, without Redis. Seconds.
"""

import signal
import threading
from dataclasses import dataclass, field
from typing import Final

import structlog

from executor import wiring
from executor.adapters.clock import SystemClock
from executor.app import serving
from executor.domain.notice import Level
from executor.engine.notifying import Notifying
from executor.errors import StoreUnavailable
from executor.notify_wiring import notice_sender, notifiers, notifying
from executor.operations.access import Access
from executor.ports import Clock, Locks, NotDelivered, Notifier
from executor.settings.load import Settings
from executor.telegram import Answers, TelegramBot

log = structlog.get_logger(__name__)

_LOCK: Final = "notify"
_FOLLOW_S: Final = 2.0
_WAIT_MS: Final = 1000  # for new notices; a reading connection gives up after five seconds
_TICK_S: Final = 0.25
_AWAY_S: Final = 30.0  # longer than a restart of Redis takes


@dataclass
class RedisWatch:
    """Tells every address that Redis is away, and that it is back: what it holds cannot tell of itself."""

    notifiers: list[Notifier]
    sender: str
    clock: Clock = field(default_factory=SystemClock)
    _since: float | None = None
    _told: bool = False

    def answered(self) -> None:
        """Say that it answers."""
        if self._told:
            self._warn("Redis answers again", Level.WARNING)
        self._since, self._told = None, False

    def failed(self, error: StoreUnavailable) -> None:
        """Say that it does not."""
        now = self.clock.monotonic()
        if self._since is None:
            self._since = now
            log.warning("waiting_for_redis", error=str(error))
        if not self._told and now - self._since >= _AWAY_S:
            self._told = True
            self._warn("CRITICAL Redis does not answer: nothing is traded, nothing else can be told", Level.CRITICAL)

    def _warn(self, text: str, level: Level) -> None:
        for notifier in self.notifiers:
            threading.Thread(target=self._send, args=(notifier, text, level), daemon=True).start()

    def _send(self, notifier: Notifier, text: str, level: Level) -> None:
        try:
            notifier.send(f"{self.sender}: Redis", text, level)
        except NotDelivered as error:
            log.error("notification_failed", service=notifier.address.shown, error=str(error))  # noqa: TRY400


@dataclass
class NotifyProcess:
    """One process; `run` returns when `stopping` is set."""

    notifying: Notifying
    locks: Locks
    redis_watch: RedisWatch
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Be the one that tells, or wait to be."""
        while not self.stopping.is_set():
            try:
                with self.locks.single_flight(_LOCK) as ours:
                    if ours:
                        self._lead()
                self.redis_watch.answered()
            except StoreUnavailable as error:
                self.redis_watch.failed(error)
            self.stopping.wait(_FOLLOW_S)
        log.info("notifier_stopped")

    def _lead(self) -> None:
        self.notifying.load()
        log.info("notifier_leads", addresses=len(self.notifying.addresses))
        lost = threading.Event()
        senders = [
            threading.Thread(target=self._send, args=(name, lost), name=f"to {name}", daemon=True)
            for name in self.notifying.addresses
        ]
        for sender in senders:
            sender.start()
        try:
            while not self.stopping.is_set():
                try:
                    self.notifying.look_at_processes()
                    self.notifying.collect(_WAIT_MS)
                except StoreUnavailable as error:
                    self.redis_watch.failed(error)
                    self.stopping.wait(_FOLLOW_S)
                else:
                    self.redis_watch.answered()
        finally:
            lost.set()
            for sender in senders:
                sender.join(timeout=_FOLLOW_S)  # one that is sending is ended with the process: it is told again

    def _send(self, name: str, lost: threading.Event) -> None:
        while not lost.wait(_TICK_S):
            try:
                self.notifying.send_due(name)
            except StoreUnavailable:
                lost.wait(_FOLLOW_S)
            except Exception:  # what it is must not end the others, nor this one for ever
                log.exception("sender_failed", address=name)
                lost.wait(_FOLLOW_S)


def main() -> int:
    """Run until SIGTERM or Ctrl-C; without addresses only wait, and say why.

    Raises:
        AddressUnusable, PortInUse: it must not start.
    """
    settings = wiring.get_settings()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    process = make_process(settings, stopping)
    with serving("notify", settings.metrics.notify_port, stopping):
        bot = _bot(settings)
        if bot is not None:
            threading.Thread(target=bot.run, args=(stopping,), name="telegram", daemon=True).start()
        if not process.notifying.addresses and bot is None:
            log.warning("nobody_to_tell", hint="set EXECUTOR_NOTIFY__URLS, then: executor notify test")
            stopping.wait()  # ending would have a supervisor start it for ever
        process.run()
    return 0


def _bot(settings: Settings) -> TelegramBot | None:
    notify = settings.notify
    if not notify.telegram_users:
        return None
    from executor.observability.notifier_counts import count_telegram  # noqa: PLC0415 - after `exporter.prepare`

    token = notify.telegram_token.get_secret_value()
    return TelegramBot(notify.telegram_api, token, notify.telegram_users, Answers(Access(settings)), count_telegram)


def make_process(settings: Settings, stopping: threading.Event) -> NotifyProcess:
    """Put the process together."""
    addresses = notifiers(settings)
    return NotifyProcess(
        notifying=notifying(settings, addresses),
        locks=wiring.locks(settings),
        redis_watch=RedisWatch(list(addresses), notice_sender(settings)),
        stopping=stopping,
    )
