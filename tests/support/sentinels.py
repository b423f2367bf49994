"""Three sentinels, a master and two replicas as processes on loopback: killed, silent, or cut off from one another.

A master is cut off by locking the replicas' and the sentinels' users out of it: they take it for dead, while clients
go on. Owns the processes and their folder; none outlives the block.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, cast

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from betfair_sandbox.certificates import CertificatePaths
from executor.devstack.redis_server import HOST, find_redis_server, free_ports
from executor.devstack.supervisor import parent_death_signal

MASTER: Final = "executor"
NODES, SENTINELS, QUORUM = 3, 3, 2
PASSWORD: Final = "clients-of-the-test"
_INNER: Final = "between-the-nodes"
_SENTINELS_MAY: Final = (  # redis.io: Sentinel, ACL
    "+multi +slaveof +ping +exec +subscribe +config|rewrite +role +publish +info +client|setname +client|kill "
    "+script|kill +replicaof"
)
_READY_S: Final = 40.0
_FAST: Final = {"min-replicas-to-write": "1", "min-replicas-max-lag": "2"}
DOWN_AFTER_MS: Final = 5000

Address = tuple[str, int]


class Cluster:
    """The processes, by port."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        sentinel_password: str = "",
        certificates: CertificatePaths | None = None,
    ) -> None:
        self._folder = folder
        self._sentinel_password = sentinel_password
        self._certificates = certificates
        self._program = str(find_redis_server())
        ports = free_ports(NODES + SENTINELS)
        self.nodes, self.sentinels = ports[:NODES], ports[NODES:]
        self._settings = {**_FAST, **(settings or {})}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def url(self, db: int = 0) -> str:
        """Return what EXECUTOR_REDIS__URL would be."""
        hosts = ",".join(f"{HOST}:{port}" for port in self.sentinels)
        known = f"&sentinel_password={self._sentinel_password}" if self._sentinel_password else ""
        known += "&tls=1" if self._certificates else ""
        return f"sentinel://default:{PASSWORD}@{hosts}/{db}?master={MASTER}{known}"

    def _listens(self, port: int) -> dict[str, str]:
        if self._certificates is None:
            return {"port": str(port)}
        return {
            "port": "0",
            "tls-port": str(port),
            "tls-replication": "yes",
            "tls-cert-file": str(self._certificates.server),
            "tls-key-file": str(self._certificates.server),
            "tls-ca-cert-file": str(self._certificates.ca),
            "tls-auth-clients": "no",
        }

    def start(self) -> None:
        """Start all; returns when every replica follows and every sentinel knows all."""
        for port in self.nodes:
            self.start_node(port, follows=None if port == self.nodes[0] else self.nodes[0])
        for port in self.sentinels:
            self.start_sentinel(port)
        self.wait(self.is_whole, "a whole cluster")

    def stop(self) -> None:
        """End all."""
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
        for process in self._processes.values():
            process.wait(10)

    def start_node(self, port: int, *, follows: int | None = None) -> None:
        """Start a node, on the data that it had."""
        folder = self._folder / str(port)
        folder.mkdir(parents=True, exist_ok=True)
        options: dict[str, str] = {
            **self._listens(port),
            "bind": HOST,
            "dir": str(folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "repl-diskless-sync-delay": "0",
            "repl-ping-replica-period": "1",
            "masteruser": "replica",
            "masterauth": _INNER,
            **self._settings,
        }
        users = [
            f"default on >{PASSWORD} ~* &* +@all",
            f"replica on >{_INNER} +psync +replconf +ping",
            f"sentinel on >{_INNER} allchannels -@all {_SENTINELS_MAY}",
        ]
        config = folder / "redis.conf"
        if not config.exists():
            lines = [f"{name} {value}" if value else f'{name} ""' for name, value in options.items()]
            lines += [f"user {user}" for user in users]
            lines += [f"replicaof {HOST} {follows}"] if follows else []
            config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._launch(port, folder, str(config))

    def start_sentinel(self, port: int) -> None:
        """Start a sentinel, on what it knew."""
        folder = self._folder / str(port)
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "sentinel.conf"
        if not config.exists():
            lines = [
                *(f"{name} {value}" for name, value in self._listens(port).items()),
                *([f"requirepass {self._sentinel_password}"] if self._sentinel_password else []),
                f"bind {HOST}",
                f"dir {folder}",
                f"sentinel monitor {MASTER} {HOST} {self.nodes[0]} {QUORUM}",
                f"sentinel auth-user {MASTER} sentinel",
                f"sentinel auth-pass {MASTER} {_INNER}",
                f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}",
                f"sentinel failover-timeout {MASTER} 10000",
                f"sentinel parallel-syncs {MASTER} 1",
            ]
            config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._launch(port, folder, str(config), "--sentinel")

    def _launch(self, port: int, folder: Path, *words: str) -> None:
        with (folder / "log").open("ab") as log:
            self._processes[port] = subprocess.Popen(
                [self._program, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=parent_death_signal(),  # noqa: PLW1509 - one system call, looked up before the fork
            )

    # --- looks --------------------------------------------------------------------------------------------------------

    def node(self, port: int) -> "redis.Redis":
        """Return a client of one node."""
        login: dict[str, Any] = {"password": self._sentinel_password if port in self.sentinels else PASSWORD}
        if self._certificates is not None:
            login |= {"ssl": True, "ssl_ca_certs": str(self._certificates.ca)}
        return redis.Redis(
            host=HOST, port=port, decode_responses=True, socket_timeout=2, retry=Retry(NoBackoff(), 0), **login
        )

    def ask(self, port: int, *words: str) -> Any:
        """Send one command to a node or a sentinel."""
        with self.node(port) as client:
            return client.execute_command(*words)

    def master(self) -> int:
        """Return the port of the master that most sentinels name; 0 where none does."""
        said: list[int] = []
        for port in self.sentinels:
            with suppress(RedisError, TypeError):
                said.append(int(self.ask(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)[1]))
        return max(set(said), key=said.count, default=0)

    def is_whole(self) -> bool:
        """Tell whether every replica follows and every sentinel knows all."""
        for port in self.sentinels:
            state = cast("dict[str, Any]", self.ask(port, "SENTINEL", "MASTER", MASTER))
            if int(state["num-slaves"]) < NODES - 1 or int(state["num-other-sentinels"]) < SENTINELS - 1:
                return False
        with self.node(self.master()) as client:
            return int(client.info("replication")["min_slaves_good_slaves"]) == NODES - 1

    def wait(self, look: Any, what: str, within_s: float = _READY_S) -> Any:
        """Poll until `look` returns something true; a server that is away is looked at again."""
        deadline = time.monotonic() + within_s
        while True:
            found = None
            with suppress(RedisError):
                found = look()
            if found:
                return found
            assert time.monotonic() < deadline, f"waited {within_s:.0f} s for {what}; logs: {self._folder}"
            time.sleep(0.05)

    # --- accidents ----------------------------------------------------------------------------------------------------

    def kill(self, port: int) -> None:
        """Kill a node or a sentinel as a crash would."""
        self._processes[port].kill()
        self._processes[port].wait(10)

    def freeze(self, port: int) -> None:
        """Let a server fall silent, as a host that lost its power: no connection of it is reset."""
        os.kill(self._processes[port].pid, signal.SIGSTOP)

    def thaw(self, port: int) -> None:
        """Let it go on."""
        os.kill(self._processes[port].pid, signal.SIGCONT)

    def cut_off(self, port: int) -> None:
        """Cut a node off from nodes and sentinels; clients still reach it."""
        with self.node(port) as client:
            for user in ("replica", "sentinel"):
                client.execute_command("ACL", "SETUSER", user, "off")
                client.execute_command("CLIENT", "KILL", "USER", user)

    def rejoin(self, port: int) -> None:
        """End the cut."""
        with self.node(port) as client:
            for user in ("replica", "sentinel"):
                client.execute_command("ACL", "SETUSER", user, "on")
            client.client_kill_filter(_type="normal", skipme=True)  # a sentinel logs in anew only when it connects anew

    def wait_for_another_master(self, than: int) -> int:
        """Return the new master's port, when it takes writes."""

        def found() -> int:
            port = self.master()
            if port in {0, than}:
                return 0
            with self.node(port) as client:
                state = client.info("replication")
            return port if state["role"] == "master" and int(state["min_slaves_good_slaves"]) > 0 else 0

        return int(self.wait(found, "another master"))


@contextmanager
def cluster(folder: Path, settings: Mapping[str, str] | None = None, **security: Any) -> Iterator[Cluster]:
    """Run one."""
    made = Cluster(folder, settings, **security)
    try:
        made.start()
        yield made
    finally:
        made.stop()
