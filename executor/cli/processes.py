"""The processes that are started by name: the signal bridge and the sandbox exchange.

Both run in the foreground until SIGTERM or Ctrl-C. Amounts in account currency.
"""

import shlex
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

import typer

from betfair_sandbox.certificates import CertificatePaths
from betfair_sandbox.market.rules import MINIMUMS
from betfair_sandbox.options import (
    DEFAULT_CERT_PORT,
    DEFAULT_PORT,
    SandboxOptions,
    as_customer,
    sandbox_env,
    valid_account_name,
)
from executor import wiring
from executor.cli.output import AsJson, refuse, say, show_json
from executor.observability.logs import configure_logging

_DEFAULTS: Final = SandboxOptions(directory=Path())
_DIRECTORY_HELP: Final = "Folder of its certificates; by default `sandbox` in the data folder."

Directory = Annotated[Path | None, typer.Option("--dir", help=_DIRECTORY_HELP, file_okay=False)]
PortNumber = Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")]
_STREAM_HELP: Final = "Of the Exchange Stream API; by default 8445, with another --port than the default a free one."
StreamPort = Annotated[int | None, typer.Option(min=0, max=65_535, help=_STREAM_HELP)]


def bridge() -> None:
    """Listen for signals and start their chains; run two of these. Metrics on port 5004."""
    given = wiring.settings()
    configure_logging(given, process="bridge")
    from executor import bridge as process  # noqa: PLC0415 - brings Celery, which reads the settings for itself

    raise typer.Exit(process.main())


sandbox = typer.Typer(invoke_without_command=True, help="Run a test exchange that speaks Betfair's wire.")


@sandbox.callback(
    epilog="Example: executor sandbox --port 0 --cert-port 0 --balance 500 --account alice --account bob=50\n\n"
    'Point the executor at it: set -a; eval "$(executor sandbox env)"; set +a'
)
def run_sandbox(
    context: typer.Context,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = _DEFAULTS.host,
    port: PortNumber = DEFAULT_PORT,
    cert_port: PortNumber = DEFAULT_CERT_PORT,
    stream_port: StreamPort = None,
    directory: Directory = None,
    seed: Annotated[int, typer.Option(help="Of the prices it makes up.")] = _DEFAULTS.seed,
    balance: Annotated[
        str, typer.Option(metavar="AMOUNT", help="Money in the test account.")
    ] = f"{_DEFAULTS.balance:f}",
    session_lifetime: Annotated[
        int, typer.Option(min=1, metavar="SECONDS", help="Life of a session without a keep-alive.")
    ] = _DEFAULTS.session_lifetime_s,
    currency: Annotated[
        str, typer.Option(metavar="CODE", help="Of all accounts; decides the smallest stakes.")
    ] = _DEFAULTS.currency,
    account: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=AMOUNT]", help="Further account with this user name; may be repeated."),
    ] = None,
    server_name: Annotated[
        list[str] | None, typer.Option(help="Further name for the server's certificate; may be repeated.")
    ] = None,
) -> None:
    """Run a test exchange that speaks Betfair's wire, until Ctrl-C. `sandbox env` prints the settings for it."""
    context.obj = directory
    if context.invoked_subcommand is not None:
        return
    from betfair_sandbox.server import serve  # noqa: PLC0415 - brings Tornado

    serve(
        SandboxOptions(
            directory=_chosen(directory),
            host=host,
            port=port,
            cert_port=cert_port,
            stream_port=stream_port,
            seed=seed,
            balance=_amount(balance, "--balance"),
            currency=_currency(currency),
            further_accounts=_accounts(account or [], balance),
            session_lifetime_s=session_lifetime,
            server_names=tuple(server_name or ()),
        )
    )


@sandbox.command(
    "env",
    epilog='Example: set -a; eval "$(executor sandbox env)"; set +a\n\nExample: executor sandbox env > .env',
)
def print_environment(
    context: typer.Context,
    *,
    directory: Directory = None,
    host: Annotated[str, typer.Option(help="Name under which the executor reaches it.")] = "localhost",
    account: Annotated[str | None, typer.Option(metavar="NAME", help="A further account instead of the first.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the EXECUTOR_* variables that point the executor at the sandbox, one KEY=value a line."""
    folder = _chosen(directory or context.obj)
    options = SandboxOptions(directory=folder)
    if account is not None:
        options = as_customer(options, _account_name(account))
    if not CertificatePaths.of(folder).exist():
        refuse(
            f"no sandbox was ever started in {folder}: "
            f"start one with `executor sandbox --dir {shlex.quote(str(folder))}`"
        )
    variables = sandbox_env(folder, host=host, options=options)
    if as_json:
        show_json(variables)
        return
    for name, value in variables.items():
        say(f"{name}={shlex.quote(value)}")


def _chosen(directory: Path | None) -> Path:
    return (directory or wiring.settings().data_dir / "sandbox").absolute()


def _accounts(texts: list[str], default_balance: str) -> tuple[tuple[str, Decimal], ...]:
    balances: dict[str, Decimal] = {}
    for text in texts:
        name, _, balance = text.partition("=")
        if name in {*balances, _DEFAULTS.username}:
            raise typer.BadParameter(f"{name} is there already", param_hint="--account")
        balances[_account_name(name)] = _amount(balance or default_balance, "--account")
    return tuple(balances.items())


def _account_name(name: str) -> str:
    if not valid_account_name(name):
        raise typer.BadParameter("a name of 1 to 32 letters, digits, - and _ is expected", param_hint="--account")
    return name


def _currency(code: str) -> str:
    if code not in MINIMUMS:
        raise typer.BadParameter(f"one of {', '.join(MINIMUMS)} is expected", param_hint="--currency")
    return code


def _amount(text: str, option: str) -> Decimal:
    try:
        amount = Decimal(text)
    except ArithmeticError:
        amount = Decimal(-1)
    if not (amount.is_finite() and 0 <= amount <= 10**9):
        raise typer.BadParameter("an amount such as 10000 is expected", param_hint=option)
    return amount


def register(app: typer.Typer) -> None:
    """Give the commands to the program."""
    app.command(epilog="Metrics and health: EXECUTOR_METRICS__BRIDGE_PORT, 0 for none.")(bridge)
    app.add_typer(sandbox, name="sandbox")
