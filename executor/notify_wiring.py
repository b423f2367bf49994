"""Settings -> what tells people; beside `wiring`, as one process and one command need it."""

import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from executor.adapters.notify import AppriseNotifier
from executor.adapters.redis.client import connect
from executor.adapters.redis.notice_store import RedisNotices
from executor.domain.notice import Level
from executor.engine.notifying import Notifying
from executor.observability.logs import redact
from executor.ports import Notifier
from executor.settings.load import Settings


def notice_sender(settings: Settings) -> str:
    """Name this installation, for who is told by several."""
    mode = "paper" if settings.trading.enable_paper_trading else urlsplit(settings.betfair.api_url).hostname or "live"
    return f"[executor {mode} on {socket.gethostname()}]"


def notifiers(settings: Settings) -> list[AppriseNotifier]:
    """Return the addresses that are told.

    Raises:
        AddressUnusable: one is none that Apprise knows.
    """
    return [AppriseNotifier(url, number) for number, url in enumerate(settings.notify.addresses, start=1)]


def notifying(settings: Settings, addresses: Sequence[Notifier]) -> Notifying:
    """Put together what tells people."""
    from executor.observability.notifier_counts import NotifierCounts  # noqa: PLC0415 - after `exporter.prepare`

    return Notifying(
        RedisNotices(connect(settings.redis.url), connect(settings.redis.url), settings.identity),
        addresses,
        NotifierCounts({notifier.address.service for notifier in addresses}),
        least=Level(settings.notify.level),
        sender=notice_sender(settings),
        redact=redact,
    )
