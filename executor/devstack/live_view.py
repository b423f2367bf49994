"""A terminal that scrolls lines above a status that stays; plain lines alone where there is no terminal.

Invariants: nothing that came from outside is read as markup or wrapped; no thread draws, only whoever calls; a terminal
or reader that is gone is no error, so that stopping is never cut short.
"""

from collections.abc import Callable, Iterable
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from executor.domain.order import OrderStatus
from executor.observability.logs import configure_logging
from executor.operations.wording import money
from executor.ports.system_snapshot import SystemSnapshot
from executor.settings.load import Settings

_COLUMNS: Final = 4  # pairs of name and value in a row of the status


class LiveView:
    """One for the life of a command."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self.is_terminal = self._console.is_terminal
        self.is_gone = False  # nobody can read it any more

    def __enter__(self) -> Self:
        if self.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._draw(self._live.stop)

    def line(self, text: str, style: str = "") -> None:
        """Print a line."""
        self._draw(lambda: self._console.print(Text(text, style), soft_wrap=True))

    def _draw(self, draw: Callable[[], object]) -> None:
        if self.is_gone:
            return
        try:
            draw()
            self._console.file.flush()
        except (OSError, SystemExit):  # rich ends the program when a pipe is broken
            self.is_gone = True

    def status(self, facts: Iterable[tuple[str, str]]) -> None:
        """Show this at the bottom, in place of what was there; nothing where there is no terminal."""
        if not self.is_terminal:
            return
        table = Table.grid(padding=(0, 1))
        pairs = list(facts)
        for at in range(0, len(pairs), _COLUMNS):
            cells = (Text(text, style) for pair in pairs[at : at + _COLUMNS] for text, style in _styled(pair))
            table.add_row(*cells)
        self._draw(lambda: self._live.update(table, refresh=True))


def _styled(pair: tuple[str, str]) -> Iterable[tuple[str, str]]:
    return ((pair[0], "dim"), (f"{pair[1]}  ", "bold"))


def facts_of(state: SystemSnapshot) -> list[tuple[str, str]]:
    """Return what one look at the system says, for the status."""
    active = state.count(OrderStatus.SUBMITTED, OrderStatus.PENDING)
    trading = "enabled" if state.trading_enabled else "DISABLED"
    return [
        ("trading", "breaker open" if state.breaker else trading),
        ("reconciled", "yes" if state.reconciled else "NO"),
        ("active orders", str(active)),
        ("open signals", str(state.open_signals)),
        ("exposure", money(state.total_exposure)),
        ("staked", money(state.stake_deployed)),
        ("P&L today", money(state.daily_pnl)),
        ("P&L in all", money(state.total_pnl)),
    ]


def quiet_logs(settings: Settings, *, process: str) -> None:
    """Keep the terminal for what is said to people: this process is no part of the system, and logs nothing."""
    quiet = settings.logging.model_copy(update={"level": "CRITICAL", "file": False})
    configure_logging(settings.model_copy(update={"logging": quiet}), process=process)
