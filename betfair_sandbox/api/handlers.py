"""Betfair's paths over HTTP: JSON-RPC of both APIs, the identity service, and what is none of them.

Owns: HTTP statuses, headers, what stands around a call. Invariant: no request ends in HTTP 500 or a traceback.
"""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from tornado.web import RequestHandler

from betfair_sandbox.api.calls import Calls, ConnectionCut, Unavailable
from betfair_sandbox.api.codes import APIS, BETTING
from betfair_sandbox.api.navigation import menu
from betfair_sandbox.api.wire import ApiError, Json, RpcError, dump_json, exception_of, parse_request, rpc_error
from betfair_sandbox.control.faults import Fault
from betfair_sandbox.journal import Entry
from betfair_sandbox.world import World

_MAX_BATCH: Final = 200
_NO_SUCH_OPERATION: Final = "DSC-0021"
# Cougar: ContentTypeNotValid and AcceptTypeNotValid, refused before the body is read.
_CONTENT_TYPE, _ACCEPT = "DSC-0011", "DSC-0013"
_JSON_TYPES: Final = ("application/json", "text/json")
# Clients send their JSON as a form, too, and Betfair reads it (nautilus_trader).
_FORM: Final = "application/x-www-form-urlencoded"
_ANY_TYPE: Final = ("*/*", "application/*", *_JSON_TYPES)


class BetfairHandler(RequestHandler):
    """What every Betfair path has in common."""

    world: World
    calls: Calls

    def initialize(self, world: World, calls: Calls) -> None:
        """Take the sandbox (Tornado's constructor of a handler)."""
        self.world, self.calls = world, calls

    def prepare(self) -> None:
        """Refuse what Betfair refuses before reading: an Expect header (Best Practice)."""
        if self.request.headers.get("Expect"):
            self.set_status(417)
            self.finish()

    def reply(self, value: object, status: int = 200) -> None:
        """Send JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(dump_json(value))

    def cut(self) -> None:
        """Close the connection without an answer."""
        self.detach().close()

    def unavailable(self) -> None:
        """Answer as Betfair's front does when nothing is behind it: HTML."""
        self.set_status(503)
        self.finish("<html><body><h1>503 Service Unavailable</h1></body></html>")

    def write_error(self, status_code: int, **_kwargs: Any) -> None:  # noqa: ANN401, ARG002 - Tornado's signature
        """Answer what Tornado refuses (a wrong HTTP method) in the form of Betfair's framework."""
        self.set_header("Content-Type", "application/json")
        self.finish(dump_json({"faultcode": "Client", "faultstring": _NO_SUCH_OPERATION, "detail": {}}))


class RpcHandler(BetfairHandler):
    """JSON-RPC, single and batch."""

    async def post(self, _api: str) -> None:
        """Answer a call or a batch of calls; what follows the API's path names the method, too, and is not read."""
        received_at = time.time()
        status = _media_error(self.request.headers)
        try:
            if status is not None:
                raise RpcError(-32700, _CONTENT_TYPE if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE else _ACCEPT)
            payload = parse_request(self.request.body)
            if isinstance(payload, list) and not 0 < len(payload) <= _MAX_BATCH:
                raise RpcError(-32600, "DSC-0008")
        except RpcError as error:
            self.world.journal.open(received_at, "", None).error = error.dsc
            self.reply(rpc_error(None, error), status=status or HTTPStatus.BAD_REQUEST)
            return
        try:
            if isinstance(payload, list):
                self.reply([await self._answer(call, received_at) for call in payload])
            else:
                self.reply(await self._answer(payload, received_at))
        except ConnectionCut:
            self.cut()
        except Unavailable:
            self.unavailable()

    async def _answer(self, call: object, received_at: float) -> Json:
        return await self.calls.answer(call, self.request.headers, received_at, APIS[self.path_args[0]])


def _media_error(headers: Mapping[str, str]) -> HTTPStatus | None:
    """Return what a request is refused with that brings or wants something else than JSON; no header is fine."""
    content, accept = (headers.get(name, "").lower() for name in ("Content-Type", "Accept"))
    if content and content.partition(";")[0].strip() not in {*_JSON_TYPES, _FORM}:
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    if accept and not any(part.partition(";")[0].strip() in _ANY_TYPE for part in accept.split(",")):
        return HTTPStatus.NOT_ACCEPTABLE
    return None


class RestHandler(BetfairHandler):
    """REST: an operation a path, its parameters as the body."""

    async def post(self, api_name: str, operation: str) -> None:
        """Answer one call."""
        received_at, api = time.time(), APIS[api_name]
        status = _media_error(self.request.headers)
        if status is not None:
            wrong = _CONTENT_TYPE if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE else _ACCEPT
            self._refuse(status, wrong, {})
            return
        try:
            values = parse_request(self.request.body) if self.request.body else {}
            value = await self.calls.perform(api, f"{api.prefix}{operation}", values, self.request.headers, received_at)
        except RpcError as error:
            missing = HTTPStatus.NOT_FOUND if error.dsc == _NO_SUCH_OPERATION else HTTPStatus.BAD_REQUEST
            self._refuse(missing, error.dsc, {})
        except ApiError as error:
            number, detail = exception_of(error, api)
            self._refuse(HTTPStatus.BAD_REQUEST, number, detail)
        except ConnectionCut:
            self.cut()
        except Unavailable:
            self.unavailable()
        else:
            self.reply(value)

    def _refuse(self, status: HTTPStatus, number: str, detail: Json) -> None:
        self.reply({"faultcode": "Client", "faultstring": number, "detail": detail}, status=status)


class NavigationHandler(BetfairHandler):
    """The navigation menu, a file at Betfair."""

    async def get(self) -> None:
        """Answer with all that can be bet on."""
        entry = self.world.journal.open(time.time(), "navigationMenu", {})
        try:
            await self.calls.meet_faults(entry)
            self.world.sessions.caller(self.request.headers)
        except ApiError as error:
            entry.status, entry.error = "ERROR", error.code
            number, detail = exception_of(error, BETTING)
            self.reply({"faultcode": "Client", "faultstring": number, "detail": detail}, status=HTTPStatus.FORBIDDEN)
        except ConnectionCut:
            self.cut()
        except Unavailable:
            self.unavailable()
        else:
            entry.status = "SUCCESS"
            self.reply(menu(self.world.exchange))


class IdentityHandler(BetfairHandler):
    """Login, keepAlive and logout."""

    _certified = False  # the client has shown a certificate

    async def post(self) -> None:
        """Answer the operation that the path names."""
        self._certified = self._has_certificate()  # now: whoever is gone when a fault is over has none to show
        name = self._operation()
        username, password = self._field("username").strip(), self._field("password")
        entry = self.world.journal.open(time.time(), name, {"username": username} if username else {})
        try:
            fault = await self.calls.meet_faults(entry)
            if fault is not None and fault.kind == "expire_session":
                self.world.sessions.expire(self.request.headers.get("X-Authentication", ""))
            answer = self._answer(entry, name, username, password, fault)
            if fault is not None and fault.kind == "drop_response":
                raise ConnectionCut
        except ConnectionCut:
            entry.status = entry.status or "CUT"
            self.cut()
        except Unavailable:
            entry.status = "CUT"
            self.unavailable()
        else:
            if name == "login" and "application/json" not in self.request.headers.get("Accept", ""):
                self.finish("<html><body>Log in with Accept: application/json</body></html>")
            else:
                self.reply(answer)

    async def get(self) -> None:
        """Answer keepAlive and logout, which Betfair also takes as GET."""
        if self._operation() not in {"keepAlive", "logout"}:
            self.send_error(405)
            return
        await self.post()

    def _answer(self, entry: Entry, name: str, username: str, password: str, fault: Fault | None) -> Json:
        code = fault.code if fault is not None else ""
        headers: Mapping[str, str] = self.request.headers
        if name in {"keepAlive", "logout"}:
            product = headers.get("X-Application", "")
            if code:
                answer: Json = {"token": "", "product": product, "status": "FAIL", "error": code}
            else:
                sessions = self.world.sessions
                answer = sessions.keep_alive(headers) if name == "keepAlive" else sessions.log_out(headers)
            entry.status, entry.error = answer["status"], answer["error"] or None
            return answer
        token = ""
        if not code and name == "certlogin" and not self._certified:
            code = "CERT_AUTH_REQUIRED"
        if not code:
            code, token = self.world.sessions.log_in(username, password)
        succeeded = code == "SUCCESS"
        entry.status, entry.error = ("SUCCESS", None) if succeeded else ("FAIL", code)
        if name == "certlogin":
            return {"sessionToken": token, "loginStatus": code} if succeeded else {"loginStatus": code}
        product = headers.get("X-Application", "")
        status, error = ("SUCCESS", "") if succeeded else ("FAIL", code)
        return {"token": token, "product": product, "status": status, "error": error}

    def _operation(self) -> str:
        return self.request.path.rsplit("/", 1)[-1]

    def _field(self, name: str) -> str:
        """Return a field of the form; bytes that are no text make it one that nobody has."""
        values = self.request.body_arguments.get(name, [b""])
        return values[-1].decode("utf-8", "replace")

    def _has_certificate(self) -> bool:
        stream = getattr(self.request.connection, "stream", None)
        return stream is not None and not stream.closed() and bool(self.request.get_ssl_certificate())


class UnknownHandler(BetfairHandler):
    """Every other path."""

    def prepare(self) -> None:
        """Answer 404 in the form of Betfair's framework: no such operation."""
        self.reply({"faultcode": "Client", "faultstring": _NO_SUCH_OPERATION, "detail": {}}, status=404)
