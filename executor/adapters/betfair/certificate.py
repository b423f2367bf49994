"""The client certificate of the bot login: a .pfx or .pem file becomes a TLS context, and nothing else.

Invariant: the private key is never on a disk in the clear longer than it takes OpenSSL to read it: it goes through
memory where the system offers that, else through a file of mode 0600 that is unlinked at once. Everything wrong with
the file is one `CertificateInvalid` line that says what to do and shows neither key nor password.
"""

import contextlib
import os
import ssl
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import certifi
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from executor.errors import CertificateInvalid
from executor.settings.sections import BetfairSettings

_PATH: Final = "EXECUTOR_BETFAIR__CERTIFICATE_PATH"
_PASSWORD: Final = "EXECUTOR_BETFAIR__CERTIFICATE_PASSWORD"  # noqa: S105 - a variable's name
_SOON: Final = timedelta(days=30)  # time to make a new one and upload it
_MAX_BYTES: Final = 1024 * 1024  # a certificate with its chain has a few KB
_LEAST_BITS: Final = 1024  # Betfair: Non-Interactive login, RSA of 1024 or 2048 bits
_SAFE_BITS: Final = 2048  # below it OpenSSL takes none, unless it is told to
_AGAIN: Final = "make a new certificate and upload it to the account (Betfair: My Details, Security, Automated Betting)"
_CLIENT_AUTH: Final = x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class _Loaded:
    certificates: list[x509.Certificate]  # ours first
    key_pem: bytes = field(repr=False)


def certificate_expiry(settings: BetfairSettings) -> datetime:
    """Return when the client certificate ends, UTC.

    Raises:
        CertificateInvalid: it cannot be read.
    """
    return _load(settings).certificates[0].not_valid_after_utc


def certificate_warnings(settings: BetfairSettings) -> Iterator[tuple[str, str]]:
    """Yield what a person should do something about although the certificate works: (problem, advice).

    Raises:
        CertificateInvalid: it cannot be read.
    """
    path = settings.certificate_path
    left = certificate_expiry(settings) - datetime.now(UTC)
    if left < _SOON:
        yield f"{path} expires in {left.days} days", "make a new one and upload it"
    mode = stat.S_IMODE(path.stat().st_mode) if path is not None else 0
    if (bits := _rsa_bits(_load(settings).certificates[0])) is not None and bits < _SAFE_BITS:
        yield f"{path} has an RSA key of {bits} bits, and TLS is set to take it", "make one of 2048 bits and upload it"
    if not _is_for_clients(_load(settings).certificates[0]):
        yield f"{path} is not made for clients", "make one with the extended key usage clientAuth, as Betfair asks for"
    if mode & 0o077:
        yield f"{path} can be read by others (mode {mode:o})", "chmod 600: it holds the private key"


def client_context(settings: BetfairSettings) -> ssl.SSLContext:
    """Return a TLS context that shows the client certificate and verifies the server.

    Raises:
        CertificateInvalid: the certificate, its key or the CA bundle cannot be used.
    """
    loaded = _load(settings)
    _check_dates(settings, loaded.certificates[0])
    bundle = str(settings.ca_bundle or certifi.where())
    try:
        context = ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise CertificateInvalid(
            f"{bundle}: cannot be used as a CA bundle ({type(error).__name__}): "
            "point EXECUTOR_BETFAIR__CA_BUNDLE at a PEM file with the authorities to trust"
        ) from None
    bits = _rsa_bits(loaded.certificates[0])
    if bits is not None and bits < _LEAST_BITS:
        raise _invalid(settings, f"has an RSA key of {bits} bits, Betfair takes 1024 or 2048", _AGAIN)
    if bits is not None and bits < _SAFE_BITS:
        context.set_ciphers("DEFAULT:@SECLEVEL=1")  # 2, OpenSSL's own, refuses what Betfair takes
    pem = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in loaded.certificates) + loaded.key_pem
    try:
        with _as_file(pem) as path:
            context.load_cert_chain(path)
    except OSError as error:
        why = str(getattr(error, "reason", "") or error).lower().replace("_", " ")
        raise _invalid(settings, f"OpenSSL does not take certificate and key ({why})", _AGAIN) from None
    return context


def _rsa_bits(certificate: x509.Certificate) -> int | None:
    key = certificate.public_key()
    return key.key_size if isinstance(key, rsa.RSAPublicKey) else None


def _is_for_clients(certificate: x509.Certificate) -> bool:
    try:
        return _CLIENT_AUTH in certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:  # no limit
        return True
    except ValueError:
        return False


def _load(settings: BetfairSettings) -> _Loaded:
    path = settings.certificate_path
    if path is None:
        raise CertificateInvalid(f"no client certificate: set {_PATH} to a .pfx or .pem file")
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_BYTES)
    except OSError as error:
        raise _invalid(
            settings, f"cannot be read ({error.strerror})", f"set {_PATH} to a file that this user may read"
        ) from None
    if not data.strip():
        raise _invalid(settings, "is empty", "export certificate and key into it again")
    password = settings.certificate_password.get_secret_value().encode() or None
    return _load_pem(settings, data, password) if b"-----BEGIN" in data else _load_pfx(settings, data, password)


def _load_pfx(settings: BetfairSettings, data: bytes, password: bytes | None) -> _Loaded:
    try:
        try:
            key, certificate, more = pkcs12.load_key_and_certificates(data, password)
        except (ValueError, TypeError):  # a password that an unlocked file does not need is no mistake, as in a .pem
            key, certificate, more = pkcs12.load_key_and_certificates(data, None)
    except UnsupportedAlgorithm:
        raise _invalid(settings, "is protected in a way that is out of use", "export it again with AES") from None
    except (ValueError, TypeError):
        raise _invalid(settings, *_no_pfx(data)) from None
    if key is None:  # asked first: without a key no certificate counts as the main one
        raise _no_key(settings)
    if certificate is None:
        raise _invalid(settings, "holds no certificate", "export it again, together with its key")
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _Loaded(_ours_first(settings, [certificate, *more], key.public_key()), key_pem)


def _no_pfx(data: bytes) -> tuple[str, str]:
    """Say what a file is that cannot be read as .pfx, and what to do."""
    with contextlib.suppress(ValueError):
        x509.load_der_x509_certificate(data)
        return "is a bare certificate without its key", "export certificate and key into one .pfx or .pem file"
    with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
        serialization.load_der_private_key(data, None)
        return "is a bare key without its certificate", "export certificate and key into one .pfx or .pem file"
    return "is no .pfx file, or the password is wrong", f"set {_PASSWORD} to the password of the file"


def _ours_first(settings: BetfairSettings, found: list[x509.Certificate], public: object) -> list[x509.Certificate]:
    """Put the certificate that belongs to the key before those of its issuers, in whatever order a file has them."""
    ours = [each for each in found if each.public_key() == public]
    if not ours:
        raise _invalid(settings, "certificate and key do not belong together", "make both with the same key")
    ours.sort(key=lambda each: each.not_valid_after_utc, reverse=True)  # renewed with the same key: the newest
    return [ours[0], *(each for each in found if each not in ours)]


def _load_pem(settings: BetfairSettings, data: bytes, password: bytes | None) -> _Loaded:
    try:
        certificates = x509.load_pem_x509_certificates(data)
    except ValueError:
        request = b"BEGIN CERTIFICATE REQUEST" in data or b"BEGIN NEW CERTIFICATE REQUEST" in data
        problem = "holds a request for a certificate (CSR), not the certificate" if request else ""
        problem = problem or "holds no readable certificate"
        raise _invalid(settings, problem, "a .pem file needs certificate and key") from None
    if b"PRIVATE KEY-----" not in data:
        raise _no_key(settings)
    try:
        # A password that an unencrypted key does not need is no mistake worth stopping for.
        key = serialization.load_pem_private_key(data, password if b"ENCRYPTED" in data else None)
    except TypeError:  # locked, and no password was given
        raise _invalid(settings, "the private key needs a password", f"set {_PASSWORD} to its password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _invalid(
            settings, "the private key cannot be read, or the password is wrong", f"set {_PASSWORD} to its password"
        ) from None
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _Loaded(_ours_first(settings, certificates, key.public_key()), key_pem)


def _check_dates(settings: BetfairSettings, certificate: x509.Certificate) -> None:
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc <= now:
        raise _invalid(
            settings,
            f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}",
            _AGAIN,
        )
    if certificate.not_valid_before_utc > now:
        raise _invalid(
            settings, f"is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC", "check the clock"
        )


def _no_key(settings: BetfairSettings) -> CertificateInvalid:
    return _invalid(settings, "holds no private key", "export certificate and key into one file")


def _invalid(settings: BetfairSettings, problem: str, advice: str) -> CertificateInvalid:
    return CertificateInvalid(f"client certificate {settings.certificate_path}: {problem}: {advice}")


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Give content a path for OpenSSL, which reads files only."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("certificate")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    descriptor, path = tempfile.mkstemp()  # mode 0600
    try:
        os.write(descriptor, content)
        yield path
    finally:
        os.close(descriptor)
        Path(path).unlink()
