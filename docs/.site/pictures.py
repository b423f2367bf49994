"""Makes the pictures of README and docs anew: a real system on its sandbox, in terminals and a browser.

Run by `make pictures` in a network of its own, so that every port is free. Needs Debian's chromium and tmux. Signals,
prices and results come from a seed; figures still differ a little from run to run, as trading takes its time.
"""

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, sync_playwright
from rich.ansi import AnsiDecoder
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from executor.devstack.sandbox_client import SandboxClient

DOCS: Final = Path(__file__).parents[1]
EXECUTOR: Final = Path(sys.executable).with_name("executor")
SECONDS: Final = 100  # of trading before the pictures are taken
COLUMNS: Final = 110


def _rgb(code: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(code)
    return red, green, blue


_THEME: Final = TerminalTheme(
    _rgb("0c1621"),
    _rgb("e2e8f0"),
    [_rgb(code) for code in ["0c1621", "f87171", "86ef80", "facc15", "60a5fa", "d882fa", "5ed6e4", "e2e8f0"]],
    [_rgb(code) for code in ["64748b", "fca5a5", "bbf7d0", "fde68a", "93c5fd", "e9b4fe", "a5f3fc", "ffffff"]],
)
_STRATEGIES: Final = ("ValueBets", "Momentum", "Scalping")
_MARKETS: Final = [f"1.23914{number}" for number in range(8)]
_PAGE: Final = """<style>
  body {{ margin: 0; padding: 14px; width: max-content; }}
  section {{ background: #0c1621; border-radius: 8px; margin-bottom: 14px; min-width: 870px; overflow: hidden; }}
  h1 {{ background: #22303f; color: #cbd5e1; font: 13px sans-serif; margin: 0; padding: 6px 14px; }}
  pre {{ color: #e2e8f0; font: 14px/17px monospace; margin: 0; padding: 10px 14px; }}
</style>{sections}"""


class Terminals:
    """Windows of a tmux server of our own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tmux = ("tmux", "-S", str(folder / "tmux"))

    def open(self, name: str, command: str, lines: int) -> None:
        """Run a command in a window of its own."""
        size = ("-x", str(COLUMNS), "-y", str(lines))
        self._do("new-session", "-d", "-s", name, *size, "-c", str(self._folder), f"{EXECUTOR} {command}; sleep 600")

    def text(self, name: str, *, all_of_it: bool = False) -> str:
        """Return what a window shows, with its colours."""
        since = ("-S", "-") if all_of_it else ()
        return self._do("capture-pane", "-e", "-p", "-t", name, *since)

    def interrupt(self, name: str) -> None:
        """Press Ctrl-C."""
        self._do("send-keys", "-t", name, "C-c")

    def is_idle(self, name: str) -> bool:
        """Tell whether its command has ended."""
        return self._do("display-message", "-p", "-t", name, "#{pane_current_command}").strip() == "sleep"

    def close(self) -> None:
        """End all of them."""
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)

    def _do(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], capture_output=True, text=True, check=True, timeout=20).stdout


@contextmanager
def trading(folder: Path) -> Iterator[tuple[Terminals, SandboxClient]]:
    """Run `executor up` in a window until the block ends."""
    terminals = Terminals(folder)
    try:
        terminals.open("up", "up", 26)
        ca = folder / "data" / "sandbox" / "ca.pem"
        _until(lambda: "once=" in terminals.text("up", all_of_it=True) and ca.exists(), 90, "executor up did not start")
        yield terminals, SandboxClient(ca.parent, 8443)
    finally:
        terminals.interrupt("up")
        _until(lambda: terminals.is_idle("up"), 180, "executor up did not stop")
        terminals.close()


def _until(done: Callable[[], bool], seconds: float, said: str) -> None:
    ends = time.monotonic() + seconds
    while not done():
        if time.monotonic() > ends:
            raise SystemExit(f"pictures: {said}")
        time.sleep(0.5)


def bet(folder: Path, sandbox: SandboxClient) -> str:
    """Send signals for a while, settle some markets; returns the id of one with two legs."""
    rng = random.Random(4)  # noqa: S311 - the same each time
    began, number, shown = time.monotonic(), 0, ""
    while (at := time.monotonic() - began) < SECONDS:
        number += 1
        market = rng.choice(_MARKETS)
        legs = [_leg(rng, selection) for selection in rng.sample(range(11, 15), k=rng.choice((1, 1, 2)))]
        signal: dict[str, Any] = {
            "signalId": f"picture-{number}",
            "marketId": market,
            "strategy": rng.choice(_STRATEGIES),
            "confidence": 0.7,
            "validityWindow": 60,
            **dict(zip(("primarySelection", "secondarySelection"), legs, strict=False)),
        }
        shown = signal["signalId"] if len(legs) > 1 and at < SECONDS / 2 else shown
        subprocess.run(
            [EXECUTOR, "send", "-"], input=json.dumps(signal), text=True, cwd=folder, capture_output=True, check=False
        )
        if len(_MARKETS) > 5 and at > SECONDS * (9 - len(_MARKETS)) / 5:  # noqa: PLR2004 - three of eight are settled
            sandbox.control("settle", {"marketId": _MARKETS.pop(), "winners": [rng.choice((11, 12, 13, 14))]})
        time.sleep(rng.uniform(0, 0.6))
    return shown


def _leg(rng: random.Random, selection: int) -> dict[str, Any]:
    return {
        "selectionId": selection,
        "selectionName": f"Runner {selection}",
        "recommendedOdds": rng.choice((2.0, 2.5, 3.0, 4.2, 6.0)),
        "stake": rng.choice((5.0, 10.0, 20.0, 20.0, 150.0)),
        "betType": rng.choice(("Back", "Lay")),
    }


def draw(browser: Browser, name: str, windows: dict[str, str]) -> None:
    """Draw terminal windows below each other."""
    sections = []
    for title, text in windows.items():
        console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: PTH123, SIM115
        lines = list(AnsiDecoder().decode(text.rstrip()))
        console.print(Text("\n").join(lines), soft_wrap=True)
        body = console.export_html(theme=_THEME, inline_styles=True, code_format="{code}")
        sections.append(f"<section><h1>{title}</h1><pre>{body}</pre></section>")
    page = browser.new_page(viewport={"width": 1000, "height": 400})
    page.set_content(_PAGE.format(sections="".join(sections)))
    page.locator("body").screenshot(path=DOCS / f"{name}.png")
    page.close()


def photograph(browser: Browser, link: str, signal_id: str) -> None:
    """Take the console's pages, and Flower's list."""
    desk = browser.new_context(viewport={"width": 1440, "height": 1120}, color_scheme="dark")
    page = desk.new_page()
    page.goto(link)
    page.get_by_role("button", name="Enter the console").click()
    page.wait_for_timeout(6000)
    page.screenshot(path=DOCS / "console.png")
    origin = re.match(r"https?://[^/]+", link)[0]  # type: ignore[index]
    page.goto(f"{origin}/signals/{signal_id}")
    page.wait_for_timeout(2000)
    page.screenshot(path=DOCS / "console-signal.png")
    page.set_viewport_size({"width": 390, "height": 1100})
    page.goto(f"{origin}/")
    page.wait_for_timeout(4000)
    page.screenshot(path=DOCS / "console-phone.png")
    page.set_viewport_size({"width": 1440, "height": 760})
    page.goto("http://localhost:5555/tasks")
    page.locator("input[type=search]").fill("picture-")
    page.wait_for_timeout(4000)
    page.screenshot(path=DOCS / "flower.png")
    desk.close()


def main() -> None:
    """Make them all."""
    chromium = shutil.which("chromium")
    if chromium is None or shutil.which("tmux") is None:
        raise SystemExit("pictures: this needs Debian's chromium and tmux: apt-get install chromium tmux")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-proxy-server", "--no-sandbox"])
        with trading(folder) as (terminals, sandbox):
            sys.stdout.write(f"{shlex.join([EXECUTOR.name, 'up'])} runs; signals for {SECONDS} s\n")
            link = re.search(r"https?://\S+once=\S+", _plain(terminals.text("up", all_of_it=True)))[0]  # type: ignore[index]
            signal_id = bet(folder, sandbox)
            terminals.open("status", "status --watch", 42)
            terminals.open("orders", "orders --watch", 30)
            time.sleep(8)
            windows = {"executor up": terminals.text("up"), "executor status --watch": terminals.text("status")}
            draw(browser, "terminal", windows)
            draw(browser, "orders", {"executor orders --watch": terminals.text("orders")})
            photograph(browser, link, signal_id)
        browser.close()
    sys.stdout.write(f"made anew in {DOCS}: look at them before they are committed\n")


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\n", " ")


if __name__ == "__main__":
    main()
