"""`betfair-sandbox`: the command that runs the test exchange, and prints what clients need to reach it.

Owns: the options and their checks; `executor sandbox` is the same command with the folder of the executor's settings.
Invariant: a mistake of the user's ends in one line, never in a traceback. Amounts in account currency.
"""

import io
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
import typer.core

from betfair_sandbox import option_values
from betfair_sandbox.as_betfair import DEFAULT_ADDRESSES
from betfair_sandbox.certificates import CertificatePaths
from betfair_sandbox.options import (
    DEFAULT_CERT_PORT,
    DEFAULT_PORT,
    SandboxOptions,
    as_customer,
    client_env,
    nautilus_env,
    sandbox_env,
)

_DEFAULTS: Final = SandboxOptions(directory=Path())
_AS_BETFAIR: Final = "--as-betfair"
_INTERRUPTED: Final = 130  # as shells say it: 128 + SIGINT
_DIRECTORY_HELP: Final = "Folder of its certificates; by default `sandbox` in the data folder."
_STREAM_HELP: Final = "Of the Exchange Stream API; by default 8445, a free one when --port is not the default."


class Client(StrEnum):
    """For whom `env` prints."""

    EXECUTOR = "executor"
    BETFAIRLIGHTWEIGHT = "betfairlightweight"
    FLUMINE = "flumine"
    NAUTILUS = "nautilus"


Directory = Annotated[Path | None, typer.Option("--dir", help=_DIRECTORY_HELP, file_okay=False)]
PortNumber = Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")]
_Host = Annotated[str, typer.Option(help="Address to listen on.")]
_StreamPort = Annotated[int | None, typer.Option(min=0, max=65_535, help=_STREAM_HELP)]
_Seed = Annotated[int, typer.Option(help="Of the prices it makes up.")]
_Balance = Annotated[str, typer.Option(metavar="AMOUNT", help="Money in the test account.")]
_Lifetime = Annotated[int, typer.Option(min=1, metavar="SECONDS", help="Life of a session without a keep-alive.")]
_EndStreams = Annotated[
    bool, typer.Option("--stream-ends-with-session", help="Close streams whose session has ended; Betfair's stay.")
]
_Currency = Annotated[str, typer.Option(metavar="CODE", help="Of all accounts; decides the smallest stakes.")]
_Accounts = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME[=AMOUNT]", help="Further account with this user name; may be repeated."),
]
_Names = Annotated[list[str] | None, typer.Option(help="Further name for the server's certificate; may be repeated.")]
_AsBetfair = Annotated[
    str | None,
    typer.Option(
        _AS_BETFAIR,
        metavar="[HTTPS_ADDRESS,STREAM_ADDRESS]",
        help=f"Stand in for Betfair by name, on port 443 of two addresses, by default {DEFAULT_ADDRESSES}; "
        "only in a network without a way out.",
    ),
]
_Certificates = Annotated[
    list[Path] | None,
    typer.Option(help="Client certificate to accept there besides its own, PEM; may be repeated.", exists=True),
]
_Username = Annotated[str, typer.Option(help="Of the first account.")]
_AppKey = Annotated[str, typer.Option(help="Live app key of the first account.")]
_PasswordFile = Annotated[
    Path | None, typer.Option(help="File with the password of all accounts.", exists=True, dir_okay=False)
]
_Replay = Annotated[
    Path | None,
    typer.Option(
        help="Recording that plays as the market: a historical file, plain, .bz2, .gz, or a tar of several.",
        exists=True,
        dir_okay=False,
    ),
]
_ReplayFrom = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="Where it starts: ISO 8601, or -10m before the first market's start."),
]
_ReplaySpeed = Annotated[str, typer.Option("--speed", metavar="N", help="Recorded seconds that pass in a second.")]
_Record = Annotated[
    Path | None,
    typer.Option(help="File for the sandbox's own day, as Betfair's recordings; .bz2 and .gz pack it.", dir_okay=False),
]
_ReachedAs = Annotated[str, typer.Option(help="Name under which the client reaches it.")]
_Account = Annotated[str | None, typer.Option(metavar="NAME", help="A further account instead of the first.")]
_For = Annotated[
    Client, typer.Option("--for", help="Which client: the executor's settings, or what docs/examples read.")
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@dataclass(frozen=True, slots=True)
class _Program:
    """How people call the command, and where its files are when they do not say."""

    name: str
    default_directory: Callable[[], Path]
    directory: Path | None = None

    def folder(self, directory: Path | None) -> Path:
        return (directory or self.directory or self.default_directory()).absolute()


class _Group(typer.core.TyperGroup):
    """Lets the addresses of --as-betfair be left out, which Typer's options cannot say."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - Typer hides its Context
        """Put the default addresses behind a --as-betfair that has none."""
        at = args.index(_AS_BETFAIR) + 1 if _AS_BETFAIR in args else 0
        if at and (at == len(args) or args[at].startswith("-") or args[at] in self.commands):
            args = [*args[:at], DEFAULT_ADDRESSES, *args[at:]]
        return super().parse_args(ctx, args)


def make_app(program: str, default_directory: Callable[[], Path]) -> typer.Typer:
    """Return the command; `program` is how people call it, `default_directory` where its files are without --dir."""
    app = typer.Typer(
        cls=_Group,
        invoke_without_command=True,
        pretty_exceptions_enable=False,
        context_settings={
            "help_option_names": ["-h", "--help"],
            "obj": _Program(program, default_directory),
        },
        help="Run a test exchange that speaks Betfair's wire.",
    )
    app.callback(
        epilog=f"Example: {program} --port 0 --cert-port 0 --balance 500 --account alice --account bob=50\n\n"
        f'Point the executor at it: set -a; eval "$({program} env)"; set +a'
    )(run_sandbox)
    app.command("env", epilog=f'Example: set -a; eval "$({program} env)"; set +a\n\nExample: {program} env > .env')(
        print_environment
    )
    return app


def run_sandbox(
    context: typer.Context,
    *,
    host: _Host = _DEFAULTS.host,
    port: PortNumber = DEFAULT_PORT,
    cert_port: PortNumber = DEFAULT_CERT_PORT,
    stream_port: _StreamPort = None,
    directory: Directory = None,
    seed: _Seed = _DEFAULTS.seed,
    balance: _Balance = f"{_DEFAULTS.balance:f}",
    session_lifetime: _Lifetime = _DEFAULTS.session_lifetime_s,
    stream_ends_with_session: _EndStreams = False,
    currency: _Currency = _DEFAULTS.currency,
    account: _Accounts = None,
    server_name: _Names = None,
    as_betfair: _AsBetfair = None,
    client_certificate: _Certificates = None,
    username: _Username = _DEFAULTS.username,
    app_key: _AppKey = _DEFAULTS.app_key,
    password_file: _PasswordFile = None,
    replay: _Replay = None,
    replay_from: _ReplayFrom = None,
    replay_speed: _ReplaySpeed = "1",
    record: _Record = None,
) -> None:
    """Run a test exchange that speaks Betfair's wire, until Ctrl-C. `env` prints the settings for it."""
    program: _Program = context.obj
    context.obj = replace(program, directory=directory)
    if context.invoked_subcommand is not None:
        return
    from betfair_sandbox.server import serve  # noqa: PLC0415 - brings Tornado

    serve(
        SandboxOptions(
            directory=program.folder(directory),
            host=host,
            port=port,
            cert_port=cert_port,
            stream_port=stream_port,
            seed=seed,
            balance=option_values.read_amount(balance, "--balance"),
            currency=option_values.read_currency(currency),
            further_accounts=option_values.read_accounts(account or [], balance, username),
            session_lifetime_s=session_lifetime,
            stream_ends_with_session=stream_ends_with_session,
            server_names=option_values.read_server_names(server_name or []),
            as_betfair=option_values.read_stand_in(as_betfair),
            client_certificates=tuple(client_certificate or ()),
            username=option_values.read_login(username, "--username"),
            app_key=option_values.read_login(app_key, "--app-key"),
            password=_DEFAULTS.password if password_file is None else option_values.read_password(password_file),
            replay=replay,
            replay_from=option_values.read_replay_start(replay_from, replay),
            replay_speed=option_values.read_speed(replay_speed),
            record=option_values.read_record(record),
        )
    )


def print_environment(
    context: typer.Context,
    *,
    directory: Directory = None,
    host: _ReachedAs = "localhost",
    account: _Account = None,
    client: _For = Client.EXECUTOR,
    as_json: _AsJson = False,
) -> None:
    """Print the variables that point a client at the sandbox, one KEY=value a line."""
    program: _Program = context.obj
    folder = program.folder(directory)
    options = SandboxOptions(directory=folder)
    if account is not None:
        options = as_customer(options, option_values.read_account_name(account))
    if not CertificatePaths.of(folder).exist():
        start = f"{program.name} --dir {shlex.quote(str(folder))}"
        _refuse(f"no sandbox was ever started in {folder}: start one with `{start}`")
    if client is Client.EXECUTOR:
        variables = sandbox_env(folder, host=host, options=options)
    elif client is Client.NAUTILUS:
        variables = nautilus_env(folder, options=options)
    else:
        variables = client_env(folder, host=host, options=options)
    if as_json:
        typer.echo(json.dumps(variables, indent=2))
        return
    for name, value in variables.items():
        typer.echo(f"{name}={shlex.quote(value)}")


def _refuse(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(1)


def run() -> None:
    """Run `betfair-sandbox`; ends the process."""
    app = make_app("betfair-sandbox", lambda: Path("data") / "sandbox")  # the executor's default, too
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a folder's name that the terminal cannot show
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
