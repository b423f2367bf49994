"""Which master is believed when the sentinels do not agree: that of the latest election, whoever tells of it."""

from typing import Any

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.sentinel import MasterNotFoundError, Sentinel

from executor.adapters.redis.topology import follow, follow_newest_master
from executor.settings.urls import sentinel_url

NAME = "executor"
OLD, NEW = "10.0.0.1", "10.0.0.2"


class ScriptedSentinel:
    """Answers as it is told; None: not at all."""

    def __init__(self, host: str | None, epoch: int = 1, *, down: bool = False) -> None:
        self.asked = 0
        self._host = host
        self._state = {
            "ip": host,
            "port": 6379,
            "config-epoch": epoch,
            "is_master": True,
            "is_sdown": down,
            "is_odown": False,
            "num-other-sentinels": 2,
        }

    def sentinel_masters(self) -> dict[str, dict[str, Any]]:
        self.asked += 1
        if self._host is None:
            raise RedisTimeoutError("silent")
        return {NAME: self._state}


def master(*answers: ScriptedSentinel) -> tuple[str, int]:
    return among(*answers).discover_master(NAME)  # type: ignore[no-any-return,no-untyped-call]


def among(*answers: ScriptedSentinel) -> Sentinel:
    sentinels = Sentinel([])  # type: ignore[no-untyped-call]
    sentinels.sentinels = list(answers)  # type: ignore[arg-type]
    follow_newest_master(sentinels)
    return sentinels


def test_the_latest_election_counts_whoever_is_asked_first() -> None:
    behind, ahead = ScriptedSentinel(OLD, 1), ScriptedSentinel(NEW, 2)
    assert master(behind, ahead, ScriptedSentinel(NEW, 2)) == (NEW, 6379)
    assert master(ahead, behind, ScriptedSentinel(NEW, 2)) == (NEW, 6379)


def test_a_majority_is_enough_and_the_silent_one_is_asked_last_from_then_on() -> None:
    silent, one, other = ScriptedSentinel(None), ScriptedSentinel(NEW, 2), ScriptedSentinel(NEW, 2)
    sentinels = among(silent, one, other)
    for _ in range(3):
        assert sentinels.discover_master(NAME) == (NEW, 6379)  # type: ignore[no-untyped-call]
    assert (silent.asked, one.asked, other.asked) == (1, 3, 3)


def test_one_that_answers_alone_is_believed() -> None:
    assert master(ScriptedSentinel(None), ScriptedSentinel(None), ScriptedSentinel(OLD)) == (OLD, 6379)


def test_nobody_names_a_master_that_is_well() -> None:
    with pytest.raises(MasterNotFoundError, match=NAME):
        master(ScriptedSentinel(OLD, down=True), ScriptedSentinel(OLD, down=True), ScriptedSentinel(None))


def test_a_client_of_the_state_asks_that_way() -> None:
    client = follow(sentinel_url("sentinel://127.0.0.1:1/0?master=executor"))
    sentinels: Any = vars(client.connection_pool)["sentinel_manager"]
    sentinels.sentinels = [ScriptedSentinel(OLD, 1), ScriptedSentinel(NEW, 2), ScriptedSentinel(NEW, 2)]
    assert sentinels.discover_master(NAME) == (NEW, 6379)
