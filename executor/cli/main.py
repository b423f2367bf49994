"""`executor`: the console program; which commands there are, and what every one of them does when things go wrong.

Invariants: exit codes 0 done, 1 refused or unhealthy with the reason on stderr, 2 wrong usage, 130 interrupted; nobody
sees a traceback for a mistake of theirs, or for a Redis that is away.
"""

import os
import sys
from typing import Annotated, Final

import typer

from executor.cli.exit_codes import DONE, INTERRUPTED, REFUSED
from executor.cli.lazy import LazyGroup
from executor.errors import ExecutorError, StoreUnavailable
from executor.observability.terminal import tolerate_encoding

_DISTRIBUTION: Final = "aibetting-executor"

_HELP: Final = frozenset({"-h", "--help"})
_ON_THEIR_OWN: Final = frozenset(
    {"up", "demo", "sandbox", "bridge", "stream", None}
)  # they take or bring settings themselves

app: Final = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": [*sorted(_HELP)]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - Typer's signature of an option's callback
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - slow to import, and no command needs it

        typer.echo(f"executor {version(_DISTRIBUTION)}")
        raise typer.Exit(DONE)


@app.callback(
    epilog="Is everything all right?  executor check\n\n"
    "Stop now, take back what is unmatched:  executor halt --cancel\n\n"
    "Settings come from EXECUTOR_* variables, .env and appsettings.json in the current folder."
)
def main(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Watch, stop and start the execution engine for the Betfair Exchange."""
    del version
    asks_for_help = _HELP & set(sys.argv)
    if context.invoked_subcommand in _ON_THEIR_OWN or asks_for_help:
        return
    from executor.cli.connect_running import connect_running  # noqa: PLC0415 - reads the settings, which help need not
    from executor.cli.output import warn  # noqa: PLC0415 - likewise

    if data_dir := connect_running():
        warn(f"(with the executor up that runs on {data_dir}, and its settings, not those of .env here)")


def _where(error: StoreUnavailable) -> str:
    from executor.settings.urls import mask_url  # noqa: PLC0415 - only when Redis is away
    from executor.wiring import get_settings  # noqa: PLC0415 - likewise

    away = "; is it running? `executor up` brings its own, `up --live` not" if "connecting" in str(error) else ""
    try:
        return f" (EXECUTOR_REDIS__URL is {mask_url(get_settings().redis.url)}){away}"
    except ExecutorError:  # a command that brought its own settings
        return ""


def _as_text(word: str) -> str:
    """Read a word of the command line as UTF-8 where the locale did not know what to make of it."""
    if word.isascii() or os.path.exists(word):  # noqa: PTH110 - Path's raises for what is too long to be a file's name
        return word
    return os.fsencode(word).decode("utf-8", "replace")


def _complain(text: str) -> None:
    from executor.cli.output import complain  # noqa: PLC0415 - brings rich

    complain(text)


def run() -> None:
    """Run the program; ends the process."""
    tolerate_encoding()
    sys.argv[1:] = map(_as_text, sys.argv[1:])
    try:
        app()
    except StoreUnavailable as error:
        _complain(f"{error}{_where(error)}")
    except ExecutorError as error:
        _complain(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(REFUSED)
