"""`executor console`: the web console and HTTP API, and the people that may use them.

Invariant: a password comes from a terminal or stdin, never from an argument.
"""

import getpass
import sys
from typing import Annotated

import typer

from executor import wiring
from executor.cli.output import refuse, say
from executor.cli.session import settings_to_act
from executor.observability.logs import configure_logging

_EXAMPLE = "Example: executor console passwd anna --role operator >> users; chmod 600 users"

console_app = typer.Typer(invoke_without_command=True, help="The web console and HTTP API, on port 8080.")


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
    from executor.console.address import login_lines, sessions  # noqa: PLC0415 - the other commands need no console

    known = sessions(settings)
    if known.has_users:
        refuse("there is a users file: log in with a name of it")
    for line in login_lines(settings, known)[:2]:
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


def register(app: typer.Typer) -> None:
    """Give the commands to the program."""
    app.add_typer(console_app, name="console")
