"""A guarded stack for the tests of a file: starting it takes ten seconds, and it works on while others are tested."""

from collections.abc import Iterator

import pytest
from support.guarded_stack import GuardedStack, running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedStack]:
    with running(tmp_path_factory.mktemp("guarded")) as stack:
        yield stack
