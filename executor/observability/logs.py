"""Logs: one event per line, ours and the libraries', through one formatter that knows no secrets.

JSON lines on stderr, or a readable console on a terminal; with the file on, also JSON lines in
`logs/executor-YYYYMMDD.log` of the data folder. Times and file dates are UTC. An exception is part of its event, in
full and without local variables. Nothing is configured before `configure_logging`.
"""

import errno
import logging
import os
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TextIO

import structlog
from structlog.typing import Processor

from executor.observability.redaction import Redactor
from executor.observability.terminal import tolerate_encoding
from executor.settings.load import Settings, SettingsError, secret_values

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})  # passes; each event tries again
KEEP_DAYS: Final = 14  # long enough to look into the last two weeks' betting; what happened to money is in the ledger
_FILE_NAME: Final = re.compile(r"executor-(\d{8})\.log")

# Celery says of each task that it came, and that it succeeded; ours say what it did, and cost as much.
_TOLD_BY_OURS: Final = logging.getLogger("celery.worker.strategy")
_TRACES: Final = logging.getLogger("celery.app.trace")

_TELL_PEOPLE: Final = frozenset({"cli", "up"})  # what a start logs of the settings, these say on their terminal

_redactor: Final = Redactor()
_installed: Final[list[logging.Handler]] = []


def configure_logging(settings: Settings, *, process: str) -> None:
    """Send every event of this process where the settings say; `process` is its name in each of them.

    A second call replaces the first. Handlers that others added to the root logger stay.

    Raises: SettingsError when the log file cannot be written.
    """
    tolerate_encoding()
    for secret in secret_values(settings):
        _redactor.add(secret)
    terminal = sys.stderr.isatty()
    console = settings.logging.format == "console" or (settings.logging.format == "auto" and terminal)
    common = _common_processors(process)
    handlers: list[logging.Handler] = [_StderrHandler(sys.stderr)]
    handlers[0].setFormatter(_formatter(common, structlog.dev.ConsoleRenderer(colors=terminal) if console else _JSON))
    if settings.logging.file:
        handlers.append(_daily_file(settings))
        handlers[1].setFormatter(_formatter(common, _JSON))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *common,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for old in _installed:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    _installed[:] = handlers
    root.setLevel(settings.logging.level)
    _TOLD_BY_OURS.setLevel(max(logging.WARNING, root.level))
    _TRACES.addFilter(_is_news)
    logging.captureWarnings(capture=True)
    if process not in _TELL_PEOPLE:
        for problem in settings.ignored:
            structlog.get_logger(__name__).warning("setting_ignored", problem=problem)


def _is_news(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or "succeeded in" not in str(record.msg)


def add_secret(value: str) -> None:
    """Mask `value`, such as a session token, in everything that this process logs from now on."""
    _redactor.add(value)


def redact(text: str) -> str:
    """Return a text without the secrets that this process knows; for what leaves it by another way than a log."""
    return _redactor.text(text)


def _common_processors(process: str) -> list[Processor]:
    """Return what completes every event, a library's as well as ours."""

    def name_process(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"], event["pid"] = process, os.getpid()
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_process,
        structlog.processors.StackInfoRenderer(),
        # Before the console sees the exception: its own formatter shows local variables, passwords among them.
        structlog.processors.format_exc_info,
    ]


def _redact_event(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    redacted = _redactor.value(event)
    return redacted if isinstance(redacted, dict) else {}


_JSON: Final = structlog.processors.JSONRenderer()


def _formatter(common: list[Processor], renderer: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=common,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _redact_event,
            renderer,
        ],
    )


def _say_that_logging_failed(record: logging.LogRecord) -> None:
    """Say where an event was lost, and not what it said: logging's own report quotes it with its secrets."""
    problem = sys.exc_info()[0]
    with suppress(OSError, ValueError):
        sys.stderr.write(f"an event of {record.name} line {record.lineno} was not logged: {problem}\n")


class _StderrHandler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        _say_that_logging_failed(record)


class DailyFileHandler(logging.Handler):
    """Appends each event with one write to the file of its UTC day; any number of processes may share the folder.

    The standard library's TimedRotatingFileHandler renames the file at midnight under the feet of the other
    processes; here the name carries the date and nothing is ever renamed. A write of one line to a file opened for
    appending is not interleaved with another's.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._day = ""
        self._file = -1
        try:
            self.open_day(datetime.now(UTC).date())
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            sys.stderr.write(f"{folder}: {error.strerror}: not logged to the file until there is room\n")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one event."""
        try:
            line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
            self.open_day(datetime.fromtimestamp(record.created, UTC).date())
            os.write(self._file, line)
        except Exception:  # noqa: BLE001 - a logging handler never raises into its caller
            self.handleError(record)

    def open_day(self, day: date) -> None:
        """Make `day` the file to write to, and delete those older than KEEP_DAYS.

        Raises: OSError.
        """
        name = f"{day:%Y%m%d}"
        if name == self._day:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        # Readable by the group, which is how log shippers read; it names bets, so not by everybody.
        file = os.open(self._folder / f"executor-{name}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        self._close_file()
        self._file, self._day = file, name
        oldest_kept = f"{day - timedelta(days=KEEP_DAYS - 1):%Y%m%d}"
        for path in self._folder.iterdir():
            match = _FILE_NAME.fullmatch(path.name)
            if match and match[1] < oldest_kept:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        self._close_file()
        self._day = ""
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """Report an event that could not be written."""
        _say_that_logging_failed(record)

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def _daily_file(settings: Settings) -> DailyFileHandler:
    folder = settings.data_dir / "logs"
    try:
        return DailyFileHandler(folder)
    except OSError as error:
        raise SettingsError(f"EXECUTOR_LOGGING__FILE: {folder} cannot be written: {error.strerror}") from None
