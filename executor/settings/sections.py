"""The sections of the settings: every name, default and range, and what text is turned into.

Money, prices and shares are Decimal made from the text as given, never a float; a share is 0..1 (0.02 = 2 %);
durations are whole units named in the field. A section is frozen and shows no secret.
"""

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from executor.domain.confidence import parse_scale
from executor.settings.shares import Percent, Share
from executor.settings.urls import (
    api_url,
    broker_url,
    identity_url,
    ledger_url,
    next_db_broker_url,
    proxy_url,
    redis_url,
)

_MAX_MONEY: Final = Decimal(1_000_000_000)  # more is a slip of the finger, not a limit
_DAY_S: Final = 86_400
_HEARTBEAT_LEAST_S: Final = 10  # Betfair: Heartbeat API
_BETFAIR: Final = tuple(f".betfair.{domain}" for domain in ("com", "com.au", "it", "es", "ro", "se"))

# .NET's level names, as the original's file uses them; silence is not offered, an engine that bets must say so.
_LEVELS: Final = {"TRACE": "DEBUG", "INFORMATION": "INFO", "NONE": "CRITICAL"}


def _codes(value: object) -> object:
    return frozenset(code.strip().upper() for code in value.split(",") if code.strip()) if type(value) is str else value


def names(value: object) -> object:
    """Read names between commas, in any case."""
    return frozenset(name.strip().lower() for name in value.split(",") if name.strip()) if type(value) is str else value


def _level(value: object) -> object:
    return _LEVELS.get(value.upper(), value.upper()) if type(value) is str else value


def _path(value: Path | None) -> Path | None:
    # SQLAlchemy ends a file's path at a question mark.
    if value is not None and (not str(value).isprintable() or "?" in str(value)):
        raise ValueError("should be a path without question marks and control characters")
    return value


def lower(value: object) -> object:
    """Take a word in any case."""
    return value.lower() if type(value) is str else value


def _upper(value: object) -> object:
    return value.strip().upper() if type(value) is str else value


def _scale(value: str) -> str:
    return str(parse_scale(value))


def _utf8(value: SecretStr) -> SecretStr:
    if any("\ud800" <= character <= "\udfff" for character in value.get_secret_value()):
        raise ValueError("should be text in UTF-8")
    return value


def _proxy(value: str) -> str:
    return proxy_url(value) if value else ""


def _nothing_is_none(value: object) -> object:
    return value or None


Limit = Annotated[Decimal, Field(ge=0, le=_MAX_MONEY, decimal_places=2)]
Price = Annotated[Decimal, Field(ge=1, le=1000, decimal_places=2)]
ApiUrl = Annotated[str, AfterValidator(api_url)]
IdentityUrl = Annotated[str, AfterValidator(identity_url)]
Secret = Annotated[SecretStr, AfterValidator(_utf8)]
SecretUrl = Annotated[str, Field(repr=False)]
OptionalPath = Annotated[Path | None, BeforeValidator(_nothing_is_none), AfterValidator(_path)]
DataPath = Annotated[Path, AfterValidator(_path)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Host = Annotated[str, Field(pattern=r"^[a-z0-9.:\-]+$")]
Code = Annotated[str, Field(pattern=r"^[A-Z0-9_]+$")]


class Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class BetfairSettings(Section):
    """Account, endpoints and session of the exchange."""

    app_key: Secret = SecretStr("")
    username: Annotated[str, Field(pattern=r"^\S*$")] = ""
    password: Secret = SecretStr("")
    certificate_path: OptionalPath = None
    certificate_password: Secret = SecretStr("")
    api_timeout_seconds: Annotated[int, Field(ge=1, le=300)] = 30
    reauthentication_interval_hours: Annotated[int, Field(ge=1, le=24)] = 6
    keep_alive_interval_seconds: Annotated[int, Field(ge=10, le=43_200)] = 900
    api_url: ApiUrl = "https://api.betfair.com"
    identity_url: IdentityUrl = "https://identitysso.betfair.com"
    identity_cert_url: IdentityUrl = "https://identitysso-cert.betfair.com"
    ca_bundle: OptionalPath = None
    proxy: Annotated[SecretUrl, AfterValidator(_proxy)] = ""  # for Betfair's hosts only
    order_stream: bool = True
    stream_host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]+$")] = "stream-api.betfair.com"
    stream_port: Annotated[int, Field(ge=1, le=65_535)] = 443
    heartbeat_seconds: Annotated[int, Field(ge=0, le=300)] = 0
    # Betfair: placeOrders, customerStrategyRef, its length and its characters.
    strategy_ref: Annotated[str, Field(pattern=r"^[A-Za-z0-9\-._+*:;~]{1,15}$")] = "aibetting"
    withheld: bool = False

    @field_validator("heartbeat_seconds")
    @classmethod
    def _is_a_timeout(cls, value: int) -> int:
        if 0 < value < _HEARTBEAT_LEAST_S:
            raise ValueError(f"should be 0 (off), or {_HEARTBEAT_LEAST_S} to 300")
        return value

    @property
    def stream_address(self) -> tuple[str, int] | None:
        """Where the order stream is: Betfair's own only beside Betfair's own API; None: there is none, or it is off."""
        own_api = (urlsplit(self.api_url).hostname or "").endswith(_BETFAIR)
        chosen = "stream_host" in self.model_fields_set
        return (self.stream_host, self.stream_port) if self.order_stream and (own_api or chosen) else None

    @field_validator("app_key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch("[!-~]*", value.get_secret_value()):
            raise ValueError("should be ASCII without spaces")
        return value


class RiskSettings(Section):
    """Limits of the risk rules; money in the account's currency."""

    enabled: bool = True
    circuit_breaker_enabled: bool = True
    max_stake_per_order: Limit = Decimal(100)
    max_exposure_per_market: Limit = Decimal(500)
    max_exposure_per_selection: Limit = Decimal(200)
    max_daily_loss: Limit = Decimal(500)
    max_risk_per_trade_percent: Annotated[Share, Field(gt=0)] = Decimal("0.02")
    bankroll: Limit = Decimal(10_000)
    market_exposure: Annotated[Literal["sum", "net"], BeforeValidator(lower)] = "sum"
    check_funds: bool = True
    currency: Annotated[str, BeforeValidator(_upper), Field(pattern="^([A-Z]{3})?$")] = ""  # "": the account's
    confidence_scale: Annotated[str, AfterValidator(_scale)] = "off"
    circuit_breaker_failures: Annotated[int, Field(ge=1, le=1000)] = 5
    circuit_breaker_window_seconds: Annotated[int, Field(ge=1, le=_DAY_S)] = 600
    circuit_breaker_counts_rejections: bool = False
    circuit_breaker_cancels_orders: bool = False
    circuit_breaker_ignored_codes: Annotated[frozenset[Code], BeforeValidator(_codes)] = frozenset(
        {"MARKET_SUSPENDED", "BET_TAKEN_OR_LAPSED"}
    )


class HedgeSettings(Section):
    """Whether and when a selection's matched exposure is brought down by itself."""

    mode: Annotated[Literal["off", "alert", "trade"], BeforeValidator(lower)] = "off"
    at_percent: Annotated[Percent, Field(gt=0)] = Decimal(90)
    to_percent: Annotated[Percent, Field(lt=100)] = Decimal(50)
    max_ticks: Annotated[int, Field(ge=0, le=50)] = 3

    @model_validator(mode="after")
    def _goes_down(self) -> Self:
        if self.to_percent >= self.at_percent:
            raise ValueError(
                f"EXECUTOR_HEDGE__TO_PERCENT ({self.to_percent}) should be below "
                f"EXECUTOR_HEDGE__AT_PERCENT ({self.at_percent})"
            )
        return self


class OrderManagerSettings(Section):
    """How orders are followed up."""

    unmatched_order_timeout_seconds: Annotated[int, Field(ge=1, le=_DAY_S)] = 30
    status_check_interval_seconds: Annotated[int, Field(ge=1, le=300)] = 5
    max_orders_per_check: Annotated[int, Field(ge=1, le=1000)] = 10


class TradingSettings(Section):
    """What may be traded, and whether for real."""

    enable_paper_trading: bool = True
    commission_rate: Share = Decimal("0.05")
    min_odds: Price = Decimal("1.01")
    max_odds: Price = Decimal(1000)
    min_stake: Annotated[Limit, Field(gt=0)] = Decimal("2.0")
    paper_fills: Annotated[Literal["instant", "book"], BeforeValidator(lower)] = "instant"
    half_placed: Annotated[Literal["cancel_rest", "keep"], BeforeValidator(lower)] = "cancel_rest"
    max_transactions_per_hour: Annotated[int, Field(ge=1, le=1_000_000)] = 5000  # Betfair charges for more

    @model_validator(mode="after")
    def _odds_are_a_range(self) -> Self:
        if self.min_odds > self.max_odds:
            raise ValueError(
                f"EXECUTOR_TRADING__MIN_ODDS ({self.min_odds}) should be at most "
                f"EXECUTOR_TRADING__MAX_ODDS ({self.max_odds})"
            )
        return self


class SignalsSettings(Section):
    """How long a signal is good for."""

    max_age_seconds: Annotated[int, Field(ge=1, le=_DAY_S)] = 60
    max_validity_seconds: Annotated[int, Field(ge=1, le=_DAY_S)] = 300
    dedup_seconds: Annotated[int, Field(ge=1, le=30 * _DAY_S)] = _DAY_S
    keys_file: OptionalPath = None
    require_signature: bool = False

    @model_validator(mode="after")
    def _remembered_while_valid(self) -> Self:
        if self.require_signature and self.keys_file is None:
            raise ValueError("EXECUTOR_SIGNALS__REQUIRE_SIGNATURE needs EXECUTOR_SIGNALS__KEYS_FILE")
        if self.dedup_seconds < max(self.max_age_seconds, self.max_validity_seconds):
            raise ValueError(
                "EXECUTOR_SIGNALS__DEDUP_SECONDS should be at least EXECUTOR_SIGNALS__MAX_AGE_SECONDS and "
                "EXECUTOR_SIGNALS__MAX_VALIDITY_SECONDS"
            )
        return self


class RedisSettings(Section):
    """Where the state lives, and where Celery's queues do."""

    url: Annotated[SecretUrl, AfterValidator(redis_url)] = "redis://localhost:6379/0"
    broker_url: Annotated[SecretUrl, Field(validate_default=True)] = ""

    @field_validator("broker_url")
    @classmethod
    def _same_server_by_default(cls, value: str, info: ValidationInfo) -> str:
        if value:
            return broker_url(value)
        return next_db_broker_url(info.data["url"]) if "url" in info.data else value


class MetricsSettings(Section):
    """Ports of /metrics and /health; 0 is off."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:\-]+$")] = "127.0.0.1"
    port: Port = 5003
    bridge_port: Port = 5004
    console_port: Port = 5007
    notify_port: Port = 5008
    stream_port: Port = 5006
    whole_port: Port = 0  # a worker's page of what all processes on this data folder counted
    instance: Annotated[str, Field(pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.\-]{0,62})?$")] = ""


class ConsoleSettings(Section):
    """Where the console listens, and who may use it; elsewhere than on loopback only with users and TLS."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:\-]+$")] = "127.0.0.1"
    port: Port = 8080
    users_file: OptionalPath = None
    behind_tls_proxy: bool = False
    tls_certificate: OptionalPath = None
    tls_key: OptionalPath = None
    allowed_hosts: Annotated[frozenset[Host], BeforeValidator(names)] = frozenset()
    published_on_loopback: bool = False  # of a container: its port can be reached from this host only

    @model_validator(mode="after")
    def _is_not_open(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError(
                "EXECUTOR_CONSOLE__TLS_CERTIFICATE and EXECUTOR_CONSOLE__TLS_KEY should both be given, or neither"
            )
        private = self.host in {"127.0.0.1", "localhost", "::1"} or self.published_on_loopback
        if not private and (self.users_file is None or not (self.tls_certificate or self.behind_tls_proxy)):
            raise ValueError(
                f"EXECUTOR_CONSOLE__HOST {self.host} is not loopback: it needs EXECUTOR_CONSOLE__USERS_FILE, and "
                "EXECUTOR_CONSOLE__TLS_CERTIFICATE with EXECUTOR_CONSOLE__TLS_KEY, or "
                "EXECUTOR_CONSOLE__BEHIND_TLS_PROXY=true"
            )
        return self


class LedgerSettings(Section):
    """The database of trades; by default SQLite in the data folder."""

    url: Annotated[SecretUrl, AfterValidator(ledger_url)]


class LoggingSettings(Section):
    """What is logged, and in which form."""

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_level)] = "INFO"
    format: Annotated[Literal["auto", "console", "json"], BeforeValidator(lower)] = "auto"
    file: bool = False
