"""What is published of one account's bets: orders and matched sums, each with the sequence of its last change.

Owns: comparing bets with what was last published of them. Invariants: a bet is told of once per change, whole; one that
is complete stays only as long as somebody who was away may ask for what he missed; matched sums add up the parts of all
bets at the prices at which they were matched. Units: account currency, epoch milliseconds.
"""

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from betfair_sandbox.api.wire import Json
from betfair_sandbox.market.markets import EXECUTABLE, Bet, Market
from betfair_sandbox.market.money import ZERO, Side
from betfair_sandbox.stream.filters import OrderFilter
from betfair_sandbox.stream.versioned import Ladder

_ALL: Final = -1  # before every sequence
_REGULATOR: Final = "REG_GGC"
_SIDES: Final = {Side.BACK: "B", Side.LAY: "L"}
_PERSISTENCE: Final = {"LAPSE": "L", "PERSIST": "P", "MARKET_ON_CLOSE": "MOC"}
_ORDER_TYPES: Final = {"LIMIT": "L", "LIMIT_ON_CLOSE": "LOC", "MARKET_ON_CLOSE": "MOC"}
_Fragments = tuple[tuple[Decimal, Decimal], ...]


@dataclass(slots=True)
class _Order:
    row: Json
    seq: int
    strategy: str
    open: bool


@dataclass(slots=True)
class _Matched:
    """Matched sums by price, of both sides."""

    sides: dict[Side, Ladder] = field(default_factory=lambda: {side: Ladder() for side in Side})

    def since(self, seq: int) -> Json:
        ladders = {"mb": self.sides[Side.BACK].since(seq), "ml": self.sides[Side.LAY].since(seq)}
        return {name: ladder for name, ladder in ladders.items() if ladder}


class _Runner:
    def __init__(self, born: int, handicap: Decimal) -> None:
        self.born = self.seq = born
        self.handicap = handicap
        self.orders: dict[int, _Order] = {}
        self.matched = _Matched()
        self.by_strategy: dict[str, _Matched] = {}

    def move(self, bet: Bet, before: _Fragments, now: _Fragments, seq: int) -> None:
        """Take what of `bet` was matched out of the sums and what is matched now in."""
        strategy = self.by_strategy.setdefault(bet.customer_strategy_ref, _Matched())
        for ladder in (self.matched.sides[bet.side], strategy.sides[bet.side]):
            for sign, fragments in ((-1, before), (1, now)):
                for price, size in fragments:
                    ladder.add(price, sign * size, seq)

    def change(self, selection_id: int, since: int, asked: OrderFilter) -> Json | None:
        orders = [
            order.row
            for order in self.orders.values()
            if order.seq > since
            and (order.open or since >= 0)
            and (asked.strategies is None or order.strategy in asked.strategies)
        ]
        row: Json = {"uo": orders} if orders else {}
        whole = since < self.born
        since = _ALL if whole else since
        if asked.overall:
            row.update(self.matched.since(since))
        if asked.partitioned:
            parts = {
                strategy: part
                for strategy, matched in self.by_strategy.items()
                if strategy
                and (asked.strategies is None or strategy in asked.strategies)
                and (part := matched.since(since))
            }
            row.update({"smc": parts} if parts else {})
        if not row:
            return None
        if whole:
            row["fullImage"] = True
        row["id"] = selection_id
        if self.handicap:
            row["hc"] = float(self.handicap)
        return row


class _State(NamedTuple):
    """What of a bet can change."""

    sizes: tuple[Decimal, ...]
    persistence: str
    price: Decimal
    fragments: _Fragments


class _Market:
    def __init__(self, market_id: str, version: int) -> None:
        self.market_id = market_id
        self.version = version
        self.seq = self.closed_seq = _ALL
        self.closed_ms = 0
        self.runners: dict[tuple[int, Decimal], _Runner] = {}
        self.told: dict[int, _State] = {}  # bet id -> what was last published of it

    @property
    def closed(self) -> bool:
        return self.closed_seq >= 0


class OrderImage:
    """What is published of one account's bets."""

    def __init__(self, account: str, account_id: int, born: int) -> None:
        self.account = account
        self.born = born  # what changed before this nobody can be told any more
        self.unused_since_ms = 0
        self._account_id = account_id
        self._markets: dict[str, _Market] = {}
        self._complete: deque[tuple[int, _Runner, int]] = deque()  # since when, where, bet id

    def update(self, bets: list[Bet], markets: dict[str, Market], seq: int, now_ms: int) -> bool:
        """Take these bets as they are now; tell whether anything is to be told."""
        changed = False
        for bet in bets:
            market = markets.get(bet.market_id)
            if market is not None:
                changed |= self._update_bet(self._market(market), bet, seq, now_ms)
        return changed

    def look(self, market: Market, seq: int, now_ms: int) -> bool:
        """Look for what a market's last turn (removal, in-play, result) did to bets; tell whether it did anything."""
        image = self._markets.get(market.market_id)
        if image is None or (image.version == market.version and image.closed is (market.status == "CLOSED")):
            return False
        image.version = market.version
        changed = False
        for bet in list(market.bets.values()):
            if bet.account == self.account:
                changed |= self._update_bet(image, bet, seq, now_ms)
        if market.status == "CLOSED" and not image.closed:
            image.closed_seq = image.seq = seq
            image.closed_ms = now_ms
            changed = True
        elif market.status != "CLOSED":
            image.closed_seq = _ALL
        return changed

    def markets(self) -> list[str]:
        """Return the markets with a bet of the account."""
        return list(self._markets)

    def changes(self, since: int, asked: OrderFilter) -> list[Json]:
        """Return the markets' parts of a change message; `since` negative: of an image."""
        return [
            change
            for market in self._markets.values()
            if market.seq > since and (change := self._change(market, since, asked)) is not None
        ]

    def forget(self, before_ms: int) -> None:
        """Drop what was over before an instant: complete bets, closed markets."""
        while self._complete and self._complete[0][0] < before_ms:
            _, runner, bet_id = self._complete.popleft()
            order = runner.orders.get(bet_id)
            if order is not None and not order.open:
                del runner.orders[bet_id]
        for market in list(self._markets.values()):
            if market.closed and market.closed_ms < before_ms:
                del self._markets[market.market_id]

    def drop(self, market_id: str) -> None:
        """Forget a market that the exchange has forgotten."""
        self._markets.pop(market_id, None)

    def _change(self, market: _Market, since: int, asked: OrderFilter) -> Json | None:
        change: Json = {"id": market.market_id, "accountId": self._account_id}
        rows = [
            row
            for (selection_id, _), runner in market.runners.items()
            if runner.seq > since and (row := runner.change(selection_id, since, asked)) is not None
        ]
        if rows:
            change["orc"] = rows
        newly_closed = market.closed_seq > since
        if market.closed and (rows or (newly_closed and since >= 0)):
            change["closed"] = True
        return change if rows or "closed" in change else None

    def _market(self, market: Market) -> _Market:
        image = self._markets.get(market.market_id)
        if image is None:
            image = self._markets[market.market_id] = _Market(market.market_id, market.version)
        return image

    def _update_bet(self, market: _Market, bet: Bet, seq: int, now_ms: int) -> bool:
        fragments = _fragments(bet)
        sizes = (bet.size, bet.size_remaining, bet.size_matched, bet.size_lapsed, bet.size_cancelled, bet.size_voided)
        state = _State(sizes, bet.persistence, bet.price, fragments)
        told = market.told.get(bet.bet_id)
        if told == state:
            return False
        before = told.fragments if told is not None else ()
        market.told[bet.bet_id] = state
        key = (bet.selection_id, bet.handicap)
        runner = market.runners.get(key)
        if runner is None:
            runner = market.runners[key] = _Runner(seq, key[1])
        if fragments != before:
            runner.move(bet, before, fragments, seq)
        runner.orders[bet.bet_id] = _Order(_order_row(bet), seq, bet.customer_strategy_ref, bet.status == EXECUTABLE)
        if bet.status != EXECUTABLE:
            self._complete.append((now_ms, runner, bet.bet_id))
        runner.seq = market.seq = seq
        return True


def _fragments(bet: Bet) -> _Fragments:
    """Return at which prices what is matched was matched; after a void or a reduction the average is all there is."""
    if not bet.size_matched:
        return ()
    if sum((price * size for price, size in bet.fragments), ZERO) == bet.matched_value:
        return bet.fragments
    return ((bet.average_price_matched, bet.size_matched),)


def _order_row(bet: Bet) -> Json:
    row: Json = {
        "id": str(bet.bet_id),
        "p": float(bet.price),
        "s": float(bet.size),
        "side": _SIDES[bet.side],
        "status": "E" if bet.status == EXECUTABLE else "EC",
        "pt": _PERSISTENCE[bet.persistence],
        "ot": _ORDER_TYPES[bet.order_type],
        "pd": bet.placed_ms,
        "sm": float(bet.size_matched),
        "sr": float(bet.size_remaining),
        "sl": float(bet.size_lapsed),
        "sc": float(bet.size_cancelled),
        "sv": float(bet.size_voided),
        "rac": "",
        "rc": _REGULATOR,
        "rfo": bet.customer_order_ref,
        "rfs": bet.customer_strategy_ref,
    }
    optional = {
        "bsp": float(bet.bsp_liability) or None,
        "md": bet.matched_ms or None,
        "cd": bet.cancelled_ms or None,
        "ld": bet.lapsed_ms or None,
        "lsrc": bet.lapse_reason or None,
        "avp": float(bet.average_price_matched) if bet.size_matched else None,
    }
    row.update({name: value for name, value in optional.items() if value is not None})
    return row
