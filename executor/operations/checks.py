"""The doctor: what must be right for trading, one finding each, with what to do.

Invariants: looks at everything that can be looked at, whatever else is wrong; changes nothing but the session, which a
login renews where one is wanted. Seconds; amounts in account currency.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from executor import keys, wiring
from executor.adapters.data_folder import storage_problem
from executor.adapters.redis.client import connect
from executor.adapters.redis.console import server, write_probe
from executor.adapters.signatures import KeysUnusable, read_keys
from executor.domain.limits import shown_limits
from executor.errors import LedgerUnavailable, StoreUnavailable
from executor.operations.access import Access, mismatch
from executor.operations.check_exchange import Login, examine_certificate, examine_exchange, examine_rates
from executor.operations.check_first_start import before_first_start, never_ran
from executor.operations.check_result import FAIL, OK, SKIP, WARN, Finding
from executor.operations.check_topology import examine_topology
from executor.operations.ledger import differences
from executor.operations.notifications import failing
from executor.operations.status import beat_lives, mode_in, mode_of, poll_age, processes, said_mode
from executor.operations.trading import why_not_trading
from executor.operations.wording import counted, duration
from executor.ports.system_snapshot import SystemSnapshot
from executor.settings.appsettings import FILE_NAME
from executor.settings.env import DOTENV_NAME
from executor.settings.load import Settings, SettingsError
from executor.settings.urls import mask_url

_OLDEST: Final = (6, 2)  # what the engine's scripts need
_COUNTS_REFUSALS: Final = (7, 2)
_COUNTS_ENTRIES: Final = (7, 0)
_SKEW_WARN_S: Final = 1.0
_SKEW_FAIL_S: Final = 5.0  # contract section 3: more is reported as clock skew
_CROWDED: Final = 100  # messages in a queue, entries behind: no busy moment any more
_BRIDGES: Final = 2
_NAMED: Final = 3  # differences in a line
_OTHERS: Final = 0o007  # permissions of everybody else


def examine(load: Callable[[], Access], *, login: Login) -> Iterator[Finding]:
    """Yield what is found; `login` says whether one is tried for real.

    Raises nothing of ours: what goes wrong is a finding.
    """
    try:
        access = load()
    except SettingsError as error:
        for problem in str(error).splitlines():
            yield Finding("settings", FAIL, problem, "correct it and check again")
        return
    settings = access.settings
    yield _settings(settings)
    yield from examine_topology(settings)
    yield from (Finding("settings", WARN, problem, "correct the name, or take it away") for problem in settings.ignored)
    try:
        facts = list(_redis(settings))
        state = wiring.state(settings).read()
    except StoreUnavailable as error:
        where = mask_url(settings.redis.url)
        yield Finding(
            "redis",
            FAIL,
            f"{error} ({where})",
            "start it, or correct EXECUTOR_REDIS__URL; executor up brings its own, up --live not",
        )
        yield examine_certificate(settings)
        yield _ledger(access, 0)
        return
    yield from facts
    new = never_ran(access, state)
    if not new:
        yield _identity(settings, state)
    yield _data_folder(settings)
    yield examine_certificate(settings)
    writable = _writable(access)
    yield writable
    yield from examine_exchange(access, state, login=login if writable.result == OK else Login.NO)
    yield _clock(settings)
    yield from _signal_keys(settings)
    if new:
        yield from before_first_start(settings)
    else:
        yield from _processes(settings, state)
        yield from _controls(settings, state)
    yield from _leftovers(state)
    yield _ledger(access, state.ledger_lag)
    if not state.ledger_lag:
        yield from _ledger_differences(access)


def _settings(settings: Settings) -> Finding:
    folder = Path.cwd()
    files = [name for name in (DOTENV_NAME, FILE_NAME) if (folder / name).is_file()]
    return Finding(
        "settings",
        OK,
        f"{said_mode(settings)}; from the environment{''.join(f', {name}' for name in files)} in {folder}",
    )


def _redis(settings: Settings) -> Iterator[Finding]:
    facts = server(connect(settings.redis.url))
    version = ".".join(map(str, facts.version))
    where = f"{version} at {mask_url(settings.redis.url)}"
    if facts.version < _OLDEST:
        yield Finding("redis", FAIL, where, f"version {'.'.join(map(str, _OLDEST))} or later is needed")
    else:
        yield Finding("redis", OK, where)
    if facts.version < _COUNTS_REFUSALS:
        blind = "this server does not count all that it refuses its users: redis_denied_total and its alert are blind"
        yield Finding("redis refusals", WARN, blind, "look at ACL LOG by hand, or use Redis 7.2 or Valkey")
    if facts.version < _COUNTS_ENTRIES:
        blind = f"this server does not count entries: what a publisher drops from {keys.SIGNALS} is not noticed"
        yield Finding("redis streams", WARN, blind, "see that no publisher trims it, or use Redis 7 or Valkey")
    if facts.eviction == "noeviction":
        yield Finding("redis memory", OK, "noeviction")
    else:
        what = f"maxmemory-policy is {facts.eviction or 'unknown'}"
        yield Finding("redis memory", WARN, what, "set it to noeviction: an order record must never be evicted")
    if facts.append_only:
        yield Finding("redis disk", OK, "append-only file on")
    else:
        yield Finding("redis disk", WARN, "append-only file off", "set appendonly yes: a restart would lose the orders")


def _writable(access: Access) -> Finding:
    """Write a key, as every step must: a full or read-only Redis answers reads as if nothing were wrong."""
    try:
        write_probe(access.redis)
    except StoreUnavailable as error:
        return Finding("redis writes", FAIL, str(error), "give it memory or disk, or point the URL at the master")
    return Finding("redis writes", OK, "taken")


def _data_folder(settings: Settings) -> Finding:
    if problem := storage_problem(settings.data_dir) if settings.data_dir.exists() else "":
        return Finding("disk", FAIL, problem, "make room: a worker that cannot write places nothing new")
    return Finding("disk", OK, f"{settings.data_dir} can be written")


def _identity(settings: Settings, state: SystemSnapshot) -> Finding:
    if problem := mismatch(settings, state.identity):
        return Finding("identity", FAIL, problem)
    if state.identity is None:
        return Finding("identity", WARN, f"nobody's db yet; {settings.identity} takes it", "start workers and a bridge")
    return Finding("identity", OK, state.identity)


def _clock(settings: Settings) -> Finding:
    store = wiring.store(settings)
    store.now()  # connects
    before = time.time()
    there = store.now() / 1000
    skew = there - (before + time.time()) / 2
    text = f"this machine is {abs(skew):.1f} s {'behind' if skew > 0 else 'ahead of'} Redis"
    if abs(skew) > _SKEW_FAIL_S:
        return Finding("clock", FAIL, text, "synchronise both machines (NTP): signals expire by this")
    if abs(skew) > _SKEW_WARN_S:
        return Finding("clock", WARN, text, "synchronise both machines (NTP)")
    return Finding("clock", OK, f"within {_SKEW_WARN_S:.0f} s of Redis")


def _signal_keys(settings: Settings) -> Iterator[Finding]:
    path = settings.signals.keys_file
    if path is None:
        return
    try:
        keys = read_keys(path)
    except KeysUnusable as error:
        yield Finding("signal keys", FAIL, str(error), "correct it; running bridges go on with the keys from before")
        return
    now = time.time()
    expired = sorted(key.key_id for key in keys.values() if key.expires is not None and key.expires <= now)
    text = f"{len(keys)} in {path}" + (f", expired: {', '.join(expired)}" if expired else "")
    if any(key.is_private for key in keys.values()) and path.stat().st_mode & _OTHERS:
        yield Finding("signal keys", WARN, f"{text}, readable by others", "chmod 600: who reads a shared key can sign")
    else:
        yield Finding("signal keys", WARN if expired else OK, text, "replace them" if expired else "")


def _processes(settings: Settings, state: SystemSnapshot) -> Iterator[Finding]:
    alive = processes(state)
    workers, bridges = alive["worker"], alive["bridge"]
    start = "celery -A executor.app worker, or executor up for all"
    yield (
        Finding("workers", OK, ", ".join(workers))
        if workers
        else Finding("workers", FAIL, "none sends signs of life", f"start one: {start}")
    )
    age = poll_age(state)
    seen = "never" if age is None else f"{duration(age)} ago"
    yield (
        Finding("beat", OK, f"last complete poll {seen}")
        if beat_lives(settings, state)
        else Finding(
            "beat", FAIL, f"last complete poll {seen}", "start celery -A executor.app beat; see login, workers"
        )
    )
    if not bridges:
        yield Finding("bridges", FAIL, "none: signals are lost", "start two: executor bridge")
    elif len(bridges) < _BRIDGES and mode_of(settings) != "live":
        yield Finding("bridges", OK, f"one, which will do for a test: {bridges[0]}; live, run two")
    elif len(bridges) < _BRIDGES:
        yield Finding("bridges", WARN, f"one: {bridges[0]}", "run two: what is published while one restarts is lost")
    else:
        yield Finding("bridges", OK, ", ".join(bridges))
    if state.signals_waiting > _CROWDED:
        text = f"{state.signals_waiting} wait in stream:signals"
        yield Finding("signals", WARN, text, "start more bridges: what waits past its deadline is not executed")
    yield from _stream(settings, state, alive["stream"])
    consoles = alive.get("console", [])
    yield (
        Finding("console", OK, ", ".join(consoles))
        if consoles
        else Finding("console", SKIP, "none runs: executor console serves the web page and the HTTP API")
    )
    yield from _notifications(settings, state, alive.get("notify", []))
    crowded = [f"{name} {length}" for name, length in state.queues.items() if length > _CROWDED]
    if crowded:
        yield Finding("queues", WARN, ", ".join(crowded), "start more workers")


def _notifications(settings: Settings, state: SystemSnapshot, alive: list[str]) -> Iterator[Finding]:
    name, known = "notifications", len(settings.notify.addresses)
    if problems := failing(state):
        yield Finding(name, FAIL, "; ".join(problems), "executor notify test; what is critical is tried for ever")
    elif not alive and (known or state.notify):
        yield Finding(name, WARN, "no process: nobody is told", "start one: executor notify")
    elif not known and not state.notify:
        yield Finding(name, SKIP, "nobody is told: EXECUTOR_NOTIFY__URLS is empty")
    else:
        yield Finding(name, OK, ", ".join(one["shown"] for one in state.notify) or f"{known} addresses")


def _stream(settings: Settings, state: SystemSnapshot, alive: list[str]) -> Iterator[Finding]:
    """Look at the order stream; without it fills are learned of seconds later, and nothing else is wrong."""
    if settings.trading.enable_paper_trading or settings.betfair.stream_address is None:
        return
    if state.stream:
        behind = state.stream.get("behind") == "1"
        text = "the exchange says that its data are late" if behind else "connected"
        yield Finding("stream", WARN if behind else OK, text)
    elif alive:
        yield Finding(
            "stream", WARN, "not connected: fills are learned of by the poll", "see the log of executor stream"
        )
    else:
        advice = "start one: executor stream; or EXECUTOR_BETFAIR__ORDER_STREAM=false"
        yield Finding("stream", WARN, "no process: fills are learned of by the poll", advice)


def _controls(settings: Settings, state: SystemSnapshot) -> Iterator[Finding]:
    yield (
        Finding("reconciled", OK, "our orders match the exchange's")
        if state.reconciled
        else Finding("reconciled", FAIL, "no poll completed lately: nothing is placed", "see beat, workers and login")
    )
    why = why_not_trading(state)
    by_hand = bool(why) and state.trading is not None and not state.breaker
    yield Finding("trading", WARN if by_hand else FAIL if why else OK, why or "enabled")
    yield from examine_rates(settings, state)
    problems = "; ".join(state.limit_problems.values())
    yield (
        Finding("limits", FAIL, f"{problems}: every signal is rejected", "executor limits set NAME=VALUE")
        if problems
        else Finding("limits", OK, shown_limits(state.limits))
    )


def _leftovers(state: SystemSnapshot) -> Iterator[Finding]:
    if state.unreadable:
        detail = f"the records of {', '.join(state.unreadable)} cannot be read"
        yield Finding("orders", FAIL, detail, "their markets take no orders until the records are put right")
    if state.failed_tasks:
        yield Finding("tasks", WARN, f"{state.failed_tasks} failed for good", "look at the workers' logs")


def _ledger(access: Access, lag: int) -> Finding:
    settings, ledger = access.settings, access.ledger
    where = mask_url(settings.ledger.url)
    try:
        booked = ledger.trades_by_identity() if ledger.exists() else None
    except LedgerUnavailable as error:
        return Finding("ledger", FAIL, f"{error} ({where})", "nothing is lost: entries wait in Redis until it is back")
    if lag > _CROWDED:
        return Finding("ledger", WARN, f"{lag} entries behind ({where})", "see workers and queues")
    if booked is None:
        return Finding("ledger", OK, f"no file yet, the first poll makes it ({where})")
    counts = [counted(number, f"{mode_in(settings, identity)} trade") for identity, number in booked.items()]
    return Finding("ledger", OK, f"{', '.join(counts) or 'no trades'}, {lag} entries behind ({where})")


def _ledger_differences(access: Access) -> Iterator[Finding]:
    try:
        found = differences(access) if access.ledger.exists() else []
    except (LedgerUnavailable, StoreUnavailable):  # found elsewhere
        return
    if found:
        named = "; ".join(
            f"{difference.what}: {difference.in_redis:f}, the ledger says {difference.in_ledger:f}"
            for difference in found[:_NAMED]
        )
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        yield Finding("accounts", FAIL, f"Redis and the ledger differ: {named}{more}", "executor ledger repair")
