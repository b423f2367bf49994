"""Betfair's wire format: JSON in and out, dates, error envelopes, reading of parameters.

Owns: how a value looks on the wire and which error a malformed one earns. Invariant: amounts come in as `Decimal`
(also when sent as strings, as Betfair accepts them) and go out as JSON numbers; whatever a client sends ends in an
`ApiError` or a `RpcError`, never in another exception. Units: instants are epoch milliseconds (int).
"""

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from betfair_sandbox.api.codes import Api

Json = dict[str, Any]

# Amounts, prices and ids beyond this are nonsense, and arithmetic on them would be slow.
_LARGEST: Final = Decimal(10) ** 15
_SMALLEST: Final = Decimal(10) ** -15
# What a double holds, and so what Betfair can read; beyond it JSON could not repeat the number.
_LARGEST_DOUBLE: Final = Decimal(10) ** 308
# Betfair: selectionId and betId are 64-bit.
_LARGEST_INTEGER: Final = 2**63 - 1
# No list of a request is longer than this at Betfair (200 instructions, 250 ids, 1,000 results); a fence for memory.
_LONGEST_LIST: Final = 10_000
# Nothing of Betfair's nests deeper than ten; far from where recursion ends.
_DEEPEST: Final = 100


class ApiError(Exception):
    """An APINGException: the call was understood and refused."""

    def __init__(self, code: str, details: str = "") -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details


class RpcError(Exception):
    """A JSON-RPC error: the call was not understood; `dsc` is the number of Betfair's framework."""

    def __init__(self, code: int, dsc: str) -> None:
        super().__init__(code, dsc)
        self.code = code
        self.dsc = dsc


class BadValue(ValueError):
    """A parameter that cannot be read; the text names it."""


def missing() -> RpcError:
    """Return the error for a mandatory parameter that is absent."""
    return RpcError(-32602, "DSC-0018")


def parse_json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Read JSON with amounts as `Decimal`.

    Raises:
        RpcError: it is not JSON.
    """
    return _parsed(body, parse_float=_bounded)


def parse_request(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Read what a client asks for: a number too large for us is for the part that it stands in to refuse.

    A name that is there twice is refused: which of the two counts is not documented, and one of them is not meant.

    Raises:
        RpcError: it is not JSON.
    """
    return _parsed(body, parse_float=_double, object_pairs_hook=_object)


def _parsed(body: bytes, **hooks: Any) -> Any:  # noqa: ANN401 - any JSON value
    try:
        value = json.loads(body, parse_constant=_refuse_constant, **hooks)
        if body.count(b"[") + body.count(b"{") > _DEEPEST:
            _check_depth(value)
    except (ValueError, RecursionError, InvalidOperation):
        raise RpcError(-32700, "DSC-0008") from None
    return value


def dump_json(value: object) -> bytes:
    """Write JSON; this is the one place where an amount becomes a binary float, as it does at Betfair."""
    return json.dumps(value, default=_as_number, separators=(",", ":")).encode()


def _as_number(value: object) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} does not travel as JSON")


def _check_depth(value: object) -> None:
    """Refuse what could be read but not be written again: the echo of an instruction, a line of the journal."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
        ]
        if not level:
            return
    raise ValueError("too deep")


def _bounded(text: str) -> Decimal:
    number = Decimal(text)
    if abs(number) > _LARGEST:
        raise ValueError(text)  # would leave as Infinity, which is not JSON
    return number


def _double(text: str) -> Decimal:
    number = Decimal(text)
    if abs(number) > _LARGEST_DOUBLE:
        raise ValueError(text)
    return number


def _object(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def result(call_id: object, value: object) -> Json:
    """Return the JSON-RPC reply of a call that was answered."""
    return {"jsonrpc": "2.0", "result": value, "id": call_id}


def api_error(call_id: object, error: ApiError, api: Api) -> Json:
    """Return the JSON-RPC reply of a call that was refused with an APINGException."""
    message, data = exception_of(error, api)
    return {"jsonrpc": "2.0", "error": {"code": -32099, "message": message, "data": data}, "id": call_id}


def exception_of(error: ApiError, api: Api) -> tuple[str, Json]:
    """Return the number and the body of an APINGException."""
    code = error.code if error.code in api.codes else "UNEXPECTED_ERROR"
    exception = {"requestUUID": str(uuid.uuid4()), "errorCode": code, "errorDetails": error.details}
    return api.codes[code], {"exceptionname": api.exception, api.exception: exception}


def rpc_error(call_id: object, error: RpcError) -> Json:
    """Return the JSON-RPC reply of a call that was not understood."""
    return {"jsonrpc": "2.0", "error": {"code": error.code, "message": error.dsc}, "id": call_id}


def format_date(instant_ms: int) -> str:
    """Write an instant as Betfair does, in UTC with milliseconds."""
    return datetime.fromtimestamp(instant_ms // 1000, UTC).strftime(f"%Y-%m-%dT%H:%M:%S.{instant_ms % 1000:03d}Z")


def in_range(number: Decimal) -> bool:
    """Tell whether a number is one that we count with."""
    return abs(number) <= _LARGEST and (not number or abs(number) >= _SMALLEST)


def to_decimal(value: object, name: str) -> Decimal:
    """Read an amount that came as a JSON number or as a string.

    Raises:
        BadValue: it is neither, or out of any range.

    """
    number = to_double(value, name)
    if not in_range(number):
        raise BadValue(f"{name} is out of range")
    return number


def to_double(value: object, name: str) -> Decimal:
    """Read a number that came as a JSON number or as a string, as large or small as a double may be.

    Raises:
        BadValue: it is neither.
    """
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise BadValue(f"{name} is not a number")
    try:
        number = Decimal(value)
    except (InvalidOperation, ValueError):
        raise BadValue(f"{name} is not a number") from None
    if not number.is_finite() or abs(number) > _LARGEST_DOUBLE or (number and abs(number) < 1 / _LARGEST_DOUBLE):
        raise BadValue(f"{name} is out of range")
    return number


def to_integer(value: object, name: str) -> int:
    """Read a whole number that came as a JSON number or as a string.

    Raises:
        BadValue: it is neither, or wider than 64 bits.

    """
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        amount = to_decimal(value, name)
        if amount != amount.to_integral_value():
            raise BadValue(f"{name} is not a whole number")
        number = int(amount)
    if abs(number) > _LARGEST_INTEGER:
        raise BadValue(f"{name} is out of range")
    return number


def to_instant(value: object, name: str) -> int:
    """Read an ISO 8601 date; naive means UTC.

    Raises:
        BadValue: it is not a date.

    """
    if not isinstance(value, str):
        raise BadValue(f"{name} is not a date")
    try:
        date = datetime.fromisoformat(value)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return int((date - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    except (ValueError, OverflowError):
        raise BadValue(f"{name} is not a date") from None


class Params:
    """The parameters of one call, or an object inside them; JSON null counts as absent."""

    def __init__(self, values: object, name: str = "params") -> None:
        if not isinstance(values, dict):
            raise BadValue(f"{name} is not an object")
        self.values: Json = values

    def raw(self, name: str) -> object:
        """Return the value as it came, None when absent."""
        return self.values.get(name)

    def has(self, name: str) -> bool:
        """Tell whether the parameter is there."""
        return self.values.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """Return a string; a number is read as its text, as Betfair does with ids."""
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise BadValue(f"{name} is not a string")
        return str(value)

    def flag(self, name: str) -> bool:
        """Return a boolean, False when absent."""
        value = self.values.get(name)
        if value is None:
            return False
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise BadValue(f"{name} is not a boolean")
        return value

    def integer(self, name: str, default: int = 0) -> int:
        """Return a whole number."""
        return to_integer(self.values[name], name) if self.has(name) else default

    def amount(self, name: str) -> Decimal | None:
        """Return an amount, None when absent."""
        return to_decimal(self.values[name], name) if self.has(name) else None

    def double(self, name: str) -> Decimal | None:
        """Return an amount that may be out of any range, None when absent."""
        return to_double(self.values[name], name) if self.has(name) else None

    def choice(self, name: str, allowed: Iterable[str], default: str = "") -> str:
        """Return one of `allowed`."""
        if not self.has(name):
            return default
        value = self.text(name)
        if value not in allowed:
            raise BadValue(f"{name} is not one of {', '.join(allowed)}")
        return value

    def items(self, name: str) -> list[Any]:
        """Return a list, empty when absent."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > _LONGEST_LIST:
            raise BadValue(f"{name} is not a list")
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list of strings, empty when absent."""
        return [Params({name: item}).text(name) for item in self.items(name)]

    def child(self, name: str) -> "Params":
        """Return an object inside this one, empty when absent."""
        value = self.values.get(name)
        return Params({} if value is None else value, name)

    def instants(self, name: str) -> tuple[int | None, int | None]:
        """Return a TimeRange as (from, to), each None when open."""
        span = self.child(name)
        start = to_instant(span.raw("from"), f"{name}.from") if span.has("from") else None
        end = to_instant(span.raw("to"), f"{name}.to") if span.has("to") else None
        return start, end
