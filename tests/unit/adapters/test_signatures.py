"""Signed signals: whose they are, and every way of not being signed."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.signing import Keys, by_hand, encoded

from executor.adapters.signatures import JwsSignatures, KeysUnusable, read_keys, read_signing_key
from executor.errors import InvalidSignal
from executor.ports import Opened

NOW = 1_700_000_000_000
PAYLOAD = b'{"signalId": "one"}'


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    found = Keys(tmp_path)
    found.add("ed")
    found.add("shared", "HS256")
    return found


def refused(checker: JwsSignatures, raw: bytes) -> str:
    with pytest.raises(InvalidSignal) as raised:
        checker.open(raw, NOW)
    assert raised.value.field == "signature"
    return raised.value.problem


def header(key_id: str = "ed", **members: Any) -> dict[str, Any]:
    return {"alg": "EdDSA", "kid": key_id} | members


@pytest.mark.parametrize("key_id", ["ed", "shared"])
def test_a_signed_message_says_who_and_what(keys: Keys, key_id: str) -> None:
    signed = keys.sign(key_id, PAYLOAD)
    for raw in (signed, b" " + signed + b"\r\n"):
        assert keys.checker(required=True).open(raw, NOW) == Opened(PAYLOAD, key_id)


def test_a_key_says_what_it_may_sign(keys: Keys) -> None:
    keys.add("narrow", strategies=["one", "two"])
    assert keys.checker().open(keys.sign("narrow", PAYLOAD), NOW).strategies == frozenset({"one", "two"})


def test_json_is_left_as_it_is_unless_a_signature_is_required(keys: Keys) -> None:
    for raw in (PAYLOAD, b"", b"nonsense", b"1.5", b"a.b.c.d", b"\xff.\xff.\xff"):
        assert keys.checker().open(raw, NOW) == Opened(raw)
        assert refused(keys.checker(required=True), raw) == "is missing"


def test_without_keys_nothing_signed_is_taken(keys: Keys) -> None:
    assert "KEYS_FILE" in refused(JwsSignatures(None, lambda: 0.0, required=False), keys.sign("ed", PAYLOAD))


def test_an_altered_message_is_refused(keys: Keys) -> None:
    head, payload, signature = keys.sign("ed", PAYLOAD).decode().split(".")
    other_head, _, other_signature = keys.sign("shared", PAYLOAD).decode().split(".")
    for parts in (
        (head, encoded(b'{"signalId": "two"}'), signature),
        (head, payload, "A" + signature[1:] if signature[0] != "A" else "B" + signature[1:]),
        (head, payload, ""),
        (head, "", signature),
        (head, payload, other_signature),
        (other_head, payload, signature),
        (encoded(header(typ="x")), payload, signature),
    ):
        refused(keys.checker(), ".".join(parts).encode())


def test_no_algorithm_and_other_algorithms_are_refused(keys: Keys) -> None:
    unsigned = f"{encoded({'alg': 'none', 'kid': 'ed'})}.{encoded(PAYLOAD)}."
    assert "none" in refused(keys.checker(), unsigned.encode())
    for name in ("nOnE", "HS512", "RS256", "ES256", "", "EdDSA ", None, 7, ["EdDSA"]):
        refused(keys.checker(), by_hand(header(alg=name), PAYLOAD, b"x" * 32))


def test_a_public_key_is_no_shared_secret(keys: Keys) -> None:
    """The old trick: sign with HMAC, and the public key, which everybody knows, as its secret."""
    public = keys.entries["ed"]["x"]
    for secret in (public.encode(), json.dumps(keys.entries["ed"]).encode(), b""):
        refused(keys.checker(), by_hand({"alg": "HS256", "kid": "ed"}, PAYLOAD, secret))


@pytest.mark.parametrize("key_id", [None, "", "stranger", 7, ["ed"], {"ed": 1}, "ed\x00", "../keys.json"])
def test_an_unknown_key_is_refused(keys: Keys, key_id: Any) -> None:
    assert "names no key" in refused(keys.checker(), by_hand({"alg": "EdDSA", "kid": key_id}, PAYLOAD, b"x" * 32))


def test_the_key_in_the_message_itself_counts_for_nothing(keys: Keys, tmp_path: Path) -> None:
    other = Keys(tmp_path / "other")
    other.folder.mkdir()
    other.add("ed")
    forged = other.sign("ed", PAYLOAD)
    refused(keys.checker(), forged)
    for member in ({"jwk": other.entries["ed"]}, {"jku": "https://127.0.0.1/keys"}, {"crit": ["b64"], "b64": False}):
        refused(keys.checker(), by_hand(header(**member), PAYLOAD, b"x" * 32))


def test_a_key_is_good_between_its_times(keys: Keys) -> None:
    keys.add("timed", nbf=NOW / 1000 - 10, exp=NOW / 1000 + 10)
    signed, checker = keys.sign("timed", PAYLOAD), keys.checker()
    for at in (NOW - 10_000, NOW, NOW + 9_999):
        assert checker.open(signed, at).key_id == "timed"
    for at, why in ((NOW - 10_001, "not valid yet"), (NOW + 10_000, "expired")):
        with pytest.raises(InvalidSignal, match=why):
            checker.open(signed, at)


def test_keys_come_and_go_without_a_restart(keys: Keys, capsys: pytest.CaptureFixture[str]) -> None:
    passed = [0.0]
    checker = JwsSignatures(keys.path, lambda: passed[0], required=True)
    keys.add("new")
    new, old = keys.sign("new", PAYLOAD), keys.sign("ed", PAYLOAD)
    refused(checker, new)
    passed[0] = 1.5
    assert checker.open(new, NOW).key_id == "new"
    keys.path.write_text("{")
    passed[0] = 3
    assert checker.open(old, NOW).key_id == "ed", "what cannot be read changes nothing"
    assert "signal_keys_not_loaded" in capsys.readouterr().out
    keys.path.unlink()
    passed[0] = 4.5
    assert checker.open(old, NOW).key_id == "ed"
    del keys.entries["ed"]
    keys.write()
    passed[0] = 6
    refused(checker, old)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("[1]", "Key Set"),
        ('{"keys": {}}', "Key Set"),
        ('{"keys": [1]}', "should be an object"),
        ('{"keys": [{"kty": "oct", "k": "AAAA"}]}', "kid"),
        ('{"keys": [{"kty": "oct", "kid": "", "k": "AAAA"}]}', "kid"),
        ('{"keys": [{"kty": "oct", "kid": "a", "k": "AAAA"}]}', "32 random bytes"),
        ('{"keys": [{"kty": "oct", "kid": "a"}]}', "cannot be read|not a key"),
        ('{"keys": [{"kty": "OKP", "kid": "a", "crv": "Ed25519", "x": "AAAA"}]}', "not a key"),
        ('{"keys": [{"kty": "OKP", "kid": "a", "crv": "X25519", "x": "AAAA"}]}', "Ed25519"),
        ('{"keys": [{"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"}]}', "Ed25519"),
        ('{"keys": [{"kty": "EC", "kid": "a"}]}', "Ed25519"),
        ('{"keys": [' * 500, "not JSON"),
    ],
)
def test_a_file_of_keys_says_what_is_wrong_with_it(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(KeysUnusable, match=why) as raised:
        read_keys(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"alg": "HS256"}, "EdDSA only"),
        ({"use": "enc"}, "use"),
        ({"exp": "tomorrow"}, "exp"),
        ({"nbf": True}, "nbf"),
        ({"strategies": "one"}, "strategies"),
        ({"strategies": [1]}, "strategies"),
    ],
)
def test_a_key_says_what_is_wrong_with_it(keys: Keys, members: dict[str, Any], why: str) -> None:
    keys.add("odd", **members)
    with pytest.raises(KeysUnusable, match=f"odd.*{why}"):
        read_keys(keys.path)


def test_private_keys_stay_with_their_publishers(keys: Keys) -> None:
    private = json.loads((keys.folder / "ed.jwk").read_text())
    keys.entries["ed"] = private
    keys.write()
    with pytest.raises(KeysUnusable, match="private") as raised:
        read_keys(keys.path)
    assert private["d"] not in str(raised.value)
    keys.entries["twice"] = keys.entries["shared"]
    del keys.entries["ed"]
    keys.write()
    with pytest.raises(KeysUnusable, match="another key's"):
        read_keys(keys.path)
    (keys.folder / "public.jwk").write_text(json.dumps({n: v for n, v in private.items() if n != "d"}))
    with pytest.raises(KeysUnusable, match="public key"):
        read_signing_key(keys.folder / "public.jwk")
    with pytest.raises(KeysUnusable, match="cannot be read"):
        read_keys(keys.folder / "nothing")
