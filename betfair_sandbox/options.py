"""How a sandbox is set up, and how the executor is pointed at one.

Owns: the options with their defaults, the file of chosen ports, the EXECUTOR_* variables. Invariant: what
`sandbox_env` prints lets an executor in live mode log in to a sandbox that runs on the same directory. Units: seconds,
account currency.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

from betfair_sandbox.as_betfair import Addresses
from betfair_sandbox.certificates import CertificatePaths
from betfair_sandbox.market.accounts import HOUSE

_HOUR_S: Final = 3600
_PORTS_FILE: Final = "ports.json"
DEFAULT_PORT: Final = 8443
DEFAULT_CERT_PORT: Final = 8444
DEFAULT_STREAM_PORT: Final = 8445
_PORTS: Final = {"port": DEFAULT_PORT, "cert_port": DEFAULT_CERT_PORT, "stream_port": DEFAULT_STREAM_PORT}
# A name becomes part of an app key, which travels in a header.
_ACCOUNT_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """Everything that can be chosen about a sandbox; port 0 takes a free port."""

    directory: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    cert_port: int = DEFAULT_CERT_PORT
    stream_port: int | None = None  # None: the default one beside the default port, else a free one
    seed: int = 1
    session_lifetime_s: int = 12 * _HOUR_S  # Betfair: .com, outside the UK and Ireland
    balance: Decimal = Decimal(10_000)
    username: str = "sandbox"
    password: str = "sandbox-password"  # noqa: S105 - of a test exchange on loopback
    certificate_password: str = "sandbox-certificate"  # noqa: S105 - the same
    app_key: str = "SandboxLiveKey"
    delayed_app_key: str = "SandboxDelayedKey"
    stream_ends_with_session: bool = False  # Betfair looks at the token when a client connects, as far as is known
    server_names: tuple[str, ...] = ()  # further names for the server certificate
    currency: str = "GBP"  # of every account: a sandbox knows no exchange rates
    replay: Path | None = None  # a recording that plays as the market
    replay_from: int | str | None = None  # an instant in epoch milliseconds, or `-10m` before the first market's start
    replay_speed: Decimal = Decimal(1)
    record: Path | None = None  # where the sandbox's own day is written
    as_betfair: Addresses | None = None  # where it stands in for Betfair
    client_certificates: tuple[Path, ...] = ()  # of clients that stay as they are: these are accepted there, too
    further_accounts: tuple[tuple[str, Decimal], ...] = ()  # user names and balances; `as_customer` has their logins


def valid_account_name(name: str) -> bool:
    """Tell whether a further account may have this user name."""
    return _ACCOUNT_NAME.fullmatch(name) is not None and name != HOUSE


def as_customer(options: SandboxOptions, name: str) -> SandboxOptions:
    """Return the options with the login of the further account `name`: the same password, app keys of its own."""
    return replace(
        options,
        username=name,
        app_key=f"{options.app_key}-{name}",
        delayed_app_key=f"{options.delayed_app_key}-{name}",
    )


def write_ports(directory: Path, ports: Mapping[str, int]) -> None:
    """Leave the chosen ports where `sandbox_env` finds them."""
    path = directory / _PORTS_FILE
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(dict(ports)) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_ports(directory: Path) -> dict[str, int]:
    """Return the ports of the sandbox that last started on `directory`, else the default ones."""
    try:
        ports = json.loads((directory / _PORTS_FILE).read_text(encoding="utf-8"))
        return {name: int(ports[name]) for name in _PORTS}
    except (OSError, ValueError, KeyError, TypeError):
        return dict(_PORTS)


def sandbox_env(
    directory: Path,
    *,
    host: str = "localhost",
    port: int | None = None,
    cert_port: int | None = None,
    stream_port: int | None = None,
    options: SandboxOptions | None = None,
) -> dict[str, str]:
    """Return the EXECUTOR_* variables that point the executor, in live mode, at the sandbox on `directory`.

    The ports default to what the running sandbox wrote; `options` matters when its names or passwords
    differ from the default, and for a further account (`as_customer`).
    """
    chosen = options or SandboxOptions(directory=directory)
    ports = read_ports(directory)
    api = f"https://{host}:{port or ports['port']}"
    paths = CertificatePaths.of(directory.absolute())
    return {
        "EXECUTOR_TRADING__ENABLE_PAPER_TRADING": "false",
        "EXECUTOR_BETFAIR__APP_KEY": chosen.app_key,
        "EXECUTOR_BETFAIR__USERNAME": chosen.username,
        "EXECUTOR_BETFAIR__PASSWORD": chosen.password,
        "EXECUTOR_BETFAIR__CERTIFICATE_PATH": str(paths.client_pfx),
        "EXECUTOR_BETFAIR__CERTIFICATE_PASSWORD": chosen.certificate_password,
        "EXECUTOR_BETFAIR__API_URL": api,
        "EXECUTOR_BETFAIR__IDENTITY_URL": api,
        "EXECUTOR_BETFAIR__IDENTITY_CERT_URL": f"https://{host}:{cert_port or ports['cert_port']}",
        "EXECUTOR_BETFAIR__CA_BUNDLE": str(paths.ca),
        "EXECUTOR_BETFAIR__STREAM_HOST": host,
        "EXECUTOR_BETFAIR__STREAM_PORT": str(stream_port or ports["stream_port"]),
    }


def client_env(directory: Path, *, host: str = "localhost", options: SandboxOptions | None = None) -> dict[str, str]:
    """Return the variables that the examples for betfairlightweight and flumine read (docs/examples)."""
    chosen = options or SandboxOptions(directory=directory)
    ports = read_ports(directory)
    paths = CertificatePaths.of(directory.absolute())
    api = f"https://{host}:{ports['port']}"
    return {
        "BETFAIR_USERNAME": chosen.username,
        "BETFAIR_PASSWORD": chosen.password,
        "BETFAIR_APP_KEY": chosen.app_key,
        "BETFAIR_CERTIFICATE": str(paths.client_pem),
        "BETFAIR_API_URI": f"{api}/exchange/",
        "BETFAIR_IDENTITY_URI": f"{api}/api/",
        "BETFAIR_IDENTITY_CERT_URI": f"https://{host}:{ports['cert_port']}/api/",
        "BETFAIR_NAVIGATION_URI": f"{api}/exchange/betting/rest/v1/en/navigation/menu.json",
        "BETFAIR_STREAM_HOST": host,
        "BETFAIR_STREAM_PORT": str(ports["stream_port"]),
        "REQUESTS_CA_BUNDLE": str(paths.ca),
    }


def nautilus_env(directory: Path, *, options: SandboxOptions | None = None) -> dict[str, str]:
    """Return the variables that Nautilus Trader's Betfair adapter reads; it takes no addresses: `--as-betfair`."""
    chosen = options or SandboxOptions(directory=directory)
    paths = CertificatePaths.of(directory.absolute())
    return {
        "BETFAIR_USERNAME": chosen.username,
        "BETFAIR_PASSWORD": chosen.password,
        "BETFAIR_APP_KEY": chosen.app_key,
        "BETFAIR_CERTS_DIR": str(paths.authorities),
        "SSL_CERT_FILE": str(paths.ca),
    }
