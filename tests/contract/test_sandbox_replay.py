"""A replay as clients see it: the sandbox in its own process, read over REST by betfairlightweight."""

import subprocess
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from support.recordings import (
    MARKET,
    RUNNERS,
    WINNER,
    PlainBook,
    definition,
    line,
    race,
    rc,
    read_lines,
    write_recording,
)
from support.sandbox_client import Json, RunningSandbox, limit, wait_for
from support.sandbox_command import start_command
from support.stream_client import HeldMarkets, HeldRunner, connect

Run = Callable[..., RunningSandbox]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Return a function that starts a sandbox with these arguments; it must end cleanly."""
    processes: list[subprocess.Popen[str]] = []

    def run_with(*arguments: str) -> RunningSandbox:
        process = start_command(tmp_path, *arguments)
        processes.append(process)
        assert process.stdout is not None
        assert process.stderr is not None
        ready = process.stdout.readline()
        assert "ready" in ready, process.stderr.read()
        sandbox = RunningSandbox.at(tmp_path / "sandbox")
        sandbox.log_in()
        return sandbox

    yield run_with
    for process in processes:
        process.terminate()
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "Traceback" not in errors, errors


def shown(book: Json, name: str) -> dict[int, dict[Decimal, Decimal]]:
    return {
        runner["selectionId"]: {level["price"]: level["size"] for level in runner["ex"][name]}
        for runner in book["runners"]
    }


def test_the_day_is_replayed_line_by_line_and_again_after_a_reset(run: Run, tmp_path: Path) -> None:
    path = write_recording(tmp_path / "race.bz2", race(updates=60))
    sandbox = run("--replay", str(path), "--from", "-10m", "--speed", "0.001")
    for _ in range(2):
        sandbox.control("replay", paused=True)
        played = sandbox.get("replay")["linesPlayed"]
        plain = PlainBook()
        lines = read_lines(path)
        for number, recorded in enumerate(lines[:-1]):
            plain.take(recorded)
            if number < played:
                continue
            sandbox.control("replay", step=1)
            (book,) = sandbox.call(
                "listMarketBook", marketIds=[MARKET], priceProjection={"priceData": ["EX_ALL_OFFERS", "EX_TRADED"]}
            )
            for name, ladder in (("availableToBack", "atb"), ("availableToLay", "atl"), ("tradedVolume", "trd")):
                for runner, offers in shown(book, name).items():
                    assert offers == plain.offers(runner, ladder)
        sandbox.control("replay", step=1)
        (book,) = sandbox.betfair().betting.list_market_book([MARKET])
        assert book.status == "CLOSED"
        assert [runner.selection_id for runner in book.runners if runner.status == "WINNER"] == [WINNER]
        assert sandbox.get("replay")["finished"] is True
        sandbox.control("reset")
    sandbox.control("replay", step=1)
    (row,) = sandbox.betfair().betting.list_market_catalogue(
        {"marketIds": [MARKET]}, max_results=1, market_projection=["EVENT", "RUNNER_DESCRIPTION", "MARKET_DESCRIPTION"]
    )
    assert (row.market_name, row.event.name, row.event.venue) == (
        "R1 5f Hcap",
        "Made Up Park 21st Sep",
        "Made Up Park",
    )
    assert row.runners[0].runner_name == "1. Horse 11"


def test_the_stream_shows_what_is_replayed(run: Run, tmp_path: Path) -> None:
    path = write_recording(tmp_path / "race.jsonl", race(updates=40))
    sandbox = run("--replay", str(path), "--speed", "0.001")
    lines = read_lines(path)
    plain, held = PlainBook(), HeldMarkets()
    sandbox.control("replay", paused=True)
    played = sandbox.get("replay")["linesPlayed"]
    for recorded in lines[:played]:
        plain.take(recorded)
    fields = ["EX_ALL_OFFERS", "EX_TRADED", "EX_LTP", "EX_MARKET_DEF"]
    with connect(sandbox) as stream:
        held.apply(stream.markets(MARKET, marketDataFilter={"fields": fields}))
        for recorded in lines[played:-1]:
            plain.take(recorded)
            sandbox.control("replay", step=1)
            ends = time.monotonic() + 10
            while differences(held, plain):
                try:
                    held.apply(stream.read(ends - time.monotonic()))
                except TimeoutError:
                    raise AssertionError((recorded["pt"], differences(held, plain))) from None
        sandbox.control("replay", step=1)
        while held.definitions[MARKET]["status"] != "CLOSED":
            held.apply(stream.read())
    told = held.definitions[MARKET]
    assert {row["id"]: row["status"] for row in told["runners"]}[WINNER] == "WINNER"
    assert (told["venue"], told["bspReconciled"], told["settledTime"]) == (
        "Made Up Park",
        True,
        "2026-09-21T14:16:00.000Z",
    )


def differences(held: HeldMarkets, plain: PlainBook) -> list[object]:
    """Return where what a client of the stream holds is not the recording's."""
    found: list[object] = []
    if held.definitions[MARKET]["status"] != plain.status:
        found.append((held.definitions[MARKET]["status"], plain.status))
    for runner in RUNNERS:
        ladders = held.runners[MARKET].get(runner, HeldRunner()).ladders
        for name in ("atb", "atl", "trd"):
            shown = {price: rest[0] for price, rest in ladders.get(name, {}).items()}
            recorded = {float(price): float(size) for price, size in plain.offers(runner, name).items()}
            if shown != recorded:
                found.append((runner, name, shown, recorded))
    return found


def test_a_bet_on_a_replayed_market_is_filled_and_settled(run: Run, tmp_path: Path) -> None:
    opening = line(1_000, definition(), rc(WINNER, atb=[[3, 20]], atl=[[3.1, 20]]))
    traded = line(2_000, rc(WINNER, trd=[[3.1, 60]], ltp=3.1))
    results = {11: "LOSER", WINNER: "WINNER", 13: "LOSER", 14: "LOSER"}
    closed = line(3_000, definition(status="CLOSED", statuses=results))
    path = write_recording(tmp_path / "race.jsonl", [opening, traded, b"{", closed])
    sandbox = run("--replay", str(path), "--speed", "0.001")
    bet_id = sandbox.place_one(MARKET, limit(WINNER, "BACK", "3.1", 10))
    refused = sandbox.session.post(
        f"{sandbox.api}/sandbox/prices", json={"marketId": MARKET, "selectionId": WINNER, "availableToBack": []}
    )
    assert (refused.status_code, "replayed" in refused.json()["error"]) == (400, True)
    sandbox.control("replay", step=1)
    order = sandbox.order(bet_id)
    assert (order["sizeMatched"], order["averagePriceMatched"]) == (10, Decimal("3.1"))
    (fill,) = sandbox.get("replay")["fills"]
    assert (fill["betId"], fill["line"], fill["size"], fill["source"]) == (bet_id, 2, 10, "race.jsonl")
    sandbox.control("replay", speed=1000)
    wait_for(lambda: sandbox.get("replay")["finished"])
    (skipped,) = sandbox.get("replay")["skipped"]
    assert (skipped["line"], skipped["reason"]) == (3, "not JSON")
    (row,) = sandbox.call("listClearedOrders", betStatus="SETTLED")["clearedOrders"]
    assert (row["betId"], row["profit"]) == (bet_id, 21)


def test_the_sandbox_records_what_it_can_replay(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    sandbox = run("--record", str(path))
    sandbox.market(MARKET, to_back=[[3, 20]], to_lay=[["3.1", 20]], name="Mine")
    sandbox.place_one(MARKET, limit(1, "BACK", 3, 8))
    sandbox.control("settle", marketId=MARKET, winners=[1])
    wait_for(lambda: b'"status":"CLOSED"' in path.read_bytes())
    sandbox.control("reset")
    sandbox.market("1.2", name="Next day")
    wait_for(lambda: b"Next day" in path.read_bytes())


def test_a_recording_is_complete_when_the_sandbox_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "day.bz2"
    process = start_command(tmp_path, "--record", str(path))
    assert process.stdout is not None
    process.stdout.readline()
    sandbox = RunningSandbox.at(tmp_path / "sandbox")
    sandbox.log_in()
    sandbox.market(MARKET, to_back=[[3, 20]], name="Mine")
    sandbox.place_one(MARKET, limit(1, "BACK", 3, 8))
    sandbox.control("settle", marketId=MARKET, winners=[1])
    process.terminate()
    process.communicate(timeout=20)
    lines = read_lines(path)
    last = [change for recorded in lines for change in recorded["mc"]][-1]["marketDefinition"]
    assert (last["status"], [runner["status"] for runner in last["runners"]]) == ("CLOSED", ["WINNER", "LOSER"])
    rows = [row for recorded in lines for change in recorded["mc"] for row in change.get("rc", [])]
    traded = [row["trd"] for row in rows if "trd" in row]
    assert traded == [[[3.0, 16.0]]]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--replay", "{tmp}/none.bz2"], "--replay"),
        (["--replay", "{tmp}/race", "--from", "yesterday"], "--from"),
        (["--replay", "{tmp}/race", "--speed", "0"], "--speed"),
        (["--from", "-10m"], "--replay"),
        (["--record", "{tmp}/none/day.bz2"], "none"),
        (["--replay", "{tmp}/notes"], "no line of it can be played"),
        (["--replay", "{tmp}/race", "--record", "{tmp}/race"], "--record"),
        (["--record", "{tmp}/notes"], "--record"),
        (["--username", "alice", "--account", "alice"], "alice is there already"),
        (["--username", ""], "--username"),
        (["--app-key", "clé"], "--app-key"),
        (["--server-name", "hé.example"], "--server-name"),
        (["--server-name", ""], "--server-name"),
    ],
)
def test_a_mistake_ends_in_a_line(tmp_path: Path, arguments: list[str], told: str) -> None:
    path = write_recording(tmp_path / "race", race(updates=3))
    recorded = path.read_bytes()
    (tmp_path / "notes").write_text("# Notes\n\nof a day\n", encoding="utf-8")
    process = start_command(tmp_path, *(argument.format(tmp=tmp_path) for argument in arguments))
    _, errors = process.communicate(timeout=30)
    assert process.returncode in {1, 2}
    assert told in errors
    assert "Traceback" not in errors
    assert path.read_bytes() == recorded
