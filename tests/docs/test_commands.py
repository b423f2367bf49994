"""Every command of README and docs is run as it is written, twice where that is promised, or says why it cannot be."""

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from support.documented_commands import BLOCK, PAGES, blocks
from support.namespace import ROOT, in_own_network

from executor.cli.lazy import COMMANDS, load

_INLINE: Final = re.compile(r"`(?:\.venv/bin/)?executor ([a-z][^`\n]*)`")
_COMMAND: Final = re.compile(r"^\s*(?:\S*/)?(?:redis-cli|curl|executor)\b", re.MULTILINE)


def test_no_command_hides_in_a_block_of_another_language() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for language, body in re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            assert language in {"bash", "sh"} or not _COMMAND.search(body), f"{page}: {body[:80]}"


def test_what_is_not_run_says_why() -> None:
    left_out = [match[1] for page in PAGES for match in BLOCK.finditer((ROOT / page).read_text()) if match[1]]
    assert all(len(reason) > len("<!-- not run: x -->\n") + 5 for reason in left_out)
    assert sum(len(blocks(page)) for page in PAGES) >= 10


def _words_of(command: Any, words: list[str]) -> str:
    """Follow words into a program's commands; returns what is wrong with them."""
    while words and words[0] in (commands := getattr(command, "commands", {})):
        command, words = commands[words[0]], words[1:]
    if getattr(command, "commands", {}) and words and words[0].isalpha():
        return f"no command {words[0]}"
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help", "-h"}
    unknown = {word.partition("=")[0] for word in words if word.startswith("--")} - known
    return f"no option {', '.join(sorted(unknown))}" if unknown else ""


@pytest.mark.parametrize("page", PAGES)
def test_a_command_named_in_a_sentence_is_one(page: str) -> None:
    for text in _INLINE.findall((ROOT / page).read_text(encoding="utf-8")):
        words = re.split(r"[\s,|]+", text)
        assert words[0] in COMMANDS, f"{page}: executor {text}"
        if words[0] != "up":
            assert not _words_of(load(words[0]), words[1:]), f"{page}: executor {text}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_block_of_every_page_runs(tmp_path: Path) -> None:
    script = ROOT / "tests" / "support" / "documented_commands.py"
    ran = in_own_network(sys.executable, str(script), str(tmp_path), timeout_s=580)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    failed = {page: (result["at"], result["said"]) for page, result in found.items() if result["code"]}
    assert not failed, json.dumps(failed, indent=1)
    assert {"README.md", "README.md again", "docs/sandbox.md"} <= set(found)
