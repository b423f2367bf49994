"""What a call is worth when the transport fails: nothing sent, or nobody knows. Real sockets, real TLS."""

import gzip
import socket
import threading
import time
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from support.exchange_rig import (
    ANY_TIME,
    HOST,
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
    run_together,
)

from betfair_sandbox.certificates import CertificatePaths
from executor.adapters.betfair.connections import flight
from executor.adapters.betfair.exchange import BetfairExchange
from executor.adapters.betfair.transport import Transport, TransportError
from executor.adapters.clock import monotonic
from executor.devstack.redis_server import free_port
from executor.errors import NoLongerAllowed, NotSent, OutcomeUnknown
from executor.ports import SendPermit

pytest_plugins = ["support.exchange_fixtures"]
MARKET = "1.200000001"


def place(exchange: BetfairExchange) -> Any:
    return exchange.place(MARKET, [make_instruction()], "ref-1", ANY_TIME)


# --- before the first byte: NotSent ----------------------------------------------------------------------------------


def test_refused_connection(certificates: CertificatePaths, telemetry: MemoryTelemetry) -> None:
    with ScriptedServer(certificates) as gone:
        settings = gone.settings(api_url=f"https://localhost:{free_port()}")
    with closing(BetfairExchange(settings, MemoryTokenStore(TOKEN), telemetry)) as exchange:
        error = caught(lambda: place(exchange))
    assert type(error) is NotSent
    assert "refused" in str(error)
    assert telemetry.calls == [("placeOrders", "connection")]


def test_server_that_is_not_who_it_says(server: ScriptedServer) -> None:
    with closing(
        BetfairExchange(server.settings(ca_bundle=None), MemoryTokenStore(TOKEN), MemoryTelemetry())
    ) as exchange:
        error = caught(lambda: place(exchange))
    assert type(error) is NotSent
    assert "certificate verify failed" in str(error)
    assert server.requests == []


def test_handshake_that_does_not_end(
    server: ScriptedServer, exchange: BetfairExchange, telemetry: MemoryTelemetry
) -> None:
    server.shakes_hands = False
    assert type(caught(lambda: place(exchange))) is NotSent
    assert telemetry.calls == [("placeOrders", "timeout")]


def test_server_that_hangs_up_before_the_handshake(server: ScriptedServer) -> None:
    with socket.create_server((HOST, 0)) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        url = f"https://localhost:{listener.getsockname()[1]}"
        with closing(
            BetfairExchange(server.settings(api_url=url), MemoryTokenStore(TOKEN), MemoryTelemetry())
        ) as exchange:
            assert type(caught(lambda: place(exchange))) is NotSent
        thread.join()


def test_connection_that_took_too_long_carries_no_order(server: ScriptedServer, certificates: CertificatePaths) -> None:
    transport = Transport(1, str(certificates.ca))
    with closing(transport), pytest.raises(TransportError) as caught_error:
        transport.post(server.url, {}, b"{}", permit=SendPermit(monotonic() - 0.001, lambda: None))
    assert type(caught_error.value.named()) is NotSent
    assert server.requests == []


class Permit:
    """Notes what is there when it is asked, and answers as a test says."""

    def __init__(self, server: ScriptedServer, *, still: bool = True, left_s: float = 10) -> None:
        self.server = server
        self.still = still
        self.seen: list[tuple[int, int]] = []
        self.permit = SendPermit(monotonic() + left_s, self.check)

    def check(self) -> None:
        self.seen.append((self.server.connections, len(self.server.requests)))
        if not self.still:
            raise NoLongerAllowed("TRADING_DISABLED", "halted")


def test_the_permit_is_asked_when_the_connection_stands_and_before_the_first_byte(
    server: ScriptedServer, exchange: BetfairExchange, telemetry: MemoryTelemetry
) -> None:
    for number, warm in enumerate((False, True)):
        asked = Permit(server, still=False)
        error = caught(lambda asked=asked: exchange.place(MARKET, [make_instruction()], "ref-1", asked.permit))  # type: ignore[misc]
        assert (type(error), getattr(error, "code", "")) == (NoLongerAllowed, "TRADING_DISABLED")
        assert asked.seen == [(number + 1, number)]
        assert telemetry.calls == [], "no call was made"
        if not warm:
            server.script = lambda request: rpc(request, result={"availableToBetBalance": 1, "exposure": 0})
            exchange.funds()
            telemetry.calls.clear()
    assert [request.call["method"] for request in server.requests] == ["AccountAPING/v1.0/getAccountFunds"]


def test_no_order_leaves_after_the_moment_that_it_was_given(
    server: ScriptedServer, exchange: BetfairExchange, telemetry: MemoryTelemetry
) -> None:
    late = Permit(server, left_s=-0.001)
    assert type(caught(lambda: exchange.place(MARKET, [make_instruction()], "ref-1", late.permit))) is NotSent
    assert server.requests == []
    assert telemetry.calls == [("placeOrders", "timeout")]


def test_the_moment_counts_when_asking_took_long(server: ScriptedServer, exchange: BetfairExchange) -> None:
    slow = SendPermit(monotonic() + 0.2, lambda: time.sleep(0.3))
    assert type(caught(lambda: exchange.place(MARKET, [make_instruction()], "ref-1", slow))) is NotSent
    assert server.requests == []


def test_who_sends_is_told_once_the_request_has_left_and_no_trouble_of_his_changes_the_outcome(
    server: ScriptedServer, exchange: BetfairExchange
) -> None:
    arrived: list[bool] = []

    def sent() -> None:
        ends = monotonic() + 10
        while not server.requests and monotonic() < ends:
            time.sleep(0.001)  # the request is on its way, whatever is done here
        arrived.append(bool(server.requests))
        raise ValueError("a counter's")

    server.script = lambda request: rpc(request, error={"code": -32099, "data": {}})
    permit = SendPermit(monotonic() + 10, lambda: None, sent)
    error = caught(lambda: exchange.place(MARKET, [make_instruction()], "ref-1", permit))
    assert arrived == [True]
    assert "ValueError" not in str(error)
    assert len(server.requests) == 1


def test_plain_http_is_not_spoken(server: ScriptedServer) -> None:
    plain = server.settings().model_copy(update={"api_url": server.url.replace("https", "http")})
    with closing(BetfairExchange(plain, MemoryTokenStore(TOKEN), MemoryTelemetry())) as exchange:
        assert type(caught(lambda: place(exchange))) is NotSent


def test_broken_token_does_not_show(server: ScriptedServer) -> None:
    with closing(BetfairExchange(server.settings(), MemoryTokenStore(f"{TOKEN}\n"), MemoryTelemetry())) as exchange:
        assert type(caught(lambda: place(exchange))) is NotSent


# --- after it: OutcomeUnknown ----------------------------------------------------------------------------------------

CUT = http(b'{"jsonrpc":"2.0","result":{"status":"SUCCESS"').raw
UNKNOWN: dict[str, tuple[Answer, str]] = {
    "reset": (Answer(then="reset"), "connection"),
    "closed": (Answer(then="close"), "connection"),
    "hang": (Answer(then="hang"), "timeout"),
    "hang in the body": (Answer(CUT.replace(b"Length: ", b"Length: 9"), "hang"), "timeout"),
    "closed in the body": (Answer(CUT.replace(b"Length: ", b"Length: 9"), "close"), "connection"),
    "no http": (Answer(b"SSH-2.0-OpenSSH_9.6\r\n", "close"), "connection"),
    "html 503": (http(b"<html>503</html>", 503), "http_5xx"),
    "json 503": (http(b'{"error":{"code":-32099,"message":"DSC-0018"}}', 503), "http_5xx"),
    "html 403": (http(b"<html>403</html>", 403), "http_4xx"),
    "redirect": (http(b"", 302, Location="https://localhost/elsewhere"), "parse"),
    "html": (http(b"<html>hello</html>"), "parse"),
    "empty": (http(b""), "parse"),
    "truncated": (http(b'{"jsonrpc":"2.0","result":{"status":"SUCC'), "parse"),
    "bad gzip": (http(b"no gzip", Content_Encoding="gzip"), "connection"),
    "null": (http(b"null"), "parse"),
    "no result": (http(b'{"jsonrpc":"2.0","id":1}'), "parse"),
    "another id": (http(b'{"jsonrpc":"2.0","id":77,"result":{"status":"FAILURE"}}'), "parse"),
    "error without sense": (http(b'{"error":"no"}'), "OTHER"),
    "result and error": (http(b'{"id":1,"result":{},"error":{"code":-32602}}'), "parse"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_whatever_happens_after_the_request_left_is_unknown(
    name: str, server: ScriptedServer, exchange: BetfairExchange, telemetry: MemoryTelemetry
) -> None:
    answer, error_type = UNKNOWN[name]
    server.script = lambda _request: answer
    assert type(caught(lambda: place(exchange))) is OutcomeUnknown
    assert telemetry.calls == [("placeOrders", error_type)]
    assert len(server.requests) == 1


def test_answer_without_end_is_cut_off(server: ScriptedServer, certificates: CertificatePaths) -> None:
    server.script = lambda _request: http(gzip.compress(b" " * 1_000_000), Content_Encoding="gzip")
    transport = Transport(1, str(certificates.ca), max_body_bytes=999_999)
    with closing(transport), pytest.raises(TransportError) as caught_error:
        transport.post(server.url, {}, b"{}")
    assert type(caught_error.value.named()) is OutcomeUnknown
    with closing(Transport(1, str(certificates.ca), max_body_bytes=1_000_000)) as transport:
        assert len(transport.post(server.url, {}, b"{}").body) == 1_000_000


def test_answer_that_drips_for_ever_is_given_up(server: ScriptedServer, certificates: CertificatePaths) -> None:
    server.script = lambda _request: Answer(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n", then="drip")
    transport = Transport(0.2, str(certificates.ca))
    with closing(transport), pytest.raises(TransportError) as caught_error:
        transport.post(server.url, {}, b"{}")
    assert type(caught_error.value.named()) is OutcomeUnknown
    assert caught_error.value.error_type == "timeout"


def test_stale_connection_is_dropped_before_the_exchange_drops_it(
    server: ScriptedServer, certificates: CertificatePaths
) -> None:
    for max_idle_s, connections in ((150, 1), (-1, 3)):
        before = server.connections
        with closing(Transport(1, str(certificates.ca), max_idle_s=max_idle_s)) as transport:
            for _ in range(3):
                transport.post(server.url, {}, b"{}")
        assert server.connections - before == connections


def test_a_connection_serves_one_at_a_time_whoever_it_is(server: ScriptedServer, exchange: BetfairExchange) -> None:
    three = threading.Barrier(3)

    def script(request: Request) -> Answer:
        if together.is_set():
            three.wait(10)
        return rpc(request, result={"availableToBetBalance": 1, "exposure": 0})

    together = threading.Event()
    server.script = script
    for _ in range(3):  # each by a thread of its own
        run_together(exchange.funds)
    assert server.connections == 1
    together.set()
    for _ in range(2):
        run_together(*[exchange.funds] * 3)
    assert (server.connections, len(server.requests)) == (3, 9)


def test_what_is_warm_costs_no_call(server: ScriptedServer, exchange: BetfairExchange) -> None:
    server.script = lambda request: rpc(request, result={"availableToBetBalance": 1, "exposure": 0})
    for _ in range(3):
        exchange.prepare()
    assert len(server.requests) == 1
    exchange.close()
    exchange.prepare()
    assert (server.connections, len(server.requests)) == (2, 2)


def test_no_proxy_and_no_netrc_of_the_environment(
    server: ScriptedServer, exchange: BetfairExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://localhost:{free_port()}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    server.script = lambda request: rpc(request, result={"availableToBetBalance": 1.5, "exposure": -2.25})
    assert (exchange.funds().available, exchange.funds().exposure) == (Decimal("1.50"), Decimal("2.25"))


def test_what_a_request_went_over_is_closed_whoever_still_holds_it() -> None:
    ours, theirs = socket.socketpair()
    with theirs, ours.makefile("rb"):
        flight.prepare(None)
        flight.leave(ours)
        flight.abort()
        theirs.settimeout(5)
        assert theirs.recv(1) == b"", "what has not arrived of it never will"
