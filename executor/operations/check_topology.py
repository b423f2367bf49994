"""What `executor check` says of a Redis behind Sentinel: who answers, who leads, who follows, and what would lose more.

With Redis's defaults a master that is cut off goes on taking writes, a halt among them, and all of them are thrown away
when it is demoted. Milliseconds.
"""

from collections.abc import Iterator
from typing import Final

from executor.adapters.redis.topology import Topology, look_at
from executor.domain.times import whole
from executor.operations.check_result import FAIL, OK, WARN, Finding
from executor.settings.load import Settings
from executor.settings.urls import is_sentinel, sentinel_url

_REPLICAS: Final = 2  # with one, its death stops all writes
_LAG_S: Final = 2
_MARGIN_MS: Final = 1500  # between the last write that a lonely master takes and the promotion of another
_WRITE, _MAX_LAG, _APPEND = "min-replicas-to-write", "min-replicas-max-lag", "appendonly"


def examine_topology(settings: Settings) -> Iterator[Finding]:
    """Look at the sentinels of the state, where there are any."""
    if not is_sentinel(settings.redis.url):
        return
    yield from judge(look_at(sentinel_url(settings.redis.url)))


def judge(found: Topology) -> Iterator[Finding]:
    """Say how good or bad that is."""
    yield _sentinels(found)
    yield _master(found)
    yield _replicas(found)
    yield from _settings(found)


def _sentinels(found: Topology) -> Finding:
    known = len(found.reached) + len(found.silent)
    if not found.reached:
        return Finding("sentinels", FAIL, f"none of {known} answers", "start them, or correct EXECUTOR_REDIS__URL")
    text = f"{len(found.reached)} of {known} answer, quorum {found.quorum}"
    if found.silent:
        return Finding(
            "sentinels", WARN, f"{text}; not {', '.join(found.silent)}", "start it: too few cannot fail over"
        )
    if found.disagree:
        named = ", ".join(found.disagree)
        return Finding(
            "sentinels", WARN, f"{text}; {named} names another master", "a failover is under way, or a split"
        )
    if known <= _REPLICAS:
        return Finding("sentinels", WARN, text, "run three, on three hosts: two cannot decide without each other")
    return Finding("sentinels", OK, text)


def _master(found: Topology) -> Finding:
    if not found.master:
        return Finding(
            "redis master", FAIL, "no sentinel names one", "SENTINEL MASTERS on a sentinel; master= in the URL"
        )
    return Finding("redis master", OK, found.master)


def _replicas(found: Topology) -> Finding:
    shown = ", ".join(f"{name} {lag} s ago" for name, lag in sorted(found.replicas.items())) or "none"
    if not found.replicas:
        return Finding("redis replicas", FAIL, shown, "no order is sent until one follows: start it")
    if max(found.replicas.values()) > _LAG_S:
        return Finding("redis replicas", WARN, f"last heard: {shown}", "one lags: look at its disk and network")
    if len(found.replicas) < _REPLICAS:
        return Finding("redis replicas", WARN, f"last heard: {shown}", "run two: without the only one no order is sent")
    return Finding("redis replicas", OK, f"last heard: {shown}")


def _settings(found: Topology) -> Iterator[Finding]:
    if not found.settings:
        yield Finding(
            "redis failover", WARN, "settings not seen: this user may not read them", f"{_WRITE} 1, {_MAX_LAG} 2"
        )
        return
    write, lag = (whole(found.settings.get(name, "")) for name in (_WRITE, _MAX_LAG))
    slowest_ms = lag * 1000 + _MARGIN_MS
    if write < 1 or lag < 1:
        text = (
            f"{_WRITE} is {write}, {_MAX_LAG} is {lag}: a master that is cut off takes writes that are lost, a halt too"
        )
        yield Finding("redis failover", FAIL, text, f"{_WRITE} 1 and {_MAX_LAG} 2 on all nodes")
    elif slowest_ms > found.down_after_ms:
        text = f"{_MAX_LAG} {lag} is too long for down-after-milliseconds {found.down_after_ms}: there are two masters"
        yield Finding("redis failover", FAIL, text, f"{_MAX_LAG} 2 with down-after-milliseconds 5000")
    else:
        yield Finding("redis failover", OK, f"{_WRITE} {write}, {_MAX_LAG} {lag}, down after {found.down_after_ms} ms")
    if found.settings.get(_APPEND) != "yes":
        yield Finding(
            "redis failover disk", WARN, f"{_APPEND} is off", "a node that restarts empty empties its replicas"
        )
