"""Seeded damage: to bytes, to JSON values, to lines.

Owns: what can be wrong with a message or a file. Invariant: the same generator state gives the same damage.
"""

import json
from random import Random
from typing import Any

_JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 0.5, -0.01, 1e-9, 1.005, 1e15, 1e308, 10**18, 2**63, 10**40, "", "x", "NaN",
    "Infinity", "-Infinity", "1e999", "1.9", "OPEN", "CLOSED", "REMOVED", "\x00", "é☃\U0001f40e",
    "9999-12-31T23:59:59.999Z",
    "0001-01-01T00:00:00+23:59", "2026-02-30T00:00:00Z", [], {}, [[]], [None], [[1.01, 2]], [[0, 2.0, 3]],
    {"id": 1}, "a" * 5_000,
)  # fmt: skip
_LONG = 1_500_000


def junk(rng: Random) -> Any:
    """Return a value that hardly any field should have."""
    value = rng.choice(_JUNK)
    return json.loads(json.dumps(value)) if isinstance(value, list | dict) else value


def damaged_value(rng: Random, value: Any) -> Any:
    """Return a JSON value with one thing changed somewhere inside: another type, a field less, a field deeper."""
    value = json.loads(json.dumps(value))
    holders = list(_holders(value))
    if not holders or rng.random() < 0.05:
        return junk(rng)
    holder = rng.choice(holders)
    key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    match rng.randrange(6):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [holder[key]]
        case 2 if isinstance(holder, list):
            holder.extend(holder * rng.randrange(1, 3))
        case 3 if isinstance(holder, dict):
            holder[rng.choice(["op", "id", "hc", "img", "new", ""])] = junk(rng)
        case 4 if isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] = holder[key] * rng.choice([-1, 0, 0.001, 1.003, 10, 10**9])
        case _:
            holder[key] = junk(rng)
    return value


def _holders(value: Any) -> Any:
    if isinstance(value, dict | list) and value:
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _holders(inner)


def damaged_bytes(rng: Random, data: bytes) -> bytes:
    """Return bytes with some flipped, cut out, put in or cut off."""
    body = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 3, 10])):
        at = rng.randrange(len(body) + 1)
        match rng.randrange(5):
            case 0 if body:
                body[at % len(body)] ^= 1 << rng.randrange(8)
            case 1:
                body[at:at] = rng.randbytes(rng.choice([1, 2, 50]))
            case 2:
                del body[at : at + rng.choice([1, 5, 200])]
            case 3:
                del body[at:]
            case _:
                body[at:at] = body[at : at + 100]
    return bytes(body)


def damaged_text(rng: Random, value: Any) -> bytes:
    """Return a JSON message's bytes with something wrong on some level, or with nothing wrong."""
    match rng.randrange(9):
        case 0:
            return damaged_bytes(rng, json.dumps(value).encode())
        case 1:
            return json.dumps(value)[: rng.randrange(1, 200)].encode()
        case 2:
            return json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-16")
        case 3:
            return b"[" * rng.choice([10, 150, 30_000]) + json.dumps(value).encode()
        case 4 if rng.random() < 0.2:
            return json.dumps({"op": "x" * _LONG, "was": value}).encode()
        case 5:
            return json.dumps(value).encode()
        case 6:
            for _ in range(rng.randrange(2, 6)):
                value = damaged_value(rng, value)
    return json.dumps(damaged_value(rng, value)).encode()
