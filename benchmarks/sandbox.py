"""`python -m benchmarks.sandbox`: whether the test exchange could be the bottleneck in tests and measurements.

Matching and whole placements in this process; placeOrders over HTTPS with the sandbox as a process of its own and each
client too, with accounts of its own. Invariants: it writes nothing unless `--out` names a folder; every order that is
counted was taken. Units: orders; seconds by the clock, and of a processor, which a busy machine does not change much.
"""

import argparse
import http.client
import json
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlencode, urlsplit

from benchmarks.figures import Report, Table
from benchmarks.machine import cpu_s
from benchmarks.report import show, write
from benchmarks.sandbox_stream import CLIENTS, CLIENTS_A_PROCESS, MARKETS, change_prices, listen, open_markets
from benchmarks.stack import BenchError
from betfair_sandbox.api.wire import Params, dump_json, parse_json
from betfair_sandbox.certificates import CertificatePaths
from betfair_sandbox.market.matching import Book, Order
from betfair_sandbox.market.money import LADDER, PENNY, Side
from betfair_sandbox.market.placing import place, read_place_request
from betfair_sandbox.options import SandboxOptions, as_customer, sandbox_env
from betfair_sandbox.world import World
from executor.cli.output import complain
from executor.devstack.stack import inherited
from executor.devstack.supervisor import parent_death_signal

MATCHED_AT_LEAST: Final = 10_000  # orders a second in process
PLACED_AT_LEAST: Final = 300  # placeOrders a second over HTTPS, on one core
MONEY: Final = 1_000_000_000
ORDERS: Final = 50_000  # in process
_MARKETS: Final = 50  # as many books of ordinary depth, not one of extraordinary depth
_RUNNERS: Final = 3
_ACCOUNTS: Final = 4  # of one client: Betfair takes 1,000 instructions a second of one account, and so do we
CLIENTS_A_CONNECTION_LIMIT: Final = 10  # of the stream's connections an account may have so many
_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Rate:
    """So many orders in so many seconds; `core_s` is what of a processor the sandbox's process used meanwhile."""

    orders: int
    took_s: float
    core_s: float


def _timed(orders: int, work: Callable[[], object]) -> Rate:
    started, used_s = time.perf_counter(), time.process_time()
    work()
    return Rate(orders, time.perf_counter() - started, time.process_time() - used_s)


def matching(orders: int) -> Rate:
    """Submit orders of both sides around one price to some books; most of them meet others."""
    rng = Random(1)  # noqa: S311 - the same orders every time
    books = [Book() for _ in range(_MARKETS)]
    arriving = [
        (rng.choice(books), Order(at, "a", rng.choice(list(Side)), LADDER[150 + rng.randint(0, 5)], _size(rng)))
        for at in range(1, orders + 1)
    ]

    def submit_all() -> None:
        for book, order in arriving:
            book.submit(order)

    return _timed(orders, submit_all)


def placing(orders: int, folder: Path) -> Rate:
    """Read, judge, place and answer requests of one order each, funds and the house's liquidity included."""
    world = World(SandboxOptions(directory=folder, balance=Decimal(MONEY)))
    (account,) = world.exchange.accounts.values()
    bodies = [dump_json(_params(at)) for at in range(orders)]

    def place_all() -> None:
        for body in bodies:
            request = read_place_request(Params(parse_json(body)), account.currency)
            report = place(world.exchange, account, request)
            dump_json(report)
            if report["status"] != "SUCCESS":
                raise BenchError(f"an order was refused: {report}")

    return _timed(orders, place_all)


def over_https(clients: int, seconds: float, folder: Path, tree: Path | None = None) -> Rate:
    """Let as many clients place orders, each in a process, on a connection and in accounts of its own.

    `tree` is a checkout of another commit, whose sandbox is measured instead of ours.
    """
    names = [f"client-{number}" for number in range(clients * _ACCOUNTS)]
    with _served(folder, names, tree) as server, ProcessPoolExecutor(clients, get_context("spawn")) as pool:
        list(pool.map(_warm_up, range(clients)))  # neither their start nor logging in is part of it
        logins = [_log_in(folder, name) for name in names]
        shares = [logins[number::clients] for number in range(clients)]
        used_s, started = cpu_s(server.pid), time.perf_counter()
        placed = sum(pool.map(_client, [str(folder)] * clients, shares, [seconds] * clients))
        return Rate(placed, time.perf_counter() - started, cpu_s(server.pid) - used_s)


@contextmanager
def _served(folder: Path, names: Sequence[str], tree: Path | None = None) -> Iterator["subprocess.Popen[str]"]:
    accounts = [word for name in names for word in ("--account", name)]
    ports = ("--port", "0", "--cert-port", "0")
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "betfair_sandbox", "--dir", str(folder), "--balance", str(MONEY), *ports, *accounts],
        stdout=subprocess.PIPE,
        cwd=tree or Path(__file__).parents[1],  # `-m` finds the package there first
        env=inherited(ours=False),
        text=True,
        preexec_fn=parent_death_signal(),  # noqa: PLW1509 - it only calls prctl
    ) as process:
        try:
            if process.stdout is None or "ready" not in process.stdout.readline():
                raise BenchError("the sandbox did not start")
            yield process
        finally:
            process.terminate()


def _warm_up(number: int) -> int:
    time.sleep(0.2)  # so that each process of the pool gets one of these
    return number


def _client(folder: str, logins: Sequence[dict[str, str]], seconds: float) -> int:
    """Place one order a call until the time is over, in turn for each account; return how many were taken."""
    variables = sandbox_env(Path(folder))
    connection = connect(variables["EXECUTOR_BETFAIR__API_URL"], Path(folder))
    placed, ends = 0, time.perf_counter() + seconds
    while time.perf_counter() < ends:
        headers = logins[placed % len(logins)]
        params = {**_params(placed), "customerRef": f"request-{placed}"}
        call = {"jsonrpc": "2.0", "method": "SportsAPING/v1.0/placeOrders", "params": params, "id": placed}
        connection.request("POST", "/exchange/betting/json-rpc/v1", json.dumps(call), headers)
        answer = connection.getresponse()
        body = answer.read()
        if b'"status":"SUCCESS"' not in body:
            raise BenchError(f"an order was refused: {body[:300]!r}")
        placed += 1
    connection.close()
    return placed


def _log_in(folder: Path, name: str) -> dict[str, str]:
    """Return the headers of the account's calls."""
    options = as_customer(SandboxOptions(directory=folder), name)
    connection = connect(sandbox_env(folder)["EXECUTOR_BETFAIR__IDENTITY_CERT_URL"], folder)
    form = urlencode({"username": options.username, "password": options.password})
    content = {"Content-Type": "application/x-www-form-urlencoded", "X-Application": options.app_key}
    connection.request("POST", "/api/certlogin", form, content)
    token: str = json.loads(connection.getresponse().read())["sessionToken"]
    connection.close()
    return {
        "X-Application": options.app_key,
        "X-Authentication": token,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Connection": "keep-alive",
    }


def connect(url: str, folder: Path) -> http.client.HTTPSConnection:
    """Return a connection to a sandbox's API or identity."""
    paths, address = CertificatePaths.of(folder), urlsplit(url)
    context = ssl.create_default_context(cafile=str(paths.ca))
    context.load_cert_chain(paths.client_pem)
    return http.client.HTTPSConnection(address.hostname or "", address.port, timeout=_TIMEOUT_S, context=context)


def _params(at: int) -> dict[str, object]:
    instruction = {
        "selectionId": 1 + at % _RUNNERS,
        "side": list(Side)[at % 2].value,
        "orderType": "LIMIT",
        "limitOrder": {"size": 2.5, "price": 3.05, "persistenceType": "LAPSE"},
        "customerOrderRef": f"order-{at}",
    }
    return {"marketId": f"1.{1 + at % _MARKETS}", "instructions": [instruction]}


def _size(rng: Random) -> Decimal:
    return rng.randint(200, 2_000) * PENNY


def measure(clients: Sequence[int], seconds: float, folder: Path, orders: int = ORDERS) -> Report:
    """Measure everything once."""
    rates = {
        "matching in process": matching(orders),
        "whole placement in process": placing(orders, folder),
    }
    for number in clients:
        rates[f"HTTPS, {number} client{'s' * (number > 1)}"] = over_https(number, seconds, folder)
    rows = [
        (
            name,
            f"{rate.orders / rate.took_s:,.0f}",
            f"{rate.core_s / rate.took_s:.0%}",
            f"{rate.orders / rate.core_s:,.0f}",
        )
        for name, rate in rates.items()
    ]
    columns = ("orders", "a second", "core used", "a second of a core")
    note = f"Wanted: {MATCHED_AT_LEAST:,} matched in process; {PLACED_AT_LEAST} placed over HTTPS on one core."
    raw = {name: asdict(rate) for name, rate in rates.items()}
    return Report([Table("The sandbox, one order a call", columns, rows, note), streamed(seconds, folder)], raw)


def streamed(seconds: float, folder: Path) -> Table:
    """Measure what the stream publishes."""
    accounts = CLIENTS // CLIENTS_A_CONNECTION_LIMIT
    names = [f"listener-{number}" for number in range(accounts)]
    processes = CLIENTS // CLIENTS_A_PROCESS
    with _served(folder, names) as server, ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        list(pool.map(_warm_up, range(processes)))
        open_markets(folder)
        logins = [_log_in(folder, names[number % accounts]) for number in range(CLIENTS)]
        shares = [logins[at::processes] for at in range(processes)]
        listening = [pool.submit(listen, str(folder), share, seconds + 4) for share in shares]
        time.sleep(3)  # the images
        used_s, started = cpu_s(server.pid), time.perf_counter()
        sent = change_prices(folder, seconds)
        took_s, core_s = time.perf_counter() - started, cpu_s(server.pid) - used_s
        heard = [client for share in listening for client in share.result()]
    delays = sorted(when - sent[number] for client in heard for number, when in client.when.items() if number in sent)
    if len(heard) < CLIENTS or not delays:
        raise BenchError(f"{len(heard)} of {CLIENTS} clients listened, {len(delays)} changes were heard of")
    p50, p99 = (delays[int(len(delays) * share)] * 1000 for share in (0.5, 0.99))
    row = (
        f"{MARKETS} markets, {CLIENTS} clients",
        f"{len(sent) / took_s:,.0f}",
        f"{len(delays) / took_s:,.0f}",
        f"{core_s / took_s:.0%}",
        f"{len(delays) / core_s:,.0f}",
        f"{p50:.1f}",
        f"{p99:.1f}",
    )
    columns = (
        "stream",
        "changes a second",
        "updates a second",
        "core used",
        "updates a second of a core",
        "p50 ms",
        "p99 ms",
    )
    note = "An update is one change heard of by one client; the time is from sending the change to hearing of it."
    return Table("The stream", columns, [row], note)


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print; exit 1 when something is not as it should be."""
    parser = argparse.ArgumentParser(prog="benchmarks.sandbox", description=__doc__)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 4], help="how many at once, one run each")
    parser.add_argument("--seconds", type=float, default=5.0, help="of one run over HTTPS")
    parser.add_argument("--against", help="a commit: its placing is measured in turns with ours")
    parser.add_argument("--rounds", type=int, default=6, help="of the comparison")
    parser.add_argument("--out", type=Path, help="folder for Markdown and JSON")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="bench-sandbox-") as folder:
        try:
            report = measure(options.clients, options.seconds, Path(folder))
            if options.against:
                from benchmarks.sandbox_paired import paired  # noqa: PLC0415 - that module measures with this one

                table = paired(options.against, max(options.clients), options.seconds, options.rounds, Path(folder))
                report = Report([*report.tables, table], report.raw)
        except BenchError as error:
            complain(str(error))
            return 1
    show(report)
    if options.out is not None:
        write(options.out, {"sandbox": report}, {"sandbox": "make bench-sandbox"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
