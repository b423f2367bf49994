"""A proxy for Betfair's hosts is a setting; the one of the environment is not read."""

import json
from collections.abc import Callable
from contextlib import closing

import pytest
from support.exchange_rig import (
    ANY_TIME,
    TOKEN,
    Answer,
    MemoryTelemetry,
    MemoryTokenStore,
    Request,
    ScriptedServer,
    caught,
    http,
    make_instruction,
    rpc,
)
from support.http_proxy import HttpProxy
from support.listening_proxy import HOST

from executor.adapters.betfair.exchange import BetfairExchange
from executor.devstack.redis_server import free_port
from executor.errors import NotSent, OutcomeUnknown

pytest_plugins = ["support.exchange_fixtures"]
SECRET = "proxy-secret"


def answer(request: Request) -> Answer:
    if request.path == "/api/certlogin":
        return http(json.dumps({"sessionToken": TOKEN, "loginStatus": "SUCCESS"}).encode())
    return rpc(request, result={"availableToBetBalance": 1, "exposure": 0})


def adapter(server: ScriptedServer, proxy: str, token: str | None = TOKEN) -> BetfairExchange:
    return BetfairExchange(server.settings(proxy=proxy), MemoryTokenStore(token), MemoryTelemetry())


def test_login_and_calls_go_through_the_proxy_that_is_set(server: ScriptedServer) -> None:
    server.script = answer
    with HttpProxy(f"ann:{SECRET}") as proxy, closing(adapter(server, proxy.url(f"ann:{SECRET}"), None)) as exchange:
        assert exchange.funds().available == 1
        assert exchange.funds().available == 1
        host = server.url.removeprefix("https://")
        assert proxy.asked == [host, host]  # the login's connection, and one that is kept
    assert [request.path.split("/")[2] for request in server.requests] == ["certlogin", "account", "account"]


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_the_environments_proxy_is_not_read(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    server.script = answer
    monkeypatch.setenv(name, f"http://{HOST}:{free_port()}")
    with closing(adapter(server, "")) as exchange:
        assert exchange.funds().available == 1


def place(exchange: BetfairExchange) -> Callable[[], object]:
    return lambda: exchange.place("1.2", [make_instruction()], "ref-1", ANY_TIME)


def test_a_proxy_that_refuses_or_is_away_means_not_sent_and_one_that_swallows_the_answer_unknown(
    server: ScriptedServer,
) -> None:
    with HttpProxy(f"ann:{SECRET}") as proxy, closing(adapter(server, proxy.url("ann:wrong"))) as exchange:
        error = caught(place(exchange))
        assert type(error) is NotSent
        assert "wrong" not in str(error)
    with closing(adapter(server, f"http://ann:{SECRET}@{HOST}:{free_port()}")) as exchange:
        error = caught(place(exchange))
        assert type(error) is NotSent
        assert SECRET not in str(error)
    assert server.requests == []
    server.script = answer
    with HttpProxy() as proxy, closing(adapter(server, proxy.url())) as exchange:
        exchange.funds()
        proxy.silent = True
        assert type(caught(place(exchange))) is OutcomeUnknown
    assert [request.path.split("/")[2] for request in server.requests] == ["account", "betting"]
