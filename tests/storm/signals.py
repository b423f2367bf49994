"""What is published: signals of all kinds from a seed, many of them on few selections so that limits are fought over.

Amounts are decimal text; a message's `name` is how its record will be known.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from random import Random
from typing import Any, Final

from executor import keys
from executor.domain.signal import SignalKind, parse_signal

SELECTIONS: Final = (101, 102, 103)
PRICES: Final = ("1.9", "2", "2.1", "2.5", "3")
LIVE_MARKETS: Final = 5
_ID: Final = re.compile(rb'"signalId": "([^"]{1,128})"')


class Sort(StrEnum):
    """What kind of message it is."""

    ONE_LEG = "one leg"
    TWO_LEGS = "two legs"
    SUREBET = "surebet"
    SHORT = "short"
    OVER = "over a limit"
    EXPIRED = "expired"
    MALFORMED = "malformed"


_SHARES: Final = {
    Sort.ONE_LEG: 45,
    Sort.TWO_LEGS: 16,
    Sort.SUREBET: 17,
    Sort.SHORT: 6,
    Sort.OVER: 5,
    Sort.EXPIRED: 4,
    Sort.MALFORMED: 7,
}


@dataclass(frozen=True)
class Message:
    """One message as it goes out; a repeat is the same message again."""

    number: int
    sort: Sort
    channel: str
    payload: bytes
    name: str  # signal id, a surebet's content id, or the digest of a message that names none

    @property
    def is_surebet(self) -> bool:
        return self.channel == keys.SUREBET_SIGNALS and self.sort is not Sort.MALFORMED


class Markets:
    """The markets that signals go to; a settled one is replaced by a fresh one."""

    def __init__(self, seed: int) -> None:
        self._seed = seed % 1000
        self._made = 0
        self.live = [self._new() for _ in range(LIVE_MARKETS)]

    def _new(self) -> str:
        self._made += 1
        return f"1.{self._seed + 100:04d}{self._made:06d}"

    def retire(self, pick: float) -> str:
        """Take a market out of use; signals that are on their way may still name it."""
        at = int(pick * LIVE_MARKETS)
        gone, self.live[at] = self.live[at], self._new()
        return gone


class Signals:
    """An endless, seeded row of messages."""

    def __init__(self, seed: int, markets: Markets) -> None:
        self._rng = Random(f"{seed}/signals")  # noqa: S311 - a seeded row is the point
        self._seed = seed
        self._markets = markets
        self._number = 0

    def next(self) -> Message:
        self._number += 1
        sort = self._rng.choices(list(_SHARES), list(_SHARES.values()))[0]
        if sort is Sort.SUREBET:
            return self._message(sort, keys.SUREBET_SIGNALS, json.dumps(self._surebet()).encode())
        if sort is Sort.MALFORMED:
            channel = self._rng.choice([keys.SUREBET_SIGNALS, keys.STRATEGY_SIGNALS])
            return self._message(sort, channel, self._malformed())
        return self._message(sort, keys.STRATEGY_SIGNALS, json.dumps(self._strategy(sort)).encode())

    def _message(self, sort: Sort, channel: str, payload: bytes) -> Message:
        if sort is Sort.MALFORMED:
            name = _readable_id(payload) or f"malformed-{hashlib.sha256(payload).hexdigest()[:24]}"
        else:
            kind = SignalKind.SUREBET if sort is Sort.SUREBET else SignalKind.STRATEGY
            name = parse_signal(kind, payload).signal_id
        return Message(self._number, sort, channel, payload, name)

    def _stake(self) -> str:
        return f"{self._rng.randint(200, 4500) / 100:.2f}"

    def _selection(self, side: str) -> dict[str, Any]:
        return {
            "selectionId": str(self._rng.choice(SELECTIONS)),
            "recommendedOdds": self._rng.choice(PRICES),
            "stake": self._stake(),
            "betType": side,
        }

    def _strategy(self, sort: Sort) -> dict[str, Any]:
        body: dict[str, Any] = {
            "signalId": f"storm-{self._seed}-{self._number}",
            "marketId": self._rng.choice(self._markets.live),
            "strategy": f"strategy-{self._rng.randint(1, 5)}",
            "primarySelection": self._selection(self._rng.choice(["Back", "Lay"])),
            "validityWindow": self._rng.choice([10, 20, 45]),
        }
        if sort is Sort.TWO_LEGS:
            body["secondarySelection"] = self._selection(self._rng.choice(["Back", "Lay"]))
        elif sort is Sort.SHORT:
            body["validityWindow"] = self._rng.choice([1, 2, 3])
        elif sort is Sort.OVER:
            body["primarySelection"]["stake"] = self._rng.choice(["101", "5000", "99.99"])
        elif sort is Sort.EXPIRED and self._rng.random() < 0.5:
            body["validityWindow"] = self._rng.choice([0, -5])
        elif sort is Sort.EXPIRED:
            body["timestamp"] = datetime(2020, 1, 1, tzinfo=UTC).isoformat()
        return body

    def _surebet(self) -> dict[str, Any]:
        back, lay = self._rng.sample(SELECTIONS, 2)
        return {
            "marketId": self._rng.choice(self._markets.live),
            "strategy": f"surebet-{self._number}",  # makes its content unique: a surebet carries no id
            "backSelectionId": str(back),
            "backOdds": self._rng.choice(PRICES),
            "stakeBack": self._stake(),
            "laySelectionId": str(lay),
            "layOdds": self._rng.choice(PRICES),
            "stakeLay": self._stake(),
        }

    def _malformed(self) -> bytes:
        body = self._strategy(Sort.ONE_LEG)
        spoilt = self._rng.choice(["cut", "market", "stake", "id", "bytes"])
        if spoilt == "market":
            body["marketId"] = f"nowhere {self._number}"
        elif spoilt == "stake":
            body["primarySelection"]["stake"] = "much"
        elif spoilt == "id":
            body["signalId"] = "x" * 129 + str(self._number)
        text = json.dumps({**body, "stakeBack": "NaN"}).encode()
        if spoilt == "cut":
            return text[: len(text) // 2]
        return text + b"\xff" if spoilt == "bytes" else text.replace(b"primary", b"secondary")


def _readable_id(payload: bytes) -> str:
    """Return the id that a malformed message carries all the same: it is found under it (contract, section 3)."""
    named = _ID.search(payload)
    return named[1].decode() if named else ""
