"""The sandbox's pages name all that it has: operations, control paths, faults, fields and errors of the stream."""

from pathlib import Path

import pytest

from betfair_sandbox.api.codes import STREAM_CODES
from betfair_sandbox.control.control_api import control_routes
from betfair_sandbox.control.faults import IDENTITY_METHODS, KINDS, STREAM_KINDS
from betfair_sandbox.options import SandboxOptions
from betfair_sandbox.stream.filters import FIELDS
from betfair_sandbox.world import World

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "sandbox.md").read_text(encoding="utf-8")
STREAM_PAGE = (DOCS / "sandbox-stream.md").read_text(encoding="utf-8")
# Betfair's interface definitions, and its page Accounts operations: whatever is in them has an answer here.
BETFAIRS = {
    "betting": {
        *("listEventTypes", "listCompetitions", "listTimeRanges", "listEvents", "listMarketTypes", "listCountries"),
        *("listVenues", "listMarketCatalogue", "listMarketBook", "listRunnerBook", "listMarketProfitAndLoss"),
        *("listCurrentOrders", "listClearedOrders", "placeOrders", "cancelOrders", "replaceOrders", "updateOrders"),
        *("setDefaultExposureLimitForMarketGroups", "setExposureLimitForMarketGroup", "unblockMarketGroup"),
        *("removeDefaultExposureLimitForMarketGroups", "removeExposureLimitForMarketGroup"),
        *("listExposureLimitsForMarketGroups", "getExposureReuseEnabledEvents", "addExposureReuseEnabledEvents"),
        "removeExposureReuseEnabledEvents",
    },
    "account": {
        *("getAccountFunds", "getAccountDetails", "getAccountStatement", "listCurrencyRates", "getDeveloperAppKeys"),
        *("createDeveloperAppKeys", "transferFunds", "getVendorClientId", "getVendorDetails", "getAuthorisationCode"),
        *("activateApplicationSubscription", "cancelApplicationSubscription", "updateApplicationSubscription"),
        *("getApplicationSubscriptionHistory", "getApplicationSubscriptionToken", "getAffiliateRelation", "token"),
        *("listAccountSubscriptionTokens", "listApplicationSubscriptionTokens", "listAuthorizedWebApps"),
        *("isAccountSubscribedToWebApp", "revokeAccessToWebApp"),
    },
    "heartbeat": {"heartbeat"},
    "scores": {"listRaceDetails", "listScores", "listIncidents", "listAvailableEvents"},
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(SandboxOptions(directory=tmp_path))


def test_every_operation_of_betfairs_is_here_and_on_the_page(world: World) -> None:
    names = world.operations.names()
    assert {api: set(methods) for api, methods in names.items()} == BETFAIRS
    table = PAGE.split("## Operations")[1].split("## Rules")[0]
    listed = {
        word
        for row in table.splitlines()
        if row.startswith("|")
        for word in row.split("|")[1].replace(",", " ").replace(";", " ").split()
    }
    every = {name for methods in names.values() for name in methods} | set(IDENTITY_METHODS)
    assert every - listed - {"login"} == set()  # login is named with what kind it is
    assert "| login (interactive) |" in table


def test_every_row_has_a_source_or_says_that_there_is_none() -> None:
    for section, columns in (("## Operations", 3), ("## Rules", 3)):
        rows = [row for row in PAGE.split(section)[1].split("\n## ")[0].splitlines() if row.startswith("| ")]
        assert len(rows) > 20
        assert all(row.count(" | ") >= columns - 1 for row in rows), section


def test_control_paths_and_faults_are_on_the_pages(world: World) -> None:
    paths = [path for path, _, _ in control_routes(world) if "static" not in path]
    named = {path.removeprefix("/sandbox/") for path in paths} - {"?", "state"}  # `state` is the page's own
    assert {name for name in named if f"$S/{name}" not in PAGE and f"/sandbox/{name}" not in PAGE} == set()
    assert {kind for kind in KINDS if f"`{kind}`" not in PAGE} == set()
    assert {kind for kind in STREAM_KINDS if f"`{kind}`" not in STREAM_PAGE} == set()


def test_fields_and_errors_of_the_stream_are_on_its_page() -> None:
    assert {name for name in FIELDS if name not in STREAM_PAGE} == set()
    assert {code for code in STREAM_CODES if code not in STREAM_PAGE} == set()
    filters = ("marketIds", "bspMarket", "bettingTypes", "eventTypeIds", "turnInPlayEnabled", "raceTypes", "venues")
    assert {name for name in (*filters, "betDelayModels") if name not in STREAM_PAGE} == set()
