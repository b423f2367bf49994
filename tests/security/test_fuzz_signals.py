"""Whatever is published on a signal channel: one record, a reason for each refusal, no order that was not asked for.

By hand, ten minutes: FUZZ_EXAMPLES=40000 pytest tests/security/test_fuzz_signals.py --timeout 3600
"""

import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.engine_rig import MARKET, Rig, strategy_message
from support.factories import STRATEGY, SUREBET
from support.hostile import RAWS, TEXTS, VALUES, Raw, examples, json_bytes

from executor.adapters.redis.records import decode_order, decode_signal, encode
from executor.domain.risk import Reason
from executor.domain.signal import SignalKind
from executor.domain.signal_record import TERMINAL, SignalRecord, SignalStatus

Bet = tuple[str, int, str, Fraction, Fraction]  # market, selection, side, price, size

_MOST_TEXT = 700  # characters of a line of the log, and of what a record says besides the message itself
_LONGEST_ID = 128 + len("-1700000000000")
_EXTRA: dict[str, Any] = {"handicap": 0, "timestamp": "2023-11-14T22:13:19Z", "unmatchedTimeoutSeconds": 20}
SUREBETS = [
    json.loads(SUREBET),
    {**json.loads(SUREBET), **_EXTRA, "stakeBack": 8, "stakeLay": "7.50", "validityWindow": 9},
]
STRATEGIES = [
    json.loads(STRATEGY),
    json.loads(strategy_message()),
    {**json.loads(strategy_message(legs=2)), **_EXTRA, "validityWindow": "12.5"},
]
IDS = st.sampled_from(["malformed-0", "signal-1", "bet-1", "a" * 128, "a" * 129, ":", "signal:x", "*", "sure-1-2"])
NEAR = st.decimals("1.01", 12, places=3) | st.decimals(2, 101, places=12)  # what a sender might well mean
ANYTHING = st.one_of(NEAR.map(str), NEAR.map(str).map(Raw), VALUES, IDS)
MESSAGES = st.one_of(
    st.tuples(st.just(SignalKind.SUREBET), json_bytes(*SUREBETS, values=ANYTHING)),
    st.tuples(st.just(SignalKind.STRATEGY), json_bytes(*STRATEGIES, values=ANYTHING)),
    st.tuples(st.sampled_from(SignalKind), st.binary(max_size=40) | RAWS.map(lambda raw: raw.text.encode())),
    st.tuples(st.sampled_from(SignalKind), json_bytes(*SUREBETS, *STRATEGIES)),
)


# --- a second reading, as plain as can be ----------------------------------------------------------------------------

_STEPS = [(101, 1), (200, 2), (300, 5), (400, 10), (600, 20), (1000, 50), (2000, 100), (3000, 200), (5000, 500)]
_BOUNDS = [*_STEPS, (10_000, 1000), (100_000, 0)]
_RUNGS = [at for (low, step), (high, _) in pairwise(_BOUNDS) for at in range(low, high, step)]
RUNGS = [Fraction(at, 100) for at in [*_RUNGS, 100_000]]


class _BadError(Exception):
    pass


def _need(good: object) -> None:
    if not good:
        raise _BadError


def _get(pairs: Any, name: str, default: Any = None) -> Any:
    _need(isinstance(pairs, tuple))
    found = [value for key, value in pairs if key.replace("_", "").lower() == name.lower()]
    _need(all(value == found[0] for value in found))
    return found[0] if found else default


def _text(value: Any) -> str:
    _need(isinstance(value, str))
    return str(value).strip()


def _number(value: Any) -> Fraction:
    _need(re.fullmatch(r"[+-]?[0-9.]{1,64}([eE][+-]?[0-9]{1,3})?", text := _text(value), re.ASCII))
    return Fraction(text)


def _bet(market: str, selection: Any, side: str, odds: Any, stake: Any) -> Bet:
    number, price = _number(selection), _number(odds)
    without_noise = (_number(stake) * 10**8 + Fraction(1, 2)) // 1  # in units of the eighth decimal
    size = Fraction(without_noise // 10**6, 100)
    _need(number.denominator == 1 and 0 < number < 2**63)
    _need(RUNGS[0] <= price <= RUNGS[-1] and 2 <= size <= 100)
    rung = (
        min(rung for rung in RUNGS if rung >= price) if side == "BACK" else max(rung for rung in RUNGS if rung <= price)
    )
    return market, int(number), side, rung, size


def asked(kind: SignalKind, raw: bytes, now: int) -> list[Bet]:
    """Return the bets that a message asks for; none if anything in it is not plainly good."""
    with suppress(_BadError, ValueError, RecursionError, ArithmeticError, AttributeError):
        _need(len(raw) <= 65_536)
        read: Any = lambda text: text  # noqa: E731
        message = json.loads(raw.decode("utf-8-sig"), parse_float=read, parse_int=read, object_pairs_hook=tuple)
        market = _text(_get(message, "marketId"))
        _need(re.fullmatch(r"[0-9]{1,3}\.[0-9]{1,20}", market, re.ASCII))
        _need(_number(_get(message, "handicap") or "0") == 0)
        window = _get(message, "validityWindow")
        sent_at = _get(message, "timestamp") or None
        start = now
        if sent_at is not None:
            moment = datetime.fromisoformat(_text(sent_at))
            start = min(now, int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000))
        _need(start + (Fraction(60) if window is None else min(_number(window), Fraction(300))) * 1000 > now)
        if kind is SignalKind.SUREBET:
            sides = (("back", "backOdds", "stakeBack"), ("lay", "layOdds", "stakeLay"))
            return [
                _bet(
                    market, _get(message, f"{side}SelectionId"), side.upper(), _get(message, odds), _get(message, stake)
                )
                for side, odds, stake in sides
            ]
        signal_id = _get(message, "signalId")
        _need(isinstance(signal_id, str) and 1 <= len(signal_id) <= 128 and signal_id.isprintable())
        bets = []
        for selection in (_get(message, "primarySelection"), _get(message, "secondarySelection")):
            if selection is not None:
                _need(_number(_get(selection, "handicap") or "0") == 0)
                side = _text(_get(selection, "betType")).upper()
                _need(side in {"BACK", "LAY"})
                bets.append(
                    _bet(
                        market,
                        _get(selection, "selectionId"),
                        side,
                        _get(selection, "recommendedOdds"),
                        _get(selection, "stake"),
                    )
                )
        return bets
    return []


# --- the way of a message --------------------------------------------------------------------------------------------


def at_exchange(rig: Rig) -> list[Bet]:
    return [
        (bet.market_id, bet.selection_id, str(bet.side), Fraction(bet.price), Fraction(bet.size))
        for bet in rig.exchange.bets.values()
    ]


def check_record(record: SignalRecord) -> None:
    """Hold a record to what every one promises, and see that Redis would give it back."""
    assert record.status in TERMINAL, record
    refused = record.status is not SignalStatus.COMPLETED
    assert bool(record.reason) == bool(record.detail) == refused
    assert not refused or record.reason in set(Reason)
    assert len(record.signal_id) <= _LONGEST_ID
    assert len(record.payload) <= 65_536
    assert all(len(text) <= _MOST_TEXT for text in (record.detail, record.strategy, record.market_id))
    assert all(text.isprintable() for text in (record.signal_id, record.detail, record.strategy, record.market_id))
    assert decode_signal(encode(record)) == record


def travel(rig: Rig, kind: SignalKind, raw: bytes, wait_s: float) -> None:
    """Take one message from its channel as far as it goes."""
    # A malformed message gives its id to a good one that comes later.
    known = {name for name, record in rig.memory.signals.items() if record.reason != "MALFORMED_SIGNAL"}
    held, bets, before = dict(rig.memory.signals), at_exchange(rig), rig.telemetry.counts.total()
    good = asked(kind, raw, rig.clock.now)
    repeats = rig.telemetry.counts["rejected DUPLICATE_SIGNAL"]
    started = rig.receive(raw, kind)
    fresh = [
        record
        for signal_id, record in rig.memory.signals.items()
        if signal_id not in known and record != held.get(signal_id)
    ]
    assert rig.telemetry.counts.total() > before, "not counted"
    if not fresh:
        told = rig.telemetry.counts["rejected DUPLICATE_SIGNAL"] + rig.telemetry.counts["rejected MALFORMED_SIGNAL"]
        assert started is None
        assert told > repeats
        assert at_exchange(rig) == bets
        return
    [record] = fresh
    signal_id, market = record.signal_id, record.market_id
    if started is not None:
        assert started == record
        rig.clock.tick(wait_s)
        for step in (rig.validate, rig.place, rig.validate, rig.place):  # each rung twice
            step(signal_id, market)
    check_record(rig.signal(signal_id))
    new = at_exchange(rig)[len(bets) :]
    assert new in ([], good), "not what was asked for"
    assert bool(new) == (rig.signal(signal_id).status is SignalStatus.COMPLETED)
    for order in rig.orders(signal_id):
        assert decode_order(encode(order)) == order
        assert len(encode(order)) <= 3 * _MOST_TEXT


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@examples(300)
@given(messages=st.lists(MESSAGES, min_size=1, max_size=3), wait_s=st.sampled_from([0, 0, 0, 1, 12.499, 12.5, 61]))
def test_any_message(messages: list[tuple[SignalKind, bytes]], wait_s: float) -> None:
    rig = Rig()
    with capture_logs() as logs:
        for kind, raw in messages:
            travel(rig, kind, raw, wait_s)
    assert len(rig.memory.signals) <= len(messages)
    for line in logs:
        assert all(len(str(value)) <= _MOST_TEXT for value in line.values()), line["event"]
        assert line["event"] != "signal_rejected" or line["reason"] in set(Reason)


@pytest.mark.parametrize(("kind", "message"), [(SignalKind.SUREBET, SUREBETS[1]), (SignalKind.STRATEGY, STRATEGIES[2])])
def test_an_honest_message_trades(rig: Rig, kind: SignalKind, message: dict[str, Any]) -> None:
    travel(rig, kind, json.dumps(message).encode(), 0)
    assert at_exchange(rig) == asked(kind, json.dumps(message).encode(), rig.clock.now)
    assert len(rig.exchange.bets) == 2


@pytest.mark.parametrize("text", [text for text in TEXTS if not text.strip() or text == "x" * 300])
def test_the_second_reading_is_strict(text: str) -> None:
    assert not asked(SignalKind.STRATEGY, strategy_message(stake=text), 1_700_000_000_000)
    assert not asked(SignalKind.STRATEGY, strategy_message(marketId=text), 1_700_000_000_000)
    assert MARKET in str(asked(SignalKind.STRATEGY, strategy_message(), 1_700_000_000_000))
