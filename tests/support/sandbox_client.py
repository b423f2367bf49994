"""A sandbox in its own process and the ways to talk to it: raw JSON-RPC, the control API, betfairlightweight.

Owns: starting and stopping the process, the plain client. Invariant: certificates are verified against the sandbox's
authority only, whatever the environment says. Units: amounts are `Decimal` in raw replies.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, TypeVar

import betfairlightweight
import requests

from betfair_sandbox.certificates import CertificatePaths
from betfair_sandbox.options import SandboxOptions, as_customer, sandbox_env

_START = """
import sys
from decimal import Decimal
from pathlib import Path
from betfair_sandbox.options import SandboxOptions
from betfair_sandbox.server import serve
directory, port, cert_port, ends, currency, *names = sys.argv[1:]
accounts = tuple((name, Decimal(10_000)) for name in names)
serve(
    SandboxOptions(
        directory=Path(directory),
        port=int(port),
        cert_port=int(cert_port),
        further_accounts=accounts,
        stream_ends_with_session=ends == "True",
        currency=currency,
    )
)
"""
_ACCOUNT_METHODS = ("getAccountFunds", "getAccountDetails", "getAccountStatement")

Json = dict[str, Any]


def start_process(
    directory: Path,
    port: int = 0,
    cert_port: int = 0,
    accounts: Sequence[str] = (),
    stderr: int | IO[str] = subprocess.PIPE,
    *,
    stream_ends_with_session: bool = False,
    currency: str = "GBP",
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            _START,
            str(directory),
            str(port),
            str(cert_port),
            str(stream_ends_with_session),
            currency,
            *accounts,
        ],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=Path(__file__).parents[2],
    )


_T = TypeVar("_T")


def wait_for(read: Callable[[], _T], deadline_s: float = 10) -> _T:
    """Poll until `read` returns something true."""
    ends = time.monotonic() + deadline_s
    while not (value := read()):
        assert time.monotonic() < ends, f"not within {deadline_s} s"
        time.sleep(0.05)
    return value


def limit(selection_id: int, side: str, price: object, size: object, ref: str = "", **order: object) -> Json:
    instruction: Json = {
        "selectionId": selection_id,
        "handicap": 0,
        "side": side,
        "orderType": "LIMIT",
        "limitOrder": {"price": price, "size": size, "persistenceType": "LAPSE", **order},
    }
    return {**instruction, "customerOrderRef": ref} if ref else instruction


@dataclass
class RunningSandbox:
    directory: Path
    options: SandboxOptions
    api: str
    cert_api: str
    session: requests.Session = field(default_factory=requests.Session)
    token: str = ""

    @classmethod
    def at(cls, directory: Path, account: str = "", host: str = "localhost") -> "RunningSandbox":
        """Return the sandbox of this folder as its first account or a further one sees it."""
        env = sandbox_env(directory, host=host)
        options = SandboxOptions(directory=directory)
        options = as_customer(options, account) if account else options
        sandbox = cls(directory, options, env["EXECUTOR_BETFAIR__API_URL"], env["EXECUTOR_BETFAIR__IDENTITY_CERT_URL"])
        sandbox.session = sandbox.new_session()
        return sandbox

    @property
    def paths(self) -> CertificatePaths:
        return CertificatePaths.of(self.directory)

    def new_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.paths.ca)
        return session

    def log_in(self) -> str:
        form = {"username": self.options.username, "password": self.options.password}
        reply = self.session.post(
            f"{self.cert_api}/api/certlogin",
            data=form,
            headers={"X-Application": self.options.app_key},
            cert=str(self.paths.client_pem),
        )
        self.token = reply.json()["sessionToken"]
        return self.token

    @property
    def headers(self) -> dict[str, str]:
        return {
            "X-Application": self.options.app_key,
            "X-Authentication": self.token,
            "Content-Type": "application/json",
            "Accept": "application/json",
        }

    def url(self, method: str) -> str:
        return f"{self.api}/exchange/{'account' if method in _ACCOUNT_METHODS else 'betting'}/json-rpc/v1"

    def post(self, method: str, params: object, headers: dict[str, str] | None = None) -> requests.Response:
        prefix = "AccountAPING" if method in _ACCOUNT_METHODS else "SportsAPING"
        body = {"jsonrpc": "2.0", "method": f"{prefix}/v1.0/{method}", "params": params, "id": 1}
        return self.session.post(
            self.url(method), data=json.dumps(body), headers=self.headers if headers is None else headers
        )

    def envelope(self, method: str, params: object, headers: dict[str, str] | None = None) -> Json:
        reply = self.post(method, params, headers)
        assert reply.status_code == 200
        value: Json = json.loads(reply.content, parse_float=Decimal)
        return value

    def call(self, method: str, **params: object) -> Any:
        envelope = self.envelope(method, params)
        assert "error" not in envelope, envelope
        return envelope["result"]

    def error_code(self, method: str, params: object, headers: dict[str, str] | None = None) -> str:
        error = self.envelope(method, params, headers)["error"]
        exception = error["data"][error["data"]["exceptionname"]]
        assert exception["requestUUID"]
        code: str = exception["errorCode"]
        return code

    def place(self, market_id: str, *instructions: Json, **params: object) -> Json:
        report: Json = self.call("placeOrders", marketId=market_id, instructions=list(instructions), **params)
        return report

    def place_one(self, market_id: str, instruction: Json) -> str:
        """Place one order that must be taken; return its bet id."""
        report = self.place(market_id, instruction)
        assert report["status"] == "SUCCESS", report
        bet_id: str = report["instructionReports"][0]["betId"]
        return bet_id

    def order(self, bet_id: str) -> Json:
        """Return one bet as the control API shows it, settled or not."""
        orders: list[Json] = self.get("orders")
        return next(order for order in orders if order["betId"] == bet_id)

    def control(self, path: str, **body: object) -> Any:
        reply = self.session.post(f"{self.api}/sandbox/{path}", json=body)
        assert reply.status_code == 200, reply.text
        return json.loads(reply.content, parse_float=Decimal)

    def disarm(self) -> None:
        """Take back every fault that waits for its call."""
        reply = self.session.delete(f"{self.api}/sandbox/faults")
        assert reply.status_code == 200, reply.text

    def get(self, path: str) -> Any:
        return json.loads(self.session.get(f"{self.api}/sandbox/{path}").content, parse_float=Decimal)

    def journal(self, method: str = "", since: float = 0.0) -> list[Json]:
        text = self.session.get(f"{self.api}/sandbox/journal", params={"method": method, "since": str(since)}).text
        return [json.loads(line) for line in text.splitlines()]

    def market(self, market_id: str, to_back: object = (), to_lay: object = (), **fields: object) -> Any:
        """Open a market with the runners 1 and 2 and exactly these offers on runner 1."""
        runners = [
            {"selectionId": 1, "availableToBack": to_back, "availableToLay": to_lay},
            {"selectionId": 2, "availableToBack": [], "availableToLay": []},
        ]
        return self.control("markets", marketId=market_id, runners=runners, **fields)

    def betfair(self) -> betfairlightweight.APIClient:
        """Return betfairlightweight, pointed here and logged in, with typed resources."""
        client = betfairlightweight.APIClient(
            self.options.username,
            self.options.password,
            app_key=self.options.app_key,
            cert_files=str(self.paths.client_pem),
            session=self.new_session(),
        )
        client.identity_uri = f"{self.api}/api/"
        client.identity_cert_uri = f"{self.cert_api}/api/"
        client.api_uri = f"{self.api}/exchange/"
        client.navigation_uri = f"{self.api}/exchange/betting/rest/v1/en/navigation/menu.json"
        client.login()
        return client
