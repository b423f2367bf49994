"""Settings nearly right: each kind of slip is told, with what was meant; what is nobody's slip is not."""

from pathlib import Path

import pytest

from executor.settings.load import LOCATIONS, load_settings
from executor.settings.nearly import NearNames

SLIPS = {
    "EXECUTOR_RISK_MAX_STAKE_PER_ORDER": "EXECUTOR_RISK__MAX_STAKE_PER_ORDER",  # an underscore too few
    "EXECUTOR__RISK__BANKROLL": "EXECUTOR_RISK__BANKROLL",  # too many
    "executor_risk_bankroll": "EXECUTOR_RISK__BANKROLL",
    "EXECUTOR_RIKS__BANKROLL": "EXECUTOR_RISK__BANKROLL",  # letters
    "EXECUTER_RISK__BANKROLL": "EXECUTOR_RISK__BANKROLL",
    "EXCUTOR_TRADING__ENABLE_PAPER_TRADING": "EXECUTOR_TRADING__ENABLE_PAPER_TRADING",
    "EXECUTOR_MAX_STAKE_PER_ORDER": "EXECUTOR_RISK__MAX_STAKE_PER_ORDER",  # no section
    "EXECUTOR_APP_KEY": "EXECUTOR_BETFAIR__APP_KEY",
    "EXECUTOR_DATADIR": "EXECUTOR_DATA_DIR",
    "EXECUTOR_BETFAIR_PASSWORD_FILE": "EXECUTOR_BETFAIR__PASSWORD",
    "RISK__BANKROLL": "EXECUTOR_RISK__BANKROLL",  # no prefix
    "EXECUTOR_RISK_SOMETHING": "EXECUTOR_RISK__...",
}
NOBODYS = ["EXECUTOR_NUMBER", "EXECUTORS", "REDIS_URL", "AIRFLOW__CORE__EXECUTOR", "SPARK_EXECUTOR_MEMORY", "PATH", "X"]


@pytest.mark.parametrize(("name", "meant"), SLIPS.items())
def test_a_variable_that_is_nearly_a_setting_is_told(tmp_path: Path, name: str, meant: str) -> None:
    told = f"{name}: is no setting and is ignored; did you mean {meant}?"
    assert load_settings({name: "s3cret"}, tmp_path).ignored == (told,)
    (tmp_path / ".env").write_text(f"{name}=s3cret\n")
    in_file = load_settings({}, tmp_path).ignored
    assert in_file == (told.replace(": is", " in .env: is"),), "a value may be a secret"


@pytest.mark.parametrize("location", [place for place in LOCATIONS if len(place) > 1], ids=".".join)
def test_an_underscore_too_few_is_told_of_every_setting(tmp_path: Path, location: tuple[str, str]) -> None:
    name = "EXECUTOR_" + "_".join(location).upper()
    assert load_settings({name: "1"}, tmp_path).ignored, name


def test_no_setting_is_taken_for_a_slip() -> None:
    names = ["EXECUTOR_" + "__".join(location).upper() for location in LOCATIONS]
    near = NearNames(LOCATIONS)
    assert not [name for name in names for form in (name, f"{name}_FILE", name.lower()) if near.variable(form)]


def test_what_is_nobodys_slip_is_not_told(tmp_path: Path) -> None:
    assert load_settings(dict.fromkeys(NOBODYS, "1"), tmp_path).ignored == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"Trading": {"EnablePaperTrading": false}}', "Trading: is ignored; did you mean Executor:Trading?"),
        ('{"RiskManagement": {}}', "RiskManagement: is ignored; did you mean Executor:Risk?"),
        ('{"ordermanager": {}}', "ordermanager: is ignored; did you mean Executor:OrderManager?"),
        ('{"Executer": {"Risk": {}}}', "Executer: is no section of ours and is ignored; did you mean Executor?"),
        ('{"AIBettingExecutor": {}}', "AIBettingExecutor: is no section of ours and is ignored; did you mean"),
        ('{"Executor": {"Riks": {"Bankroll": 5}}}', "Executor:Riks: is ignored; did you mean Executor:Risk?"),
        ('{"Executor": {"Bankroll": 5}}', "Executor:Bankroll: is ignored there; did you mean Executor:Risk:Bankroll?"),
        ('{"MaxStakePerOrder": 5}', "MaxStakePerOrder: is ignored there; did you mean Executor:Risk:MaxStakePerOrder?"),
        ('{"Executor:Risk:Bankroll": 5}', "write sections as objects within each other"),
    ],
)
def test_a_part_of_appsettings_that_is_nearly_ours_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "appsettings.json").write_text(text)
    (line,) = load_settings({}, tmp_path).ignored
    assert line.startswith("appsettings.json ")
    assert told in line


def test_other_programs_sections_are_not_told(tmp_path: Path) -> None:
    text = '{"Serilog": {}, "AllowedHosts": "*", "ConnectionStrings": {"Redis": "x"}, "Tracing": {}, "Logging": {}}'
    (tmp_path / "appsettings.json").write_text(text)
    assert load_settings({}, tmp_path).ignored == ()


@pytest.mark.parametrize("name", ["AppSettings.json", "appsettings.Production.json", "appsetting.json"])
def test_a_file_of_another_name_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    told = f"{name}: is not read; settings of this kind are in appsettings.json"
    assert load_settings({}, tmp_path).ignored == (told,)
