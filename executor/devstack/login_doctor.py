"""Why the exchange does not let `up` in, for the terminal: asked once, beside the loop, which must not wait for it.

Invariant: a login that was refused for good is not tried again by asking (the session sees to that).
"""

import threading
from collections.abc import Iterator

from executor import wiring
from executor.errors import ExecutorError
from executor.operations.access import Access
from executor.operations.check_exchange import Login, examine_certificate, examine_exchange
from executor.operations.check_result import FAIL, Finding
from executor.settings.load import Settings


class LoginDoctor:
    """Asks once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._asked = False
        self._found: list[Finding] = []

    def ask(self) -> None:
        """Begin to ask, unless that was done."""
        if not self._asked:
            self._asked = True
            threading.Thread(target=self._ask, name="login", daemon=True).start()

    def lines(self) -> Iterator[str]:
        """Yield what is wrong, once it is known, and once."""
        found, self._found = self._found, []
        for finding in found:
            if finding.result == FAIL:
                yield f"{finding.name}: {finding.detail}{f'; {finding.advice}' if finding.advice else ''}"

    def _ask(self) -> None:
        self._found = self._examine()

    def _examine(self) -> list[Finding]:
        certificate = examine_certificate(self._settings)
        if certificate.result == FAIL:
            return [certificate]
        try:
            state = wiring.state(self._settings).read()
            return list(examine_exchange(Access(self._settings), state, login=Login.TRY))
        except ExecutorError as error:
            return [Finding("login", FAIL, str(error))]
