"""The promises, held against what the exchange really got: every violation with its evidence.

Each check yields lines that begin with its name; no line means that the promise was kept.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from storm import exposure
from storm.books import Books
from storm.breakage import Diary
from storm.publisher import Published
from storm.signals import Sort

Json = dict[str, Any]

TERMINAL: Final = frozenset({"REJECTED", "EXPIRED", "COMPLETED", "FAILED"})
# What the exchange may have said of a call that is then made again: it did not look at it.
_NOT_LOOKED_AT: Final = frozenset(
    {
        "SERVICE_BUSY",
        "TOO_MANY_REQUESTS",
        "INVALID_SESSION_INFORMATION",
        "NO_SESSION",
        "SERVICE_UNAVAILABLE",
        "REGULATOR_IS_NOT_AVAILABLE",
    }
)
# Before Redis was killed: what this last moment wrote may be gone, the submit step of a call among it. Such a call may
# be made again under the same customerRef, which the exchange de-duplicates.
_LOST_S: Final = 3.5
# After the loss of a master: so long the old one may take what it is told, until it finds itself alone.
_FENCED_S: Final = 6.0
_IN_FLIGHT_S: Final = 7.0  # after the switch: the second before sending, the API timeout, a second for clocks
_ZERO: Final = Decimal(0)
_ROUNDED: Final = Decimal("0.000001")  # of an average price; sizes are whole pennies
_PENNY: Final = Decimal("0.01")  # what such a price may make of an exposure, which is rounded up
_FIELDS: Final = {
    "size_matched": "sizeMatched",
    "average_price_matched": "averagePriceMatched",
    "size_cancelled": "sizeCancelled",
    "size_lapsed": "sizeLapsed",
    "size_voided": "sizeVoided",
}


class Verdict:
    """All checks on one set of books."""

    def __init__(self, books: Books, published: list[Published], diary: Diary) -> None:
        self._books = books
        self._published = published
        self._diary = diary
        self.counts: dict[str, int] = {}
        self.violations: list[str] = []
        checks: dict[str, Callable[[], Iterator[str]]] = {
            "doubles": self._doubles,
            "repeated": self._repeated,
            "lost": self._lost,
            "over limit": self._over_limit,
            "unresolved": self._unresolved,
            "unlike": self._unlike,
            "ledger": self._ledger,
            "exposure": self._exposure,
            "sent while off": self._sent_while_off,
        }
        for name, check in checks.items():
            found = [f"{name}: {line}" for line in check()]
            self.counts[name] = len(found)
            self.violations += found

    def _bets(self) -> Iterator[tuple[str, Json]]:
        for ref, bets in self._books.bets.items():
            for bet in bets:
                yield ref, bet

    # --- promise 1 and 2 ---------------------------------------------------------------------------------------------

    def _doubles(self) -> Iterator[str]:
        for ref, bets in self._books.bets.items():
            if len(bets) > 1 or not ref:
                yield f"order {ref or '(none)'} has bets {[bet['betId'] for bet in bets]}; {self._story(ref)}"

    def _calls(self) -> dict[str, list[Json]]:
        calls: dict[str, list[Json]] = {}
        for call in self._books.calls:
            for instruction in call["params"].get("instructions", []):
                calls.setdefault(instruction["customerOrderRef"], []).append(call)
        return calls

    def _repeated(self) -> Iterator[str]:
        for ref, calls in self._calls().items():
            for before in calls[:-1]:
                forgotten = any(-1 < cut - before["received_at"] < _LOST_S for cut in self._diary.cuts)
                if before["error"] not in _NOT_LOOKED_AT and not forgotten:
                    yield f"order {ref} was sent again after {_short(before)}; {self._story(ref)}"
                    break

    # --- promise 5 ---------------------------------------------------------------------------------------------------

    def _records(self, name: str, *, surebet: bool) -> list[Json]:
        signals = self._books.signals
        if surebet:
            return [record for signal_id, record in signals.items() if signal_id.startswith(f"{name}-")]
        return [signals[name]] if name in signals else []

    def _lost(self) -> Iterator[str]:
        expected = {Sort.MALFORMED: {"REJECTED"}, Sort.EXPIRED: {"EXPIRED"}}
        for sent in self._published:
            message = sent.message
            records = self._records(message.name, surebet=message.is_surebet)
            said = f"{message.name} ({message.sort}, first said {sent.first:.2f}, heard {_times(sent.heard)})"
            excused = self._recorded_again(sent, records) or self._lost_with_redis(sent, records)
            if len(records) != 1 and sent.heard and not excused:
                yield f"signal {said} has {len(records)} records"
            for record in records:
                if record["status"] not in expected.get(message.sort, TERMINAL):
                    yield f"signal {said} is {record['status']} {record.get('reason', '')}"

    def _lost_with_redis(self, message: Published, records: list[Json]) -> bool:
        """Tell whether a power cut took all that Redis had been told of a signal: the durable door is as durable."""
        lost = [at for at in message.added if self._may_be_lost(at)]
        return not records and len(lost) == len(message.heard)

    def _may_be_lost(self, at: float) -> bool:
        """Tell whether Redis may have lost what it was told then."""
        cut = any(0 <= cut - at < _LOST_S for cut in self._diary.cuts)
        return cut or any(-_FENCED_S < lost - at < _LOST_S for lost in self._diary.failovers)

    def _recorded_again(self, message: Published, records: list[Json]) -> bool:
        """Tell whether a surebet that a killed Redis lost was recorded again with another arrival, executed once."""
        cut = any(-_LOST_S < at - heard < _LOST_S for at in self._diary.cuts for heard in message.heard)
        cut = cut or any(-_FENCED_S < at - heard < _LOST_S for at in self._diary.failovers for heard in message.heard)
        executed = sum(record["status"] == "COMPLETED" for record in records)
        return message.message.is_surebet and cut and len(records) == 2 and executed <= 1

    # --- promise 3 ---------------------------------------------------------------------------------------------------

    def _over_limit(self) -> Iterator[str]:
        markets: dict[str, list[tuple[float, Json]]] = {}
        for ref, bet in self._bets():
            record = self._books.orders.get(ref, {})
            at = record["created_at"] / 1000 if record.get("signal_id") else _seconds(bet["placedDate"])
            markets.setdefault(bet["marketId"], []).append((at, bet))
        for market, dated in markets.items():
            settled = self._diary.settled.get(market, float("inf"))
            dated.sort(key=lambda pair: pair[0])
            for at, bet in dated:
                there = [(other, _open_after(other, at + 1)) for then, other in dated if then <= at]
                if settled <= at + 1:
                    continue  # placed after the result: the exchange refuses that, and the lost ones are not there
                yield from self._passed(market, at, bet, there)

    def _passed(self, market: str, at: float, bet: Json, there: list[tuple[Json, bool]]) -> Iterator[str]:
        held = exposure.least_at(there)
        selection = str(bet["selectionId"])
        allowed = self._most("MaxExposurePerSelection", at)
        if held[selection] > allowed:
            yield f"{market}/{selection} at {at:.2f}: {held[selection]} > {allowed} with {_brief(bet)}"
        total, allowed = sum(held.values(), _ZERO), self._most("MaxExposurePerMarket", at)
        if total > allowed:
            yield f"{market} at {at:.2f}: {total} > {allowed} with {_brief(bet)}"

    def _most(self, name: str, at: float) -> int:
        """Return the highest limit that was in force at or before a moment: what was held then is not cut back."""
        return max(limits[name] for since, limits in self._diary.limits if since <= at + 1)

    # --- promise 2 and 6, and the accounts ---------------------------------------------------------------------------

    def _unresolved(self) -> Iterator[str]:
        books = self._books
        yield from (f"signal {name} is open: {books.signals.get(name)}" for name in books.open_signals)
        yield from (f"order {name}: {books.orders.get(name)}; {self._story(name)}" for name in books.active)
        for ref, order in books.orders.items():
            if order["status"] in {"RESERVED", "SUBMITTED", "PENDING"} and ref not in books.active:
                yield f"order {ref}: {order}; {self._story(ref)}"

    def _unlike(self) -> Iterator[str]:
        for ref, bet in self._bets():
            order = self._books.orders.get(ref)
            if order is None:
                yield f"bet {bet['betId']} of order {ref} is not in our records; {self._story(ref)}"
                continue
            wrong = [
                f"{ours} {order.get(ours, '0')} != {bet[theirs]}"
                for ours, theirs in _FIELDS.items()
                if abs(Decimal(order.get(ours, "0")) - Decimal(bet[theirs])) > _ROUNDED
            ]
            if order["status"] not in self._statuses(bet):
                wrong.append(f"status {order['status']}, the exchange: {_brief(bet)}")
            if wrong:
                yield f"order {ref}: {', '.join(wrong)}; {self._story(ref)}"
        for ref, order in self._books.orders.items():
            if order.get("bet_id") and ref not in self._books.bets:
                yield f"order {ref} has bet {order['bet_id']}, which the exchange does not have"

    def _statuses(self, bet: Json) -> set[str]:
        if Decimal(bet["sizeRemaining"]):
            return {"PENDING"}
        if Decimal(bet["sizeMatched"]):
            return {"SETTLED"} if bet["marketId"] in self._diary.settled else {"MATCHED", "CANCELLED", "LAPSED"}
        names = {"sizeVoided": "VOIDED", "sizeCancelled": "CANCELLED", "sizeLapsed": "LAPSED"}
        return {status for name, status in names.items() if Decimal(bet[name])}

    def _ledger(self) -> Iterator[str]:
        books = self._books
        there = {bet["betId"]: bet for _, bet in self._bets()}
        for bet_id, bet in there.items():
            booked = books.fills.get(bet_id, _ZERO)
            if booked != Decimal(bet["sizeMatched"]):
                yield f"bet {bet_id}: booked {booked}, matched {bet['sizeMatched']}"
            if bet["marketId"] in self._diary.settled and Decimal(bet["sizeMatched"]) and bet_id not in books.profits:
                yield f"bet {bet_id}: its settlement is not booked"
        yield from (f"bet {bet_id} is booked and not at the exchange" for bet_id in books.fills.keys() - there.keys())
        if books.ledger_lag:
            yield f"{books.ledger_lag} entries of the feed are not in the ledger"
        if books.net != books.pnl_total:
            yield f"settlements in the ledger sum to {books.net}, pnl:total is {books.pnl_total}"

    def _exposure(self) -> Iterator[str]:
        markets: dict[str, list[Json]] = {}
        for _, bet in self._bets():
            if bet["marketId"] not in self._diary.settled:
                markets.setdefault(bet["marketId"], []).append(bet)
        for matched_only, held in ((False, self._books.risk_exposure), (True, self._books.exposure)):
            for market in held.keys() | markets.keys():
                ours, wanted = held.get(market, {}), exposure.now(markets.get(market, []), matched_only=matched_only)
                if any(abs(ours.get(bet, _ZERO) - wanted.get(bet, _ZERO)) > _PENNY for bet in ours.keys() | wanted):
                    which = "matched" if matched_only else "counted"
                    yield f"{which} exposure of {market}: ours {ours}, theirs {wanted}"

    # --- promise 4 ---------------------------------------------------------------------------------------------------

    def _sent_while_off(self) -> Iterator[str]:
        for since, until in self._diary.off:
            for call in self._books.calls:
                if since + _IN_FLIGHT_S < call["received_at"] < until:
                    yield f"{_short(call)} while trading was off from {since:.2f} to {until:.2f}"

    def _story(self, ref: str) -> str:
        """Tell what is known of an order."""
        calls = "; ".join(_short(call) for call in self._calls().get(ref, []))
        bets = "; ".join(_brief(bet) for bet in self._books.bets.get(ref, []))
        return f"calls [{calls}] bets [{bets}] record {self._books.orders.get(ref)}"


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _open_after(bet: Json, at: float) -> bool:
    """Tell whether what was taken back of a bet was still open at a moment, with its second of rounding."""
    ends = [_seconds(bet[name]) for name in ("cancelledDate", "lapsedDate") if name in bet]
    return not ends or min(ends) > at


def _times(moments: list[float]) -> str:
    return ", ".join(f"{moment:.2f}" for moment in moments) or "never"


def _short(call: Json) -> str:
    return f"placeOrders at {call['received_at']:.3f} ({call['status']} {call['error'] or ''} {call['fault'] or ''})"


def _brief(bet: Json) -> str:
    sizes = " ".join(
        f"{name} {bet[f'size{name.title()}']}"
        for name in ("matched", "remaining", "cancelled", "lapsed", "voided")
        if Decimal(bet[f"size{name.title()}"])
    )
    return f"bet {bet['betId']} {bet['side']} {bet['priceSize']['price']} placed {bet['placedDate']}: {sizes}"
