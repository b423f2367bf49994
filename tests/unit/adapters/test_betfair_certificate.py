"""The client certificate: every mistake that people make with it is one line that says what to do."""

import secrets
import shutil
import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from executor.adapters.betfair.certificate import certificate_expiry, certificate_warnings, client_context
from executor.errors import CertificateInvalid
from executor.settings.sections import BetfairSettings

NOW = datetime.now(UTC).replace(microsecond=0)
PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER
PKCS8 = serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()
LOCKED = serialization.BestAvailableEncryption(b"right")
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def request(key: Key) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(NAME)
    return builder.sign(key, hashes.SHA256()).public_bytes(PEM)


def certificate(
    key: Key, start: int = -1, end: int = 9, usage: x509.ObjectIdentifier | None = None
) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).public_key(key.public_key())
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    builder = builder.serial_number(1).not_valid_before(NOW + timedelta(days=start))
    return builder.not_valid_after(NOW + timedelta(days=end)).sign(key, hashes.SHA256())


def key_pem(key: Key, encryption: serialization.KeySerializationEncryption = PLAIN) -> bytes:
    return key.private_bytes(PEM, PKCS8, encryption)


def pfx(key: ec.EllipticCurvePrivateKey, encryption: serialization.KeySerializationEncryption = LOCKED) -> bytes:
    return pkcs12.serialize_key_and_certificates(b"client", key, certificate(key), None, encryption)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., BetfairSettings]:
    def make(content: bytes | None, password: str = "", **more: object) -> BetfairSettings:
        path = tmp_path / secrets.token_hex(4)
        if content is not None:
            path.write_bytes(content)
        values = {"certificate_path": path, "certificate_password": password} | more
        return BetfairSettings.model_validate(values)

    return make


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_what_can_be_used(key: ec.EllipticCurvePrivateKey, settings: Callable[..., BetfairSettings]) -> None:
    pem = certificate(key).public_bytes(PEM)
    before = open_files()
    for content, password in (
        (pfx(key), "right"),
        (pfx(key, PLAIN), ""),
        (pem + key_pem(key), ""),
        (key_pem(key) + pem, "not needed"),
        (pem + key_pem(key, LOCKED), "right"),
    ):
        betfair = settings(content, password)
        context = client_context(betfair)
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.check_hostname
        assert certificate_expiry(betfair) == NOW + timedelta(days=9)
    assert open_files() == before


def test_what_cannot(key: ec.EllipticCurvePrivateKey, settings: Callable[..., BetfairSettings], tmp_path: Path) -> None:
    pem = certificate(key).public_bytes(PEM)
    old, young = (certificate(key, *days).public_bytes(PEM) for days in ((-9, -1), (1, 9)))
    other = ec.generate_private_key(ec.SECP256R1())
    no_key = pkcs12.serialize_key_and_certificates(b"client", None, certificate(key), None, LOCKED)
    no_certificate = pkcs12.serialize_key_and_certificates(b"client", key, None, None, LOCKED)
    cases: list[tuple[BetfairSettings, str]] = [
        (settings(None), "No such file"),
        (settings(b""), "is empty"),
        (settings(b"\x30\x82garbage"), "is no .pfx file"),
        (settings(pfx(key), "wrong"), "password is wrong"),
        (settings(pfx(key)), "password is wrong"),
        (settings(no_key, "right"), "holds no private key"),
        (settings(no_certificate, "right"), "holds no certificate"),
        (settings(pem), "holds no private key"),
        (settings(key_pem(key)), "holds no readable certificate"),
        (settings(pem + key_pem(key, LOCKED), "wrong"), "password is wrong"),
        (settings(pem + key_pem(key, LOCKED)), "needs a password"),
        (settings(pem + key_pem(other)), "do not belong together: make both with the same key"),
        (settings(certificate(key).public_bytes(DER)), "is a bare certificate without its key"),
        (settings(key.private_bytes(DER, PKCS8, PLAIN)), "is a bare key without its certificate"),
        (settings(request(key) + key_pem(key)), "holds a request for a certificate (CSR)"),
        (settings(old + key_pem(key)), f"expired on {NOW - timedelta(days=1):%Y-%m-%d}"),
        (settings(young + key_pem(key)), "valid only from"),
        (settings(pem + key_pem(key), ca_bundle=tmp_path / "nowhere"), "CA bundle"),
        (BetfairSettings(), "EXECUTOR_BETFAIR__CERTIFICATE_PATH"),
    ]
    for betfair, problem in cases:
        with pytest.raises(CertificateInvalid) as raised:
            client_context(betfair)
        assert problem in str(raised.value)
        assert "\n" not in str(raised.value)
        assert (raised.value.code, raised.value.retryable) == ("CERTIFICATE_INVALID", False)


@pytest.mark.parametrize("bits", [1024, 2048])
def test_rsa_keys_that_betfair_takes_are_taken(bits: int, settings: Callable[..., BetfairSettings]) -> None:
    key = rsa.generate_private_key(65_537, bits)
    for content, password in (
        (certificate(key).public_bytes(PEM) + key_pem(key), ""),
        (pkcs12.serialize_key_and_certificates(b"client", key, certificate(key), None, LOCKED), "right"),
    ):
        betfair = settings(content, password)
        assert client_context(betfair).get_ca_certs()
        weak = [problem for problem, _ in certificate_warnings(betfair) if f"RSA key of {bits} bits" in problem]
        assert len(weak) == (bits < 2048)


def test_a_key_that_betfair_does_not_take_is_named(settings: Callable[..., BetfairSettings], tmp_path: Path) -> None:
    if (program := shutil.which("openssl")) is None:  # our library makes no such key
        pytest.skip("openssl is not installed")
    words = ("req", "-x509", "-newkey", "rsa:512", "-nodes", "-subj", "/CN=x", "-keyout", "key", "-out", "made")
    subprocess.run([program, *words], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    with pytest.raises(CertificateInvalid, match="RSA key of 512 bits, Betfair takes 1024 or 2048"):
        client_context(settings((tmp_path / "made").read_bytes() + (tmp_path / "key").read_bytes()))


def test_the_certificate_of_the_key_is_shown_wherever_it_stands_in_the_file(
    key: ec.EllipticCurvePrivateKey, settings: Callable[..., BetfairSettings]
) -> None:
    issuer = ec.generate_private_key(ec.SECP256R1())
    authority = certificate(issuer, end=500).public_bytes(PEM)
    ours = certificate(key).public_bytes(PEM)
    renewed = certificate(key, end=20).public_bytes(PEM)
    for content, days in (
        (authority + ours + key_pem(key), 9),
        (key_pem(key) + authority + ours, 9),
        (ours + authority + renewed + key_pem(key), 20),
    ):
        betfair = settings(content)
        client_context(betfair)
        assert certificate_expiry(betfair) == NOW + timedelta(days=days)


def test_a_certificate_for_servers_only_needs_care(
    key: ec.EllipticCurvePrivateKey, settings: Callable[..., BetfairSettings]
) -> None:
    for usage, concerns in ((ExtendedKeyUsageOID.SERVER_AUTH, 1), (ExtendedKeyUsageOID.CLIENT_AUTH, 0)):
        made = certificate(key, end=90, usage=usage).public_bytes(PEM)
        betfair = settings(made + key_pem(key))
        assert betfair.certificate_path is not None
        betfair.certificate_path.chmod(0o600)
        assert len(list(certificate_warnings(betfair))) == concerns


def test_without_memory_files(
    key: ec.EllipticCurvePrivateKey,
    settings: Callable[..., BetfairSettings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("os.memfd_create", raising=False)  # macOS has none
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    betfair = settings(pfx(key), "right")
    before = set(tmp_path.iterdir())
    client_context(betfair)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("days", "mode", "found"),
    [(31, 0o600, []), (31, 0o400, []), (30, 0o600, ["expires in 29 days"]), (-1, 0o600, ["expires in -2 days"]),
     (90, 0o640, ["(mode 640)"]), (90, 0o604, ["(mode 604)"]), (3, 0o644, ["expires in 2 days", "(mode 644)"])],
)  # fmt: skip
def test_what_needs_care(
    key: ec.EllipticCurvePrivateKey,
    settings: Callable[..., BetfairSettings],
    days: int,
    mode: int,
    found: list[str],
) -> None:
    betfair = settings(certificate(key, -9, days).public_bytes(PEM) + key_pem(key))
    assert betfair.certificate_path is not None
    betfair.certificate_path.chmod(mode)
    warnings = list(certificate_warnings(betfair))
    assert [wanted in problem for wanted, (problem, _) in zip(found, warnings, strict=True)] == [True] * len(found)


def test_a_pfx_without_a_password_is_taken_though_one_is_set(tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path = tmp_path / "client.pfx"
    path.write_bytes(pfx(key, PLAIN))
    settings = BetfairSettings.model_validate({"certificate_path": path, "certificate_password": "right"})
    assert client_context(settings).verify_mode is ssl.CERT_REQUIRED
