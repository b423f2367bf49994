"""Whatever comes over the order stream, cut wherever it may be: no bet is made up, and nothing but our errors ends it.

By hand, ten minutes: FUZZ_EXAMPLES=20000 pytest tests/security/test_fuzz_stream.py --timeout 1200
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, cast

import pytest
from hypothesis import given
from support.hostile import examples, json_bytes

from executor.adapters.betfair.order_stream import BetfairOrderStream
from executor.domain.order import BetState
from executor.errors import ExecutorError, NotSent
from executor.ports import StreamMessage

_SIZES: Final = {"s": 10.0, "sm": 4.0, "sr": 6.0, "sl": 0.0, "sc": 0.0, "sv": 0.0}
_TIMES: Final = {"pd": 1_700_000_000_000, "md": 1_700_000_001_000}
_NAMES: Final = {"id": "300000000001", "rac": "", "rc": "REG_GGC", "rfo": "order-1", "rfs": "ours"}
ORDER: Final[dict[str, Any]] = (
    {"p": 3.0, "side": "B", "status": "E", "pt": "L", "ot": "L", "avp": 3.05} | _SIZES | _TIMES | _NAMES
)


def message(*orders: dict[str, Any], **more: Any) -> dict[str, Any]:
    change = {"id": "1.200000000", "accountId": 1, "orc": [{"id": 123456, "fullImage": True, "uo": list(orders)}]}
    return {"op": "ocm", "id": 2, "clk": "AAA", "pt": 1_700_000_002_000, "oc": [change]} | more


MESSAGES: Final = [
    message(ORDER, ct="SUB_IMAGE", initialClk="x", heartbeatMs=2000, conflateMs=0, segmentType="SEG_START"),
    message(ORDER | {"id": "2", "rfs": "zw\u00f6lf-\U0001f40e"}, segmentType="SEG_END"),
    message(ORDER | {"status": "EC", "sm": 10.0, "sr": 0.0}),
    {"op": "ocm", "id": 2, "ct": "HEARTBEAT", "clk": "AAB", "pt": 1_700_000_003_000},
    message(status=503),
    {"op": "status", "id": 2, "statusCode": "SUCCESS", "connectionClosed": False},
]
STATUSES: Final = [
    {"op": "status", "statusCode": "FAILURE", "errorCode": code, "connectionClosed": True}
    for code in ("NO_SESSION", "TOO_MANY_REQUESTS", "NOT_AUTHORIZED", "TIMEOUT", "OF_TOMORROW")
]


class Wire:
    """A connection that brings these parts, and then ends."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = [part for part in parts if part]

    def settimeout(self, _seconds: float) -> None:
        """Nothing waits here."""

    def recv(self, _most: int) -> bytes:
        return self.parts.pop(0) if self.parts else b""


class Session:
    """A session of which a new token is asked now and then."""

    def renew(self, _dead: str | None) -> str:
        return "new"


def reader(*parts: bytes) -> BetfairOrderStream:
    made = BetfairOrderStream(
        ("127.0.0.1", 1),
        cast("Any", Session()),
        app_key="key",
        strategy_ref="ours",
        ca_bundle="",
        monotonic=lambda: 0.0,
    )
    made._socket = cast("Any", Wire(*parts))
    return made


def heard(made: BetfairOrderStream) -> list[StreamMessage]:
    """Read until the line ends."""
    found: list[StreamMessage] = []

    def read_on() -> None:
        while True:
            found.extend(filter(None, [made.read()]))

    with pytest.raises(NotSent, match="closed by the exchange"):
        read_on()
    return found


def bets(messages: Sequence[StreamMessage]) -> list[BetState]:
    return [bet for each in messages for bet in each.bets]


WHOLE: Final = b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\r\n" for each in MESSAGES)


def test_a_line_cut_at_any_byte_says_nothing_and_one_that_comes_in_two_parts_the_same() -> None:
    all_of_it = heard(reader(WHOLE))
    assert [bet.bet_id for bet in bets(all_of_it)] == ["300000000001", "2", "300000000001"]
    assert [each.behind for each in all_of_it] == [False, False, False, False, True]
    for at in range(len(WHOLE)):
        assert heard(reader(WHOLE[:at], WHOLE[at:])) == all_of_it
        lines = WHOLE[:at].count(b"\r\n")
        assert heard(reader(WHOLE[:at])) == all_of_it[:lines], "what is not whole is not there"


@examples(150)
@given(line=json_bytes(*MESSAGES, *STATUSES))
def test_any_line(line: bytes) -> None:
    made = reader(line + b"\r\n" + WHOLE)
    with suppress(ExecutorError):
        for _ in range(8):
            got = made.read()
            for bet in got.bets if got else ():
                assert bet.size_matched + bet.size_cancelled + bet.size_lapsed + bet.size_voided <= bet.size + 1
                assert bet.bet_id
                assert bet.market_id
