"""What the fuzz sends to the sandbox: hypothesis strategies of steps, mostly right, or nothing much would happen.

A step is a tuple whose first word says how it is sent; `test_sandbox_fuzz.py` does that.
"""

import json
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]
FURTHER = ("ann", "ben")
NAMES = ("sandbox", *FURTHER)
OWN = "1.9"  # only customers offer here
MARKETS = ("1.1", "1.2", OWN)
RUNNERS = (1, 2, 3)

_SCALARS = st.one_of(
    # No number here is a valid delay, or a call would rightly hang.
    st.sampled_from([None, True, False, -1, 0, 0.001, 1e-20, 10**12, 2**64, "", "NaN", "1e999", "BACK", "1.1"]),
    st.text(st.characters(exclude_categories=["Nd", "Cs"]), max_size=6),
)
_WORDS = st.sampled_from(
    ["marketId", "instructions", "betIds", "filter", "from", "price", "size", "winners", "runners"]
)
JUNK = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3), max_leaves=6
)


def mostly(good: "st.SearchStrategy[Any]") -> "st.SearchStrategy[Any]":
    return st.integers(0, 19).flatmap(lambda die: JUNK if die == 0 else good)


def some(required: dict[str, Any], optional: dict[str, Any]) -> "st.SearchStrategy[Json]":
    return st.fixed_dictionaries(
        {name: mostly(good) for name, good in required.items()},
        optional={name: mostly(good) for name, good in optional.items()},
    )


_MARKET = st.sampled_from(MARKETS)
_RUNNER = st.sampled_from(RUNNERS)
_PRICE = st.sampled_from([1.01, 2.8, 2.9, 3, 3.05, 3.1, 1000])
_SIZE = st.sampled_from([0.01, 1, 2, 2.5, "7.77", 100, 4_000])
_REF = st.sampled_from(["a", "b", "c" * 32])
_BET_ID = st.integers(0, 12)  # replaced by the id of the bet placed so many calls before
_LIMIT = some(
    {"price": _PRICE, "size": _SIZE},
    {
        "persistenceType": st.sampled_from(["LAPSE", "PERSIST", "MARKET_ON_CLOSE"]),
        "timeInForce": st.just("FILL_OR_KILL"),
        "minFillSize": _SIZE,
    },
)
_INSTRUCTION = some(
    {
        "selectionId": _RUNNER,
        "side": st.sampled_from(["BACK", "LAY"]),
        "orderType": st.just("LIMIT"),
        "limitOrder": _LIMIT,
    },
    {"customerOrderRef": _REF, "handicap": st.just(0)},
) | some(
    {
        "selectionId": _RUNNER,
        "side": st.sampled_from(["BACK", "LAY"]),
        "orderType": st.sampled_from(["LIMIT_ON_CLOSE", "MARKET_ON_CLOSE"]),
        "limitOnCloseOrder": some({"liability": _SIZE, "price": _PRICE}, {}),
        "marketOnCloseOrder": some({"liability": _SIZE}, {}),
    },
    {"customerOrderRef": _REF},
)


def _amend(**fields: Any) -> "st.SearchStrategy[Json]":
    item = some({"betId": _BET_ID, **fields}, {})
    return some({"marketId": _MARKET, "instructions": st.lists(item, max_size=2)}, {"customerRef": _REF})


_PLACE = some(
    {"marketId": _MARKET, "instructions": st.lists(_INSTRUCTION, min_size=1, max_size=3)},
    {
        "customerRef": _REF,
        "customerStrategyRef": _REF,
        "async": st.booleans(),
        "marketVersion": st.just({"version": 1}),
    },
)
_DATES = some({}, {"from": st.just("2020-01-01T00:00:00Z"), "to": st.just("2090-01-01T00:00:00Z")})
_PAGES = {"fromRecord": st.integers(0, 3), "recordCount": st.integers(0, 3), "customerOrderRefs": st.lists(_REF)}
PARAMS = {
    "placeOrders": _PLACE,
    "cancelOrders": _amend(sizeReduction=_SIZE) | _amend(),
    "replaceOrders": _amend(newPrice=_PRICE),
    "updateOrders": _amend(newPersistenceType=st.sampled_from(["LAPSE", "PERSIST"])),
    "listCurrentOrders": some(
        {},
        {
            **_PAGES,
            "betIds": st.lists(_BET_ID, max_size=2),
            "orderBy": st.sampled_from(["BY_BET", "BY_MARKET", "BY_MATCH_TIME", "BY_VOID_TIME", "BY_SETTLED_TIME"]),
            "orderProjection": st.sampled_from(["ALL", "EXECUTABLE", "EXECUTION_COMPLETE"]),
            "dateRange": _DATES,
            "includeItemDescription": st.booleans(),
        },
    ),
    "listClearedOrders": some(
        {"betStatus": st.sampled_from(["SETTLED", "VOIDED", "LAPSED", "CANCELLED"])},
        {
            **_PAGES,
            "groupBy": st.sampled_from(["BET", "MARKET", "RUNNER", "SIDE", "STRATEGY", "EVENT", "EVENT_TYPE"]),
            "settledDateRange": _DATES,
            "includeItemDescription": st.booleans(),
        },
    ),
    "listMarketCatalogue": some(
        {"filter": some({}, {"marketIds": st.lists(_MARKET), "inPlayOnly": st.booleans()}), "maxResults": st.just(5)},
        {"marketProjection": st.just(["MARKET_DESCRIPTION", "RUNNER_METADATA", "EVENT"])},
    ),
    "listMarketBook": some(
        {"marketIds": st.lists(_MARKET)},
        {
            "priceProjection": some({}, {"priceData": st.just(["EX_ALL_OFFERS"])}),
            "orderProjection": st.sampled_from(["ALL", "EXECUTABLE"]),
        },
    ),
    "listMarketProfitAndLoss": some({"marketIds": st.lists(_MARKET)}, {"netOfCommission": st.booleans()}),
    "getAccountFunds": some({}, {}),
    "getAccountDetails": some({}, {}),
    "getAccountStatement": some({}, {}),
}
# Bets with nothing wrong about them: at 1.01 to 3.1 three customers meet each other and the house.
_BET = st.builds(
    lambda runner, side, price, size: {
        "selectionId": runner,
        "side": side,
        "orderType": "LIMIT",
        "limitOrder": {"price": price, "size": size},
    },
    st.sampled_from((1, 1, 2)),
    st.sampled_from(["BACK", "LAY"]),
    st.sampled_from([1.01, 2.96, 2.98, 3, 3.05]),
    st.sampled_from([2, "2.31", "3.33", 5, 40]),
)
BETS = st.tuples(
    st.just("placeOrders"),
    st.builds(
        lambda market, bets: {"marketId": market, "instructions": bets},
        st.sampled_from(("1.1", OWN, OWN)),
        st.lists(_BET, min_size=1, max_size=2),
    ),
)
_WEIGHTED = [*["placeOrders"] * 12, *["cancelOrders"] * 3, *["replaceOrders"] * 2, *PARAMS]
CALL = st.sampled_from(_WEIGHTED).flatmap(lambda name: st.tuples(st.just(name), mostly(PARAMS[name])))
_OFFERS = st.lists(st.tuples(_PRICE, _SIZE), max_size=2)
CONTROL = st.one_of(
    st.tuples(
        st.just("markets"),
        some(
            {"marketId": _MARKET},
            {
                "status": st.sampled_from(["OPEN", "SUSPENDED", "INACTIVE", "CLOSED"]),
                "inplay": st.booleans(),
                "numberOfWinners": st.integers(1, 3),
                "marketBaseRate": st.integers(0, 10),
                "runners": st.lists(_RUNNER, max_size=2),
                "bspMarket": st.booleans(),
                "eachWayDivisor": st.sampled_from([1, 4, 5]),
                "bettingType": st.sampled_from(["ODDS", "LINE", "ASIAN_HANDICAP_DOUBLE_LINE"]),
                "priceLadder": st.sampled_from(["CLASSIC", "FINEST"]),
                "marketType": st.sampled_from(["WIN", "PLACE"]),
            },
        ),
    ),
    st.tuples(
        st.just("remove"),
        some({"marketId": _MARKET, "selectionId": _RUNNER}, {"adjustmentFactor": st.integers(0, 99)}),
    ),
    st.tuples(
        st.just("bsp"),
        some(
            {"marketId": _MARKET},
            {"runners": st.lists(some({"selectionId": _RUNNER, "bsp": _PRICE}, {}), max_size=2)},
        ),
    ),
    st.tuples(
        st.just("prices"),
        some(
            {"marketId": st.just("1.1"), "selectionId": _RUNNER},
            {"availableToBack": _OFFERS, "availableToLay": _OFFERS},
        ),
    ),
    st.tuples(
        st.just("settle"),
        some(
            {"marketId": _MARKET, "winners": st.lists(_RUNNER, max_size=3)},
            {
                "deadHeat": st.lists(_RUNNER, max_size=3),
                "placed": st.lists(_RUNNER, max_size=2),
                "reverse": st.just(True),
                "line": _PRICE,
            },
        ),
    ),
    st.tuples(st.just("void"), some({"marketId": _MARKET}, {"selectionId": _RUNNER})),
    st.tuples(
        st.just("faults"),
        some(
            {
                "method": st.sampled_from(["*", "placeOrders", "listCurrentOrders"]),
                "kind": st.sampled_from(
                    [
                        "refuse_connection",
                        "http_503",
                        "drop_response",
                        "report_timeout",
                        "expire_session",
                        "error:SERVICE_BUSY",
                    ]
                ),
            },
            {"count": st.integers(1, 2), "probability": st.just(0.5)},
        ),
    ),
    st.tuples(st.just("accounts"), some({"name": st.sampled_from(["ann", "house", "x y"])}, {"balance": _SIZE})),
)
_PATHS = st.sampled_from(
    [
        "/", "/sandbox/", "/sandbox/orders", "/sandbox/orders?account=%ff", "/sandbox/journal?since=soon",
        "/sandbox/journal?since=1e400", "/sandbox/reset/", "/exchange/betting/rest/v1.0/listEvents/", "/api/%00",
        "/exchange/betting/json-rpc/v1?x", "/api/login",
    ]
)  # fmt: skip
_WHO = st.sampled_from(NAMES)
_ACTIONS = st.sampled_from(["markets", "faults", "settle", "accounts", "remove", "bsp", "replay"])
_HEADS = st.sampled_from([b"", b"POST /exchange/betting/json-rpc/v1 HTTP/1.1\r\n", b"GET /sandbox/orders HTTP/1.1\r\n"])
_RESTS = st.sampled_from(
    [
        b"Content-Length: 9\r\n\r\n{",
        b"Content-Length: -1\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz",
    ]
)
STEP = st.one_of(
    st.tuples(st.just("call"), st.sampled_from([*NAMES, "delayed", "nobody"]), CALL),
    st.tuples(st.just("call"), _WHO, CALL),
    st.tuples(st.just("call"), _WHO, CALL),
    *[st.tuples(st.just("call"), _WHO, BETS)] * 5,
    st.tuples(st.just("batch"), _WHO, st.lists(CALL, max_size=3)),
    st.tuples(st.just("control"), CONTROL),
    st.tuples(st.just("body"), JUNK.map(json.dumps).map(str.encode) | st.binary(max_size=20)),
    st.tuples(st.just("control body"), _ACTIONS, st.binary(max_size=9)),
    st.tuples(st.just("path"), st.sampled_from(["GET", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"]), _PATHS),
    st.tuples(st.just("form"), st.sampled_from(["login", "keepAlive", "certlogin"]), st.binary(max_size=12)),
    st.tuples(st.just("bytes"), _HEADS, _RESTS | st.binary(max_size=20)),
)
