"""How commands speak: tables and lines for people, JSON for programs, stderr for what went wrong.

Invariants: nothing that came from outside is read as markup; colours only on a terminal; tables fit 80 columns by
folding, never by cutting; amounts are decimal text, times UTC.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final, Literal, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from executor.cli.exit_codes import REFUSED

_out: Final = Console(highlight=False)
_err: Final = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; numbers and money stand to the right."""

    name: str
    justify: Literal["left", "right"] = "left"


def say(text: str | Text, style: str = "") -> None:
    """Print a line."""
    _out.print(Text(text, style) if isinstance(text, str) else text, soft_wrap=True)


def warn(text: str) -> None:
    """Print a line that a person should not miss, on stderr."""
    _err.print(Text(text, "yellow"), soft_wrap=True)


def complain(text: str) -> None:
    """Print why something was not done, on stderr."""
    _err.print(Text(text, "red"), soft_wrap=True)


def refuse(text: str) -> NoReturn:
    """End the command: not done, and why."""
    complain(text)
    raise typer.Exit(REFUSED)


@contextmanager
def in_place() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Open a screen of its own; yields what shows there all that a function prints, in place of what was there."""
    with _out.screen() as screen:

        def draw(show: Callable[[], None]) -> None:
            with _out.capture() as captured:
                show()
            shown = list(Text.from_ansi(captured.get().rstrip("\n")).split())
            if len(shown) > _out.height:
                below = len(shown) - _out.height + 1
                shown = shown[: _out.height - 1]
                shown.append(Text(f"... {below} lines more in a taller window", "yellow"))
            screen.update(Text("\n", no_wrap=True).join(shown))

        yield draw


def show_json(value: object) -> None:
    """Print a value for programs."""
    sys.stdout.write(json.dumps(value, indent=2, default=_plain) + "\n")


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(f"no JSON for {type(value).__name__}")


def show_table(title: str, columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print a table; a cell may have several lines."""
    say(title, "bold")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        right = column.justify == "right"
        table.add_column(column.name, justify=column.justify, overflow="fold", no_wrap=right)  # a number stays whole
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    _out.print(table)


def show_facts(facts: Iterable[tuple[str, str | Text]]) -> None:
    """Print names and values, one a line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(Text(name), value if isinstance(value, Text) else Text(value))
    _out.print(table)
