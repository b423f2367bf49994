"""What `executor check` says of a login that failed: whose fault it was, and what to do."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from executor.errors import ExecutorError, LoginRefused, NotSent, Refused, StoreUnavailable
from executor.operations.check_exchange import Login, examine_exchange
from executor.operations.check_result import Finding

OURS = "live somebody"


def finding(error: ExecutorError) -> Finding:
    def fail(_: int) -> None:
        raise error

    settings = SimpleNamespace(
        asks_exchange=True, identity=OURS, betfair=SimpleNamespace(identity_cert_url="https://cert.example")
    )
    access = SimpleNamespace(settings=settings, engine=SimpleNamespace(exchange=SimpleNamespace(reauthenticate=fail)))
    [found] = examine_exchange(cast("Any", access), cast("Any", SimpleNamespace(identity=OURS)), login=Login.TRY)
    return found


def caused_by_redis() -> NotSent:
    error = NotSent("no session: Redis: OOM command not allowed")
    error.__cause__ = StoreUnavailable("Redis: OOM command not allowed")
    return error


@pytest.mark.parametrize("error", [StoreUnavailable("Redis: READONLY"), caused_by_redis()])
def test_a_redis_that_takes_no_writes_is_no_login_that_failed(error: ExecutorError) -> None:
    found = finding(error)
    assert (found.result, found.advice) == ("skip", "see redis")
    assert found.detail.startswith("not tried: Redis: ")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (Refused("INVALID_APP_KEY"), "correct EXECUTOR_BETFAIR__APP_KEY"),
        (Refused("DSC-0034"), "correct EXECUTOR_BETFAIR__APP_KEY"),
        (LoginRefused("INVALID_USERNAME_OR_PASSWORD", retryable=False), "EXECUTOR_BETFAIR__PASSWORD"),
        (LoginRefused("CERT_AUTH_REQUIRED", retryable=False), "upload the certificate"),
        (LoginRefused("ACCOUNT_NOW_LOCKED", retryable=False), "unlock the account"),
        (LoginRefused("CODE_OF_TOMORROW", retryable=False), "executor check --login"),
        (LoginRefused("INTERNAL_ERROR", retryable=True), "wait: it is tried again by itself"),
        (NotSent("no connection"), "https://cert.example"),
    ],
)
def test_what_a_person_is_told_to_do(error: ExecutorError, advice: str) -> None:
    found = finding(error)
    assert found.result == "FAIL"
    assert advice in found.advice
