"""`executor failed`: what failed for good: list, run again, drop.

Invariant: a retry never places what is, or may be, at the exchange. Times UTC.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import typer

from executor import wiring
from executor.cli.exit_codes import REFUSED
from executor.cli.output import AsJson, Column, complain, refuse, say, show_json, show_table
from executor.cli.session import actor, engine, note_identity, settings_to_act, settings_to_read
from executor.errors import Contended, NotAllowed
from executor.operations.access import Access
from executor.operations.failed import discard_failed, retry_failed
from executor.operations.wording import when

failed_app: Final = typer.Typer(
    help="Chain tasks that failed, signals of which no order was placed: list, run again, drop."
)

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Ids of tasks or signals, as `executor failed` lists them.")
]
Everything = Annotated[bool, typer.Option("--all", help="Every one of them.")]


@failed_app.callback(invoke_without_command=True)
def failed(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List what failed for good, oldest first: chain tasks, and signals of which the exchange took no order."""
    if context.invoked_subcommand is not None:
        return
    settings = settings_to_read()
    note_identity(settings)
    found = wiring.failed_tasks(settings).all()
    if as_json:
        show_json([{"task_id": task_id, **fields} for task_id, fields in found.items()])
    elif not found:
        say("nothing failed for good")
    else:
        columns = [Column("task or signal"), Column("error"), Column("times", "right")]
        show_table("Failed, oldest first (UTC)", columns, [_row(task_id, found[task_id]) for task_id in found])


def _row(task_id: str, fields: Mapping[str, str]) -> Sequence[str]:
    at = when(fields.get("at"))
    name = f"{task_id}\n{fields.get('task', '')}\n{fields.get('market_id', '')} {at}".rstrip()
    return name, fields.get("error", ""), fields.get("attempts", "")


@failed_app.command()
def retry(
    ids: Ids = None,
    *,
    everything: Everything = False,
    force: Annotated[bool, typer.Option("--force", help="A stale signal gets a new deadline; mind its price.")] = False,
) -> None:
    """Run their signals again, from the risk check on; never what is, or may be, at the exchange."""
    access = Access(settings_to_act(), engine)
    refused = False
    for task_id in _chosen(access.failed.all(), ids, everything=everything):
        try:
            record = retry_failed(access, actor(), task_id, force=force)
        except (NotAllowed, Contended) as error:
            complain(f"{task_id}: {error}")
            refused = True
            continue
        say(f"{task_id}: signal {record.signal_id} started again, attempt {record.attempt}")
    if refused:
        raise typer.Exit(REFUSED)


@failed_app.command()
def discard(ids: Ids = None, *, everything: Everything = False) -> None:
    """Drop them from the list; their signals stay as they are."""
    access = Access(settings_to_act())
    for task_id in _chosen(access.failed.all(), ids, everything=everything):
        discard_failed(access, actor(), task_id)
        say(f"{task_id}: dropped")


def _chosen(
    found: Mapping[str, Mapping[str, str]], ids: Sequence[str] | None, *, everything: bool
) -> dict[str, Mapping[str, str]]:
    if bool(ids) == everything:
        raise typer.BadParameter("name ids, or give --all")
    unknown = [task_id for task_id in ids or () if task_id not in found]
    if unknown:
        refuse(f"no such failed task or signal: {', '.join(unknown)}")
    return {task_id: found[task_id] for task_id in (found if everything else ids or ())}


def register(app: typer.Typer) -> None:
    """Give the commands to the program."""
    app.add_typer(failed_app, name="failed")
