"""What breaks and when, from a seed: pure, so that a storm can be replayed. Times in seconds from the storm's start."""

from dataclasses import dataclass
from random import Random
from typing import Final

# What happens -> once in how many seconds on average.
EVERY_S: Final = {
    "kill worker": 14.0,
    "kill task": 14.0,
    "kill maintenance": 35.0,
    "kill beat": 45.0,
    "kill bridge": 25.0,
    "pause worker": 25.0,
    "pause maintenance": 50.0,
    "pause bridge": 40.0,
    "redis restart": 75.0,
    "redis kill": 75.0,
    "redis power cut": 90.0,
    "redis pause": 50.0,
    "blip": 40.0,
    "switch off": 45.0,
    "limits": 25.0,
    "settle": 12.0,
    "void": 45.0,
    "suspend": 30.0,
    "fault": 1.3,
    "damage files": 20.0,
    "disk full": 60.0,
    "odd bet": 40.0,
    "odd rows": 30.0,
    "clock step": 20.0,
    "line cut": 40.0,
    "kill stream": 30.0,
    "pause stream": 60.0,
    "kill console": 45.0,
}
# A short storm has each of these at least once, spread over its time.
ALWAYS: Final = (
    "kill worker",
    "kill task",
    "kill bridge",
    "redis kill",
    "blip",
    "pause worker",
    "settle",
    "limits",
    "kill beat",
    "damage files",
    "disk full",
    "odd bet",
    "odd rows",
    "clock step",
    "line cut",
    "kill stream",
    "kill console",
)
# Of a storm in which the master of three is lost again and again: beside it the exchange and people, and nothing else.
FAILOVERS: Final = ("master kill", "master cut", "master silent")
FAILOVER_PERIOD_S: Final = 30.0
_LAST_S: Final = 25.0  # before the end: the next order is to be seen
_BESIDE_FAILOVERS: Final = ("fault", "settle", "void", "limits", "suspend", "switch off")
_CALM_S: Final = 3.0  # at the start: something must be running before it can break

# Method -> share of the faults, and what may befall it beside the common kinds.
_METHODS: Final = {
    "placeOrders": 58,
    "listCurrentOrders": 14,
    "cancelOrders": 12,
    "listClearedOrders": 8,
    "getAccountFunds": 3,
    "certlogin": 3,
    "keepAlive": 2,
    "orderSubscription": 7,
    "authentication": 3,
}
_COMMON: Final = ("refuse_connection", "http_503", "delay", "drop_response")
_ERRORS: Final = (
    "error:TIMEOUT_ERROR",
    "error:UNEXPECTED_ERROR",
    "error:SERVICE_BUSY",
    "error:TOO_MANY_REQUESTS",
    "error:INVALID_SESSION_INFORMATION",
)
_REPORTS: Final = (
    "report_timeout",
    "error:ERROR_IN_MATCHER",
    "error:BET_ACTION_ERROR",
    "error:MARKET_SUSPENDED",
    "error:SERVICE_UNAVAILABLE",
    "error:INSUFFICIENT_FUNDS",
    "error:DUPLICATE_TRANSACTION",
)
# Beyond the API timeout of the storm, 5 s, but within the 15 s in which a timed-out bet may appear (Betfair).
_DELAYS_S: Final = (0.3, 1.0, 3.0, 4.8, 6.0, 9.0, 12.0)


@dataclass(frozen=True)
class Event:
    """Something that happens; `pick` and `for_s` say to whom and for how long, as the kind needs it."""

    at_s: float
    kind: str
    pick: float
    for_s: float
    method: str = ""
    fault: str = ""
    count: int = 1


def make_plan(seed: int, seconds: float) -> list[Event]:
    """Return what happens in a storm of this length, in order."""
    rng = Random(f"{seed}/plan")  # noqa: S311 - a seeded plan is the point
    events: list[Event] = []
    for kind, every_s in EVERY_S.items():
        at_s = _CALM_S + rng.expovariate(1 / every_s) * 0.5
        while at_s < seconds:
            events.append(_event(rng, kind, at_s))
            at_s += rng.expovariate(1 / every_s)
    for kind in ALWAYS:
        if not any(event.kind == kind for event in events):
            events.append(_event(rng, kind, rng.uniform(_CALM_S, max(_CALM_S, seconds - 2))))
    return sorted(events, key=lambda event: event.at_s)


def make_failover_plan(seed: int, seconds: float, *, faults: bool) -> list[Event]:
    """Return the accidents of the master, each kind in turn, and what happens beside them where `faults` are wanted."""
    rng = Random(f"{seed}/failovers")  # noqa: S311 - a seeded plan is the point
    kinds = list(FAILOVERS)
    events: list[Event] = []
    at_s = _CALM_S + rng.uniform(0, 3)
    while at_s < seconds - _LAST_S or not events:
        if len(events) % len(kinds) == 0:
            rng.shuffle(kinds)
        events.append(_event(rng, kinds[len(events) % len(kinds)], at_s))
        at_s += FAILOVER_PERIOD_S
    beside = [event for event in make_plan(seed, seconds) if event.kind in _BESIDE_FAILOVERS] if faults else []
    return sorted([*events, *beside], key=lambda event: event.at_s)


def _event(rng: Random, kind: str, at_s: float) -> Event:
    pick, for_s = rng.random(), rng.uniform(0.3, 4.0)
    if kind == "switch off":
        return Event(at_s, kind, pick, rng.choice([1.0, 3.0, 9.0]))
    if kind == "redis pause":
        return Event(at_s, kind, pick, rng.uniform(0.2, 2.0))
    if kind != "fault":
        return Event(at_s, kind, pick, for_s)
    method = rng.choices(list(_METHODS), list(_METHODS.values()))[0]
    fault = _fault(rng, method)
    count = rng.choice([1, 1, 1, 2, 6]) if method == "placeOrders" else 1
    return Event(at_s, kind, pick, rng.choice(_DELAYS_S), method, fault, count)


def _fault(rng: Random, method: str) -> str:
    if method == "certlogin":
        return rng.choice([*_COMMON, "error:INTERNAL_ERROR"])
    if method == "keepAlive":
        return rng.choice([*_COMMON, "expire_session", "error:INTERNAL_ERROR"])
    kinds = [*_COMMON, "expire_session"]
    if method == "authentication":
        return rng.choice(["error:NO_SESSION", "error:TOO_MANY_REQUESTS", "error:UNEXPECTED_ERROR"])
    if method == "orderSubscription":
        return rng.choice(["drop_connection", "drop_connection", "silence", "status_503", "error:UNEXPECTED_ERROR"])
    if method == "getAccountFunds":
        return rng.choice([*kinds, "error:UNEXPECTED_ERROR"])
    kinds += _ERRORS
    return rng.choice([*kinds, *_REPORTS] if method in {"placeOrders", "cancelOrders"} else kinds)
