"""The console in a real browser, on real processes and the sandbox: what a person does, and what he sees of it."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import requests
from playwright.sync_api import Page, expect
from support.browser import OpenTab, Tab
from support.console_rig import PASSWORD, users_text
from support.running_stack import RunningStack, until

from executor import wiring
from executor.devstack.redis_server import HOST, free_port
from executor.devstack.stack import CONSOLE_METRICS_PORT, CONSOLE_PORT, EXECUTOR, replaced
from executor.engine import accounting, settlement

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.apt, pytest.mark.slow]

WITHIN_MS: Final = 20_000
PAGES: Final = (
    *("/", "/orders", "/signals", "/markets", "/pnl", "/limits", "/hedges", "/failed", "/alerts", "/processes"),
    "/audit",
)


class Served:
    """A trading system on its sandbox, and a console of its own."""

    def __init__(self, folder: Path) -> None:
        self.stack = RunningStack(folder, {"EXECUTOR_ORDER_MANAGER__UNMATCHED_ORDER_TIMEOUT_SECONDS": "600"}).start()
        users = folder / "users"
        users.write_text(users_text())
        users.chmod(0o600)
        self.port = free_port()
        more = {
            CONSOLE_PORT: str(self.port),
            CONSOLE_METRICS_PORT: str(free_port()),
            "EXECUTOR_CONSOLE__USERS_FILE": str(users),
        }
        self.environ = replaced(self.stack.environ, more)
        self.output = folder / "console.log"
        self.process = self.serve()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def serve(self) -> "subprocess.Popen[bytes]":
        with self.output.open("ab") as output:
            process = subprocess.Popen(
                [*EXECUTOR, "console"], cwd=self.stack.folder, env=self.environ, stdout=output, stderr=output
            )
        until(self._answers, 60, "the console did not start")
        return process

    def _answers(self) -> bool:
        with requests.Session() as session:
            session.trust_env = False
            try:
                return session.get(f"{self.url}/health", timeout=2).ok
            except requests.ConnectionError:
                return False

    def publish(self, signal_id: str, **changes: Any) -> None:
        market, selection = changes.pop("market", "1.300000001"), changes.pop("selection", 101)
        primary = {"selectionId": str(selection), "recommendedOdds": 2.0, "stake": 10, "betType": "Back", **changes}
        self.stack.publish(
            {
                "signalId": signal_id,
                "marketId": market,
                "strategy": "browser",
                "validityWindow": 60,
                "primarySelection": primary,
            }
        )

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self.stack.stop()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = Served(tmp_path_factory.mktemp("served"))
    try:
        yield running
    finally:
        running.stop()


def enter(open_tab: OpenTab, served: Served, path: str = "/", *, name: str = "anna", phone: bool = False) -> Tab:
    """Log in as a person does, on the way to a page."""
    tab = open_tab(served.url + path, phone=phone)
    expect(tab.page).to_have_url(re.compile("/login"))
    tab.page.fill("input[name=name]", name)
    tab.page.fill("input[name=password]", PASSWORD)
    tab.page.click("text=Log in")
    expect(tab.page).to_have_url(served.url + path)
    tab.page.wait_for_load_state()
    tab.page.evaluate("window.sameDocument = true")
    return tab


def confirm(page: Page) -> None:
    expect(page.locator("dialog[open]")).to_be_visible()
    page.click("#ask-yes")


def see(page: Page, text: str) -> None:
    expect(page.locator("#live")).to_contain_text(text, timeout=WITHIN_MS)


def row_of(page: Page, text: str) -> Any:
    return page.locator("#live tr", has_text=text)


def test_a_signal_becomes_a_fill_without_reloading(served: Served, open_tab: OpenTab) -> None:
    page = enter(open_tab, served, "/signals").page
    served.publish("seen-live")
    expect(row_of(page, "seen-live")).to_contain_text("completed", timeout=WITHIN_MS)
    assert page.evaluate("window.sameDocument") is True
    row_of(page, "seen-live").locator("a", has_text="seen-live").click()
    see(page, "sent to the exchange")
    see(page, "fill")
    assert page.locator(".way time").count() >= 5, "every step has its time"
    expect(page.locator(".way time").first).to_have_attribute("title", re.compile("UTC"))


def test_halt_rejects_with_its_reason_and_resume_trades_again(served: Served, open_tab: OpenTab) -> None:
    page = enter(open_tab, served, "/signals").page
    page.keyboard.press("h")
    expect(page.locator("#ask-text")).to_contain_text("Stop trading now?")
    page.keyboard.press("Escape")
    assert served.stack.redis.get("trading:enabled") == "true", "asked, and not done"
    expect(page.locator("text=Resume trading")).to_have_count(0)  # it is on
    page.click("button.halt")
    page.fill("#ask-reason input", "prices look <b>wrong</b>")
    began = time.monotonic()
    page.keyboard.press("Enter")
    while served.stack.redis.get("trading:enabled") != "false":  # not `until`: the page's requests pass through us
        page.wait_for_timeout(20)
        assert time.monotonic() - began < 10, "the switch was not thrown"
    expect(page.locator("#banner")).to_contain_text("Trading is OFF", timeout=WITHIN_MS)
    expect(page.locator("#toasts")).to_contain_text("Trading is off (read back)")
    served.publish("while-halted")
    expect(row_of(page, "while-halted")).to_contain_text("trading disabled", timeout=WITHIN_MS)
    expect(page.locator("#banner")).to_contain_text("prices look <b>wrong</b> (anna")
    assert "prices look <b>wrong</b> (anna" in served.stack.executor("status").stdout
    page.goto(served.url + "/audit")
    expect(row_of(page, "prices look <b>wrong</b>").first).to_contain_text("halt")
    page.click("text=Resume trading")
    confirm(page)
    expect(page.locator("#banner")).to_contain_text("Trading is on", timeout=WITHIN_MS)
    served.publish("after-resume")
    page.goto(served.url + "/signals")
    expect(row_of(page, "after-resume")).to_contain_text("completed", timeout=WITHIN_MS)


def test_a_changed_limit_is_obeyed_by_the_next_signal(served: Served, open_tab: OpenTab) -> None:
    page = enter(open_tab, served, "/limits").page
    page.fill("input[name=MaxStakePerOrder]", "5")
    expect(page.locator("output[data-for=MaxStakePerOrder]")).to_contain_text("100 → 5")
    page.fill("input[name=MaxRiskPerTradePercent]", "2.5%")
    expect(page.locator("output[data-for=MaxRiskPerTradePercent]")).to_contain_text("0.02 (2 %) → 2.5%")
    page.fill("input[name=MaxRiskPerTradePercent]", "0.025")
    page.click("text=Change >> nth=-1")
    expect(page.locator("#ask-text")).to_contain_text("MaxStakePerOrder: 100 → 5")
    expect(page.locator("#ask-text")).to_contain_text("MaxRiskPerTradePercent: 0.02 (2 %) → 0.025 (2.5 %)")
    confirm(page)
    expect(page.locator("#toasts")).to_contain_text("MaxStakePerOrder: 100 → 5")
    expect(page.locator("[data-held=MaxRiskPerTradePercent]")).to_have_text("0.025 (2.5 %)", timeout=WITHIN_MS)
    expect(page.locator("[data-held=MaxStakePerOrder]")).to_have_text("5", timeout=WITHIN_MS)
    served.publish("too-large")
    page.goto(served.url + "/signals?reason=MAX_STAKE_PER_ORDER")
    expect(row_of(page, "too-large")).to_contain_text("Stake 10 exceeds max per order 5", timeout=WITHIN_MS)
    served.stack.executor("limits", "set", "MaxStakePerOrder=100", "MaxRiskPerTradePercent=2%")


def test_two_operators_at_once(served: Served, open_tab: OpenTab) -> None:
    tab = enter(open_tab, served, "/limits")
    tab.page.route(
        "**/limits", lambda route: route.abort() if route.request.headers.get("x-partial") else route.continue_()
    )
    tab.page.fill("input[name=MaxDailyLoss]", "900")
    served.stack.executor("limits", "set", "MaxDailyLoss=300")
    tab.page.click("text=Change >> nth=-1")
    confirm(tab.page)
    expect(tab.page.locator("#toasts")).to_contain_text("somebody else has changed the limits")
    assert served.stack.redis.hget("risk:limits", "MaxDailyLoss") == "300"
    served.stack.executor("limits", "set", "MaxDailyLoss=500")
    tab.page.close()
    tab.errors.clear()  # the browser's own lines about the answers that this test is about


def test_an_order_is_cancelled_at_the_exchange(served: Served, open_tab: OpenTab) -> None:
    page = enter(open_tab, served, "/orders?active=1").page
    served.publish("rests", recommendedOdds=1.01, betType="Lay", stake=3)  # nobody backs so low
    box = page.locator("#live input[type=checkbox]")
    expect(box).to_have_count(1, timeout=WITHIN_MS)
    box.check()
    page.wait_for_timeout(3000)
    expect(page.locator("#live input:checked")).to_have_count(1)
    page.click("text=Cancel chosen")
    confirm(page)
    expect(page.locator("#toasts")).to_contain_text("CANCELLED", timeout=WITHIN_MS)
    at_exchange = [bet for bet in served.stack.sandbox.orders() if bet["side"] == "LAY"]
    assert [bet["status"] for bet in at_exchange] == ["EXECUTION_COMPLETE"]
    assert at_exchange[0]["sizeCancelled"] == 3
    page.goto(served.url + "/orders")
    expect(row_of(page, "LAY")).to_contain_text("cancelled")


def test_a_failed_task_is_run_again_by_hand(served: Served, open_tab: OpenTab) -> None:
    served.stack.executor("halt")
    served.publish("to-retry")
    until(lambda: "REJECTED" in (served.stack.redis.get("signal:to-retry") or ""), 20, "not rejected")
    served.stack.executor("resume")
    kept = wiring.failed_tasks(served.stack.settings)
    kept.keep("risk-to-retry", {"task": "executor.validate_risk", "signal_id": "to-retry", "error": "Boom: <b>x</b>"})
    kept.keep("risk-seen-live", {"task": "executor.validate_risk", "signal_id": "seen-live", "error": "Boom"})
    page = enter(open_tab, served, "/failed").page
    see(page, "Boom: <b>x</b>")
    see(page, "allowed: no leg of it is")
    see(page, "forbidden: signal seen-live cannot be tried again")
    page.locator("section", has_text="risk-to-retry").locator("text=Run again").click()
    confirm(page)
    expect(page.locator("#toasts")).to_contain_text("Started again")
    until(lambda: "COMPLETED" in (served.stack.redis.get("signal:to-retry") or ""), 20, "not run again")
    page.locator("section", has_text="risk-seen-live").locator("text=Discard").click()
    confirm(page)
    see(page, "Nothing failed for good")


def test_profit_and_loss_after_a_settlement(served: Served, open_tab: OpenTab) -> None:
    for number in range(3):  # the first of a market may rest; a low price is matched at a better one
        served.publish(f"to-win-{number}", market="1.300000003", selection=7, recommendedOdds=1.2, stake=20)
    until(lambda: served.stack.redis.hget("exposure:1.300000003", "7"), 20, "not matched")
    served.stack.sandbox.control("settle", {"marketId": "1.300000003", "winners": [7]})
    engine = wiring.build(served.stack.settings)
    settlement.settle(engine)  # as beat does within a minute
    accounting.write_ledger(engine)
    page = enter(open_tab, served, "/pnl").page
    see(page, "By market")
    assert "+" in page.locator(".tile .big").first.inner_text()
    with page.expect_download() as download:
        page.click("text=CSV by market")
    text = Path(download.value.path()).read_text()
    assert "1.300000003," in text
    page.goto(served.url + "/markets")
    see(page, "1.300000001")
    page.click("text=1.300000001")
    see(page, "If it wins")


def test_what_was_done_is_in_the_audit(served: Served, open_tab: OpenTab) -> None:
    page = enter(open_tab, served, "/audit").page
    see(page, "anna")
    see(page, "halt")
    see(page, "MaxStakePerOrder")


def test_every_page_fits_a_phone_and_a_wall(served: Served, open_tab: OpenTab) -> None:
    tab = enter(open_tab, served, phone=True)
    for width, height in ((360, 740), (3840, 2160)):
        tab.page.set_viewport_size({"width": width, "height": height})
        for path in (*PAGES, "/signals/seen-live", "/markets/1.300000001"):
            tab.page.goto(served.url + path)
            assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
            expect(tab.page.locator("button.halt")).to_be_in_viewport()
            expect(tab.page.locator("#asof")).to_contain_text("as of")


def test_a_viewer_sees_no_button_that_acts(served: Served, open_tab: OpenTab) -> None:
    page = enter(open_tab, served, name="vic").page
    for path in PAGES:
        page.goto(served.url + path)
        assert page.locator("form.act").count() == 0, path


def test_names_from_signals_are_text(served: Served, open_tab: OpenTab) -> None:
    xss = "<img src=x onerror=window.hit=1>"
    served.stack.publish(
        {
            "signalId": xss,
            "marketId": "1.300000001",
            "strategy": "<script>window.hit=1</script>",
            "validityWindow": 60,
            "primarySelection": {"selectionId": "1", "recommendedOdds": 2, "stake": 150, "betType": "Back"},
        }
    )
    page = enter(open_tab, served, "/signals").page
    see(page, xss)
    row_of(page, xss).locator("a", has_text=xss).click()
    see(page, "exceeds max per order")
    assert page.evaluate("window.hit") is None


def test_eight_tabs_of_one_browser_stay_fresh(served: Served, open_tab: OpenTab) -> None:
    context = enter(open_tab, served).page.context
    pages = [context.new_page() for _ in range(8)]
    for page in pages:
        page.goto(served.url)
    served.stack.executor("halt", "--reason", "eight tabs")
    for page in pages:
        expect(page.locator("#banner")).to_contain_text("Trading is OFF", timeout=WITHIN_MS)
    served.stack.executor("resume")


def test_a_console_that_dies_is_said_in_red_and_heals_and_trading_does_not_notice(
    served: Served, open_tab: OpenTab
) -> None:
    tab = enter(open_tab, served)
    served.process.kill()
    served.process.wait(10)
    expect(tab.page.locator("#asof")).to_have_class(re.compile("stale"), timeout=WITHIN_MS)
    expect(tab.page.locator("#asof")).to_contain_text("the console does not answer")
    served.publish("without-console")
    until(lambda: "COMPLETED" in (served.stack.redis.get("signal:without-console") or ""), 20, "trading noticed")
    served.process = served.serve()
    expect(tab.page.locator("#asof")).not_to_have_class(re.compile("stale"), timeout=WITHIN_MS)
    assert tab.page.evaluate("window.sameDocument") is True, "healed without a reload, the session kept"
    tab.errors.clear()  # the browser's own lines about connections refused


def test_nothing_secret_is_in_the_consoles_output(served: Served) -> None:
    text = served.output.read_text()
    assert PASSWORD not in text
    assert "once=" not in text
    assert "Traceback" not in text
    for line in text.splitlines():
        if line.startswith("{"):
            assert json.loads(line)["level"] != "error", line
