"""The house's liquidity: over some orders every fate occurs, and the same seed and calls give the same fates."""

from decimal import Decimal

from support.sandbox_client import Json, RunningSandbox, limit, wait_for

pytest_plugins = ["support.sandbox_fixtures"]
ORDERS = 24
SIZE = 10


def instruction(at: int) -> Json:
    return limit(1_000 + at % 3, "BACK" if at % 2 else "LAY", ("1.5", "2.02", "3.05", "8")[at % 4], SIZE)


def place_all(sandbox: RunningSandbox) -> list[Json]:
    """Place the orders on as many selections of eight markets; return their reports."""
    return [
        sandbox.place(f"1.7000{at // 3}", instruction(at), customerRef=f"c{at}")["instructionReports"][0]
        for at in range(ORDERS)
    ]


def test_orders_are_matched_at_once_later_partly_and_never(sandbox: RunningSandbox) -> None:
    reports = place_all(sandbox)
    at_once = {report["betId"] for report in reports if report["sizeMatched"] == SIZE}
    partly = {report["betId"] for report in reports if 0 < report["sizeMatched"] < SIZE}
    rest = {report["betId"] for report in reports} - at_once - partly

    def matched_by_now() -> dict[str, Decimal]:
        return {order["betId"]: order["sizeMatched"] for order in sandbox.get("orders")}

    # Of 24 orders two and a half decks are dealt: at least 8 now, 6 soon, 4 partly, 2 never, whatever the seed.
    assert (len(at_once) >= 8, len(partly) >= 4) == (True, True)
    wait_for(lambda: sum(matched_by_now()[bet_id] == SIZE for bet_id in rest) >= 6, deadline_s=8)
    never = [bet_id for bet_id in rest if not matched_by_now()[bet_id]]
    assert len(never) >= 2
    assert all(0 < matched_by_now()[bet_id] < SIZE for bet_id in partly)


def test_the_same_seed_and_calls_give_the_same_fates(sandbox: RunningSandbox) -> None:
    def fates() -> list[tuple[Decimal, Decimal]]:
        return [(report["sizeMatched"], report["averagePriceMatched"]) for report in place_all(sandbox)]

    first = fates()
    sandbox.control("reset")
    assert fates() == first
    sandbox.control("reset", seed=2)
    assert fates() != first


def test_nobody_gets_a_price_worse_than_asked(sandbox: RunningSandbox) -> None:
    for at, report in enumerate(place_all(sandbox)):
        if report["sizeMatched"]:
            asked = Decimal(instruction(at)["limitOrder"]["price"])
            gain = report["averagePriceMatched"] - asked
            assert (gain if instruction(at)["side"] == "BACK" else -gain) >= 0


def test_given_prices_stay_as_they_are(sandbox: RunningSandbox) -> None:
    sandbox.market("1.5", to_back=[[3, 10]], to_lay=[[3.1, 10]])
    resting = sandbox.place_one("1.5", limit(1, "BACK", 3.1, 5))
    book = sandbox.call("listMarketBook", marketIds=["1.5"], priceProjection={"priceData": ["EX_ALL_OFFERS"]})
    assert book[0]["runners"][0]["ex"]["availableToLay"] == [{"price": Decimal("3.1"), "size": 15}]
    assert sandbox.order(resting)["sizeMatched"] == 0


def test_an_order_far_from_the_market_meets_the_quotes(sandbox: RunningSandbox) -> None:
    sandbox.place_one("1.5", limit(1, "BACK", 3, 5))
    eager = sandbox.place("1.5", limit(1, "BACK", 1.5, 5))["instructionReports"][0]
    assert eager["averagePriceMatched"] > Decimal("2.5")
    greedy = sandbox.place("1.5", limit(1, "BACK", 9, 5))["instructionReports"][0]
    assert greedy["sizeMatched"] == 0
