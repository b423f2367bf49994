"""The application: routes, errors, the guard around them, and what they all work with."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from executor import wiring
from executor.console import counts, problems
from executor.console.address import sessions
from executor.console.api import accounts, events, failed, hedges, orders, risk, signals, status, trading
from executor.console.context import Console, Here, needs
from executor.console.events import Events
from executor.console.guard import Guard
from executor.console.login_queue import LoginQueue
from executor.console.pace import Pace
from executor.console.pages import routes
from executor.console.pages.rendering import environment
from executor.console.principal import Role
from executor.console.read_cache import ReadCache
from executor.errors import StoreUnavailable
from executor.operations.access import Access
from executor.settings.load import Settings

_TITLE: Final = "AIBetting Executor"
_RESOURCES: Final = (status, trading, risk, hedges, orders, signals, accounts, failed, events)
_LONG_ACTS: Final = 4  # cancels at once; each waits for the exchange


def make_console(settings: Settings) -> Console:
    """Put together what the routes work with.

    Raises:
        UsersFileError: the users file cannot be used.
    """
    return Console(
        settings=settings,
        access=Access(settings, wiring.build),
        sessions=sessions(settings),
        cache=ReadCache(),
        pool=ThreadPoolExecutor(_LONG_ACTS, thread_name_prefix="act"),
        templates=environment(),
        refused=counts.refused,
        pace=Pace(),
        login_queue=LoginQueue(),
    )


def make_app(console: Console) -> FastAPI:
    """Make the application without its guard."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        app.state.events.stop()
        console.pool.shutdown(wait=False)
        console.login_queue.stop()

    app = FastAPI(title=_TITLE, version="1", docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    app.state.console = console
    app.state.events = Events(wiring.updates(console.settings))
    problems.install(app)
    api = APIRouter(prefix="/api", responses={422: {"model": problems.Problem}, 401: {"model": problems.Problem}})
    for resource in _RESOURCES:
        api.include_router(resource.router)
    app.include_router(api)
    _add_health(app)
    routes.add(app)
    return app


def _add_health(app: FastAPI) -> None:
    @app.get("/health", include_in_schema=False)
    def health(console: Here) -> Response:
        """Say, to anybody, whether this process serves and Redis answers; nothing more."""
        try:
            console.state()
        except StoreUnavailable:
            return JSONResponse({"status": "unhealthy", "redis": "away"}, 503)
        return JSONResponse({"status": "ok", "redis": "ok"})

    @app.get("/api/openapi.json", include_in_schema=False, dependencies=[Depends(needs(Role.VIEWER))])
    def openapi(request: Request) -> dict[str, Any]:
        """Return the API's description."""
        return schema(request.app)


def schema(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description of `/api`."""
    description = (
        "Amounts are decimal text, times ISO 8601 in UTC. Errors are RFC 9457 problems. "
        "Programs send `Authorization: Bearer TOKEN` (executor token add NAME --role R)."
    )
    found = get_openapi(title=_TITLE, version="1", description=description, routes=app.routes)
    found["paths"] = {path: item for path, item in found["paths"].items() if path.startswith("/api/")}
    for item in found["paths"].values():
        for operation in item.values():
            refused = operation["responses"].get("422")
            if refused:
                refused["description"] = "Unprocessable Content"  # by Python's older tables it is an Entity
    found.setdefault("components", {})["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"bearer": []}]
    return found


def hosts(settings: Settings) -> frozenset[str]:
    """Return the names under which the console may be asked for."""
    console_settings = settings.console
    return console_settings.allowed_hosts | {"localhost", "127.0.0.1", "::1"} | {console_settings.host}


def guarded(app: FastAPI, console: Console) -> ASGIApp:
    """Put the guard around the application."""
    return Guard(app, hosts(console.settings), secure=console.secure, refused=console.refused)
