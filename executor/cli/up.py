"""`executor up`: all processes in one terminal, looked after until Ctrl-C.

By default a private Redis and a sandbox exchange of its own, with the user's settings for everything else; `--live`
takes Redis and exchange from the settings. Invariant: nothing starts before settings and ports are known to be good and
no other `up` works on the data folder; when it ends, whatever the cause, nothing of it runs.
"""

from pathlib import Path
from typing import Annotated, Final

import typer
from redis.exceptions import RedisError

from betfair_sandbox.options import DEFAULT_CERT_PORT, DEFAULT_PORT, DEFAULT_STREAM_PORT
from executor.cli.exit_codes import DONE, REFUSED
from executor.cli.output import complain, refuse
from executor.devstack.live_view import LiveView
from executor.devstack.redis_server import RedisServerError
from executor.devstack.sandbox_client import SandboxSilentError
from executor.devstack.supervisor import CrashLoopError
from executor.devstack.up_plan import (
    USUAL_REDIS_PORT,
    Plan,
    UpOptions,
    alone,
    check_ports,
    leave_settings,
    make_plan,
    next_free_port,
)
from executor.devstack.up_run import StoppedError, UpRun
from executor.errors import ExecutorError

_MAINTENANCE_PORT: Final = 5005
_FLOWER_PORT: Final = 5555

PortNumber = Annotated[int, typer.Option(min=1, max=65_535, metavar="PORT")]


def up(
    *,
    live: Annotated[bool, typer.Option("--live", help="Take Redis and exchange from the settings.")] = False,
    paper: Annotated[bool, typer.Option("--paper", help="Send nothing to any exchange.")] = False,
    redis_port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, metavar="PORT", help=f"By default {USUAL_REDIS_PORT}, or the next free one."),
    ] = None,
    sandbox_port: PortNumber = DEFAULT_PORT,
    sandbox_cert_port: PortNumber = DEFAULT_CERT_PORT,
    sandbox_stream_port: PortNumber = DEFAULT_STREAM_PORT,
    maintenance_port: PortNumber = _MAINTENANCE_PORT,
    flower_port: PortNumber = _FLOWER_PORT,
    console_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, metavar="PORT", help="By default that of the settings, 8080.")
    ] = None,
    no_console: Annotated[bool, typer.Option("--no-console", help="Do without the web console.")] = False,
    no_flower: Annotated[bool, typer.Option("--no-flower", help="Do without the page about tasks.")] = False,
) -> None:
    """Run everything here, with a Redis and a sandbox exchange of its own, until Ctrl-C.

    Your settings count for all but Redis and exchange; with --live for those too. Metrics ports come from the settings.
    """
    wanted = {sandbox_port, sandbox_cert_port, sandbox_stream_port, maintenance_port, flower_port, console_port}
    options = UpOptions(
        live=live,
        paper=paper,
        redis_port=redis_port or next_free_port(USUAL_REDIS_PORT, besides=wanted),
        sandbox_port=sandbox_port,
        sandbox_cert_port=sandbox_cert_port,
        sandbox_stream_port=sandbox_stream_port,
        maintenance_port=maintenance_port,
        flower_port=0 if no_flower else flower_port,
        console_port=0 if no_console else console_port,
    )
    try:
        plan = make_plan(options, Path.cwd())
        with alone(plan.settings.data_dir):
            leave_settings(plan)
            check_ports(plan.ports)
            code = _run(plan)
    except ExecutorError as error:
        refuse(str(error))
    raise typer.Exit(code)


def _run(plan: Plan) -> int:
    with LiveView() as live_view:
        run = UpRun(plan, live_view)
        code = DONE
        try:
            run.start()
            run.run()
        except StoppedError:
            pass
        except (ExecutorError, CrashLoopError, OSError, RedisError, RedisServerError, SandboxSilentError) as error:
            complain(str(error))
            code = REFUSED
        finally:
            run.stop()
    return code


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command()(up)
