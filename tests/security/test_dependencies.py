"""Every dependency is pinned and its licence known to be one that we can live with; `make audit` fails when it must."""

import re
from importlib.metadata import PackageNotFoundError, version

from support.guarded_stack import ROOT

_PINNED = dict(
    line.split("==")
    for name in ("constraints.txt", "constraints-dev.txt")
    for line in (ROOT / name).read_text(encoding="utf-8").split()
)
# How the licences that ask for nothing but their text start; LGPL and MPL for the named packages only.
_FREE = re.compile(r"MIT|BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|Public Domain|Unlicense")
_OTHERS = {
    "psycopg": "LGPL",
    "psycopg-binary": "LGPL",
    "certifi": "MPL|Mozilla",
    "pathspec": "MPL|Mozilla",
    "hypothesis": "MPL",
}


def _listed() -> dict[str, str]:
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| ([\w.-]+)(?: \*dev\*)? \| (.+) \|$", text, re.MULTILINE))


def test_every_pinned_package_has_its_licence_listed() -> None:
    listed = _listed()
    listed.pop("package", None)
    assert set(listed) == set(_PINNED), "make licences"


def test_no_licence_is_a_surprise() -> None:
    listed = _listed()
    listed.pop("package", None)
    odd = {name: text for name, text in listed.items() if not re.search(_OTHERS.get(name, _FREE), text)}
    assert not odd


def test_what_runs_here_is_what_is_pinned() -> None:
    different = {}
    for name, pinned in _PINNED.items():
        try:
            if version(name) != pinned:
                different[name] = (version(name), pinned)
        except PackageNotFoundError:  # of the extra `postgres`
            assert name.startswith("psycopg"), name
    assert not different


def test_the_audit_does_not_take_silence_for_an_answer() -> None:
    target = re.search(r"^audit:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert target is not None
    assert "--strict" in target[1]
    assert "constraints.txt" in target[1]
    assert "constraints-dev.txt" in target[1]
