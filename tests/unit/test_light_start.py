"""The list of commands, and what each loads: the kill switch starts fast, as what it does not need is not loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import typer.main

from executor.cli.lazy import COMMANDS, load
from executor.cli.main import app

CLI = Path(__file__).parents[2] / "executor" / "cli"
# Databases, the sandbox, web, workers, the exchange: what a command to stop or to look must not wait for.
HEAVY = {"sqlalchemy", "alembic", "betfair_sandbox", "fastapi", "starlette", "uvicorn", "jinja2", "tornado", "celery",
         "kombu", "matplotlib", "requests", "joserfc", "prometheus_client"}  # fmt: skip
RUN = "import atexit, json, sys\natexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.__stderr__))\n"
PROGRAM = f"{RUN}from executor.cli.main import run\nrun()"


def loaded(*words: str, environ: dict[str, str] | None = None) -> set[str]:
    """Return the modules that a command has loaded when it ends."""
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=False, timeout=60, env=environ
    )
    return set(json.loads(found.stderr.splitlines()[-1]))


def test_the_list_says_what_each_command_says_of_itself() -> None:
    firsts = {name: " ".join(load(name).help.split("\n\n")[0].split()) for name in COMMANDS}
    assert firsts == COMMANDS


def test_each_command_has_a_file_of_its_name() -> None:
    files = {path.stem for path in CLI.glob("*.py") if "\ndef register(" in path.read_text(encoding="utf-8")}
    assert files == set(COMMANDS)
    assert set(typer.main.get_group(app).commands) == files


def test_the_list_loads_no_command() -> None:
    modules = loaded("--help")
    ours = {name for name in modules if name.startswith(("executor", "betfair_sandbox"))}
    assert ours == {"executor", "executor.cli", "executor.cli.exit_codes", "executor.cli.lazy", "executor.cli.main",
                    "executor.errors", "executor.observability", "executor.observability.terminal"}  # fmt: skip
    assert not modules & {*HEAVY, "pydantic", "redis"}


@pytest.mark.parametrize("command", ["halt", "status", "resume", "limits"])
def test_to_stop_and_to_look_loads_no_sql_no_web_and_no_sandbox(command: str) -> None:
    nowhere = {"EXECUTOR_REDIS__URL": "redis://127.0.0.1:1/0"}
    modules = loaded(command, environ=nowhere)
    assert "redis" in modules, "it has looked"
    assert not modules & HEAVY


def test_a_bridge_loads_no_sql_no_web_and_no_sandbox() -> None:
    code = f"{RUN}import executor.bridge, executor.adapters.signatures, executor.engine.intake"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    needed = {"celery", "kombu", "prometheus_client", "joserfc", "requests"}
    assert not set(json.loads(found.stderr.splitlines()[-1])) & (HEAVY - needed)
