"""One recorded market on the exchange: what a line of the recording does to it.

Owns: the order within a line. The whole line is read and merged; then the definition acts (removals, starting prices,
in-play, status); then trades and offers (`offers`). Invariants: a line of which something cannot be read changes
nothing of its market; a market that has its result, the recording's or a person's, does not change any more. Units:
stakes in the recording's currency, taken as the account's.
"""

from typing import Final

from betfair_sandbox.api.wire import Json
from betfair_sandbox.market.accounts import RunnerKey
from betfair_sandbox.market.exchange import MAX_MARKETS, Exchange
from betfair_sandbox.market.markets import BETTING_FACTS, Market
from betfair_sandbox.market.positions import Outcome
from betfair_sandbox.market.reconciliation import reconcile
from betfair_sandbox.market.removal import remove
from betfair_sandbox.market.rules import valid_market_id
from betfair_sandbox.market.settlement import settle_with, void_market
from betfair_sandbox.replay.changes import RunnerChange, read_runner_changes
from betfair_sandbox.replay.definitions import Definition, read_definition
from betfair_sandbox.replay.files import BadLine, Line
from betfair_sandbox.replay.ladders import RecordedRunner
from betfair_sandbox.replay.offers import Offers

_GONE: Final = ("REMOVED", "REMOVED_VACANT")


class MarketPlayer:
    """Plays one market."""

    def __init__(self, exchange: Exchange, market_id: str, offers: Offers) -> None:
        if not valid_market_id(market_id):
            raise BadLine("mc.id does not look like a market")
        self._exchange = exchange
        self._market_id = market_id
        self._offers = offers
        self._market: Market | None = None
        self._runners: dict[RunnerKey, RecordedRunner] = {}
        self._definition: Definition | None = None

    @property
    def market(self) -> Market | None:
        """The market that it plays, once the recording has defined it."""
        return self._market

    def take(self, change: Json, line: Line, *, show: bool) -> None:
        """Take in a market's part of a line; `show` False: remember it only, `show_all` comes later.

        Raises:
            BadLine: it cannot be read; nothing changed.

        """
        raw = change.get("marketDefinition")
        definition = None if raw is None else read_definition(raw)
        if definition is None and self._definition is None:
            raise BadLine(f"market {self._market_id} has no definition yet")
        changes = read_runner_changes(change)
        if self._market is None and definition is not None and len(self._exchange.markets) >= MAX_MARKETS:
            raise BadLine("there are too many markets")
        self._definition = definition or self._definition
        self._merge(changes, image=change.get("img") is True)
        if not show:
            return
        if definition is not None:
            self._act(definition)
        whole = definition is not None or change.get("img") is True
        keys = self._runners if whole else dict.fromkeys(row.key for row in changes)
        self._play({key: self._runners[key] for key in keys}, line)

    def show_all(self, line: Line) -> None:
        """Show what was only remembered so far."""
        if self._definition is None:
            return
        for recorded in self._runners.values():
            recorded.start_line()
        self._act(self._definition)
        self._play(self._runners, line)

    def _merge(self, changes: list[RunnerChange], *, image: bool) -> None:
        for recorded in self._runners.values():
            recorded.start_line()
            if image:
                recorded.clear()
        for change in changes:
            self._runners.setdefault(change.key, RecordedRunner()).merge(change, image=image)

    # -- definitions --------------------------------------------------------------------------------------------------

    def _act(self, definition: Definition) -> None:
        market = self._market or self._open(definition)
        if market.results or market.status == "CLOSED":
            return  # settled, by the recording or by a person: what still comes changes nothing
        for name, value in definition.facts.items():
            if not (name in BETTING_FACTS and market.bets):
                setattr(market, name, value)
        self._list_runners(market, definition)
        if definition.bsp_reconciled and not market.bsp_reconciled:
            reconcile(self._exchange, market, {row.key: row.bsp for row in definition.runners if row.bsp is not None})
        for row in definition.runners:
            market.runners[row.key].bsp = row.bsp
        if definition.inplay and not market.inplay:
            lapsing = [bet for bet in market.bets.values() if bet.persistence != "PERSIST"]
            self._exchange.lapse(market, lapsing, "SP_IN_PLAY")
        market.inplay = definition.inplay
        if definition.status == "CLOSED":
            self._settle(market, definition)
        else:
            market.status = definition.status
        market.version = definition.version or market.version
        self._exchange.changes.market(market.market_id)

    def _open(self, definition: Definition) -> Market:
        exchange = self._exchange
        market = exchange.markets.get(self._market_id)
        if market is None:
            market = exchange.open_market(self._market_id, "Recorded", "NONE", "Recorded event")
        market.recorded, market.grows = True, False
        for runner in market.runners.values():
            exchange.liquidity.withdraw(runner)
        market.bsp_reconciled = definition.bsp_reconciled
        self._market = market
        return market

    def _list_runners(self, market: Market, definition: Definition) -> None:
        for row in definition.runners:
            runner = self._exchange.runner(market, row.selection_id, row.name, row.handicap)
            runner.fixed = True
            runner.name, runner.sort_priority = row.name or runner.name, row.sort_priority
            if row.adjustment_factor is not None:
                runner.adjustment_factor = row.adjustment_factor
            if row.status in _GONE and runner.status not in _GONE:
                remove(self._exchange, market, runner, row.adjustment_factor)
                runner.removed_ms = row.removed_ms or runner.removed_ms
            if row.status in {*_GONE, "HIDDEN", "ACTIVE"}:
                runner.status = row.status

    def _settle(self, market: Market, definition: Definition) -> None:
        winners = [row.key for row in definition.runners if row.status == "WINNER"]
        placed = [row.key for row in definition.runners if row.status == "PLACED"]
        for runner in market.runners.values():
            self._exchange.liquidity.withdraw(runner)
        if not winners or market.is_line:
            # Abandoned; or a LINE market, of which a recording does not say at which number it ended.
            void_market(self._exchange, market)
        else:
            first = 1 if market.each_way_divisor is not None else market.winners
            tied = len(winners) > first and market.betting_type == "ODDS"
            won = Outcome(first, 1, 0, len(winners)) if tied else Outcome(1, 1)
            outcomes = {**dict.fromkeys(placed, Outcome(place=1)), **dict.fromkeys(winners, won)}
            settle_with(self._exchange, market, outcomes)
        market.settled_ms = definition.settled_ms or market.settled_ms

    def _play(self, recorded: dict[RunnerKey, RecordedRunner], line: Line) -> None:
        if self._market is not None and self._market.status != "CLOSED":
            self._offers.play(self._market, recorded, line)
            self._exchange.changes.market(self._market_id)
