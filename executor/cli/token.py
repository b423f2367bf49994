"""`executor token`: the programs that may use the HTTP API.

Invariant: a token is shown once.
"""

from datetime import UTC, datetime
from typing import Annotated

import typer

from executor.cli.output import AsJson, Column, say, show_json, show_table, warn
from executor.cli.session import actor, settings_to_act, settings_to_read
from executor.operations.access import Access

token_app = typer.Typer(no_args_is_help=True, help="Programs that use the HTTP API.")


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
        rows = [(token["name"], token["role"], _day(token["created_at"]), _day(token["expires_at"])) for token in found]
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
    app.add_typer(token_app, name="token")
