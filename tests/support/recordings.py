"""Recordings for tests: a made-up race in the format of Betfair's historical files, and a plain reader of such files.

Owns: the generator (`race`), the packing, and a second, simpler reader that knows nothing of the sandbox. Units: epoch
milliseconds; sizes as in the files.
"""

import bz2
import gzip
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

Json = dict[str, Any]
MARKET = "1.900000001"
START = 1_790_000_000_000  # when the race starts, on the recording's clock
RUNNERS = (11, 12, 13, 14)
WINNER = 12
SAMPLES = Path("/work/shared/samples")
LADDER = [round(2 + step * 0.02, 2) for step in range(50)] + [round(3 + step * 0.05, 2) for step in range(20)]


def sample(name: str) -> Path:
    """Return a private recording; the test skips where there is none."""
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"no recording {path}")
    return path


def definition(market_id: str = MARKET, **changes: Any) -> Json:
    statuses = changes.pop("statuses", {})
    prices = changes.pop("bsp", {})
    facts: Json = {
        "bspMarket": True,
        "turnInPlayEnabled": True,
        "persistenceEnabled": True,
        "marketBaseRate": 5.0,
        "eventId": "31",
        "eventTypeId": "7",
        "numberOfWinners": 1,
        "bettingType": "ODDS",
        "marketType": "WIN",
        "marketTime": "2026-09-21T14:13:20.000Z",
        "suspendTime": "2026-09-21T14:13:20.000Z",
        "bspReconciled": False,
        "complete": True,
        "inPlay": False,
        "crossMatching": False,
        "runnersVoidable": False,
        "numberOfActiveRunners": len(RUNNERS),
        "betDelay": 0,
        "status": "OPEN",
        "regulators": ["MR_INT"],
        "venue": "Made Up Park",
        "countryCode": "GB",
        "discountAllowed": True,
        "timezone": "Europe/London",
        "openDate": "2026-09-21T14:13:20.000Z",
        "version": 7,
        "name": "R1 5f Hcap",
        "eventName": "Made Up Park 21st Sep",
    }
    runners = []
    for at, runner in enumerate(RUNNERS, 1):
        row: Json = {"adjustmentFactor": 25.0, "status": statuses.get(runner, "ACTIVE"), "sortPriority": at}
        if runner in prices:
            row["bsp"] = prices[runner]
        if row["status"] == "REMOVED":
            row["removalDate"] = "2026-09-21T14:00:00.000Z"
        runners.append({**row, "id": runner, "name": f"{at}. Horse {runner}"})
    return {"id": market_id, "marketDefinition": {**facts, **changes, "runners": runners}}


def line(pt: int, *changes: Json) -> Json:
    return {"op": "mcm", "clk": str(pt % 10**9), "pt": pt, "mc": list(changes)}


def rc(runner: int, market_id: str = MARKET, **fields: Any) -> Json:
    return {"id": market_id, "rc": [{**fields, "id": runner}], "con": True, "img": False}


def race(seed: int = 1, updates: int = 300, market_id: str = MARKET) -> Iterator[Json]:
    """Yield a made-up race: offers that move, trades, a removal, starting prices, in-play, a result."""
    rng = Random(seed)  # noqa: S311 - a seeded race is the point
    books: dict[int, dict[str, dict[float, float]]] = {runner: {"atb": {}, "atl": {}, "trd": {}} for runner in RUNNERS}
    pt = START - 300_000
    yield line(pt, {**definition(market_id), "img": True, "con": True})
    gone: set[int] = set()
    for step in range(updates):
        pt += rng.choice([0, 50, 200, 1_000, 3_000])
        if step == updates // 2:
            gone.add(RUNNERS[-1])
            statuses = {RUNNERS[-1]: "REMOVED"}
            yield line(pt, definition(market_id, status="SUSPENDED", version=8))
            rows = [{"id": runner, "atb": [[price, 0] for price in books[runner]["atb"]]} for runner in RUNNERS]
            for book in books.values():
                book["atb"].clear()
            yield line(pt + 400, {"id": market_id, "rc": rows, "con": True, "img": False})
            yield line(pt + 900, definition(market_id, statuses=statuses, version=9, numberOfActiveRunners=3))
            pt += 900
        changes = [_move(rng, books[runner], runner) for runner in RUNNERS if runner not in gone and rng.random() < 0.6]
        rows = [row for parts in changes for row in parts]
        if rows:
            yield line(pt, {"id": market_id, "rc": rows, "con": True, "img": False})
    yield from _ending(market_id, pt, books)


def _move(rng: Random, book: dict[str, dict[float, float]], runner: int) -> list[Json]:
    """Return the rows that move a runner's offers around a middle, sometimes with a trade; never crossed at the end."""
    middle = rng.randrange(20, len(LADDER) - 20) if not book["atl"] else LADDER.index(min(book["atl"]))
    middle = min(max(10, middle + rng.choice([-1, 0, 0, 1])), len(LADDER) - 10)
    rows: list[Json] = []
    wanted = {
        "atb": {LADDER[middle - 1 - depth]: round(rng.uniform(1, 90), 2) for depth in range(rng.randint(1, 4))},
        "atl": {LADDER[middle + depth]: round(rng.uniform(1, 90), 2) for depth in range(rng.randint(1, 4))},
    }
    for name, offers in wanted.items():
        moved = [[price, 0] for price in book[name] if price not in offers]
        moved += [[price, size] for price, size in offers.items() if book[name].get(price) != size]
        book[name] = offers
        if moved:
            rows.append({name: moved, "id": runner})  # one row a ladder: the same runner comes twice in a line
    if rng.random() < 0.5:
        price = LADDER[middle - rng.randint(0, 2)]
        book["trd"][price] = round(book["trd"].get(price, 0) + rng.uniform(2, 60), 2)
        rows.append({"trd": [[price, book["trd"][price]]], "ltp": price, "tv": book["trd"][price], "id": runner})
    return rows


def _ending(market_id: str, pt: int, books: dict[int, dict[str, dict[float, float]]]) -> Iterator[Json]:
    statuses = {RUNNERS[-1]: "REMOVED"}
    prices = {11: 3.1, 12: 2.5071, 13: 4.0}
    state: Json = {"statuses": statuses, "bsp": prices, "numberOfActiveRunners": 3, "version": 10}
    yield line(pt + 100, definition(market_id, **{**state, "status": "SUSPENDED"}))
    rows = [
        {"id": runner, name: [[price, 0] for price in book[name]]}
        for runner, book in books.items()
        for name in ("atb", "atl")
        if book[name]
    ]
    yield line(pt + 300, {"id": market_id, "rc": rows, "con": True, "img": False})
    state["bspReconciled"] = True
    yield line(pt + 500, definition(market_id, **{**state, "status": "SUSPENDED", "version": 11}))
    yield line(pt + 700, definition(market_id, **{**state, "inPlay": True, "betDelay": 1, "version": 12}))
    yield line(pt + 900, rc(12, market_id, atb=[[1.5, 40]], atl=[[1.6, 40]], ltp=1.5))
    results = {runner: "WINNER" if runner == WINNER else "LOSER" for runner in RUNNERS[:-1]} | statuses
    closed: Json = {**state, "inPlay": True, "betDelay": 1, "statuses": results, "status": "CLOSED", "version": 13}
    yield line(pt + 60_000, definition(market_id, **closed, settledTime="2026-09-21T14:16:00.000Z"))


def packed(lines: Iterable[Json | bytes]) -> bytes:
    """Return lines as a plain file."""
    texts = (item if isinstance(item, bytes) else json.dumps(item, separators=(",", ":")).encode() for item in lines)
    return b"".join(text + b"\n" for text in texts)


def write_recording(path: Path, lines: Iterable[Json | bytes]) -> Path:
    """Write lines as the path's name says: .bz2, .gz, else plain."""
    body = packed(lines)
    if path.suffix == ".bz2":
        body = bz2.compress(body)
    elif path.suffix == ".gz":
        body = gzip.compress(body)
    path.write_bytes(body)
    return path


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return path


def read_lines(path: Path) -> list[Json]:
    """Return the lines of a file, numbers as `Decimal`."""
    body = path.read_bytes()
    if path.suffix == ".bz2":
        body = bz2.decompress(body)
    elif path.suffix == ".gz":
        body = gzip.decompress(body)
    return [json.loads(text, parse_float=Decimal, parse_int=int) for text in body.splitlines() if text.strip()]


@dataclass
class PlainBook:
    """A recording's own ladders, by runner: nothing but the last size at each price."""

    ladders: dict[tuple[int, str], dict[Decimal, Decimal]] = field(default_factory=dict)
    status: str = ""
    gone: set[int] = field(default_factory=set)

    def take(self, recorded: Json) -> None:
        for change in recorded["mc"]:
            if change.get("img"):
                self.ladders.clear()
            for row in change.get("rc", []):
                for name in ("atb", "atl", "trd"):
                    ladder = self.ladders.setdefault((row["id"], name), {})
                    for price, size in row.get(name, []):
                        ladder[Decimal(price)] = Decimal(size).quantize(Decimal("0.01"), ROUND_HALF_UP)
            if "marketDefinition" in change:
                told = change["marketDefinition"]
                self.status = told["status"]
                self.gone = {row["id"] for row in told["runners"] if row["status"] == "REMOVED"}

    def offers(self, runner: int, name: str) -> dict[Decimal, Decimal]:
        if runner in self.gone and name != "trd":
            return {}
        return {price: size for price, size in self.ladders.get((runner, name), {}).items() if size}
