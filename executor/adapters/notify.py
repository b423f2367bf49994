"""Messages to people through Apprise: Telegram, e-mail, Slack, webhooks and a hundred more, one adapter for all.

Invariants: an address is shown by its service and the start of what it names, never whole; what a library says of a
failure is passed on as one line. Apprise blocks for seconds: call it from threads of one's own only.
"""

import hashlib
import logging
from typing import Any, Final

import apprise

from executor.domain.notice import Level
from executor.errors import ExecutorError
from executor.ports import Address, NotDelivered

_APP: Final = "AIBetting Executor"
_TITLE: Final = 60  # characters of a title
_LONGEST: Final = 30_000  # characters of a body that a person may still want to see
_TYPES: Final = {
    Level.CRITICAL: apprise.NotifyType.FAILURE,
    Level.WARNING: apprise.NotifyType.WARNING,
    Level.INFO: apprise.NotifyType.INFO,
}


class AddressUnusable(ExecutorError):
    """An address is none that Apprise knows; its text does not quote it."""


class _LastComplaint(logging.Handler):
    """Keeps what a plug-in last complained of: it answers with True or False only."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        try:
            self.text = " ".join(record.getMessage().split())[:300]
        except Exception:  # noqa: BLE001 - a logging handler never raises into its caller
            self.text = ""


class AppriseNotifier:
    """`Notifier` for one address of Apprise's form."""

    def __init__(self, url: str, number: int = 1) -> None:
        # A message that is sent on by a redirect arrives without its body, and what it says of whom goes to others.
        asset = apprise.AppriseAsset(
            app_id=_APP, app_desc=_APP, async_mode=False, secure_logging=True, http_redirects=False
        )
        self._apprise = apprise.Apprise(asset=asset)
        if not self._apprise.add(url):
            raise AddressUnusable(
                f"EXECUTOR_NOTIFY__URLS: number {number} is no address that Apprise knows "
                f"({url.partition('://')[0][:20]}://...)"
            )
        service: Any = self._apprise[0]  # of a plug-in; the library's own types end there
        scheme = url.partition("://")[0].lower()
        masked = str(service.url(privacy=True)).partition("://")[2].partition("?")[0].partition("/")[0]
        service.request_rate_per_sec = 0  # ours is the slower one; its own makes the second e-mail wait 5.5 s
        self._complaint = _LastComplaint()
        service.logger = logging.Logger("apprise")  # noqa: LOG001 - its own: others send in other threads
        service.logger.addHandler(self._complaint)
        digest = hashlib.sha256(url.encode()).hexdigest()[:16]
        # An SMS takes 160 characters, Telegram 4096, which has signs of its own for some; where there is no title, it
        # goes before the body.
        longest = service.body_maxlen * 9 // 10 - (0 if service.title_maxlen else _TITLE)
        self._address = Address(digest, scheme, f"{scheme}://{masked}", min(longest, _LONGEST))

    @property
    def address(self) -> Address:
        """Say where it sends to."""
        return self._address

    def send(self, title: str, body: str, level: Level) -> None:
        """Send a message; takes seconds.

        Raises:
            NotDelivered: it did not arrive, or nobody knows.
        """
        self._complaint.text = ""
        try:
            arrived = self._apprise.notify(
                body=body, title=title, notify_type=_TYPES[level], body_format=apprise.NotifyFormat.TEXT
            )
        except Exception as error:  # noqa: BLE001 - a plug-in's defect costs this message, as a service that is away does
            raise NotDelivered(f"{type(error).__name__}: {error}") from None
        if not arrived:
            raise NotDelivered(self._complaint.text or "it was refused")
