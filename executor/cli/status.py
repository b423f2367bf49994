"""`executor status`: the whole system at one glance, and in words why it does not trade.

Reads only, and shows what it can when something is wrong. Amounts in account currency.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from urllib.parse import urlsplit

import typer
from rich.text import Text

from executor.cli.output import AsJson, Column, say, show_facts, show_json, show_table
from executor.cli.session import look
from executor.cli.watching import Watch, show
from executor.domain.limits import shown_limits
from executor.domain.order import OrderStatus
from executor.operations.access import mismatch
from executor.operations.notifications import failing
from executor.operations.risk_rules import rules_lines
from executor.operations.status import KINDS, beat_lives, exposure_by_market, mode_of, poll_age, processes, status_json
from executor.operations.trading import why_not_trading
from executor.operations.wording import counted, duration, money, when
from executor.ports.system_snapshot import SystemSnapshot
from executor.settings.load import Settings

_MARKETS: Final = 20  # lines of exposure; a glance is one screen
_LISTED: Final = 5  # of what is wrong with many things at once


def status(*, as_json: AsJson = False, watch: Watch = False) -> None:
    """Show at one glance whether and what the system trades."""
    show(lambda: _show(as_json=as_json), watch=watch, as_json=as_json)


def _show(*, as_json: bool) -> None:
    settings, state = look()
    if as_json:
        show_json(status_json(settings, state))
        return
    show_facts(_facts(settings, state))
    if state.exposure:
        limit = state.account_limits.get("MaxExposurePerMarket")
        say("")
        markets = exposure_by_market(state)
        shown = list(markets.items())[:_MARKETS]
        show_table(
            "Exposure by market",
            [Column("market"), Column("exposure", "right"), Column("limit", "right"), Column("used", "right")],
            ([market, money(held), money(limit), _share(held, limit)] for market, held in shown),
        )
        if len(markets) > len(shown):
            say(f"and {counted(len(markets) - len(shown), 'market')} with less: executor status --json")


def _alerts(state: SystemSnapshot) -> Iterator[tuple[str, Text]]:
    if state.alerts:
        yield "alerts", Text(", ".join(state.alerts), "red")
    if problems := failing(state):
        yield "notifications", Text("; ".join(problems), "red")


def _share(held: Decimal, limit: Decimal | None) -> str:
    return f"{held / limit:.0%}" if limit else ""


def _facts(settings: Settings, state: SystemSnapshot) -> Iterator[tuple[str, str | Text]]:
    why = why_not_trading(state)
    yield "trading", Text(f"OFF: {why}", "bold red") if why else Text("on", "bold green")
    yield "breaker", _breaker(settings, state)
    yield from _alerts(state)
    yield "mode", _mode(settings, state)
    yield "identity", _identity(settings, state)
    yield "reconciled", _reconciled(settings, state)
    if settings.asks_exchange:
        none = "none" if not settings.trading.enable_paper_trading else "none: paper orders get no prices"
        yield "session", "yes" if state.session else Text(f"{none}; executor check tries to log in", "yellow")
    if not settings.trading.enable_paper_trading:
        yield "order stream", _stream(settings, state)
        yield "balance", _balance(state.account)
    yield "orders", _orders(state)
    if state.unreadable:
        named = [name for name, _ in _bounded(dict.fromkeys(state.unreadable, ""))]
        yield "unreadable", Text(f"records of {', '.join(named)}", "red")
    if state.foreign:
        yield "foreign bets", Text(f"{len(state.foreign)}, not ours to cancel or settle: executor orders", "red")
    for market, reason in _bounded(state.stopped_markets):
        yield "market held", Text(f"{market}: {reason}{'; nothing is placed there' if reason else ''}", "red")
    for name, problem in _bounded(state.set_aside):
        yield "set aside", Text(f"{name}: {problem}", "yellow")
    yield "signals open", str(state.open_signals)
    yield "exposure", f"{money(state.total_exposure)} in {counted(len(state.exposure), 'market')}"
    yield "P&L", f"{money(state.daily_pnl)} today, {money(state.total_pnl)} in all"
    yield (
        "limits",
        shown_limits(state.limits) or "none yet",
    )
    yield from rules_lines(settings, state)
    for problem in state.limit_problems.values() if state.started or state.limits else ():
        yield "limit wrong", Text(f"{problem}: every signal is rejected", "red")
    yield "queues", ", ".join(f"{name} {length}" for name, length in state.queues.items())
    yield from _processes(state)
    yield "ledger", "up to date" if not state.ledger_lag else f"entries behind: {state.ledger_lag}"
    if state.failed_tasks:
        yield "failed tasks", Text(str(state.failed_tasks), "yellow")
    yield "as of", datetime.fromtimestamp(state.now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _processes(state: SystemSnapshot) -> Iterator[tuple[str, str | Text]]:
    for kind, where in processes(state).items():
        if where or kind != "stream":  # whether one is missed is said with the order stream
            yield f"{kind}s" if kind in KINDS else kind, ", ".join(where) or Text("none", "red")


def _mode(settings: Settings, state: SystemSnapshot) -> str | Text:
    if mismatch(settings, state.identity):  # what these settings would do is not what happens
        kind, _, where = (state.identity or "").partition(" ")
        host = where.partition(" ")[0]
        return Text(f"{kind}: orders go to {host}" if host else f"{kind}: nothing is sent", "red")
    mode, host = mode_of(settings), urlsplit(settings.betfair.api_url).netloc
    if mode == "paper":
        fills = f"get what the real book at {host} offers" if settings.asks_exchange else "fill at once"
        return f"paper: nothing is sent; orders {fills}"
    return f"sandbox: orders go to {host}, no real money" if mode == "sandbox" else f"live: orders go to {host}"


def _bounded(found: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the first of many, and how many more there are."""
    yield from list(found.items())[:_LISTED]
    if len(found) > _LISTED:
        yield f"and {len(found) - _LISTED} more", ""


def _stream(settings: Settings, state: SystemSnapshot) -> str | Text:
    if settings.betfair.stream_address is None:
        return "off: fills are learned of by the poll"
    if state.stream_age_s is None:
        return Text("not connected: fills are learned of by the poll", "yellow")
    if state.stream.get("behind") == "1":
        return Text("connected, and late, says the exchange", "yellow")
    return f"connected, last heard {duration(state.stream_age_s)} ago"


def _reconciled(settings: Settings, state: SystemSnapshot) -> str | Text:
    age = poll_age(state)
    alive = beat_lives(settings, state)
    seen = "no poll yet" if age is None else f"last poll {duration(age)} ago"
    if not alive:
        seen += ": are beat and a worker running?"
    if not state.reconciled:
        return Text(f"NO, {seen}; nothing is placed until a poll completes", "red")
    return f"yes, {seen}" if alive else Text(f"yes, {seen}", "red")


def _breaker(settings: Settings, state: SystemSnapshot) -> str | Text:
    if not settings.risk.circuit_breaker_enabled:
        return "disabled by the settings"
    count = f"{state.recent_failures} of {settings.risk.circuit_breaker_failures} failures"
    if not state.breaker:
        return f"closed, {count}"
    if state.trading_enabled:  # the next signal's step removes the trip
        return f"closed again, {count}"
    return Text(f"OPEN since {state.breaker.get('time', '?')}", "bold red")


def _identity(settings: Settings, state: SystemSnapshot) -> str | Text:
    if mismatch(settings, state.identity):
        return Text(f"{state.identity} (the settings say {settings.identity})", "red")
    return state.identity or f"nobody's yet (the settings say {settings.identity})"


def _balance(account: Mapping[str, str]) -> str:
    if not account:
        return "not read yet"
    at = when(account.get("at", "?"))
    unit = f" {account['currency']}" if account.get("currency") else ""
    return f"{account.get('balance', '?')}{unit} ({account.get('available', '?')} available) at {at} UTC"


def _orders(state: SystemSnapshot) -> str:
    pending, submitted = state.count(OrderStatus.PENDING), state.count(OrderStatus.SUBMITTED)
    text = f"{pending + submitted} active: {pending} live, {submitted} submitted"
    reserved = state.count(OrderStatus.RESERVED)
    return f"{text}; {reserved} reserved, {len(state.orders)} unsettled"


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(epilog="Example: executor status --json | jq .trading")(status)
