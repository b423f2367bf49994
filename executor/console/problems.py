"""What goes wrong, as RFC 9457 problems: one place where errors become status codes.

Invariants: no answer repeats what was sent (a password could be in it) or shows a traceback; each names the request.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from executor.console.principal import NotKnown, NotPermitted, TooMany
from executor.domain.risk import InvalidLimits
from executor.errors import (
    Contended,
    ExecutorError,
    IdentityMismatch,
    InvalidSignal,
    LedgerUnavailable,
    NotAllowed,
    OutcomeUnknown,
    Refused,
    StoreUnavailable,
    Throttled,
)

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
# How the text of a wrong limit names it: "MaxDailyLoss is missing", "unknown limit X; ...", "ids: name orders".
_NAMED: Final = re.compile(r"(?:unknown limit )?([A-Za-z_]+)(?=[:; ])(?! limit)")
_SHOWN: Final = 10  # fields of a request that are named


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    problem: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    request_id: str = ""
    errors: list[FieldProblem] = []


class NotFound(ExecutorError):
    """There is no such thing."""


class Stale(ExecutorError):
    """What the caller saw has changed since."""


# The first that an error is decides.
_STATUS: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (NotKnown, 401, "not_authenticated"),
    (NotPermitted, 403, "not_permitted"),
    (TooMany, 429, "too_many_attempts"),
    (NotFound, 404, "not_found"),
    (Stale, 412, "changed_meanwhile"),
    (InvalidSignal, 422, "malformed_signal"),
    (InvalidLimits, 422, "invalid_limits"),
    (NotAllowed, 409, "not_allowed"),
    (IdentityMismatch, 409, "identity_mismatch"),
    (Contended, 409, "changed_meanwhile"),
    (StoreUnavailable, 503, "redis_unavailable"),
    (LedgerUnavailable, 503, "ledger_unavailable"),
    (Throttled, 503, "exchange_busy"),
    (OutcomeUnknown, 503, "outcome_unknown"),
    (Refused, 502, "exchange_refused"),
    (ExecutorError, 503, "unavailable"),
)


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Make the answer."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        request_id=str(request.scope.get("request_id", "")),
        errors=list(errors),
    )
    return JSONResponse(body.model_dump(), status, dict(headers or {}), media_type=MEDIA_TYPE)


def of_error(request: Request, error: Exception) -> JSONResponse:
    """Make the answer to an error of ours."""
    status, code = next((status, code) for kind, status, code in _STATUS if isinstance(error, kind))
    headers: dict[str, str] = {}
    errors: list[FieldProblem] = []
    if isinstance(error, NotKnown):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(max(error.after_s, 1))
    if isinstance(error, Contended | StoreUnavailable | Throttled):
        headers["Retry-After"] = "1"
    if isinstance(error, InvalidSignal):
        errors.append(FieldProblem(field=error.field, problem=error.problem))
    if isinstance(error, InvalidLimits):
        named = _NAMED.match(str(error))
        errors.append(FieldProblem(field=named[1] if named else "body", problem=str(error)))
    return problem(request, status, code, str(error), errors=errors, headers=headers)


def _of_validation(request: Request, error: RequestValidationError) -> JSONResponse:
    found = list(error.errors())
    if any(problem.get("type") == "json_invalid" for problem in found):
        return problem(request, 400, "not_json", "the body is no JSON")
    errors = [_field(problem) for problem in found[:_SHOWN]]
    detail = "; ".join(f"{error.field}: {error.problem}" for error in errors)
    return problem(request, 422, "invalid", detail, errors=errors)


def _field(error: Mapping[str, Any]) -> FieldProblem:
    where = [str(part) for part in error.get("loc", ()) if part not in {"body", "query", "path"}]
    said = str(error.get("msg", "invalid")).removeprefix("Value error, ")
    return FieldProblem(field=".".join(where)[:64] or "body", problem=said[:200])


def install(app: FastAPI) -> None:
    """Let every error become a problem."""

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return _of_validation(request, error)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        return problem(request, error.status_code, code, str(error.detail), headers=error.headers)

    @app.exception_handler(ExecutorError)
    async def _ours(request: Request, error: ExecutorError) -> JSONResponse:
        return of_error(request, error)

    @app.exception_handler(InvalidLimits)
    async def _limits(request: Request, error: InvalidLimits) -> JSONResponse:
        return of_error(request, error)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("request_failed", path=request.url.path, error=f"{type(error).__name__}: {error}", exc_info=error)
        return problem(request, 500, "internal_error", "something went wrong here; the log says what")
