"""Which pages there are, who gets in, and how.

Invariants: no page without a session, loopback or not; a page that is asked for without one leads to the login and
back; the halt works without a script, too.
"""

from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from executor.console.api.models import HaltBody
from executor.console.api.trading import halt_now
from executor.console.context import Console, Here, Operator, Viewer, address_of
from executor.console.pages import overview, trading
from executor.console.pages.rendering import PARTIAL, page
from executor.console.principal import NotKnown, TooMany
from executor.console.problems import of_error

_STATIC: Final = Path(__file__).parent.parent / "static"
_SEE_OTHER: Final = 303


def add(app: FastAPI) -> None:
    """Give the application its pages."""
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    _add_login(app)
    _add_pages(app)

    @app.exception_handler(NotKnown)
    async def to_login(request: Request, error: NotKnown) -> Response:
        of_api = request.url.path.startswith("/api")
        if request.method == "POST" and not of_api and "text/html" in request.headers.get("accept", ""):
            return _door(request.app.state.console, "Nothing was done: your session is over. Log in.", 401)  # no script
        asked_for_page = request.method == "GET" and not of_api
        if not asked_for_page or request.headers.get(PARTIAL):
            return of_error(request, error)
        there = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(there, safe='')}", _SEE_OTHER)

    @app.get("/favicon.ico", include_in_schema=False)
    def favicon() -> Response:
        return RedirectResponse("/static/icon.svg", 308)


def _local(text: str) -> str:
    """Return a path of ours, whatever was asked for."""
    parts = urlsplit(text)
    plain = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if plain and not parts.scheme and not parts.netloc else "/"


def _door(console: Console, problem: str = "", status: int = 200, following: str = "/") -> Response:
    text = console.templates.get_template("login.html").render(
        problem=problem, users=console.sessions.has_users, following=following
    )
    return HTMLResponse(text, status)


def _enter(console: Console, cookie: str, following: str) -> Response:
    answer = RedirectResponse(_local(following), _SEE_OTHER)
    answer.set_cookie(console.cookie, cookie, path="/", httponly=True, samesite="strict", secure=console.secure)
    return answer


def _too_many(console: Console, error: TooMany, following: str) -> Response:
    console.refused("too_many_attempts")
    answer = _door(console, str(error), 429, following)
    answer.headers["Retry-After"] = str(max(error.after_s, 1))
    return answer


def _log_in(console: Console, address: str, form: dict[str, str]) -> Response:
    following = _local(form.get("next", "/"))
    try:
        if "once" in form:
            return _enter(console, console.sessions.log_in_once(form["once"], address), "/")
        cookie = console.sessions.log_in(form.get("name", ""), form.get("password", ""), address)
    except TooMany as error:
        return _too_many(console, error, following)
    except NotKnown as error:
        console.refused("not_authenticated")
        return _door(console, str(error), 401, following)
    return _enter(console, cookie, following)


def _add_login(app: FastAPI) -> None:
    @app.get("/login", include_in_schema=False)
    def login_page(request: Request, console: Here) -> Response:
        once = request.query_params.get("once", "")
        following = _local(request.query_params.get("next", "/"))
        if once:  # a page of its own first: a link's preview must not use it up
            text = console.templates.get_template("once.html").render(once=once[:200])
            return HTMLResponse(text)
        return _door(console, following=following)

    @app.post("/login", include_in_schema=False)
    async def login(request: Request, console: Here) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode("utf-8", "replace")).items()}
        try:
            return await console.login_queue.run(lambda: _log_in(console, address_of(request), form))
        except TooMany as error:
            return _too_many(console, error, _local(form.get("next", "/")))

    @app.post("/logout", include_in_schema=False)
    def logout(request: Request, console: Here) -> Response:
        console.sessions.log_out(request.cookies.get(console.cookie, ""))  # one that is over already, too
        answer = RedirectResponse("/login", _SEE_OTHER)
        answer.delete_cookie(console.cookie, path="/", httponly=True, samesite="strict", secure=console.secure)
        return answer

    @app.post("/halt", include_in_schema=False)
    def halt(who: Operator, console: Here) -> Response:
        """Halt without a script: a plain form's button."""
        halt_now(console, who, HaltBody(reason="halted in the console"))
        return RedirectResponse("/", _SEE_OTHER)


def _add_pages(app: FastAPI) -> None:
    simple = {
        "/": ("overview.html", overview.overview),
        "/markets": ("markets.html", trading.markets),
        "/hedges": ("hedges.html", trading.hedges),
        "/limits": ("limits.html", trading.limits),
        "/failed": ("failed.html", trading.failed),
        "/alerts": ("alerts.html", trading.alerts),
        "/processes": ("processes.html", overview.health),
    }
    asked = {
        "/orders": ("orders.html", trading.orders),
        "/signals": ("signals.html", trading.signals),
        "/pnl": ("pnl.html", trading.pnl),
        "/audit": ("audit.html", trading.audit),
    }
    named = {
        "/signals/{name:path}": ("signal.html", trading.signal),
        "/markets/{name}": ("market.html", trading.market),
    }
    for path in simple:

        @app.get(path, include_in_schema=False)
        def plain(request: Request, who: Viewer, console: Here) -> Response:
            template, look = simple[request.scope["route"].path]
            return page(request, console, who, template, lambda: look(console))

    for path in asked:

        @app.get(path, include_in_schema=False)
        def filtered(request: Request, who: Viewer, console: Here) -> Response:
            template, look = asked[request.scope["route"].path]
            return page(request, console, who, template, lambda: look(console, request))

    for path in named:

        @app.get(path, include_in_schema=False)
        def single(request: Request, who: Viewer, console: Here, name: str) -> Response:
            template, look = named[request.scope["route"].path]
            return page(request, console, who, template, lambda: look(console, name))
