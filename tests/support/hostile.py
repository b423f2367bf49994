"""Hostile input for the fuzz tests: a good JSON document with something wrong in it, and how it travels.

JSON is written by hand from trees, so that it can hold what no Python value becomes: 1e400, NaN, a name twice.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

_LONG: Final = "x" * 300


@dataclass(frozen=True)
class Raw:
    """A value as it is to be written, quotes and all."""

    text: str


@dataclass(frozen=True)
class Pairs:
    """An object whose names may be there twice."""

    pairs: tuple[tuple[str, Any], ...]


def examples(quick: int) -> settings:
    """Return how much to try: `quick` by default, FUZZ_EXAMPLES by hand."""
    return settings(
        max_examples=int(os.environ.get("FUZZ_EXAMPLES", quick)),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def written(value: Any) -> str:
    """Write a tree as JSON, or as nearly JSON."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        value = Pairs(tuple(value.items()))
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(name)}:{written(item)}" for name, item in value.pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


NUMBERS: Final = (
    *("0", "-0", "-0.0", "1", "-1", "2", "-5", "0.5", "1.005", "2.00", "5.123456789012", "99.999999999999", "100.01"),
    *("1e400", "-1e400", "1e-400", "1e9999999", "1e99999999999999999999", "1E2", "NaN", "Infinity"),
    *("1e-2", "-Infinity", "9" * 18, "9223372036854775808", "1" * 400, "9" * 5000, "0.1" + "0" * 300 + "1", "1e12"),
)  # fmt: skip
TEXTS: Final = (
    *("", " ", "\u0663", "\uff15", "1_0", "0x5", "5,5", " 5 ", "+5", "tr\u00fce", "null", "NaN", "-0", "1e400"),
    *("a:b", "a\nb", "\x00", "\x1b[2J", "\u202e", "\ud800", "\U0001f40e", "\ufeff", _LONG, "x" * 70_000, "*"),
    *("2023-11-14T22:13:20Z", "2020-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
    *("1969-12-31T23:59:59.999Z", "2023-11-14T22:13:20.000Z", "Back", "LAY", "BACK", "1.200000000", "1.2", "SUCCESS"),
)  # fmt: skip
NESTED: Final = ("[" * 5000, "[" * 40 + "]" * 40, '{"a":' * 200 + "1" + "}" * 200, "[" * 2000 + "]" * 2000)
RAWS: Final = st.sampled_from(NUMBERS + NESTED).map(Raw)
VALUES: Final = st.one_of(
    RAWS,
    st.sampled_from(TEXTS),
    st.sampled_from(NUMBERS),
    st.decimals(-10, 1001, places=3).map(str).map(Raw),
    st.integers(-(2**70), 2**70),
    st.text(max_size=8),
    st.sampled_from([None, True, False, [], {}, [[]], [None], {"": None}]),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _places(item, (*path, name))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _places(item, (*path, at))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = _put(value[path[0]], path[1:], new)
    return copied


@st.composite
def mutated(draw: st.DrawFn, document: Any, values: st.SearchStrategy[Any] = VALUES) -> str:
    """Return the document's text with up to three things wrong; none wrong is among them."""
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(document))
        numbers = [place for place in places if isinstance(_at(document, place), int | float)]
        path = draw(st.sampled_from(places + 6 * numbers))
        what = draw(st.sampled_from(["set"] * 5 + ["drop", "copy", "spell", "twice", "more"]))
        if what == "set":
            document = _put(document, path, draw(values))
        elif what == "copy":
            document = _put(document, path, _at(document, draw(st.sampled_from(places))))
        elif path:
            inner, last = _at(document, path[:-1]), path[-1]
            if isinstance(last, str):
                new: Any = _renamed(inner, what, last, draw(values) if what == "twice" else None)
            else:
                new = inner[:last] + inner[last : last + 1] * {"drop": 0, "more": 2}.get(what, 1) + inner[last + 1 :]
            document = _put(document, path[:-1], new)
    return written(document)


def _renamed(inner: Any, what: str, name: str, value: Any) -> Any:
    if what == "twice":
        return Pairs((*inner.items(), (name, value)))
    kept = {other: item for other, item in inner.items() if other != name}
    return {**kept, name.swapcase(): inner[name]} if what == "spell" else kept


@st.composite
def sent(draw: st.DrawFn, text: str) -> bytes:
    """Return the text as bytes; one time in six something happens to them on the way."""
    raw = text.encode("utf-8", "surrogatepass")
    what = draw(st.sampled_from(["whole"] * 30 + ["cut", "bom", "utf-16", "put", "after", "before"]))
    if what == "cut":
        return raw[: draw(st.integers(0, len(raw)))]
    if what == "bom":
        return b"\xef\xbb\xbf" * draw(st.integers(1, 2)) + raw
    if what == "utf-16":
        return text.encode("utf-16", "surrogatepass")
    odd = draw(
        st.sampled_from([b"\xff", b"\x00", b"\xed\xa0\x80", b"\n", b'"', b"{", b"}", b",", b"\\", b" " * 70_000])
    )
    at = {"put": draw(st.integers(0, len(raw))), "after": len(raw), "before": 0}.get(what)
    return raw if at is None else raw[:at] + odd + raw[at:]


def json_bytes(*documents: Any, values: st.SearchStrategy[Any] = VALUES) -> st.SearchStrategy[bytes]:
    """Return one of these documents, mutated, as bytes."""
    return st.sampled_from(documents).flatmap(lambda document: mutated(document, values)).flatmap(sent)
