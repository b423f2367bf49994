"""Real recordings, which are not part of the project, replayed; these tests skip where there are none."""

from decimal import Decimal

import pytest
from support.recordings import PlainBook, read_lines, sample
from support.replay_rig import Rig, assert_same_book, crossed

from betfair_sandbox.market.markets import Bet
from betfair_sandbox.market.money import Side

D = Decimal

RACE = ("PRO-1.206064380-horse-win-AU.bz2", "1.206064380", 38523163)
GAME = ("PRO-1.166811431-basketball-match-odds.bz2", "1.166811431", 60424)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "market_id", "winner"), [RACE, GAME])
def test_a_real_market_at_speed_60_is_the_recordings_at_a_thousand_instants(
    name: str, market_id: str, winner: int
) -> None:
    lines = read_lines(sample(name))
    start, end = lines[-1]["pt"] - 3_600_000, lines[-1]["pt"]
    rig = Rig(sample(name), speed=60, start=start)
    plain, at = PlainBook(), 0
    began = rig.clock_ms
    instants = 1_000
    for instant in range(1, instants + 1):
        rig.clock_ms = began + (end - start) * instant // instants // 60 - 1
        now = start + (rig.clock_ms - began) * 60
        while rig.replay.advance(50):
            assert not crossed(rig.exchange.markets[market_id])
        while at < len(lines) and lines[at]["pt"] <= now:
            plain.take(lines[at])
            at += 1
        assert_same_book(rig, market_id, plain)
    rig.play_all()
    market = rig.exchange.markets[market_id]
    assert [key for key, runner in market.runners.items() if runner.status == "WINNER"] == [winner]
    assert rig.replay.status()["skippedCount"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "market_id", "winner"), [RACE, GAME])
def test_no_book_of_a_real_market_is_crossed_after_any_line(name: str, market_id: str, winner: int) -> None:
    rig = Rig(sample(name))
    placed: list[Bet] = []
    count = 0
    while rig.replay.step(1):
        count += 1
        market = rig.exchange.markets[market_id]
        assert not crossed(market)
        if count % 400 == 0 and market.status == "OPEN":
            runner = next(runner for runner in market.runners.values() if runner.status == "ACTIVE")
            lay = runner.book.best(Side.BACK)
            if lay is not None:
                placed.append(rig.place(market_id, runner.selection_id, Side.BACK, lay.price, 2))
    assert placed
    assert winner in rig.exchange.markets[market_id].runners


class Reckoning:
    """A resting order's fills as they follow from the raw lines: a second reckoning, apart from the sandbox's."""

    def __init__(self, bet: Bet, plain: PlainBook) -> None:
        self.bet, self.price, self.left = bet, bet.price, bet.size
        self.runner, self.sign = bet.selection_id, 1 if bet.side is Side.BACK else -1
        self.own, self.other = ("atl", "atb") if bet.side is Side.BACK else ("atb", "atl")
        self.ahead = plain.offers(self.runner, self.own).get(self.price, D(0))
        self.seen = dict(plain.offers(self.runner, "trd"))
        self.taken: dict[Decimal, Decimal] = {}

    def take(self, plain: PlainBook) -> tuple[Decimal, Decimal]:
        """Return what a line's trades fill, and what its offers fill."""
        now = plain.offers(self.runner, "trd")
        fresh = {
            price: ((size - self.seen.get(price, D(0))) / 2).quantize(D("0.01"), "ROUND_DOWN")
            for price, size in now.items()
            if size > self.seen.get(price, D(0))
        }
        self.seen = dict(now)
        if plain.status != "OPEN":
            return D(0), D(0)
        through = sum((size for price, size in fresh.items() if self.sign * (price - self.price) > 0), D(0))
        at_price = fresh.get(self.price, D(0))
        used = min(self.ahead, at_price) if self.left > through else D(0)
        filled = min(self.left, through + at_price - used)
        self.ahead = min(self.ahead - used, plain.offers(self.runner, self.own).get(self.price, D(0)))
        self.left -= filled
        met = self.meet(plain.offers(self.runner, self.other))
        self.left -= met
        return filled, met

    def meet(self, offers: dict[Decimal, Decimal]) -> Decimal:
        """Return what offers at or through the price give, the best first, less what was taken of them before."""
        met = D(0)
        for price, size in sorted(offers.items(), key=lambda offer: -self.sign * offer[0]):
            self.taken[price] = min(self.taken.get(price, D(0)), size)
            if self.sign * (price - self.price) >= 0:
                got = min(self.left - met, size - self.taken[price])
                self.taken[price] += got
                met += got
        for price in set(self.taken) - set(offers):
            del self.taken[price]
        return met


@pytest.mark.slow
def test_fills_in_a_real_race_are_explained_line_by_line() -> None:
    """Orders that rest at the best prices a minute before the off, kept in-play, until the race is over."""
    name, market_id, _ = RACE
    lines = read_lines(sample(name))
    rig = Rig(sample(name))
    off = next(at for at, recorded in enumerate(lines) if '"inPlay": True' in str(recorded).replace("'", '"'))
    before = next(at for at, recorded in enumerate(lines) if recorded["pt"] > lines[off]["pt"] - 60_000)
    plain = PlainBook()
    for recorded in lines[:before]:
        plain.take(recorded)
    rig.replay.step(before)
    reckonings = []
    for at, (runner, row) in enumerate(sorted(rig.book(market_id).items())):
        side = Side.BACK if at % 2 else Side.LAY
        offers = row["ex"]["availableToLay" if side is Side.BACK else "availableToBack"]
        if offers:
            bet = rig.place(market_id, runner, side, offers[0]["price"], 20, persistenceType="PERSIST")
            reckonings.append(Reckoning(bet, plain))
    for number, recorded in enumerate(lines[before:-1], before + 1):
        plain.take(recorded)
        rig.replay.step(1)
        fills = [row for row in rig.replay.status()["fills"] if row["line"] == number]
        for reckoning in reckonings:
            traded, offered = reckoning.take(plain)
            own = [row for row in fills if row["betId"] == str(reckoning.bet.bet_id)]
            assert sum((row["size"] for row in own if row["why"].startswith("traded")), D(0)) == traded, number
            met = sum((row["size"] for row in own if "offered" in row["why"]), D(0))
            assert met == offered, number
            assert reckoning.bet.size_remaining == reckoning.left
    assert sum(not reckoning.left for reckoning in reckonings) >= 5
    assert any(reckoning.left > 0 for reckoning in reckonings)
    rig.play_all()
    assert {reckoning.bet.settled_ms > 0 for reckoning in reckonings} == {True}
