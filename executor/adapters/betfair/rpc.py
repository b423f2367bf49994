"""One JSON-RPC call to Betfair: envelope out, result or named error back, counted and timed once.

Invariant: what comes out is the parsed result or an error of `executor.errors`; whatever goes wrong after the request
left, be it in our own reading of the reply, is `OutcomeUnknown`. No error or log line carries token, key or body.
Units: seconds.
"""

import itertools
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from executor.adapters.betfair import outcomes as policy
from executor.adapters.betfair.json_text import Row, WireError, decode, encode, sound
from executor.adapters.betfair.transport import Reply, Transport, TransportError
from executor.errors import ExecutorError, NotSent, OutcomeUnknown
from executor.ports import SendPermit, Telemetry
from executor.settings.sections import BetfairSettings

_log = structlog.get_logger(__name__)
_MAX_DETAIL: Final = 200  # characters of Betfair's own words in an error

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Api:
    """One of Betfair's JSON-RPC services."""

    path: str
    prefix: str


BETTING: Final = Api("/exchange/betting/json-rpc/v1", "SportsAPING/v1.0/")
HEARTBEAT: Final = Api("/exchange/heartbeat/json-rpc/v1", "HeartbeatAPING/v1.0/")
ACCOUNT: Final = Api("/exchange/account/json-rpc/v1", "AccountAPING/v1.0/")


class _FaultError(Exception):
    """An answer that is no result: its metric label, and what to raise."""

    def __init__(self, error_type: str, error: ExecutorError) -> None:
        super().__init__(error_type)
        self.error_type = error_type
        self.error = error


class Rpc:
    """Calls operations with a token."""

    def __init__(self, settings: BetfairSettings, transport: Transport, telemetry: Telemetry) -> None:
        self._url = settings.api_url.rstrip("/")
        self._app_key = settings.app_key
        self._transport = transport
        self._telemetry = telemetry
        self._ids = itertools.count(1)

    def call(
        self,
        operation: tuple[Api, str],
        params: Mapping[str, object],
        token: str,
        parse: Callable[[object], T],
        *,
        permit: SendPermit | None = None,
    ) -> T:
        """Call an operation and return what `parse` makes of its result; `permit` is asked when it is about to leave.

        Raises:
            NotSent, Throttled, SessionExpired: certainly not carried out.
            Refused: refused for good.
            OutcomeUnknown: anything else.
        """
        api, method = operation
        call_id = next(self._ids)
        envelope = {"jsonrpc": "2.0", "method": api.prefix + method, "params": params, "id": call_id}
        body = encode(envelope).encode()
        started = time.monotonic()
        error_type: str | None = ""
        try:
            reply = self._transport.post(self._url + api.path, self._headers(token), body, permit=permit)
            return parse(self._result(method, reply, call_id, token))
        except NotSent:  # not allowed any more when it could have been sent: no call was made
            error_type = None
            raise
        except TransportError as error:
            error_type = error.error_type
            named = error.named()
            raise type(named)(f"{method}: {named}") from None
        except _FaultError as fault:
            error_type = fault.error_type
            raise fault.error from None
        except WireError as error:
            error_type = "parse"
            raise OutcomeUnknown(f"{method}: {error}") from None
        except Exception as error:  # noqa: BLE001 - the request has left: an unknown outcome, whatever went wrong
            error_type = "parse"
            # The place only: a traceback with its variables would show the token.
            at = traceback.extract_tb(error.__traceback__)[-1]
            _log.error("reply_not_understood", method=method, kind=type(error).__name__, at=f"{at.name}:{at.lineno}")
            raise OutcomeUnknown(f"{method}: {type(error).__name__} while reading the reply") from None
        finally:
            if error_type is not None:
                self._telemetry.api_call(method, time.monotonic() - started, error_type)

    def is_warm(self) -> bool:
        """Tell whether a connection to the API is open and will be fresh for a while."""
        return self._transport.is_warm(self._url)

    def _headers(self, token: str) -> dict[str, str]:
        return {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "X-Application": self._app_key.get_secret_value(),
            "X-Authentication": token,
        }

    def _result(self, method: str, reply: Reply, call_id: int, token: str) -> object:
        http = policy.http_error(reply.status)
        if http == "http_5xx":  # whatever the body says: a gateway may have written it
            raise _FaultError(http, OutcomeUnknown(f"{method}: HTTP {reply.status}"))
        try:
            envelope = decode(reply.body)
            for name, said in envelope.items():
                if name != "result":
                    sound(said, name)
        except WireError:
            raise _FaultError(
                http or "parse", OutcomeUnknown(f"{method}: HTTP {reply.status}, no JSON in the reply")
            ) from None
        error = envelope.get("error")
        if error is not None and envelope.get("result") is None:
            raise self._fault(method, error, token)
        # Errors may come without our id, when the request could not be read; results must be ours.
        if http or "result" not in envelope or error is not None or str(envelope.get("id")) != str(call_id):
            raise _FaultError(
                http or "parse", OutcomeUnknown(f"{method}: HTTP {reply.status}, the reply is no answer to this call")
            )
        return envelope["result"]

    def _fault(self, method: str, error: object, token: str) -> _FaultError:
        code, fault, detail = read_fault(error)
        for secret in (token, self._app_key.get_secret_value()):
            detail = detail.replace(secret, "***") if secret else detail
        known = policy.label(code) == code
        log = _log.warning if known else _log.error
        log("exchange_error", method=method, code=code, fault=str(fault), detail=detail)
        return _FaultError(policy.label(code), policy.fault_error(fault, code, f"({method}) {detail}".strip()))


def read_fault(error: object) -> tuple[str, policy.Fault, str]:
    """Return code, meaning and Betfair's details (requestUUID first) of a JSON-RPC error."""
    if not isinstance(error, dict):
        return policy.OTHER_CODE, policy.Fault.UNKNOWN, ""
    data = error.get("data")
    exception = _exception(data) if isinstance(data, dict) else None
    if exception is not None:
        code = policy.clean_code(exception.get("errorCode"))
        words = [exception.get("requestUUID"), exception.get("errorDetails")]
        detail = " ".join(word for word in words if isinstance(word, str) and word)
        return code, policy.EXCEPTION_CODES.get(code, policy.Fault.UNKNOWN), _one_line(detail)
    message = policy.clean_code(error.get("message"))
    if message in policy.FRAMEWORK_CODES:
        return message, policy.FRAMEWORK_CODES[message], ""
    number = error.get("code")
    if isinstance(number, int) and number in policy.RPC_CODES:
        return f"RPC{number}", policy.RPC_CODES[number], _one_line(message)
    return policy.OTHER_CODE, policy.Fault.UNKNOWN, _one_line(message)


def _exception(data: Row) -> Row | None:
    found = (data.get(name) for name in ("APINGException", "AccountAPINGException"))
    return next((value for value in found if isinstance(value, dict)), None)


def _one_line(words: str) -> str:
    return "".join(each if each.isprintable() else " " for each in words)[:_MAX_DETAIL]
