"""How a command gets at the system: the settings, a look at Redis, an engine of its own.

Invariants: who looks is told when the db belongs to another identity, who acts is refused; what a command counts
outlives it; its log lines go to stderr, and what it did also to the log file where that is on.
"""

import getpass
import logging
import socket
from typing import Final

from executor import wiring
from executor.cli.output import warn
from executor.engine.engine import Engine
from executor.observability.logs import configure_logging
from executor.operations.access import Access, Actor, mismatch
from executor.ports.system_snapshot import SystemSnapshot
from executor.settings.load import HaltSettings, Settings, SettingsError, load_for_halt

_PROCESS: Final = "cli"


def settings_to_read() -> Settings:
    """Return the settings for a command that only looks; it writes no log file."""
    settings = wiring.get_settings()
    quiet = settings.logging.model_copy(update={"file": False})
    configure_logging(settings.model_copy(update={"logging": quiet}), process=_PROCESS)
    _only(logging.ERROR)
    return settings


def settings_to_act() -> Settings:
    """Return the settings for a command that changes something.

    Raises:
        IdentityMismatch: the db belongs to another account or mode.
        StoreUnavailable: Redis is away.
    """
    settings = wiring.get_settings()
    try:
        configure_logging(settings, process=_PROCESS)
    except SettingsError as error:  # whoever acts by hand must be able to on a full disk
        settings_to_read()
        warn(f"not logged to the file: {error}")
    _only(logging.WARNING)
    Access(settings).require_identity()
    return settings


def settings_for_halt() -> HaltSettings:
    """Return the settings for the kill switch, and what is wrong with them where they cannot be used.

    Raises:
        SettingsError: they do not even say where Redis is.
    """
    found = load_for_halt()
    settings = found.settings
    try:
        configure_logging(settings, process=_PROCESS)
    except SettingsError as error:  # a kill switch must work on a full disk
        quiet = settings.logging.model_copy(update={"file": False})
        configure_logging(settings.model_copy(update={"logging": quiet}), process=_PROCESS)
        warn(f"not logged to the file: {error}")
    _only(logging.WARNING)
    return found


def engine(settings: Settings) -> Engine:
    """Put an engine together; what it counts is on a worker's page once this command is over."""
    return wiring.build_for_command(settings)


def look() -> tuple[Settings, SystemSnapshot]:
    """Return the settings and one look at the system; says so when the db is another's."""
    settings = settings_to_read()
    state = wiring.state(settings).read()
    if problem := mismatch(settings, state.identity):
        warn(problem)
    return settings, state


def note_identity(settings: Settings) -> None:
    """Say so when the db is another's, and go on: this command only looks."""
    if problem := mismatch(settings, wiring.state(settings).owner()):
        warn(problem)


def actor() -> Actor:
    """Name who runs this command."""
    return Actor(_user_name())


def _user_name() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container's user without a name
        return f"somebody@{socket.gethostname()}"


def _only(level: int) -> None:
    """Keep the terminal for the command's own words; the log file still gets everything."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(level)
