"""The sandbox's answers have the shape of Betfair's recorded ones: no field is missing, no type differs."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.sandbox_client import Json, RunningSandbox, limit

pytest_plugins = ["support.sandbox_fixtures"]
MARKET = "1.100000001"
RECORDED = Path(__file__).parents[2].parent / "shared" / "recorded"
# What depends on the market or the time, not on the operation: starting prices, Asian lines, regulation. The sandbox
# offers no matchProjection, hence no `matches`.
OPTIONAL = {
    "sp",
    "adjustmentFactor",
    "regulatorAuthCode",
    "lineRangeInfo",
    "keyLineDescription",
    "betDelayModels",
    "lastPriceTraded",
    "lastMatchTime",
    "matches",
}


def shape_errors(recorded: Any, ours: Any, path: str = "") -> list[str]:
    """Return where `ours` lacks a field of `recorded` or has another type."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        missing = [f"{path}.{name} is missing" for name in recorded if name not in ours and name not in OPTIONAL]
        return missing + [
            error
            for name in recorded
            if name in ours
            for error in shape_errors(recorded[name], ours[name], f"{path}.{name}")
        ]
    if isinstance(recorded, list) and isinstance(ours, list):
        return shape_errors(recorded[0], ours[0], f"{path}[]") if recorded and ours else []
    numbers = (int, float)
    if isinstance(recorded, numbers) and isinstance(ours, numbers):
        return [] if isinstance(recorded, bool) is isinstance(ours, bool) else [f"{path} is {ours!r}"]
    return [] if type(recorded) is type(ours) else [f"{path} is {ours!r} instead of {recorded!r}"]


def answer(sandbox: RunningSandbox, operation: str) -> Json:
    """Return our reply to what the recording answers."""
    sandbox.market(MARKET, to_back=[[1.5, 50]])
    if operation == "placeOrders":
        return sandbox.envelope("placeOrders", {"marketId": MARKET, "instructions": [limit(1, "LAY", "1.01", 2)]})
    bet_id = sandbox.place_one(MARKET, limit(1, "BACK", 1.5 if operation.startswith("listC") else 1.6, 2))
    change = {"marketId": MARKET, "instructions": [{"betId": bet_id}]}
    if operation == "listClearedOrders":
        sandbox.control("settle", marketId=MARKET, winners=[1])
    params: dict[str, Json] = {
        "cancelOrders": change,
        "replaceOrders": {"marketId": MARKET, "instructions": [{"betId": bet_id, "newPrice": 1.7}]},
        "updateOrders": {"marketId": MARKET, "instructions": [{"betId": bet_id, "newPersistenceType": "PERSIST"}]},
        "listCurrentOrders": {"includeItemDescription": True},
        "listClearedOrders": {"betStatus": "SETTLED"},
        "listMarketBook": {
            "marketIds": [MARKET],
            "priceProjection": {"priceData": ["EX_ALL_OFFERS", "EX_TRADED"]},
            "orderProjection": "ALL",
        },
        "listMarketCatalogue": {
            "filter": {"marketIds": [MARKET]},
            "maxResults": 1,
            "marketProjection": [
                "COMPETITION",
                "EVENT",
                "EVENT_TYPE",
                "MARKET_DESCRIPTION",
                "MARKET_START_TIME",
                "RUNNER_DESCRIPTION",
                "RUNNER_METADATA",
            ],
        },
        "listMarketProfitAndLoss": {"marketIds": [MARKET]},
    }
    return sandbox.envelope(operation, params[operation])


@pytest.mark.parametrize(
    "name",
    [
        "placeOrders/2016-unmatched.real.json",
        "cancelOrders/2016-full.real.json",
        "replaceOrders/2016-unmatched.real.json",
        "updateOrders/2016-persist.real.json",
        "listCurrentOrders/2016-one-matched.real.json",
        "listCurrentOrders/2016-with-description.edited.json",
        "listClearedOrders/2016-one.real.json",
        "listMarketBook/2016-in-play-suspended.real.json",
        "listMarketCatalogue/2016-winner.real.json",
        "listMarketCatalogue/2016-with-newer-fields.edited.json",
        "listMarketProfitAndLoss/2016-one-market.real.json",
    ],
)
def test_an_answer_has_the_recorded_shape(sandbox: RunningSandbox, name: str) -> None:
    if not RECORDED.is_dir():
        pytest.skip("the folder of recorded replies is not beside the project")
    recorded = json.loads((RECORDED / name).read_text(encoding="utf-8"))
    ours = json.loads(json.dumps(answer(sandbox, name.split("/", maxsplit=1)[0]), default=float))
    assert shape_errors(recorded, ours) == []


@pytest.mark.parametrize(
    ("name", "login_ok"),
    [
        ("certlogin/success.edited.json", True),
        ("certlogin/fail.edited.json", False),
        ("login/success.made.json", True),
        ("keepAlive/success.edited.json", True),
        ("keepAlive/fail.edited.json", False),
        ("logout/success.edited.json", True),
        ("logout/fail.edited.json", False),
    ],
)
def test_an_identity_answer_has_the_recorded_shape(sandbox: RunningSandbox, name: str, login_ok: bool) -> None:
    if not RECORDED.is_dir():
        pytest.skip("the folder of recorded replies is not beside the project")
    recorded = json.loads((RECORDED / name).read_text(encoding="utf-8"))
    operation = name.split("/", maxsplit=1)[0]
    form = {"username": sandbox.options.username, "password": sandbox.options.password if login_ok else "no"}
    headers = {
        "Accept": "application/json",
        "X-Application": "app_key",
        "X-Authentication": sandbox.token if login_ok else "gone",
    }
    base = sandbox.cert_api if operation == "certlogin" else sandbox.api
    reply = sandbox.session.post(
        f"{base}/api/{operation}", data=form, headers=headers, cert=str(sandbox.paths.client_pem)
    )
    assert reply.status_code == 200
    ours = reply.json()
    assert shape_errors(recorded, ours) == []
    for field in ("status", "loginStatus", "product"):
        assert recorded.get(field) in {None, ours.get(field)}
