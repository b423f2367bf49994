"""Betfair's error codes, as the interface definitions number and name them.

Owns: which code belongs to which kind of reply. Pure data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# Betfair: SportsAPING.xml and AccountAPING.xml number their exceptions apart.
BETTING_CODES: Final = {
    "TOO_MUCH_DATA": "ANGX-0001",
    "INVALID_INPUT_DATA": "ANGX-0002",
    "INVALID_SESSION_INFORMATION": "ANGX-0003",
    "NO_APP_KEY": "ANGX-0004",
    "NO_SESSION": "ANGX-0005",
    "UNEXPECTED_ERROR": "ANGX-0006",
    "INVALID_APP_KEY": "ANGX-0007",
    "TOO_MANY_REQUESTS": "ANGX-0008",
    "SERVICE_BUSY": "ANGX-0009",
    "TIMEOUT_ERROR": "ANGX-0010",
    "REQUEST_SIZE_EXCEEDS_LIMIT": "ANGX-0014",
    "ACCESS_DENIED": "ANGX-0015",
    "INVALID_MARKET_GROUP": "ANGX-0016",
    "EXPOSURE_LIMIT_NOT_EXIST": "ANGX-0017",
    "MARKET_GROUP_NOT_BLOCKED": "ANGX-0018",
}
ACCOUNT_CODES: Final = {
    "INVALID_INPUT_DATA": "AANGX-0001",
    "INVALID_SESSION_INFORMATION": "AANGX-0002",
    "UNEXPECTED_ERROR": "AANGX-0003",
    "INVALID_APP_KEY": "AANGX-0004",
    "SERVICE_BUSY": "AANGX-0005",
    "TIMEOUT_ERROR": "AANGX-0006",
    "NO_SESSION": "AANGX-0010",
    "NO_APP_KEY": "AANGX-0011",
    "TOO_MANY_REQUESTS": "AANGX-0014",
}
HEARTBEAT_CODES: Final = {
    "INVALID_INPUT_DATA": "HBT-0001",
    "INVALID_SESSION_INFORMATION": "HBT-0002",
    "NO_APP_KEY": "HBT-0003",
    "NO_SESSION": "HBT-0004",
    "INVALID_APP_KEY": "HBT-0005",
    "UNEXPECTED_ERROR": "HBT-0006",
}


@dataclass(frozen=True, slots=True)
class Api:
    """One of Betfair's APIs: how its methods are called, what its exceptions are."""

    name: str
    prefix: str
    exception: str
    codes: Mapping[str, str]


BETTING: Final = Api("betting", "SportsAPING/v1.0/", "APINGException", BETTING_CODES)
ACCOUNT: Final = Api("account", "AccountAPING/v1.0/", "AccountAPINGException", ACCOUNT_CODES)
HEARTBEAT: Final = Api("heartbeat", "HeartbeatAPING/v1.0/", "APINGException", HEARTBEAT_CODES)
# Its exceptions are numbered like the betting API's: a guess, no document of it is public any more.
SCORES: Final = Api("scores", "ScoresAPING/v1.0/", "APINGException", BETTING_CODES)
APIS: Final = {api.name: api for api in (BETTING, ACCOUNT, HEARTBEAT, SCORES)}
# Betfair: ExecutionReportErrorCode, of a whole placeOrders or cancelOrders report.
REPORT_CODES: Final = frozenset(
    {
        "ERROR_IN_MATCHER",
        "PROCESSED_WITH_ERRORS",
        "BET_ACTION_ERROR",
        "INVALID_ACCOUNT_STATE",
        "INVALID_WALLET_STATUS",
        "INSUFFICIENT_FUNDS",
        "LOSS_LIMIT_EXCEEDED",
        "MARKET_SUSPENDED",
        "MARKET_NOT_OPEN_FOR_BETTING",
        "DUPLICATE_TRANSACTION",
        "INVALID_ORDER",
        "INVALID_MARKET_ID",
        "PERMISSION_DENIED",
        "DUPLICATE_BETIDS",
        "NO_ACTION_REQUIRED",
        "SERVICE_UNAVAILABLE",
        "REJECTED_BY_REGULATOR",
        "NO_CHASING",
        "REGULATOR_IS_NOT_AVAILABLE",
        "TOO_MANY_INSTRUCTIONS",
        "INVALID_MARKET_VERSION",
        "INVALID_PROFIT_RATIO",
        "EVENT_EXPOSURE_LIMIT_EXCEEDED",
        "EVENT_MATCHED_EXPOSURE_LIMIT_EXCEEDED",
        "EVENT_BLOCKED",
        "NO_CHANGE",
    }
)
# Betfair: loginStatus of certlogin, `error` of login.
LOGIN_CODES: Final = frozenset(
    {
        "INVALID_USERNAME_OR_PASSWORD",
        "ACCOUNT_NOW_LOCKED",
        "ACCOUNT_ALREADY_LOCKED",
        "ACCOUNT_PENDING_PASSWORD_CHANGE",
        "ACTIONS_REQUIRED",
        "PENDING_AUTH",
        "KYC_SUSPEND",
        "SUSPENDED",
        "CLOSED",
        "SELF_EXCLUDED",
        "NOT_AUTHORIZED_BY_REGULATOR_DK",
        "NOT_AUTHORIZED_BY_REGULATOR_IT",
        "INVALID_CONNECTIVITY_TO_REGULATOR_DK",
        "INVALID_CONNECTIVITY_TO_REGULATOR_IT",
        "SECURITY_RESTRICTED_LOCATION",
        "BETTING_RESTRICTED_LOCATION",
        "CERT_AUTH_REQUIRED",
        "CHANGE_PASSWORD_REQUIRED",
        "STRONG_AUTH_CODE_REQUIRED",
        "TEMPORARY_BAN_TOO_MANY_REQUESTS",
        "INPUT_VALIDATION_ERROR",
        "INTERNAL_ERROR",
        "FORBIDDEN",
    }
)
# Betfair: `errorCode` of a status on the stream.
STREAM_CODES: Final = frozenset(
    {
        "CONNECTION_FAILED",
        "INVALID_APP_KEY",
        "INVALID_CLOCK",
        "INVALID_INPUT",
        "INVALID_REQUEST",
        "INVALID_SESSION_INFORMATION",
        "MAX_CONNECTION_LIMIT_EXCEEDED",
        "NO_APP_KEY",
        "NO_SESSION",
        "NOT_AUTHORIZED",
        "SUBSCRIPTION_LIMIT_EXCEEDED",
        "TIMEOUT",
        "TOO_MANY_REQUESTS",
        "UNEXPECTED_ERROR",
    }
)
# Betfair: `error` of keepAlive and logout.
KEEP_ALIVE_CODES: Final = frozenset({"NO_SESSION", "INPUT_VALIDATION_ERROR", "INTERNAL_ERROR"})
