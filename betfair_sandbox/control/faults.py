"""Injected faults: what shall go wrong, with which calls, how often.

Owns: the list of armed faults and the choice of those that a call meets. Invariants: a fault that cannot befall a
method never uses itself up on it; the same seed and the same calls draw the same faults. Units: seconds.
"""

from collections.abc import Container
from dataclasses import dataclass
from random import Random
from typing import Final

from betfair_sandbox.api.codes import (
    ACCOUNT_CODES,
    BETTING_CODES,
    HEARTBEAT_CODES,
    KEEP_ALIVE_CODES,
    LOGIN_CODES,
    REPORT_CODES,
    STREAM_CODES,
)

IDENTITY_METHODS: Final = ("certlogin", "login", "keepAlive", "logout")
ACCOUNT_METHODS: Final = (
    "getAccountFunds",
    "getAccountDetails",
    "getAccountStatement",
    "listCurrencyRates",
    "getDeveloperAppKeys",
)
HEARTBEAT_METHODS: Final = ("heartbeat",)
ORDER_METHODS: Final = ("placeOrders", "cancelOrders", "replaceOrders", "updateOrders")
READ_METHODS: Final = (
    "listCurrentOrders",
    "listClearedOrders",
    "listMarketCatalogue",
    "listMarketBook",
    "listMarketProfitAndLoss",
    "listRunnerBook",
    "listEventTypes",
    "listEvents",
    "listCompetitions",
    "listCountries",
    "listVenues",
    "listMarketTypes",
    "listTimeRanges",
    "navigationMenu",
)
SUBSCRIPTIONS: Final = ("marketSubscription", "orderSubscription")
STREAM_METHODS: Final = ("authentication", *SUBSCRIPTIONS)
METHODS: Final = (
    *IDENTITY_METHODS,
    *ACCOUNT_METHODS,
    *HEARTBEAT_METHODS,
    *ORDER_METHODS,
    *READ_METHODS,
    *STREAM_METHODS,
)
ANY: Final = "*"
KINDS: Final = (
    "refuse_connection",
    "http_503",
    "delay",
    "drop_response",
    "report_timeout",
    "expire_session",
)
# What befalls a subscription while it runs, and, the last one, when it goes on after a new connection.
STREAM_KINDS: Final = ("drop_connection", "silence", "status_503", "invalid_clock")
RUNNING_KINDS: Final = ("drop_connection", "silence", "status_503")
TIMED_KINDS: Final = ("delay", "silence", "status_503")  # they last `seconds`
_ERROR: Final = "error:"
# More than a test needs; a script that arms faults in a loop gets told.
MAX_FAULTS: Final = 1_000


@dataclass(slots=True)
class Fault:
    """One armed fault: for the next `count` calls of `method`, or for each with `probability`."""

    method: str
    kind: str
    count: int | None
    probability: float
    seconds: float = 0.0

    def row(self) -> dict[str, object]:
        """Return the fault as the control API shows it."""
        return {
            "method": self.method,
            "kind": self.kind,
            "count": self.count,
            "probability": self.probability,
            "seconds": self.seconds,
        }

    @property
    def code(self) -> str:
        """Betfair's code of an `error:<code>` fault, else empty."""
        return self.kind.removeprefix(_ERROR) if self.kind.startswith(_ERROR) else ""


def applies(kind: str, method: str) -> bool:
    """Tell whether a fault of `kind` can befall `method`."""
    if method in STREAM_METHODS and not kind.startswith(_ERROR):
        return kind in STREAM_KINDS and method in SUBSCRIPTIONS
    if kind == "report_timeout":
        return method in ORDER_METHODS
    if kind == "expire_session":
        return method not in {"certlogin", "login"}
    if kind.startswith(_ERROR):
        return kind.removeprefix(_ERROR) in _codes_of(method)
    return kind in KINDS


def _codes_of(method: str) -> frozenset[str]:
    if method in {"certlogin", "login"}:
        return LOGIN_CODES
    if method in {"keepAlive", "logout"}:
        return KEEP_ALIVE_CODES
    if method in ACCOUNT_METHODS:
        return frozenset(ACCOUNT_CODES)
    if method in HEARTBEAT_METHODS:
        return frozenset(HEARTBEAT_CODES)
    if method in STREAM_METHODS:
        return STREAM_CODES
    if method in ORDER_METHODS:
        return REPORT_CODES | frozenset(BETTING_CODES)
    return frozenset(BETTING_CODES)


class Faults:
    """The armed faults, in the order in which they were armed."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(f"{seed}/faults")  # noqa: S311 - a seeded process is the point
        self._armed: list[Fault] = []

    def arm(self, fault: Fault) -> bool:
        """Add a fault; False when there are too many."""
        if len(self._armed) >= MAX_FAULTS:
            return False
        self._armed.append(fault)
        return True

    def take(self, method: str, kinds: Container[str] | None = None) -> list[Fault]:
        """Return what this call meets, of `kinds` when given: every delay and the first other fault whose turn it is.

        A probability is that of each call, on a running subscription that of each look, ten a second.
        """
        taken: list[Fault] = []
        for fault in list(self._armed):
            if kinds is not None and fault.kind not in kinds:
                continue
            is_delay = fault.kind == "delay"
            if not is_delay and any(other.kind != "delay" for other in taken):
                continue
            if fault.method not in {ANY, method} or not applies(fault.kind, method):
                continue
            if fault.probability < 1 and self._rng.random() >= fault.probability:
                continue
            taken.append(fault)
            if fault.count is not None:
                fault.count -= 1
                if fault.count <= 0:
                    self._armed.remove(fault)
        return taken

    def disarm(self) -> None:
        """Let nothing more go wrong."""
        self._armed.clear()

    def armed(self) -> list[Fault]:
        """Return the faults that are still to come."""
        return list(self._armed)
