"""What happens, as lines for people: from the channels that the engine publishes on, and from the children's logs.

Reads only. A rejected signal has no channel (nothing changed), so it comes from the JSON log lines of workers and
bridges. Invariant: what cannot be read is left out, never an error; a lost connection is made anew.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import RedisError

from executor import keys
from executor.adapters.redis.client import connect
from executor.domain.order import OrderStatus, TradeKind
from executor.operations.wording import money
from executor.ports.system_snapshot import amount

_CHANNELS: Final = (keys.ORDER_UPDATES, keys.TRADE_UPDATES, keys.KILL_SWITCH)
_GOOD: Final = frozenset({OrderStatus.MATCHED, OrderStatus.SETTLED})
_BAD: Final = frozenset({OrderStatus.FAILED, OrderStatus.EXPIRED, OrderStatus.VOIDED})
_UNDER_WAY: Final = frozenset({OrderStatus.RESERVED, OrderStatus.SUBMITTED})
_MINOR: Final = _UNDER_WAY | {OrderStatus.SETTLED}  # work goes on, or another line says it better
_TIMEOUT_S: Final = 5


@dataclass(frozen=True, slots=True)
class Event:
    """A line, its style on a terminal, whether an onlooker can do without, and whether a signal was refused."""

    text: str
    style: str = ""
    minor: bool = False
    is_rejection: bool = False


class EventFeed:
    """One subscription."""

    def __init__(self, url: str) -> None:
        self._client = connect(url, timeout_s=_TIMEOUT_S)
        self._pubsub = self._client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Give the connection back."""
        self._pubsub.close()
        self._client.close()

    def events(self, wait_s: float) -> Iterator[Event]:
        """Yield what was published, waiting `wait_s` for the first message; nothing while Redis is away."""
        try:
            if not self._pubsub.subscribed:
                self._pubsub.subscribe(*_CHANNELS)
            while message := self._pubsub.get_message(timeout=wait_s):
                wait_s = 0.0
                event = _published(message)
                if event is not None:
                    yield event
        except (RedisError, OSError):
            self._pubsub.reset()


def logged(lines: Iterable[tuple[str, str]]) -> Iterator[Event]:
    """Yield the rejections among log lines; each is (process, line)."""
    for _, line in lines:
        if "signal_rejected" not in line:
            continue
        fields = _fields(line)
        if fields.get("event") == "signal_rejected":
            which = fields.get("signal_id") or "message"
            detail = fields.get("detail") or " ".join(
                str(fields[name]) for name in ("field", "problem") if name in fields
            )
            yield Event(f"rejected  {which}: {fields.get('reason')} {detail}".rstrip(), "yellow", is_rejection=True)


def _published(message: dict[str, Any]) -> Event | None:
    fields = _fields(message.get("data"))
    if not fields:
        return None
    if message.get("channel") == keys.ORDER_UPDATES:
        return _order(fields)
    if message.get("channel") == keys.TRADE_UPDATES:
        return _trade(fields)
    reason = fields.get("reason") or fields.get("order_ids") or ""
    return Event(f"controls  {fields.get('event')} {reason}".rstrip(), "bold magenta")


def _order(fields: dict[str, Any]) -> Event:
    status = str(fields.get("status"))
    text = f"order     {_bet(fields)} {fields.get('size')} @ {fields.get('price')}: {status}"
    matched = amount(str(fields.get("size_matched")))
    if matched and matched != amount(str(fields.get("size"))):
        text += f", {matched} matched"
    if fields.get("reason"):
        text += f" ({fields.get('reason')})"
    style = "green" if status in _GOOD else "red" if status in _BAD else "cyan"
    return Event(text, style, minor=status in _MINOR)


def _trade(fields: dict[str, Any]) -> Event:
    kind = fields.get("type")
    if kind == TradeKind.SETTLEMENT:
        return Event(
            f"settled   {_bet(fields)} {fields.get('size_matched')} @ {_price(fields, 'average_price_matched')}: "
            f"net {fields.get('net_profit')}",
            "bold green",
        )
    word = "fill     " if kind == TradeKind.FILL else "void     "
    return Event(f"{word} {_bet(fields)} {fields.get('size')} @ {_price(fields, 'price')}", "bold green")


def _price(fields: dict[str, Any], name: str) -> str:
    price = amount(str(fields.get(name)))
    return "?" if price is None else money(price)


def _bet(fields: dict[str, Any]) -> str:
    return f"{fields.get('market_id')}/{fields.get('selection_id')} {fields.get('side')}"


def _fields(text: object) -> dict[str, Any]:
    try:
        loaded = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return {}
    return loaded if isinstance(loaded, dict) else {}
