"""What the control API does to accounts: listing them, opening one, its discount on commission.

Owns: reading and checking these requests. Units: account currency, a discount rate is per cent of the commission.
"""

from decimal import Decimal
from typing import Final

from betfair_sandbox.api.wire import BadValue, Json, Params
from betfair_sandbox.control.markets import need
from betfair_sandbox.market.accounts import Account
from betfair_sandbox.market.charges import transaction_charge, transactions_in_hour
from betfair_sandbox.market.money import to_size
from betfair_sandbox.options import valid_account_name
from betfair_sandbox.world import World, clock_ms

_MAX_BALANCE: Final = 10**9
_MAX_ACCOUNTS: Final = 1_000  # each has its indexes; a script that opens them in a loop gets told
_WHOLE_PERCENT: Final = 100


def list_accounts(world: World, _params: Params) -> Json:
    """Return every account's money, the house's and what rounding left."""
    exchange = world.exchange
    accounts = [account_row(account) for account in exchange.accounts.values()]
    return {"accounts": accounts, "house": exchange.house.balance, "rounding": exchange.rounding}


def account_action(world: World, params: Params) -> Json:
    """Open an account; with a `discountRate` and the name of one that exists, give it that discount."""
    name = need(params, "name").text("name")
    rate = params.amount("discountRate")
    if rate is not None and not 0 <= rate <= _WHOLE_PERCENT:
        raise BadValue("discountRate is not in 0..100")
    known = world.exchange.accounts.get(name)
    if known is not None and rate is not None and not params.has("balance"):
        known.discount_rate = rate
        return account_row(known)
    if not valid_account_name(name) or known is not None:
        raise BadValue("name is taken, or not 1 to 32 letters, digits, - and _")
    if len(world.exchange.accounts) >= _MAX_ACCOUNTS:
        raise BadValue("name: there are too many accounts")
    account = world.open_account(name, read_balance(params))
    account.discount_rate = rate or account.discount_rate
    return {
        "name": account.name,
        "password": account.password,
        "appKey": account.app_key,
        "delayedAppKey": account.delayed_app_key,
        "balance": account.balance,
    }


def read_balance(params: Params) -> Decimal | None:
    """Return a balance that an account may have, None when absent."""
    balance = params.amount("balance")
    if balance is not None and not (0 <= balance <= _MAX_BALANCE and balance == to_size(balance)):
        raise BadValue("balance is negative, too large or not in pennies")
    return balance


def account_row(account: Account) -> Json:
    """Return an account's money and what it was charged for."""
    return {
        "name": account.name,
        "balance": account.balance,
        "exposure": account.exposure,
        "available": account.available,
        "commission": account.commission_paid,
        "discountRate": account.discount_rate,
        "transactions": transactions_in_hour(account, clock_ms()),
        "transactionCharge": transaction_charge(account),
    }
