"""Inbound messages become a `Signal`, or `InvalidSignal` naming the field.

Owns the two wire formats of the reference (surebet, strategy) and the translation of its words into Betfair's: odds ->
price, stake -> size. Names are matched without regard to case, unknown fields are ignored. Invariant: a `Signal` has
one or more legs with a positive selection id, a price rounded to the ladder and a size in whole pennies, both rounded
before any rule sees them.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from executor.domain.message import MAX_BYTES, MAX_DEPTH, decode
from executor.domain.money import ZERO, Side, parse_number, to_rung, to_size
from executor.domain.signal_json import MAX_ID, other_format
from executor.errors import InvalidSignal

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_ID"]  # beside what is defined here

_NOISE: Final = Decimal("0.00000001")  # contract section 3: beyond 8 decimals
_MAX_AMOUNT: Final = Decimal(10) ** 9  # no account of Betfair's holds more; keeps every sum exact
_MAX_SECONDS: Final = Decimal(10) ** 9  # 31 years: anything longer is capped by the settings anyway
_MARKET_ID: Final = re.compile(r"[0-9]{1,3}\.[0-9]{1,20}", re.ASCII)


class SignalKind(StrEnum):
    """Which of the reference's two message formats a signal came in."""

    SUREBET = "surebet"
    STRATEGY = "strategy"


@dataclass(frozen=True, slots=True)
class Leg:
    """One bet that a signal asks for: price on the ladder, size in whole pennies."""

    selection_id: int
    side: Side
    price: Decimal
    size: Decimal


@dataclass(frozen=True, slots=True)
class Signal:
    """A well-formed trading signal; `validity_s` and `sent_at` are None where the sender gave none."""

    signal_id: str
    kind: SignalKind
    market_id: str
    strategy: str
    legs: tuple[Leg, ...]
    validity_s: Decimal | None = None
    sent_at: datetime | None = None
    unmatched_timeout_s: int | None = None
    market_type: str = ""  # as its sender says; the exchange's own word decides
    # How sure its sender is, 0 to 1; None where it does not say. The same bets are the same signal however sure he is.
    confidence: Decimal | None = field(default=None, compare=False)
    moved: str = field(default="", compare=False)  # what was brought to the ladder, or to whole pennies


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError("a number is expected")  # noqa: TRY004 - pydantic takes ValueError only
    return parse_number(str(value))


def _amount(value: object) -> Decimal:
    number = _number(value)
    if abs(number) > _MAX_AMOUNT:
        raise ValueError("the number is too large")
    return number


def _seconds(value: object) -> Decimal | None:
    return None if value is None else max(min(_number(value), _MAX_SECONDS), -_MAX_SECONDS)


def _confidence(value: object) -> Decimal | None:
    try:
        return _number(value)
    except ValueError:  # it was never looked at; what is no number says nothing
        return None


def _whole(value: object) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError("a whole number is expected")
    return int(number)


def _handicap(value: object) -> Decimal:
    number = ZERO if value is None else _amount(value)
    if number != ZERO:
        raise ValueError("a handicap is not supported")
    return number


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("text is expected")  # noqa: TRY004 - pydantic takes ValueError only
    text = str(value)
    if not text.isprintable():
        raise ValueError("control characters are not allowed")
    return text


def _name(value: object) -> str:
    return "" if value is None else _text(value).strip()


def _market(value: object) -> str:
    text = _text(value).strip()
    if not _MARKET_ID.fullmatch(text):
        raise ValueError('a market id like "1.200000000" is expected')
    return text


def _side(value: object) -> Side:
    try:
        return Side(_text(value).strip().upper())
    except ValueError:
        raise ValueError("Back or Lay is expected") from None


def _time(value: object) -> datetime | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError("an ISO 8601 time is expected")  # noqa: TRY004
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("an ISO 8601 time is expected") from None


Amount = Annotated[Decimal, BeforeValidator(_amount)]
Seconds = Annotated[Decimal | None, BeforeValidator(_seconds)]
Selection = Annotated[int, BeforeValidator(_whole), Field(gt=0, lt=2**63)]
Market = Annotated[str, BeforeValidator(_market)]
SignalId = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=MAX_ID)]
Name = Annotated[str, BeforeValidator(_name), Field(max_length=MAX_ID)]
BetSide = Annotated[Side, BeforeValidator(_side)]
Time = Annotated[datetime | None, BeforeValidator(_time)]
Handicap = Annotated[Decimal, BeforeValidator(_handicap)]
# The reference shows 30 s for unmatched orders; an hour keeps a forgotten order from living for ever.
UnmatchedTimeout = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=3600)] | None


@cache
def _spelt(fields: tuple[str, ...]) -> dict[str, str]:
    return {alias.lower(): alias for alias in map(to_camel, fields)}


class _Message(BaseModel):
    """Names without regard to case or underscores, unknown fields ignored, two spellings of one name refused."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _lower(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            raise ValueError("an object is expected")  # noqa: TRY004
        spelt = _spelt(tuple(cls.model_fields))
        known: dict[str, Any] = {}
        for name, value in data.items():
            alias = spelt.get(str(name).replace("_", "").lower())
            if alias is None:
                continue
            differs = alias in known and known[alias] != value
            if differs and alias != "confidence":
                raise InvalidSignal(alias, "is given twice with different values")
            known[alias] = None if differs else value  # two confidences name no bet, and say nothing
        return known


class _Common(_Message):
    market_id: Market
    strategy: Name = ""
    validity_window: Seconds = None
    timestamp: Time = None
    unmatched_timeout_seconds: UnmatchedTimeout = None
    market_type: Name = ""
    confidence: Annotated[Decimal | None, BeforeValidator(_confidence)] = None
    handicap: Handicap = ZERO


class _Surebet(_Common):
    back_selection_id: Selection
    back_odds: Amount
    stake_back: Amount
    lay_selection_id: Selection
    lay_odds: Amount
    stake_lay: Amount

    def legs(self) -> tuple[Leg, ...]:
        return (
            Leg(self.back_selection_id, Side.BACK, self.back_odds, self.stake_back),
            Leg(self.lay_selection_id, Side.LAY, self.lay_odds, self.stake_lay),
        )


class _Selection(_Message):
    selection_id: Selection
    recommended_odds: Amount
    stake: Amount
    bet_type: BetSide
    handicap: Handicap = ZERO

    def leg(self) -> Leg:
        return Leg(self.selection_id, self.bet_type, self.recommended_odds, self.stake)


class _Strategy(_Common):
    signal_id: SignalId
    primary_selection: _Selection
    secondary_selection: _Selection | None = None

    def legs(self) -> tuple[Leg, ...]:
        second = () if self.secondary_selection is None else (self.secondary_selection.leg(),)
        return (self.primary_selection.leg(), *second)


MessageT = TypeVar("MessageT", bound=_Common)


def _parse(model: type[MessageT], data: object) -> MessageT:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        ours = first["msg"].removeprefix("Value error, ")
        problem = first["msg"].lower() if ours == first["msg"] else ours
        problem = problem.replace("items after validation", "characters").replace(" items", " characters")
        raise InvalidSignal(".".join(map(str, first["loc"])) or "message", problem) from None


def parse_signal(kind: SignalKind, raw: bytes) -> Signal:
    """Read one message of `channel:trading-signals` (surebet) or `channel:strategy-signals` (strategy).

    A surebet carries no id: the caller's first arrival completes the one made here from its content.

    Raises:
        InvalidSignal: the message is malformed; the error names the field.
    """
    data = decode(raw)
    if problem := other_format(data, surebet=kind is SignalKind.SUREBET):
        raise InvalidSignal("message", problem)
    if kind is SignalKind.SUREBET:
        message: _Surebet | _Strategy = _parse(_Surebet, data)
    else:
        message = _parse(_Strategy, data)
    signal = Signal(
        signal_id=message.signal_id if isinstance(message, _Strategy) else "",
        kind=kind,
        market_id=message.market_id,
        strategy=message.strategy or ("surebet" if kind is SignalKind.SUREBET else "unnamed"),
        legs=tuple(_rounded(leg) for leg in message.legs()),
        moved="; ".join(filter(None, map(_moved, message.legs()))),
        validity_s=message.validity_window,
        sent_at=message.timestamp,
        unmatched_timeout_s=message.unmatched_timeout_seconds,
        market_type=message.market_type,
        confidence=message.confidence,
    )
    return signal if signal.signal_id else replace(signal, signal_id=content_id(signal))


def _rounded(leg: Leg) -> Leg:
    return replace(leg, price=to_rung(leg.price, leg.side), size=to_size(leg.size))


def _moved(leg: Leg) -> str:
    rounded = _rounded(leg)
    told = [f"odds {leg.price.normalize():f} to {rounded.price}"] if leg.price != rounded.price else []
    # Float noise is nobody's intention.
    told += [f"stake {leg.size.normalize():f} to {rounded.size}"] if abs(leg.size - rounded.size) > _NOISE else []
    return f"{leg.side.title()} {leg.selection_id}: {', '.join(told)}" if told else ""


def content_id(signal: Signal) -> str:
    """Name a signal by its canonical content: the same bets asked for again have the same name, whenever sent."""
    content = [signal.market_id, signal.strategy]
    content += [f"{leg.selection_id} {leg.side} {leg.price.normalize()} {leg.size}" for leg in signal.legs]
    return "sure-" + hashlib.sha256("\n".join(content).encode()).hexdigest()[:24]


def deadline(signal: Signal, arrived: datetime, *, max_age_s: int, max_validity_s: int) -> datetime:
    """Return the moment after which the signal must not be sent to the exchange.

    contract section 3: min(timestamp, arrival) + min(window, cap); no window: `max_age_s`; a window <= 0 has expired.
    """
    start = arrived if signal.sent_at is None else min(signal.sent_at, arrived)
    seconds = Decimal(max_age_s) if signal.validity_s is None else min(signal.validity_s, Decimal(max_validity_s))
    if seconds <= 0:
        return min(start, arrived - timedelta(milliseconds=1))
    return start + timedelta(milliseconds=int(seconds * 1000))
