"""Logging in, staying in, and who may do what."""

import time

import pytest
import requests
from betfairlightweight import APIClient as Client
from betfairlightweight.exceptions import LoginError
from cryptography.hazmat.primitives.serialization import pkcs12
from support.sandbox_client import Json, RunningSandbox, limit, wait_for

from betfair_sandbox.certificates import ensure_certificates

pytest_plugins = ["support.sandbox_fixtures"]


def identity(sandbox: RunningSandbox, name: str, form: Json | bytes, headers: dict[str, str] | None = None) -> Json:
    url = f"{sandbox.cert_api if name == 'certlogin' else sandbox.api}/api/{name}"
    cert = str(sandbox.paths.client_pem) if name == "certlogin" else None
    reply = sandbox.session.post(url, data=form, headers=headers or sandbox.headers | {"Content-Type": FORM}, cert=cert)
    assert reply.status_code == 200
    answer: Json = reply.json()
    return answer


FORM = "application/x-www-form-urlencoded"


def credentials(sandbox: RunningSandbox) -> dict[str, str]:
    return {"username": sandbox.options.username, "password": sandbox.options.password}


def test_certlogin_needs_the_right_password(sandbox: RunningSandbox) -> None:
    assert identity(sandbox, "certlogin", credentials(sandbox))["loginStatus"] == "SUCCESS"
    for wrong in ({"password": "no"}, {"username": "nobody"}, {"password": ""}):
        refused = identity(sandbox, "certlogin", credentials(sandbox) | wrong)
        assert refused == {"loginStatus": "INVALID_USERNAME_OR_PASSWORD"}


def test_certlogin_needs_a_certificate_of_the_sandbox(
    sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    url = f"{sandbox.cert_api}/api/certlogin"
    foreign = ensure_certificates(tmp_path_factory.mktemp("foreign"), "x").client_pem
    for certificate in (None, str(foreign)):
        with sandbox.new_session() as session, pytest.raises(requests.ConnectionError):
            session.post(url, data=credentials(sandbox), cert=certificate)
    on_api_port = sandbox.session.post(f"{sandbox.api}/api/certlogin", data=credentials(sandbox))
    assert on_api_port.json() == {"loginStatus": "CERT_AUTH_REQUIRED"}


def test_a_form_that_is_no_text_is_a_wrong_password(sandbox: RunningSandbox) -> None:
    for form in (b"username=%ff%fe&password=%80", b"\xff=\xfe&username", b""):
        answer = identity(sandbox, "certlogin", form)
        assert answer == {"loginStatus": "INVALID_USERNAME_OR_PASSWORD"}


def test_interactive_login_has_another_shape(sandbox: RunningSandbox) -> None:
    answer = identity(sandbox, "login", credentials(sandbox))
    assert (answer["status"], answer["error"], answer["product"]) == ("SUCCESS", "", sandbox.options.app_key)
    refused = identity(sandbox, "login", credentials(sandbox) | {"password": "no"})
    assert (refused["token"], refused["status"], refused["error"]) == ("", "FAIL", "INVALID_USERNAME_OR_PASSWORD")
    html = sandbox.session.post(f"{sandbox.api}/api/login", data=credentials(sandbox))
    assert html.headers["Content-Type"].startswith("text/html")


def test_betfairlightweight_logs_in_keeps_alive_and_out(sandbox: RunningSandbox) -> None:
    client = sandbox.betfair()
    assert client.keep_alive().status == "SUCCESS"
    assert client.account.get_account_funds().available_to_bet_balance == 10_000
    assert client.logout().status == "SUCCESS"
    client.password = "wrong"
    with pytest.raises(LoginError, match="INVALID_USERNAME_OR_PASSWORD"):
        client.login()
    client.session.close()


@pytest.mark.parametrize(
    ("changes", "betting", "account"),
    [
        ({"X-Application": None}, "NO_APP_KEY", "NO_APP_KEY"),
        ({"X-Application": "else's"}, "INVALID_APP_KEY", "INVALID_APP_KEY"),
        ({"X-Authentication": None}, "NO_SESSION", "NO_SESSION"),
        ({"X-Authentication": "gone"}, "INVALID_SESSION_INFORMATION", "INVALID_SESSION_INFORMATION"),
    ],
)
def test_headers_are_checked(
    sandbox: RunningSandbox, changes: dict[str, str | None], betting: str, account: str
) -> None:
    headers = {name: value for name, value in {**sandbox.headers, **changes}.items() if value is not None}
    assert sandbox.error_code("listCurrentOrders", {}, headers) == betting
    assert sandbox.error_code("getAccountFunds", {}, headers) == account


def test_a_logged_out_token_is_worth_nothing(sandbox: RunningSandbox) -> None:
    assert identity(sandbox, "logout", {})["status"] == "SUCCESS"
    assert sandbox.error_code("getAccountFunds", {}) == "INVALID_SESSION_INFORMATION"
    for name in ("keepAlive", "logout"):
        answer = identity(sandbox, name, {})
        assert (answer["status"], answer["error"]) == ("FAIL", "NO_SESSION")
    bare = identity(sandbox, "keepAlive", {}, {"X-Application": "key"})
    assert bare == {"token": "", "product": "key", "status": "FAIL", "error": "INPUT_VALIDATION_ERROR"}


def test_keep_alive_and_logout_may_be_read(sandbox: RunningSandbox) -> None:
    for name, status in (("keepAlive", "SUCCESS"), ("logout", "SUCCESS"), ("keepAlive", "FAIL")):
        answer = sandbox.session.get(f"{sandbox.api}/api/{name}", headers=sandbox.headers)
        assert (answer.status_code, answer.json()["status"]) == (200, status)
    assert sandbox.session.get(f"{sandbox.api}/api/login", headers=sandbox.headers).status_code == 405


def test_a_session_ends_whatever_its_use_unless_kept_alive(sandbox: RunningSandbox) -> None:
    sandbox.control("reset", sessionLifetime=1)
    kept, used = sandbox.log_in(), sandbox.log_in()

    def used_ended() -> bool:
        sandbox.token = kept
        assert identity(sandbox, "keepAlive", {})["status"] == "SUCCESS"
        sandbox.token = used
        return "error" in sandbox.envelope("getAccountFunds", {})

    started = time.monotonic()
    wait_for(used_ended, deadline_s=5)
    assert time.monotonic() - started > 0.9
    sandbox.token = kept
    assert "result" in sandbox.envelope("getAccountFunds", {})


def test_too_many_logins_are_banned(sandbox: RunningSandbox) -> None:
    sandbox.control("reset")
    form = credentials(sandbox)
    answers = [identity(sandbox, "login", form)["error"] for _ in range(101)]
    assert answers[-1] == "TEMPORARY_BAN_TOO_MANY_REQUESTS"
    assert "result" in sandbox.envelope("getAccountFunds", {})
    sandbox.control("reset")
    assert identity(sandbox, "login", form)["status"] == "SUCCESS"


def test_the_delayed_key_reads_and_does_not_bet(sandbox: RunningSandbox) -> None:
    headers = sandbox.headers | {"X-Application": sandbox.options.delayed_app_key}
    assert "result" in sandbox.envelope("listCurrentOrders", {}, headers)
    place = {"marketId": "1.1", "instructions": [limit(1, "BACK", 3, 2)]}
    for method, params in (("placeOrders", place), ("cancelOrders", {})):
        report = sandbox.envelope(method, params, headers)["result"]
        assert (report["status"], report["errorCode"]) == ("FAILURE", "PERMISSION_DENIED")
    assert sandbox.get("orders") == []


def test_the_delayed_key_says_that_its_data_are_delayed(sandbox: RunningSandbox) -> None:
    sandbox.market("1.5")
    for key, delayed in ((sandbox.options.app_key, False), (sandbox.options.delayed_app_key, True)):
        headers = sandbox.headers | {"X-Application": key}
        (book,) = sandbox.envelope("listMarketBook", {"marketIds": ["1.5"]}, headers)["result"]
        assert book["isMarketDataDelayed"] is delayed


def test_certificates_are_made_once_and_private(sandbox: RunningSandbox) -> None:
    paths = sandbox.paths
    before = paths.client_pfx.read_bytes()
    ensure_certificates(sandbox.directory, sandbox.options.certificate_password)
    assert paths.client_pfx.read_bytes() == before
    for secret in (paths.server, paths.client_pem, paths.client_pfx):
        assert secret.stat().st_mode & 0o077 == 0
    _, certificate, _ = pkcs12.load_key_and_certificates(before, sandbox.options.certificate_password.encode())
    assert certificate is not None


def test_certificates_are_made_again_for_another_name_or_password(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("again")
    first = ensure_certificates(directory, "one").ca.read_bytes()
    second = ensure_certificates(directory, "one", ("exchange.test",)).ca.read_bytes()
    third = ensure_certificates(directory, "two", ("exchange.test",)).ca.read_bytes()
    assert len({first, second, third}) == 3


def test_the_journal_tells_of_logins_and_keeps_their_secrets(sandbox: RunningSandbox, betfair: Client) -> None:
    betfair.keep_alive()
    (line,) = [entry for entry in sandbox.journal("certlogin") if entry["params"]][-1:]
    assert (line["params"], line["status"]) == ({"username": sandbox.options.username}, "SUCCESS")
    text = sandbox.session.get(f"{sandbox.api}/sandbox/journal").text
    assert sandbox.options.password not in text
    assert betfair.session_token not in text
    assert sandbox.token not in text
