"""How a page is drawn: the frame around it, its live part alone when the page asks again, and not at all when the same.

Invariants: whatever came from outside is escaped; a page says as of when its data are, by Redis' time. Units: ms.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from executor.console.context import Console
from executor.console.pages import charts
from executor.console.principal import Principal, Role
from executor.console.problems import NotFound
from executor.domain.times import iso
from executor.errors import ExecutorError
from executor.operations.status import mode_of
from executor.operations.trading import why_not_trading
from executor.operations.wording import counted, duration, money, words

_DASH: Final = "\N{EN DASH}"
_MINUS: Final = "\N{MINUS SIGN}"
PARTIAL: Final = "x-partial"  # a page of ours asks for its live part only
PAGES: Final = (
    ("/", "Overview"),
    ("/orders", "Orders"),
    ("/signals", "Signals"),
    ("/markets", "Markets"),
    ("/pnl", "P&L"),
    ("/limits", "Limits"),
    ("/hedges", "Hedges"),
    ("/failed", "Failed"),
    ("/alerts", "Alerts"),
    ("/processes", "Processes"),
    ("/audit", "Audit"),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around every page."""

    user: str
    role: str
    operator: bool
    mode: str
    identity: str
    trading: str  # on, off, unknown
    why: str
    alerts: int
    failed: int
    as_of: str
    currency: str = ""  # of all amounts, where it is known


def environment() -> Environment:
    """Make what the templates are drawn with."""
    made = Environment(
        loader=PackageLoader("executor.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "money": lambda amount: _DASH if amount is None else money(amount),
        "words": words,
        "duration": duration,
        "signed": signed,
        "ms": iso,
        "path": lambda text: quote(str(text), safe=""),
    }
    made.globals |= {"pages": PAGES, "counted": counted, "charts": charts}
    return made


def signed(amount: Decimal | None) -> str:
    """Write a profit with its sign, so that colour is not all that tells it from a loss."""
    if amount is None:
        return _DASH
    return f"+{money(amount)}" if amount > 0 else money(amount).replace("-", _MINUS)


def frame_of(console: Console, who: Principal) -> Frame:
    """Look at what stands around every page; what cannot be seen is unknown."""
    unknown = Frame(
        user=who.name,
        role=who.role,
        operator=who.may(Role.OPERATOR),
        mode=mode_of(console.settings),
        identity=console.settings.identity,
        trading="unknown",
        why="",
        alerts=0,
        failed=0,
        as_of="",
    )
    try:
        state = console.state()
    except ExecutorError as error:
        return replace(unknown, why=str(error))
    return replace(
        unknown,
        trading="on" if state.trading_enabled else "off",
        why=why_not_trading(state),
        alerts=len(state.alerts),
        failed=state.failed_tasks,
        as_of=iso(int(state.now * 1000)),
        currency=state.currency,
    )


def page(
    request: Request,
    console: Console,
    who: Principal,
    template: str,
    look: Callable[[], Mapping[str, Any]],
) -> Response:
    """Draw a page: whole, or its live part where that has changed."""
    partial = request.headers.get(PARTIAL) == "live"
    status = 200
    frame = frame_of(console, who)
    try:
        context = look()
    except ExecutorError as error:
        if partial:
            raise
        missing = isinstance(error, NotFound)
        template, context, status = "away.html", {"problem": str(error), "missing": missing}, 404 if missing else 503
    text = console.templates.get_template(template).render(
        frame=frame,
        here=request.url.path,
        partial=partial,
        query=dict(request.query_params),
        **context,
    )
    headers = {"X-As-Of": frame.as_of}
    if partial:
        tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'
        headers["ETag"] = tag
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
    return HTMLResponse(text, status, headers)
