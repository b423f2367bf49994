"""Whatever the settings hold, wherever they come from: settings within their bounds, or lines that name the culprit.

By hand, ten minutes: FUZZ_EXAMPLES=40000 pytest tests/security/test_fuzz_settings.py --timeout 3600
"""

import re
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hostile import NUMBERS, TEXTS, VALUES, examples, mutated, sent, written

from executor.settings.load import ENV_NAMES, Settings, SettingsError, describe, load_settings, secret_values

SLOWEST_S: Final = 10.0  # of processor time; each takes milliseconds, a file of the largest size a second or two
_EXAMPLE: Final = Path(__file__).parents[2].joinpath(".env.example").read_text()
_RANGES: Final = {  # as the example file tells people
    name: (Decimal(low), Decimal(high))
    for low, high, name in re.findall(
        r"([0-9]+)\.\.([0-9]+)(?![^\n]*characters)[^\n]*\n#(EXECUTOR_[A-Z_]+)=[0-9]", _EXAMPLE
    )
}
_MONEY: Final = re.compile(r"MAX_STAKE|MAX_EXPOSURE|MAX_DAILY_LOSS|BANKROLL|MIN_STAKE")
_NAMES_IT: Final = re.compile(r"EXECUTOR_\w|appsettings\.json|\.env\b", re.IGNORECASE)

GOOD: Final = dict(re.findall(r"^#(EXECUTOR_[A-Z_]+)=(.*)$", _EXAMPLE, re.MULTILINE))
SECRET: Final = "planted"
SECRETS: Final = (
    "EXECUTOR_BETFAIR__APP_KEY",
    "EXECUTOR_BETFAIR__PASSWORD",
    "EXECUTOR_BETFAIR__CERTIFICATE_PASSWORD",
)
URLS: Final = ("EXECUTOR_REDIS__URL", "EXECUTOR_REDIS__BROKER_URL", "EXECUTOR_LEDGER__URL", "EXECUTOR_BETFAIR__API_URL")

_HOSTILE: Final = st.one_of(
    st.sampled_from(TEXTS + NUMBERS).map(lambda text: text.replace("\x00", "\x01")),
    st.sampled_from(
        ["/", ".", "~nobody-of-that-name/x", "x" * 5000, "${EXECUTOR_BETFAIR__USERNAME}", "\udcff", "a\nb", "'"]
    ),
    st.text(st.characters(exclude_characters="\x00"), max_size=20),
)


@st.composite
def _given(draw: st.DrawFn) -> tuple[str, str]:
    """Return a variable and its text; a secret's text is marked, so that it can be found."""
    name = draw(st.sampled_from(ENV_NAMES))
    text = draw(_HOSTILE) if draw(st.booleans()) else GOOD.get(name, "1")
    if name in SECRETS:
        return name, SECRET + text
    if name in URLS:
        scheme = draw(st.sampled_from(["redis", "rediss", "https", "postgresql", "unix", "amqp", ""]))
        return (
            name,
            f"{scheme}://{draw(st.sampled_from(['', 'ann', '@']))}:{SECRET}{text}@h/{draw(st.sampled_from(TEXTS))}",
        )
    return name, text.replace("\x00", "\x01")


_VARIABLES = st.lists(_given(), max_size=5, unique_by=lambda pair: pair[0])
_QUOTES = st.sampled_from(["", '"', "'"])
_BOMB: Final = "A=" + "x" * 64 + "\n" + "A=${A}${A}\n" * 40


@st.composite
def _dotenv(draw: st.DrawFn) -> bytes:
    lines = []
    for name, text in draw(_VARIABLES):
        quote, export = draw(_QUOTES), draw(st.sampled_from(["", "export ", " "]))
        equals = draw(st.sampled_from(["=", "=", " = ", ":", ""]))
        plain = text.replace(quote or " ", "") if equals else text.replace("=", "")
        lines.append(f"{export}{name}{equals}{quote}{plain}{quote}")
    if draw(st.integers(0, 9)) == 0:
        lines.insert(draw(st.integers(0, len(lines))), _BOMB)
    return draw(sent("\n".join(lines).encode("utf-8", "replace").decode()))


_FIELD: Final = {name: name.split("__")[-1].title().replace("_", "") for name in ENV_NAMES}


@st.composite
def _appsettings(draw: st.DrawFn) -> bytes:
    document: dict[str, Any] = {
        "Executor": {},
        "Logging": {"LogLevel": {"Default": "Information"}},
        "AllowedHosts": "*",
    }
    for name, text in draw(_VARIABLES):
        section = name.removeprefix("EXECUTOR_").split("__")[0].title().replace("_", "")
        if "__" in name:
            document["Executor"].setdefault(section, {})[_FIELD[name]] = text
    secrets = any(SECRET in str(section) for section in document["Executor"].values())
    # A copied or renamed secret may end where values are shown: what holds some is only spoilt as a whole.
    text = written(document) if secrets else draw(mutated(document, VALUES))
    spoilt = draw(st.sampled_from([text, text, f"// a comment\n{text}", text.replace("}", ",}"), f"/*{text}"]))
    return draw(sent(spoilt))


# --- what holds of every outcome -------------------------------------------------------------------------------------


def check_bounds(settings: Settings) -> None:
    shown = describe(settings)
    for name, (low, high) in _RANGES.items():
        assert low <= Decimal(shown[name]) <= high, name
    for name in filter(_MONEY.search, shown):
        assert 0 <= Decimal(shown[name]) <= 10**9, name
    assert Decimal(0) < settings.trading.min_stake
    assert 0 < settings.risk.max_risk_per_trade_percent <= 1
    assert 0 <= settings.trading.commission_rate <= 1
    assert 1 <= settings.trading.min_odds <= settings.trading.max_odds <= 1000
    assert all(
        shown[name].startswith("https://") for name in shown if name.endswith(("API_URL", "IDENTITY_URL", "CERT_URL"))
    )
    assert settings.redis.url.startswith(("redis://", "rediss://", "unix://"))
    assert settings.redis.broker_url.startswith(("redis://", "rediss://", "redis+socket://"))
    assert settings.ledger.url.startswith(("sqlite:///", "postgresql"))
    assert settings.data_dir.is_absolute()
    assert len(settings.betfair.strategy_ref) <= 15
    if not settings.trading.enable_paper_trading:
        assert settings.betfair.withheld or (settings.betfair.username and secret_values(settings))


def outcome(environ: dict[str, str], folder: Path) -> str:
    """Load the settings; return the problems, "" when there are none."""
    began = time.process_time()
    refused: SettingsError | None = None
    try:
        settings = load_settings(environ, folder)
    except SettingsError as error:
        refused = error
    assert time.process_time() - began < SLOWEST_S
    if refused is None:
        check_bounds(settings)
        assert SECRET not in "\n".join([repr(settings), str(describe(settings)), settings.identity])
        return ""
    problems = str(refused)
    assert refused.__cause__ is None
    assert all(_NAMES_IT.search(line) and line.isprintable() for line in problems.split("\n")), problems
    assert max(map(len, problems.split("\n"))) < 12_000
    assert SECRET not in repr(refused)
    return problems


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings")


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@examples(150)
@given(
    environ=_VARIABLES,
    dotenv=st.none() | _dotenv(),
    appsettings=st.none() | _appsettings(),
    files=st.lists(
        st.tuples(st.sampled_from(SECRETS + URLS), st.binary(max_size=9) | st.just(b"x" * 70_000)), max_size=2
    ),
    noise=st.dictionaries(
        st.sampled_from(["EXECUTOR_RISK__BANKROL", "EXECUTOR_X", "executor_risk__enabled", "HOME"]), _HOSTILE
    ),
)
def test_any_settings(
    folder: Path,
    environ: list[tuple[str, str]],
    dotenv: bytes | None,
    appsettings: bytes | None,
    files: list[tuple[str, bytes]],
    noise: dict[str, str],
) -> None:
    for name, content in ((".env", dotenv), ("appsettings.json", appsettings)):
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_bytes(content)
    variables = dict(environ) | noise
    for name, content in files:
        (folder / name).write_bytes(SECRET.encode() + content)
        variables[f"{name}_FILE"] = name
    outcome(variables, folder)


def test_good_settings_are_taken(folder: Path) -> None:
    for name in (".env", "appsettings.json"):
        (folder / name).unlink(missing_ok=True)
    assert set(_RANGES) > {"EXECUTOR_BETFAIR__API_TIMEOUT_SECONDS", "EXECUTOR_RISK__CIRCUIT_BREAKER_FAILURES"}
    assert outcome(GOOD, folder) == ""
    assert "EXECUTOR_RISK__BANKROLL" in outcome({**GOOD, "EXECUTOR_RISK__BANKROLL": "-1"}, folder)
