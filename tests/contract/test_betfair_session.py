"""The session: logged in for when needed, renewed, and never hammered; against a server of our own."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support.exchange_rig import (
    ANY_TIME,
    TOKEN,
    Answer,
    MemoryTelemetry,
    MemoryTokenStore,
    Request,
    ScriptedServer,
    aping,
    caught,
    http,
    make_instruction,
    rpc,
    sandbox_settings,
)
from support.sandbox_client import RunningSandbox

from betfair_sandbox.certificates import CertificatePaths
from executor.adapters.betfair.exchange import BetfairExchange
from executor.errors import (
    CertificateInvalid,
    LoginRefused,
    NotSent,
    OutcomeUnknown,
    SessionExpired,
    Throttled,
)
from executor.ports.token_store import LoginBan
from executor.settings.sections import BetfairSettings

pytest_plugins = ["support.exchange_fixtures", "support.sandbox_fixtures"]
MARKET = "1.200000001"
ROOT = Path(__file__).parents[2]


def place(exchange: BetfairExchange) -> Any:
    return exchange.place(MARKET, [make_instruction()], "ref-1", ANY_TIME)


# --- sessions --------------------------------------------------------------------------------------------------------


def logins(server: ScriptedServer) -> int:
    return sum(request.path == "/api/certlogin" for request in server.requests)


def session_server(server: ScriptedServer, token: str = "fresh") -> None:
    """Accept logins, and calls with this token only."""

    def script(request: Request) -> Answer:
        if request.path == "/api/certlogin":
            return http(json.dumps({"sessionToken": token, "loginStatus": "SUCCESS"}).encode())
        if request.headers["x-authentication"] != token:
            return aping(request, "INVALID_SESSION_INFORMATION")
        if request.call["method"].endswith("placeOrders"):
            return rpc(request, result={"status": "FAILURE", "errorCode": "INSUFFICIENT_FUNDS"})
        return rpc(request, result={"availableToBetBalance": 1, "exposure": 0})

    server.script = script


def test_read_logs_in_once_and_repeats_itself(server: ScriptedServer, exchange: BetfairExchange) -> None:
    session_server(server)
    assert exchange.funds().available == 1
    assert exchange.funds().available == 1
    assert logins(server) == 1
    assert len(server.requests) == 4
    assert exchange.session_age_s() == 0


def test_placing_renews_the_session_but_does_not_repeat_itself(
    server: ScriptedServer, exchange: BetfairExchange
) -> None:
    session_server(server)
    assert type(caught(lambda: place(exchange))) is SessionExpired
    assert [request.path.split("/")[-1] for request in server.requests] == ["v1", "certlogin"]
    assert place(exchange)[0].code == "INSUFFICIENT_FUNDS"


def test_placing_without_a_session_sends_nothing_but_the_login(server: ScriptedServer) -> None:
    session_server(server)
    with closing(BetfairExchange(server.settings(), MemoryTokenStore(), MemoryTelemetry())) as exchange:
        assert type(caught(lambda: place(exchange))) is SessionExpired
        assert len(server.requests) == logins(server) == 1
        exchange.prepare()
        exchange.prepare()
        assert [request.path.split("/")[-3] for request in server.requests[1:]] == ["account"]


def test_token_that_another_process_renewed_is_taken_up(server: ScriptedServer) -> None:
    session_server(server)
    tokens = MemoryTokenStore("stale")
    with closing(BetfairExchange(server.settings(), tokens, MemoryTelemetry())) as exchange:
        accepts = server.script

        def script(request: Request) -> Answer:
            tokens.put("fresh", tokens.now())
            return accepts(request)

        server.script = script
        assert exchange.funds().available == 1
    assert logins(server) == 0


@pytest.mark.parametrize(
    ("code", "error", "tries"),
    [
        ("INVALID_USERNAME_OR_PASSWORD", LoginRefused, 1),
        ("A_CODE_OF_TOMORROW", LoginRefused, 1),
        ("TEMPORARY_BAN_TOO_MANY_REQUESTS", Throttled, 1),
        ("INTERNAL_ERROR", Throttled, 2),
    ],
)
def test_refused_login_is_not_hammered(
    code: str, error: type[Exception], tries: int, server: ScriptedServer, telemetry: MemoryTelemetry
) -> None:
    server.script = lambda _request: http(json.dumps({"loginStatus": code}).encode())
    tokens = MemoryTokenStore()
    with closing(BetfairExchange(server.settings(), tokens, telemetry)) as exchange:
        first = caught(exchange.prepare)
        assert isinstance(first, LoginRefused)
        assert first.retryable == (error is Throttled)
        assert code in str(first)
        assert isinstance(caught(lambda: place(exchange)), error)
        assert logins(server) == tries
    # Corrected credentials are tried at once, a ban holds for them too.
    with closing(BetfairExchange(server.settings(password="corrected"), tokens, telemetry)) as exchange:
        caught(exchange.prepare)
    assert logins(server) == tries + (code != "TEMPORARY_BAN_TOO_MANY_REQUESTS")


def test_a_login_that_only_a_person_can_mend_is_tried_once_until_something_changes(
    server: ScriptedServer, tmp_path: Path
) -> None:
    """Neither time, other processes nor a restart try it again; a changed setting or file does, or a person."""
    server.script = lambda _request: http(json.dumps({"loginStatus": "ACCOUNT_NOW_LOCKED"}).encode())
    tokens = MemoryTokenStore()
    betfair = server.settings()
    assert betfair.certificate_path is not None
    copy = tmp_path / "client.pem"
    copy.write_bytes(betfair.certificate_path.read_bytes())
    betfair = betfair.model_copy(update={"certificate_path": copy})

    def tries(settings: BetfairSettings, times: int = 1) -> int:
        before = logins(server)
        for _ in range(times):
            with closing(BetfairExchange(settings, tokens, MemoryTelemetry())) as exchange:
                error = caught(exchange.prepare)
                assert isinstance(error, LoginRefused)
                assert (error.code, error.retryable) == ("ACCOUNT_NOW_LOCKED", False)
                assert isinstance(caught(lambda: place(exchange)), LoginRefused)
                assert isinstance(caught(lambda: exchange.reauthenticate(0)), LoginRefused)
        return logins(server) - before

    assert tries(betfair, 5) == 1
    assert "executor check --login" in str(caught(BetfairExchange(betfair, tokens, MemoryTelemetry()).prepare))
    for change in ({"password": SecretStr("other")}, {"username": "other"}, {"app_key": SecretStr("other")}):
        assert tries(betfair.model_copy(update=change), 2) == 1
    copy.write_bytes(copy.read_bytes() + b"\n# renewed\n")
    assert tries(betfair, 2) == 1
    with closing(BetfairExchange(betfair, tokens, MemoryTelemetry())) as exchange:
        exchange.allow_login()
    assert tries(betfair, 2) == 1
    session_server(server)
    with closing(BetfairExchange(betfair, tokens, MemoryTelemetry())) as exchange:
        exchange.allow_login()
        exchange.prepare()
    assert tokens.refusal("anything") is None


def test_ban_says_how_long(server: ScriptedServer) -> None:
    tokens = MemoryTokenStore()
    tokens.put_ban(LoginBan("TEMPORARY_BAN_TOO_MANY_REQUESTS", tokens.now() + 600_500))
    with closing(BetfairExchange(server.settings(), tokens, MemoryTelemetry())) as exchange:
        error = caught(exchange.prepare)
        assert "another 600 s" in str(error)
        assert isinstance(error, LoginRefused)
        assert 590 < error.after_s < 610
        assert type(caught(lambda: place(exchange))) is Throttled
    assert server.requests == []


def test_lost_login_says_nothing_of_a_bet(server: ScriptedServer) -> None:
    server.script = lambda _request: Answer(then="reset")
    with closing(BetfairExchange(server.settings(), MemoryTokenStore(), MemoryTelemetry())) as exchange:
        assert type(caught(exchange.prepare)) is OutcomeUnknown
        assert type(caught(lambda: place(exchange))) is NotSent


@pytest.mark.parametrize("token", ['""', "7", '"two\\nlines"', '"' + "x" * 600 + '"'])
def test_login_without_a_usable_token_is_none(token: str, server: ScriptedServer) -> None:
    server.script = lambda _request: http(f'{{"loginStatus":"SUCCESS","sessionToken":{token}}}'.encode())
    with closing(BetfairExchange(server.settings(), MemoryTokenStore(), MemoryTelemetry())) as exchange:
        assert type(caught(exchange.prepare)) is OutcomeUnknown
        assert exchange.session_age_s() is None


class BusyTokenStore(MemoryTokenStore):
    """Somebody else holds the login lock, and does not come to an end."""

    @contextmanager
    def login_lock(self, timeout_s: float) -> Iterator[bool]:
        assert timeout_s > 1
        yield False


def test_login_of_somebody_else_is_waited_for_but_not_for_ever(server: ScriptedServer) -> None:
    with closing(BetfairExchange(server.settings(), BusyTokenStore(), MemoryTelemetry())) as exchange:
        assert type(caught(exchange.prepare)) is NotSent
        assert exchange.reauthenticate(0) is False
    assert server.requests == []


def test_certificate_that_the_server_does_not_know(sandbox: RunningSandbox, certificates: CertificatePaths) -> None:
    theirs = sandbox_settings(sandbox).betfair
    stranger = theirs.model_copy(update={"certificate_path": certificates.client_pem})
    with closing(BetfairExchange(stranger, MemoryTokenStore(), MemoryTelemetry())) as exchange:
        error = caught(exchange.prepare)
        # TLS 1.3: which of the two depends on whether the server's alert is overtaken by its reset.
        assert isinstance(error, CertificateInvalid | OutcomeUnknown)
        assert "is it uploaded to the account?" in str(error)
        assert isinstance(caught(lambda: place(exchange)), LoginRefused | NotSent)  # held back, once it was named


KEEP_ALIVE: list[tuple[Answer, type[Exception] | bool, bool]] = [
    (http(b'{"token":"t","product":"p","status":"SUCCESS","error":""}'), True, True),
    (http(b'{"token":"","product":"p","status":"FAIL","error":"NO_SESSION"}'), False, False),
    (http(b'{"token":"","product":"p","status":"FAIL","error":"INPUT_VALIDATION_ERROR"}'), False, False),
    (http(b'{"token":"","product":"p","status":"FAIL","error":"INTERNAL_ERROR"}'), OutcomeUnknown, True),
    (http(b"<html>", 503), OutcomeUnknown, True),
    (Answer(then="reset"), OutcomeUnknown, True),
]


@pytest.mark.parametrize(("answer", "expected", "kept"), KEEP_ALIVE)
def test_keep_alive_gives_the_token_up_only_when_told_to(
    answer: Answer, expected: type[Exception] | bool, kept: bool, server: ScriptedServer
) -> None:
    server.script = lambda _request: answer
    tokens = MemoryTokenStore(TOKEN)
    with closing(BetfairExchange(server.settings(), tokens, MemoryTelemetry())) as exchange:
        if isinstance(expected, bool):
            assert exchange.keep_alive() is expected
        else:
            assert type(caught(exchange.keep_alive)) is expected
        assert (exchange.session_age_s() is not None) == kept


def test_failed_login_keeps_the_old_token(server: ScriptedServer) -> None:
    server.script = lambda _request: http(b'{"loginStatus":"INTERNAL_ERROR"}')
    tokens = MemoryTokenStore(TOKEN)
    tokens.put(TOKEN, tokens.now() - 7 * 3_600_000)
    with closing(BetfairExchange(server.settings(), tokens, MemoryTelemetry())) as exchange:
        assert exchange.reauthenticate(8 * 3_600) is False
        assert type(caught(lambda: exchange.reauthenticate(6 * 3_600))) is LoginRefused
        assert exchange.session_age_s() == 7 * 3_600
        session_server(server)
        assert exchange.reauthenticate(6 * 3_600) is True
    assert tokens.get() is not None
    assert tokens.get() != (TOKEN, 0)


def test_tokens_are_announced_to_who_masks_them(server: ScriptedServer) -> None:
    session_server(server)
    seen: list[str] = []
    tokens = MemoryTokenStore("stale")
    with closing(BetfairExchange(server.settings(), tokens, MemoryTelemetry(), seen.append)) as exchange:
        exchange.funds()
    assert set(seen) == {"stale", "fresh"}
