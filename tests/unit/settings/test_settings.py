"""Settings: precedence, defaults, every refusal and its one line, and the example file."""

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from executor.settings.load import ENV_NAMES, Settings, SettingsError, describe, load_settings

REPOSITORY = Path(__file__).parents[3]
LIVE = {
    "EXECUTOR_TRADING__ENABLE_PAPER_TRADING": "false",
    "EXECUTOR_BETFAIR__APP_KEY": "key",
    "EXECUTOR_BETFAIR__USERNAME": "ann",
    "EXECUTOR_BETFAIR__PASSWORD": "pw",
    "EXECUTOR_BETFAIR__CERTIFICATE_PATH": "client.pfx",
    "EXECUTOR_BETFAIR__CERTIFICATE_PASSWORD": "cpw",
}


def refusal(folder: Path, environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, folder)
    return str(caught.value)


def test_defaults_are_the_contract(tmp_path: Path) -> None:
    assert describe(load_settings({}, tmp_path)) == {
        "EXECUTOR_BETFAIR__APP_KEY": "",
        "EXECUTOR_BETFAIR__USERNAME": "",
        "EXECUTOR_BETFAIR__PASSWORD": "",
        "EXECUTOR_BETFAIR__CERTIFICATE_PATH": "",
        "EXECUTOR_BETFAIR__CERTIFICATE_PASSWORD": "",
        "EXECUTOR_BETFAIR__API_TIMEOUT_SECONDS": "30",
        "EXECUTOR_BETFAIR__REAUTHENTICATION_INTERVAL_HOURS": "6",
        "EXECUTOR_BETFAIR__KEEP_ALIVE_INTERVAL_SECONDS": "900",
        "EXECUTOR_BETFAIR__API_URL": "https://api.betfair.com",
        "EXECUTOR_BETFAIR__IDENTITY_URL": "https://identitysso.betfair.com",
        "EXECUTOR_BETFAIR__IDENTITY_CERT_URL": "https://identitysso-cert.betfair.com",
        "EXECUTOR_BETFAIR__CA_BUNDLE": "",
        "EXECUTOR_BETFAIR__PROXY": "",
        "EXECUTOR_BETFAIR__ORDER_STREAM": "true",
        "EXECUTOR_BETFAIR__STREAM_HOST": "stream-api.betfair.com",
        "EXECUTOR_BETFAIR__STREAM_PORT": "443",
        "EXECUTOR_BETFAIR__HEARTBEAT_SECONDS": "0",
        "EXECUTOR_BETFAIR__STRATEGY_REF": "aibetting",
        "EXECUTOR_BETFAIR__WITHHELD": "false",
        "EXECUTOR_RISK__ENABLED": "true",
        "EXECUTOR_RISK__CIRCUIT_BREAKER_ENABLED": "true",
        "EXECUTOR_RISK__MAX_STAKE_PER_ORDER": "100",
        "EXECUTOR_RISK__MAX_EXPOSURE_PER_MARKET": "500",
        "EXECUTOR_HEDGE__MODE": "off",
        "EXECUTOR_HEDGE__AT_PERCENT": "90",
        "EXECUTOR_HEDGE__TO_PERCENT": "50",
        "EXECUTOR_HEDGE__MAX_TICKS": "3",
        "EXECUTOR_RISK__MARKET_EXPOSURE": "sum",
        "EXECUTOR_RISK__CHECK_FUNDS": "true",
        "EXECUTOR_RISK__CURRENCY": "",
        "EXECUTOR_RISK__CONFIDENCE_SCALE": "off",
        "EXECUTOR_RISK__MAX_EXPOSURE_PER_SELECTION": "200",
        "EXECUTOR_RISK__MAX_DAILY_LOSS": "500",
        "EXECUTOR_RISK__MAX_RISK_PER_TRADE_PERCENT": "0.02",
        "EXECUTOR_RISK__BANKROLL": "10000",
        "EXECUTOR_RISK__CIRCUIT_BREAKER_FAILURES": "5",
        "EXECUTOR_RISK__CIRCUIT_BREAKER_WINDOW_SECONDS": "600",
        "EXECUTOR_RISK__CIRCUIT_BREAKER_COUNTS_REJECTIONS": "false",
        "EXECUTOR_RISK__CIRCUIT_BREAKER_CANCELS_ORDERS": "false",
        "EXECUTOR_RISK__CIRCUIT_BREAKER_IGNORED_CODES": "BET_TAKEN_OR_LAPSED,MARKET_SUSPENDED",
        "EXECUTOR_ORDER_MANAGER__UNMATCHED_ORDER_TIMEOUT_SECONDS": "30",
        "EXECUTOR_ORDER_MANAGER__STATUS_CHECK_INTERVAL_SECONDS": "5",
        "EXECUTOR_ORDER_MANAGER__MAX_ORDERS_PER_CHECK": "10",
        "EXECUTOR_TRADING__ENABLE_PAPER_TRADING": "true",
        "EXECUTOR_TRADING__COMMISSION_RATE": "0.05",
        "EXECUTOR_TRADING__MIN_ODDS": "1.01",
        "EXECUTOR_TRADING__MAX_ODDS": "1000",
        "EXECUTOR_TRADING__MIN_STAKE": "2.0",
        "EXECUTOR_TRADING__PAPER_FILLS": "instant",
        "EXECUTOR_TRADING__HALF_PLACED": "cancel_rest",
        "EXECUTOR_TRADING__MAX_TRANSACTIONS_PER_HOUR": "5000",
        "EXECUTOR_SIGNALS__MAX_AGE_SECONDS": "60",
        "EXECUTOR_SIGNALS__MAX_VALIDITY_SECONDS": "300",
        "EXECUTOR_SIGNALS__DEDUP_SECONDS": "86400",
        "EXECUTOR_SIGNALS__KEYS_FILE": "",
        "EXECUTOR_SIGNALS__REQUIRE_SIGNATURE": "false",
        "EXECUTOR_REDIS__URL": "redis://localhost:6379/0",
        "EXECUTOR_REDIS__BROKER_URL": "redis://localhost:6379/1",
        "EXECUTOR_METRICS__HOST": "127.0.0.1",
        "EXECUTOR_METRICS__PORT": "5003",
        "EXECUTOR_METRICS__BRIDGE_PORT": "5004",
        "EXECUTOR_METRICS__CONSOLE_PORT": "5007",
        "EXECUTOR_METRICS__NOTIFY_PORT": "5008",
        "EXECUTOR_NOTIFY__URLS": "",
        "EXECUTOR_NOTIFY__LEVEL": "warning",
        "EXECUTOR_NOTIFY__TELEGRAM_TOKEN": "",
        "EXECUTOR_NOTIFY__TELEGRAM_USERS": "",
        "EXECUTOR_NOTIFY__TELEGRAM_API": "https://api.telegram.org",
        "EXECUTOR_METRICS__STREAM_PORT": "5006",
        "EXECUTOR_METRICS__WHOLE_PORT": "0",
        "EXECUTOR_METRICS__INSTANCE": "",
        "EXECUTOR_CONSOLE__HOST": "127.0.0.1",
        "EXECUTOR_CONSOLE__PORT": "8080",
        "EXECUTOR_CONSOLE__USERS_FILE": "",
        "EXECUTOR_CONSOLE__BEHIND_TLS_PROXY": "false",
        "EXECUTOR_CONSOLE__TLS_CERTIFICATE": "",
        "EXECUTOR_CONSOLE__TLS_KEY": "",
        "EXECUTOR_CONSOLE__ALLOWED_HOSTS": "",
        "EXECUTOR_CONSOLE__PUBLISHED_ON_LOOPBACK": "false",
        "EXECUTOR_LEDGER__URL": f"sqlite:///{tmp_path}/data/ledger.db",
        "EXECUTOR_LOGGING__LEVEL": "INFO",
        "EXECUTOR_LOGGING__FORMAT": "auto",
        "EXECUTOR_LOGGING__FILE": "false",
        "EXECUTOR_DATA_DIR": f"{tmp_path}/data",
    }


@pytest.mark.parametrize("given", ["environment", ".env", "appsettings.json", "default"])
def test_precedence(tmp_path: Path, given: str) -> None:
    sources = ["environment", ".env", "appsettings.json", "default"]
    lower = sources[sources.index(given) :]
    environ = {"EXECUTOR_RISK__BANKROLL": "1"} if "environment" in lower else {}
    if ".env" in lower:
        (tmp_path / ".env").write_text("EXECUTOR_RISK__BANKROLL=2\n")
    if "appsettings.json" in lower:
        (tmp_path / "appsettings.json").write_text('{"Executor": {"Risk": {"Bankroll": 3, "MaxDailyLoss": 7}}}')
    risk = load_settings(environ, tmp_path).risk
    assert risk.bankroll == {"environment": 1, ".env": 2, "appsettings.json": 3, "default": 10_000}[given]
    assert risk.max_daily_loss == (500 if given == "default" else 7), "sources are merged setting by setting"


def test_what_is_not_ours_is_ignored(tmp_path: Path) -> None:
    others = {"EXECUTOR_FOO": "x", "EXECUTOR_": "", "EXECUTOR_RISKS__BANKROLL": "x", "RISK__BANKROLL": "x", "PATH": "x"}
    assert load_settings(others, tmp_path).model_dump() == load_settings({}, tmp_path).model_dump()


def test_names_count_in_any_letter_case(tmp_path: Path) -> None:
    assert load_settings({"executor_risk__Bankroll": "5"}, tmp_path).risk.bankroll == 5


def test_reads_the_process_when_nothing_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXECUTOR_RISK__BANKROLL", "77")
    (tmp_path / ".env").write_text("EXECUTOR_RISK__MAX_DAILY_LOSS=78\n")
    before = dict(os.environ)
    settings = load_settings()
    assert settings.risk.bankroll == 77
    assert settings.risk.max_daily_loss == 78
    assert settings.data_dir == tmp_path / "data"
    assert dict(os.environ) == before


VALUES = {
    "EXECUTOR_RISK__MAX_STAKE_PER_ORDER=0.10": ("risk.max_stake_per_order", Decimal("0.10")),
    "EXECUTOR_RISK__BANKROLL=0": ("risk.bankroll", Decimal(0)),
    "EXECUTOR_RISK__MAX_RISK_PER_TRADE_PERCENT=1": ("risk.max_risk_per_trade_percent", Decimal(1)),
    "EXECUTOR_RISK__MAX_RISK_PER_TRADE_PERCENT=2%": ("risk.max_risk_per_trade_percent", Decimal("0.02")),
    "EXECUTOR_TRADING__COMMISSION_RATE=0": ("trading.commission_rate", Decimal(0)),
    "EXECUTOR_TRADING__COMMISSION_RATE= 6.5 % ": ("trading.commission_rate", Decimal("0.065")),
    "EXECUTOR_HEDGE__AT_PERCENT=95%": ("hedge.at_percent", Decimal(95)),
    "EXECUTOR_RISK__ENABLED=off": ("risk.enabled", False),
    "EXECUTOR_RISK__CIRCUIT_BREAKER_IGNORED_CODES= a_b , C,": (
        "risk.circuit_breaker_ignored_codes",
        frozenset({"A_B", "C"}),
    ),
    "EXECUTOR_RISK__CIRCUIT_BREAKER_IGNORED_CODES=": ("risk.circuit_breaker_ignored_codes", frozenset()),
    "EXECUTOR_METRICS__PORT= 0 ": ("metrics.port", 0),
    "EXECUTOR_LOGGING__LEVEL=information": ("logging.level", "INFO"),
    "EXECUTOR_LOGGING__LEVEL=debug": ("logging.level", "DEBUG"),
    "EXECUTOR_LOGGING__FORMAT=JSON": ("logging.format", "json"),
    "EXECUTOR_LOGGING__FILE=on": ("logging.file", True),
    "EXECUTOR_BETFAIR__STRATEGY_REF=a-._+*:;~Z9": ("betfair.strategy_ref", "a-._+*:;~Z9"),
    "EXECUTOR_BETFAIR__API_URL=https://LOCALHOST:8443/x/": ("betfair.api_url", "https://localhost:8443/x"),
    "EXECUTOR_BETFAIR__API_URL=https://h/exchange/betting/json-rpc/v1": ("betfair.api_url", "https://h"),
    "EXECUTOR_BETFAIR__IDENTITY_URL=https://h:8443/api/": ("betfair.identity_url", "https://h:8443"),
    "EXECUTOR_BETFAIR__IDENTITY_URL=https://h/api/login": ("betfair.identity_url", "https://h"),
    "EXECUTOR_BETFAIR__IDENTITY_CERT_URL=https://h/api/certlogin/": ("betfair.identity_cert_url", "https://h"),
    "EXECUTOR_BETFAIR__IDENTITY_CERT_URL=https://h/apis": ("betfair.identity_cert_url", "https://h/apis"),
    "EXECUTOR_BETFAIR__PROXY=http://ann:pw@proxy:3128/": ("betfair.proxy", "http://ann:pw@proxy:3128"),
    "EXECUTOR_BETFAIR__CA_BUNDLE=": ("betfair.ca_bundle", None),
    "EXECUTOR_BETFAIR__CA_BUNDLE=/etc/ca.pem": ("betfair.ca_bundle", Path("/etc/ca.pem")),
    "EXECUTOR_DATA_DIR=/srv/x": ("ledger.url", "sqlite:////srv/x/ledger.db"),
    "EXECUTOR_LEDGER__URL=postgres://u:p@h/db": ("ledger.url", "postgresql+psycopg://u:p@h/db"),
}


@pytest.mark.parametrize(("given", "expected"), VALUES.items())
def test_values(tmp_path: Path, given: str, expected: tuple[str, Any]) -> None:
    name, _, text = given.partition("=")
    value: Any = load_settings({name: text}, tmp_path)
    for part in expected[0].split("."):
        value = getattr(value, part)
    assert value == expected[1]
    assert type(value) is type(expected[1]) or isinstance(value, Path)


def test_relative_paths_start_at_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    environ = {"EXECUTOR_DATA_DIR": "~/d", "EXECUTOR_BETFAIR__CERTIFICATE_PATH": "certs/c.pfx"}
    settings = load_settings(environ, tmp_path)
    assert settings.data_dir == Path("/home/ann/d")
    assert settings.betfair.certificate_path == tmp_path / "certs/c.pfx"


REFUSED = {
    "EXECUTOR_RISK__BANKROL=1": "is no setting; did you mean EXECUTOR_RISK__BANKROLL?",
    "EXECUTOR_RISK__=1": "is no setting",
    "EXECUTOR_LOGGING__LEVEL__X=1": "is no setting",
    "EXECUTOR_RISK__BANKROLL=": "valid decimal, not ''",
    "EXECUTOR_RISK__BANKROLL=1,000": "valid decimal, not '1,000'",
    "EXECUTOR_RISK__BANKROLL=nan": "finite number",
    "EXECUTOR_RISK__BANKROLL=-1": "greater than or equal to 0",
    "EXECUTOR_RISK__BANKROLL=1e99": "less than or equal to 1000000000",
    "EXECUTOR_RISK__MAX_STAKE_PER_ORDER=0.001": "no more than 2 decimal places",
    "EXECUTOR_RISK__MAX_RISK_PER_TRADE_PERCENT=0": "greater than 0",
    "EXECUTOR_RISK__MAX_RISK_PER_TRADE_PERCENT=2": "less than or equal to 1: it is a share; for 2 % write 0.02 or 2%",
    "EXECUTOR_RISK__MAX_RISK_PER_TRADE_PERCENT=200%": "less than or equal to 1",
    "EXECUTOR_RISK__MAX_RISK_PER_TRADE_PERCENT=0%": "greater than 0",
    "EXECUTOR_RISK__MAX_RISK_PER_TRADE_PERCENT=2%%": "valid decimal, not '2%%'",
    "EXECUTOR_RISK__MAX_RISK_PER_TRADE_PERCENT=nan%": "valid decimal",
    "EXECUTOR_RISK__MAX_RISK_PER_TRADE_PERCENT=nan": "finite number",
    "EXECUTOR_TRADING__COMMISSION_RATE=5": "for 5 % write 0.05 or 5%",
    "EXECUTOR_HEDGE__AT_PERCENT=0.9": "in per cent: for 90 % write 90",
    "EXECUTOR_HEDGE__TO_PERCENT=0.5": "in per cent: for 50 % write 50",
    "EXECUTOR_RISK__CIRCUIT_BREAKER_FAILURES=0": "greater than or equal to 1",
    "EXECUTOR_RISK__CIRCUIT_BREAKER_IGNORED_CODES=A B": "match pattern",
    "EXECUTOR_RISK__ENABLED=maybe": "valid boolean",
    "EXECUTOR_TRADING__COMMISSION_RATE=1.5": "less than or equal to 1",
    "EXECUTOR_TRADING__MIN_ODDS=0.5": "greater than or equal to 1",
    "EXECUTOR_TRADING__MAX_ODDS=1001": "less than or equal to 1000",
    "EXECUTOR_TRADING__MIN_STAKE=0": "greater than 0",
    "EXECUTOR_METRICS__PORT=65536": "less than or equal to 65535, not '65536'",
    "EXECUTOR_METRICS__BRIDGE_PORT=-1": "greater than or equal to 0",
    "EXECUTOR_METRICS__PORT=1.5": "valid integer",
    "EXECUTOR_BETFAIR__STRATEGY_REF=sixteen-letters!": "match pattern",
    "EXECUTOR_BETFAIR__STRATEGY_REF=abcdefghijklmnop": "match pattern",
    "EXECUTOR_BETFAIR__STRATEGY_REF=": "match pattern",
    "EXECUTOR_BETFAIR__USERNAME=ann lee": "match pattern",
    "EXECUTOR_BETFAIR__APP_KEY=a key": "ASCII without spaces",
    "EXECUTOR_BETFAIR__API_URL=http://api.betfair.com": "should be an https:// URL",
    "EXECUTOR_BETFAIR__PROXY=socks5://proxy": "should be an http:// or https:// URL of a proxy",
    "EXECUTOR_BETFAIR__PROXY=proxy:3128": "should be an http:// or https:// URL of a proxy",
    "EXECUTOR_BETFAIR__PROXY=http://proxy/path": "without path, query and fragment",
    "EXECUTOR_BETFAIR__IDENTITY_URL=https://u:p@x": "without user, query and fragment",
    "EXECUTOR_BETFAIR__IDENTITY_CERT_URL=https://x?a=b": "without user, query and fragment",
    "EXECUTOR_BETFAIR__API_TIMEOUT_SECONDS=0": "greater than or equal to 1",
    "EXECUTOR_ORDER_MANAGER__STATUS_CHECK_INTERVAL_SECONDS=301": "less than or equal to 300",
    "EXECUTOR_SIGNALS__MAX_AGE_SECONDS=0": "greater than or equal to 1",
    "EXECUTOR_LOGGING__LEVEL=LOUD": "'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL', not 'LOUD'",
    "EXECUTOR_LOGGING__FORMAT=xml": "'auto', 'console' or 'json'",
    "EXECUTOR_DATA_DIR=a?b": "path without question marks",
    "EXECUTOR_DATA_DIR=~nobody-of-that-name/x": "home folder that exists",
    "EXECUTOR_REDIS__URL=http://h": "redis://, rediss://, unix:// URL",
    "EXECUTOR_LEDGER__URL=mysql://h/db": "sqlite:/// or postgresql:// URL",
}


@pytest.mark.parametrize(("given", "expected"), REFUSED.items())
def test_refusals_are_one_line_that_names_the_variable(tmp_path: Path, given: str, expected: str) -> None:
    name, _, text = given.partition("=")
    line = refusal(tmp_path, {name: text})
    assert line.startswith(f"{name}: ")
    assert expected in line
    assert "\n" not in line


def test_each_of_several_problems_has_its_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("EXECUTOR_METRICS__PORT=x\n")
    lines = refusal(tmp_path, {"EXECUTOR_RISK__BANKROLL": "a\nb"}).splitlines()
    assert [line.split(": ")[0] for line in lines] == ["EXECUTOR_RISK__BANKROLL", "EXECUTOR_METRICS__PORT in .env"]


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    assert refusal(tmp_path, {"EXECUTOR_RISK__BANKROLL": "9x" * 5000}).endswith("9x9x...'")


def test_settings_that_contradict_each_other(tmp_path: Path) -> None:
    odds = {"EXECUTOR_TRADING__MIN_ODDS": "5", "EXECUTOR_TRADING__MAX_ODDS": "2"}
    assert refusal(tmp_path, odds) == (
        "EXECUTOR_TRADING__MIN_ODDS (5) should be at most EXECUTOR_TRADING__MAX_ODDS (2)"
    )
    assert refusal(tmp_path, {"EXECUTOR_SIGNALS__DEDUP_SECONDS": "299"}).startswith("EXECUTOR_SIGNALS__DEDUP_SECONDS ")
    assert load_settings({"EXECUTOR_SIGNALS__DEDUP_SECONDS": "300"}, tmp_path).signals.dedup_seconds == 300


def test_live_needs_the_whole_account(tmp_path: Path) -> None:
    line = refusal(tmp_path, {"EXECUTOR_TRADING__ENABLE_PAPER_TRADING": "false", "EXECUTOR_BETFAIR__USERNAME": "ann"})
    assert "\n" not in line
    assert re.findall(r"EXECUTOR_BETFAIR__\w+ \([^)]+\)", line) == [
        "EXECUTOR_BETFAIR__APP_KEY (Executor:Betfair:AppKey)",
        "EXECUTOR_BETFAIR__PASSWORD (Executor:Betfair:Password)",
        "EXECUTOR_BETFAIR__CERTIFICATE_PATH (Executor:Betfair:CertificatePath)",
        "EXECUTOR_BETFAIR__CERTIFICATE_PASSWORD (Executor:Betfair:CertificatePassword)",
    ]


@pytest.mark.parametrize("name", [name for name in LIVE if "BETFAIR" in name])
def test_live_needs_each_of_the_five(tmp_path: Path, name: str) -> None:
    assert load_settings(LIVE, tmp_path).trading.enable_paper_trading is False
    assert name in refusal(tmp_path, {key: value for key, value in LIVE.items() if key != name})
    if name == "EXECUTOR_BETFAIR__CERTIFICATE_PASSWORD":
        assert load_settings(LIVE | {name: ""}, tmp_path).betfair.certificate_password.get_secret_value() == ""
    else:
        assert name in refusal(tmp_path, LIVE | {name: ""})


def test_identity(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path).identity == "paper"
    assert load_settings(LIVE, tmp_path).identity == "live api.betfair.com ann aibetting"
    sandbox = LIVE | {"EXECUTOR_BETFAIR__API_URL": "https://localhost:8443"}
    assert load_settings(sandbox, tmp_path).identity == "live localhost:8443 ann aibetting"


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = load_settings({}, tmp_path)
    with pytest.raises(ValidationError, match="frozen"):
        settings.risk = settings.risk  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.risk.bankroll = Decimal(1)  # type: ignore[misc]


def test_the_library_reads_no_environment_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISK", '{"bankroll": 0.1}')
    assert Settings(ledger={"url": "sqlite:///x"}, data_dir="x").risk.bankroll == 10_000


def example() -> dict[str, str]:
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    return dict(line[1:].split("=", 1) for line in lines if re.match(r"#EXECUTOR_\w+=", line))


def test_the_example_names_every_setting_once_and_explains_it() -> None:
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    named = [line[1:].split("=")[0] for line in lines if line.startswith("#EXECUTOR_")]
    assert sorted(named) == sorted(ENV_NAMES)
    assert all(lines[at - 1].startswith("# ") for at, line in enumerate(lines) if line.startswith("#EXECUTOR_"))
    assert not [line for line in lines if line and not line.startswith("#")]


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    defaults = load_settings({}, tmp_path)
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in example().items()))
    assert load_settings({}, tmp_path) == defaults
