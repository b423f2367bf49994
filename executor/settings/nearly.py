"""Names that are nearly settings: they change nothing, and somebody believes that they do.

Owns what "nearly" means. Invariants: a name that is nothing like ours is not ours to judge (Jenkins sets
EXECUTOR_NUMBER); a warning names the setting that was meant, and quotes no value.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from executor.settings.env import Location, variable_name

_ALIKE: Final = 0.86  # EXECUTOR_RIKS__BANKROLL is 0.95 like ours, EXECUTOR_NUMBER 0.67
_WORD_ALIKE: Final = 0.75  # Executer, Riks; at the root of a file, which is everybody's, Tracing is no Trading
_ASP_NET: Final = frozenset({"AllowedHosts"})  # stands in every such file, and is not the console's
_OWN_WORD: Final = 6  # characters of a setting's last word that say by themselves whose it is: not URL, HOST, PORT
_OTHER_FILES: Final = re.compile(r"appsettings?(\.[^.]+)?\.json", re.IGNORECASE)
_OUR_PREFIX: Final = "EXECUTOR"


def _bare(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name.upper())


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


class NearNames:
    """Knows the settings, and what is nearly one of them."""

    def __init__(self, known: Collection[Location]) -> None:
        self._names = {variable_name(location): location for location in known}
        self._bare = {_bare(name): name for name in self._names}
        self._without_prefix = {_bare("__".join(location)): variable_name(location) for location in known}
        self._by_last_word: dict[str, str] = {}
        for name, location in self._names.items():
            word = _bare(location[-1])
            self._by_last_word[word] = "" if word in self._by_last_word else name  # said twice, it says nothing
        self._sections = {_bare(location[0]): location[0] for location in known if len(location) > 1}

    def variable(self, name: str) -> str:
        """Return the setting that a variable nearly is; empty where it is one, or nothing like one."""
        plain = name.upper()
        if {plain, plain.removesuffix("_FILE")} & self._names.keys() or not name.isprintable():
            return ""
        plain = plain.removesuffix("_FILE")
        bare = _bare(plain)
        if bare in self._bare:
            return self._bare[bare]
        ours, rest = self._split(plain)
        if not ours:
            # Whoever wrote RISK__BANKROLL forgot the prefix; REDIS_URL is everybody's.
            return self._without_prefix.get(bare, "") if "__" in plain else ""
        return self._meant(bare, _bare(rest))

    def _split(self, plain: str) -> tuple[bool, str]:
        """Tell whether a name begins as ours do, more or less, and return what follows."""
        if plain.startswith(_OUR_PREFIX):
            return True, plain[len(_OUR_PREFIX) :]
        head, _, rest = plain.partition("_")
        return bool(rest) and _alike(head, _OUR_PREFIX) >= _WORD_ALIKE, rest

    def _meant(self, bare: str, rest: str) -> str:
        word = self._by_last_word.get(rest, "") if len(rest) >= _OWN_WORD else ""
        exact = self._without_prefix.get(rest, "")
        if exact or word:
            return exact or word
        close = difflib.get_close_matches(bare, self._bare, n=1, cutoff=_ALIKE)
        if close:
            return self._bare[close[0]]
        section = next((name for key, name in self._sections.items() if rest.startswith(key)), "")
        return f"EXECUTOR_{section.upper()}__..." if section else ""

    def section(self, name: str, *, alike: float) -> str:
        """Return the section that a name in a file is, or nearly is; empty for none."""
        bare = _bare(name)
        bare = "RISK" if bare == "RISKMANAGEMENT" else bare
        if bare in self._sections:
            return self._sections[bare]
        close = difflib.get_close_matches(bare, [*self._sections, "RISKMANAGEMENT"], n=1, cutoff=alike)
        return ("risk" if close[0] == "RISKMANAGEMENT" else self._sections[close[0]]) if close else ""

    def setting(self, name: str) -> str:
        """Return the variable whose last word a name in a file is, where only one setting ends so."""
        bare = _bare(name)
        return self._by_last_word.get(bare, "") if len(bare) >= _OWN_WORD else ""


def near_variables(variables: Iterable[str], names: NearNames, *, where: str = "") -> Iterator[str]:
    """Yield a warning for each variable that is nearly a setting, `where` after its name."""
    for name in variables:
        if meant := names.variable(name):
            yield f"{name}{where}: is no setting and is ignored; did you mean {meant}?"


def near_members(document: Mapping[str, object], names: NearNames, *, file: str, path: str) -> Iterator[str]:
    """Yield a warning for each member of appsettings.json that nearly is ours: at its root, or under `Executor`."""
    for name, value in document.items():
        where = f"{file} {path}:{name}" if path else f"{file} {name}"
        if ":" in name and _bare(name).startswith(_OUR_PREFIX):
            yield f"{where}: is no setting and is ignored; write sections as objects within each other"
        elif not path and _is_our_object(name) and isinstance(value, dict):
            yield f"{where}: is no section of ours and is ignored; did you mean Executor?"
        elif (section := names.section(name, alike=_WORD_ALIKE if path else _ALIKE)) and isinstance(value, dict):
            pascal = "".join(word.title() for word in section.split("_"))
            yield f"{where}: is ignored; did you mean Executor:{pascal}?"
        elif (meant := names.setting(name)) and not isinstance(value, dict) and name not in _ASP_NET:
            yield f"{where}: is ignored there; did you mean {_in_file(meant)}?"


def _is_our_object(name: str) -> bool:
    bare = _bare(name)
    return bare.endswith(_OUR_PREFIX) or _alike(bare, _OUR_PREFIX) >= _WORD_ALIKE


def _in_file(variable: str) -> str:
    parts = variable.removeprefix("EXECUTOR_").split("__")
    return ":".join(["Executor", *("".join(word.title() for word in part.split("_")) for part in parts)])


def near_files(folder: Path, *, read: str) -> Iterator[str]:
    """Yield a warning for each file whose name is not quite that of the file of settings that is read."""
    try:
        found = sorted(path.name for path in folder.iterdir() if _OTHER_FILES.fullmatch(path.name))
    except OSError:
        return
    for name in found:
        if name != read:
            yield f"{name}: is not read; settings of this kind are in {read}"
