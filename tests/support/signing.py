"""Publishers' keys, and what is signed with them: by joserfc where that is what a publisher would do, by hand else."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joserfc import jwk

from executor.adapters.signatures import JwsSignatures, read_signing_key, sign


def encoded(data: bytes | Mapping[str, Any]) -> str:
    """Return base64url without padding, of JSON where it is no bytes."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hand(header: Mapping[str, Any], payload: bytes, secret: bytes) -> bytes:
    """Return a JWS with any header, its signature an HMAC with any secret."""
    signed = f"{encoded(header)}.{encoded(payload)}"
    return f"{signed}.{encoded(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}".encode()


@dataclass
class Keys:
    """A folder with a key set and its publishers' private keys."""

    folder: Path
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / "keys.json"

    def add(self, key_id: str, kind: str = "EdDSA", **members: Any) -> Path:
        """Give a publisher a key; returns where his own part is."""
        key: Any = jwk.OKPKey.generate_key("Ed25519") if kind == "EdDSA" else jwk.OctKey.generate_key(256)
        private = self.folder / f"{key_id}.jwk"
        private.write_text(json.dumps(key.as_dict(private=True) | {"kid": key_id}))
        public = key.as_dict(private=kind != "EdDSA")
        self.entries[key_id] = public | {"kid": key_id} | members
        self.write()
        return private

    def write(self) -> None:
        self.path.write_text(json.dumps({"keys": list(self.entries.values())}))

    def sign(self, key_id: str, payload: bytes) -> bytes:
        return sign(read_signing_key(self.folder / f"{key_id}.jwk"), payload).encode()

    def checker(self, *, required: bool = False) -> JwsSignatures:
        return JwsSignatures(self.path, lambda: 0.0, required=required)
