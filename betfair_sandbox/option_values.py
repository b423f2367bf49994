"""What the options of `betfair-sandbox` mean: text becomes values, or a complaint that names the option.

Owns: the checks that Typer's types cannot make. Units: account currency.
"""

import re
from decimal import Decimal
from pathlib import Path
from typing import Final

import typer

from betfair_sandbox.api.wire import BadValue, to_instant
from betfair_sandbox.as_betfair import Addresses, read_addresses
from betfair_sandbox.market.accounts import HOUSE
from betfair_sandbox.market.rules import MINIMUMS
from betfair_sandbox.options import valid_account_name
from betfair_sandbox.replay.replay import FASTEST, seconds_before

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_:*](?:[A-Za-z0-9._:*-]{0,251}[A-Za-z0-9_:])?")


def read_accounts(texts: list[str], default_balance: str, first: str) -> tuple[tuple[str, Decimal], ...]:
    """Read NAME[=AMOUNT], once for each account beside that of user `first`."""
    balances: dict[str, Decimal] = {}
    for text in texts:
        name, _, balance = text.partition("=")
        if name in {*balances, first}:
            raise typer.BadParameter(f"{name} is there already", param_hint="--account")
        balances[read_account_name(name)] = read_amount(balance or default_balance, "--account")
    return tuple(balances.items())


def read_account_name(name: str) -> str:
    """Read a further account's name."""
    if not valid_account_name(name):
        raise typer.BadParameter("a name of 1 to 32 letters, digits, - and _ is expected", param_hint="--account")
    return name


def read_login(text: str, option: str) -> str:
    """Read a user name or an app key: what a client can send in a form and in a header."""
    if not text.isascii() or not text.isprintable() or text != text.strip() or not text or text == HOUSE:
        raise typer.BadParameter("printable ASCII characters are expected", param_hint=option)
    return text


def read_server_names(names: list[str]) -> tuple[str, ...]:
    """Read names and addresses that a certificate can carry."""
    for name in names:
        if not name.isascii() or not _HOST_NAME.fullmatch(name):
            text = f"{name!r} is no host name (an international one is written as xn--...)"
            raise typer.BadParameter(text, param_hint="--server-name")
    return tuple(names)


def read_record(path: Path | None) -> Path | None:
    """Read where the day is recorded: no file that holds something, a recording to be replayed least of all."""
    if path is not None and path.is_file() and path.stat().st_size:
        raise typer.BadParameter(f"{path} holds something already: name a new file", param_hint="--record")
    return path


def read_stand_in(text: str | None) -> Addresses | None:
    """Read the addresses of --as-betfair."""
    if text is None:
        return None
    try:
        return read_addresses(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--as-betfair") from None


def read_password(path: Path) -> str:
    """Read the password that a file holds."""
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}", param_hint="--password-file") from None


def read_replay_start(text: str | None, replay: Path | None) -> int | str | None:
    """Read where a recording starts."""
    if text is None:
        return None
    if replay is None:
        raise typer.BadParameter("it is for --replay", param_hint="--from")
    if seconds_before(text) is not None:
        return text
    try:
        return to_instant(text, "--from")
    except BadValue:
        raise typer.BadParameter("2026-09-21T14:00:00Z or -10m is expected", param_hint="--from") from None


def read_speed(text: str) -> Decimal:
    """Read how fast a recording plays."""
    try:
        speed = Decimal(text)
    except ArithmeticError:
        speed = Decimal(0)
    if not (speed.is_finite() and 0 < speed <= FASTEST):
        raise typer.BadParameter(f"a number above 0, up to {FASTEST}, is expected", param_hint="--speed")
    return speed


def read_currency(code: str) -> str:
    """Read a currency."""
    if code not in MINIMUMS:
        raise typer.BadParameter(f"one of {', '.join(MINIMUMS)} is expected", param_hint="--currency")
    return code


def read_amount(text: str, option: str) -> Decimal:
    """Read an amount of money."""
    try:
        amount = Decimal(text)
    except ArithmeticError:
        amount = Decimal(-1)
    if not (amount.is_finite() and 0 <= amount <= 10**9):
        raise typer.BadParameter("an amount such as 10000 is expected", param_hint=option)
    return amount
