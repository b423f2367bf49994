"""One guarded stack for the tests of this folder: starting it takes ten seconds."""

from collections.abc import Iterator

import pytest
from support.guarded_stack import GuardedStack, running


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedStack]:
    with running(tmp_path_factory.mktemp("guarded")) as stack:
        yield stack
