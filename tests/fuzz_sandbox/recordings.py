"""Damaged recordings, each played to its end in this process with customers' orders on its markets.

Invariants that are looked at: nothing is raised or logged as a failure of ours; a file takes seconds, not minutes; no
book is crossed after a line; money and volume add up; what is skipped is told by file and line; an undamaged file
beside a damaged one in the same archive plays whole.
"""

import bz2
import gzip
import io
import json
import logging
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from support.recordings import packed, race

from betfair_sandbox.api.market_lists import market_book
from betfair_sandbox.api.wire import Params, dump_json
from betfair_sandbox.market.accounts import Account, Caller
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.money import Side
from betfair_sandbox.market.placing import place, read_place_request
from betfair_sandbox.replay.recorder import Recorder
from betfair_sandbox.replay.replay import Replay
from betfair_sandbox.stream.definition import market_definition
from betfair_sandbox.stream.filters import DataFilter
from betfair_sandbox.stream.market_image import MarketImage
from fuzz_sandbox.mutations import damaged_bytes, damaged_text, damaged_value

BALANCE = Decimal(1_000_000)
SECONDS_A_FILE = 60  # on a busy machine; a file here has some hundred lines
WITNESS = "1.910000001"  # the undamaged market of an archive
_EVERYTHING = Params({"priceData": ["EX_ALL_OFFERS", "EX_BEST_OFFERS", "EX_TRADED", "SP_AVAILABLE", "SP_TRADED"]})


class Complaints(logging.Handler):
    """Keeps what the sandbox logs as a failure of its own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(logging.Formatter().format(record))


@contextmanager
def complaints() -> Iterator[Complaints]:
    handler, logger = Complaints(), logging.getLogger("betfair_sandbox")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def make_file(rng: Random, folder: Path) -> tuple[Path, bool]:
    """Write a damaged recording; tell whether the witness must play whole."""
    path = folder / "damaged"
    lines: list[Any] = list(race(rng.randrange(20), rng.choice([5, 30, 80]), rng.choice(["1.900000001", "1.9", "2.5"])))
    if rng.random() < 0.75:
        lines = damaged_lines(rng, lines)
    body = packed(lines)
    packing = rng.randrange(4)
    if packing == 3:
        body, intact = archive(rng, body)
        path.write_bytes(body)
        return path, intact
    body = (bytes, bz2.compress, gzip.compress)[packing](body)
    match rng.randrange(6):
        case 0:
            body = damaged_bytes(rng, body)
        case 1:
            body += (b"\n", bz2.compress(b"\n" * rng.randrange(10**6)), rng.randbytes(40))[packing]
    path.write_bytes(body)
    return path, False


def strange(rng: Random, like: Any) -> Any:
    """Return a line that reads well and makes little sense: any state after any other, any kind of market."""
    change = json.loads(json.dumps(like["mc"][0]))
    if "marketDefinition" not in change:
        for row in change["rc"]:
            row.update(
                rng.choice(
                    [
                        {"hc": 0.5},
                        {"ltp": 1.5},
                        {"trd": [[2.5, 90_000]]},
                        {"batb": [[0, 9.9, 5], [0, 9.9, 0]]},
                        {"spn": "NaN"},
                    ]
                )
            )
            row.update(
                rng.choice(
                    [{}, {"atb": [[3.0, 500], [1.0101, 2]]}, {"atl": [[1.01, 500]]}, {"spb": [[2, 9]], "spf": 2.25}]
                )
            )
        return {**like, "mc": [{**change, "img": rng.random() < 0.2}, *rng.choice([[], [{"id": "1.5"}], [change]])]}
    told = change["marketDefinition"]
    told |= {
        "status": rng.choice(["OPEN", "OPEN", "OPEN", "SUSPENDED", "INACTIVE", "CLOSED"]),
        "inPlay": rng.random() < 0.3,
        "bspReconciled": rng.random() < 0.3,
        "numberOfWinners": rng.choice([0, 1, 1, 2, 3, 50]),
        "betDelay": rng.choice([0, 1, 12]),
        "version": rng.choice([0, 5, 2**60]),
        "marketBaseRate": rng.choice([0, 5, 100]),
        "bettingType": rng.choice(
            ["ODDS"] * 6 + ["LINE", "RANGE", "ASIAN_HANDICAP_DOUBLE_LINE", "ASIAN_HANDICAP_SINGLE_LINE"]
        ),
        "bspMarket": rng.random() < 0.7,
    }
    told |= rng.choice(
        [
            {},
            {},
            {},
            {"eachWayDivisor": 4},
            {"eachWayDivisor": 0},
            {"lineMinUnit": 1, "lineMaxUnit": 9, "lineInterval": 0.5},
        ]
    )
    for row in told["runners"]:
        row["status"] = rng.choice(
            ["ACTIVE"] * 5 + ["WINNER", "LOSER", "PLACED", "REMOVED", "REMOVED_VACANT", "HIDDEN"]
        )
        row.update(
            rng.choice(
                [{}, {}, {"bsp": 1.0000001}, {"bsp": 2.5}, {"bsp": "NaN"}, {"hc": -0.25}, {"adjustmentFactor": 99.9}]
            )
        )
    told["runners"] = (
        rng.sample(told["runners"], rng.randrange(len(told["runners"]) + 1)) if rng.random() < 0.2 else told["runners"]
    )
    return {**like, "mc": [{**change, "img": rng.random() < 0.2}]}


def damaged_lines(rng: Random, lines: list[Any]) -> list[Any]:
    """Return lines of which some are damaged, lost, doubled, swapped, run together or foreign."""
    result: list[Any] = []
    definitions = [item for item in lines if "marketDefinition" in item["mc"][0]]
    wild = rng.random() < 0.5
    for item in lines:
        if wild and rng.random() < 0.3:
            result.append({**strange(rng, rng.choice([item, *definitions])), "pt": item["pt"]})
        match rng.randrange(12):
            case 0:
                result.append(damaged_text(rng, item).replace(b"\n", b" "))
            case 1:
                result.append(damaged_value(rng, item))
            case 2:
                result.insert(rng.randrange(len(result) + 1), item)
            case 3:
                result += [item, item]
            case 4 if rng.random() < 0.3:
                result.append(
                    rng.choice([b"", b"\xff\xfe", b"null", b"{}", b'{"op":"ocm"}', b'{"op":"mcm","pt":1,"mc":[{}]}'])
                )
            case 5 if rng.random() < 0.3:
                result += [b"x"] * rng.choice([3, 3_000])
            case 6:
                result.append(json.dumps(item).encode() + json.dumps(item).encode())
            case _:
                result.append(item)
    return result


def archive(rng: Random, body: bytes) -> tuple[bytes, bool]:
    """Return a tar with a damaged and an undamaged member, sometimes damaged as a whole."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        odd = tarfile.TarInfo("odd")
        odd.type = rng.choice([tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
        odd.linkname = rng.choice(["", "/etc/passwd", "odd", "../../x"])
        witness = bz2.compress(packed(race(3, 20, WITNESS)))
        members = [
            ("../../first", damaged_bytes(rng, bz2.compress(body))),
            ("witness.bz2", witness),
            ("third", body[: rng.randrange(len(body) + 1)]),
        ]
        tar.addfile(odd)
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    whole = out.getvalue()
    if rng.random() < 0.4:
        return damaged_bytes(rng, whole), False
    return whole, True


@dataclass
class Day:
    """One file, played."""

    rng: Random
    path: Path
    recorded_to: Path
    clock_ms: int = 1_790_000_000_000
    rows: int = 0
    images: dict[str, MarketImage] = field(default_factory=dict)

    def play(self) -> Replay:
        rng = self.rng
        self.exchange = Exchange(
            [Account("a", "", "", "", BALANCE), Account("b", "", "", "", BALANCE)], 1, lambda: self.clock_ms
        )
        start = rng.choice([None, None, None, "-2m", 1_789_999_900_000])
        recorder = Recorder(self.recorded_to, self.exchange, lambda: self.clock_ms)
        replay = Replay(self.exchange, self.path, lambda: self.clock_ms, Decimal(60), start)
        try:
            while not replay.exhausted:
                if rng.random() < 0.5:
                    self.place()
                self.clock_ms += rng.choice([1, 20, 500])
                replay.step(1) if rng.random() < 0.7 else replay.advance(20)
                self.exchange.tick()
                recorder.write()
                self.look()
        finally:
            replay.close()
            recorder.close()
        dump_json(replay.status())
        return replay

    def place(self) -> None:
        markets = list(self.exchange.markets.values())
        if not markets:
            return
        rng = self.rng
        market = rng.choice(markets)
        runners = list(market.runners.values())
        runner = rng.choice(runners) if runners else None
        side = rng.choice(list(Side)).value
        order: dict[str, Any] = {
            "selectionId": runner.selection_id if runner else 11,
            "handicap": runner.handicap if runner else 0,
            "side": side,
        }
        if rng.random() < 0.2:
            order |= {"orderType": "MARKET_ON_CLOSE", "marketOnCloseOrder": {"liability": 20}}
        else:
            book = [price for side in Side for price, _ in runner.book.levels(side)] if runner else []
            price = str(rng.choice(["1.01", "2", "2.5", "2.9", "3.05", "1000", *book, *book]))
            kept = rng.choice(["LAPSE", "PERSIST", "MARKET_ON_CLOSE"])
            order |= {"orderType": "LIMIT", "limitOrder": {"price": price, "size": "4", "persistenceType": kept}}
        account = self.exchange.accounts[rng.choice("ab")]
        request = read_place_request(Params({"marketId": market.market_id, "instructions": [order]}), "GBP")
        dump_json(place(self.exchange, account, request))

    def look(self) -> None:
        """See what REST and the stream would show, and that it is sound."""
        self.rows += 1
        caller = Caller(self.exchange.accounts["a"], delayed=False)
        for market in list(self.exchange.markets.values()):
            params = Params({"marketIds": [market.market_id], "priceProjection": _EVERYTHING.values})
            dump_json(market_book(self.exchange, caller, params))
            dump_json(market_definition(market, self.clock_ms))
            image = self.images.setdefault(market.market_id, MarketImage(market.market_id, self.rows))
            image.update(market, self.rows, self.clock_ms)
            dump_json(image.change(self.rows - 1, DataFilter.read(Params({})), merged=bool(self.rows % 2)))
            for runner in market.runners.values():
                back, lay = (runner.book.levels(side) for side in (Side.LAY, Side.BACK))
                assert not back or not lay or back[0][0] < lay[0][0], (market.market_id, runner.selection_id, back, lay)

    def add_up(self) -> None:
        """See that no money and no stake was made or lost."""
        accounts = [*self.exchange.accounts.values()]
        for bet in self.exchange.bets.values():
            parts = (bet.size_matched, bet.size_remaining, bet.size_lapsed, bet.size_cancelled, bet.size_voided)
            assert sum(parts) == bet.size, bet
            assert min(parts) >= 0, bet
        for account in accounts:
            results = [market.results.get(account.name) for market in self.exchange.markets.values()]
            gained = sum((row.profit - row.commission for row in results if row is not None), Decimal(0))
            assert account.balance == BALANCE + gained, account
            assert account.exposure >= 0, account


def play_one(seed: int, folder: Path) -> str:
    """Damage and play one file; return what is wrong with what it did, empty for nothing."""
    rng = Random(seed)  # noqa: S311 - seeded damage is the point
    started = time.monotonic()
    path, intact = make_file(rng, folder)
    day = Day(rng, path, folder / "recorded")
    with complaints() as told:
        replay = day.play()
        day.add_up()
    if told.texts:
        return told.texts[0]
    witness = day.exchange.markets.get(WITNESS)
    if intact and (witness is None or witness.status != "CLOSED"):
        return f"the undamaged market did not play to its end: {replay.status()['skipped'][:3]}"
    took_s = time.monotonic() - started
    return f"it took {took_s:.0f} s" if took_s > SECONDS_A_FILE else ""
