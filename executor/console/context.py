"""What every route works with, and who may use it.

Invariant: a request with a token is judged by that token alone, never by a cookie that came with it.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request
from jinja2 import Environment

from executor.console.login_queue import LoginQueue
from executor.console.pace import Pace
from executor.console.principal import NotKnown, NotPermitted, Principal, Role, TooMany
from executor.console.read_cache import ReadCache
from executor.console.sessions import Sessions
from executor.operations.access import Access
from executor.operations.audit import Act, record
from executor.ports.system_snapshot import SystemSnapshot
from executor.settings.load import Settings

_BEARER: Final = "bearer "
_SAFE: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Console:
    """The process: the system, who may use it, what was seen of it lately, and a thread or two for long acts."""

    settings: Settings
    access: Access
    sessions: Sessions
    cache: ReadCache
    pool: ThreadPoolExecutor
    templates: Environment
    refused: Callable[[str], None]
    pace: Pace
    login_queue: LoginQueue

    def state(self) -> SystemSnapshot:
        """Take a look at the system, or the one that was taken less than a second ago.

        Raises:
            StoreUnavailable: Redis is away.
        """
        return self.cache.get("state", self.access.state.read)

    @property
    def cookie(self) -> str:
        """Name the session's cookie; with the port, as browsers share cookies between the ports of a host."""
        return f"{'__Host-' if self.secure else ''}executor-{self.settings.console.port}"

    @property
    def secure(self) -> bool:
        """Tell whether browsers come over TLS."""
        console_settings = self.settings.console
        return console_settings.behind_tls_proxy or console_settings.tls_certificate is not None


def console_of(request: Request) -> Console:
    """Return the process that answers."""
    console: Console = request.app.state.console
    return console


Here = Annotated[Console, Depends(console_of)]


def address_of(request: Request) -> str:
    """Return where a request comes from."""
    return request.client.host if request.client else ""


def principal_of(request: Request, console: Here) -> Principal:
    """Return who is asking.

    Raises:
        NotKnown: nobody that we know.
        TooMany: too many wrong tokens came from there.
    """
    address = address_of(request)
    header = request.headers.get("authorization", "")
    if header:
        if not header.lower().startswith(_BEARER):
            raise NotKnown("a bearer token is expected")
        return console.sessions.of_token(header[len(_BEARER) :].strip(), address)
    cookie = request.cookies.get(console.cookie)
    if not cookie:
        raise NotKnown("no session and no token: log in, or send Authorization: Bearer")
    return console.sessions.of_cookie(cookie, address)


def known(request: Request, console: Here) -> Principal:
    """Return who is asking; who is not known is counted.

    Raises:
        NotKnown, TooMany: as `principal_of` does.
    """
    try:
        return principal_of(request, console)
    except NotKnown:
        console.refused("not_authenticated")
        raise
    except TooMany:
        console.refused("too_many_attempts")
        raise


Anybody = Annotated[Principal, Depends(known)]


def needs(role: Role) -> Callable[[Principal, Request, Console], Principal]:
    """Make the dependency that lets only this role in; who is refused an act is recorded."""

    def check(who: Anybody, request: Request, console: Here) -> Principal:
        if who.may(role):
            return who
        console.refused("not_permitted")
        problem = f"{who.name} is {who.role}: this needs {role}"
        if request.method not in _SAFE:
            what = Act(request.method, request.url.path, outcome=f"refused: {problem}")
            console.cache.get(f"refusal {who.name}", lambda: record(console.access, who.actor, what), fresh_s=1.0)
        raise NotPermitted(problem)

    return check


Viewer = Annotated[Principal, Depends(needs(Role.VIEWER))]
Operator = Annotated[Principal, Depends(needs(Role.OPERATOR))]
Publisher = Annotated[Principal, Depends(needs(Role.PUBLISHER))]
