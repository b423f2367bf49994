"""How amounts, moments and codes are written for people and programs.

Invariants: amounts are decimal text, to the penny at least; moments are UTC.
"""

from decimal import Decimal

from executor.domain.times import iso


def money(amount: Decimal | None) -> str:
    """Write an amount for a person, to the penny at least."""
    if amount is None:
        return "unreadable"
    exponent = amount.normalize().as_tuple().exponent
    return f"{amount:.2f}" if isinstance(exponent, int) and exponent >= -2 else f"{amount:f}"  # noqa: PLR2004 - pennies


def moment(ms: int) -> str | None:
    """Write a moment for programs; None where there is none."""
    return iso(ms) if ms else None


def counted(number: int, what: str) -> str:
    """Write how many there are of something, for a person."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def when(at: str | None) -> str:
    """Write a moment of records and programs for a person, to the second; nothing where there is none."""
    return (at or "")[:19].replace("T", " ")


def words(code: str) -> str:
    """Write a reason for a person: it folds at its underscores rather than anywhere."""
    return code.replace("_", " ").lower()


def duration(seconds: float) -> str:
    """Write a length of time for a person."""
    whole = round(seconds)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
