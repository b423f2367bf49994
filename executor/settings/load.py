"""Settings: environment, `.env` and `appsettings.json` become one frozen `Settings`.

The only reader of the environment in the project, and only inside `load_settings`: importing does no I/O. What cannot
be used stops the start with `SettingsError`, one line per problem, which names the variable and never a secret. Names,
defaults, ranges and units are in `sections.py`.
"""

import functools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_validator

from executor.errors import ExecutorError
from executor.settings.appsettings import FILE_NAME, read_appsettings
from executor.settings.env import DOTENV_NAME, Given, Location, read_dotenv, read_variables, variable_name
from executor.settings.nearly import NearNames, near_files, near_variables
from executor.settings.notify import NotifySettings
from executor.settings.sections import (
    BetfairSettings,
    ConsoleSettings,
    DataPath,
    HedgeSettings,
    LedgerSettings,
    LoggingSettings,
    MetricsSettings,
    OrderManagerSettings,
    RedisSettings,
    RiskSettings,
    Section,
    SignalsSettings,
    TradingSettings,
)
from executor.settings.urls import address_secrets, mask_url, url_secrets

_MAX_VALUE_SHOWN: Final = 60  # characters of a wrong value in an error: enough to recognise it, still one line


_LONGEST_LINE: Final = 1000  # of a problem; a name in a file may be a megabyte


class SettingsError(ExecutorError):
    """The settings cannot be used; one line per problem, naming the variable or file and what is expected."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(_one_line(line) for line in problems))


def _one_line(text: str) -> str:
    """Make a line for people: a name in a file may hold anything, a line end or a terminal's control codes among it."""
    line = text if text.isprintable() else ascii(text)[1:-1]
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."


class Settings(BaseModel):
    """Every setting, checked. Made by `load_settings` only; paths are absolute."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    betfair: BetfairSettings = BetfairSettings()
    risk: RiskSettings = RiskSettings()
    hedge: HedgeSettings = HedgeSettings()
    order_manager: OrderManagerSettings = OrderManagerSettings()
    trading: TradingSettings = TradingSettings()
    signals: SignalsSettings = SignalsSettings()
    redis: RedisSettings = RedisSettings()
    metrics: MetricsSettings = MetricsSettings()
    console: ConsoleSettings = ConsoleSettings()
    notify: NotifySettings = NotifySettings()
    ledger: LedgerSettings
    logging: LoggingSettings = LoggingSettings()
    data_dir: DataPath

    _ignored: tuple[str, ...] = PrivateAttr(())

    @property
    def ignored(self) -> tuple[str, ...]:
        """Say what was given and is only nearly a setting; one line each, for people."""
        return self._ignored

    @model_validator(mode="after")
    def _live_has_an_account(self) -> Self:
        betfair = self.betfair
        settings = {
            "app_key": bool(betfair.app_key.get_secret_value()),
            "username": bool(betfair.username),
            "password": bool(betfair.password.get_secret_value()),
            "certificate_path": betfair.certificate_path is not None,
            # An empty one that somebody wrote down is the password of a certificate that has none.
            "certificate_password": "certificate_password" in betfair.model_fields_set,
        }
        missing = [
            f"{variable_name(('betfair', name))} (Executor:Betfair:{''.join(map(str.title, name.split('_')))})"
            for name, is_given in settings.items()
            if not is_given
        ]
        paper = self.trading.enable_paper_trading
        if missing and paper and self.trading.paper_fills == "book" and not betfair.withheld:
            raise ValueError(f"EXECUTOR_TRADING__PAPER_FILLS=book reads real prices and needs {', '.join(missing)}")
        if missing and not paper and not betfair.withheld:
            raise ValueError(f"live trading (EXECUTOR_TRADING__ENABLE_PAPER_TRADING=false) needs {', '.join(missing)}")
        return self

    @property
    def asks_exchange(self) -> bool:
        """Tell whether the exchange is spoken to: for trading, or for the prices of paper trading."""
        return not self.trading.enable_paper_trading or self.trading.paper_fills == "book"

    @property
    def identity(self) -> str:
        """Say whose orders these are: `paper`, or `live` with API host, username and strategy ref."""
        if self.trading.enable_paper_trading:
            return "paper"
        return f"live {urlsplit(self.betfair.api_url).netloc} {self.betfair.username} {self.betfair.strategy_ref}"


def _locations() -> Iterator[Location]:
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from ((name, inner) for inner in field.annotation.model_fields)
        else:
            yield (name,)


LOCATIONS: Final = tuple(_locations())
ENV_NAMES: Final = tuple(variable_name(location) for location in LOCATIONS)
_PATHS: Final = frozenset(
    {
        ("data_dir",),
        ("betfair", "certificate_path"),
        ("betfair", "ca_bundle"),
        ("signals", "keys_file"),
        ("console", "users_file"),
        ("console", "tls_certificate"),
        ("console", "tls_key"),
    }
)
_SECRETS: Final = (
    ("betfair", "app_key"),
    ("betfair", "password"),
    ("betfair", "certificate_password"),
    ("notify", "urls"),
    ("notify", "telegram_token"),
)
_URLS: Final = (("redis", "url"), ("redis", "broker_url"), ("ledger", "url"), ("betfair", "proxy"))

_FOR_HALT: Final = (("redis", "url"), ("redis", "broker_url"), ("data_dir",))
_UNREAD: Final = (DOTENV_NAME, f"{FILE_NAME}:")  # how a problem with a whole file, or a line of .env, begins
_WHERE: Final = re.compile("REDIS__|:Redis", re.IGNORECASE)

_Source = Mapping[Location, Given]


def load_settings(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """Read the settings: the environment before `.env` before `appsettings.json` before the defaults.

    Nothing is remembered or changed. `environ` is the process's own and `folder`, where the two files and relative
    paths are looked for, the current one, unless given.

    Raises: SettingsError.
    """
    environ = os.environ if environ is None else environ
    folder = Path.cwd() if folder is None else folder.absolute()
    dotenv, problems = read_dotenv(folder / DOTENV_NAME, environ)
    file = read_appsettings(folder / FILE_NAME, LOCATIONS)
    readings = (
        read_variables(environ, LOCATIONS, folder=folder),
        read_variables(dotenv, LOCATIONS, folder=folder, where=f" in {DOTENV_NAME}"),
        file[:2],
    )
    problems += [problem for _, found in readings for problem in found]
    if problems:
        raise SettingsError(*problems)
    settings = _built([found for found, _ in readings], folder)
    settings._ignored = tuple(_one_line(text) for text in _ignored(environ, dotenv, folder, file[2]))  # noqa: SLF001 - only made here
    return settings


def _built(readings: Sequence[_Source], folder: Path) -> Settings:
    sources = [_prepared(found, folder) for found in readings]
    data_dir = _first(sources, ("data_dir",)) or Given(str(folder / "data"), "")
    sources.append({("data_dir",): data_dir, ("ledger", "url"): Given(f"sqlite:///{data_dir.text}/ledger.db", "")})
    try:
        return Settings.model_validate(_nested(sources))
    except ValidationError as error:
        raise SettingsError(*_lines(error, sources)) from None


@dataclass(frozen=True, slots=True)
class HaltSettings:
    """What the kill switch needs of the settings, and what is wrong with them where they cannot be used."""

    settings: Settings
    problem: str = ""
    in_doubt: bool = False  # what cannot be read may name another Redis


def load_for_halt(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> HaltSettings:
    """Read the settings for the kill switch, which no other setting may keep from working.

    Where they cannot be used, nothing counts but where Redis and the data folder are.

    Raises: SettingsError, where it is that which is wrong.
    """
    environ = os.environ if environ is None else environ
    folder = Path.cwd() if folder is None else folder.absolute()
    try:
        return HaltSettings(load_settings(environ, folder))
    except SettingsError as error:
        problem = str(error)
    dotenv, _ = read_dotenv(folder / DOTENV_NAME, environ)
    readings: list[_Source] = [
        read_variables(environ, LOCATIONS, folder=folder)[0],
        read_variables(dotenv, LOCATIONS, folder=folder, where=f" in {DOTENV_NAME}")[0],
        read_appsettings(folder / FILE_NAME, LOCATIONS)[0],
    ]
    wanted: list[_Source] = [{place: found[place] for place in _FOR_HALT if place in found} for found in readings]
    hidden = any(line.startswith(_UNREAD) or _WHERE.search(line) for line in problem.splitlines())
    return HaltSettings(_built(wanted, folder), problem, in_doubt=hidden and _FOR_HALT[0] not in wanted[0])


def _ignored(
    environ: Mapping[str, str], dotenv: Mapping[str, object], folder: Path, in_file: Sequence[str]
) -> Iterator[str]:
    names = NearNames(LOCATIONS)
    yield from near_variables(environ, names)
    yield from near_variables(dotenv, names, where=f" in {DOTENV_NAME}")
    yield from in_file
    yield from near_files(folder, read=FILE_NAME)


def _prepared(source: _Source, folder: Path) -> dict[Location, Given]:
    """Trim what is no secret, make paths absolute, drop a path or URL of a database left empty: its default holds."""
    prepared: dict[Location, Given] = {}
    for location, settings in source.items():
        text = settings.text if location in _SECRETS else settings.text.strip()
        if not text and (location in _PATHS or location in _URLS):
            continue
        if location in _PATHS:
            try:
                text = str(folder / Path(text).expanduser())
            except (RuntimeError, ValueError):
                raise SettingsError(f"{settings.origin}: should be a path in a home folder that exists") from None
        prepared[location] = Given(text, settings.origin)
    return prepared


def _first(sources: Sequence[_Source], location: Location) -> Given | None:
    return next((source[location] for source in sources if location in source), None)


def _nested(sources: Sequence[_Source]) -> dict[str, Any]:
    """Return the texts by section and name, each from the first source that has it."""
    nested: dict[str, Any] = {}
    for source in reversed(sources):
        for (name, *inner), setting in source.items():
            if inner:
                nested.setdefault(name, {})[inner[0]] = setting.text
            else:
                nested[name] = setting.text
    return nested


def _lines(error: ValidationError, sources: Sequence[_Source]) -> Iterator[str]:
    """Yield one line per problem that pydantic found."""
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        location = tuple(str(part) for part in problem["loc"][:2])
        expected = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
        settings = _first(sources, location)
        if settings is None or not settings.origin:
            yield f"{variable_name(location)}: {expected}" if location in LOCATIONS else expected
        elif location in _SECRETS or location[-1].endswith("url"):
            yield f"{settings.origin}: {expected}"
        else:
            text = settings.text if len(settings.text) <= _MAX_VALUE_SHOWN else f"{settings.text[:_MAX_VALUE_SHOWN]}..."
            yield f"{settings.origin}: {expected}, not {text!r}"


def describe(settings: Settings) -> dict[str, str]:
    """Return every setting by its variable's name, for people: no secret is in it."""
    return {variable_name(location): _shown(location, _get(settings, location)) for location in LOCATIONS}


def secret_values(settings: Settings) -> frozenset[str]:
    """Return the texts that no log may show: the secrets, and the passwords in URLs."""
    secrets = {_get(settings, location).get_secret_value() for location in _SECRETS}
    addresses = settings.notify.addresses
    secrets = secrets.union(addresses, *map(address_secrets, addresses))
    return frozenset(secrets.union(*(url_secrets(_get(settings, location)) for location in _URLS)) - {""})


def _get(settings: Settings, location: Location) -> Any:  # noqa: ANN401 - as many types as settings
    return functools.reduce(getattr, location, settings)


def _shown(location: Location, value: object) -> str:
    if location in _URLS:
        return mask_url(str(value))
    if isinstance(value, frozenset):
        return ",".join(sorted(value))
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
