"""Redis behind Sentinel: clients that go where the master is, and leave one that has lost its replicas.

Invariants: each new connection asks the sentinels, and believes the one that knows of the latest election; a connection
whose server refuses writes (demoted, or cut off from its replicas) is given up; whoever only reads or listens learns
within seconds that the master has moved, as its old one goes on answering.
A master that falls silent is left within seconds: every wait is short, and repeated once at most. Seconds.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

if TYPE_CHECKING:
    from redis.commands.core import Script

from executor.settings.urls import SENTINEL_S, SentinelUrl

_ASK_S: Final = 1.0
_ANSWER_S: Final = 0.5  # within which an answer comes back
_NO_REPLICAS: Final = "NOREPLICAS"


def _leave(connection: SentinelManagedConnection, error: ResponseError) -> None:
    """Give a connection up whose master must not be written to any more.

    Raises:
        RedisConnectionError: it was one; the next connection asks the sentinels.
    """
    if str(error).startswith(_NO_REPLICAS) and connection.connection_pool.is_master:
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise RedisConnectionError("the master has lost its replicas: there may be another one") from error


class _Following:
    """A connection to the master that is left when the master has lost its replicas."""

    def read_response(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """Return the answer, unless it says that this is no place to write."""
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except ResponseError as error:
            _leave(cast("SentinelManagedConnection", self), error)
            raise


class FollowingConnection(_Following, SentinelManagedConnection):
    """Without TLS."""


class FollowingSSLConnection(_Following, SentinelManagedSSLConnection):
    """By TLS."""


def follow_newest_master(sentinels: Sentinel) -> None:
    """Let what connects by these sentinels ask most of them; redis-py believes the first that answers.

    One that has not heard of an election yet would send its askers back to a master that lives on, cut off.
    """
    vars(sentinels)["discover_master"] = partial(_newest_master, sentinels)


def _newest_master(sentinels: Sentinel, name: str) -> tuple[str, int]:
    """Return the master of the latest election that any of a majority knows of, or of all that answer.

    Raises:
        MasterNotFoundError: nobody knows one that is well.
    """
    known: list[dict[str, Any]] = []
    answered = 0
    asked = list(sentinels.sentinels)
    for sentinel in asked:
        try:
            state = cast("dict[str, dict[str, Any]]", sentinel.sentinel_masters()).get(name)
        except RedisError:  # asked last from now on: a host that is gone costs a time-out
            sentinels.sentinels = [one for one in asked if one is not sentinel] + [sentinel]
            continue
        answered += 1
        if state is not None and sentinels.check_master_state(state, name):  # type: ignore[no-untyped-call]
            known.append(state)
        if answered > len(asked) // 2:
            break
    if not known:
        raise MasterNotFoundError(f"No master found for {name!r}")
    newest = max(known, key=lambda state: int(state["config-epoch"]))
    return str(newest["ip"]), int(newest["port"])


class FollowingPool(SentinelConnectionPool):
    """Connections to the master; all are made anew when it has moved, those of readers, too."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - redis-py's
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]
        self._watch = MasterWatch(self)

    def get_connection(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """Return a connection; not one to a server that is no master any more and answers reads all the same."""
        connection = super().get_connection(*args, **options)
        if self._watch.has_left(connection):
            self.disconnect(inuse_connections=False)
            connection.disconnect()  # type: ignore[no-untyped-call]
            try:
                connection.connect()  # type: ignore[no-untyped-call]
            except BaseException:
                self.release(connection)
                raise
        return connection


def sentinel_options(url: SentinelUrl) -> dict[str, Any]:
    """Return how the sentinels are spoken to."""
    once = {"socket_timeout": SENTINEL_S, "socket_connect_timeout": SENTINEL_S, "retry": Retry(NoBackoff(), 0)}
    given = {"username": url.sentinel_user, "password": url.sentinel_password, "ssl": url.tls}
    return once | {name: value for name, value in given.items() if value}


def follow(url: SentinelUrl, **options: Any) -> "redis.Redis":  # noqa: ANN401 - redis-py's
    """Make a client of whichever server the sentinels say is the master."""
    sentinels = Sentinel(list(url.sentinels), sentinel_kwargs=sentinel_options(url))  # type: ignore[no-untyped-call]
    follow_newest_master(sentinels)
    given: dict[str, Any] = {
        "username": url.username or None,
        "password": url.password or None,
        "db": url.db,
        "ssl": url.tls,
    }
    connection = FollowingSSLConnection if url.tls else FollowingConnection
    given |= {"connection_class": connection, "connection_pool_class": FollowingPool}
    client = sentinels.master_for(url.master, **given, **options)  # type: ignore[no-untyped-call]
    return cast("redis.Redis", client)


def has_replicas(client: "redis.Redis") -> bool:
    """Tell whether what this client writes is to be on a replica before it counts."""
    return isinstance(client.connection_pool, SentinelConnectionPool)


def run_durably(
    client: "redis.Redis", script: "Script", keys: Sequence[str], args: Sequence[Any], wait_ms: int
) -> tuple[Any, bool]:
    """Run a script and wait until a replica has what it wrote; returns its answer, and whether one has.

    On one connection: WAIT is about what its own has written. It ends before the connection gives up waiting for it:
    that no replica has it is an answer, no answer would be a server that is away.
    """
    gives_up_s: float = client.connection_pool.connection_kwargs["socket_timeout"]
    wait_ms = min(wait_ms, int((gives_up_s - _ANSWER_S) * 1000))
    pipe = client.pipeline(transaction=False)
    for _ in range(2):
        pipe.evalsha(script.sha, len(keys), *keys, *args)
        pipe.execute_command("WAIT", 1, wait_ms)  # type: ignore[no-untyped-call]
        answer, replicas = pipe.execute(raise_on_error=False)
        if not isinstance(answer, NoScriptError):
            break
        client.script_load(script.script)
    for each in (answer, replicas):
        if isinstance(each, RedisError):
            raise each
    return answer, int(replicas) > 0


class MasterWatch:
    """Tells who listens or reads when the master has moved: a server that was cut off goes on answering."""

    def __init__(self, pool: "redis.ConnectionPool") -> None:
        self._pool = pool
        self._asked = float("-inf")
        self._address: tuple[str, int] | None = None
        self._asking = threading.Lock()

    def has_left(self, connection: Any) -> bool:  # noqa: ANN401 - redis-py's
        """Tell whether `connection` is to another server than the master; asks once a second, beside the caller."""
        if not isinstance(self._pool, SentinelConnectionPool) or connection is None:
            return False
        if time.monotonic() - self._asked > _ASK_S and self._asking.acquire(blocking=False):
            self._asked = time.monotonic()
            threading.Thread(target=self._ask, daemon=True).start()
        return self._address is not None and (connection.host, connection.port) != self._address

    def _ask(self) -> None:
        try:
            pool = cast("Any", self._pool)
            self._address = pool.sentinel_manager.discover_master(pool.service_name)
        except RedisError:  # nobody knows: whoever listens goes on
            self._address = None
        finally:
            self._asking.release()


# --- what `executor check` shows --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Topology:
    """What the sentinels and the master say; times in ms."""

    silent: Sequence[str]  # sentinels that do not answer
    reached: Sequence[str]
    master: str  # host:port; "" where no sentinel knows one
    disagree: Sequence[str]  # sentinels that name another master
    quorum: int
    down_after_ms: int
    replicas: Mapping[str, int]  # host:port -> seconds since it last acknowledged
    settings: Mapping[str, str]  # of the master; empty where they may not be read


_READ: Final = ("min-replicas-to-write", "min-replicas-max-lag", "appendonly")


def look_at(url: SentinelUrl) -> Topology:
    """Ask every sentinel, and the master that most of them name."""
    said: dict[str, Mapping[str, Any]] = {}
    silent: list[str] = []
    for host, port in url.sentinels:
        name = f"{host}:{port}"
        try:
            with redis.Redis(host=host, port=port, decode_responses=True, **sentinel_options(url)) as sentinel:
                said[name] = cast("Mapping[str, Any]", sentinel.sentinel_master(url.master))
        except RedisError:
            silent.append(name)
    named = {name: f"{state['ip']}:{state['port']}" for name, state in said.items()}
    votes = list(named.values())
    master = max(set(votes), key=votes.count, default="")
    state = next((said[name] for name, address in named.items() if address == master), {})
    replicas, settings = _ask_master(url) if master else ({}, {})
    return Topology(
        silent=silent,
        reached=list(said),
        master=master,
        disagree=[name for name, address in named.items() if address != master],
        quorum=int(state.get("quorum", 0)),
        down_after_ms=int(state.get("down-after-milliseconds", 0)),
        replicas=replicas,
        settings=settings,
    )


def _ask_master(url: SentinelUrl) -> tuple[dict[str, int], dict[str, str]]:
    once = {"socket_timeout": SENTINEL_S, "socket_connect_timeout": SENTINEL_S, "retry": Retry(NoBackoff(), 0)}
    with follow(url, decode_responses=True, **once) as client:
        try:
            info = client.info("replication")
        except RedisError:
            return {}, {}
        found = [value for name, value in info.items() if name.startswith("slave") and isinstance(value, dict)]
        online = [one for one in found if one.get("state") == "online"]
        replicas = {f"{one['ip']}:{one['port']}": int(one.get("lag", 0)) for one in online}
        try:
            settings = {name: str(client.config_get(name).get(name, "")) for name in _READ}
        except RedisError:
            settings = {}
    return replicas, settings
