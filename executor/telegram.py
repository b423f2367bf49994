"""A Telegram bot that answers listed users: how things stand, and a halt. It resumes nothing and changes no limit.

Invariants: it answers only users that are listed, by their numeric id, and only in a chat with them alone; what is
older than a minute is not acted on; the token is in no log, error or answer. Runs in a thread of the notifier. Seconds.
"""

import threading
from collections.abc import Callable, Collection
from typing import Any, Final

import requests
import structlog

from executor.domain.order import OrderStatus
from executor.errors import ExecutorError
from executor.operations.access import Access, Actor
from executor.operations.notifications import failing
from executor.operations.trading import halt, obstacles, why_not_trading
from executor.operations.wording import counted, money
from executor.ports.telemetry import Became

log = structlog.get_logger(__name__)

_WAIT_S: Final = 20  # Telegram: long polling
_TIMEOUT_S: Final = 30.0
_AGAIN_S: Final = 5.0
_OLD_S: Final = 60
_MOST: Final = 20  # orders in an answer
_HELP: Final = "/status /pnl /alerts /orders /halt; resume and limits are not for here"


class TelegramRefused(ValueError):
    """Telegram said no; the text has its code and its reason, and never the token."""


class Answers:
    """What each command is answered with."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._known: dict[str, Callable[[str], str]] = {
            "/status": self._status,
            "/pnl": self._pnl,
            "/alerts": self._alerts,
            "/orders": self._orders,
            "/halt": self._halt,
        }

    def answer(self, text: str, user: str) -> str:
        """Do what a listed user asks, and say what came of it."""
        command = (text.split() or [""])[0].partition("@")[0].lower()
        act = self._known.get(command)
        if act is None:
            return _HELP
        try:
            return act(user)
        except ExecutorError as error:
            return f"{command}: not done: {error}"

    def now_s(self) -> float:
        """Return the time by Redis."""
        return self._access.store.now() / 1000

    def _status(self, _user: str) -> str:
        state = self._access.state.read()
        why = why_not_trading(state)
        lines = [f"trading is OFF: {why}" if why else "trading is on", *obstacles(self._access.settings, state)]
        lines.append(f"{state.identity}; {money(state.total_exposure)} at risk in {len(state.exposure)} markets")
        live = state.count(OrderStatus.PENDING, OrderStatus.SUBMITTED)
        lines.append(f"{counted(live, 'live order')}, {counted(len(state.alerts), 'alert')}")
        return "\n".join(lines)

    def _pnl(self, _user: str) -> str:
        state = self._access.state.read()
        today, total = (("?" if one is None else f"{one:+.2f}") for one in (state.daily_pnl, state.total_pnl))
        return f"today {today}, in all {total} (settled, net)"

    def _alerts(self, _user: str) -> str:
        state = self._access.state.read()
        return "\n".join([*(alert.replace("_", " ") for alert in state.alerts), *failing(state)]) or "no alert stands"

    def _orders(self, _user: str) -> str:
        orders = self._access.state.read().orders
        live = [one for one in orders if one.status in {OrderStatus.PENDING, OrderStatus.SUBMITTED}]
        lines = [
            f"{one.market_id} {one.selection_id} {one.side} {money(one.size)} @ {money(one.price)}, "
            f"{money(one.size_matched)} matched, {one.status}"
            for one in live[:_MOST]
        ]
        lines += [f"and {len(live) - _MOST} more"] if len(live) > _MOST else []
        return "\n".join(lines) or "no live orders"

    def _halt(self, user: str) -> str:
        halt(self._access, Actor(f"telegram user {user}", via="telegram"), "halted by Telegram")
        return "trading is OFF. What is unmatched stays: executor halt --cancel takes it back. Resume at the machine."


class TelegramBot:
    """Asks Telegram for messages, and answers them."""

    def __init__(
        self,
        api: str,
        token: str,
        users: Collection[str],
        answers: Answers,
        count: Callable[[Became], None] = lambda _: None,
    ) -> None:
        self._count = count
        self._base = f"{api}/bot{token}"
        self._users = frozenset(users)
        self._answers = answers
        self._session = requests.Session()
        self._next = 0
        self._strangers: set[str] = set()

    def run(self, stopping: threading.Event) -> None:
        """Answer until `stopping` is set."""
        while not stopping.is_set():
            try:
                self.answer_new()
            except (requests.RequestException, ValueError, ExecutorError) as error:
                # What requests says of a failure quotes the address, and so the token.
                why = str(error) if isinstance(error, TelegramRefused) else type(error).__name__
                log.warning("telegram_not_reached", error=why)
                stopping.wait(_AGAIN_S)

    def answer_new(self, wait_s: int = _WAIT_S) -> None:
        """Answer what was sent since.

        Raises:
            RequestException, ValueError: Telegram was not reached, or said something else (TelegramRefused: no).
            StoreUnavailable: Redis is away, so that nobody knows what time it is.
        """
        updates = self._call("getUpdates", {"offset": self._next, "timeout": wait_s, "allowed_updates": ["message"]})
        for update in updates if isinstance(updates, list) else ():
            if isinstance(update, dict) and isinstance(update.get("update_id"), int):
                self._next = update["update_id"] + 1
                self._take(update.get("message"))

    def _take(self, message: Any) -> None:  # noqa: ANN401 - somebody else's JSON
        try:
            user, chat = str(message["from"]["id"]), str(message["chat"]["id"])
            text, sent_at = str(message["text"]), int(message["date"])
        except (KeyError, TypeError, ValueError):
            self._count(Became.UNREADABLE)
            return
        if user not in self._users or chat != user:
            if user not in self._strangers:
                log.warning("telegram_not_listed", user=user, hint="EXECUTOR_NOTIFY__TELEGRAM_USERS, and no groups")
            self._strangers = {*list(self._strangers)[-99:], user}
            self._count(Became.NOT_LISTED)
            return
        if self._answers.now_s() - sent_at > _OLD_S:
            self._count(Became.TOO_OLD)
            self._say(chat, "that was sent more than a minute ago and is not acted on: send it again")
            return
        log.info("telegram_asked", user=user, text=text[:40])
        self._count(Became.ANSWERED)
        self._say(chat, self._answers.answer(text, user))

    def _say(self, chat: str, text: str) -> None:
        self._call("sendMessage", {"chat_id": chat, "text": text[:4000]})

    def _call(self, method: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 - somebody else's JSON
        answer = self._session.post(f"{self._base}/{method}", json=body, timeout=_TIMEOUT_S)
        loaded = answer.json()
        if not (isinstance(loaded, dict) and loaded.get("ok")):
            said = loaded.get("description", "") if isinstance(loaded, dict) else ""
            raise TelegramRefused(f"{method}: {answer.status_code} {str(said)[:100]}".rstrip())
        return loaded.get("result")
