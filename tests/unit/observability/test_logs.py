"""Logs: one event per line from everybody, the level, the daily file, and no secret anywhere."""

import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from executor.observability.logs import KEEP_DAYS, DailyFileHandler, add_secret, configure_logging
from executor.observability.redaction import MASK
from executor.settings.load import SettingsError, load_settings

Configure = Callable[..., None]

PASSWORDS = {
    "EXECUTOR_BETFAIR__APP_KEY": "planted-app-key",
    "EXECUTOR_BETFAIR__PASSWORD": "planted'pass\"wo\\rd \u20ac",
    "EXECUTOR_BETFAIR__CERTIFICATE_PASSWORD": "planted-cert",
    "EXECUTOR_REDIS__URL": "redis://:planted%40redis@h/1",
    "EXECUTOR_LEDGER__URL": "postgresql://ann:planted-ledger@h/db",
}
SECRETS = [*list(PASSWORDS.values())[:3], "planted@redis", "planted%40redis", "planted-ledger"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def with_settings(stream: io.StringIO | None = None, **logging_settings: str) -> None:
        monkeypatch.setattr(sys, "stderr", stream or sys.stderr)
        environ = {f"EXECUTOR_LOGGING__{name.upper()}": value for name, value in logging_settings.items()}
        configure_logging(load_settings(PASSWORDS | environ, tmp_path), process="worker")

    yield with_settings
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def log_file(folder: Path) -> Path:
    return folder / "data" / "logs" / f"executor-{datetime.now(UTC):%Y%m%d}.log"


def test_one_json_line_per_event_from_us_and_the_libraries(configure: Configure) -> None:
    stream = io.StringIO()
    configure(stream)
    structlog.get_logger("executor.engine").info("order placed", order_id="o1", size=2, odds=None)
    logging.getLogger("celery.worker").warning("lost %s", "it")
    ours, theirs = events(stream)
    when = datetime.fromisoformat(ours.pop("timestamp"))
    assert when.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - when) < timedelta(minutes=1)
    assert ours == {
        "event": "order placed",
        "level": "info",
        "logger": "executor.engine",
        "process": "worker",
        "pid": os.getpid(),
        "order_id": "o1",
        "size": 2,
        "odds": None,
    }
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("lost it", "warning", "celery.worker")
    assert (theirs["process"], set(theirs)) == ("worker", {*ours, "timestamp"} - {"order_id", "size", "odds"})


@pytest.mark.parametrize(
    ("stream", "form", "is_json"),
    [
        (io.StringIO, "auto", True),
        (Terminal, "auto", False),
        (Terminal, "json", True),
        (io.StringIO, "console", False),
    ],
)
def test_console_on_a_terminal_json_elsewhere(
    configure: Configure, stream: type[io.StringIO], form: str, is_json: bool
) -> None:
    out = stream()
    configure(out, format=form)
    structlog.get_logger("x").info("hello", order_id="o1")
    assert out.getvalue().startswith("{") == is_json
    assert "hello" in out.getvalue()
    assert ("\x1b[" in out.getvalue()) == (form == "auto" and not is_json), "colours on a terminal only"


def test_level(configure: Configure) -> None:
    stream = io.StringIO()
    configure(stream, level="WARNING")
    for logger in (structlog.get_logger("x"), logging.getLogger("y")):
        logger.info("quiet")
        logger.warning("loud")
    assert [event["event"] for event in events(stream)] == ["loud", "loud"]


def test_a_second_call_replaces_the_first(configure: Configure) -> None:
    first, second = io.StringIO(), io.StringIO()
    foreign = logging.NullHandler()
    logging.getLogger().addHandler(foreign)
    configure(first)
    configure(second)
    logging.getLogger("x").info("once")
    assert first.getvalue() == ""
    assert len(events(second)) == 1
    assert foreign in logging.getLogger().handlers


def test_warnings_are_events(configure: Configure) -> None:
    stream = io.StringIO()
    configure(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old ways", stacklevel=1)
    assert "old ways" in events(stream)[0]["event"]


def test_context_variables_are_in_the_event(configure: Configure) -> None:
    stream = io.StringIO()
    configure(stream)
    with structlog.contextvars.bound_contextvars(signal_id="s1"):
        logging.getLogger("kombu").info("x")
    assert events(stream)[0]["signal_id"] == "s1"


def fail(secret: str) -> None:
    local = secret
    raise ValueError(f"cannot use {local}")


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("secret", [*SECRETS, "planted-session-token+/="])
def test_a_secret_is_masked_wherever_it_stands(configure: Configure, tmp_path: Path, form: str, secret: str) -> None:
    stream = Terminal() if form == "console" else io.StringIO()
    configure(stream, format=form, file="on")
    add_secret("planted-session-token+/=")
    log = structlog.get_logger("x")
    log.info(
        "event %s", secret, value=secret, inner={"deep": [{"er": (secret, secret.encode())}]}, error=OSError(secret)
    )
    log.info("as a key", **{secret: 1}, inner={secret: 1})
    log.info("in others' words", json=json.dumps([secret]), text=repr([repr(secret)]))
    logging.getLogger("urllib3").warning("args %s %r %s", secret, secret, {"body": secret.encode()})
    try:
        fail(secret)
    except ValueError:
        log.exception("ours")
        logging.getLogger("celery").exception("theirs")
    with structlog.contextvars.bound_contextvars(bound=secret):
        log.info("context", stack_info=True)
    for text in (stream.getvalue(), log_file(tmp_path).read_text()):
        assert text.count(MASK) >= 10, "the events are there"
        assert text.count("cannot use ***") == 2
        assert "planted" not in text


NAMED = [
    {"password": "hush"},
    {"X-Authentication": "hush"},
    {"x_application": "hush"},
    {"Authorization": "Bearer hush"},
    {"sessionToken": "hush"},
    {"SESSION_TOKEN": b"hush"},
    {"appKey": "hush"},
    {"app_key": 4711},
    {"tokens": ["hush"]},
    {"cookie": "ssoid=hush"},
    {"headers": {"X-Authentication": "hush"}},
]


@pytest.mark.parametrize("fields", NAMED)
def test_a_value_under_a_secrets_name_is_masked(configure: Configure, fields: dict[str, Any]) -> None:
    stream = io.StringIO()
    configure(stream)
    structlog.get_logger("x").info("request", fields=fields, **fields)
    logging.getLogger("y").info("request %s %s", fields, json.dumps(fields, default=str))
    logging.getLogger("y").info("request %s", list(fields.items()))
    assert len(events(stream)) == 3
    assert "hush" not in stream.getvalue()
    assert "4711" not in stream.getvalue()


def test_a_numbers_digits_as_a_secret_never_break_the_line(configure: Configure) -> None:
    stream = io.StringIO()
    configure(stream)
    add_secret("987654321")
    structlog.get_logger("x").info("n", pin=987654321, other=11, inner=[987654321.0])
    (event,) = events(stream)
    assert (event["pin"], event["other"], event["inner"]) == (MASK, 11, [MASK])


def test_a_field_that_contains_itself_is_logged(configure: Configure) -> None:
    stream = io.StringIO()
    configure(stream)
    endless: list[object] = []
    endless.append(endless)
    structlog.get_logger("x").info("loop", endless=endless)
    assert events(stream)[0]["event"] == "loop"


def test_an_event_that_cannot_be_formatted_is_reported_without_what_it_said(configure: Configure) -> None:
    stream = io.StringIO()
    configure(stream, file="on")
    record = record_at(datetime.now(UTC), "%d")
    record.args = ("planted",)
    for handler in logging.getLogger().handlers:
        if type(handler).__module__.startswith("executor"):  # pytest's own would raise
            handler.handle(record)
    assert stream.getvalue().count("an event of n line") == 2
    assert "planted" not in stream.getvalue()


def test_no_file_unless_asked(configure: Configure, tmp_path: Path) -> None:
    configure(io.StringIO())
    logging.getLogger("x").info("x")
    assert not (tmp_path / "data").exists()


def test_an_exception_is_one_event_in_the_file(configure: Configure, tmp_path: Path) -> None:
    configure(Terminal(), file="on")
    try:
        fail("x" * 20_000)
    except ValueError:
        structlog.get_logger("x").exception("failed")
    (line,) = log_file(tmp_path).read_text().splitlines()
    event = json.loads(line)
    assert event["exception"].startswith("Traceback (most recent call last):")
    assert event["exception"].endswith("x" * 20_000)
    assert "in fail\n" in event["exception"]


def record_at(when: datetime, text: str = "x") -> logging.LogRecord:
    record = logging.LogRecord("n", logging.INFO, "f", 1, text, None, None)
    record.created = when.timestamp()
    return record


def test_the_file_changes_with_the_utc_day_and_old_ones_go(tmp_path: Path) -> None:
    other = [tmp_path / "executor-x.log", tmp_path / "notes.txt", tmp_path / "executor-20000101.log.gz"]
    for path in other:
        path.touch()
    handler = DailyFileHandler(tmp_path)
    first = datetime(2040, 2, 27, 23, 59, 59, 999_000, tzinfo=UTC)
    for day in range(KEEP_DAYS + 1):
        handler.emit(record_at(first + timedelta(days=day), f"day {day}"))
    handler.emit(record_at(first + timedelta(days=KEEP_DAYS, milliseconds=2), "next day"))
    handler.close()
    names = sorted(path.name for path in tmp_path.iterdir() if path not in other)
    newest = first.date() + timedelta(days=KEEP_DAYS + 1)
    assert names == sorted(f"executor-{newest - timedelta(days=age):%Y%m%d}.log" for age in range(KEEP_DAYS))
    assert (tmp_path / f"executor-{newest:%Y%m%d}.log").read_text() == "next day\n"
    assert all(path.exists() for path in other)


def write_lines(folder: Path, letter: str, count: int) -> None:
    handler = DailyFileHandler(folder)
    for _ in range(count):
        handler.emit(record_at(datetime(2040, 1, 1, tzinfo=UTC), letter * 10_000))
    handler.close()


def test_several_writers_share_a_file_without_tearing_lines(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:  # each opens the file for itself, as processes do
        list(pool.map(lambda letter: write_lines(tmp_path, letter, 50), "abcd"))
    lines = (tmp_path / "executor-20400101.log").read_text().splitlines()
    assert sorted(lines) == [letter * 10_000 for letter in "abcd" for _ in range(50)]


def test_a_log_folder_that_cannot_be_made_stops_the_start(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(SettingsError, match=r"^EXECUTOR_LOGGING__FILE: .*/data/logs cannot be written: "):
        configure(io.StringIO(), file="on")


def test_a_full_disk_reaches_nobody(configure: Configure) -> None:
    stream = io.StringIO()
    configure(stream, file="on")
    handler = next(handler for handler in logging.getLogger().handlers if isinstance(handler, DailyFileHandler))
    os.close(handler._file)
    handler._file = os.open("/dev/full", os.O_WRONLY)
    logging.getLogger("x").info("kept on stderr")
    assert "kept on stderr" in stream.getvalue()
    assert "an event of x line" in stream.getvalue()
