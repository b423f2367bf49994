"""A signal's states: every pair of them is either in the table or refused."""

import itertools

import pytest

from executor.domain.signal_record import SIGNAL_TRANSITIONS, TERMINAL, SignalRecord, SignalStatus, advance

NOW = 1_700_000_000_000


@pytest.mark.parametrize(("before", "after"), list(itertools.product(SignalStatus, SignalStatus)))
def test_only_the_tables_transitions_are_made(before: SignalStatus, after: SignalStatus) -> None:
    record = SignalRecord("s", "strategy", before, "{}", "1.2", "test", NOW - 9, NOW + 9, NOW - 9, "bridge-1", "token")
    if after not in SIGNAL_TRANSITIONS[before]:
        with pytest.raises(ValueError, match="no transition"):
            advance(record, after, NOW)
        return
    moved = advance(record, after, NOW, "WHY", "because")
    assert (moved.status, moved.reason, moved.detail, moved.updated_at) == (after, "WHY", "because", NOW)
    assert moved.finished_at == (NOW if after in TERMINAL else 0)


def test_what_is_completed_stays_so() -> None:
    assert SIGNAL_TRANSITIONS[SignalStatus.COMPLETED] == frozenset()
    assert set(SIGNAL_TRANSITIONS) == set(SignalStatus)
