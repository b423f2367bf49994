"""What every answer of Betfair means for the call that got it: the complete outcome policy, as tables.

Invariant: an answer that does not say "not carried out" means UNKNOWN; a report without a verdict of its own follows
the report around it, and an unknown outer verdict outweighs a known inner one. Codes outside the tables are possible
(Betfair adds some without notice). Pure: no I/O. Waits are in seconds.
"""

import re
from enum import StrEnum
from typing import Final

from executor.errors import ExecutorError, OutcomeUnknown, Refused, SessionExpired, Throttled
from executor.ports import LegOutcome

PLACED: Final = LegOutcome.PLACED
REFUSED: Final = LegOutcome.REFUSED
NOT_SENT: Final = LegOutcome.NOT_SENT
UNKNOWN: Final = LegOutcome.UNKNOWN


class Fault(StrEnum):
    """What an error instead of a result means."""

    REFUSED = "REFUSED"  # final: the call itself is wrong, or not allowed to this account
    THROTTLED = "THROTTLED"  # not looked at: repeat it after a while
    SESSION = "SESSION"  # not looked at: log in
    UNKNOWN = "UNKNOWN"  # it may have been carried out


# --- errors instead of a result --------------------------------------------------------------------------------------

# Betfair: APINGException and AccountAPINGException errorCode.
EXCEPTION_CODES: Final[dict[str, Fault]] = {
    "TIMEOUT_ERROR": Fault.UNKNOWN,
    "UNEXPECTED_ERROR": Fault.UNKNOWN,
    "SERVICE_BUSY": Fault.THROTTLED,
    "TOO_MANY_REQUESTS": Fault.THROTTLED,
    "INVALID_SESSION_INFORMATION": Fault.SESSION,
    "NO_SESSION": Fault.SESSION,
    "NO_APP_KEY": Fault.REFUSED,
    "INVALID_APP_KEY": Fault.REFUSED,
    "ACCESS_DENIED": Fault.REFUSED,
    "INVALID_INPUT_DATA": Fault.REFUSED,
    "TOO_MUCH_DATA": Fault.REFUSED,
    "REQUEST_SIZE_EXCEEDS_LIMIT": Fault.REFUSED,
    "INVALID_MARKET_GROUP": Fault.REFUSED,
    "EXPOSURE_LIMIT_NOT_EXIST": Fault.REFUSED,
    "MARKET_GROUP_NOT_BLOCKED": Fault.REFUSED,
}

# Betfair's service framework: error.message of what fails before the operation is reached.
FRAMEWORK_CODES: Final[dict[str, Fault]] = {
    "DSC-0009": Fault.REFUSED,  # bad value
    "DSC-0015": Fault.REFUSED,  # security
    "DSC-0018": Fault.REFUSED,  # mandatory parameter missing
    "DSC-0019": Fault.UNKNOWN,  # timed out
    "DSC-0021": Fault.REFUSED,  # no such operation
    "DSC-0023": Fault.REFUSED,  # no such service
    "DSC-0026": Fault.UNKNOWN,  # upstream unavailable: it does not say how far the call got
    "DSC-0034": Fault.REFUSED,  # app key
    "DSC-0035": Fault.REFUSED,
    "DSC-0036": Fault.REFUSED,
    "DSC-0037": Fault.REFUSED,  # not subscribed
    "DSC-0038": Fault.REFUSED,
    "DSC-0040": Fault.REFUSED,  # banned location
    "DSC-0044": Fault.REFUSED,  # bad enum
}

# JSON-RPC error.code, where neither of the above is given. -32099 is "everything else" and says nothing.
RPC_CODES: Final[dict[int, Fault]] = {
    -32700: Fault.REFUSED,  # our request could not be read
    -32600: Fault.REFUSED,  # no request in it
    -32601: Fault.REFUSED,  # no such method
    -32602: Fault.REFUSED,  # mandatory parameter missing
    -32603: Fault.UNKNOWN,  # failed while at it
    -32099: Fault.UNKNOWN,
}

# How long to leave the exchange alone: TOO_MANY_REQUESTS counts within one second; a busy service needs longer.
AFTER_S: Final[dict[str, float]] = {"TOO_MANY_REQUESTS": 1.0, "SERVICE_BUSY": 2.0}


def fault_error(fault: Fault, code: str, detail: str) -> ExecutorError:
    """Return the error to raise for a fault; `detail` may name the request (Betfair: requestUUID)."""
    if fault is Fault.REFUSED:
        return Refused(code, detail)
    if fault is Fault.THROTTLED:
        return Throttled(code, AFTER_S[code])
    if fault is Fault.SESSION:
        return SessionExpired(code)
    return OutcomeUnknown(f"{code} {detail}".strip())


# --- reports of placeOrders ------------------------------------------------------------------------------------------


class ReportVerdict(StrEnum):
    """What one report says of a leg, before the other report is asked."""

    REFUSED = "REFUSED"
    NOT_SENT = "NOT_SENT"
    UNKNOWN = "UNKNOWN"
    OTHER = "OTHER"  # the other report says: the legs for the outer one, the outer one for a leg


_V = ReportVerdict

# Betfair: ExecutionReportErrorCode.
REPORT_CODES: Final[dict[str, ReportVerdict]] = {
    # The same reference may be at the matcher already: ask by reference first.
    "ERROR_IN_MATCHER": _V.UNKNOWN,
    "PROCESSED_WITH_ERRORS": _V.OTHER,
    # One bad leg: nothing was placed. The others are as final, a signal's legs stand and fall together.
    "BET_ACTION_ERROR": _V.REFUSED,
    "INVALID_ACCOUNT_STATE": _V.REFUSED,
    "INVALID_WALLET_STATUS": _V.REFUSED,
    "INSUFFICIENT_FUNDS": _V.REFUSED,
    "LOSS_LIMIT_EXCEEDED": _V.REFUSED,
    "MARKET_SUSPENDED": _V.REFUSED,
    "MARKET_NOT_OPEN_FOR_BETTING": _V.REFUSED,
    # An earlier request with this reference was taken within 60 s: of that one we know nothing.
    "DUPLICATE_TRANSACTION": _V.UNKNOWN,
    "INVALID_ORDER": _V.REFUSED,
    "INVALID_MARKET_ID": _V.REFUSED,
    "DUPLICATE_BETIDS": _V.REFUSED,
    "TOO_MANY_INSTRUCTIONS": _V.REFUSED,
    "INVALID_MARKET_VERSION": _V.REFUSED,
    "INVALID_PROFIT_RATIO": _V.REFUSED,
    "PERMISSION_DENIED": _V.REFUSED,
    "NO_ACTION_REQUIRED": _V.UNKNOWN,  # "it is so already": ask how it is
    "NO_CHANGE": _V.UNKNOWN,
    "SERVICE_UNAVAILABLE": _V.NOT_SENT,
    "REJECTED_BY_REGULATOR": _V.REFUSED,
    "NO_CHASING": _V.REFUSED,
    "REGULATOR_IS_NOT_AVAILABLE": _V.NOT_SENT,
    "EVENT_EXPOSURE_LIMIT_EXCEEDED": _V.REFUSED,
    "EVENT_MATCHED_EXPOSURE_LIMIT_EXCEEDED": _V.REFUSED,
    "EVENT_BLOCKED": _V.REFUSED,
    # Not in the enum; should they come, they mean here what they mean elsewhere.
    "BET_IN_PROGRESS": _V.UNKNOWN,
    "TIMEOUT": _V.UNKNOWN,
    "TIMEOUT_ERROR": _V.UNKNOWN,
    "UNEXPECTED_ERROR": _V.UNKNOWN,
    "SERVICE_BUSY": _V.NOT_SENT,
    "TOO_MANY_REQUESTS": _V.NOT_SENT,
}

# Betfair: InstructionReportErrorCode.
LEG_CODES: Final[dict[str, ReportVerdict]] = {
    "INVALID_BET_SIZE": _V.REFUSED,
    "INVALID_ODDS": _V.REFUSED,
    "INVALID_BID_TYPE": _V.REFUSED,
    "INVALID_PERSISTENCE_TYPE": _V.REFUSED,
    "INVALID_ORDER_TYPE": _V.REFUSED,
    "TIME_IN_FORCE_CONFLICT": _V.REFUSED,
    "UNEXPECTED_PERSISTENCE_TYPE": _V.REFUSED,
    "UNEXPECTED_MIN_FILL_SIZE": _V.REFUSED,
    "INVALID_MIN_FILL_SIZE": _V.REFUSED,
    "INVALID_CUSTOMER_ORDER_REF": _V.REFUSED,
    "INVALID_CUSTOMER_STRATEGY_REF": _V.REFUSED,
    "INVALID_PROFIT_RATIO": _V.REFUSED,
    "INVALID_PRICE_EDIT": _V.REFUSED,
    "INVALID_BACK_LAY_COMBINATION": _V.REFUSED,
    "INVALID_RUNNER": _V.REFUSED,
    "RUNNER_REMOVED": _V.REFUSED,
    "MARKET_NOT_OPEN_FOR_BETTING": _V.REFUSED,
    "MARKET_NOT_OPEN_FOR_BSP_BETTING": _V.REFUSED,
    "MARKET_SUSPENDED": _V.REFUSED,
    "INSUFFICIENT_FUNDS": _V.REFUSED,
    "LOSS_LIMIT_EXCEEDED": _V.REFUSED,
    "BET_TAKEN_OR_LAPSED": _V.REFUSED,  # on place: not live, a new decision is needed
    "BET_LAPSED_PRICE_IMPROVEMENT_TOO_LARGE": _V.REFUSED,
    "CANCELLED_NOT_PLACED": _V.REFUSED,
    "BET_IN_PROGRESS": _V.UNKNOWN,  # the matcher gave no result in time
    "ERROR_IN_MATCHER": _V.UNKNOWN,
    "ERROR_IN_ORDER": _V.OTHER,
    "RELATED_ACTION_FAILED": _V.OTHER,
    "INVALID_BET_ID": _V.UNKNOWN,  # makes no sense on place: ask
    "NO_ACTION_REQUIRED": _V.UNKNOWN,
    "DUPLICATE_TRANSACTION": _V.UNKNOWN,
    "TIMEOUT": _V.UNKNOWN,
    "TIMEOUT_ERROR": _V.UNKNOWN,
    "UNEXPECTED_ERROR": _V.UNKNOWN,
    "SERVICE_UNAVAILABLE": _V.NOT_SENT,
    "REGULATOR_IS_NOT_AVAILABLE": _V.NOT_SENT,
}


# What is said of a report or leg because something else in it failed: never the reason itself.
CONSEQUENCES: Final = frozenset(
    {"BET_ACTION_ERROR", "PROCESSED_WITH_ERRORS", "ERROR_IN_ORDER", "RELATED_ACTION_FAILED"}
)


def outer_verdict(status: str, code: str) -> ReportVerdict:
    """Judge the status and errorCode of a whole report (Betfair: ExecutionReportStatus)."""
    if status in {"SUCCESS", "PROCESSED_WITH_ERRORS"}:
        return _V.OTHER
    if status == "FAILURE":  # nothing was done, whatever the code: only a known one may say otherwise
        return REPORT_CODES.get(code, _V.REFUSED)
    return _V.UNKNOWN  # TIMEOUT, and what Betfair may add


def leg_verdict(status: str, code: str) -> ReportVerdict:
    """Judge the status and errorCode of one instruction's report that is not a SUCCESS."""
    return LEG_CODES.get(code, _V.REFUSED) if status == "FAILURE" else _V.UNKNOWN


def is_news(status: str, code: str, table: dict[str, ReportVerdict]) -> bool:
    """Tell whether a FAILURE carries a code that the tables do not have: someone should look at it."""
    return status == "FAILURE" and code not in table


def leg_outcome(outer: ReportVerdict, status: str, code: str, *, has_bet_id: bool) -> LegOutcome:
    """Combine the verdicts on one leg; `status` is "" where the reply has no report of it.

    PLACED needs a bet id and an outer report that does not contradict it.
    """
    if status == "SUCCESS":
        contradicted = outer in {_V.REFUSED, _V.NOT_SENT}
        return PLACED if has_bet_id and not contradicted else UNKNOWN
    if outer is _V.UNKNOWN:
        return UNKNOWN
    if not status:
        return UNKNOWN if outer is _V.OTHER else LegOutcome(outer)
    own = leg_verdict(status, code)
    if own is _V.OTHER:
        return REFUSED if outer is _V.OTHER else LegOutcome(outer)
    return LegOutcome(own)


# --- logins ----------------------------------------------------------------------------------------------------------

# Betfair: loginStatus. Every other one needs a person: repeating a wrong password locks the account.
LOGIN_RETRYABLE: Final = frozenset(
    {"INTERNAL_ERROR", "INVALID_CONNECTIVITY_TO_REGULATOR_DK", "INVALID_CONNECTIVITY_TO_REGULATOR_IT"}
)
LOGIN_BANS: Final = frozenset({"TEMPORARY_BAN_TOO_MANY_REQUEST", "TEMPORARY_BAN_TOO_MANY_REQUESTS"})
LOGIN_BAN_S: Final = 20 * 60 + 60  # Betfair: 20 minutes; one more for clocks
LOGIN_RETRY_S: Final = 10.0
# The others that are known; none of them is ever tried again by itself: a wrong password locks the account.
_FINAL: Final = """
    INVALID_USERNAME_OR_PASSWORD ACCOUNT_NOW_LOCKED ACCOUNT_ALREADY_LOCKED ACCOUNT_PENDING_PASSWORD_CHANGE
    ACTIONS_REQUIRED PENDING_AUTH TELBET_TERMS_CONDITIONS_NA DUPLICATE_CARDS SECURITY_QUESTION_WRONG_3X KYC_SUSPEND
    SUSPENDED CLOSED SELF_EXCLUDED NOT_AUTHORIZED_BY_REGULATOR_DK NOT_AUTHORIZED_BY_REGULATOR_IT
    SECURITY_RESTRICTED_LOCATION BETTING_RESTRICTED_LOCATION TRADING_MASTER TRADING_MASTER_SUSPENDED
    AGENT_CLIENT_MASTER AGENT_CLIENT_MASTER_SUSPENDED DANISH_AUTHORIZATION_REQUIRED SPAIN_MIGRATION_REQUIRED
    DENMARK_MIGRATION_REQUIRED SPANISH_TERMS_ACCEPTANCE_REQUIRED INTERNATIONAL_TERMS_ACCEPTANCE_REQUIRED
    ITALIAN_CONTRACT_ACCEPTANCE_REQUIRED ITALIAN_PROFILING_ACCEPTANCE_REQUIRED CERT_AUTH_REQUIRED
    CHANGE_PASSWORD_REQUIRED PERSONAL_MESSAGE_REQUIRED EMAIL_LOGIN_NOT_ALLOWED MULTIPLE_USERS_WITH_SAME_CREDENTIAL
    STRONG_AUTH_CODE_REQUIRED SWEDEN_NATIONAL_IDENTIFIER_REQUIRED SWEDEN_BANK_ID_VERIFICATION_REQUIRED
    AUTHORIZED_ONLY_FOR_DOMAIN_RO AUTHORIZED_ONLY_FOR_DOMAIN_SE INPUT_VALIDATION_ERROR FORBIDDEN
    """
LOGIN_FINAL: Final = frozenset(_FINAL.split())
# keepAlive errors that mean that the token is dead; the others say nothing of it.
DEAD_TOKEN: Final = frozenset({"NO_SESSION", "INPUT_VALIDATION_ERROR"})

# --- labels ----------------------------------------------------------------------------------------------------------

TRANSPORT_ERRORS: Final = frozenset({"timeout", "connection", "http_5xx", "http_4xx", "parse"})
OTHER_CODE: Final = "OTHER"
KNOWN_CODES: Final = (
    frozenset(EXCEPTION_CODES)
    | frozenset(FRAMEWORK_CODES)
    | frozenset(f"RPC{code}" for code in RPC_CODES)
    | frozenset(REPORT_CODES)
    | frozenset(LEG_CODES)
    | LOGIN_RETRYABLE
    | LOGIN_BANS
    | LOGIN_FINAL
    | DEAD_TOKEN
    | {"CERTIFICATE_INVALID"}
)
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}(-[0-9]{1,8})?")


def clean_code(code: object) -> str:
    """Return a code as Betfair writes them, or OTHER for what is none: it ends in logs, records and labels."""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else OTHER_CODE


def http_error(status: int) -> str:
    """Return the metric label of an HTTP status; "" for 2xx and what is no error by itself."""
    families = {4: "http_4xx", 5: "http_5xx"}
    return families.get(status // 100, "")


def label(code: str) -> str:
    """Return a metric label for a code: itself when it is a known one."""
    return code if code in KNOWN_CODES or code in TRANSPORT_ERRORS else OTHER_CODE
