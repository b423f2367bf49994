"""The session at the exchange."""

import pytest
from support.engine_rig import Rig

from executor.engine.session import keep_alive, reauthenticate


def test_a_session_is_kept_alive(rig: Rig) -> None:
    assert keep_alive(rig.engine)
    assert [name for name, _ in rig.exchange.calls] == ["keep_alive"]


@pytest.mark.parametrize("lost", ["unknown there", "none here"])
def test_a_lost_session_is_replaced_at_once(rig: Rig, lost: str) -> None:
    rig.exchange.known_session = lost != "unknown there"
    rig.exchange.age_s = None if lost == "none here" else 60
    assert keep_alive(rig.engine)
    assert rig.exchange.called("prepare") == [None]  # which logs in unless somebody else has meanwhile


@pytest.mark.parametrize(("age_s", "acts"), [(60, False), (21_600, True), (None, True)])
def test_an_old_session_is_replaced(rig: Rig, age_s: int | None, *, acts: bool) -> None:
    rig.exchange.age_s = age_s
    assert reauthenticate(rig.engine) is acts
    assert rig.exchange.called("reauthenticate") == [21_600]
