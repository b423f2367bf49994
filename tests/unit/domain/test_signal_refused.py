"""What is no signal is refused naming its field; no message does anything else."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.factories import EXAMPLE, GONE, STRATEGY, changed

from executor.domain.money import LADDER, MAX_PRICE, MIN_PRICE
from executor.domain.signal import MAX_BYTES, MAX_DEPTH, Signal, SignalKind, deadline, parse_signal
from executor.errors import InvalidSignal

PROPERTY: Final = settings(deadline=None, max_examples=300)
ARRIVED: Final = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


def refused(kind: SignalKind, raw: bytes) -> InvalidSignal:
    with pytest.raises(InvalidSignal) as caught:
        parse_signal(kind, raw)
    return caught.value


@pytest.mark.parametrize("kind", SignalKind)
def test_a_message_of_exactly_64_kib_is_read_and_one_byte_more_is_not(kind: SignalKind) -> None:
    raw = EXAMPLE[kind].encode().ljust(MAX_BYTES)
    assert parse_signal(kind, raw).market_id == "1.200000000"
    assert refused(kind, raw + b" ").field == "message"
    assert MAX_BYTES == 64 * 1024


NOT_NUMBERS: Final = ["", "ten", "1,5", "1_000", "٢", "NaN", "Infinity", "0x1", True, None, [], {}, [2], "1" * 33]
AMOUNTS: Final = [*NOT_NUMBERS, "1e400", 10**9 + 1, -(10**30), 10**400]
WHOLES: Final = [*NOT_NUMBERS, 0, -1, 1.5, 2**63, "1e400", "-0"]
TEXTS: Final[list[Any]] = [True, None, 1.5, [], {}]
CONTROL: Final = ["a\nb", "a\x00b", "\x1b[2J", "a\u2028b", "\ud800", "a\u202eb"]
BAD: Final[dict[SignalKind, dict[str, list[Any]]]] = {
    SignalKind.SUREBET: {
        "marketId": [GONE, *TEXTS, "", "1", "1.", ".5", "1.2.3", "1.\uff12", "1.1\n", "../../x", 7, "1." + "1" * 21],
        "backSelectionId": [GONE, *WHOLES],
        "laySelectionId": [GONE, *WHOLES],
        "backOdds": [GONE, *AMOUNTS],
        "layOdds": [GONE, *AMOUNTS],
        "stakeBack": [GONE, *AMOUNTS],
        "stakeLay": [GONE, *AMOUNTS],
        "strategy": [True, 1.5, [], "x" * 129, *CONTROL],
        "handicap": [-1.5, "0.25", True, "zero"],
        "validityWindow": [True, "soon", [], "00:00:30", "٣٠"],
        "timestamp": [
            True,
            1700000000,
            "yesterday",
            "12:00",
            "202\uff16-05-01",
            "0001-01-01T00:00:00+14:00",
            [],
            "\ud800",
        ],
    },
    SignalKind.STRATEGY: {
        "signalId": [GONE, *TEXTS, "", "x" * 129, *CONTROL],
        "marketId": [GONE, *TEXTS, *CONTROL],
        "primarySelection.selectionId": [GONE, *WHOLES],
        "primarySelection.recommendedOdds": [GONE, *AMOUNTS],
        "primarySelection.stake": [GONE, *AMOUNTS],
        "primarySelection.betType": [GONE, *TEXTS, "", "Hold", "BACK\n", 0],
        "primarySelection.handicap": [-1.5, "1e-9", True],
        "handicap": [-1.5, "0.5"],
        "primarySelection": [GONE, None, "123456", [], 5],
        "secondarySelection": ["123456", [], 5, True],
        "secondarySelection.selectionId": ["x"],
        "unmatchedTimeoutSeconds": [True, 0, -1, 3601, 1.5, "٣٠", "soon", []],
        "validityWindow": [False, "1_0", {}],
    },
}


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [(kind, path, value) for kind, fields in BAD.items() for path, values in fields.items() for value in values],
)
def test_a_bad_field_is_refused_by_its_name(kind: SignalKind, path: str, value: object) -> None:
    error = refused(kind, json.dumps(changed(kind, path, value)).encode())
    assert error.field == path
    assert str(error) == f"{path}: {error.problem}"
    assert len(str(error)) < 120


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"", "message"),
        (b"\x80\x04\x95", "message"),  # pickle
        (b"\xff\xfe{\x00}\x00", "message"),  # UTF-16
        (b"null", "message"),
        (b"[]", "message"),
        (b'"text"', "message"),
        (b"{", "message"),
        (b"{'marketId': 1}", "message"),
        (b'{"x": NaN}', "message"),
        (b'{"x": -Infinity}', "message"),
        (b'{"marketId": "1.1", "backSelectionId": 1, "backOdds": 1e400}', "backOdds"),
        (b'{"marketId": "1.1", "backSelectionId": 1e400}', "backSelectionId"),
        (b'{"marketId": "1.1", "backSelectionId": -0}', "backSelectionId"),
        (b'{"x": 1e99999999999999999999}', "message"),
        (b'{"x": ' + b"9" * 5000 + b"}", "message"),
        (b"[" * 60_000, "message"),
        (b'{"a":' * 10_000, "message"),
        (b'{"marketId":"1.1","marketId":"1.2"}', "marketId"),
        (b'{"marketId":"1.1","MARKET_ID":"1.2"}', "marketId"),
        (b'{"stakeBack":1,"stakeBack":true}', "marketId"),  # equal for Python: the last one counts, as elsewhere
        (rb'{"\ud800":1,"\ud800":2}', "message"),  # an error must be fit for a log
        (b'{"a\\nb":1,"a\\nb":2}', "message"),
        (b'{"' + b"n" * 200 + b'":1,"' + b"n" * 200 + b'":2}', "n" * 64),
    ],
)
def test_what_is_no_message_is_refused(raw: bytes, field: str) -> None:
    assert refused(SignalKind.SUREBET, raw).field == field


@pytest.mark.parametrize("field", ["extra", "Strategy"])
def test_nesting_is_bounded_long_before_pythons_recursion_limit(field: str) -> None:
    def nested(depth: int) -> bytes:
        return (STRATEGY.rstrip("}\n") + f', "{field}": {"[" * depth + "]" * depth}}}').encode()

    if field == "extra":
        assert parse_signal(SignalKind.STRATEGY, nested(MAX_DEPTH - 1)).signal_id == "abc-123"
    for depth in (MAX_DEPTH, *range(900, 1000)):
        assert refused(SignalKind.STRATEGY, nested(depth)).field == "message"


def test_problems_keep_their_spelling() -> None:
    raw = json.dumps(changed(SignalKind.STRATEGY, "primarySelection.betType", "Hold")).encode()
    assert refused(SignalKind.STRATEGY, raw).problem == "Back or Lay is expected"
    raw = json.dumps(changed(SignalKind.STRATEGY, "signalId", GONE)).encode()
    assert refused(SignalKind.STRATEGY, raw).problem == "field required"


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=8)
    | st.text("0123456789.-+eE", max_size=6)
    | st.sampled_from(["Back", "Lay", "1.2", "2026-05-01", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", 2.5])
)
NAMES: Final = sorted({path.split(".")[-1] for fields in BAD.values() for path in fields})
names = st.sampled_from(NAMES) | st.text(max_size=5)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=6), max_leaves=12
)
paths = [(kind, path) for kind, fields in BAD.items() for path in fields]


def attempt(kind: SignalKind, raw: bytes) -> Signal | InvalidSignal:
    try:
        return parse_signal(kind, raw)
    except InvalidSignal as error:
        return error


def holds(kind: SignalKind, raw: bytes) -> None:
    """Check that `raw` is a sound signal, or refused in words fit for a log: nothing else."""
    signal = attempt(kind, raw)
    if isinstance(signal, InvalidSignal):
        assert str(signal).isprintable()
        return
    assert 1 <= len(signal.signal_id) <= 128
    assert (signal.signal_id + signal.strategy).isprintable()
    for leg in signal.legs:
        assert 0 < leg.selection_id < 2**63
        assert leg.size.as_tuple().exponent == -2
        assert leg.price in LADDER or not MIN_PRICE <= leg.price <= MAX_PRICE
    assert deadline(signal, ARRIVED, max_age_s=60, max_validity_s=300) <= ARRIVED + timedelta(seconds=300)


@PROPERTY
@given(st.sampled_from(SignalKind), st.binary(max_size=200))
def test_any_bytes_are_a_signal_or_refused(kind: SignalKind, raw: bytes) -> None:
    holds(kind, raw)


@PROPERTY
@given(st.sampled_from(SignalKind), documents)
def test_any_json_is_a_signal_or_refused(kind: SignalKind, document: object) -> None:
    holds(kind, json.dumps(document).encode())


@settings(PROPERTY, max_examples=400)
@given(st.data(), st.sampled_from(paths), documents)
def test_a_signal_with_any_one_or_two_fields_is_a_signal_or_refused(
    data: st.DataObject, where: tuple[SignalKind, str], value: object
) -> None:
    kind, path = where
    message = changed(kind, path, value)
    message[data.draw(names)] = data.draw(scalars)
    holds(kind, json.dumps(message).encode())
