"""Variables, of the process or of a `.env` file, become settings as somebody gave them: text and where it came from.

Owns the names EXECUTOR_<SECTION>__<NAME>, `<VARIABLE>_FILE` and the reading of `.env` (python-dotenv's syntax); it
never looks at the process's own environment. A name in one of our sections that is no setting is a problem; any
other name is not ours to judge. Problems are lines for people, and quote no value.
"""

import difflib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dotenv.parser import parse_stream
from dotenv.variables import parse_variables

DOTENV_NAME: Final = ".env"
MAX_FILE_BYTES: Final = 65_536  # of .env and of a secret's file: a pasted certificate still fits
_PREFIX: Final = "EXECUTOR_"
_FILE_SUFFIX: Final = "_FILE"

Location = tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """A setting as somebody gave it: its text, and where, in words for people."""

    text: str = field(repr=False)
    origin: str


def variable_name(location: Location) -> str:
    """Return the variable of a setting: ("risk", "bankroll") is EXECUTOR_RISK__BANKROLL."""
    return _PREFIX + "__".join(location).upper()


def read_variables(
    variables: Mapping[str, str | None], known: Iterable[Location], *, folder: Path, where: str = ""
) -> tuple[dict[Location, Given], list[str]]:
    """Return the settings among `variables`, of those `known`, and the problems; `where` ends each name in a message.

    Names count in any letter case. `folder` is where a relative path of a secret's file starts; an empty path beside
    the variable itself names no file, so that whoever gives both takes away what another gave.
    """
    locations = {variable_name(location): location for location in known}
    ours = tuple({f"{variable_name(location[:1])}__" for location in locations.values() if len(location) > 1})
    names = {name.upper() for name in variables}
    found: dict[Location, Given] = {}
    problems: list[str] = []
    for name, text in variables.items():
        plain = name.upper()
        from_file = plain not in locations and plain.endswith(_FILE_SUFFIX)
        location = locations.get(plain.removesuffix(_FILE_SUFFIX) if from_file else plain)
        origin = f"{name}{where}"
        if location is None:
            if plain.startswith(ours):
                # Where "=" was forgotten, or a colon stands for it, the name ends in what may be a secret.
                shown = name if text is not None and name.isidentifier() else f"{plain[: plain.index('__') + 2]}..."
                problems.append(f"{shown}{where}: is no setting{_suggestion(plain, locations)}")
        elif from_file and not text and plain.removesuffix(_FILE_SUFFIX) in names:
            continue
        elif text is None:
            problems.append(f"{origin}: has no value")
        elif location in found:
            problems.append(f"{found[location].origin} and {origin} are the same setting: give one of them")
        else:
            content, problem = _content_of(text, folder) if from_file else (text, "")
            found[location] = Given(content, origin)
            problems += [f"{origin}: {problem}"] if problem else []
    return found, problems


def read_dotenv(path: Path, environ: Mapping[str, str]) -> tuple[dict[str, str | None], list[str]]:
    """Return the variables of a `.env` file, `${NAME}` filled in from it or `environ`, and its problems.

    A folder of that name is somebody's virtual environment, and no file is no problem.
    """
    try:
        if not path.is_file():
            return {}, []
    except OSError as error:
        return {}, [f"{DOTENV_NAME}: cannot be looked for: {error.strerror}"]
    text, problem = _read(path)
    if problem:
        return {}, [f"{DOTENV_NAME}: {problem}"]
    variables: dict[str, str | None] = {}
    problems: list[str] = []
    for binding in parse_stream(io.StringIO(text)):
        if binding.error and _PREFIX in binding.original.string.upper():
            problems.append(f"{DOTENV_NAME} line {binding.original.line}: should be NAME=value")
        elif binding.key is not None and not binding.error:
            value = None if binding.value is None else _filled_in(binding.value, {**environ, **variables})
            if value is not None and len(value) > MAX_FILE_BYTES:
                problems.append(f"{DOTENV_NAME} line {binding.original.line}: is too long with its ${{NAME}} filled in")
                value = ""
            variables[binding.key] = value
    return variables, problems


def _filled_in(text: str, values: Mapping[str, str | None]) -> str:
    """Fill in each ${NAME}, no further than one character too many: a few lines may double a text without end."""
    filled = ""
    for atom in parse_variables(text):
        filled = (filled + atom.resolve(values))[: MAX_FILE_BYTES + 1]
    return filled


def _suggestion(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.8)
    return f"; did you mean {close[0]}?" if close else ""


def _content_of(path_text: str, folder: Path) -> tuple[str, str]:
    """Return what a secret's file holds, without the one line end that editors add, and the problem with it."""
    try:
        path = folder / Path(path_text).expanduser()
        if not path.is_file():
            return "", f"should be the path of a file, and {path_text!r} is none"
    except (OSError, ValueError, RuntimeError):
        return "", "should be the path of a file"
    text, problem = _read(path)
    return text.removesuffix("\n").removesuffix("\r"), problem


def _read(path: Path) -> tuple[str, str]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return "", f"should be a file of at most {MAX_FILE_BYTES} bytes"
        return path.read_bytes().decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return "", "should be a file in UTF-8"
    except OSError as error:
        return "", f"the file cannot be read: {error.strerror}"
