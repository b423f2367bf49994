"""The sandbox's control API, as `up` and `demo` use it: what the exchange has got, and what befalls its markets.

Invariant: it speaks HTTPS to the one sandbox whose folder it is given, verified against that sandbox's authority only.
Units: seconds.
"""

import json
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import requests

from betfair_sandbox.certificates import CertificatePaths

_TIMEOUT_S: Final = 10  # it answers in milliseconds; longer means that this machine stands still
_PAUSE_S: Final = 0.1

Json = dict[str, Any]


class SandboxSilentError(Exception):
    """The sandbox refused or did not answer; the text says what was asked."""


class SandboxClient:
    """A customer with the keys to the exchange."""

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self._url = f"https://localhost:{port}/sandbox"
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no other authority, whatever the environment says

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def wait_until_ready(self, within_s: float, keep_waiting: Callable[[], object]) -> None:
        """Return when the sandbox answers; `keep_waiting` is called meanwhile and may raise.

        Raises:
            SandboxSilentError: it does not within the time.
        """
        deadline = time.monotonic() + within_s
        while True:
            try:
                self.orders()
            except SandboxSilentError:
                if time.monotonic() > deadline:
                    raise
            else:
                return
            keep_waiting()
            time.sleep(_PAUSE_S)

    def orders(self) -> list[Json]:
        """Return every order ever placed, in listCurrentOrders' fields; amounts are Decimal."""
        rows: list[Json] = self._read("orders").json(parse_float=Decimal)
        return rows

    def accounts(self) -> list[Json]:
        """Return the accounts with their balances."""
        rows: list[Json] = self._read("accounts").json(parse_float=Decimal)["accounts"]
        return rows

    def journal(self, method: str, since: float = 0.0) -> list[Json]:
        """Return the calls of one method, received at `since` (epoch seconds) or later."""
        lines = self._read("journal", {"method": method, "since": f"{since:.6f}"}).text.splitlines()
        return [json.loads(line, parse_float=Decimal) for line in lines]

    def control(self, path: str, body: Json) -> None:
        """Do something to the exchange: markets, prices, settle, faults.

        Raises:
            SandboxSilentError: it was refused.
        """
        self._call("POST", path, body=body)

    def disarm(self) -> None:
        """Take away all faults.

        Raises:
            SandboxSilentError: it was refused.
        """
        self._call("DELETE", "faults")

    def _read(self, path: str, query: Json | None = None) -> requests.Response:
        return self._call("GET", path, query=query)

    def _call(
        self, method: str, path: str, *, query: Json | None = None, body: Json | None = None
    ) -> requests.Response:
        ca = str(CertificatePaths.of(self._directory.absolute()).ca)
        try:
            answer = self._session.request(
                method, f"{self._url}/{path}", params=query, json=body, timeout=_TIMEOUT_S, verify=ca
            )
        except (requests.RequestException, OSError) as error:
            raise SandboxSilentError(f"the sandbox did not answer {path}: {error}") from error
        if not answer.ok:
            raise SandboxSilentError(f"the sandbox refused {path} {body}: {answer.text[:200]}")
        return answer
