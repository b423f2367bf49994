"""The ledger in lists, by the accounts' own rules: a fill is the difference to what is booked, a void takes back."""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from executor.domain.ledger_entry import LedgerEntry, encode_entry
from executor.domain.money import ZERO, parse_number
from executor.domain.order import MAX_LEGS, order_ids
from executor.domain.times import iso
from executor.errors import LedgerUnavailable

_SIGN = {"fill": 1, "void": -1}
_HOUR_MS = 3_600_000
Fields = Mapping[str, str]


def _order(entry: str) -> tuple[int, int]:
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number or 0)


class MemoryLedger:
    """`Ledger` in lists."""

    def __init__(self) -> None:
        self.acts: dict[str, LedgerEntry] = {}
        self.away = False
        self.writes = 0
        self.trades: list[Fields] = []
        self.entries: list[str] = []
        self.sizes: list[Decimal] = []
        self.settlements: dict[tuple[str, str], Fields] = {}
        self.settled_by: dict[tuple[str, str], str] = {}  # the entry of each
        self.signals: dict[tuple[str, str], Fields] = {}
        self.feeds: dict[tuple[str, str], str] = {}

    def _reach(self) -> None:
        if self.away:
            raise LedgerUnavailable("ledger: away")

    def write(self, entries: Sequence[tuple[str, LedgerEntry]], *, identity: str = "", generation: str = "") -> None:
        self._reach()
        self.writes += 1
        reached = self.feeds.get((identity, generation), "0-0")
        for entry, content in entries:
            fields = encode_entry(content)
            if generation and _order(entry) <= _order(reached):
                continue
            with contextlib.suppress(KeyError, ValueError):
                if fields["type"] == "settlement":
                    parse_number(fields["net_profit"])
                    self._settle(entry, fields)
                elif fields["type"] == "signal":
                    self.signals[fields["identity"], fields["signal_id"]] = fields
                else:
                    self._book(entry, fields)
        if generation and entries:
            self.feeds[identity, generation] = max(entries[-1][0], reached, key=_order)

    def _settle(self, entry: str, fields: Fields) -> None:
        bet = fields["identity"], fields["bet_id"]
        if bet not in self.settled_by or _order(self.settled_by[bet]) < _order(entry):
            self.settlements[bet], self.settled_by[bet] = fields, entry

    def _own(self, identity: str, bet_id: str) -> list[tuple[str, Fields, Decimal]]:
        rows = zip(self.entries, self.trades, self.sizes, strict=True)
        return [row for row in rows if (row[1]["identity"], row[1]["bet_id"]) == (identity, bet_id)]

    def _book(self, entry: str, fields: Fields) -> None:
        bet = fields["identity"], fields["bet_id"]
        own, total = self._own(*bet), parse_number(fields["size_matched"])
        if any((name, parse_number(row["size_matched"])) == (entry, total) for name, row, _ in own):
            return
        for name in ("price", "average_price_matched"):
            parse_number(fields[name])
        size = _SIGN[fields["type"]] * (total - self._matched(own))
        if fields["type"] == "void" and total == ZERO and bet in self.settlements:
            nothing = dict.fromkeys(("profit", "commission", "net_profit"), "0")
            self._settle(entry, {**self.settlements[bet], **nothing})
        last = parse_number(own[-1][1]["average_price_matched"]) if own else None
        nothing_new = fields["type"] == "void" or last == parse_number(fields["average_price_matched"])
        if size < ZERO or (size == ZERO and nothing_new):
            return
        self.trades.append(fields)
        self.entries.append(entry)
        self.sizes.append(size)

    @staticmethod
    def _matched(own: Sequence[tuple[str, Fields, Decimal]]) -> Decimal:
        return sum((_SIGN[row["type"]] * size for _, row, size in own), ZERO)

    def matched(self, identity: str, bets: Sequence[str]) -> dict[str, Decimal]:
        self._reach()
        return {bet: size for bet, size in self.all_matched(identity).items() if bet in bets}

    def all_matched(self, identity: str) -> dict[str, Decimal]:
        """Return bet id -> what is booked as matched."""
        bets = dict.fromkeys(row["bet_id"] for row in self.trades if row["identity"] == identity)
        sizes = {bet: self._matched(self._own(identity, bet)) for bet in bets}
        return {bet: size for bet, size in sizes.items() if size}

    def gross(self, identity: str) -> dict[str, Decimal]:
        """Return UTC day -> profit before commission."""
        days: dict[str, Decimal] = {}
        for (owner, _), fields in self.settlements.items():
            if owner == identity:
                days[fields["at"][:10]] = days.get(fields["at"][:10], ZERO) + Decimal(fields["profit"])
        return {day: amount for day, amount in days.items() if amount}

    def write_acts(self, entries: Sequence[tuple[str, LedgerEntry]]) -> None:
        self._reach()
        self.acts.update(entries)

    def reached_acts(self, identity: str) -> str:
        del identity
        return max(self.acts, key=_order, default="")

    def reached(self, identity: str, generation: str) -> str:
        self._reach()
        return self.feeds.get((identity, generation), "")

    def knows(self, identity: str, bets: Mapping[str, str], since: int) -> set[str]:
        self._reach()
        booked = {row["bet_id"] for row in self.trades if row["identity"] == identity}
        placed = {
            name
            for (owner, signal_id), fields in self.signals.items()
            if owner == identity and fields["status"] == "COMPLETED" and fields["finished_at"] >= iso(since - _HOUR_MS)
            for name in order_ids(signal_id, MAX_LEGS)
        }
        return {bet for bet, order_id in bets.items() if bet in booked or order_id in placed}

    def newest_settlement(self, identity: str) -> int | None:
        self._reach()
        found = [fields["at"] for (owner, _), fields in self.settlements.items() if owner == identity]
        return _ms(max(found)) if found else None

    def is_empty(self, identity: str) -> bool:
        self._reach()
        return not any(entry["identity"] == identity for entry in [*self.trades, *self.settlements.values()])

    def oldest_unsettled(self, identity: str) -> int | None:
        self._reach()
        matched = self.all_matched(identity)
        first: dict[str, str] = {}
        for entry in self.trades:
            bet_id = entry["bet_id"]
            if entry["identity"] == identity and bet_id in matched and (identity, bet_id) not in self.settlements:
                first.setdefault(bet_id, entry["at"])
        return _ms(min(first.values())) if first else None

    def profits(self, identity: str) -> dict[str, dict[str, Decimal]]:
        self._reach()
        days: dict[str, dict[str, Decimal]] = {}
        for (owner, bet_id), entry in self.settlements.items():
            if owner == identity:
                days.setdefault(entry["at"][:10], {})[bet_id] = Decimal(entry["net_profit"])
        return days


def _ms(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1000)
