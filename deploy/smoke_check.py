"""What `deploy/smoke` does, run by a Python that has the executor and its settings.

Invariants: it acts through the console program, as a person would; refuses to start where an order could reach a real
exchange; takes its own order back, whatever happened. Units: seconds.
"""
# ruff: noqa: INP001 - a script, in no package

import argparse
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import requests
from prometheus_client.parser import text_string_to_metric_families

from executor import wiring
from executor.cli.connect_running import connect_running
from executor.devstack.stack import EXECUTOR
from executor.errors import ExecutorError
from executor.settings.load import Settings

_SELECTION: Final = 1
_SIZE: Final = "2.00"  # the smallest that the default rules accept
_READY_S: Final = 20.0  # four polls
_DECIDED_S: Final = 30.0  # it takes 50 ms; a lost chain is started again after 10 s
_BOOKED_S: Final = 30.0  # the ledger is written at once, or by the next tick within 5 s
_VOIDED_S: Final = 90.0  # a read of all orders, once a minute, sees it
_COUNTERS: Final = ("signals_received_total", "orders_placed_total", "orders_matched_total")
_TIMEOUT_S: Final = 10
_OVER: Final = frozenset({"VOIDED", "SETTLED", "CANCELLED", "LAPSED", "FAILED", "EXPIRED"})


def say(text: str) -> None:
    """Say what is done, when it is done."""
    sys.stdout.write(f"smoke: {text}\n")
    sys.stdout.flush()


def fail(text: str) -> NoReturn:
    """End with the reason.

    Raises:
        SystemExit: always.
    """
    sys.stderr.write(f"smoke: FAILED: {text}\n")
    raise SystemExit(1)


def run(*words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a command of the console program."""
    return subprocess.run(  # noqa: S603 - our own program
        [*EXECUTOR, *words], input=stdin, capture_output=True, text=True, timeout=120, check=False
    )


def executor(*words: str, stdin: str = "") -> str:
    """Run a command that must succeed; returns what it printed."""
    done = run(*words, stdin=stdin)
    if done.returncode:
        fail(f"executor {' '.join(words)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def rows(*words: str) -> list[dict[str, Any]]:
    """Return what a command lists."""
    found: list[dict[str, Any]] = json.loads(executor(*words, "--json"))
    return found


def until(look: Callable[[], object], within_s: float, what: str) -> None:
    """Return when `look` finds something, or fail saying `what`."""
    deadline = time.monotonic() + within_s
    while not look():
        if time.monotonic() > deadline:
            fail(f"{what} within {within_s:.0f} s; executor check, and the logs, say more")
        time.sleep(within_s / 60)  # each look starts a program


class Sandbox:
    """The sandbox exchange's control API: https://HOST/sandbox/..."""

    def __init__(self, settings: Settings) -> None:
        self._url = f"{settings.betfair.api_url}/sandbox"
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no other authority, whatever the environment says
        self._session.verify = str(settings.betfair.ca_bundle or True)

    def refuse_the_real_one(self) -> None:
        """Make sure that the exchange is a sandbox: only that has a control API."""
        try:
            answer = self._session.get(f"{self._url}/accounts", timeout=_TIMEOUT_S)
            known = answer.ok and "accounts" in answer.json()
        except (requests.RequestException, OSError, ValueError) as error:
            fail(f"{self._url} does not answer as a sandbox does, and nothing is sent to anything else: {error}")
        if not known:
            fail(f"{self._url} is no sandbox, and nothing is sent to anything else")

    def post(self, path: str, body: Mapping[str, Any]) -> None:
        """Do something to the exchange."""
        answer = self._session.post(f"{self._url}/{path}", json=body, timeout=_TIMEOUT_S)
        if not answer.ok:
            fail(f"the sandbox refused {path}: {answer.text[:200]}")

    def bets(self, order_id: str) -> list[dict[str, Any]]:
        """Return what it holds under an order's reference."""
        placed: list[dict[str, Any]] = self._session.get(f"{self._url}/orders", timeout=_TIMEOUT_S).json()
        return [bet for bet in placed if bet.get("customerOrderRef") == order_id]


def instances(addresses: Sequence[str]) -> list[str]:
    """Return every address behind these: a scaled service is one name of several containers."""
    found = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            known = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            fail(f"no metrics at {address}: {error.strerror}")
        found += sorted({f"{place[0]}:{port}" for *_, place in known})
    return found


def counts(addresses: Sequence[str]) -> dict[str, float]:
    """Add up the counters of all instances."""
    sums = dict.fromkeys(_COUNTERS, 0.0)
    with requests.Session() as session:
        session.trust_env = False
        for address in instances(addresses):
            try:
                page = session.get(f"http://{address}/metrics", timeout=_TIMEOUT_S).text
            except requests.RequestException as error:
                fail(f"no metrics at {address}: {error}")
            for family in text_string_to_metric_families(page):
                for sample in family.samples:
                    name = sample.name.removeprefix("aibetting_executor_")
                    if name in sums:
                        sums[name] += sample.value
    return sums


def scraped(url: str) -> tuple[int, list[str]]:
    """Ask a Prometheus for its targets; returns how many are up, and the others with what is wrong with them."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(f"{url}/api/v1/targets", params={"state": "active"}, timeout=_TIMEOUT_S).json()
        except (requests.RequestException, ValueError) as error:
            fail(f"no Prometheus at {url}: {error}")
    targets = answer["data"]["activeTargets"]
    down = [
        f"{target['scrapeUrl']} ({target['lastError'] or 'not yet'})" for target in targets if target["health"] != "up"
    ]
    return len(targets) - len(down), down


def look_at_prometheus(url: str) -> None:
    """See that everything is scraped."""
    deadline = time.monotonic() + _READY_S
    up, down = scraped(url)
    while (down or not up) and time.monotonic() < deadline:
        time.sleep(1)  # what has just been started, or scaled, is found and scraped within ten seconds
        up, down = scraped(url)
    if down or not up:
        fail(f"Prometheus cannot scrape {', '.join(down) or 'anything'}")
    say(f"Prometheus scrapes all of its {up} targets")


@contextmanager
def market(sandbox: Sandbox | None) -> Iterator[str]:
    """Lend a market of our own, with a price at which our order is matched at once; nothing of it is left behind."""
    name = f"1.9{time.time_ns() // 1_000_000 % 10**9:09}"
    if sandbox is not None:
        prices = {"selectionId": _SELECTION, "availableToBack": [[2.0, 100]], "availableToLay": [[2.02, 100]]}
        sandbox.post("markets", {"marketId": name, "runners": [prices, _SELECTION + 1]})
    try:
        yield name
    finally:
        if sandbox is None:
            executor("paper", "clear", name)
        else:
            live = [row["order_id"] for row in rows("orders", "--market", name) if row["status"] == "PENDING"]
            if live:
                executor("cancel", *live)
            sandbox.post("void", {"marketId": name})


def signal(name: str, market_id: str) -> str:
    """Write a signal that the default limits accept."""
    leg = {"selectionId": str(_SELECTION), "recommendedOdds": 2.0, "stake": float(_SIZE), "betType": "Back"}
    return json.dumps(
        {
            "signalId": name,
            "marketId": market_id,
            "strategy": "smoke",
            "signalType": "TEST",
            "primarySelection": leg,
            "validityWindow": 30,
        }
    )


def trade(name: str, market_id: str, sandbox: Sandbox | None) -> None:
    """Publish one signal and see it through to the ledger."""
    say(executor("send", "-", stdin=signal(name, market_id)).strip())

    def matched() -> list[dict[str, Any]]:
        found = [row for row in rows("orders", "--market", market_id) if row["signal_id"] == name]
        over = [row for row in found if row["status"] in _OVER]
        if over:
            fail(f"the order ended {over[0]['status']}: {over[0]['reason']} {over[0]['detail']}")
        return [row for row in found if row["status"] == "MATCHED"]

    until(matched, _DECIDED_S, "no order was matched (rejected? then a worker's log names the reason)")
    order = matched()[0]
    say(f"order {order['order_id']}: {order['size_matched']} matched at {order['average_price_matched']}")
    if sandbox is not None and len(bets := sandbox.bets(order["order_id"])) != 1:
        fail(f"the exchange holds {len(bets)} bets for one order")

    def booked() -> bool:
        return any(row["order_id"] == order["order_id"] and row["kind"] == "fill" for row in rows("trades"))

    until(booked, _BOOKED_S, "the fill did not reach the ledger")
    say("the fill is in the ledger")


def wait_until_ready() -> None:
    """Give what has just been started the time for its first polls."""
    deadline = time.monotonic() + _READY_S
    while (done := run("check")).returncode:
        if time.monotonic() > deadline:
            bad = [line for line in done.stdout.splitlines() if line.startswith("fail")]
            fail("\n".join([done.stderr.strip(), *bad]))
        time.sleep(1)
    say("executor check finds nothing that keeps it from trading")


def check(addresses: Sequence[str], prometheus: str, *, quick: bool) -> None:
    """Go through all of it."""
    connect_running()
    settings = wiring.get_settings()
    sandbox = None if settings.trading.enable_paper_trading else Sandbox(settings)
    if sandbox is not None:
        sandbox.refuse_the_real_one()
    say("paper trading" if sandbox is None else f"sandbox at {settings.betfair.api_url}")
    wait_until_ready()
    if prometheus:
        look_at_prometheus(prometheus)
    ports = (settings.metrics.port, settings.metrics.bridge_port)
    exporters = addresses or [f"127.0.0.1:{port}" for port in ports if port]
    before = counts(exporters)
    name = f"smoke-{time.time_ns():x}"
    with market(sandbox) as market_id:
        trade(name, market_id, sandbox)
        until(
            lambda: all(value > before[counter] for counter, value in counts(exporters).items()),
            _TIMEOUT_S,
            f"not all of {', '.join(_COUNTERS)} were counted",
        )
        say(f"counted: {', '.join(_COUNTERS)}")
    if not quick:
        say("waiting until the order is taken off the books" + (", up to a minute" if sandbox else ""))
        until(
            lambda: all(row["status"] in _OVER for row in rows("orders", "--market", market_id)),
            _VOIDED_S,
            f"the order in market {market_id} was not settled or voided",
        )
    say("ok")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="deploy/smoke", description="Check a deployment from end to end.")
    parser.add_argument(
        "--metrics",
        action="append",
        metavar="HOST:PORT",
        help="an instance's metrics; by default worker and bridge on this machine",
    )
    parser.add_argument("--prometheus", default="", metavar="URL", help="look also whether Prometheus scrapes all")
    parser.add_argument("--quick", action="store_true", help="do not wait until its order is off the books")
    options = parser.parse_args()
    try:
        check(options.metrics or [], options.prometheus, quick=options.quick)
    except ExecutorError as error:
        fail(str(error))


if __name__ == "__main__":
    main()
