"""In a network of its own: `executor up` on the ports that the documents name, and every command block of a page.

A block runs as it is written, in one shell per page, so that what it sets is there for the next; a comment before it,
`<!-- not run: why -->`, leaves it out. Prints page -> {code, at, said} as JSON.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
BLOCK: Final = re.compile(r"^(<!-- not run: .+? -->\n)?```(?:bash|sh)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES: Final = (
    "README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md") if path.name != "sandbox.md"),
    "docs/sandbox.md",  # last: it forgets everything at its end
)
_START_S: Final = 90.0
_PAGE_S: Final = 150.0
_HEAD: Final = """\
set -eu
curl() { command curl --silent --show-error --fail-with-body "$@"; }
"""


def blocks(page: str) -> list[tuple[int, str]]:
    """Return the blocks that run: line in the page, text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [(text.count("\n", 0, match.start()) + 1, match[2]) for match in BLOCK.finditer(text) if match[1] is None]


def _folder(folder: Path) -> dict[str, str]:
    """Make what looks like a clone; returns the environment of its shells."""
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    (folder / "docs").symlink_to(ROOT / "docs")
    tools = folder / "tools"
    tools.mkdir()
    if shutil.which("redis-cli") is None:
        script = ROOT / "tests" / "support" / "redis_cli.py"
        (tools / "redis-cli").write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
        (tools / "redis-cli").chmod(0o755)
    return {"PATH": f"{tools}:{folder / '.venv' / 'bin'}:{os.environ['PATH']}"}


def _run(page: str, folder: Path, environ: dict[str, str]) -> dict[str, object]:
    script = _HEAD + "".join(f"echo '@@ {page}:{line}'\n{text}" for line, text in blocks(page))
    try:
        ran = subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=_PAGE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode("utf-8", "replace")
        return {"code": 124, "at": (re.findall(r"^@@ (.*)$", said, re.MULTILINE) or ["?"])[-1], "said": said[-2000:]}
    at = re.findall(r"^@@ (.*)$", ran.stdout, re.MULTILINE)
    return {"code": ran.returncode, "at": at[-1] if at else "", "said": ran.stdout[-1500:] + ran.stderr[-1500:]}


def main(folder: Path) -> None:
    """Run all pages."""
    environ = _folder(folder)
    shown = folder / "shown"
    with shown.open("wb") as output:
        up = subprocess.Popen(
            [".venv/bin/executor", "up"], cwd=folder, env=environ, stdout=output, stderr=subprocess.STDOUT
        )
    found = {}
    try:
        deadline = time.monotonic() + _START_S
        while "Press Ctrl+C" not in shown.read_text():
            if up.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(shown.read_text())
            time.sleep(0.2)
        for page in PAGES:
            if blocks(page):
                found[page] = _run(page, folder, environ)
            if page == "README.md":  # examples are there to be tried again
                found[f"{page} again"] = _run(page, folder, environ)
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
