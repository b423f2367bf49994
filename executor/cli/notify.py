"""`executor notify`: the process that tells people, and a test of it.

Invariant: no address is shown whole.
"""

import typer

from executor import wiring
from executor.cli.output import refuse, say
from executor.cli.session import settings_to_read
from executor.domain.notice import Level
from executor.observability.logs import configure_logging, redact
from executor.ports import NotDelivered

notify_app = typer.Typer(invoke_without_command=True, help="Tell people by Telegram, e-mail, Slack, webhook ...")


@notify_app.callback(epilog="Settings: EXECUTOR_NOTIFY__URLS (Apprise's form), EXECUTOR_NOTIFY__LEVEL")
def notify(context: typer.Context) -> None:
    """Tell people what they may have to know, until Ctrl-C. Metrics on port 5008."""
    if context.invoked_subcommand is not None:
        return
    settings = wiring.get_settings()
    configure_logging(settings, process="notify")
    from executor.observability import exporter  # noqa: PLC0415 - before what counts is imported

    exporter.prepare(settings.data_dir, settings.metrics.notify_port, settings.metrics.instance)
    from executor import notify as process  # noqa: PLC0415 - brings Celery, which reads the settings for itself

    raise typer.Exit(process.main())


@notify_app.command()
def test() -> None:
    """Send a message to every address and say which took it; exit 1 when one did not."""
    settings = settings_to_read()
    from executor.notify_wiring import notice_sender, notifiers  # noqa: PLC0415 - brings a library of a hundred services

    addresses = notifiers(settings)
    if not addresses:
        refuse("nobody to tell: set EXECUTOR_NOTIFY__URLS, as in mailto://user:password@example.org?to=me@example.org")
    failed = 0
    for number, notifier in enumerate(addresses, start=1):
        shown = f"number {number}, {notifier.address.shown}"  # several may be at one host
        try:
            notifier.send(f"{notice_sender(settings)}: a test", "This address is told what happens.", Level.INFO)
        except NotDelivered as error:
            failed += 1
            say(f"{shown}: did not take it: {redact(str(error))}")
        else:
            say(f"{shown}: took it")
    if failed:
        refuse(f"{failed} of {len(addresses)} addresses did not take the test")


def register(app: typer.Typer) -> None:
    """Give the commands to the program."""
    app.add_typer(notify_app, name="notify")
