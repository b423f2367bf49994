"""What `executor check` says of a Redis behind Sentinel: it fails on what would lose a halt, and names what to do."""

from dataclasses import replace

import pytest

from executor.adapters.redis.topology import Topology
from executor.operations.check_topology import judge

GOOD = Topology(
    silent=(),
    reached=("a:1", "b:1", "c:1"),
    master="x:6379",
    disagree=(),
    quorum=2,
    down_after_ms=5000,
    replicas={"y:6379": 0, "z:6379": 1},
    settings={"min-replicas-to-write": "1", "min-replicas-max-lag": "2", "appendonly": "yes"},
)


def settings(**changes: str) -> dict[str, str]:
    return {**GOOD.settings, **{name.replace("_", "-"): value for name, value in changes.items()}}


def test_a_good_one_is_good() -> None:
    found = {one.name: (one.result, one.detail) for one in judge(GOOD)}
    assert {result for result, _ in found.values()} == {"ok"}
    assert found["redis master"][1] == "x:6379"
    assert "y:6379 0 s ago" in found["redis replicas"][1]


@pytest.mark.parametrize(
    ("bad", "name", "result", "says"),
    [
        (replace(GOOD, settings=settings(min_replicas_to_write="0")), "redis failover", "FAIL", "halt"),
        (replace(GOOD, settings=settings(min_replicas_max_lag="0")), "redis failover", "FAIL", "halt"),
        (replace(GOOD, settings=settings(min_replicas_max_lag="10")), "redis failover", "FAIL", "two masters"),
        (replace(GOOD, down_after_ms=3000), "redis failover", "FAIL", "two masters"),
        (replace(GOOD, settings={}), "redis failover", "warn", "not seen"),
        (replace(GOOD, settings=settings(appendonly="no")), "redis failover disk", "warn", "off"),
        (replace(GOOD, replicas={}), "redis replicas", "FAIL", "none"),
        (replace(GOOD, replicas={"y:6379": 0}), "redis replicas", "warn", "y:6379"),
        (replace(GOOD, replicas={"y:6379": 0, "z:6379": 9}), "redis replicas", "warn", "9 s ago"),
        (replace(GOOD, reached=(), silent=("a:1",), master=""), "sentinels", "FAIL", "none of 1"),
        (replace(GOOD, reached=("a:1", "b:1"), silent=("c:1",)), "sentinels", "warn", "not c:1"),
        (replace(GOOD, reached=("a:1", "b:1")), "sentinels", "warn", "2 of 2"),
        (replace(GOOD, disagree=("c:1",)), "sentinels", "warn", "another master"),
        (replace(GOOD, master=""), "redis master", "FAIL", "no sentinel"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(bad: Topology, name: str, result: str, says: str) -> None:
    finding = next(one for one in judge(bad) if one.name == name)
    assert finding.result == result
    assert says in finding.detail
    assert finding.advice
