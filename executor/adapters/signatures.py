"""Signed signals: compact JWS (RFC 7515), checked with the public or shared keys of a JSON Web Key Set (RFC 7517).

Invariants: the kind of a key fixes its algorithm (OKP Ed25519: EdDSA, oct: HS256), whatever a message's header says;
every key has an id, which names its publisher; a file that cannot be used leaves the keys as they were. The file is
looked at again once a second, so that keys come and go without a restart. `nbf` and `exp` are epoch seconds.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import OctKey, OKPKey

from executor.errors import ExecutorError, InvalidSignal
from executor.ports import Opened

log = structlog.get_logger(__name__)

_COMPACT: Final = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")  # no JSON text looks like it
_ED25519: Final = ("EdDSA", "Ed25519")  # RFC 8037's name, and RFC 9864's
_HMAC: Final = ("HS256",)
_FIELD: Final = "signature"
_MAX_FILE: Final = 1 << 20  # thousands of keys
_MAX_ID: Final = 64  # characters: it goes into records and logs
_SHORTEST: Final = 32  # bytes of a shared key; RFC 7518, 3.2: at least as long as the hash
_LOOK_S: Final = 1.0
# What joserfc and cryptography let through beside JoseError, on input that is wrong in some way of its own.
_WRONG: Final = (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError)


class KeysUnusable(ExecutorError):
    """A file of keys cannot be used; the text names the key and what is wrong with it, never the key itself."""


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """One publisher's key, and when and for what it may be used."""

    key_id: str
    algorithms: tuple[str, ...]  # names of the one that its kind has
    key: OctKey | OKPKey
    not_before: float | None
    expires: float | None
    strategies: frozenset[str] | None

    @property
    def is_private(self) -> bool:
        """Tell whether it can sign."""
        return isinstance(self.key, OctKey) or bool(self.key.is_private)


def read_keys(path: Path) -> dict[str, Key]:
    """Read a JSON Web Key Set of publishers' keys.

    Raises:
        KeysUnusable: there is none, or one of its keys cannot be used.
    """
    data = _load(path)
    entries = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise KeysUnusable(f'{path}: should be a JSON Web Key Set: {{"keys": [...]}}')
    keys: dict[str, Key] = {}
    for number, entry in enumerate(entries, 1):
        key = _key(entry, f"{path}: key {number}")
        if key.key_id in keys:
            raise KeysUnusable(f"{path}: key {number}: its kid {key.key_id!r} is another key's, too")
        if isinstance(key.key, OKPKey) and key.is_private:
            raise KeysUnusable(f"{path}: key {number}: is a private key; only its public part (without d) belongs here")
        keys[key.key_id] = key
    return keys


def read_signing_key(path: Path) -> Key:
    """Read the one key (a JSON Web Key) that a publisher signs with.

    Raises:
        KeysUnusable: it is none, or cannot sign.
    """
    key = _key(_load(path), str(path))
    if not key.is_private:
        raise KeysUnusable(f"{path}: is a public key; to sign, the private one is needed (with d)")
    return key


def sign(key: Key, payload: bytes) -> str:
    """Return a payload as a compact JWS."""
    header = {"alg": key.algorithms[0], "kid": key.key_id}
    return jws.serialize_compact(header, payload, key.key, registry=_Registry(algorithms=key.algorithms))


def _load(path: Path) -> Any:  # noqa: ANN401 - JSON
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise KeysUnusable(f"{path}: cannot be read: {error.strerror}") from None
    if len(text) > _MAX_FILE:
        raise KeysUnusable(f"{path}: is larger than {_MAX_FILE} bytes")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise KeysUnusable(f"{path}: is not JSON") from None


def _key(entry: object, where: str) -> Key:
    if not isinstance(entry, dict):
        raise KeysUnusable(f"{where}: should be an object")
    key_id = entry.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= _MAX_ID or not key_id.isprintable():
        raise KeysUnusable(f"{where}: needs a kid, its publisher's name, of up to {_MAX_ID} characters")
    where = f"{where} ({key_id})"
    algorithms, key = _material(entry, where)
    if entry.get("alg", algorithms[0]) not in algorithms:
        raise KeysUnusable(f"{where}: a key of this kind signs with {algorithms[0]} only")
    if entry.get("use", "sig") != "sig":
        raise KeysUnusable(f"{where}: its use is not sig")
    return Key(
        key_id=key_id,
        algorithms=algorithms,
        key=key,
        not_before=_moment(entry, "nbf", where),
        expires=_moment(entry, "exp", where),
        strategies=_strategies(entry, where),
    )


def _material(entry: Mapping[str, Any], where: str) -> tuple[tuple[str, ...], OctKey | OKPKey]:
    known = {name: entry[name] for name in ("kty", "crv", "x", "d", "k") if name in entry}
    try:
        if known.get("kty") == "OKP" and known.get("crv") == "Ed25519":
            return _ED25519, OKPKey.import_key(known)
        if known.get("kty") == "oct":
            if len(known["k"]) * 3 // 4 < _SHORTEST:  # before joserfc, which warns
                raise KeysUnusable(f"{where}: a shared key should have at least {_SHORTEST} random bytes")
            return _HMAC, OctKey.import_key(known)
    except _WRONG:
        raise KeysUnusable(f"{where}: is not a key that can be read") from None
    raise KeysUnusable(f"{where}: should be of kty OKP with crv Ed25519, or of kty oct")


def _moment(entry: Mapping[str, Any], name: str, where: str) -> float | None:
    value = entry.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise KeysUnusable(f"{where}: {name} should be a time in epoch seconds")
    return value


def _strategies(entry: Mapping[str, Any], where: str) -> frozenset[str] | None:
    named = entry.get("strategies")
    if named is None:
        return None
    if not isinstance(named, list) or not all(isinstance(strategy, str) for strategy in named):
        raise KeysUnusable(f"{where}: strategies should be a list of names")
    return frozenset(named)


class _Registry(jws.JWSRegistry):
    """Takes the algorithms that it is made for and no other; joserfc would warn that RFC 9864 renames EdDSA."""

    def get_alg(self, name: str) -> Any:  # noqa: ANN401 - joserfc's model of an algorithm
        """Return an algorithm."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(f"Algorithm {name!r} is not of this key's kind")
        return self.algorithms[name]


class JwsSignatures:
    """`Signatures` with the keys of a file; `passed` is a clock in seconds that never goes back.

    Raises:
        KeysUnusable: at the start; later the keys that were good stay.
    """

    def __init__(self, path: Path | None, passed: Callable[[], float], *, required: bool) -> None:
        self._path = path
        self._passed = passed
        self._required = required
        self._seen = self._look()
        self._looked = passed()
        self._keys = read_keys(path) if path is not None else {}

    def open(self, raw: bytes, now: int) -> Opened:
        """Return what a message says and who signed it."""
        text = raw.strip()
        if not _COMPACT.fullmatch(text):
            if self._required:
                raise InvalidSignal(_FIELD, "is missing")
            return Opened(raw)
        if self._path is None:
            raise InvalidSignal(_FIELD, "cannot be checked: EXECUTOR_SIGNALS__KEYS_FILE is not set")
        self._reload()
        try:
            return self._checked(text, now / 1000)
        except InvalidSignal:
            raise
        except _WRONG as error:
            problem = ascii(str(error))[1:-1] if isinstance(error, JoseError) else "it cannot be read"
            raise InvalidSignal(_FIELD, f"is no compact JWS that is taken here: {problem[:100]}") from None

    def _checked(self, text: bytes, now: float) -> Opened:
        message = jws.extract_compact(text)
        key = self._named(message.headers().get("kid"))
        if not jws.validate_compact(message, key.key, registry=_Registry(algorithms=key.algorithms)):
            raise InvalidSignal(_FIELD, f"is not one of key {key.key_id!r}")
        if key.not_before is not None and now < key.not_before:
            raise InvalidSignal(_FIELD, f"is of key {key.key_id!r}, which is not valid yet")
        if key.expires is not None and now >= key.expires:
            raise InvalidSignal(_FIELD, f"is of key {key.key_id!r}, which has expired")
        return Opened(message.payload, key.key_id, key.strategies)

    def _named(self, key_id: object) -> Key:
        key = self._keys.get(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise InvalidSignal(_FIELD, f"names no key that is known: {ascii(key_id)[:_MAX_ID]}")
        return key

    def _look(self) -> tuple[int, int, int] | None:
        """Return what tells one state of the file from the next."""
        try:
            found = self._path.stat() if self._path is not None else None
        except OSError:
            return None
        return None if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)

    def _reload(self) -> None:
        now = self._passed()
        if self._path is None or 0 <= now - self._looked < _LOOK_S:
            return
        self._looked = now
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = read_keys(self._path)
            log.warning("signal_keys_loaded", keys=sorted(self._keys))
        except KeysUnusable as error:
            log.error("signal_keys_not_loaded", error=str(error), hint="the keys from before are still used")  # noqa: TRY400
