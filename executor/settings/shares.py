"""Shares and per cents among the settings: `2%` is understood, and one that is surely meant as the other is refused.

Invariant: a share is from 0 to 1, a per cent from 0 to 100; both are Decimal.
"""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from executor.domain.limits import number

_HUNDRED: Final = Decimal(100)


def _share(value: object) -> object:
    found, percent = _read(value)
    if found is None:
        return value
    if percent:
        return found / _HUNDRED
    if 1 < found <= _HUNDRED:
        meant = f"for {number(found)} % write {number(found / _HUNDRED)} or {number(found)}%"
        raise ValueError(f"should be less than or equal to 1: it is a share; {meant}")
    return value


def _percent(value: object) -> object:
    found, percent = _read(value)
    if found is not None and not percent and 0 < found < 1:
        meant = number(found * _HUNDRED)
        raise ValueError(f"should be in per cent: for {meant} % write {meant}; for less than one, {number(found)}%")
    return found if percent else value


def _read(value: object) -> tuple[Decimal | None, bool]:
    """Return the number that a text is, and whether a per cent sign follows it."""
    if type(value) is not str:
        return None, False
    text = value.strip()
    try:
        found = Decimal(text.removesuffix("%").strip())
    except InvalidOperation:
        return None, False
    return (found, text.endswith("%")) if found.is_finite() else (None, False)


Share = Annotated[Decimal, BeforeValidator(_share), Field(ge=0, le=1)]
Percent = Annotated[Decimal, BeforeValidator(_percent), Field(ge=0, le=100)]
