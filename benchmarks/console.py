"""Latency with the console's pages open, and without: what five browsers cost the trading beside them.

The console runs in both; a page is what a browser makes of it: its live part every two seconds, with its tag.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import requests

from benchmarks.figures import QUANTILES, Report, Setup, Table, quantiles, ratio, shown, shown_ratio
from benchmarks.load import Load
from benchmarks.stack import BenchError, BenchStack, Side
from executor.console.address import sessions
from executor.devstack.redis_server import HOST, free_port
from executor.devstack.stack import CONSOLE_PORT, Stack

_RATE: Final = 20
_EVERY_S: Final = 2.0  # executor/console/static/console.js
_PAGES: Final = ("/", "/orders", "/signals", "/pnl", "/processes")
_READY_S: Final = 60.0


def console(setup: Setup) -> Report:
    """Fire at 20 a second with and without five open pages, in turns."""
    count = int(_RATE * setup.plan.block_s)
    taken: dict[str, list[dict[str, float]]] = {"closed": [], "open": []}
    with BenchStack(setup.folder, setup.tell, sides=(Side.OURS,)) as stack:
        browser = _start(stack)
        load = Load(stack)
        load.warm_up()
        for number in range(setup.plan.rounds):
            for name in sorted(taken, reverse=bool(number % 2)):
                with _open_pages(browser, _PAGES if name == "open" else ()) as answered:
                    block = load.fire(Side.OURS, count, _RATE)
                taken[name].append(quantiles(block.latencies_ms))
                load.settle(block)
                found = taken[name][-1]
                setup.tell(f"{name}: p50 {found['p50']:.1f} p99 {found['p99']:.1f} ms, {len(answered)} pages drawn")
                if name == "open" and not answered:
                    raise BenchError("no page was drawn")
        fired = load.check()
    rows = [
        (
            f"{_RATE}/s {name}",
            *(shown(sorted(one[name] for one in blocks)[len(blocks) // 2]) for blocks in taken.values()),
            shown_ratio(ratio([one[name] for one in taken["open"]], [one[name] for one in taken["closed"]])),
        )
        for name in QUANTILES
    ]
    table = Table(
        "PUBLISH -> request received, ms, with five pages of the console open",
        ("load", "none open", "five open", "open / none"),
        rows,
        f"{setup.plan.rounds} pairs of {setup.plan.block_s:.0f} s; {fired}",
    )
    return Report([table], taken)


def _start(stack: BenchStack) -> requests.Session:
    """Start the console; returns a browser that is logged in."""
    port = free_port()
    environ = {**stack.environ, CONSOLE_PORT: str(port)}
    stack.supervisor.start(Stack(environ, stack.folder, replace(stack.ports, console=port)).console())
    browser = requests.Session()
    browser.trust_env = False
    browser.headers["Sec-Fetch-Site"] = "same-origin"
    base = f"http://{HOST}:{port}"

    def answers() -> bool:
        try:
            return browser.get(f"{base}/health", timeout=5).ok
        except requests.RequestException:
            return False

    stack.until(answers, "the console", _READY_S)
    once = sessions(stack.settings).one_time_link()
    entered = browser.post(f"{base}/login", data={"once": once}, timeout=10, allow_redirects=False)
    if not entered.cookies:
        raise BenchError(f"the console let nobody in: {entered.status_code}")
    browser.headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in entered.cookies.items())
    browser.headers["X-Partial"] = "live"
    browser.headers["X-Base"] = base
    return browser


@contextmanager
def _open_pages(browser: requests.Session, pages: tuple[str, ...]) -> Iterator[list[int]]:
    """Keep pages fresh, each as a tab of a browser does."""
    closed = threading.Event()
    answered: list[int] = []
    tabs = [threading.Thread(target=_tab, args=(browser, path, closed, answered), daemon=True) for path in pages]
    for tab in tabs:
        tab.start()
    try:
        yield answered
    finally:
        closed.set()
        for tab in tabs:
            tab.join()


def _tab(browser: requests.Session, path: str, closed: threading.Event, answered: list[int]) -> None:
    base, tag = str(browser.headers["X-Base"]), ""
    while not closed.is_set():
        began = time.monotonic()
        answer = requests.get(
            base + path, headers={**browser.headers, "If-None-Match": tag}, timeout=10, proxies={"http": ""}
        )
        answer.raise_for_status()
        tag = answer.headers.get("ETag", "")
        answered.append(answer.status_code)
        closed.wait(max(0.0, _EVERY_S - (time.monotonic() - began)))
