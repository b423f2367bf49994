"""The part of `executor check` that concerns the account: certificate, login, money.

Invariant: one real login at most, and none when the db is another account's; the old session stays when it fails.
Amounts in account currency.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from executor.adapters.betfair.certificate import certificate_expiry, certificate_warnings, client_context
from executor.errors import CertificateInvalid, ExecutorError, LoginRefused, Refused, StoreUnavailable
from executor.operations.access import Access, mismatch
from executor.operations.check_result import FAIL, OK, SKIP, WARN, Finding
from executor.operations.wording import money
from executor.ports import Funds
from executor.ports.system_snapshot import SystemSnapshot
from executor.settings.load import Settings

_APP_KEY: Final = "EXECUTOR_BETFAIR__APP_KEY"
_APP_KEY_CODES: Final = frozenset(
    {"INVALID_APP_KEY", "NO_APP_KEY", "ACCESS_DENIED", "DSC-0034", "DSC-0035", "DSC-0036", "DSC-0037", "DSC-0038"}
)
_UNLOCK: Final = "unlock the account on the website"
_ADVICE: Final = {
    "INVALID_USERNAME_OR_PASSWORD": "correct EXECUTOR_BETFAIR__USERNAME or EXECUTOR_BETFAIR__PASSWORD",
    "INPUT_VALIDATION_ERROR": "correct EXECUTOR_BETFAIR__USERNAME or EXECUTOR_BETFAIR__PASSWORD",
    "CERT_AUTH_REQUIRED": "upload the certificate to this account (My Details, Security, Automated Betting)",
    "ACCOUNT_NOW_LOCKED": _UNLOCK,
    "ACCOUNT_ALREADY_LOCKED": _UNLOCK,
    "SECURITY_QUESTION_WRONG_3X": _UNLOCK,
    "ACCOUNT_PENDING_PASSWORD_CHANGE": "change the password on the website, and EXECUTOR_BETFAIR__PASSWORD",
    "CHANGE_PASSWORD_REQUIRED": "change the password on the website, and EXECUTOR_BETFAIR__PASSWORD",
}
_PAPER: Final = "paper trading needs none"


def examine_certificate(settings: Settings) -> Finding:
    """Look at the client certificate: can it be used, by whom, and for how long."""
    path = settings.betfair.certificate_path
    if not settings.asks_exchange or path is None:
        return Finding("certificate", SKIP, _PAPER)
    try:
        client_context(settings.betfair)
        left = certificate_expiry(settings.betfair) - datetime.now(UTC)
        problems = list(certificate_warnings(settings.betfair))
    except (CertificateInvalid, OSError) as error:
        return Finding("certificate", FAIL, str(error))
    if problems:
        return Finding("certificate", WARN, "; ".join(what for what, _ in problems), problems[0][1])
    return Finding("certificate", OK, f"{path}, good for {left.days} days")


def examine_rates(settings: Settings, state: SystemSnapshot) -> Iterator[Finding]:
    """Look whether limits of another currency than the account's can be converted: else nothing is placed."""
    currency = settings.risk.currency
    if not currency or currency == state.currency:
        return
    if problem := state.rates_problem(currency):
        advice = "see login; they are read every minute until there is one, then every hour (refresh_account)"
        if settings.trading.enable_paper_trading:
            advice = "paper trading knows no currency: take EXECUTOR_RISK__CURRENCY away"
        yield Finding("rates", FAIL, problem, advice)
    else:
        yield Finding("rates", OK, f"1 {currency} is {state.account.get('rate')} {state.currency}")


class Login(Enum):
    """What a look at the exchange may do about the session."""

    NO = "no"  # look only
    TRY = "try"  # log in, unless a refusal stands that only a person can mend
    AGAIN = "again"  # and even then: a person says that it is mended


def examine_exchange(access: Access, state: SystemSnapshot, *, login: Login) -> Iterator[Finding]:
    """Log in where that is wanted, read the account's money, compare the bankroll with it."""
    settings = access.settings
    if not settings.asks_exchange:
        yield Finding("login", SKIP, _PAPER)
        return
    if mismatch(settings, state.identity):
        yield Finding("login", SKIP, "not tried with another identity's settings")
        return
    if login is Login.NO:
        yield _session(state)
        return
    exchange = access.engine.exchange
    try:
        if login is Login.AGAIN:
            exchange.allow_login()
        exchange.reauthenticate(0)
        funds = exchange.funds()
    except StoreUnavailable as error:
        yield Finding("login", SKIP, f"not tried: {error}", "see redis")
        return
    except ExecutorError as error:
        if isinstance(error.__cause__, StoreUnavailable):
            yield Finding("login", SKIP, f"not tried: {error.__cause__}", "see redis")
            return
        yield Finding("login", FAIL, str(error), _login_advice(settings, error))
        return
    yield Finding(
        "login", OK, f"{settings.betfair.username} at {settings.betfair.api_url}, {money(funds.available)} available"
    )
    yield _bankroll(state, funds)


def _session(state: SystemSnapshot) -> Finding:
    if state.session:
        return Finding("login", OK, f"a session is there; {state.account.get('available', '?')} available")
    return Finding("login", FAIL, "there is no session", "executor check tries to log in")


def _login_advice(settings: Settings, error: ExecutorError) -> str:
    if isinstance(error, CertificateInvalid):
        return ""
    if isinstance(error, Refused) and error.code in _APP_KEY_CODES:
        return f"correct {_APP_KEY}: a live key of this account, activated (a delayed one places nothing)"
    if isinstance(error, LoginRefused) and error.retryable:
        return "wait: it is tried again by itself"
    if isinstance(error, LoginRefused):
        what = _ADVICE.get(error.code, "log in on the website to see what the account needs")
        return f"{what}, then: executor check --login"
    return f"is {settings.betfair.identity_cert_url} the right address, and can it be reached from here?"


def _bankroll(state: SystemSnapshot, funds: Funds) -> Finding:
    balance = funds.available + funds.exposure
    bankroll = state.limits.get("Bankroll")
    if bankroll is not None and bankroll > balance:
        what = f"Bankroll {money(bankroll)} exceeds the account's balance {money(balance)}"
        return Finding("bankroll", WARN, what, "executor limits set Bankroll=...: risk per trade is a share of it")
    return Finding("bankroll", OK, f"balance {money(balance)}")
