"""Fixtures around a browser; a module takes them by `pytest_plugins = ["support.browser_fixtures"]`, marked `apt`.

Owns: one Chromium for each module. Invariants: at the end of a test every tab it opened must be clean; at the end of a
module none of it is left. (Playwright's own event loop runs in the thread of the tests for as long as it is open: no
`asyncio.run` of a later module would start beside it.)
"""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from support.browser import OpenTab, Tab, new_tab


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not installed (.ci/apt-packages)")
    # Chromium's own sandbox refuses root; proxies of the environment are not for loopback.
    arguments = ["--no-proxy-server", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_tab(chromium: Browser) -> Iterator[OpenTab]:
    """Return a function that opens an address, also as on a phone."""
    tabs: list[Tab] = []

    def open_at(url: str, *, phone: bool = False) -> Tab:
        tabs.append(new_tab(chromium, url, phone=phone))
        return tabs[-1]

    yield open_at
    for tab in tabs:
        tab.page.context.close()
    assert [tab.elsewhere for tab in tabs if tab.elsewhere] == []
    assert [tab.errors for tab in tabs if tab.errors] == []
