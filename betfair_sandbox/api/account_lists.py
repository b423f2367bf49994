"""What customers read about their account: the statement, exchange rates, their app keys.

Owns: these answers. Invariant: the statement's last balance is the account's. Units: account currency; rates are units
of a currency for one pound.
"""

import json
from decimal import Decimal
from typing import Final

from betfair_sandbox.api.wire import BadValue, Json, Params, format_date
from betfair_sandbox.market.accounts import Account
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Bet, Result
from betfair_sandbox.market.money import ZERO
from betfair_sandbox.market.rules import to_whole

_PAGE: Final = 100  # Betfair: getAccountStatement
WALLETS: Final = ("UK",)  # Betfair: the Australian one is closed
_BETS: Final = ("ALL", "EXCHANGE")
_ITEMS: Final = (*_BETS, "DEPOSITS_WITHDRAWALS", "POKER_ROOM")  # of the latter a sandbox has none
# Made up, near what they were in 2026, and always the same: a sandbox converts nothing.
_RATES: Final = {
    "ARS": "1800", "AUD": "2.05", "BRL": "7.2", "CAD": "1.85", "DKK": "8.6", "EUR": "1.15", "GEL": "3.6",
    "HKD": "10.4", "HUF": "455", "ISK": "165", "MXN": "24.5", "NOK": "13.5", "NZD": "2.3", "PEN": "4.7",
    "RON": "5.85", "SEK": "12.8", "SGD": "1.73", "USD": "1.33",
}  # fmt: skip


def currency_rates(params: Params) -> list[Json]:
    """Answer listCurrencyRates; Betfair: from pounds only."""
    if params.text("fromCurrency", "GBP") != "GBP":
        raise BadValue("fromCurrency is not GBP")
    return [{"currencyCode": code, "rate": Decimal(rate)} for code, rate in _RATES.items()]


def developer_app_keys(account: Account) -> list[Json]:
    """Answer getDeveloperAppKeys."""
    versions = [
        {
            "owner": account.name,
            "versionId": number,
            "version": version,
            "applicationKey": key,
            "delayData": delayed,
            "subscriptionRequired": False,
            "ownerManaged": False,
            "active": True,
        }
        for number, version, key, delayed in (
            (1, "1.0-DELAY", account.delayed_app_key, True),
            (2, "1.0", account.app_key, False),
        )
    ]
    return [{"appName": account.name, "appId": 1, "appVersions": versions}]


def account_statement(exchange: Exchange, account: Account, params: Params) -> Json:
    """Answer getAccountStatement: each settled bet's result, each market's commission, newest first."""
    start, length = params.integer("fromRecord"), params.integer("recordCount")
    if start < 0 or length < 0:
        raise BadValue("fromRecord and recordCount are not negative")
    earliest, latest = params.instants("itemDateRange")
    params.choice("wallet", WALLETS, "UK")
    wanted = params.choice("includeItem", _ITEMS, "ALL")
    if wanted == "EXCHANGE":  # Betfair: AccountAPING.xml: itemDateRange binds only where everything is asked for
        earliest = latest = None
    items = _items(exchange, account)
    balance = account.balance - sum((amount for _, _, amount, _ in items), ZERO)
    rows: list[Json] = []
    for at_ms, ref, amount, detail in items:
        balance += amount
        if wanted in _BETS and (earliest is None or at_ms >= earliest) and (latest is None or at_ms <= latest):
            rows.append(_row(at_ms, ref, amount, balance, detail))
    rows.reverse()
    end = start + (min(length, _PAGE) or _PAGE)
    return {"accountStatement": rows[start:end], "moreAvailable": len(rows) > end}


def _items(exchange: Exchange, account: Account) -> list[tuple[int, str, Decimal, Json]]:
    found: list[tuple[int, str, Decimal, Json]] = []
    markets: dict[str, Bet] = {}
    for bet in exchange.registers[account.name].cleared["SETTLED"].values():
        detail = _bet_detail(exchange, bet)
        found.append((bet.settled_ms, str(bet.bet_id), bet.profit, detail))
        markets[bet.market_id] = bet
    for market_id, bet in markets.items():
        result = exchange.markets[market_id].results.get(account.name)
        if result is not None and result.commission:
            found.append((bet.settled_ms, market_id, -result.commission, _commission_detail(exchange, bet, result)))
    return sorted(found, key=lambda item: item[0])


def _bet_detail(exchange: Exchange, bet: Bet) -> Json:
    market = exchange.markets[bet.market_id]
    return {
        "avgPrice": bet.average_price_matched,
        "betSize": bet.size_matched,
        "betType": "B" if bet.side == "BACK" else "L",
        "betCategoryType": "E",
        "commissionRate": f"{market.base_rate}%",
        "eventId": to_whole(market.event_id) or 0,
        "eventTypeId": to_whole(market.event_type_id) or 0,
        "fullMarketName": f"{market.event_name} / {market.name}",
        "grossBetAmount": ZERO,
        "marketName": market.name,
        "marketType": "O",
        "placedDate": format_date(bet.placed_ms),
        "selectionId": bet.selection_id,
        "selectionName": market.runner_of(bet).name,
        "startDate": format_date(market.start_ms),
        "transactionType": "ACCOUNT_CREDIT" if bet.profit >= 0 else "ACCOUNT_DEBIT",
        "transactionId": 0,
        "winLose": "RESULT_WON" if bet.profit >= 0 else "RESULT_LOST",
    }


def _commission_detail(exchange: Exchange, bet: Bet, result: Result) -> Json:
    # Betfair: AccountAPING.xml, WinLose, and betSize "0 for commission payments".
    return {
        **_bet_detail(exchange, bet),
        "betSize": ZERO,
        "grossBetAmount": result.profit,
        "transactionType": "ACCOUNT_DEBIT",
        "winLose": "RESULT_NOT_APPLICABLE",
    }


def _row(at_ms: int, ref: str, amount: Decimal, balance: Decimal, detail: Json) -> Json:
    return {
        "refId": ref,
        "itemDate": format_date(at_ms),
        "amount": amount,
        "balance": balance,
        "itemClass": "UNKNOWN",
        "itemClassData": {"unknownStatementItem": json.dumps(detail, default=str)},
        "legacyData": detail,
    }
