"""The part of `executor check` that concerns the account: certificate, login, money.

Invariant: one real login at most, and none when the db is another account's; the old session stays when it fails.
Amounts in account currency.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from executor.adapters.betfair.certificate import certificate_expiry, certificate_warnings, client_context
from executor.adapters.redis.snapshot import State
from executor.errors import CertificateInvalid, ExecutorError, LoginRefused
from executor.operations.access import Access, mismatch
from executor.operations.check_result import FAIL, OK, SKIP, WARN, Finding
from executor.operations.wording import money
from executor.ports import Funds
from executor.settings.load import Settings

_PAPER: Final = "paper trading needs none"


def examine_certificate(given: Settings) -> Finding:
    """Look at the client certificate: can it be used, by whom, and for how long."""
    path = given.betfair.certificate_path
    if given.trading.enable_paper_trading or path is None:
        return Finding("certificate", SKIP, _PAPER)
    try:
        client_context(given.betfair)
        left = certificate_expiry(given.betfair) - datetime.now(UTC)
        problems = list(certificate_warnings(given.betfair))
    except (CertificateInvalid, OSError) as error:
        return Finding("certificate", FAIL, str(error))
    if problems:
        return Finding("certificate", WARN, "; ".join(what for what, _ in problems), problems[0][1])
    return Finding("certificate", OK, f"{path}, good for {left.days} days")


def examine_exchange(access: Access, state: State, *, login: bool) -> Iterator[Finding]:
    """Log in where that is wanted, read the account's money, compare the bankroll with it."""
    given = access.settings
    if given.trading.enable_paper_trading:
        yield Finding("login", SKIP, _PAPER)
        return
    if mismatch(given, state.identity):
        yield Finding("login", SKIP, "not tried with another identity's settings")
        return
    if not login:
        yield _session(state)
        return
    exchange = access.engine.exchange
    try:
        exchange.reauthenticate(0)
        funds = exchange.funds()
    except ExecutorError as error:
        yield Finding("login", FAIL, str(error), _login_advice(given, error))
        return
    yield Finding(
        "login", OK, f"{given.betfair.username} at {given.betfair.api_url}, {money(funds.available)} available"
    )
    yield _bankroll(state, funds)


def _session(state: State) -> Finding:
    if state.session:
        return Finding("login", OK, f"a session is there; {state.account.get('available', '?')} available")
    return Finding("login", FAIL, "there is no session", "executor check tries to log in")


def _login_advice(given: Settings, error: ExecutorError) -> str:
    if isinstance(error, CertificateInvalid):
        return ""
    if isinstance(error, LoginRefused):
        return "check user name, password and app key, and that the certificate is uploaded to this account"
    return f"is {given.betfair.identity_cert_url} the right address, and can it be reached from here?"


def _bankroll(state: State, funds: Funds) -> Finding:
    balance = funds.available + funds.exposure
    bankroll = state.limits.get("Bankroll")
    if bankroll is not None and bankroll > balance:
        what = f"Bankroll {money(bankroll)} exceeds the account's balance {money(balance)}"
        return Finding("bankroll", WARN, what, "executor limits set Bankroll=...: risk per trade is a share of it")
    return Finding("bankroll", OK, f"balance {money(balance)}")
