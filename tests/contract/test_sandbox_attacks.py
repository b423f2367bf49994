"""Some seconds of `make fuzz-sandbox`: hostile connections, damaged recordings."""

from pathlib import Path

import pytest
from fuzz_sandbox.__main__ import KINDS

SECONDS = 7


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_nothing_comes_of_it(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = KINDS[kind](7, SECONDS, tmp_path)
    assert wrong == 0, capsys.readouterr().out
