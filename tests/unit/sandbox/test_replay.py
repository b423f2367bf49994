"""Replayed recordings: the book is the recording's, customers' orders are filled as the model says, bad lines are told.

They are made up by `support.recordings`; real ones are in `tests/integration/test_replay_recorded.py`.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.recordings import (
    MARKET,
    RUNNERS,
    START,
    WINNER,
    PlainBook,
    definition,
    line,
    packed,
    race,
    rc,
    read_lines,
    write_recording,
    write_tar,
)
from support.replay_rig import BALANCE, Rig, assert_same_book, crossed, made, offers_of

from betfair_sandbox.market.accounts import Account
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.money import Side
from betfair_sandbox.market.placing import PlaceRequest, place
from betfair_sandbox.market.rules import read_instruction
from betfair_sandbox.replay.offers import Offers
from betfair_sandbox.replay.recorder import Recorder

D = Decimal
Json = dict[str, Any]


# --- the book is the recording's --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["race.jsonl", "race.gz", "race.bz2"])
def test_the_book_is_the_recordings_after_every_line(tmp_path: Path, name: str) -> None:
    lines = list(race())
    rig = made(tmp_path, *lines, name=name)
    plain = PlainBook()
    for recorded in read_lines(tmp_path / name)[:-1]:
        plain.take(recorded)
        assert rig.replay.step(1) == 1
        assert_same_book(rig, MARKET, plain)
        assert not crossed(rig.market)
    rig.play_all()
    assert (rig.market.status, rig.market.runners[WINNER].status) == ("CLOSED", "WINNER")
    assert rig.replay.status()["skippedCount"] == 0


def test_several_recordings_in_a_tar_play_side_by_side(tmp_path: Path) -> None:
    members = {
        f"2026/Sep/21/31/{market_id}{suffix}": write_recording(
            tmp_path / f"{market_id}{suffix}", race(seed, market_id=market_id)
        ).read_bytes()
        for seed, (market_id, suffix) in enumerate([("1.1", ".bz2"), ("1.2", ".gz"), ("1.3", "")])
    }
    rig = Rig(write_tar(tmp_path / "day.tar", members))
    rig.play_all()
    assert {market_id: market.status for market_id, market in rig.exchange.markets.items()} == {
        "1.1": "CLOSED",
        "1.2": "CLOSED",
        "1.3": "CLOSED",
    }
    assert rig.replay.status()["skippedCount"] == 0


def test_time_passes_as_fast_as_asked_from_where_asked(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "race.jsonl", race())
    lines = read_lines(path)
    for start in (START - 200_000, "-200s"):
        rig = Rig(path, speed=60, start=start)
        plain = PlainBook()
        for recorded in lines:
            if recorded["pt"] < START - 200_000:
                plain.take(recorded)
        assert_same_book(rig, MARKET, plain)
        rig.clock_ms += 1_000  # a minute of the recording
        rig.replay.advance(10_000)
        for recorded in lines:
            if START - 200_000 <= recorded["pt"] <= START - 140_000:
                plain.take(recorded)
        assert_same_book(rig, MARKET, plain)
        assert rig.replay.status()["recordedTime"] == "2026-09-21T14:11:00.000Z"


def test_a_pause_stops_the_clock_and_speed_can_change(tmp_path: Path) -> None:
    rig = Rig(write_recording(tmp_path / "race.jsonl", race()), speed=10)
    rig.replay.pause(paused=True)
    rig.clock_ms += 60_000
    assert rig.replay.advance(1_000) == 0
    rig.replay.pause(paused=False)
    rig.replay.set_speed(D(1_000))
    rig.clock_ms += 10_000
    assert rig.replay.advance(10_000) > 300
    assert rig.replay.exhausted


# --- fills ------------------------------------------------------------------------------------------------------------

_OPENING = line(START, definition(), rc(11, atb=[[2.9, 20]], atl=[[3, 30], [3.05, 10]], trd=[[3, 100]]))


@pytest.mark.parametrize(
    ("news", "matched", "why"),
    [
        # Betfair counts both sides of a trade: 40 more at 3 are 20 staked, all of them before us.
        pytest.param([{"trd": [[3, 140]], "atl": [[3, 10]]}], "0", [], id="the queue is before us"),
        pytest.param([{"trd": [[3, 170]], "atl": [[3, 0]]}], "5", ["traded at"], id="what is left of a trade"),
        pytest.param([{"trd": [[3, 400]], "atl": [[3, 0]]}], "10", ["traded at"], id="all of it"),
        pytest.param(
            [{"trd": [[3, 130]]}, {"trd": [[3, 166]]}], "3", ["traded at"], id="the queue shrinks trade by trade"
        ),
        pytest.param(
            [{"atl": [[3, 12]]}, {"trd": [[3, 132]]}], "4", ["traded at"], id="withdrawn from before us at last"
        ),
        pytest.param(
            [{"atl": [[3, 90]]}, {"atl": [[3, 40]]}, {"trd": [[3, 162]]}], "1", ["traded at"], id="later ones go first"
        ),
        pytest.param([{"trd": [[3.05, 8]]}], "4", ["traded through"], id="through our price"),
        pytest.param([{"trd": [[2.98, 80]]}], "0", [], id="a trade that is worse for us to wait for"),
        pytest.param(
            [{"atl": [[3, 0]], "atb": [[3, 7]]}], "7", ["offered at 3"], id="an offer that comes to our price"
        ),
        pytest.param(
            [{"atl": [[3, 0], [3.05, 0]], "atb": [[3.05, 70]]}], "10", ["offered at 3.05"], id="and through it"
        ),
        pytest.param([{"trd": [[3, 40]]}, {"trd": [[3, 100]]}], "0", [], id="a total that shrinks and comes back"),
    ],
)
def test_a_resting_order_is_filled_by_what_traded_at_or_through_its_price(
    tmp_path: Path, news: list[Json], matched: str, why: list[str]
) -> None:
    rig = made(tmp_path, _OPENING, *(line(START + 1 + at, rc(11, **fields)) for at, fields in enumerate(news)))
    rig.replay.step(1)
    bet = rig.place(MARKET, 11, Side.BACK, 3, 10)
    rig.play_all()
    assert bet.size_matched == D(matched)
    assert not bet.size_matched or bet.average_price_matched == 3
    fills = rig.replay.status()["fills"]
    assert [fill["why"][: len(word)] for fill, word in zip(fills, why, strict=True)] == [
        word if not word.startswith("offered") else fill["why"][: len(word)]
        for fill, word in zip(fills, why, strict=True)
    ]
    assert sum((fill["size"] for fill in fills), D(0)) == bet.size_matched
    assert all(fill["betId"] == str(bet.bet_id) and fill["line"] > 1 for fill in fills)
    assert not crossed(rig.market)


def test_lays_are_filled_alike(tmp_path: Path) -> None:
    rig = made(tmp_path, _OPENING, line(START + 1, rc(11, trd=[[2.9, 50]])), line(START + 2, rc(11, trd=[[2.88, 6]])))
    rig.replay.step(1)
    bet = rig.place(MARKET, 11, Side.LAY, 2.9, 10)
    rig.replay.step(1)
    assert bet.size_matched == 5  # 25 staked, 20 of them before us
    rig.replay.step(1)
    assert bet.size_matched == 8


def test_what_was_taken_stays_taken_until_less_is_offered(tmp_path: Path) -> None:
    rig = made(
        tmp_path,
        _OPENING,
        line(START + 1, rc(11, atb=[[2.9, 25]])),
        line(START + 2, rc(11, atb=[[2.9, 8]])),
        line(START + 3, rc(11, atb=[[2.9, 0]])),
        line(START + 4, rc(11, atb=[[2.9, 9]])),
    )
    rig.replay.step(1)
    taker = rig.place(MARKET, 11, Side.BACK, 2.9, 12)
    assert taker.size_matched == 12
    shown = []
    for _ in range(4):
        rig.replay.step(1)
        shown.append(offers_of(rig.book(MARKET)[11])[0].get(D("2.9"), D(0)))
    assert shown == [13, 0, 0, 9]


def test_two_orders_share_a_trade_in_their_order(tmp_path: Path) -> None:
    rig = made(tmp_path, _OPENING, line(START + 1, rc(11, trd=[[3, 190]])))
    rig.replay.step(1)
    first, second = (rig.place(MARKET, 11, Side.BACK, 3, 10) for _ in range(2))
    rig.play_all()
    assert (first.size_matched, second.size_matched) == (D(10), D(5))  # 45 staked, 30 before


def test_nothing_is_matched_while_the_market_is_suspended(tmp_path: Path) -> None:
    rig = made(
        tmp_path,
        _OPENING,
        line(START + 1, definition(status="SUSPENDED"), rc(11, atb=[[3.05, 50]], atl=[[3, 0], [3.05, 0]])),
        line(START + 2, rc(11, trd=[[3, 900]])),
        line(START + 3, definition()),
    )
    rig.replay.step(1)
    bet = rig.place(MARKET, 11, Side.BACK, 3, 10)
    rig.replay.step(2)
    assert (bet.size_matched, crossed(rig.market)) == (D(0), [])
    rig.replay.step(1)
    assert bet.size_matched == 10  # the offer is still there when it opens
    assert offers_of(rig.book(MARKET)[11])[0] == {D("3.05"): D(40), D("2.9"): D(20)}


# --- what happens to a market -----------------------------------------------------------------------------------------


def test_removal_starting_price_in_play_and_result(tmp_path: Path) -> None:
    lines = list(race())
    removal = next(at for at, recorded in enumerate(lines) if "REMOVED" in str(recorded))
    rig = made(tmp_path, *lines)
    rig.replay.step(removal - 10)
    row = next(row for key, row in rig.book(MARKET).items() if key in RUNNERS[:3] and row["ex"]["availableToBack"])
    best = row["ex"]["availableToBack"][0]
    matched = rig.place(MARKET, row["selectionId"], Side.BACK, best["price"], best["size"])
    assert matched.size_matched == best["size"]
    gone = rig.place(MARKET, RUNNERS[-1], Side.BACK, 1000, 5)
    lapsing = rig.place(MARKET, 12, Side.BACK, 900, 5)
    kept = rig.place(MARKET, 13, Side.BACK, 900, 5, persistenceType="PERSIST")
    closing = rig.on_close(12, Side.BACK, 20)
    rig.play_all()
    assert matched.price_reduced
    assert matched.average_price_matched == (best["price"] * D("0.75")).quantize(D("0.01"), "ROUND_HALF_UP")
    assert (gone.size_lapsed, gone.lapse_reason) == (D(5), "RNR_UNKNOWN")
    assert (lapsing.size_lapsed, lapsing.lapse_reason) == (D(5), "SP_IN_PLAY")
    assert kept.lapse_reason == "MKT_INVALID"  # it waited until the market was settled
    assert (closing.average_price_matched, closing.profit) == (D("2.5071"), D("30.14"))
    assert (rig.market.settled_ms, rig.market.version) == (1_790_000_160_000, 13)
    assert [runner.status for runner in rig.market.runners.values()] == ["LOSER", "WINNER", "LOSER", "REMOVED"]


def test_a_basic_file_has_offers_made_up_around_its_last_price(tmp_path: Path) -> None:
    rig = made(
        tmp_path,
        line(START, definition()),
        line(START + 1, rc(11, ltp=3.0)),
        line(START + 2, rc(11, ltp=3.3)),
    )
    rig.replay.step(2)
    to_back, to_lay, _ = offers_of(rig.book(MARKET)[11])
    assert list(to_back) == [D("3.00"), D("2.98"), D("2.96")]
    assert list(to_lay) == [D("3.05"), D("3.10"), D("3.15")]
    bet = rig.place(MARKET, 11, Side.BACK, 3.2, 10)
    rig.replay.step(1)
    assert (bet.size_matched, bet.average_price_matched) == (D(10), D("3.2"))


def test_an_advanced_file_gives_its_best_levels(tmp_path: Path) -> None:
    levels = rc(11, batb=[[0, 2.9, 20], [1, 2.88, 5]], batl=[[0, 3, 7]], tv=50, ltp=2.9)
    moved = rc(11, batb=[[0, 2.88, 5], [1, 0, 0]])
    rig = made(tmp_path, line(START, definition()), line(START + 1, levels), line(START + 2, moved))
    rig.replay.step(2)
    assert offers_of(rig.book(MARKET)[11])[:2] == [{D("2.9"): D(20), D("2.88"): D(5)}, {D(3): D(7)}]
    assert rig.book(MARKET)[11]["totalMatched"] == 50
    rig.replay.step(1)
    assert offers_of(rig.book(MARKET)[11])[0] == {D("2.88"): D(5)}


def test_an_image_replaces_what_was_held(tmp_path: Path) -> None:
    image = {**rc(11, atb=[[2.5, 3]]), "img": True}
    rig = made(tmp_path, _OPENING, line(START + 1, image))
    rig.play_all()
    assert offers_of(rig.book(MARKET)[11]) == [{D("2.5"): D(3)}, {}, {}]


# --- bad files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not an object"),
        (b'{"pt": 1}', "op is missing"),
        (b'{"op": "mcm", "pt": "soon", "mc": []}', "pt is not"),
        (b'{"op": "mcm", "pt": 1, "mc": {}}', "mc is not"),
        (line(START, {"id": 5}), "mc.id"),
        (line(START, {"id": "x", "marketDefinition": {"runners": []}}), "mc.id"),
        (line(START, rc(11, "1.77", atb=[[2, 2]])), "no definition yet"),
        (line(START, {"id": MARKET, "rc": [{"id": "x"}]}), "rc.id"),
        (line(START, rc(11, atb=[[3]])), "atb"),
        (line(START, rc(11, atb=[[-3, 1]])), "atb"),
        (line(START, rc(11, trd=[[3, -1]])), "trd"),
        (line(START, rc(11, atl=[["3", 1]])), "atl"),
        (line(START, rc(11, batb=[[0.5, 3, 1]])), "batb"),
        (line(START, rc(11, ltp=1e300)), "JSON"),
        (line(START, {"id": MARKET, "marketDefinition": {"status": "ASLEEP"}}), "marketDefinition: status"),
        (line(START, {"id": MARKET, "marketDefinition": {"runners": [{"id": 0}]}}), "runners.id"),
        (line(START, definition(marketBaseRate=-1)), "marketBaseRate"),
    ],
)
def test_a_bad_line_is_named_and_skipped(tmp_path: Path, bad: Json | bytes, reason: str) -> None:
    rig = made(tmp_path, _OPENING, bad, line(START + 5, rc(11, atb=[[2.88, 4]])))
    rig.play_all()
    (skipped,) = rig.replay.status()["skipped"]
    assert (skipped["source"], skipped["line"]) == ("race.jsonl", 2)
    assert reason in skipped["reason"]
    assert offers_of(rig.book(MARKET)[11])[0] == {D("2.9"): D(20), D("2.88"): D(4)}


@pytest.mark.parametrize("suffix", [".bz2", ".gz"])
def test_a_file_that_is_cut_off_plays_to_where_it_ends(tmp_path: Path, suffix: str) -> None:
    path = write_recording(tmp_path / f"race{suffix}", list(race(updates=3_000)))
    path.write_bytes(path.read_bytes()[:-2_000])
    rig = Rig(path)
    rig.play_all()
    assert "cannot be unpacked" in rig.replay.status()["skipped"][-1]["reason"]


def test_a_broken_archive_and_a_missing_file(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "day.tar", {"a": packed(race())})
    path.write_bytes(path.read_bytes()[:700])
    rig = Rig(path)
    rig.play_all()
    assert rig.exchange.markets == {} or rig.replay.status()["skippedCount"]
    with pytest.raises(FileNotFoundError):
        Rig(tmp_path / "none.bz2")


_LINES = [*race(updates=40)]
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", MARKET, "NaN", "1.2"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "rc", "atb"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def _spoilt(draw: Any, recorded: Json) -> Json | bytes:
    """Return a line with something in it replaced, or bytes cut and flipped."""
    if draw(st.booleans()):
        text = bytearray(packed([recorded])[:-1])
        at = draw(st.integers(0, len(text) - 1))
        text[at:] = text[at + draw(st.integers(0, 3)) :] if draw(st.booleans()) else bytes([draw(st.integers(0, 255))])
        return bytes(text).replace(b"\n", b" ")

    def spoil(value: Any, depth: int) -> Any:
        if depth and isinstance(value, dict) and value:
            key = draw(st.sampled_from(sorted(value)))
            return {**value, key: spoil(value[key], depth - 1)}
        if depth and isinstance(value, list) and value:
            at = draw(st.integers(0, len(value) - 1))
            return [*value[:at], spoil(value[at], depth - 1), *value[at + 1 :]]
        return draw(_JSON)

    return dict(spoil(recorded, draw(st.integers(1, 6))))


@st.composite
def _files(draw: Any) -> list[Json | bytes]:
    lines: list[Json | bytes] = list(_LINES)
    for at in draw(st.lists(st.integers(0, len(lines) - 1), min_size=1, max_size=6)):
        recorded = lines[at]
        if isinstance(recorded, dict):
            lines[at] = _spoilt(draw, recorded)
    return lines


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=_files(), bets=st.lists(st.tuples(st.sampled_from(RUNNERS), st.sampled_from(Side)), max_size=3))
def test_whatever_is_in_a_file_others_go_on(
    tmp_path: Path, lines: list[Json | bytes], bets: list[tuple[int, Side]]
) -> None:
    good = packed(race(seed=5, updates=40, market_id="1.5"))
    rig = Rig(write_tar(tmp_path / "day.tar", {"spoilt": packed(lines), "good": good}))
    rig.replay.step(40)
    for runner, side in bets:
        market = rig.exchange.markets.get(MARKET)
        found = market.runners.get(runner) if market is not None and market.status == "OPEN" else None
        if found is not None and found.status == "ACTIVE":
            rig.place(MARKET, runner, side, 2.9, 5)
    while rig.replay.step(1):
        assert not [market.market_id for market in rig.exchange.markets.values() if crossed(market)]
    assert rig.exchange.markets["1.5"].status == "CLOSED"
    assert all(skip["source"] == "spoilt" for skip in rig.replay.status()["skipped"])
    for bet in rig.exchange.bets.values():
        parts = bet.size_matched, bet.size_remaining, bet.size_lapsed, bet.size_cancelled, bet.size_voided
        assert sum(parts) == bet.size


def test_time_that_goes_back_in_one_file_does_not_hold_up_another(tmp_path: Path) -> None:
    first = [line(START, definition("1.1")), line(START - 50_000, rc(11, "1.1", atb=[[2, 5]]))]
    second = [line(START - 10, definition("1.2")), line(START + 10, rc(11, "1.2", atb=[[3, 5]]))]
    rig = Rig(write_tar(tmp_path / "day.tar", {"first": packed(first), "second": packed(second)}))
    seen = []
    while rig.replay.step(1):
        seen.append(rig.replay.status()["lastLine"]["pt"])
    assert seen == sorted(seen) == [START - 10, START, START, START + 10]
    assert offers_of(rig.book("1.1")[11])[0] == {D(2): D(5)}


def test_what_the_reading_did_not_foresee_costs_that_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = made(tmp_path, _OPENING, line(START + 1, rc(11, ltp=5)), line(START + 2, rc(11, ltp=6)))
    rig.replay.step(1)
    with monkeypatch.context() as broken:
        broken.setattr(Offers, "play", lambda *_: 1 // 0)
        rig.replay.step(1)
    rig.replay.step(1)
    (skipped,) = rig.replay.status()["skipped"]
    assert (skipped["line"], skipped["reason"]) == (2, "it cannot be played")
    assert rig.market.runners[11].last_price == 6
    assert "ZeroDivisionError" in caplog.text


def test_a_removal_leaves_the_offers_to_the_recording(tmp_path: Path) -> None:
    removed = definition(statuses={14: "REMOVED"})
    rig = made(tmp_path, _OPENING, line(START + 1, removed))
    rig.play_all()
    assert offers_of(rig.book(MARKET)[11])[0] == {D("2.9"): D(20)}


# --- the recorder -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["day.jsonl", "day.bz2", "day.gz"])
def test_a_recorded_replay_is_the_recording(tmp_path: Path, name: str) -> None:
    rig = made(tmp_path, *race())
    recorder = Recorder(tmp_path / name, rig.exchange, lambda: rig.clock_ms)
    books = []
    while rig.replay.step(1):
        rig.clock_ms += 100
        recorder.write()
        books.append({key: offers_of(row) for key, row in rig.book(MARKET).items()})
    recorder.close()
    again = Rig(tmp_path / name)
    seen = []
    while again.replay.step(1):
        seen.append({key: offers_of(row) for key, row in again.book(MARKET).items()})
    assert [book for at, book in enumerate(books) if not at or book != books[at - 1]] == [
        book for at, book in enumerate(seen) if not at or book != seen[at - 1]
    ]
    assert again.market.runners[WINNER].status == "WINNER"
    assert again.replay.status()["skippedCount"] == 0
    told = read_lines(tmp_path / name)[0]["mc"][0]["marketDefinition"]
    assert (told["name"], told["eventName"]) == ("R1 5f Hcap", "Made Up Park 21st Sep")


def test_a_day_of_the_sandbox_can_be_replayed(tmp_path: Path) -> None:
    """Prices that move by themselves, customers' bets, a result: the recording shows the same books."""
    clock_ms = [1_000_000_000_000]
    exchange = Exchange([Account(name, "", "", "", BALANCE) for name in "ab"], 3, lambda: clock_ms[0])
    recorder = Recorder(tmp_path / "day.bz2", exchange, lambda: clock_ms[0])
    market = exchange.market(MARKET)
    assert market is not None
    books = []
    for step in range(60):
        if step % 3 == 0:
            side = Side.BACK if step % 2 else Side.LAY
            instruction = read_instruction(
                {
                    "selectionId": 11 + step % 2,
                    "side": side.value,
                    "orderType": "LIMIT",
                    "limitOrder": {"price": 3, "size": 10},
                },
                "GBP",
            )
            place(exchange, exchange.accounts["ab"[step % 2]], PlaceRequest(MARKET, [instruction]))
        clock_ms[0] += 1_000
        exchange.tick()
        recorder.write()
        books.append([runner.book.levels(side) for runner in market.runners.values() for side in Side])
    recorder.close()
    again = Rig(tmp_path / "day.bz2")
    seen = []
    while again.replay.step(1):
        runners = again.market.runners.values()
        seen.append([runner.book.levels(side) for runner in runners for side in Side])
    assert seen[-1] == books[-1]
    assert all(book in books for book in seen)
    traded = [runner.total_matched for runner in market.runners.values()]
    assert [runner.total_matched for runner in again.market.runners.values()] == traded


@pytest.mark.parametrize("name", ["PRO-1.900000001-made-up-race.bz2", "BASIC-1.900000001-made-up-race.bz2"])
def test_the_shipped_samples_play_to_their_result(name: str) -> None:
    rig = Rig(Path(__file__).parents[3] / "docs" / "samples" / name, start="-2m")
    rig.play_all()
    assert rig.replay.status()["skippedCount"] == 0
    assert [key for key, runner in rig.market.runners.items() if runner.status == "WINNER"] == [WINNER]


# -- what the fuzz found -----------------------------------------------------------------------------------------------


def test_a_starting_price_of_another_type_is_a_skipped_line(tmp_path: Path) -> None:
    rig = made(tmp_path, line(START, definition()), line(START + 1, definition(bsp={11: [2.5]})))
    rig.play_all()
    (skipped,) = rig.replay.status()["skipped"]
    assert skipped["reason"] == "marketDefinition: bsp is not a number"


def test_how_a_bet_is_settled_does_not_change_under_it(tmp_path: Path) -> None:
    shown = line(START + 1, rc(11, atl=[[2, 50]]), rc(12, atb=[[1.5, 50]], atl=[[2, 50]]))
    twisted = definition(eachWayDivisor=4, bettingType="LINE", lineMinUnit=1, lineMaxUnit=9, lineInterval=1)
    no_divisor = definition(eachWayDivisor=0)
    won = definition(status="CLOSED", statuses={11: "LOSER", 12: "WINNER", 13: "LOSER", 14: "LOSER"})
    lines = (
        line(START, definition()),
        shown,
        line(START + 2, no_divisor),
        line(START + 3, twisted),
        line(START + 4, won),
    )
    rig = made(tmp_path, *lines)
    rig.replay.step(2)
    bet = rig.place(MARKET, 12, Side.LAY, 2, 4)
    rig.play_all()
    (skipped,) = rig.replay.status()["skipped"]
    assert skipped["reason"] == "marketDefinition: eachWayDivisor is not in 1..100"
    assert (bet.size_matched, bet.profit) == (D(4), D(-4))
    assert rig.market.each_way_divisor is None


def test_lines_that_say_nothing_take_turns_like_others(tmp_path: Path) -> None:
    rig = made(tmp_path, *[b"junk"] * 50, line(START, definition()), *[b"junk"] * 9_000, line(START, rc(11, ltp=2)))
    assert rig.replay.advance(100) == 100
    assert not rig.replay.exhausted
    assert rig.replay.step(1) == 0  # nothing but junk for so long: the next call goes on
    assert rig.replay.step(1) == 1
    assert rig.replay.status()["skippedCount"] == 9_050
    assert rig.replay.status()["linesPlayed"] == 2


def test_a_turn_ends_when_its_time_is_over(tmp_path: Path) -> None:
    rig = made(tmp_path, *(line(START, definition(version=number + 1)) for number in range(50)))
    assert rig.replay.advance(50, turn_s=0) == 1
