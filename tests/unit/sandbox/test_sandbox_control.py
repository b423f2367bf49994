"""Long answers of the control API: complete, and nobody else waits for them."""

import asyncio
import gc
import json
import time
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from betfair_sandbox.control.control_api import control_routes
from betfair_sandbox.market.markets import Bet
from betfair_sandbox.market.money import LADDER, Side
from betfair_sandbox.options import SandboxOptions
from betfair_sandbox.world import World

BETS = 10_000


async def _read(world: World, path: str) -> tuple[bytes, float, float]:
    """Return the body of a GET, its work in seconds of this thread, and how much of it at most was done in one go."""
    sockets, port = bind_unused_port()
    server = HTTPServer(Application(control_routes(world)))
    server.add_socket(sockets)
    longest = 0.0
    done = False

    async def watch() -> None:
        nonlocal longest
        last = time.thread_time()
        while not done:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    gc.collect()
    gc.disable()  # a full collection walks everything that the tests of this process have made
    watching = asyncio.create_task(watch())
    started = time.thread_time()
    answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/sandbox/{path}", request_timeout=60)
    took = time.thread_time() - started
    done = True
    await watching
    gc.enable()
    server.stop()
    await server.close_all_connections()
    return answer.body, took, longest


@pytest.fixture(scope="module")
def busy() -> World:
    world = World(SandboxOptions(directory=Path()))
    for at in range(BETS):
        bet = Bet(at + 1, "sandbox" if at % 2 else "other", Side.BACK, LADDER[100], LADDER[150], placed_ms=1)
        world.exchange.bets[bet.bet_id] = bet
        world.journal.open(float(at), "placeOrders" if at % 2 else "cancelOrders", {"number": at})
    return world


def orders_of(body: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(body)
    return rows


def test_all_orders_are_there_and_others_have_their_turn(busy: World) -> None:
    body, took, longest = asyncio.run(_read(busy, "orders"))
    assert [int(row["betId"]) for row in orders_of(body)] == list(range(1, BETS + 1))
    assert longest < took / 4


def test_the_whole_journal_is_there_and_others_have_their_turn(busy: World) -> None:
    body, took, longest = asyncio.run(_read(busy, "journal"))
    assert [json.loads(line)["params"]["number"] for line in body.splitlines()] == list(range(BETS))
    assert longest < took / 4


def test_orders_of_one_account(busy: World) -> None:
    body, _, _ = asyncio.run(_read(busy, "orders?account=other"))
    assert {row["account"] for row in orders_of(body)} == {"other"}
    assert len(orders_of(body)) == BETS // 2
    assert asyncio.run(_read(busy, "orders?account=nobody"))[0] == b"[]"


def test_the_journal_of_one_method_from_an_instant_on(busy: World) -> None:
    body, _, _ = asyncio.run(_read(busy, f"journal?method=cancelOrders&since={BETS - 4}"))
    assert [json.loads(line)["params"]["number"] for line in body.splitlines()] == [BETS - 4, BETS - 2]
