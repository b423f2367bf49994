"""A line that is really cut: engine and exchange in network namespaces of their own, and a router between them.

Owns the namespaces, which only exist while it is open; needs root and iproute2. The router drops every packet of the
ways that are cut, without a word to either side, as a dead line does. Traffic stays inside. Units: seconds.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[2]
EXCHANGE: Final = "sandbox"  # by its name in the certificate
EXCHANGE_IP: Final = "10.99.2.2"
CONTROL_IP: Final = "10.99.3.2"  # of the exchange, beside the line
_ENGINE_IP: Final = "10.99.1.2"
_SANDBOX: Final = """
import sys
from pathlib import Path
from betfair_sandbox.options import SandboxOptions
from betfair_sandbox.server import serve
serve(SandboxOptions(directory=Path(sys.argv[1]), host=sys.argv[2]))
"""


def why_not() -> str:
    """Say why no line can be cut here, or nothing."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    if shutil.which("ip") is None:
        return "needs iproute2"
    name = f"cut-{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespaces here: {made.stderr.strip()}"
    # Where / is no mount point (a chroot) one may be made, and not entered.
    entered = subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", name], check=True)
    return f"network namespaces cannot be entered here: {entered.stderr.strip()}" if entered.returncode else ""


@dataclass
class CutLine:
    """Two sides and the line between them; `ways` are "there" (what the engine sends) and "back".

    `beside`: another line, that is never cut, for who drives both sides.
    """

    beside: bool = False
    name: str = field(default_factory=lambda: f"cut-{secrets.token_hex(3)}")

    @property
    def engine_side(self) -> str:
        return f"{self.name}-e"

    @property
    def exchange_side(self) -> str:
        return f"{self.name}-x"

    @property
    def _router(self) -> str:
        return f"{self.name}-r"

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for side in (self.engine_side, self.exchange_side, self._router):
            subprocess.run(["ip", "netns", "del", side], capture_output=True, check=False)
            shutil.rmtree(Path("/etc/netns") / side, ignore_errors=True)
        with contextlib.suppress(OSError):
            Path("/etc/netns").rmdir()  # when nobody else has any

    def _make(self) -> None:
        engine, router, exchange = self.engine_side, self._router, self.exchange_side
        for side in (engine, router, exchange):
            _ip("netns", "add", side)
            _ip("-n", side, "link", "set", "lo", "up")
            hosts = Path("/etc/netns") / side / "hosts"
            hosts.parent.mkdir(parents=True)
            hosts.write_text(f"127.0.0.1 localhost\n{EXCHANGE_IP} {EXCHANGE}\n")
        for side, end, address, at_router, gateway in (
            (engine, "line", _ENGINE_IP, "there", "10.99.1.1"),
            (exchange, "line", EXCHANGE_IP, "back", "10.99.2.1"),
        ):
            _ip("link", "add", end, "netns", side, "type", "veth", "peer", "name", at_router, "netns", router)
            _ip("-n", side, "addr", "add", f"{address}/24", "dev", end)
            _ip("-n", router, "addr", "add", f"{gateway}/24", "dev", at_router)
            _ip("-n", side, "link", "set", end, "up")
            _ip("-n", router, "link", "set", at_router, "up")
            _ip("-n", side, "route", "add", "default", "via", gateway)
        if self.beside:
            _ip("link", "add", "beside", "netns", engine, "type", "veth", "peer", "name", "beside", "netns", exchange)
            for side, address in ((engine, "10.99.3.1"), (exchange, CONTROL_IP)):
                _ip("-n", side, "addr", "add", f"{address}/24", "dev", "beside")
                _ip("-n", side, "link", "set", "beside", "up")
        self.heal()

    def cut(self, *ways: str) -> None:
        """Drop whatever comes these ways."""
        self._forward(0, ways or ("there", "back"))

    def heal(self) -> None:
        """Let everything pass."""
        self._forward(1, ("there", "back"))

    def _forward(self, value: int, ways: Sequence[str]) -> None:
        write = "; ".join(f"echo {value} > /proc/sys/net/ipv4/conf/{way}/forwarding" for way in ways)
        subprocess.run([*self.inside(self._router), "sh", "-c", write], check=True)

    def inside(self, side: str) -> list[str]:
        """Return what a command begins with that runs on a side."""
        return ["ip", "netns", "exec", side]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass
class CutEngine:
    """The engine on its side, a process that does what it is told line by line (`cut_line_engine.py`)."""

    line: CutLine
    popen: "subprocess.Popen[str]"

    def tell(self, **command: Any) -> Any:
        """Give it a command; returns its answer."""
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(json.dumps(command) + "\n")
        self.popen.stdin.flush()
        said = self.popen.stdout.readline()
        assert said, f"the engine's process ended: {self.popen.wait(10)}"
        return json.loads(said)


@contextlib.contextmanager
def cut_line(folder: Path) -> Iterator[CutEngine]:
    """Run sandbox and engine on the two sides of a line."""
    folder.mkdir(parents=True, exist_ok=True)
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
    with CutLine() as line, contextlib.ExitStack() as stack:
        errors = stack.enter_context((folder / "errors.log").open("w"))

        def start(side: str, *command: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [*line.inside(side), sys.executable, *command],
                env=environ,
                cwd=folder,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            stack.callback(_end, process)
            return process

        sandbox = start(line.exchange_side, "-c", _SANDBOX, str(folder / "sandbox"), EXCHANGE_IP)
        assert sandbox.stdout is not None
        assert sandbox.stdout.readline(), (folder / "errors.log").read_text()[-2000:]
        script = Path(__file__).with_name("cut_line_engine.py")
        yield CutEngine(line, start(line.engine_side, str(script), str(folder)))


def _end(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()  # the engine ends its own Redis when nobody speaks to it any more
    try:
        process.wait(10 if "cut_line_engine" in str(process.args) else 0.1)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
    finally:
        if process.stdout is not None:
            process.stdout.close()
