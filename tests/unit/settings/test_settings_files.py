"""Settings out of files: the original's appsettings.json, .env, and secrets that come as a file."""

from decimal import Decimal
from pathlib import Path

import pytest

from executor.settings.appsettings import MAX_FILE_BYTES
from executor.settings.env import MAX_FILE_BYTES as MAX_SECRET_BYTES
from executor.settings.load import Settings, SettingsError, load_settings

UNREADABLE = Path("/proc/self/mem")  # for root, too: there is nothing at address 0

# reference: Configuration, word for word
REFERENCE_EXAMPLE = """\
{
  "Executor": {
    "Betfair": {
      "AppKey": "YOUR_BETFAIR_APP_KEY",
      "CertificatePath": "certs/betfair-client.pfx",
      "CertificatePassword": "YOUR_CERT_PASSWORD"
    },
    "Trading": {
      "EnablePaperTrading": true  // Set to false for live trading
    }
  }
}
"""


def load_json(folder: Path, text: str | bytes) -> Settings:
    (folder / "appsettings.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_settings({}, folder)


def refused_json(folder: Path, text: str | bytes) -> str:
    with pytest.raises(SettingsError) as caught:
        load_json(folder, text)
    return str(caught.value)


def test_the_references_example_works_unchanged(tmp_path: Path) -> None:
    settings = load_json(tmp_path, REFERENCE_EXAMPLE)
    assert settings.betfair.app_key.get_secret_value() == "YOUR_BETFAIR_APP_KEY"
    assert settings.betfair.certificate_path == tmp_path / "certs/betfair-client.pfx"
    assert settings.betfair.certificate_password.get_secret_value() == "YOUR_CERT_PASSWORD"
    assert settings.trading.enable_paper_trading is True
    assert settings.identity == "paper"


def test_the_references_debug_logging_works_unchanged(tmp_path: Path) -> None:
    text = '{"Logging": {"LogLevel": {"Default": "Debug", "AIBettingExecutor": "Debug"}}}'
    assert load_json(tmp_path, text).logging.level == "DEBUG"


def test_every_parameter_of_the_reference(tmp_path: Path) -> None:
    settings = load_json(
        tmp_path,
        b"\xef\xbb\xbf"
        b"""
        {
          "ConnectionStrings": {"Redis": "localhost:6379", "Odd": [1, {}]},
          "executor": {
            "BETFAIR": {"ApiTimeoutSeconds": 10, "reauthenticationIntervalHours": 4, "KeepAliveIntervalSeconds": 60},
            "RiskManagement": {
              "Enabled": false, "CircuitBreakerEnabled": false, "MaxStakePerOrder": 100.10,
              "MaxExposurePerMarket": 0.30, "MaxExposurePerSelection": 1e2, "MaxDailyLoss": +7,
              "MaxRiskPerTradePercent": 0.02, "CircuitBreakerIgnoredCodes": ["a", "b"],
            },
            "Risk": {"Bankroll": null}, /* both names
            of the section */
            "OrderManager": {
              "UnmatchedOrderTimeoutSeconds": 31, "StatusCheckIntervalSeconds": 6, "MaxOrdersPerCheck": 11},
            "Trading": {"CommissionRate": 0.03, "MinOdds": 1.5, "MaxOdds": 50.0, "MinStake": "3"},
            "Signals": {"MaxAgeSeconds": 61}, "Redis": {"Url": "redis://r/4"},
            "Metrics": {"Port": 0, "BridgePort": 1}, "Ledger": null, "DataDir": "d",
            "Unknown": {"Anything": 1}, "AlsoUnknown": 5,
          },
        }""",
    )
    assert settings.betfair.api_timeout_seconds == 10
    assert settings.betfair.reauthentication_interval_hours == 4
    assert settings.betfair.keep_alive_interval_seconds == 60
    risk = settings.risk
    assert not risk.enabled
    assert not risk.circuit_breaker_enabled
    assert (str(risk.max_stake_per_order), str(risk.max_exposure_per_market)) == ("100.10", "0.30")
    assert (str(risk.max_exposure_per_selection), str(risk.max_daily_loss)) == ("100", "7")
    assert risk.max_risk_per_trade_percent == Decimal("0.02")
    assert risk.circuit_breaker_ignored_codes == {"A", "B"}
    assert risk.bankroll == Decimal(10_000)
    assert settings.order_manager.model_dump() == {
        "unmatched_order_timeout_seconds": 31,
        "status_check_interval_seconds": 6,
        "max_orders_per_check": 11,
    }
    assert settings.trading.model_dump() == {
        "enable_paper_trading": True,
        "commission_rate": Decimal("0.03"),
        "min_odds": Decimal("1.5"),
        "max_odds": Decimal(50),
        "min_stake": Decimal(3),
        "paper_fills": "instant",
        "half_placed": "cancel_rest",  # not in the original: the default
        "max_transactions_per_hour": 5000,
    }
    assert settings.signals.max_age_seconds == 61
    assert settings.redis.broker_url == "redis://r/5"
    assert (settings.metrics.port, settings.metrics.bridge_port) == (0, 1)
    assert settings.data_dir == tmp_path / "d"


def test_numbers_never_pass_through_a_float(tmp_path: Path) -> None:
    share = "0.0200000000000000000001"
    text = f'{{"Executor": {{"Risk": {{"MaxRiskPerTradePercent": {share}}}}}}}'
    assert load_json(tmp_path, text).risk.max_risk_per_trade_percent == Decimal(share)


LEVELS = {
    '"Logging": {"LogLevel": {"Default": "Trace"}}': "DEBUG",
    '"Logging": {"LogLevel": {"Default": "Information", "Microsoft": "None"}}': "INFO",
    '"Logging": {"LogLevel": {"Default": "None"}}': "CRITICAL",
    '"Logging": {"LogLevel": {"Default": "Error", "AIBettingExecutor": "Warning"}}': "WARNING",
    '"Logging": {"LogLevel": {"AIBettingExecutor": "Critical"}}, "Executor": {"Logging": {"LogLevel": {'
    '"Default": "Debug"}}}': "CRITICAL",
    '"Logging": {"LogLevel": {"Default": "Critical"}}, "Executor": {"Logging": {"LogLevel": {'
    '"Default": "Debug"}}}': "DEBUG",
    '"logging": {"loglevel": {"aibettingexecutor": "critical"}}, "Executor": {"Logging": {"LogLevel": {'
    '"AIBettingExecutor": "Error"}}}': "ERROR",
    '"Logging": {"LogLevel": {"Default": "Error"}}, "Executor": {"Logging": {"Level": "Debug"}}': "DEBUG",
    '"Logging": {"LogLevel": null, "Console": {"LogLevel": 5}}': "INFO",
    '"Logging": null': "INFO",
}


@pytest.mark.parametrize(("members", "level"), LEVELS.items())
def test_the_most_specific_log_level_wins(tmp_path: Path, members: str, level: str) -> None:
    assert load_json(tmp_path, f"{{{members}}}").logging.level == level


BAD_JSON = {
    '{"Executor": {"Risk": {"MaxStake": 5}}}': "appsettings.json Executor:Risk:MaxStake: is no setting",
    '{"executor": {"risk": {"bankroll": "x"}}}': (
        "appsettings.json executor:risk:bankroll: should be a valid decimal, not 'x'"
    ),
    '{"Executor": {"Risk": {"Bankroll": Infinity}}}': "appsettings.json Executor:Risk:Bankroll: should be a finite",
    '{"Executor": {"Risk": {"Bankroll": {}}}}': "Executor:Risk:Bankroll: should be a text, a number, true or false",
    '{"Executor": {"Risk": {"Bankroll": [1]}}}': "Executor:Risk:Bankroll: should be a text, a number, true or false",
    '{"Executor": {"Risk": {"Bankroll": 1}, "RiskManagement": {"bankroll": 2}}}': (
        "appsettings.json Executor:Risk:Bankroll and Executor:RiskManagement:bankroll are the same setting"
    ),
    '{"Executor": {"Risk": {"Bankroll": 1, "Bankroll": 2}}}': "appsettings.json: is not JSON (a name is there twice)",
    '{"Executor": {"Risk": 5}}': "appsettings.json Executor:Risk: should be an object",
    '{"Executor": []}': "appsettings.json Executor: should be an object",
    '{"Executor": {"Logging": {"LogLevel": "Debug"}}}': "Executor:Logging:LogLevel: should be an object",
    '{"Executor": {"Logging": {"Levels": {}}}}': "Executor:Logging:Levels: is no setting",
    '{"Logging": {"LogLevel": {"Default": "Loud"}}}': "appsettings.json Logging:LogLevel:Default: should be 'DEBUG'",
    "[]": "appsettings.json: should hold an object",
    "": "appsettings.json: is not JSON",
    '{\n "Executor": 1e}': "appsettings.json: is not JSON",
    '{\n "Executor": {"Betfair": {"Password": hush}}}': "appsettings.json: is not JSON at line 2 column 39",
    "[" * 5000: "appsettings.json: is nested too deeply",
    " " * (MAX_FILE_BYTES + 1): "appsettings.json: should be at most",
}


@pytest.mark.parametrize(("text", "expected"), BAD_JSON.items())
def test_a_wrong_appsettings_is_refused_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    line = refused_json(tmp_path, text)
    assert expected in line
    assert "\n" not in line
    assert "hush" not in line


def test_an_unreadable_appsettings_is_refused(tmp_path: Path) -> None:
    assert refused_json(tmp_path, b'{"a": "\xff"}') == "appsettings.json: is not JSON"
    (tmp_path / "appsettings.json").unlink()
    (tmp_path / "appsettings.json").mkdir()  # what a container makes of a mount whose source is missing
    with pytest.raises(SettingsError, match=r"^appsettings\.json: should be a file$"):
        load_settings({}, tmp_path)


def load_dotenv(folder: Path, text: str | bytes, environ: dict[str, str] | None = None) -> Settings:
    (folder / ".env").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_settings(environ or {}, folder)


def test_dotenv_syntax(tmp_path: Path) -> None:
    settings = load_dotenv(
        tmp_path,
        b"\xef\xbb\xbf"
        b"""# comment
EXECUTOR_RISK__BANKROLL=5 # five
export EXECUTOR_RISK__MAX_DAILY_LOSS='6'
PLACE=r.example
EXECUTOR_REDIS__URL="redis://:${SECRET}@${PLACE}/${NONE:-3}"
OTHER
not ours = at all
""",
        {"SECRET": "pw"},
    )
    assert settings.risk.bankroll == 5
    assert settings.risk.max_daily_loss == 6
    assert settings.redis.url == "redis://:pw@r.example/3"


BAD_DOTENV = {
    "EXECUTOR_RISK__BANKROL=1": "EXECUTOR_RISK__BANKROL in .env: is no setting; did you mean",
    "EXECUTOR_RISK__BANKROLL=x": "EXECUTOR_RISK__BANKROLL in .env: should be a valid decimal, not 'x'",
    "EXECUTOR_RISK__BANKROLL": "EXECUTOR_RISK__BANKROLL in .env: has no value",
    "A=1\nEXECUTOR_RISK__BANKROLL 5": ".env line 2: should be NAME=value",
    b"A=\xff": ".env: should be a file in UTF-8",
    "#" * (MAX_SECRET_BYTES + 1): ".env: should be a file of at most",
    "EXECUTOR_RISK__BANKROLL=1\nexecutor_risk__bankroll=2": (
        "EXECUTOR_RISK__BANKROLL in .env and executor_risk__bankroll in .env are the same setting"
    ),
}


@pytest.mark.parametrize(("text", "expected"), BAD_DOTENV.items())
def test_a_wrong_dotenv_is_refused_in_one_line(tmp_path: Path, text: str | bytes, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_dotenv(tmp_path, text)
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_a_virtual_environment_named_dotenv_is_ignored(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert load_settings({}, tmp_path).identity == "paper"


@pytest.mark.parametrize(
    ("content", "password"),
    [
        ("pw", "pw"),
        ("pw\n", "pw"),
        ("pw\r\n", "pw"),
        ("pw\n\n", "pw\n"),
        (" pw \n", " pw "),
        ("p\xe4\u20ac", "p\xe4\u20ac"),
    ],
)
def test_a_secret_from_a_file(tmp_path: Path, content: str, password: str) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    settings = load_settings({"EXECUTOR_BETFAIR__PASSWORD_FILE": "secret"}, tmp_path)
    assert settings.betfair.password.get_secret_value() == password


def test_any_setting_may_come_from_a_file_and_from_dotenv(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:pw@h/1\n")
    (tmp_path / "bankroll").write_text("12\n")
    (tmp_path / "on").write_text("on\n")
    environ = {"EXECUTOR_REDIS__URL_FILE": str(tmp_path / "url"), "EXECUTOR_LOGGING__FILE_FILE": "on"}
    settings = load_dotenv(tmp_path, "EXECUTOR_RISK__BANKROLL_FILE=bankroll\nEXECUTOR_REDIS__URL=redis://x", environ)
    assert settings.redis.url == "redis://:pw@h/1"
    assert settings.risk.bankroll == 12
    assert settings.logging.file is True


def test_a_secrets_file_that_cannot_be_used(tmp_path: Path) -> None:
    name = "EXECUTOR_BETFAIR__PASSWORD_FILE"
    (tmp_path / "latin").write_bytes(b"\xff")
    (tmp_path / "huge").write_bytes(b"x" * (MAX_SECRET_BYTES + 1))
    for path, expected in {
        "missing": "should be the path of a file, and 'missing' is none",
        "": "should be the path of a file, and '' is none",
        "a\0b": "should be the path of a file",
        "latin": "should be a file in UTF-8",
        "huge": f"should be a file of at most {MAX_SECRET_BYTES} bytes",
    }.items():
        with pytest.raises(SettingsError) as caught:
            load_settings({name: path}, tmp_path)
        assert str(caught.value).startswith(f"{name}: {expected}")
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.skipif(not UNREADABLE.exists(), reason="needs Linux's /proc")
def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^EXECUTOR_BETFAIR__PASSWORD_FILE: the file cannot be read: "):
        load_settings({"EXECUTOR_BETFAIR__PASSWORD_FILE": str(UNREADABLE)}, tmp_path)
    (tmp_path / ".env").symlink_to(UNREADABLE)
    (tmp_path / "appsettings.json").symlink_to(UNREADABLE)
    with pytest.raises(SettingsError) as caught:
        load_settings({}, tmp_path)
    first, second = str(caught.value).splitlines()
    assert first.startswith(".env: the file cannot be read: ")
    assert second.startswith("appsettings.json: cannot be read: ")


def test_a_variable_and_its_file_are_not_given_together(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"EXECUTOR_BETFAIR__PASSWORD": "a", "EXECUTOR_BETFAIR__PASSWORD_FILE": "b"}, tmp_path)
    assert str(caught.value) == (
        "EXECUTOR_BETFAIR__PASSWORD and EXECUTOR_BETFAIR__PASSWORD_FILE are the same setting: give one of them"
    )


def test_an_empty_file_beside_the_variable_takes_away_what_another_gave(tmp_path: Path) -> None:
    given = {"EXECUTOR_BETFAIR__PASSWORD": "", "EXECUTOR_BETFAIR__PASSWORD_FILE": ""}
    assert load_settings(given, tmp_path).betfair.password.get_secret_value() == ""
    assert load_settings(dict(reversed(given.items())), tmp_path).betfair.password.get_secret_value() == ""


def test_the_name_of_a_file_that_no_setting_has(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="EXECUTOR_BETFAIR__PASWORD_FILE: is no setting"):
        load_settings({"EXECUTOR_BETFAIR__PASWORD_FILE": "x"}, tmp_path)


def test_a_dotenv_that_grows_without_end(tmp_path: Path) -> None:
    doubling = "A=" + "x" * 64 + "\n" + "A=${A}${A}\n" * 64
    (tmp_path / ".env").write_text(doubling)
    with pytest.raises(SettingsError, match=r"^\.env line 12: is too long with its \$\{NAME\} filled in"):
        load_settings({}, tmp_path)


@pytest.mark.parametrize(
    "line",
    ["EXECUTOR_BETFAIR__PASSWORD:planted", "EXECUTOR_BETFAIR__PASSWORD:planted=", "EXECUTOR_BETFAIR__PASSWORDplanted"],
)
def test_a_secret_that_became_part_of_the_name(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(line)
    with pytest.raises(SettingsError) as caught:
        load_settings({}, tmp_path)
    assert str(caught.value).startswith("EXECUTOR_BETFAIR__... in .env: is no setting; did you mean EXECUTOR_BETFAIR__")
    assert "planted" not in str(caught.value)


def test_a_name_without_end_is_cut_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "appsettings.json").write_text(f'{{"Executor": {{"Risk": {{"{"x" * 70_000}": 1}}}}}}')
    with pytest.raises(SettingsError, match="Executor:Risk:xxx") as raised:
        load_settings({}, tmp_path)
    assert len(str(raised.value)) < 1100
