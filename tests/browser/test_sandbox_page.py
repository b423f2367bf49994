"""The sandbox's page in a real browser: what people see there, and what its buttons do."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.browser import OpenTab, Tab
from support.recordings import WINNER, race, write_recording
from support.sandbox_client import RunningSandbox, limit
from support.sandbox_command import start_command

pytest_plugins = ["support.browser_fixtures", "support.sandbox_fixtures"]
pytestmark = pytest.mark.apt
MARKET = "1.500000001"


@pytest.fixture
def market(sandbox: RunningSandbox) -> str:
    runners = [
        {"selectionId": 1, "name": "Red", "availableToBack": [[3, 50]], "availableToLay": [[3.1, 40]]},
        {"selectionId": 2, "name": "Blue", "availableToBack": [], "availableToLay": []},
    ]
    sandbox.control("markets", marketId=MARKET, name="2:30 Race", eventName="Made Up Park", runners=runners)
    return MARKET


@pytest.fixture
def tab(sandbox: RunningSandbox, market: str, open_tab: OpenTab) -> Tab:
    assert market == MARKET
    opened = open_tab(f"{sandbox.api}/sandbox")
    expect(opened.page.locator("#market-title")).to_have_text("2:30 Race, Made Up Park")
    return opened


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_books_bets_and_journal_are_live(sandbox: RunningSandbox, tab: Tab) -> None:
    page = tab.page
    red = page.locator("#runners tr", has_text="Red")
    expect(red.locator("td.back").last).to_have_text("350.00")
    expect(red.locator("td.lay").first).to_have_text("3.140.00")
    bet_id = sandbox.place_one(MARKET, limit(1, "BACK", 3, 20))
    bet = page.locator("#bets tr", has_text=bet_id)
    expect(bet).to_contain_text("BACK")
    expect(bet).to_contain_text("EXECUTION_COMPLETE")
    expect(red.locator("td.back").last).to_have_text("330.00")
    expect(page.locator("#journal tr").first).to_contain_text("placeOrders")
    expect(page.locator("#accounts tr").first).to_contain_text("9980.00")


def test_prices_suspend_in_play_and_settle(sandbox: RunningSandbox, tab: Tab) -> None:
    page = tab.page
    form = page.locator("#prices")
    form.get_by_label("Runner").select_option(label="Blue")
    form.get_by_label("To back").fill("4.2")
    form.get_by_label("Size").first.fill("25")
    press(page, "Offer exactly this")
    blue = page.locator("#runners tr", has_text="Blue")
    expect(blue.locator("td.back").last).to_have_text("4.225.00")
    bet_id = sandbox.place_one(MARKET, limit(2, "BACK", "4.2", 10))
    press(page, "Suspend")
    expect(page.locator("#market-facts")).to_contain_text("SUSPENDED")
    assert sandbox.place(MARKET, limit(2, "BACK", 3, 2))["errorCode"] == "MARKET_SUSPENDED"
    press(page, "Open")
    press(page, "Turn in-play")
    expect(page.locator("#market-facts")).to_contain_text("in-play")
    blue.get_by_role("checkbox").check()
    press(page, "Settle with ticked winners")
    expect(page.locator("#answer")).to_have_text("Settled with Blue.")
    expect(page.locator("#bets tr", has_text=bet_id)).to_contain_text("32.00")
    expect(blue).to_contain_text("WINNER")
    press(page, "Take the result back")
    expect(blue).not_to_contain_text("WINNER")
    assert sandbox.get("accounts")["accounts"][0]["balance"] == 10_000


def test_an_act_that_is_not_confirmed_does_nothing(sandbox: RunningSandbox, tab: Tab) -> None:
    page = tab.page
    tab.confirms = False
    press(page, "Void market")
    press(page, "Reset the sandbox")
    (book,) = sandbox.call("listMarketBook", marketIds=[MARKET])
    assert book["status"] == "OPEN"


def test_a_removed_runner_and_a_refusal(sandbox: RunningSandbox, tab: Tab) -> None:
    page = tab.page
    press(page, "Remove ticked runner")
    expect(page.locator("#answer")).to_have_text("Tick the one runner to remove.")
    blue = page.locator("#runners tr", has_text="Blue")
    blue.get_by_role("checkbox").check()
    press(page, "Remove ticked runner")
    expect(blue).to_contain_text("REMOVED")
    form = page.locator("#prices")
    form.get_by_label("To back").fill("3.01")
    form.get_by_label("Size").first.fill("25")
    press(page, "Offer exactly this")
    expect(page.locator("#answer")).to_contain_text("3.01 is not on the price ladder")
    assert [text for text in tab.errors if "400" not in text] == []
    tab.errors.clear()  # Chromium tells of every refusal
    assert sandbox.get("orders") == []


def test_faults_are_armed_and_disarmed(sandbox: RunningSandbox, tab: Tab) -> None:
    page = tab.page
    form = page.locator("#faults")
    form.get_by_label("Method").select_option("listCurrentOrders")
    form.get_by_label("Kind").fill("http_503")
    press(page, "Arm")
    expect(page.locator("#armed")).to_contain_text("http_503 on listCurrentOrders, 1 to come")
    assert sandbox.post("listCurrentOrders", {}).status_code == 503
    expect(page.locator("#journal tr").first).to_contain_text("http_503")
    press(page, "Arm")
    press(page, "Disarm all")
    expect(page.locator("#armed li")).to_have_count(0)
    assert sandbox.post("listCurrentOrders", {}).status_code == 200


def test_a_market_is_opened_and_found(sandbox: RunningSandbox, tab: Tab) -> None:
    page = tab.page
    form = page.locator("#open-market")
    form.get_by_label("Market id").fill("1.77")
    form.get_by_label("Runners").fill("5, 6")
    press(page, "Open market")
    expect(page.locator("#market-facts")).to_contain_text("1.77")
    expect(page.locator("#runners tr")).to_have_count(2)
    page.get_by_label("Find").fill("made up")
    expect(page.locator("#markets li")).to_have_count(1)
    page.locator("#markets button").click()
    expect(page.locator("#market-title")).to_have_text("2:30 Race, Made Up Park")
    press(page, "Reset the sandbox")
    expect(page.locator("#no-markets")).to_be_visible()
    assert sandbox.get("orders") == []


def test_what_customers_write_is_shown_and_not_run(sandbox: RunningSandbox, tab: Tab) -> None:
    nasty = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    sandbox.control("markets", marketId=MARKET, name=nasty)
    expect(tab.page.locator("#market-title")).to_contain_text("<img src=x")
    assert tab.page.title() == "Sandbox exchange"
    assert tab.page.locator("main img").count() == 0


def test_a_look_that_fails_is_told_and_recovers(tab: Tab) -> None:
    page = tab.page
    page.context.route("**/sandbox/state?*", lambda route: route.abort())
    expect(page.locator("#as-of")).to_have_class("failed")
    expect(page.locator("#as-of")).to_contain_text("The last look failed")
    page.context.unroute("**/sandbox/state?*")
    expect(page.locator("#as-of")).to_contain_text("As of")
    expect(page.locator("#as-of")).not_to_have_class("failed")
    tab.errors = [text for text in tab.errors if "ERR_FAILED" not in text]  # Chromium tells of what was aborted


def test_it_fits_a_phone(sandbox: RunningSandbox, market: str, open_tab: OpenTab) -> None:
    sandbox.place_one(market, limit(1, "BACK", 3, 20))
    page = open_tab(f"{sandbox.api}/sandbox", phone=True).page
    expect(page.locator("#bets tr")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    best = page.locator("#runners td.lay").first.bounding_box()
    assert best is not None
    assert best["x"] + best["width"] <= 390  # both best prices are seen without scrolling
    box = page.get_by_role("button", name="Suspend").bounding_box()
    assert box is not None
    assert box["height"] >= 40  # a finger's width
    page.get_by_role("button", name="Suspend").tap()
    expect(page.locator("#market-facts")).to_contain_text("SUSPENDED")


def test_a_replay_is_seen_and_stopped(tmp_path: Path, open_tab: OpenTab) -> None:
    path = write_recording(tmp_path / "race.bz2", race(updates=40))
    process = start_command(tmp_path, "--replay", str(path), "--speed", "0.001")
    try:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        sandbox = RunningSandbox.at(tmp_path / "sandbox")
        page = open_tab(f"{sandbox.api}/sandbox").page
        expect(page.locator("#market-facts")).to_contain_text("replayed")
        press(page, "Pause")
        expect(page.locator("#replay-state")).to_contain_text("paused")
        played = sandbox.get("replay")["linesPlayed"]
        press(page, "One line")
        expect(page.locator("#replay-state")).to_contain_text(f"{played + 1} lines")
        expect(page.get_by_role("button", name="Offer exactly this")).to_be_disabled()
        press(page, "Go on")
        page.get_by_label("Speed").fill("10000")
        press(page, "Set speed")
        expect(page.locator("#replay-state")).to_contain_text("finished")
        expect(page.locator("#runners tr", has_text=f"Horse {WINNER}")).to_contain_text("WINNER")
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_the_policy_allows_nothing_from_elsewhere_and_nothing_inline(sandbox: RunningSandbox) -> None:
    reply = sandbox.session.get(f"{sandbox.api}/sandbox")
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert " on" not in reply.text.replace(" on a", "").split("<body>")[0]
    for name in ("page.css", "page.js"):
        assert "://" not in sandbox.session.get(f"{sandbox.api}/sandbox/static/{name}").text
    assert sandbox.session.get(f"{sandbox.api}/sandbox/static/page.py").status_code == 404


def test_another_sites_page_cannot_act(sandbox: RunningSandbox, market: str) -> None:
    reply = sandbox.session.post(
        f"{sandbox.api}/sandbox/void", json={"marketId": market}, headers={"Origin": "https://elsewhere.example"}
    )
    assert reply.status_code == 403
    (book,) = sandbox.call("listMarketBook", marketIds=[market])
    assert book["status"] == "OPEN"
