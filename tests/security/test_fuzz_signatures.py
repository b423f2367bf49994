"""Whatever stands where a signature belongs: it is the publisher's own message, unaltered, or it is refused.

By hand, ten minutes: FUZZ_EXAMPLES=300000 pytest tests/security/test_fuzz_signatures.py --timeout 3600
"""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.engine_rig import Rig, strategy_message
from support.hostile import examples
from support.signing import Keys, by_hand, encoded

from executor.adapters.signatures import JwsSignatures
from executor.engine.intake import Message, Receipt, receive_all
from executor.errors import InvalidSignal
from executor.ports import Opened

NOW = 1_700_000_000_000
PAYLOADS = (b'{"signalId": "one"}', b"", b"\xff\x00", b'{"a": "' + b"x" * 2000 + b'"}')
KEY_IDS = ("ed", "shared")

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_ALGORITHMS = st.sampled_from(["none", "HS256", "EdDSA", "Ed25519", "RS256", "HS512", "Ed448", "b64"]) | _JSON
_HEADERS = st.fixed_dictionaries(
    {"alg": _ALGORITHMS},
    optional={
        "kid": st.sampled_from([*KEY_IDS, "stranger"]) | _JSON,
        "b64": st.booleans(),
        "crit": st.sampled_from([["b64"], ["exp"], [], "b64"]) | _JSON,
        "jwk": _JSON,
        "typ": _JSON,
        "zip": st.just("DEF"),
    },
)
_TEXT = st.text('ABCabc019-_.=+/ {}"', max_size=200).map(str.encode)


@cache
def keys() -> Keys:
    folder = Path(tempfile.mkdtemp())
    found = Keys(folder)
    found.add("ed")
    found.add("shared", "HS256")
    return found


@cache
def checker() -> JwsSignatures:
    return keys().checker(required=True)


@cache
def signed() -> dict[bytes, Opened]:
    return {keys().sign(key_id, payload): Opened(payload, key_id) for key_id in KEY_IDS for payload in PAYLOADS}


def opened(raw: bytes) -> Opened | None:
    problem = ""
    try:
        return checker().open(raw, NOW)
    except InvalidSignal as error:
        problem = str(error)
    assert problem.startswith("signature: ")
    assert problem.isprintable(), "it goes into a line of the log"
    assert len(problem) < 300
    return None


def is_genuine(found: Opened | None) -> bool:
    """Tell whether it was refused, or is what a publisher signed."""
    return found is None or found in signed().values()


@examples(400)
@given(st.integers(0, 7), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=3), st.booleans())
def test_an_altered_byte_changes_nothing_that_is_taken(which: int, changes: list[tuple[int, int]], cut: bool) -> None:
    raw = bytearray(sorted(signed())[which])
    for at, value in changes:
        raw[at % len(raw)] = value
    assert is_genuine(opened(bytes(raw[: len(raw) // 2] if cut else raw)))


@examples(400)
@given(st.lists(st.integers(0, 7), min_size=3, max_size=3), st.lists(_TEXT, max_size=1))
def test_parts_of_several_messages_make_no_new_one(which: list[int], more: list[bytes]) -> None:
    parts = [sorted(signed())[number].split(b".")[at] for at, number in enumerate(which)]
    assert is_genuine(opened(b".".join([*parts, *more])))


@examples(600)
@given(_HEADERS, st.sampled_from(PAYLOADS) | st.binary(max_size=40), st.binary(max_size=80))
def test_no_header_makes_a_forgery_good(header: dict[str, Any], payload: bytes, secret: bytes) -> None:
    public = keys().entries["ed"]
    for each in (secret, public["x"].encode(), json.dumps(public).encode()):
        assert opened(by_hand(header, payload, each)) is None
    assert opened(f"{encoded(header)}.{encoded(payload)}.".encode()) is None
    assert opened(f"{encoded(json.dumps(header).encode() + secret)}.{encoded(payload)}.AAAA".encode()) is None


@examples(400)
@given(_TEXT | st.binary(max_size=200))
def test_nothing_else_is_taken_for_a_signature(raw: bytes) -> None:
    assert opened(raw) is None


@examples(100)
@given(st.binary(max_size=300) | st.sampled_from(sorted(signed())))
def test_behind_the_door_each_ends_in_one_record(raw: bytes) -> None:
    rig = Rig()
    intake = type(rig.intake)(rig.store, rig.telemetry, rig.policy, signatures=checker())
    genuine = keys().sign("ed", strategy_message("genuine", timestamp="2023-11-14T22:13:19Z"))
    messages = [
        Message("strategy", payload, NOW, NOW, "bridge-1", str(at)) for at, payload in enumerate((raw, genuine, raw))
    ]
    receipts = receive_all(intake, messages)
    assert all(isinstance(receipt, Receipt) for receipt in receipts)
    assert rig.memory.signals["genuine"].publisher == "ed"
    assert len(rig.memory.signals) == 2
