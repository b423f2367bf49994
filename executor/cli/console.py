"""`executor console`, `executor token`: the web console, the people and the programs that may use it.

Invariant: a password comes from a terminal or stdin, never from an argument; a token is shown once.
"""

import getpass
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from executor import wiring
from executor.cli.output import AsJson, Column, refuse, say, show_json, show_table, warn
from executor.cli.session import actor, settings_to_act, settings_to_read
from executor.observability.logs import configure_logging
from executor.operations.access import Access

_EXAMPLE = "Example: executor console passwd anna --role operator >> users; chmod 600 users"

console_app = typer.Typer(invoke_without_command=True, help="The web console and HTTP API, on port 8080.")
token_app = typer.Typer(no_args_is_help=True, help="Programs that use the HTTP API.")


@console_app.callback(epilog="Settings: EXECUTOR_CONSOLE__HOST, __PORT, __USERS_FILE")
def console(
    context: typer.Context,
    *,
    no_link: Annotated[bool, typer.Option("--no-link", help="Print no one-time link; whoever starts it does.")] = False,
) -> None:
    """Serve the console until Ctrl-C; says where, and how to log in."""
    if context.invoked_subcommand is not None:
        return
    settings = wiring.get_settings()
    configure_logging(settings, process="console")
    from executor.observability import exporter  # noqa: PLC0415 - before what counts is imported

    exporter.prepare(settings.data_dir, settings.metrics.console_port, settings.metrics.instance)
    from executor.console import process  # noqa: PLC0415 - brings the web framework

    raise typer.Exit(process.main(link=not no_link))


@console_app.command()
def link() -> None:
    """Print another one-time link, for a console without a users file."""
    settings = settings_to_act()
    from executor.console.door import sessions, welcome  # noqa: PLC0415 - the other commands need no console

    known = sessions(settings)
    if known.has_users:
        refuse("there is a users file: log in with a name of it")
    for line in welcome(settings, known)[:2]:
        say(line)


@console_app.command(epilog=_EXAMPLE)
def passwd(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    role: Annotated[
        str, typer.Option("--role", metavar="R", help="viewer, operator or publisher; several with commas")
    ],
) -> None:
    """Print a person's line for the users file; asks for the password, or reads it from stdin."""
    from executor.console.principal import parse_roles  # noqa: PLC0415 - the other commands need no console
    from executor.console.users import UsersFileError, password_line  # noqa: PLC0415 - likewise

    try:
        roles = parse_roles(role)
    except ValueError:
        raise typer.BadParameter("viewer, operator or publisher is expected", param_hint="--role") from None
    password = _password()
    try:
        say(password_line(name, roles, password))
    except UsersFileError as error:
        refuse(str(error))


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("password: ")
    if getpass.getpass("again: ") != password:
        refuse("these were two different passwords")
    return password


@token_app.callback()
def _tokens() -> None:
    """Give programs their way in."""


@token_app.command(epilog="Example: executor token add strategies --role publisher")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    role: Annotated[str, typer.Option("--role", metavar="R", help="viewer, operator or publisher")],
    days: Annotated[int, typer.Option("--days", min=0, max=3650, help="How long it holds; 0: for ever.")] = 365,
) -> None:
    """Make a token; it is shown now and never again."""
    from executor.console.principal import Role  # noqa: PLC0415 - the other commands need no console
    from executor.console.tokens import add_token  # noqa: PLC0415 - likewise

    try:
        wanted = Role(role.strip().lower())
    except ValueError:
        raise typer.BadParameter("viewer, operator or publisher is expected", param_hint="--role") from None
    made = add_token(Access(settings_to_act()), actor(), name, wanted, days)
    warn(f"{made.name} is a {made.role}; keep this, it is not shown again:")
    say(made.secret)


@token_app.command("list")
def list_tokens(*, as_json: AsJson = False) -> None:
    """List tokens, never their secrets."""
    from executor.console import tokens  # noqa: PLC0415 - the other commands need none

    found = tokens.list_tokens(Access(settings_to_read()))
    if as_json:
        show_json(found)
    elif not found:
        say("no tokens")
    else:
        rows = [(one["name"], one["role"], _day(one["created_at"]), _day(one["expires_at"])) for one in found]
        show_table("Tokens (UTC)", [Column("name"), Column("role"), Column("made"), Column("until")], rows)


def _day(seconds: str) -> str:
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d}" if seconds not in {"", "0"} else "for ever"


@token_app.command()
def revoke(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Make a token worthless, at once."""
    from executor.console.tokens import revoke_token  # noqa: PLC0415 - the other commands need none

    revoke_token(Access(settings_to_act()), actor(), name)
    say(f"{name}: revoked")


def register(app: typer.Typer) -> None:
    """Give the commands to the program."""
    app.add_typer(console_app, name="console")
    app.add_typer(token_app, name="token")
