"""A poll that stood still between its read and its end says nothing about now."""

import pytest
from support.engine_rig import Rig

from executor.domain.order import BetState
from executor.engine.reconciliation import poll
from executor.ports import Listing


@pytest.mark.parametrize(("stands_still_s", "counts"), [(1, True), (21, False)])
def test_a_poll_counts_only_while_what_it_has_read_is_fresh(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, stands_still_s: int, counts: bool
) -> None:
    rig.memory.reconciled_until = 0

    def read_slowly() -> Listing[BetState]:
        rig.clock.tick(stands_still_s)
        return Listing()

    monkeypatch.setattr(rig.exchange, "executable_orders", read_slowly)
    poll(rig.engine)
    assert rig.view().reconciled is counts
