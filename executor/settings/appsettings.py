"""The original's `appsettings.json`: JSON with comments and trailing commas, PascalCase names, any letter case.

Owns the file's shape only: every value comes out as text, numbers exactly as written, and is judged by the settings.
Of the file only `Executor` and `Logging.LogLevel` are ours; a name in one of our sections that is no setting is a
problem, because a misspelt limit would otherwise be no limit. Problems are lines for people, and quote no value.
"""

import re
from collections.abc import Collection, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

from executor.settings.env import Given, Location
from executor.settings.nearly import NearNames, near_members

FILE_NAME: Final = "appsettings.json"
MAX_FILE_BYTES: Final = 262_144  # the reference's example has 300; the parser is slow and this is a mistake, not a file
_CATEGORY: Final = "aibettingexecutor"  # the original's own log category
_LONGEST_PLAIN_NUMBER: Final = 30  # digits; beyond it no setting is valid and the exponent is shorter


def read_appsettings(path: Path, known: Collection[Location]) -> tuple[dict[Location, Given], list[str], list[str]]:
    """Return the settings in the file, of those `known`, the problems with it, and what in it is only nearly ours."""
    try:
        if not path.exists():
            return {}, [], []
        if not path.is_file():
            return _unusable("should be a file")
        if path.stat().st_size > MAX_FILE_BYTES:
            return _unusable(f"should be at most {MAX_FILE_BYTES} bytes")
        import json5  # noqa: PLC0415 - a file that few have, and every command reads the settings

        document = json5.loads(
            path.read_bytes().decode("utf-8-sig"),
            parse_float=Decimal,
            parse_int=_whole_number,
            allow_duplicate_keys=False,
        )
    except OSError as error:
        return _unusable(f"cannot be read: {error.strerror}")
    except RecursionError:
        return _unusable("is nested too deeply")
    except (ValueError, ArithmeticError) as error:
        return _unusable(f"is not JSON{_place(str(error))}")
    reader = _Reader(known)
    reader.read_document(document)
    return reader.found, reader.problems, reader.nearly


def _unusable(problem: str) -> tuple[dict[Location, Given], list[str], list[str]]:
    return {}, [f"{FILE_NAME}: {problem}"], []


def _place(parser_message: str) -> str:
    """Return where the parser stumbled; the rest of its message quotes the file, which holds secrets."""
    place = re.search(r":(\d+) .* at column (\d+)", parser_message, re.DOTALL)
    duplicate = " (a name is there twice)" if "uplicate key" in parser_message else ""
    return f" at line {place[1]} column {place[2]}" if place else duplicate


def _whole_number(digits: str, base: int = 10) -> Decimal:
    return Decimal(int(digits, base))


def _fold(name: str) -> str:
    return name.replace("_", "").lower()


def _members(value: object, name: str) -> Iterator[tuple[str, object]]:
    """Yield the members of an object whose name is `name` in any letter case."""
    if isinstance(value, dict):
        yield from ((key, member) for key, member in value.items() if _fold(key) == name)


def _text(value: object) -> str | None:
    """Return a JSON value as the text that an environment variable would hold, or None if it has no such form."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value, "f") if abs(value.adjusted()) < _LONGEST_PLAIN_NUMBER else str(value)
    return str(value) if isinstance(value, str | float) else None


class _Reader:
    """Collects the settings and the problems of one document."""

    def __init__(self, known: Collection[Location]) -> None:
        self.found: dict[Location, Given] = {}
        self.problems: list[str] = []
        self.nearly: list[str] = []
        self._names = NearNames(known)
        self._known = {tuple(_fold(part) for part in location): location for location in known}
        self._sections = {_fold(location[0]): location[0] for location in known if len(location) > 1}
        self._sections["riskmanagement"] = "risk"
        self._levels: dict[str, tuple[object, str]] = {}

    def read_document(self, document: object) -> None:
        if not isinstance(document, dict):
            self.problems.append(f"{FILE_NAME}: should hold an object")
            return
        others = {name: value for name, value in document.items() if _fold(name) not in {"logging", "executor"}}
        self.nearly += near_members(others, self._names, file=FILE_NAME, path="")
        for name, logging in _members(document, "logging"):
            for inner, levels in _members(logging, "loglevel"):
                self._read_levels(levels, f"{name}:{inner}")
        for name, executor in _members(document, "executor"):
            self._read_executor(executor, name)
        level = self._levels.get(_CATEGORY) or self._levels.get("default")
        if level and ("logging", "level") not in self.found:
            self._take(("logging", "level"), *level)

    def _read_executor(self, executor: object, path: str) -> None:
        if not isinstance(executor, dict):
            self.problems.append(f"{FILE_NAME} {path}: should be an object")
            return
        for name, value in executor.items():
            location = self._known.get((_fold(name),))
            section = self._sections.get(_fold(name))
            if location:
                self._take(location, value, f"{path}:{name}")
            elif section and isinstance(value, dict):
                self._read_section(section, value, f"{path}:{name}")
            elif section and value is not None:
                self.problems.append(f"{FILE_NAME} {path}:{name}: should be an object")
            elif section is None:
                self.nearly += near_members({name: value}, self._names, file=FILE_NAME, path=path)

    def _read_section(self, section: str, members: dict[str, object], path: str) -> None:
        for name, value in members.items():
            location = self._known.get((_fold(section), _fold(name)))
            if location:
                self._take(location, value, f"{path}:{name}")
            elif (section, _fold(name)) == ("logging", "loglevel"):
                self._read_levels(value, f"{path}:{name}")
            else:
                self.problems.append(f"{FILE_NAME} {path}:{name}: is no setting")

    def _read_levels(self, levels: object, path: str) -> None:
        """Note the levels that concern us; the ones under `Executor` are read last and replace everybody's."""
        if levels is not None and not isinstance(levels, dict):
            self.problems.append(f"{FILE_NAME} {path}: should be an object")
        for category in ("default", _CATEGORY):
            for name, level in _members(levels, category):
                if level is not None:
                    self._levels[category] = (level, f"{path}:{name}")

    def _take(self, location: Location, value: object, path: str) -> None:
        if value is None:
            return
        text = _text(value)
        if text is None:
            self.problems.append(f"{FILE_NAME} {path}: should be a text, a number, true or false")
        elif location in self.found:
            self.problems.append(f"{self.found[location].origin} and {path} are the same setting: give one of them")
        else:
            self.found[location] = Given(text, f"{FILE_NAME} {path}")
