"""The order side of Betfair's Exchange Stream API: one TLS connection, JSON lines ended by CRLF.

Invariants: a line is read whole or not at all; each bet of a message is read by itself, so that an odd one costs no
other; a connection that is silent for longer than its heartbeats allow is over. Each connection takes a fresh image:
what ended meanwhile is the poll's to find. Units: `_s` seconds, times in ms since the epoch.
"""

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

from executor.adapters.betfair import outcomes as policy
from executor.adapters.betfair import wire
from executor.adapters.betfair.json_text import Repeated, Row, WireError, decode, sound
from executor.adapters.betfair.transport import CONNECT_TIMEOUT_S
from executor.adapters.betfair.tunnel import connect_tls
from executor.domain.money import conversion_slack
from executor.domain.order import BetState
from executor.errors import ExecutorError, NotSent, Refused, SessionExpired, Throttled
from executor.ports import StreamMessage

_ANSWER_S: Final = 15.0  # Betfair ends a connection that is not subscribed after as long
_HEARTBEAT_MS: Final = 2000  # asked for; Betfair allows 500 to 5000 and says what is in force
_MISSED: Final = 2  # heartbeats; Betfair: reconnect after twice as long without a message
_LONGEST_MS: Final = 30_000  # Betfair's schema: no heartbeat is in force that is slower
_GRACE_S: Final = 1.0  # for the way here, and for a machine that is busy
_CHUNK_BYTES: Final = 64 * 1024
_MAX_LINE_BYTES: Final = 32 * 1024 * 1024  # an image of 10,000 bets is 4 MB
_EOL: Final = b"\r\n"
_AUTHENTICATE, _SUBSCRIBE = 1, 2
_AFTER_S: Final = {"TOO_MANY_REQUESTS": 10.0, "MAX_CONNECTION_LIMIT_EXCEEDED": 30.0}  # others' may have to end first
_DEAD_TOKEN: Final = frozenset({"NO_SESSION", "INVALID_SESSION_INFORMATION"})
_FINAL: Final = frozenset({"NO_APP_KEY", "INVALID_APP_KEY", "NOT_AUTHORIZED", "INVALID_INPUT", "INVALID_REQUEST"})
_SIDES: Final = {"B": "BACK", "L": "LAY"}
_STATUSES: Final = {"E": "EXECUTABLE", "EC": "EXECUTION_COMPLETE"}
_TYPES: Final = {"L": "LIMIT", "LOC": "LIMIT_ON_CLOSE", "MOC": "MARKET_ON_CLOSE"}


class Session(Protocol):
    """What the stream needs of the session that all processes share."""

    def current(self) -> str | None:
        """Return the token in use, or None."""

    def renew(self, dead: str | None) -> str:
        """Return a token other than `dead`."""


class BetfairOrderStream:
    """The port `OrderStream` on Betfair's stream, or on whatever speaks it at the address of the settings."""

    def __init__(
        self,
        address: tuple[str, int],
        session: Session,
        *,
        app_key: str,
        strategy_ref: str,
        ca_bundle: str,
        proxy: str = "",
        known_currency: Callable[[], str] = str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._session = session
        self._app_key = app_key
        self._strategy_ref = strategy_ref
        self._ca_bundle = ca_bundle
        self._proxy = proxy
        self._known_currency = known_currency
        self._slack = conversion_slack("")
        self._monotonic = monotonic
        self._socket: ssl.SSLSocket | None = None
        self._buffer = bytearray()
        self._token = ""  # with which the connection was opened
        self._silence_s = _ANSWER_S
        self._deaf_since: float | None = None  # since when what comes is none of our subscription

    def connect(self) -> str:
        """Connect, authenticate and subscribe; returns Betfair's connection id (for their support)."""
        self.close()
        self._slack = conversion_slack(self._known_currency())
        token = self._token = self._session.current() or self._session.renew(None)
        try:
            self._open()
            self._silence_s = _ANSWER_S
            greeting = self._line()
            name = str(greeting.get("connectionId", ""))[:64]
            self._send({"op": "authentication", "id": _AUTHENTICATE, "appKey": self._app_key, "session": token})
            self._expect_success(_AUTHENTICATE, token)
            self._send(
                {
                    "op": "orderSubscription",
                    "id": _SUBSCRIBE,
                    "segmentationEnabled": True,
                    "conflateMs": 0,
                    "heartbeatMs": _HEARTBEAT_MS,
                    "orderFilter": {"includeOverallPosition": False, "customerStrategyRefs": [self._strategy_ref]},
                }
            )
            self._expect_success(_SUBSCRIBE, token)
        except BaseException:
            self.close()
            raise
        self._silence_s = _MISSED * _HEARTBEAT_MS / 1000 + _GRACE_S
        self._deaf_since = None
        return name

    def read(self) -> StreamMessage | None:
        """Return the next message of our subscription; None for anything else that came."""
        row = self._line()
        if row.get("op") != "ocm" or row.get("id") != _SUBSCRIBE:  # also late words of an earlier subscription
            if row.get("op") == "status" and row.get("connectionClosed"):  # the token may have ended in mid-stream
                self._check(row, self._token)
            self._not_ours()
            return None
        self._deaf_since = None
        in_force = row.get("heartbeatMs")
        if isinstance(in_force, int) and not isinstance(in_force, bool) and in_force > 0:
            self._silence_s = _MISSED * min(in_force, _LONGEST_MS) / 1000 + _GRACE_S
        published = row.get("pt")
        bets, odd = _bets(row.get("oc"), self._slack)
        return StreamMessage(
            published_at=published if isinstance(published, int) else 0,
            bets=tuple(bets),
            image=row.get("ct") == "SUB_IMAGE" and row.get("segmentType") in (None, "SEG_START"),
            behind=row.get("status") not in (None, 200),
            odd=tuple(odd),
        )

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._buffer.clear()

    def _not_ours(self) -> None:
        """Pass over what is not for us; who hears nothing else for as long as silence is borne is not subscribed."""
        now = self._monotonic()
        self._deaf_since = now if self._deaf_since is None else self._deaf_since
        if now - self._deaf_since > self._silence_s:
            raise NotSent(f"order stream: nothing of our subscription for {self._silence_s:.0f} s")

    def _open(self) -> None:
        try:
            context = ssl.create_default_context(cafile=self._ca_bundle)
            self._socket = connect_tls(self._address, context, CONNECT_TIMEOUT_S, proxy=self._proxy)
        except (OSError, ValueError) as error:  # a name that is none is a ValueError
            raise NotSent(f"order stream: no connection to {self._address[0]}: {error}") from None

    def _expect_success(self, number: int, token: str) -> None:
        give_up_at = self._monotonic() + _ANSWER_S
        while (row := self._line()).get("op") != "status" or row.get("id") not in (number, None):
            if self._monotonic() > give_up_at:
                raise NotSent("order stream: it talks, and does not answer")
        self._check(row, token)

    def _check(self, row: Row, token: str) -> None:
        if row.get("statusCode") == "SUCCESS":
            return
        code = policy.clean_code(row.get("errorCode"))
        if code in _DEAD_TOKEN:
            self._session.renew(token)
            raise SessionExpired(f"order stream: {code}")
        if code in _AFTER_S:
            raise Throttled(code, _AFTER_S[code])
        if code in _FINAL:
            raise Refused(code, "said the order stream")
        raise NotSent(f"order stream: {code}")

    def _connected(self) -> ssl.SSLSocket:
        if self._socket is None:
            raise NotSent("order stream: not connected")
        return self._socket

    def _send(self, message: Mapping[str, Any]) -> None:
        connection = self._connected()
        try:
            connection.sendall(json.dumps(message, separators=(",", ":")).encode() + _EOL)
        except OSError as error:
            raise NotSent(f"order stream: {type(error).__name__}") from None  # its text could hold what was sent

    def _line(self) -> Row:
        """Return the next line; the time without a word is bounded, a trickle of bytes is not a word."""
        give_up_at = self._monotonic() + self._silence_s
        searched = 0
        while (end := self._buffer.find(_EOL, max(searched - 1, 0))) < 0:
            searched = len(self._buffer)
            left_s = give_up_at - self._monotonic()
            if left_s <= 0:
                raise NotSent(f"order stream: silent for {self._silence_s:.0f} s")
            if searched > _MAX_LINE_BYTES:
                raise NotSent("order stream: a line without end")
            self._receive(left_s)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + len(_EOL)]
        try:
            return decode(line)
        except WireError as error:
            raise NotSent(f"order stream: a line that is no message: {error}") from None

    def _receive(self, wait_s: float) -> None:
        connection = self._connected()
        try:
            connection.settimeout(wait_s)
            chunk = connection.recv(_CHUNK_BYTES)
        except TimeoutError:
            return
        except OSError as error:
            raise NotSent(f"order stream: {type(error).__name__}") from None
        if not chunk:
            raise NotSent("order stream: closed by the exchange")
        self._buffer += chunk


def _bets(changes: object, slack: Decimal) -> tuple[list[BetState], list[str]]:
    """Read the bets of a message, each by itself; returns them, and what is odd about the others."""
    bets: list[BetState] = []
    odd: list[str] = []
    for market, runner, order in _orders(changes):
        try:
            if isinstance(market, Repeated) or isinstance(runner, Repeated):
                raise WireError("its market or runner says something twice")
            sound(order, "it")
            bets.append(wire.current_order(_row(market, runner, order), slack))
        # As in a list: a bet that breaks our reading costs itself only.
        except (ValueError, ArithmeticError, TypeError, RecursionError, ExecutorError) as error:
            odd.append(f"bet {str(order.get('id'))[:20]} of market {str(market.get('id'))[:20]}: {error}")
    return bets, odd


def _orders(changes: object) -> Iterator[tuple[Row, Row, Row]]:
    for market in _objects(changes):
        for runner in _objects(market.get("orc")):
            for order in _objects(runner.get("uo")):
                yield market, runner, order


def _objects(value: object) -> Sequence[Row]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else ()


def _row(market: Row, runner: Row, order: Row) -> Row:
    """Return one order of the stream as the row of listCurrentOrders that it would be (Betfair: Order, ESA)."""
    return {
        "betId": order.get("id"),
        "customerOrderRef": order.get("rfo"),
        "marketId": market.get("id"),
        "selectionId": runner.get("id"),
        "handicap": runner.get("hc"),
        "side": _SIDES.get(str(order.get("side")), order.get("side")),
        "status": _STATUSES.get(str(order.get("status")), order.get("status")),
        "orderType": _TYPES.get(str(order.get("ot")), order.get("ot")),
        "priceSize": {"price": order.get("p"), "size": order.get("s")},
        "sizeMatched": order.get("sm", Decimal(0)),
        "averagePriceMatched": order.get("avp"),
        "sizeCancelled": order.get("sc"),
        "sizeLapsed": order.get("sl"),
        "sizeVoided": order.get("sv"),
        "placedDate": _moment(order.get("pd")),
        "matchedDate": _moment(order.get("md")),
    }


def _moment(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**45:
        raise WireError("a time is no milliseconds")
    return wire.moment_text(value)
