"""The sandbox's own certificates: an authority, a server certificate and a client certificate, made once.

Owns: ca.pem, server.pem, client.pem and client.pfx (the latter two hold the same key) in the sandbox's directory, and
betfair.pem where it stands in for Betfair.
Invariant: private keys are readable by their owner only; a directory that has them all is left as it is, so that a
client configured once keeps working. Nothing outside loopback or the given names is vouched for. Units: days.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Ten years: a test exchange must not stop on its own; browsers' limits do not apply to a private authority.
_VALID_DAYS: Final = 3650
# Betfair: certificates for the bot login are RSA with 1024 or 2048 bits.
_KEY_BITS: Final = 2048
_HOST_NAMES: Final = ("localhost", "127.0.0.1", "::1", "sandbox")


@dataclass(frozen=True, slots=True)
class CertificatePaths:
    """Where the files of one sandbox directory are."""

    ca: Path
    server: Path
    client_pem: Path
    client_pfx: Path
    betfair: Path
    authorities: Path  # a folder with nothing else in it

    @classmethod
    def of(cls, directory: Path) -> "CertificatePaths":
        """Return the paths under `directory`."""
        names = ("ca.pem", "server.pem", "client.pem", "client.pfx", "betfair.pem", "authorities")
        return cls(*(directory / name for name in names))

    def exist(self) -> bool:
        """Tell whether every file is there that each sandbox has."""
        return all(path.is_file() for path in (self.ca, self.server, self.client_pem, self.client_pfx))


def ensure_certificates(
    directory: Path, pfx_password: str, extra_names: tuple[str, ...] = (), betfair_names: tuple[str, ...] = ()
) -> CertificatePaths:
    """Make the certificates in `directory` unless all are there, for these names and this password.

    `betfair_names` get a certificate of their own, which a sandbox shows only where it stands in for Betfair.
    """
    paths = CertificatePaths.of(directory)
    names = tuple(dict.fromkeys((*_HOST_NAMES, *extra_names)))
    known = _covers(paths.server, names) and (not betfair_names or _covers(paths.betfair, betfair_names))
    if known and paths.exist() and _opens(paths.client_pfx, pfx_password):
        _share(paths)
        return paths
    directory.mkdir(parents=True, exist_ok=True)
    ca_key = _new_key()
    ca = _certificate("Sandbox exchange authority", ca_key, None, ())
    server_key = _new_key()
    server = _certificate("Sandbox exchange", server_key, (ca, ca_key), (_server_usage(), _alternative_names(names)))
    if betfair_names:
        key = _new_key()
        named = _certificate(
            "Sandbox as Betfair", key, (ca, ca_key), (_server_usage(), _alternative_names(betfair_names))
        )
        _write(paths.betfair, _pem(named) + _key_pem(key))
    else:
        paths.betfair.unlink(missing_ok=True)  # of the authority that is replaced now
    client_key = _new_key()
    client = _certificate("Sandbox client", client_key, (ca, ca_key), (_client_usage(),))
    _write(paths.ca, _pem(ca), mode=0o644)
    _write(paths.server, _pem(server) + _key_pem(server_key))
    _write(paths.client_pem, _pem(client) + _key_pem(client_key))
    pfx = pkcs12.serialize_key_and_certificates(
        b"sandbox", client_key, client, [ca], serialization.BestAvailableEncryption(pfx_password.encode())
    )
    _write(paths.client_pfx, pfx)
    _share(paths)
    return paths


def _share(paths: CertificatePaths) -> None:
    """Leave the authority in a folder of its own, twice: Nautilus Trader takes the first one there for a client's."""
    paths.authorities.mkdir(exist_ok=True)
    for name in ("ca-1.pem", "ca-2.pem"):
        _write(paths.authorities / name, paths.ca.read_bytes(), mode=0o644)


def _covers(server: Path, names: tuple[str, ...]) -> bool:
    if not server.is_file():
        return False
    certificate = x509.load_pem_x509_certificate(server.read_bytes())
    known = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    listed = set(known.get_values_for_type(x509.DNSName))
    listed |= {str(address) for address in known.get_values_for_type(x509.IPAddress)}
    return set(names) <= listed


def _opens(pfx: Path, password: str) -> bool:
    try:
        pkcs12.load_key_and_certificates(pfx.read_bytes(), password.encode())
    except ValueError:
        return False
    return True


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)


def _certificate(
    common_name: str,
    key: rsa.RSAPrivateKey,
    issuer: tuple[x509.Certificate, rsa.RSAPrivateKey] | None,
    extensions: tuple[x509.ExtensionType, ...],
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    signer = key if issuer is None else issuer[1]
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # a client whose clock is behind
        .not_valid_after(now + timedelta(days=_VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
        .add_extension(_key_usage(is_authority=issuer is None), critical=True)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=not is_authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _server_usage() -> x509.ExtensionType:
    return x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


def _client_usage() -> x509.ExtensionType:
    return x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])


def _alternative_names(names: tuple[str, ...]) -> x509.ExtensionType:
    general: list[x509.GeneralName] = []
    for name in names:
        address = _address(name)
        general.append(x509.DNSName(name) if address is None else x509.IPAddress(address))
    return x509.SubjectAlternativeName(general)


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
