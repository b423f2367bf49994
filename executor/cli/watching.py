"""`--watch`: what a command shows, again and again, until Ctrl+C.

Invariants: on a terminal it is shown in place, on a screen of its own that leaves no trace; elsewhere, and as JSON, one
after the other. A look that fails is said, and the next one tries again. Seconds.
"""

import sys
import time
from collections.abc import Callable
from typing import Annotated, Final

import typer

from executor.cli.output import complain, in_place, say
from executor.errors import ExecutorError

_EVERY_S: Final = 2.0

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show it again every 2 seconds, until Ctrl+C.")]


def show(look: Callable[[], None], *, watch: bool, as_json: bool) -> None:
    """Run `look`, which prints: once, or until Ctrl+C.

    Raises:
        ExecutorError: of a look that is the only one.
    """
    if not watch:
        look()
        return
    try:
        if as_json or not sys.stdout.isatty():
            while True:
                _try(look)
                sys.stdout.flush()
                time.sleep(_EVERY_S)
        with in_place() as draw:
            while True:
                draw(lambda: _try(look))
                time.sleep(_EVERY_S)
    except KeyboardInterrupt:  # how watching ends
        return


def _try(look: Callable[[], None]) -> None:
    try:
        look()
    except ExecutorError as error:
        if sys.stdout.isatty():  # on the screen, where the table was
            say(str(error), "red")
        else:
            complain(str(error))
