"""A real browser for tests of pages: Debian's Chromium, driven by Playwright.

Owns: a page that may talk to one origin only, and what went wrong in it. Invariant: a page that asks for anything from
elsewhere, writes an error to the console or breaks its content policy fails its test. The fixtures that open pages are
in `support.browser_fixtures`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Route, ViewportSize

PHONE = ViewportSize(width=390, height=844)
DESK = ViewportSize(width=1280, height=900)


@dataclass
class Tab:
    """A page, and what went wrong in it."""

    page: Page
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    confirms: bool = True  # what the person answers when the page asks

    def answer(self, dialog: Dialog) -> None:
        if self.confirms:
            dialog.accept()
        else:
            dialog.dismiss()

    def note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)


OpenTab = Callable[..., Tab]


def new_tab(browser: Browser, url: str, *, phone: bool = False) -> Tab:
    """Open an address in a context of its own that reaches nothing else."""
    context = browser.new_context(ignore_https_errors=True, viewport=PHONE if phone else DESK, has_touch=phone)
    tab = Tab(context.new_page())
    host = urlsplit(url).netloc

    def only_here(route: Route) -> None:
        if urlsplit(route.request.url).netloc == host:
            route.continue_()
        else:
            tab.elsewhere.append(route.request.url)
            route.abort()

    context.route(lambda address: not address.startswith("data:"), only_here)
    tab.page.on("dialog", tab.answer)
    tab.page.on("console", tab.note)
    tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.page.goto(url)
    return tab
