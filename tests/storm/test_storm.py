"""A short storm in every run of all tests; `make storm` has the long ones."""

from pathlib import Path

import pytest

from storm.plan import make_plan
from storm.run import storm
from storm.signals import Markets, Signals

SEED = 4
SECONDS = 12.0


@pytest.mark.slow  # until all that was in flight has ended: up to three minutes
@pytest.mark.timeout(280)
def test_a_short_storm_breaks_no_promise(tmp_path: Path) -> None:
    said: list[str] = []
    found = storm(tmp_path / "storm", seed=SEED, seconds=SECONDS, rate=6, say=said.append, force=True)
    assert not found.violations, "\n".join([*said, *found.lines()])
    assert sum(int(word) for word in str(found.numbers["kills"]).split() if word.isdigit()) >= 1, found.lines()
    assert not str(found.numbers["accidents"]).startswith("0 line cut"), found.lines()
    assert int(str(found.numbers["placed"]).split()[0]) >= 5, found.lines()


def test_a_seed_makes_the_same_storm_again() -> None:
    assert make_plan(7, 60) == make_plan(7, 60) != make_plan(8, 60)
    one, other = (Signals(7, Markets(7)) for _ in range(2))
    assert [one.next() for _ in range(50)] == [other.next() for _ in range(50)]
