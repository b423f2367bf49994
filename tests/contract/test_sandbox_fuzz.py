"""Whatever is sent, in whatever order: the sandbox answers, keeps money and volume, and writes no traceback.

By hand, ten minutes: SANDBOX_EXAMPLES=5000 pytest tests/contract/test_sandbox_fuzz.py --timeout 1200
"""

import json
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.sandbox_client import Json, RunningSandbox, limit, start_process
from support.sandbox_steps import FURTHER, MARKETS, NAMES, OWN, RUNNERS, STEP

START = Decimal(10_000)
TIMEOUT_S = 10  # nothing that is asked for here takes a second

# --- who sends it -----------------------------------------------------------------------------------------------------


@dataclass(repr=False)
class Rig:
    """The sandbox, its customers, and how many lines its journal must have."""

    customers: dict[str, RunningSandbox]
    errors: Path
    bets: list[str] = field(default_factory=list)
    lines: tuple[int, int] = (0, 0)  # at least, at most
    may_cut: bool = False
    reduced: bool = False  # a removal may have reduced matched prices
    money: Decimal = START * len(NAMES)  # a number makes a name, so that accounts are opened now and then
    told: int = 0  # of what the server has written, by earlier days

    @property
    def first(self) -> RunningSandbox:
        return self.customers["sandbox"]

    def reset(self) -> None:
        self.first.control("reset")
        for customer in self.customers.values():
            if "result" not in customer.envelope("getAccountFunds", {}):
                customer.log_in()
        self.first.control("reset")
        self.bets, self.lines, self.may_cut, self.money = [], (0, 0), False, START * len(NAMES)
        self.reduced = False
        self.told = self.errors.stat().st_size
        offers = [
            {"selectionId": selection_id, "availableToBack": [], "availableToLay": []} for selection_id in RUNNERS
        ]
        self.first.control("markets", marketId=OWN, runners=offers)

    def request(
        self, method: str, url: str, lines: tuple[int, int] = (0, 0), **options: Any
    ) -> requests.Response | None:
        """Send what makes so many lines; None when a fault cut the connection."""
        try:
            reply = self.first.session.request(method, url, timeout=TIMEOUT_S, **options)
        except requests.ConnectionError:
            assert self.may_cut
            reply = None
        cut = reply is None or reply.status_code == 503  # the later calls of a batch may be unread
        self.lines = (self.lines[0] + (min(lines[0], 1) if cut else lines[0]), self.lines[1] + lines[1])
        assert reply is None or reply.status_code < 500 or (reply.status_code == 503 and self.may_cut), reply.text
        return reply

    def call(self, who: str, calls: list[tuple[str, Any]], *, batch: bool) -> None:
        customer = self.customers.get(who, self.first)
        headers = dict(customer.headers)
        if who == "delayed":
            headers["X-Application"] = customer.options.delayed_app_key
        elif who == "nobody":
            headers["X-Authentication"] = "gone"
        bodies = [
            {"jsonrpc": "2.0", "method": f"{api_of(name)}/v1.0/{name}", "params": self.aimed(params), "id": at}
            for at, (name, params) in enumerate(calls)
        ]
        body = json.dumps(bodies if batch else bodies[0])
        lines = max(len(bodies), 1)
        url = self.first.url(calls[0][0] if calls else "")  # of a batch for both APIs one half is not found
        reply = self.request("POST", url, (lines, lines), data=body, headers=headers)
        if reply is None or reply.status_code == 503:
            return
        answers = reply.json() if batch and bodies else [reply.json()]
        assert len(answers) == max(len(bodies), 1)
        for answer in answers:
            assert ("result" in answer) is not ("error" in answer)
            report = answer.get("result")
            items = report.get("instructionReports", []) if isinstance(report, dict) else []
            self.bets += [item["betId"] for item in items if "betId" in item]

    def aimed(self, value: Any, name: str = "") -> Any:
        """Put the ids of bets where their numbers are."""
        if isinstance(value, dict):
            return {key: self.aimed(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.aimed(inner, name) for inner in value]
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if name in {"betId", "betIds"} and is_number and 0 <= value < len(self.bets):
            return self.bets[-1 - value]
        return value

    def control(self, path: str, body: Any) -> None:
        reply = self.request("POST", f"{self.first.api}/sandbox/{path}", json=body)
        assert reply is not None
        assert reply.status_code in {200, 400}
        if path == "remove" and reply.status_code == 200:
            self.reduced = True
        if path == "accounts" and reply.status_code == 200:
            self.money += Decimal(str(reply.json()["balance"]))
        if path == "faults" and reply.status_code == 200:
            cutting = {"refuse_connection", "drop_response", "http_503"}
            self.may_cut |= bool(cutting & {fault["kind"] for fault in reply.json()})

    def send_bytes(self, data: bytes) -> None:
        """Send what may be no HTTP at all, and hang up."""
        address = urlsplit(self.first.api)
        context = ssl.create_default_context(cafile=str(self.first.paths.ca))
        with socket.create_connection((address.hostname, address.port or 0), timeout=TIMEOUT_S) as plain:
            if not data:
                plain.sendall(b"no handshake")
                return
            with context.wrap_socket(plain, server_hostname=address.hostname) as secure:
                secure.sendall(data)

    def take(self, step: tuple[Any, ...]) -> None:
        api = self.first.api
        match step:
            case ("call", who, call):
                self.call(who, [call], batch=False)
            case ("batch", who, calls):
                self.call(who, calls, batch=True)
            case ("control", (path, body)):
                self.control(path, body)
            case ("body", data):
                self.request("POST", self.first.url(""), (1, most_lines(data)), data=data, headers=self.first.headers)
            case ("control body", path, data):
                self.request("POST", f"{api}/sandbox/{path}", data=data)
            case ("path", method, path):
                self.request(method, api + path)
            case ("form", name, data):
                form = {"Content-Type": "application/x-www-form-urlencoded", "X-Authentication": "gone"}
                self.request("POST", f"{api}/api/{name}", (1, 1), data=data, headers=form)
            case ("bytes", head, rest):
                self.send_bytes(head + rest)


def api_of(method: str) -> str:
    return "AccountAPING" if method.startswith("getAccount") else "SportsAPING"


def most_lines(data: bytes) -> int:
    try:
        value = json.loads(data)
    except ValueError:
        return 1
    return max(len(value), 1) if isinstance(value, list) else 1


# --- what must hold ---------------------------------------------------------------------------------------------------


def check_orders(orders: list[Json], *, reduced: bool) -> None:
    for order in orders:
        parts = [order[name] for name in ("sizeMatched", "sizeRemaining", "sizeLapsed", "sizeCancelled", "sizeVoided")]
        assert sum(parts) == order["priceSize"]["size"], order
        assert min(parts) >= 0, order
        if order["sizeMatched"] and not reduced:
            gain = order["averagePriceMatched"] - order["priceSize"]["price"]
            assert (gain if order["side"] == "BACK" else -gain) > Decimal("-1e-9"), order


def check_money(rig: Rig) -> dict[str, Json]:
    money = rig.first.get("accounts")
    accounts: list[Json] = money["accounts"]
    there = sum(account["balance"] + account["commission"] for account in accounts)
    assert abs(there + money["house"] + money["rounding"] - rig.money) < Decimal("1e-6")
    for account in accounts:
        assert abs(account["available"] - (account["balance"] - account["exposure"])) < Decimal("1e-6")
        assert account["exposure"] >= 0
        assert account["commission"] >= 0
    return {account["name"]: account for account in accounts}


def check_books(rig: Rig) -> list[Json]:
    books: list[Json] = rig.first.call(
        "listMarketBook", marketIds=list(MARKETS), priceProjection={"priceData": ["EX_ALL_OFFERS"]}
    )
    for runner in (runner for book in books for runner in book["runners"]):
        back, lay = (runner["ex"][name] for name in ("availableToBack", "availableToLay"))
        assert not back or not lay or back[0]["price"] < lay[0]["price"]
        assert all(level["size"] > 0 for level in (*back, *lay))
    return books


def check_volume(orders: list[Json], books: list[Json]) -> None:
    for book in books:
        for runner in book["runners"]:
            back, lay = (
                sum(
                    order["sizeMatched"] + order["sizeVoided"]
                    for order in orders
                    if (order["marketId"], order["selectionId"], order["side"])
                    == (book["marketId"], runner["selectionId"], side)
                )
                for side in ("BACK", "LAY")
            )
            total = runner["totalMatched"] / 2  # Betfair counts what both sides staked
            assert max(back, lay) <= total <= back + lay
            assert book["marketId"] != OWN or back == lay == total


def check_journal(rig: Rig) -> None:
    lines = rig.first.journal()
    least, most = rig.lines
    assert least <= len(lines) <= most
    assert all(line["status"] or line["error"] for line in lines)


def check_everything(rig: Rig) -> None:
    """See that the journal is complete, then end every market and see what is left."""
    rig.first.session.delete(f"{rig.first.api}/sandbox/faults")
    check_journal(rig)
    for customer in rig.customers.values():
        if "result" not in customer.envelope("getAccountFunds", {}):
            customer.log_in()
    orders = rig.first.get("orders")
    check_orders(orders, reduced=rig.reduced)
    check_money(rig)
    check_books(rig)
    for name, customer in rig.customers.items():
        mine = {order["betId"] for order in orders if order["account"] == name}
        assert {order["betId"] for order in customer.call("listCurrentOrders")["currentOrders"]} <= mine
    for market, winners in ((market, winners) for market in MARKETS for winners in ([], [1])):
        reply = rig.first.session.post(
            f"{rig.first.api}/sandbox/settle", json={"marketId": market, "winners": winners, "line": 3}
        )
        assert reply.status_code in {200, 400}  # 400: nobody has used it, or the runner is void
    orders = rig.first.get("orders")
    check_orders(orders, reduced=rig.reduced)
    check_volume(orders, check_books(rig))
    assert not any(order["sizeRemaining"] for order in orders)
    accounts = check_money(rig)
    for name, customer in rig.customers.items():
        account = accounts[name]
        funds = customer.call("getAccountFunds")
        assert account["exposure"] == funds["exposure"] == 0
        assert funds["availableToBetBalance"] == account["balance"]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    directory = tmp_path_factory.mktemp("fuzzed")
    errors = directory / "stderr"
    with errors.open("w", encoding="utf-8") as file:
        process = start_process(directory, accounts=FURTHER, stderr=file)
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        customers = {name: RunningSandbox.at(directory, "" if name == "sandbox" else name) for name in NAMES}
        for customer in customers.values():
            customer.log_in()
        yield Rig(customers, errors)
        for customer in customers.values():
            customer.session.close()
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 0


@settings(
    max_examples=int(os.environ.get("SANDBOX_EXAMPLES", "20")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(steps=st.lists(STEP, min_size=1, max_size=25))
def test_any_day(rig: Rig, steps: list[tuple[Any, ...]]) -> None:
    rig.reset()
    for step in steps:
        rig.take(step)
    check_everything(rig)
    told = rig.errors.read_bytes()[rig.told :].decode(errors="replace")
    assert "Traceback" not in told, told


def test_the_checks_see_a_day_of_bets(rig: Rig) -> None:
    """The day above may be empty; this one is not."""
    rig.reset()
    rig.take(("control", ("accounts", {"name": -1})))
    for who, side in (("ann", "LAY"), ("ben", "BACK")):
        call = {"marketId": OWN, "instructions": [limit(1, side, 3, 5), limit(2, side, 2.9, 4)]}
        rig.take(("batch", who, [("placeOrders", call), ("listCurrentOrders", {})]))
    assert [order["sizeMatched"] for order in rig.first.get("orders")] == [5, 4, 5, 4]
    assert rig.lines == (4, 4)
    check_everything(rig)
    rig.lines = (1_000, 1_000)
    with pytest.raises(AssertionError):
        check_journal(rig)
